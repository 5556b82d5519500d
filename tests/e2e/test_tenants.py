"""Tenants through the command line: what is explained, what is refused, and what a switch does."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.running_lab import RunningLab

RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def test_the_lab_line_has_every_field_of_the_contract(lab: RunningLab) -> None:
    """Scripts are written against these names."""
    line = lab.line
    assert set(line) >= {
        "ready", "state", "proxy", "dns", "control", "dashboard", "idp", "ca", "edges", "apps", "tenants", "users",
        "admin", "pids",
    }
    assert line["ready"] is True
    assert set(line["tenants"]) >= {"contoso", "fabrikam", "woodgrove", "tailspin"}
    assert set(line["edges"]["contoso"]) == {"private", "internet", "microsoft"}
    for tenant in ("contoso", "fabrikam", "woodgrove"):
        kinds = {app["kind"] for app in line["apps"][tenant]}
        assert kinds == {"http", "tls", "echo", "sink", "udp-echo", "slow", "refuse"}
        for app in line["apps"][tenant]:
            assert set(app) == {"name", "destination", "protocol", "kind"}
    assert line["users"]["alex@contoso.example"].keys() == {"password", "tenant"}


def test_status_says_where_we_are(lab: RunningLab) -> None:
    """The contract's fields, all channels connected."""
    status = lab.ask("status")
    assert set(status) >= {"state", "organization", "home", "tenant", "epoch", "channels", "flows", "profile"}
    assert (status["tenant"], status["organization"]) == ("contoso", "Contoso")
    assert {name: channel["state"] for name, channel in status["channels"].items()} == {
        "private": "connected", "internet": "connected", "microsoft": "connected",
    }
    assert status["profile"]["version"] == 1


def test_tenants_lists_home_and_the_two_that_invited_the_user(lab: RunningLab) -> None:
    """tailspin and the other cloud's tenant have nothing to do with this user."""
    done = lab.tunneld("tenants", "--json")
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in ("contoso", "fabrikam", "woodgrove"))
    assert "tailspin" not in done.stdout
    assert "northwind" not in done.stdout


def test_a_flow_record_has_every_field_of_the_contract(lab: RunningLab) -> None:
    """One line a flow."""
    lab.curl("http://portal.contoso.internal/")
    record = next(flow for flow in lab.flows() if flow["destination"] == "portal.contoso.internal")
    assert set(record) >= {
        "flow_id", "correlation_id", "begin", "end", "state", "reason", "protocol", "destination", "port", "process",
        "tenant", "epoch", "channel", "rule_id", "action", "bytes_sent", "bytes_received",
    }
    assert RFC3339.fullmatch(record["begin"])
    assert re.fullmatch("[0-9a-f]{32}", record["correlation_id"])
    assert (record["tenant"], record["channel"], record["rule_id"]) == ("contoso", "private", "contoso-portal")


@pytest.mark.parametrize(
    ("destination", "verdict", "channel", "rule"),
    [
        ("portal.contoso.internal:80", "tunnel", "private", "contoso-portal"),
        ("portal.contoso.internal:8080", "tunnel", "private", "contoso-quick-access"),
        ("echo.contoso.internal:7/udp", "tunnel", "private", "contoso-echo-udp"),
        ("10.10.200.1:22", "tunnel", "private", "contoso-quick-access"),
        ("www.news.example:80", "tunnel", "internet", "contoso-news"),
        ("gambling.example:443", "block", "internet", "internet-blocked"),
        ("login.office.example:443", "direct", "microsoft", "sign-in-direct"),
        ("public.example:80", "direct", None, None),
    ],
)
def test_explain_names_the_rule(
    lab: RunningLab, destination: str, verdict: str, channel: str | None, rule: str | None
) -> None:
    """Where a destination goes, and by which rule."""
    explained = lab.ask("explain", destination)
    assert explained["verdict"] == verdict
    assert explained["channel"] == channel
    assert (explained["rule"] or {}).get("id") == rule
    assert explained["tenant"] == "contoso"


def test_an_application_that_is_not_assigned_is_refused(lab: RunningLab) -> None:
    """403 with the reason, and the same reason in the record."""
    done = lab.curl("-o", "/dev/null", "-D", "-", "http://vault.contoso.internal/")
    assert "403" in done.stdout.splitlines()[0]
    assert re.search(r"(?i)^proxy-status: tunneld;.*details=\"?application_not_assigned", done.stdout, re.M)
    record = next(flow for flow in lab.flows() if flow["destination"] == "vault.contoso.internal")
    assert (record["state"], record["reason"]) == ("refused", "application_not_assigned")
    explained = lab.ask("explain", "--flow", record["flow_id"])
    assert explained["rule"]["id"] == "contoso-vault"


def test_a_switch_is_a_transaction_with_a_receipt(lab: RunningLab) -> None:
    """The same name reaches another application; the open flow is reset; not one byte of the old tenant follows."""
    with lab.connect("echo.contoso.internal", 7) as flow:
        flow.sendall(b"hello")
        assert flow.recv(100) == b"hello"
        receipt = lab.ask("switch", "fabrikam")
        with pytest.raises(ConnectionResetError):
            flow.recv(100)
    assert set(receipt) >= {
        "from", "to", "epoch", "committed", "reason", "phases", "flows", "old_epoch_bytes_after_commit",
    }
    assert (receipt["from"], receipt["to"], receipt["committed"], receipt["reason"]) == (
        "contoso", "fabrikam", True, None,
    )
    assert set(receipt["phases"]) == {"prepare_ms", "commit_ms", "retire_ms"}
    assert receipt["flows"]["terminated"] >= 1
    assert receipt["old_epoch_bytes_after_commit"] == 0
    canaries = {}
    for tenant in ("fabrikam", "woodgrove", "fabrikam"):
        lab.go_to(tenant)
        for url in ("http://portal.corp.internal/", "http://10.20.1.10/"):
            canaries[tenant] = json.loads(lab.curl(url).stdout)["canary"]
            assert canaries[tenant] == lab.canary(tenant)
        assert lab.curl("-f", "http://portal.contoso.internal/").returncode != 0
    status = lab.ask("status")
    assert (status["tenant"], set(status["channels"])) == ("fabrikam", {"private"})


def test_flows_keep_and_drain_as_their_rules_say(lab: RunningLab) -> None:
    """`keep` outlives the switch, `drain:3` gets its seconds, `terminate` ends at once."""
    with (
        lab.connect("archive.contoso.internal", 9) as kept,
        lab.connect("stream.contoso.internal", 7) as drained,
        lab.connect("echo.contoso.internal", 7) as terminated,
    ):
        kept.sendall(b"before")
        receipt = lab.switch("fabrikam")
        assert receipt["flows"]["kept"] >= 1
        assert receipt["flows"]["drained"] >= 1
        drained.sendall(b"still here")
        assert drained.recv(100) == b"still here"
        with pytest.raises(ConnectionResetError):
            terminated.recv(100)
        drained.settimeout(10)
        with pytest.raises(ConnectionResetError):
            drained.recv(100)
        kept.sendall(b" and after")
        kept.shutdown(1)
        assert json.loads(b"".join(iter(lambda: kept.recv(4096), b"")))["bytes"] == 16


@pytest.mark.parametrize("tenant", ["tailspin", "northwind", "nobody", "x" * 300])
def test_a_tenant_that_is_not_offered_changes_nothing(lab: RunningLab, tenant: str) -> None:
    """Exit status 1, a named reason, the old tenant works on."""
    before = lab.ask("status")
    done = lab.tunneld("switch", tenant, "--json")
    assert done.returncode == 1
    receipt = json.loads(done.stdout)
    assert (receipt["committed"], receipt["reason"]) == (False, "tenant_unknown")
    assert lab.ask("status")["epoch"] == before["epoch"]
    assert lab.curl("-f", "http://portal.contoso.internal/").returncode == 0


def test_direct_flows_survive_a_switch(lab: RunningLab) -> None:
    """They belong to no tenant."""
    with lab.connect("public.example", 80) as flow:
        lab.switch("fabrikam")
        flow.sendall(b"GET / HTTP/1.1\r\nHost: public.example\r\nConnection: close\r\n\r\n")
        assert flow.recv(12) == b"HTTP/1.1 200"
