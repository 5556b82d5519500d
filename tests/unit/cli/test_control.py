"""The daemon's commands: what they print, and the exit status and the one line when something is wrong."""

from __future__ import annotations

import io
import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tunneld.cli import tables
from tunneld.cli.main import main

RECEIPT = {
    "type": "receipt", "from": "contoso", "to": "fabrikam", "epoch": 2, "committed": True, "reason": None,
    "detail": None, "phases": {"prepare_ms": 12.0, "commit_ms": 0.1, "retire_ms": 3.0},
    "flows": {"terminated": 3, "drained": 0, "kept": 1}, "old_epoch_bytes_after_commit": 0,
}  # fmt: skip
FAILED = RECEIPT | {"committed": False, "reason": "probe_failed", "detail": "no answer", "epoch": 1}
STATUS = {
    "state": "connected", "organization": "Contoso", "home": "contoso", "tenant": "contoso", "tenant_id": "t",
    "epoch": 1, "user": "alex@contoso.example", "flows": 0, "step_up": [],
    "profile": {"id": "p", "version": 3, "age_s": None},
    "channels": {"private": {"state": "connected", "edge": "e:443", "since": "1970-01-01T00:00:00Z", "reason": None}},
}  # fmt: skip
FLOW = {
    "flow_id": "1", "begin": "2026-01-01T10:11:12.123456Z", "state": "closed", "destination": "a.example", "port": 80,
    "action": "tunnel", "tenant": "contoso", "epoch": 1, "channel": "private", "rule_id": "r", "bytes_sent": 1,
    "bytes_received": 2, "reason": "completed",
}  # fmt: skip
EXPLANATION = {
    "destination": "a.example", "protocol": "tcp", "port": 80, "verdict": "tunnel", "channel": "private",
    "tenant": "contoso", "epoch": 1, "rule": {"id": "r", "priority": 1, "application": "app"}, "reason": "rule_tunnel",
    "candidates": [{"rule": "r", "outcome": "won", "because": "matches [a.example]"}],
    "near_misses": [{"rule": "s", "because": "port 80 is not in 443"}], "channel_state": "connected",
    "token_state": "valid", "now": {"outcome": "refused", "reason": "hardening_block"},
}  # fmt: skip
ANSWERS: dict[str, Any] = {
    "GET /v1/status": STATUS,
    "GET /v1/tenants": {
        "tenants": [{"id": "t", "name": "contoso", "display_name": "Contoso", "user_type": "Member", "home": True,
                     "active": True}],
        "guest_access_enabled": False, "refreshed_at": None, "age_s": None,
    },
    "GET /v1/health": {"healthy": False, "checks": [{"check": "signed_in", "ok": False, "detail": "no"}]},
    "GET /v1/flows": [FLOW],
    "GET /v1/explain": EXPLANATION,
    "POST /v1/logout": {"signed_in": False, "username": None},
    "POST /v1/switch": [{"type": "interaction", "url": "https://idp/page", "user_code": None}, RECEIPT],
    "POST /v1/login": [{"type": "result", "reason": None, "username": "alex", "tenant": "contoso"}],
}  # fmt: skip


class PlayedDaemon(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, path: str) -> None:
        self.answers = dict(ANSWERS)
        self.asked: list[str] = []
        super().__init__(path, _Replies)


class _Replies(BaseHTTPRequestHandler):
    server: PlayedDaemon

    def _reply(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.asked.append(self.path)
        answer = self.server.answers[f"{self.command} {self.path.split('?')[0]}"]
        status = 400 if isinstance(answer, dict) and "error" in answer else 200
        text = "".join(json.dumps(line) + "\n" for line in answer) if isinstance(answer, list) else json.dumps(answer)
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST = _reply  # noqa: N815 - the standard library's names

    def log_message(self, *_: object) -> None: ...

    def address_string(self) -> str:
        return "unix"


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayedDaemon]:
    monkeypatch.setenv("TUNNELD_STATE", str(tmp_path))
    with PlayedDaemon(str(tmp_path / "control.sock")) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return int(caught.value.code or 0)


@pytest.mark.parametrize(
    ("command", "status", "shown"),
    [
        (["status"], 0, "p version 3, of the last run"),
        (["tenants"], 0, "External user access is off"),
        (["health"], 1, "signed_in"),
        (["flows"], 0, "a.example:80"),
        (["flows", "--follow"], 0, "10:11:12.123 closed"),
        (["logout"], 0, "nobody was signed in"),
        (["login"], 0, "signed in as alex"),
        (["switch", "fabrikam"], 0, "3 terminated  0 drained  1 kept"),
        (["explain", "a.example:80"], 0, "matches [a.example]"),
        (["explain", "a.example:80"], 0, "a flow now:       refused, hardening_block: The edge is unreachable"),
    ],
)
def test_people_get_tables(
    played: PlayedDaemon, capsys: pytest.CaptureFixture[str], command: list[str], status: int, shown: str
) -> None:
    assert run(*command) == status
    assert shown in capsys.readouterr().out


@pytest.mark.parametrize("name", ["status", "tenants", "health", "logout"])
def test_scripts_get_the_daemons_answer_as_it_is(
    played: PlayedDaemon, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    run(name, "--json")
    answer = ANSWERS.get(f"GET /v1/{name}") or ANSWERS[f"POST /v1/{name}"]
    assert json.loads(capsys.readouterr().out) == answer


def printed(renderable: Any, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), markup=False, emoji=False, highlight=False)
    console.print(renderable)
    return str(console.file.getvalue())  # type: ignore[attr-defined]  # it is the StringIO from above


def test_on_a_narrow_terminal_flows_are_lines_and_no_word_is_cut() -> None:
    words = ("10:11:12Z", "a.example:80", "tunnel/private", "contoso/1", "completed", "1/2", "00f067aa0ba902b7")
    long = FLOW | {"flow_id": "00f067aa0ba902b7"}
    for width in (80, 119):
        shown = printed(tables.Flows([long, long | {"destination": "portal.contoso.internal"}]), width)
        assert all(word in shown for word in words)
        assert max(map(len, shown.splitlines())) <= width
        assert "rule" not in shown
    assert printed(tables.Flows([]), 80) == ""
    wide = printed(tables.Flows([long]), 200)
    assert wide.splitlines()[0].split()[-2:] == ["flow", "id"]
    assert "00f067aa0ba902b7" in wide


def test_status_and_health_fit_a_narrow_terminal() -> None:
    sni = "2ed7f603-0000-4000-8000-000000000001.private.edge.tunneld.test"
    down = {"state": "unreachable", "reason": "edge_unreachable", "since": "2026-01-01T10:11:12.123456Z"}
    shown = printed(tables.status(STATUS | {"channels": {"private": down | {"edge": f"{sni}:44301"}}}), 80)
    assert "unreachable  2026-01-01T10:11:12Z  2ed7f603….private:44301" in shown
    assert "reason: edge_unreachable" in shown
    checks = [{"check": "channel private", "ok": True, "detail": f"{sni}: connected"}]
    assert "2ed7f603….private: connected" in printed(tables.health({"checks": checks}), 80)


def test_a_refused_flow_is_explained_as_refused_and_what_is_gone_is_left_out() -> None:
    rule = {"id": "r", "priority": None, "application": None}
    shown = printed(tables.explanation(EXPLANATION | {"rule": rule, "flow": FLOW | {"state": "refused"}}), 80)
    assert "a.example:80/tcp  refused" in shown
    assert "None" not in shown


def test_a_receipt_is_one_json_document_and_the_page_is_on_stderr(
    played: PlayedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("switch", "fabrikam", "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {k: v for k, v in RECEIPT.items() if k != "type"}
    assert captured.err == "open https://idp/page\n"


def test_a_switch_that_was_not_committed_exits_1(
    played: PlayedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    played.answers["POST /v1/switch"] = [FAILED]
    assert run("switch", "fabrikam") == 1
    assert "not committed: probe_failed" in capsys.readouterr().out
    assert run("switch", "fabrikam", "--json") == 1
    assert json.loads(capsys.readouterr().out)["reason"] == "probe_failed"


def test_a_switch_whose_daemon_dies_exits_1_with_a_reason(
    played: PlayedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    played.answers["POST /v1/switch"] = []
    assert run("switch", "fabrikam", "--json") == 1
    assert json.loads(capsys.readouterr().out)["reason"] == "internal_error"


def test_a_refused_sign_in_exits_1_in_one_line(played: PlayedDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    played.answers["POST /v1/login"] = [{"type": "result", "reason": "login_failed", "detail": "AADSTS50126"}]
    assert run("login") == 1
    assert capsys.readouterr().err == "tunneld: not signed in: login_failed (AADSTS50126)\n"


def test_where_only_a_lab_is_running_the_error_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TUNNELD_STATE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert run("status") == 1
    assert "start one with `tunneld run`" in capsys.readouterr().err
    (tmp_path / "tunneld-lab").mkdir()
    with PlayedDaemon(str(tmp_path / "tunneld-lab" / "control.sock")):
        assert run("status") == 1
    assert f"a lab is running: export TUNNELD_STATE={tmp_path}/tunneld-lab" in capsys.readouterr().err


def test_flows_are_a_line_each_and_the_options_reach_the_daemon(
    played: PlayedDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("flows", "--json", "--limit", "5", "--only", "closed") == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [FLOW]
    assert played.asked == ["/v1/flows?follow=0&limit=5&state=closed"]


@pytest.mark.parametrize(
    ("command", "reason", "status"),
    [
        (["flows", "--only", "odd"], "malformed_request", 2),
        (["explain", "a:b"], "port_invalid", 2),
        (["explain", "--flow", "x"], "flow_unknown", 1),
        (["logout"], "switch_in_progress", 1),
    ],
)
def test_what_the_daemon_refuses_is_one_line(
    played: PlayedDaemon, capsys: pytest.CaptureFixture[str], command: list[str], reason: str, status: int
) -> None:
    refusal = {"error": {"reason": reason, "message": "said so"}}
    played.answers |= dict.fromkeys(("GET /v1/flows", "GET /v1/explain", "POST /v1/logout"), refusal)
    assert run(*command) == status
    error = capsys.readouterr().err
    assert f"{reason}: said so" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [["status"], ["tenants"], ["health"], ["flows"], ["login"], ["logout"], ["switch", "x"], ["explain", "a"]],
)
def test_without_a_daemon_every_command_says_so_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert run(*command, "--state", str(tmp_path)) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"tunneld: no daemon answers at {tmp_path}/control.sock")
    assert error.count("\n") == 1


@pytest.mark.parametrize("command", [["explain"], ["explain", "a", "--flow", "b"]])
def test_explain_wants_a_destination_or_a_flow(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*command) == 2
    assert "one of DEST and --flow" in capsys.readouterr().err


def test_explain_needs_no_daemon_for_a_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = tmp_path / "p.toml"
    document.write_text(
        'schema = 1\nid = "p"\ntenant = "acme"\nversion = 1\n'
        '[[rules]]\nid = "r"\nchannel = "internet"\ndestinations = ["*.a.example"]\naction = "block"\n'
    )
    assert run("explain", "x.a.example:80", "--profile", str(document), "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["verdict"], answer["rule"]["id"], answer["tenant"], answer["epoch"]) == ("block", "r", "acme", None)
    assert run("explain", "x:y", "--profile", str(document)) == 2
    assert run("explain", "x:1", "--profile", str(tmp_path / "none.toml")) == 2
    assert "cannot be read" in capsys.readouterr().err
