"""The mixed port: protocols, refusals, deadlines and what is held back until the answer."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import ssl
import struct
import time
from contextlib import ExitStack, suppress

import pytest

from tests.integration.inbound.proxy_world import EchoEnd, echo, origin, proxy
from tunneld.inbound.process import process_at
from tunneld.model.errors import DocumentError
from tunneld.model.reasons import Reason
from tunneld.net.listen import bind

GREETING = b"\x05\x01\x00"
SUCCESS = b"\x05\x00\x00\x01" + bytes(6)


def socks5(host: bytes, port: int) -> bytes:
    return b"\x05\x01\x00\x03" + bytes((len(host),)) + host + port.to_bytes(2, "big")


def socks4a(host: bytes, port: int) -> bytes:
    return b"\x04\x01" + port.to_bytes(2, "big") + b"\x00\x00\x00\x01ada\x00" + host + b"\x00"


def connect(host: bytes, port: int) -> bytes:
    return b"CONNECT %s:%d HTTP/1.1\r\nHost: x\r\n\r\n" % (host, port)


async def test_each_protocol_reaches_its_destination_and_half_closes() -> None:
    """Bytes go both ways, and the client's FIN arrives before the answer ends."""
    async with origin(echo) as port, proxy() as world:
        for chunks, success in [
            ((GREETING, socks5(b"a.example", port)), b"\x05\x00" + SUCCESS),
            ((socks4a(b"a.example", port),), b"\x00\x5a" + bytes(6)),
            ((connect(b"a.example", port),), b"HTTP/1.1 200 Connection established\r\n\r\n"),
        ]:
            assert await world.say(*chunks, b"hello", eof=True) == success + b"hello"
        await world.until(lambda: len(world.opener.ends) == 3)
        assert {reason for _, reason in world.opener.ends} == {Reason.COMPLETED}
        kinds = [(request.host, request.port, request.kind) for request in world.opener.requests]
        assert kinds == [("a.example", port, kind) for kind in ("socks5", "socks4a", "http-connect")]
        assert {near.bytes_read for near in world.opener.nears} == {5}


async def test_handshake_may_come_byte_by_byte() -> None:
    """Slow or chopped, it is the same handshake."""
    async with origin(echo) as port, proxy() as world:
        data = GREETING + socks5(b"a.example", port)
        async with world.client() as (reader, writer):
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for i in range(len(data)):
                writer.write(data[i : i + 1])
                await asyncio.sleep(0.001)
            assert await reader.readexactly(12) == b"\x05\x00" + SUCCESS
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"


@pytest.mark.parametrize("size", [5, 200_000])
async def test_early_data_is_held_until_the_flow_is_accepted(size: int) -> None:
    """Nothing reaches a destination that is not decided yet; all of it does afterwards, with the end of stream."""
    async with proxy() as world:
        world.opener.holding = {"a.example"}
        async with world.client() as (reader, writer):
            early = os.urandom(size)
            writer.write(connect(b"a.example", 443) + early)
            writer.write_eof()
            await world.until(lambda: world.opener.held)
            await asyncio.sleep(0.05)
            far = EchoEnd()
            assert far.received == b""
            world.opener.held["a.example"].accept(far)
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 200 Connection established\r\n\r\n"
            assert await reader.read() == early
            assert far.received == early
            assert far.eof


@pytest.mark.parametrize("size", [0, 5, 300_000])
@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ((GREETING, socks5(b"no.example", 443)), b"\x05\x00\x05\x02\x00\x01" + bytes(6)),
        ((socks4a(b"no.example", 443),), b"\x00\x5b" + bytes(6)),
        ((connect(b"no.example", 443),), b"HTTP/1.1 403 Forbidden\r\n"),
    ],
)
async def test_refusal_is_readable_even_if_the_client_kept_talking(
    chunks: tuple[bytes, ...], expected: bytes, size: int
) -> None:
    """The reply arrives whole and the connection ends with FIN: a reset would have destroyed it."""
    async with proxy() as world:
        world.opener.refusals["no.example"] = Reason.RULE_BLOCK
        async with world.client() as (reader, writer):
            for chunk in chunks:
                writer.write(chunk)
                await asyncio.sleep(0.01)
            writer.write(bytes(size))
            await asyncio.sleep(0.1)
            started = time.monotonic()
            reply = await reader.read()
            assert reply.startswith(expected)
            assert time.monotonic() - started < 1
            if expected.startswith(b"HTTP"):
                assert b'details="rule_block"' in reply
                assert reply.endswith(b"(rule_block: as the test wants)\n")
        await world.until(lambda: not len(world.reception.lingering))


@pytest.mark.parametrize("held", [False, True])
async def test_refused_client_that_reads_late_sees_an_orderly_end(held: bool) -> None:
    """Unread bytes of the client must not turn our close into a reset, whenever they come."""

    def talk(address: tuple[str, int]) -> bytes:
        with socket.create_connection(address, timeout=5) as client:
            client.sendall(connect(b"no.example", 443) + bytes(200_000))
            time.sleep(0.1)
            client.sendall(bytes(200_000))
            reply = b""
            while data := client.recv(65536):  # a reset would raise here
                reply += data
            return reply

    async with proxy() as world:
        if held:
            world.opener.holding = {"no.example"}
        else:
            world.opener.refusals["no.example"] = Reason.RULE_BLOCK
        talking = asyncio.to_thread(talk, (world.host, world.port))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(talking)
            if held:
                await world.until(lambda: world.opener.held)
                await asyncio.sleep(0.2)
                world.opener.held["no.example"].refuse(Reason.RULE_BLOCK)
        assert task.result().endswith(b"\n")
        assert b'details="rule_block"' in task.result()


async def test_pipelined_request_behind_a_refused_connect_is_never_executed() -> None:
    """Early data of a tunnel is not a request (request smuggling)."""
    async with proxy() as world:
        world.opener.refusals["no.example"] = Reason.RULE_BLOCK
        smuggled = b"GET http://smuggled.example/ HTTP/1.1\r\nHost: s\r\n\r\n"
        reply = await world.say(connect(b"no.example", 443) + smuggled, smuggled)
        assert reply.count(b"HTTP/1.1") == 1
        assert [request.host for request in world.opener.requests] == ["no.example"]


def tls_hello() -> bytes:
    out = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname="a.example")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


async def test_other_protocols_get_a_short_error() -> None:
    """TLS, SSH's opposite number, a PROXY header, garbage: one line, a close, one failure on the books."""
    async with proxy() as world:
        strange = [bytes((byte,)) for byte in (0x00, 0x06, 0x16, 0x20, 0x0D, 0x80, 0xFF)] + [tls_hello()]
        for data in strange:
            reply = await world.say(data)
            assert reply.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert world.reception.failures == {Reason.MALFORMED_REQUEST: len(strange)}
        assert len(world.failures) == len(strange)
        assert world.opener.requests == []


async def test_client_that_says_nothing_is_no_failure_of_a_protocol() -> None:
    """A port scan or a health check connects and leaves."""
    async with proxy() as world:
        assert await world.say(eof=True) == b""
        await world.until(lambda: not len(world.reception.handshakes))
        assert world.opener.requests == []


async def test_client_that_leaves_in_the_handshake() -> None:
    """It failed, and nothing of it stays."""
    async with proxy() as world:
        for data in (b"\x05", GREETING + b"\x05\x01", b"\x04\x01", b"CONN", b"CONNECT a"):
            await world.say(data, eof=True)
        await world.until(lambda: world.reception.failures[Reason.MALFORMED_REQUEST] == 5)
        assert not len(world.reception.handshakes)


async def test_handshake_deadline_is_total() -> None:
    """A byte now and then buys no time."""
    async with proxy(handshake_s=0.3) as world, world.client() as (reader, writer):
        started = time.monotonic()
        writer.write(b"\x05\xff")
        with suppress(ConnectionError):
            while not (reader.at_eof() or writer.is_closing()):
                writer.write(b"\xff")
                await writer.drain()
                await asyncio.sleep(0.02)
        assert 0.2 < time.monotonic() - started < 1.5
        assert world.reception.failures == {Reason.HANDSHAKE_TIMEOUT: 1}


async def test_slow_clients_do_not_keep_a_fast_one_out() -> None:
    """At the cap the oldest handshake makes room: with 200 half-open ones in 50 places, the next is served at once."""
    async with origin(echo) as port, proxy(max_handshakes=50) as world:
        with ExitStack() as stack:
            for _ in range(200):
                slow = stack.enter_context(socket.create_connection((world.host, world.port)))
                slow.send(b"\x05")
            await world.until(lambda: world.listener.accepted == 200)
            started = time.monotonic()
            assert await world.say(connect(b"a.example", port), b"x", eof=True)
            assert time.monotonic() - started < 0.2 + 0.02
            assert len(world.reception.handshakes) <= 50


async def test_application_that_leaves_before_the_answer() -> None:
    """The opener is told, and a late answer breaks the far end instead of anything else."""
    async with proxy() as world:
        world.opener.holding = {"a.example", "b.example"}
        for host in (b"a.example", b"b.example"):
            async with world.client() as (_, writer):
                writer.write(connect(host, 443))
                await world.until(lambda host=host: host.decode() in world.opener.held)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
        await world.until(lambda: world.opener.abandoned == ["a.example", "b.example"])
        far = EchoEnd()
        assert world.opener.held["a.example"].accept(far) is None
        assert far.reset_by is Reason.CLIENT_RESET
        world.opener.held["b.example"].refuse(Reason.ORIGIN_REFUSED)


async def test_second_answer_does_nothing() -> None:
    """The first one counts."""
    async with proxy() as world:
        world.opener.holding = {"a.example"}
        async with world.client() as (reader, writer):
            writer.write(connect(b"a.example", 443))
            await world.until(lambda: world.opener.held)
            request = world.opener.held["a.example"]
            request.refuse(Reason.RULE_BLOCK)
            request.refuse(Reason.ORIGIN_REFUSED)
            far = EchoEnd()
            assert request.accept(far) is None
            assert far.reset_by is Reason.CLIENT_RESET
            assert (await reader.read()).count(b"HTTP/1.1") == 1


async def test_reset_of_the_application_reaches_the_far_end() -> None:
    """RST stays RST: the origin never sees a clean end."""
    seen: list[str] = []

    async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"go")
        try:
            seen.append("eof" if not await reader.read() else "data")
        except ConnectionResetError:
            seen.append("reset")

    async with origin(watch) as port, proxy() as world:
        async with world.client() as (reader, writer):
            writer.write(connect(b"a.example", port))
            await reader.readuntil(b"go")
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        await world.until(lambda: seen)
        assert seen == ["reset"]
        assert world.opener.ends == [("a.example", Reason.CLIENT_RESET)]


async def test_password_on_every_protocol() -> None:
    """RFC 1929 and Basic let in; everything without them is refused in its own terms."""
    async with origin(echo) as port, proxy(credentials=(b"ada", b"secret")) as world:
        login = b"\x01\x03ada\x06secret"
        reply = await world.say(b"\x05\x01\x02", login, socks5(b"a.example", port), b"hi", eof=True)
        assert reply == b"\x05\x02\x01\x00" + SUCCESS + b"hi"
        basic = b"Proxy-Authorization: Basic YWRhOnNlY3JldA==\r\n\r\n"
        reply = await world.say(connect(b"a.example", port)[:-2] + basic, b"hi", eof=True)
        assert reply.endswith(b"hi")
        assert await world.say(GREETING) == b"\x05\xff"
        assert await world.say(b"\x05\x01\x02", b"\x01\x03ada\x05wrong") == b"\x05\x02\x01\x01"
        assert await world.say(socks4a(b"a.example", port)) == b"\x00\x5b" + bytes(6)
        assert (await world.say(connect(b"a.example", port))).startswith(b"HTTP/1.1 407 ")
        forward = b"GET http://a.example/ HTTP/1.1\r\nHost: a\r\n\r\n"
        assert (await world.say(forward)).startswith(b"HTTP/1.1 407 ")
        assert world.reception.failures[Reason.PROXY_AUTH_REQUIRED] == 5
        assert len(world.opener.requests) == 2


async def test_closing_the_listener_ends_handshakes_and_keeps_flows() -> None:
    """What is a flow goes on, what is not is cut, and closing twice is closing once."""
    async with (
        origin(echo) as port,
        proxy() as world,
        world.client() as (reader, writer),
        world.client() as (half, half_writer),
    ):
        half_writer.write(b"\x05")
        writer.write(connect(b"a.example", port))
        await reader.readuntil(b"\r\n\r\n")
        await world.until(lambda: len(world.reception.handshakes) == 1)
        world.listener.close()
        world.listener.close()
        with pytest.raises(ConnectionError):
            await asyncio.open_connection(world.host, world.port)
        with suppress(ConnectionResetError):
            assert await half.read() == b""
        writer.write(b"still here")
        assert await reader.readexactly(10) == b"still here"


async def test_running_out_of_descriptors_pauses_accepting() -> None:
    """No spinning and no lost listener: when descriptors are free again, the waiting clients are served."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with origin(echo) as port, proxy() as world:
        with ExitStack() as stack:
            clients = [stack.enter_context(socket.socket()) for _ in range(4)]
            highest = max(int(fd) for fd in os.listdir("/proc/self/fd"))
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
            try:
                stuffing = []
                try:
                    while True:
                        stuffing.append(os.dup(0))
                except OSError:
                    pass
                for client in clients:
                    client.connect((world.host, world.port))
                # Asleep until a timer wakes it, not spinning on a socket that stays readable; twice, since it retries.
                for _ in range(2):
                    await world.until(lambda: world.listener._retry is not None)
                    await asyncio.sleep(0.15)
                assert world.listener.accepted == 0
                for fd in stuffing:
                    os.close(fd)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            await world.until(lambda: world.listener.accepted == 4)
        reply = await world.say(connect(b"a.example", port), b"hi", eof=True)
        assert reply.endswith(b"hi")


async def test_closing_while_out_of_descriptors() -> None:
    """The retry is forgotten with the listener."""
    async with proxy() as world:
        world.listener._resume()  # as after a pause; the reader is set anew
        world.listener.close()
        assert world.listener._retry is None


def test_port_in_use_is_one_clear_line() -> None:
    """The setting, the address and the mend; never SO_REUSEPORT."""
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        assert taken.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 0
        with pytest.raises(DocumentError) as caught:
            bind("127.0.0.1", port, where="client.toml", path="daemon.proxy")
    text = str(caught.value)
    assert text.startswith(f"client.toml: daemon.proxy: cannot listen on 127.0.0.1:{port}: ")
    assert "choose another port" in text
    assert "\n" not in text


def test_foreign_address_is_one_clear_line() -> None:
    """An address of another machine."""
    with pytest.raises(DocumentError, match="choose an address of this machine"):
        bind("192.0.2.1", 0)


async def test_owner_of_a_connection_is_found_on_demand() -> None:
    """The process behind a source address, or nobody."""
    async with proxy() as world:
        world.opener.holding = {"a.example"}
        async with world.client() as (_, writer):
            writer.write(connect(b"a.example", 443))
            await world.until(lambda: world.opener.held)
            request = world.opener.held["a.example"]
            found = process_at(*request.source)
            assert found is not None
            assert found.endswith(f"({os.getpid()})")
            assert process_at("127.0.0.1", 1) is None
            assert process_at("2001:db8::1", 1) is None
            request.refuse(Reason.RULE_BLOCK)
