"""The control socket as commands meet it: real HTTP over a real Unix socket, in front of a surface that only plays."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tunneld.client.control import serve_control
from tunneld.client.credentials import Ask, Interaction
from tunneld.client.explain import parse_destination
from tunneld.client.ports import Denied
from tunneld.journal.flows import CLOSED, FlowRecord, FlowTable
from tunneld.model.errors import DocumentError
from tunneld.model.reasons import Reason
from tunneld.net.unix import MAX_PATH, listen_unix


class Surface:
    """Implements `control.ControlSurface`."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self.group = group
        self.flows = FlowTable()
        self.release = asyncio.Event()
        self.waiting = asyncio.Event()
        self.cancelled = asyncio.Event()

    def status(self) -> dict[str, Any]:
        return {"state": "connected"}

    def tenants(self) -> dict[str, Any]:
        return {"tenants": []}

    def health(self) -> dict[str, Any]:
        return {"healthy": True}

    async def explain(self, *, destination: str | None, **_: str | None) -> dict[str, Any]:
        if destination is None:
            raise Denied(Reason.FLOW_UNKNOWN, "no such flow")
        return {"destination": parse_destination(destination).host}

    async def login(self, ask: Ask, *, device: bool) -> dict[str, Any]:
        await ask(Interaction("https://idp/page", "ABCD" if device else None))
        self.waiting.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return {"type": "result", "signed_in": True}

    async def logout(self) -> dict[str, Any]:
        raise Denied(Reason.SWITCH_IN_PROGRESS, "later")

    async def switch(self, tenant: str, ask: Ask) -> dict[str, Any]:
        if tenant == "broken":
            raise ZeroDivisionError
        if tenant == "denied":
            raise Denied(Reason.TENANT_UNKNOWN, "nobody")
        return {"type": "receipt", "to": tenant, "committed": True}

    def begin(self, job: Awaitable[None], name: str) -> asyncio.Task[None]:
        async def work() -> None:
            await job

        return self.group.create_task(work(), name=name)

    def abandon(self, task: asyncio.Task[None]) -> None:
        task.cancel()


@asynccontextmanager
async def served(path: Path) -> AsyncIterator[tuple[Surface, httpx.AsyncClient]]:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        surface = Surface(group)
        sock = listen_unix(path)
        serving = group.create_task(serve_control(surface, sock, stop))
        try:
            transport = httpx.AsyncHTTPTransport(uds=str(path))
            async with httpx.AsyncClient(transport=transport, base_url="http://tunneld") as client:
                yield surface, client
        finally:
            stop.set()
            await serving
            sock.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "control.sock"


async def test_questions_are_answered_and_only_the_owner_can_ask(path: Path) -> None:
    async with served(path) as (_, client):
        assert (await client.get("/v1/status")).json() == {"state": "connected"}
        assert (await client.get("/v1/tenants")).json() == {"tenants": []}
        assert (await client.get("/v1/health")).json() == {"healthy": True}
        assert os.stat(path).st_mode & 0o777 == 0o600
        assert os.stat(path.parent).st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "reason"),
    [
        ("GET", "/v1/nothing", None, 404, "malformed_request"),
        ("POST", "/v1/status", None, 405, "malformed_request"),
        ("GET", "/v1/flows?state=odd", None, 400, "malformed_request"),
        ("GET", "/v1/flows?limit=-1", None, 400, "malformed_request"),
        ("GET", "/v1/flows?limit=99999999999999999999", None, 400, "malformed_request"),
        ("GET", f"/v1/flows?limit={'9' * 5_000}", None, 400, "malformed_request"),
        ("GET", "/v1/explain", None, 400, "malformed_request"),
        ("GET", "/v1/explain?destination=a&flow=b", None, 400, "malformed_request"),
        ("GET", "/v1/explain?destination=a:99999", None, 400, "port_invalid"),
        ("GET", "/v1/explain?destination=a/icmp", None, 400, "unsupported_protocol"),
        ("GET", "/v1/explain?destination=a%20b", None, 400, "name_invalid"),
        ("GET", "/v1/explain?flow=b", None, 404, "flow_unknown"),
        ("POST", "/v1/switch", b"", 400, "malformed_request"),
        ("POST", "/v1/switch", b"{", 400, "malformed_request"),
        ("POST", "/v1/switch", b"[]", 400, "malformed_request"),
        ("POST", "/v1/switch", b'{"tenant": 1}', 400, "malformed_request"),
        ("POST", "/v1/switch", b" " * 70_000, 400, "malformed_request"),
        ("POST", "/v1/switch", b"[" * 60_000, 400, "malformed_request"),
        ("POST", "/v1/switch", b'{"tenant": ' + b"9" * 5_000 + b"}", 400, "malformed_request"),
        ("POST", "/v1/login", b'{"device": "yes"}', 400, "malformed_request"),
        ("POST", "/v1/login", b'{"application": ""}', 400, "malformed_request"),
        ("POST", "/v1/login", b'{"application": 7}', 400, "malformed_request"),
        ("POST", "/v1/login", b'{"application": "Wiki", "device": true}', 400, "malformed_request"),
        ("POST", "/v1/logout", b"", 409, "switch_in_progress"),
    ],
)
async def test_each_mistake_has_a_reason_and_a_sentence(
    path: Path, method: str, target: str, body: bytes | None, status: int, reason: str
) -> None:
    async with served(path) as (_, client):
        answer = await client.request(method, target, content=body)
        assert answer.status_code == status
        error = answer.json()["error"]
        assert error["reason"] == reason
        assert error["message"]


async def test_a_switch_ends_in_a_receipt_a_denial_or_a_named_defect(path: Path) -> None:
    async with served(path) as (_, client):
        answers = [
            (await client.post("/v1/switch", json={"tenant": tenant})).text.splitlines()
            for tenant in ("fabrikam", "denied", "broken")
        ]
    assert [[json.loads(line).get("reason", "-") for line in lines] for lines in answers] == [
        ["-"], ["tenant_unknown"], ["internal_error"],
    ]


async def test_a_page_that_must_be_answered_comes_before_the_result(path: Path) -> None:
    async with served(path) as (surface, client), client.stream("POST", "/v1/login", json={"device": True}) as answer:
        lines = answer.aiter_lines()
        first = json.loads(await anext(lines))
        assert first == {"type": "interaction", "url": "https://idp/page", "user_code": "ABCD"}
        surface.release.set()
        assert json.loads(await anext(lines)) == {"type": "result", "signed_in": True}


async def test_work_is_abandoned_when_nobody_waits_for_it_any_more(path: Path) -> None:
    async with served(path) as (surface, client):
        async with client.stream("POST", "/v1/login", json={}) as answer:
            await anext(answer.aiter_lines())
            await surface.waiting.wait()
        async with asyncio.timeout(5):
            await surface.cancelled.wait()


async def test_flows_are_lines_the_newest_last_and_can_be_followed(path: Path) -> None:
    async with served(path) as (surface, client):
        old = FlowRecord("1", "c", 1.0, "a.example", 80)
        surface.flows.open(old)
        surface.flows.close(old, CLOSED, Reason.COMPLETED, 2.0)
        surface.flows.open(FlowRecord("2", "c", 3.0, "b.example", 80))
        lines = [json.loads(line) for line in (await client.get("/v1/flows")).text.splitlines()]
        assert [line["flow_id"] for line in lines] == ["1", "2"]
        only = (await client.get("/v1/flows?state=closed&limit=5")).text.splitlines()
        assert [json.loads(line)["flow_id"] for line in only] == ["1"]
        async with client.stream("GET", "/v1/flows?follow=1&limit=1") as answer:
            following = answer.aiter_lines()
            assert json.loads(await anext(following))["flow_id"] == "2"
            surface.flows.open(FlowRecord("3", "c", 4.0, "c.example", 80))
            assert json.loads(await anext(following))["flow_id"] == "3"


async def test_a_stale_socket_is_replaced(path: Path) -> None:
    path.parent.mkdir()
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()  # the file stays, as after a SIGKILL
    async with served(path) as (_, client):
        assert (await client.get("/v1/status")).status_code == 200


async def test_a_live_socket_refuses_a_second_daemon_in_one_line(path: Path) -> None:
    async with served(path) as (_, client):
        with pytest.raises(DocumentError, match="another daemon is using this state directory") as caught:
            listen_unix(path)
        assert "\n" not in str(caught.value)
        assert (await client.get("/v1/status")).status_code == 200


def test_what_is_not_a_socket_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("precious")
    with pytest.raises(DocumentError, match="is not a socket"):
        listen_unix(path)
    assert path.read_text() == "precious"


def test_a_path_that_no_socket_can_have_is_named(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=f"longer than {MAX_PATH} bytes"):
        listen_unix(tmp_path / ("x" * 120) / "control.sock")


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DocumentError, match="cannot listen there"):
        listen_unix(tmp_path / "file" / "control.sock")
