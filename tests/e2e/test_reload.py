"""Files that change under load: what did not change does not notice, and a bad file changes nothing."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tests.e2e.test_switching import EACH, Chatter, chatting
from tests.support.adapted_lab import DIRECT, PORT, AdaptedLab, adapted_lab, edit_json, rule
from tests.support.certificates import new_key, now
from tests.support.proxy_clients import dial
from tests.support.running_lab import wait_until
from tunneld.wire.x509 import key_pem, make_edge_certificate

SOON_S = 10.0  # the programs look at their files once a second, and tell each other
HOME = "contoso.internal"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdaptedLab]:
    """A lab of this module's own: its files are changed."""
    with adapted_lab(tmp_path_factory.mktemp("lab") / "s") as running:
        yield running


def records(lab: AdaptedLab, name: str) -> list[dict[str, Any]]:
    """Return the flow records of one of the test's names, newest first."""
    return [flow for flow in lab.flows() if flow["destination"] == f"{name}.{HOME}" and flow["port"] == PORT]


def counted(flows: list[Chatter]) -> list[int]:
    return [len(flow.echoed) for flow in flows]


def all_go_on(flows: list[Chatter]) -> bool:
    """Tell whether each flow echoes something new before long."""
    before = counted(flows)
    wait_until(lambda: all(now > then for now, then in zip(counted(flows), before, strict=True)), 5)
    return all(flow.end is None for flow in flows)


def test_a_changed_profile_ends_only_the_flows_of_changed_rules(lab: AdaptedLab) -> None:
    """Three rules change, two stay; the flows of those count on without a gap."""
    version = lab.status()["profile"]["version"]

    def change(document: dict[str, Any]) -> None:
        document["version"] = version + 1
        document["rules"] = [each for each in document["rules"] if each["id"] not in ("test-soft", "test-past")]
        rule(document, "keep")["ports"] = [PORT]
        document["rules"].reverse()  # which means nothing

    text = lab.profile("contoso").read_text()
    hosts = [f"{name}.{HOME}" for name in ("cut", "drain", "soft", "keep", "past")] + [DIRECT]
    try:
        with chatting(lab, *hosts) as flows:
            stay, go = flows[: 2 * EACH] + flows[5 * EACH :], flows[2 * EACH : 5 * EACH]
            ids = {flow["flow_id"]: flow["bytes_sent"] for flow in records(lab, "cut") + records(lab, "drain")}
            assert len(ids) == 2 * EACH
            edit_json(lab.profile("contoso"), change)
            wait_until(lambda: lab.status()["profile"]["version"] == version + 1, SOON_S)
            wait_until(lambda: all(flow.end for flow in go), 5)
            assert {flow.end for flow in go} == {"reset"}
            assert all_go_on(stay)
            for flow in records(lab, "cut") + records(lab, "drain"):
                assert flow["state"] == "active"
                assert flow["bytes_sent"] > ids[flow["flow_id"]]
            ends = {(flow["state"], flow["reason"]) for name in ("soft", "keep", "past") for flow in records(lab, name)}
            assert ends == {("terminated", "rule_removed")}
            home, direct = lab.origins["contoso"], lab.origins["direct"]
            wait_until(lambda: (home.ends | direct.ends).keys() >= {flow.number for flow in go}, 5)
            assert {(home.ends | direct.ends)[flow.number] for flow in go} == {"reset"}
        assert {flow.end for flow in stay} == {"fin"}
        assert all(len(flow.echoed) == flow.sent for flow in stay)
    finally:
        lab.profile("contoso").write_text(text)
        wait_until(lambda: lab.status()["profile"]["version"] == version, SOON_S)


def test_each_of_many_changes_takes_effect(lab: AdaptedLab) -> None:
    """The edge tells the daemon before the provider may have read the file: the daemon does not stop at the old one."""
    text = lab.profile("contoso").read_text()
    try:
        for number in range(100, 106):
            edit_json(lab.profile("contoso"), lambda document, version=number: document.update(version=version))
            wait_until(lambda version=number: lab.status()["profile"]["version"] == version, SOON_S)
            time.sleep(number % 3 * 0.3)  # the programs' seconds do not begin together
    finally:
        lab.profile("contoso").write_text(text)
        wait_until(lambda: lab.status()["profile"]["version"] == json.loads(text)["version"], SOON_S)


def broken_syntax(text: str) -> str:
    return text.replace('"rules": [', '"rules": [,', 1)


def half_written(text: str) -> str:
    return text[: len(text) // 2]


def unknown_action(text: str) -> str:
    return text.replace('"action": "tunnel"', '"action": "teleport"', 1)


def foreign(text: str) -> str:
    return text.replace('"tenant": "contoso"', '"tenant": "fabrikam"', 1)


@pytest.mark.parametrize(
    ("spoil", "place"),
    [
        (broken_syntax, "line "),
        (half_written, "line "),
        (unknown_action, "rules"),
        (foreign, "tenant"),
        (lambda _: "", ""),
        (None, ""),
    ],
    ids=["syntax", "half written", "unknown action", "another tenant's", "empty", "vanished"],
)
def test_a_bad_profile_changes_nothing_and_is_reported(
    lab: AdaptedLab, spoil: Callable[[str], str] | None, place: str
) -> None:
    """Edge and provider name the file and the place; flows, version and decisions stay."""
    path = lab.profile("contoso")
    text = path.read_text()
    before = lab.status()
    marks = {program: len(lab.log(program)) for program in ("edge-contoso", "idp", "daemon")}

    def said(program: str) -> list[str]:
        return [line for line in lab.log(program)[marks[program] :].splitlines() if "reload_refused" in line]

    with chatting(lab, f"cut.{HOME}", f"keep.{HOME}") as flows:
        try:
            path.unlink() if spoil is None else path.write_text(spoil(text))
            for program in ("edge-contoso", "idp"):
                wait_until(lambda program=program: said(program), SOON_S)
                line = said(program)[0]
                assert str(path) in line
                assert place in line
            assert all_go_on(flows)
            after = lab.status()
            assert (after["profile"]["version"], after["epoch"]) == (before["profile"]["version"], before["epoch"])
            with dial(lab.proxy, f"cut.{HOME}", PORT, early=b"0 whoami 0\n") as sock:
                assert sock.recv(100) == b"canary-contoso\n"
        finally:
            path.write_text(text)
            time.sleep(1.5)  # both have looked at the good file again
    assert {flow.end for flow in flows} == {"fin"}


def served(lab: AdaptedLab) -> int:
    """Return the serial number of the certificate that the home tenant's edge shows."""
    tenant = next(iter(lab.lab.ready["edges"]["contoso"].values()))
    host, _, port = tenant["address"].rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((host, int(port)), timeout=5) as sock,
        context.wrap_socket(sock, server_hostname=tenant["sni"]) as tls,
    ):
        shown = tls.getpeercert(binary_form=True)
        assert shown is not None
        return x509.load_der_x509_certificate(shown).serial_number


def renewed(place: Path) -> tuple[int, bytes, bytes]:
    """Return serial, chain and key of a new certificate for the names of the present one."""
    chain = (place / "edge.pem").read_bytes()
    old = x509.load_pem_x509_certificate(chain)
    names = old.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    ca, key, serial = (place / "ca.pem").read_bytes(), new_key(), x509.random_serial_number()
    leaf = make_edge_certificate(
        key.public_key(), names, ca_cert_pem=ca, ca_key_pem=(place / "ca.key").read_bytes(), serial=serial,
        not_before=now() - timedelta(minutes=1), not_after=now() + timedelta(days=1),
    )  # fmt: skip
    return serial, leaf + ca, key_pem(key)


def test_a_renewed_certificate_is_served_and_a_broken_one_is_not(lab: AdaptedLab) -> None:
    """New connections get it within five seconds, live flows keep; a file that is no good changes nothing."""
    place = lab.paths.certificates / "contoso"
    files = (place / "edge.pem", place / "edge.key")
    before = [file.read_bytes() for file in files]
    first = served(lab)
    try:
        with chatting(lab, f"cut.{HOME}") as flows:
            serial, chain, key = renewed(place)
            files[0].write_bytes(chain)  # one after the other, as copying programs do
            time.sleep(0.1)
            files[1].write_bytes(key)
            wait_until(lambda: served(lab) == serial, 5)
            for number, spoil in enumerate((b"", chain[: len(chain) // 3], before[0])):
                refused = lab.log("edge-contoso").count("reload_refused")
                files[0].write_bytes(spoil)
                wait_until(lambda refused=refused: lab.log("edge-contoso").count("reload_refused") > refused, 5)
                assert served(lab) == serial, number
            line = [line for line in lab.log("edge-contoso").splitlines() if "reload_refused" in line][-1]
            assert "edge.key" in line or "edge.pem" in line
            assert all_go_on(flows)
            files[0].write_bytes(chain)
            time.sleep(1.5)
            assert served(lab) == serial != first
        assert {flow.end for flow in flows} == {"fin"}
    finally:
        for file, content in zip(files, before, strict=True):
            file.write_bytes(content)
        wait_until(lambda: served(lab) == first, 5)


def test_an_edge_restarted_with_a_new_certificate_is_trusted(lab: AdaptedLab) -> None:
    """The tunnel trusts the tenant's authority, not one certificate."""
    place = lab.paths.certificates / "contoso"
    files = (place / "edge.pem", place / "edge.key")
    before = [file.read_bytes() for file in files]
    serial, chain, key = renewed(place)
    lab.kill_edge("contoso")
    try:
        files[0].write_bytes(chain)
        files[1].write_bytes(key)
        lab.start_edge("contoso")
        assert served(lab) == serial

        def works() -> bool:
            try:
                with dial(lab.proxy, f"cut.{HOME}", PORT, early=b"0 whoami 0\n") as sock:
                    return sock.recv(100) == b"canary-contoso\n"
            except Exception:
                return False

        wait_until(works)
    finally:
        for file, content in zip(files, before, strict=True):
            file.write_bytes(content)


def test_no_program_had_a_defect_to_report(lab: AdaptedLab) -> None:
    """Not one traceback in any log after all of it, and no key in any."""
    assert lab.tracebacks() == []
    secret = serialization.load_pem_private_key((lab.paths.certificates / "contoso" / "edge.key").read_bytes(), None)
    assert secret is not None
    for log in lab.paths.logs.glob("*.log"):
        assert "PRIVATE KEY" not in log.read_text()
