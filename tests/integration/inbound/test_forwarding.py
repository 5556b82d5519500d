"""Plain HTTP forwarding over real sockets: reuse, refusals, broken origins, back-pressure, upgrades."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import struct
from contextlib import suppress

import pytest

from tests.integration.inbound.proxy_world import World, echo, origin, pages, proxy
from tunneld.model.reasons import Reason
from tunneld.net.relay import FlowEnd

RST = struct.pack("ii", 1, 0)


def get(url: str, fields: str = "", method: str = "GET") -> bytes:
    return f"{method} {url} HTTP/1.1\r\nHost: ignored\r\n{fields}\r\n".encode()


async def read_answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return head and body of an answer with a length."""
    head = await reader.readuntil(b"\r\n\r\n")
    size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head, await reader.readexactly(size)


async def ask(world: World, *requests: bytes) -> list[tuple[bytes, bytes]]:
    """Send the requests one after the other on one connection."""
    async with world.client() as (reader, writer):
        answers = []
        for request in requests:
            writer.write(request)
            answers.append(await read_answer(reader))
        return answers


@pytest.mark.parametrize("reuse", [True, False])
async def test_each_request_is_decided_anew(reuse: bool) -> None:
    """An origin connection is kept only for its authority, and only if the opener would decide the same again."""
    async with origin(pages) as port, origin(pages) as other, proxy() as world:
        world.opener.reuse = reuse
        urls = [f"http://a.example:{port}/{n}" for n in (1, 2)] + [f"http://a.example:{other}/3"]
        answers = await ask(world, *(get(url) for url in urls))
        assert [body for _, body in answers] == [b"GET /%d HTTP/1.1\n" % n for n in (1, 2, 3)]
        assert all(b"\r\nVia: 1.1 tunneld\r\n" in head for head, _ in answers)
        assert len(world.opener.requests) == (2 if reuse else 3)
        assert {request.kind for request in world.opener.requests} == {"http-forward"}
        await world.until(lambda: len(world.opener.ends) == len(world.opener.requests))
        assert {reason for _, reason in world.opener.ends} == {Reason.COMPLETED}
        near = world.opener.nears[0]
        assert near.bytes_read > 0 < near.bytes_written


async def test_refusal_leaves_the_connection_usable() -> None:
    """The reason in Proxy-Status, then the next request as if nothing had been."""
    async with origin(pages) as port, proxy() as world:
        world.opener.refusals["no.example"] = Reason.RULE_BLOCK
        refused, served = await ask(world, get("http://no.example/"), get(f"http://a.example:{port}/"))
        assert refused[0].startswith(b"HTTP/1.1 403 Forbidden\r\n")
        assert b'Proxy-Status: tunneld; error=http_request_denied; details="rule_block"\r\n' in refused[0]
        assert refused[1].endswith(b"(rule_block: as the test wants)\n")
        assert served[1] == b"GET / HTTP/1.1\n"


async def test_unreachable_origin_is_a_gateway_error() -> None:
    """Nobody listens there."""
    async with proxy() as world:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            [(head, _)] = await ask(world, get(f"http://a.example:{unused.getsockname()[1]}/"))
        assert head.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
        assert b"error=connection_refused" in head


async def test_thousands_of_pipelined_refusals_do_not_exhaust_the_stack() -> None:
    """One answer for each, in order."""
    async with proxy() as world:
        world.opener.refusals["no.example"] = Reason.RULE_BLOCK
        reply = await world.say(get("http://no.example/") * 5000, eof=True)
        assert reply.count(b"HTTP/1.1 403 ") == 5000


async def test_pipelined_requests_are_answered_in_order() -> None:
    """Also while the first waits for its flow."""
    async with origin(pages) as port, proxy() as world, world.client() as (reader, writer):
        writer.write(b"".join(get(f"http://a.example:{port}/{n}") for n in range(50)))
        for n in range(50):
            assert (await read_answer(reader))[1] == b"GET /%d HTTP/1.1\n" % n
        assert len(world.opener.requests) == 1


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_large_bodies_both_ways(framing: str) -> None:
    """Eight MiB up and down, unchanged, while the client reads late: memory stays bounded by back-pressure."""
    body = os.urandom(8 << 20)
    async with origin(pages) as port, proxy() as world, world.client() as (reader, writer):
        if framing == "length":
            fields, data = f"Content-Length: {len(body)}\r\n", body
        else:
            fields = "Transfer-Encoding: chunked\r\n"
            data = b"".join(b"%x\r\n%s\r\n" % (1 << 20, body[i : i + (1 << 20)]) for i in range(0, len(body), 1 << 20))
            data += b"0\r\n\r\n"
        writer.write(get(f"http://a.example:{port}/", fields, "POST"))
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(0.1)
        head, answer = await read_answer(reader)
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        text, _, came_back = answer.partition(b"\n")
        assert text == b"POST / HTTP/1.1"
        assert hashlib.sha256(came_back).digest() == hashlib.sha256(body).digest()


async def test_client_that_does_not_read_stops_the_origin() -> None:
    """What the origin can send ahead is bounded by the buffers between."""
    sent = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n")
        writer.transport.set_write_buffer_limits(0)
        while True:
            writer.write(bytes(100_000))
            await writer.drain()
            sent += 100_000

    async with origin(pour) as port, proxy() as world:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.connect((world.host, world.port))
        client.sendall(get(f"http://a.example:{port}/"))
        await asyncio.sleep(0.5)
        before = sent
        await asyncio.sleep(0.3)
        assert sent == before < 60_000_000
        client.close()
        await world.until(lambda: world.opener.ends == [("a.example", Reason.CLIENT_RESET)])


@pytest.mark.parametrize(
    ("answer", "reset", "expected"),
    [
        (b"", False, b"HTTP/1.1 502 "),
        (b"", True, b"HTTP/1.1 502 "),
        (b"HTTP/1.1 200", False, b"HTTP/1.1 502 "),
        (b"SSH-2.0-x\r\n\r\n", False, b"HTTP/1.1 502 "),
    ],
)
async def test_origin_that_breaks_before_its_answer(answer: bytes, reset: bool, expected: bytes) -> None:
    """A gateway error that names it."""

    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if reset:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
            writer.transport.abort()

    async with origin(broken) as port, proxy() as world:
        reply = await world.say(get(f"http://a.example:{port}/"), eof=True)
        assert reply.startswith(expected)
        assert b"error=connection_terminated" in reply


@pytest.mark.parametrize("framing", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
async def test_truncated_answer_is_a_reset(framing: bytes) -> None:
    """A body that is cut short never ends cleanly."""

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n5\r\nhel")

    async with origin(cut) as port, proxy() as world, world.client() as (reader, writer):
        writer.write(get(f"http://a.example:{port}/"))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
        with pytest.raises(ConnectionResetError):
            await reader.read()


async def test_reset_of_a_body_that_ends_with_its_connection_is_a_reset() -> None:
    """Only FIN is an end."""

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await asyncio.sleep(0.05)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
        writer.transport.abort()

    async with origin(cut) as port, proxy() as world, world.client() as (reader, writer):
        writer.write(get(f"http://a.example:{port}/"))
        await reader.readuntil(b"hello")
        with pytest.raises(ConnectionResetError):
            await reader.read()


async def test_kept_connection_that_has_closed_is_replaced_without_a_word() -> None:
    """A GET is asked again on a new flow; a POST whose body is gone is not."""
    served = 0

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        await reader.readuntil(b"\r\n\r\n")
        served += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await reader.readuntil(b"\r\n\r\n")  # the next request is read, and not answered

    async with origin(once) as port, proxy() as world:
        url = f"http://a.example:{port}/"
        answers = await ask(world, get(url), get(url))
        assert [body for _, body in answers] == [b"ok", b"ok"]
        assert len(world.opener.requests) == 2
        [_, (head, _)] = await ask(world, get(url), get(url, "Content-Length: 2\r\n", "POST") + b"hi")
        assert head.startswith(b"HTTP/1.1 502 ")


async def test_idle_origin_that_closes_is_forgotten() -> None:
    """Its flow ends in order, and the next request gets a new one."""

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with origin(once) as port, proxy() as world, world.client() as (reader, writer):
        for n in (1, 2):
            writer.write(get(f"http://a.example:{port}/"))
            assert (await read_answer(reader))[1] == b"ok"
            await world.until(lambda n=n: len(world.opener.ends) == n)
        assert world.opener.ends == [("a.example", Reason.COMPLETED)] * 2


async def test_half_closed_client_still_gets_its_answer() -> None:
    """It has said everything and waits."""

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.1)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with origin(slow) as port, proxy() as world:
        assert (await world.say(get(f"http://a.example:{port}/"), eof=True)).endswith(b"ok")


async def test_client_that_leaves_resets_the_exchange() -> None:
    """In the middle of an exchange the origin sees a reset; before the flow is open the opener is told."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with origin(silent) as port, proxy() as world:
        async with world.client() as (_, writer):
            writer.write(get(f"http://a.example:{port}/"))
            await world.until(lambda: world.opener.nears)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
            writer.transport.abort()
        await world.until(lambda: world.opener.ends == [("a.example", Reason.CLIENT_RESET)])
        world.opener.holding = {"b.example"}
        async with world.client() as (_, writer):
            writer.write(get("http://b.example/"))
            await world.until(lambda: world.opener.held)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
            writer.transport.abort()
        await world.until(lambda: world.opener.abandoned == ["b.example"])
        world.opener.held["b.example"].refuse(Reason.ORIGIN_REFUSED)


async def test_broken_request_body_resets_the_origin() -> None:
    """Half a request must not look like a whole one."""
    seen: list[str] = []

    async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
            seen.append("eof")
        except ConnectionResetError:
            seen.append("reset")

    async with origin(watch) as port, proxy() as world:
        request = get(f"http://a.example:{port}/", "Transfer-Encoding: chunked\r\n", "POST") + b"5\r\nhel"
        reply = await world.say(request, b"lozz\r\n")
        assert reply.startswith(b"HTTP/1.1 400 ")
        await world.until(lambda: seen == ["reset"])
        assert await world.say(request, eof=True)
        await world.until(lambda: seen == ["reset", "reset"])


async def test_expect_continue() -> None:
    """The origin's 100 reaches the client, and only then the body goes."""

    async def careful(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert b"Expect: 100-continue\r\n" in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await reader.readexactly(5)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + body)

    async with origin(careful) as port, proxy() as world, world.client() as (reader, writer):
        writer.write(get(f"http://a.example:{port}/", "Expect: 100-continue\r\nContent-Length: 5\r\n", "PUT"))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(b"hello")
        assert (await read_answer(reader))[1] == b"hello"


@pytest.mark.parametrize("terminate", [False, True])
async def test_upgrade_becomes_a_plain_flow(terminate: bool) -> None:
    """After 101 bytes go through as they are; the flow is still the one that the opener knows."""

    async def chat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Connection: upgrade\r\nUpgrade: chat\r\n" in head
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat\r\nConnection: upgrade\r\n\r\nwelcome")
        await echo(reader, writer)

    async with origin(chat) as port, proxy() as world, world.client() as (reader, writer):
        writer.write(get(f"http://a.example:{port}/", "Connection: Upgrade\r\nUpgrade: chat\r\n") + b"early")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        assert await reader.readexactly(12) == b"welcomeearly"
        near: FlowEnd = world.opener.nears[0]
        before = near.bytes_read, near.bytes_written
        writer.write(b"\x00\xffraw")
        assert await reader.readexactly(5) == b"\x00\xffraw"
        assert (near.bytes_read - before[0], near.bytes_written - before[1]) == (5, 5)
        if terminate:
            near.reset(Reason.TENANT_SWITCHED)
            with pytest.raises(ConnectionResetError):
                await reader.read()
            assert world.opener.ends == [("a.example", Reason.TENANT_SWITCHED)]
        else:
            writer.write_eof()
            assert await reader.read() == b""
            await world.until(lambda: world.opener.ends == [("a.example", Reason.COMPLETED)])


async def test_connect_after_a_forwarded_request() -> None:
    """A kept-alive proxy connection may turn into a tunnel."""
    async with origin(pages) as port, origin(echo) as other, proxy() as world, world.client() as (reader, writer):
        writer.write(get(f"http://a.example:{port}/"))
        await read_answer(reader)
        writer.write(b"CONNECT b.example:%d HTTP/1.1\r\nHost: b\r\n\r\nearly" % other)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 200 Connection established\r\n\r\n"
        assert await reader.readexactly(5) == b"early"
        assert [request.kind for request in world.opener.requests] == ["http-forward", "http-connect"]


async def test_flow_that_is_terminated_answers_with_its_reason() -> None:
    """Before the answer began the client reads why; afterwards it sees a reset."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with origin(silent) as port, proxy() as world, world.client() as (reader, writer):
        writer.write(get(f"http://a.example:{port}/"))
        await world.until(lambda: world.opener.nears)
        world.opener.nears[0].reset(Reason.TENANT_SWITCHED)
        head, _ = await read_answer(reader)
        assert b'details="tenant_switched"' in head
        assert world.opener.ends == [("a.example", Reason.TENANT_SWITCHED)]


async def test_slow_head_and_idle_connection_time_out() -> None:
    """408 for half a request; a kept connection without one is closed in silence."""
    async with origin(pages) as port, proxy(handshake_s=0.3, idle_s=0.3) as world:
        reply = await world.say(b"GET http://a.example/ HT")
        assert reply.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert world.reception.failures == {Reason.HANDSHAKE_TIMEOUT: 1}
        assert (await world.say(get(f"http://a.example:{port}/"))).endswith(b"GET / HTTP/1.1\n")


async def test_listener_that_closes_cuts_forwarders() -> None:
    """Their origins see a reset, since nobody reads the answer."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with origin(silent) as port, proxy() as world, world.client() as (reader, writer):
        writer.write(get(f"http://a.example:{port}/"))
        await world.until(lambda: world.opener.nears)
        world.listener.close()
        assert world.opener.ends == [("a.example", Reason.CLIENT_RESET)]
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
