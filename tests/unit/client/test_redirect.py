"""The loopback redirect: only the expected answer ends the wait."""

from __future__ import annotations

import asyncio

import httpx

from tunneld.client.redirect import listen_for_redirect


async def test_the_expected_answer_ends_the_wait_and_gets_a_page() -> None:
    async with listen_for_redirect("s1") as redirect, httpx.AsyncClient(trust_env=False) as browser:
        assert redirect.uri.startswith("http://127.0.0.1:")
        page = await browser.get(f"{redirect.uri}?code=c&state=s1")
        assert (page.status_code, "close this window" in page.text) == (200, True)
        assert await redirect.answer() == {"code": "c", "state": "s1"}


async def test_another_state_another_path_and_another_method_change_nothing() -> None:
    async with listen_for_redirect("s1") as redirect, httpx.AsyncClient(trust_env=False) as browser:
        assert (await browser.get(f"{redirect.uri}?code=evil&state=s2")).status_code == 400
        assert (await browser.get(f"{redirect.uri}?code=evil")).status_code == 400
        assert (await browser.get(redirect.uri.replace("/callback", "/favicon.ico"))).status_code == 404
        assert (await browser.post(f"{redirect.uri}?code=evil&state=s1")).status_code == 404
        assert (await browser.get(f"{redirect.uri}?code=good&state=s1")).status_code == 200
        assert (await redirect.answer())["code"] == "good"


async def test_bytes_that_are_no_request_and_a_browser_that_leaves_change_nothing() -> None:
    async with listen_for_redirect("s1") as redirect, httpx.AsyncClient(trust_env=False) as browser:
        port = int(redirect.uri.split(":")[2].split("/")[0])
        for sent in (b"\x16\x03\x01\x00", b"GET / HTTP/1.1\r\n", b""):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        await browser.get(f"{redirect.uri}?code=c&state=s1")
        assert (await redirect.answer())["code"] == "c"


async def test_an_abandoned_wait_leaves_nothing_behind() -> None:
    try:
        async with asyncio.timeout(0.05), listen_for_redirect("s1") as redirect:
            await redirect.answer()
    except TimeoutError:
        return
    raise AssertionError("nobody answered, and yet there was an answer")
