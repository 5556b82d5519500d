"""One correlation id from a flow to the sign-in that it caused."""

from __future__ import annotations

import asyncio

import httpx

from tunneld.client.cause import cause_headers, set_cause
from tunneld.client.oidc import Provider

TRACE, SPAN = "ab" * 16, "cd" * 8


async def test_a_request_names_the_flow_that_its_task_acts_for() -> None:
    """The header is in every request of that task, beside the request's own headers, and in no other task's."""
    seen: list[httpx.Headers] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return httpx.Response(200, json={"value": []})

    provider = Provider("https://idp.test", transport=httpx.MockTransport(answer))

    async def for_a_flow() -> None:
        set_cause(TRACE, SPAN)
        await provider.tenants("t")

    async with asyncio.TaskGroup() as group:
        group.create_task(for_a_flow())
    async with asyncio.TaskGroup() as group:
        group.create_task(provider.tenants("t"))
    await provider.close()
    assert [headers.get("traceparent") for headers in seen] == [f"00-{TRACE}-{SPAN}-01", None]
    assert [headers["authorization"] for headers in seen] == ["Bearer t", "Bearer t"]
    assert cause_headers() == {}
