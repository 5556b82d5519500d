"""The OpenAPI document says what is served, and schemathesis finds no answer that it does not describe."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.integration.idp.graph.admin import administrator
from tests.integration.idp.world import BASE, Browser, Clock, World, bearer
from tunneld.idp.graph.openapi import build_document
from tunneld.idp.graph.table import OPERATIONS

Value = TypeVar("Value")
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 3


class LoopThread:
    """A loop of its own, so that generated tests can stay synchronous."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Value]) -> Value:
        future: Future[Value] = asyncio.run_coroutine_threadsafe(work, self.loop)
        return future.result(30)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()


Send = Callable[[dict[str, Any]], httpx.Response]


@pytest.fixture(scope="module")
def send(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Send]:
    """One world for the whole module, spoken to as its Global Administrator."""
    thread = LoopThread()
    world = World.copy(prepared, tmp_path_factory.mktemp("openapi"), Clock())
    thread.run(world.open())
    admin = thread.run(administrator(world))

    def request(parts: dict[str, Any]) -> httpx.Response:
        sent = {name: value for name, value in (parts.get("headers") or {}).items() if name.lower() != "authorization"}
        headers = {**sent, **bearer(admin.token)}
        return thread.run(admin.http.request(
            parts["method"], parts["url"], params=parts.get("params"), headers=headers, json=parts.get("json"),
            content=parts.get("data"),
        ))

    yield request
    thread.run(world.close())
    thread.close()


async def test_the_document_is_public(browser: Browser) -> None:
    """Both versions, without a token: a client reads it before it can sign in."""
    for version in ("v1.0", "beta"):
        answer = await browser.http.get(f"/{version}/$openapi")
        assert answer.status_code == 200
        document = answer.json()
        assert document["openapi"] == "3.1.0"
        assert document["paths"].keys() == {
            operation.path for operation in OPERATIONS if version in operation.versions
        }


def test_it_is_the_same_each_time() -> None:
    """No set's order shows in it, so that a difference between releases is one."""
    assert build_document(OPERATIONS, "v1.0") == build_document(tuple(reversed(OPERATIONS)), "v1.0")


@pytest.mark.parametrize("version", ["v1.0", "beta"])
def test_no_secret_is_described(version: str) -> None:
    """What is kept and never shown has no place in it."""
    text = str(build_document(OPERATIONS, version)["paths"])
    assert "passwordHash" not in text
    assert "sessionsValidFrom" not in text


def _all_operations() -> list[Any]:
    schema = schemathesis.openapi.from_dict(build_document(OPERATIONS, "v1.0"))
    return [result.ok() for result in schema.get_all_operations()]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_every_answer_is_described(send: Send) -> None:
    """Whatever is sent: a status, a type and a body that the document has, and never a 500."""
    statuses: set[int] = set()
    for operation in _all_operations():

        @settings(
            max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def check(case: schemathesis.Case) -> None:
            parts = case.as_transport_kwargs(base_url=f"{BASE}/v1.0")
            answer = send(parts)
            statuses.add(answer.status_code)
            case.validate_response(schemathesis.Response.from_httpx(answer, verify=True), checks=CHECKS)

        check()
    assert {200, 201, 204, 400, 404} <= statuses
