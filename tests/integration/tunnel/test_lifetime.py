"""What becomes of a tunnel's flows when something changes: a switch, a drain, a reload, a silence, a loss."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.support.raw_client import SESSION, BlackHole, connect_to, raw_client
from tests.support.roads import until
from tests.support.tokens import AUDIENCE, CHANNEL
from tests.support.tunnel_world import NAME, OTHER_APPLICATION, profile, rule, tunnel_world
from tunneld.client import link as link_module
from tunneld.client import tunnel as tunnel_module
from tunneld.client.link import EdgeLink
from tunneld.journal.flows import FlowRecord
from tunneld.model.errors import StreamError
from tunneld.model.reasons import Reason
from tunneld.wire.h2.frames import MAX_STREAM_ID


@pytest.fixture(autouse=True)
def _short_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel_module, "TICK_S", 0.05)


def on(*names: str) -> Callable[[FlowRecord], bool]:
    return lambda record: record.destination.removesuffix(".example") in names


# Before and beside the session


async def test_a_flow_before_the_session_is_refused(tmp_path: Path) -> None:
    """403 and `no_session`, with and without a token, and on the record."""
    async with tunnel_world(tmp_path) as world:
        context = world.credentials.tls_context()
        bearer = (b"proxy-authorization", b"Bearer " + world.credentials.token(AUDIENCE).encode())
        async with raw_client(world.address, context, NAME) as client:
            for more in ([], [(b"tunnel-token", b"1")], [bearer]):
                exchange = client.request(connect_to(b"files.example:80", *more))
                await until(lambda: exchange.over)  # noqa: B023 - awaited at once
                assert (exchange.status, exchange.reason) == (403, "no_session")
            await client.session(world.credentials.token(CHANNEL))
            exchange = client.request(connect_to(b"files.example:80", bearer))
            await until(lambda: exchange.status)
            assert exchange.status == 200
            exchange = client.request(connect_to(b"files.example:80", (b"tunnel-token", b"7")))
            await until(lambda: exchange.over)
            assert exchange.reason == "token_ref_unknown"
            exchange = client.request(connect_to(b"files.example:80"))
            await until(lambda: exchange.over)
            assert exchange.reason == "token_missing"
            for name in (b"files.example", b"files.example:0", b"files.example:70000", b":80", b"a b:80"):
                exchange = client.request(connect_to(name))
                await until(lambda: exchange.over)  # noqa: B023
                assert exchange.status == 400
        await until(world.quiet)
        assert len(world.server.flows.ended) == 11


async def test_what_an_edge_does_not_offer(tmp_path: Path) -> None:
    """Other methods, other paths, a second session, extended CONNECT: refused one by one, and the session goes on."""
    async with tunnel_world(tmp_path) as world:
        token = world.credentials.token(CHANNEL)
        async with raw_client(world.address, world.credentials.tls_context(), NAME) as client:
            session = await client.session(token)
            get = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"e"), (b":path", b"/")]
            extended = [(b":method", b"CONNECT"), *SESSION[1:], (b":protocol", b"connect-udp")]
            post = [*SESSION[:3], (b":path", b"/other")]
            again = [*SESSION, (b"authorization", b"Bearer " + token.encode())]
            for fields, status in ((get, 501), (post, 501), (extended, 501), (again, 400), (SESSION, 403)):
                exchange = client.request(fields, end=True)
                await until(lambda: exchange.over)  # noqa: B023
                assert exchange.status == status
            assert not session.over
            assert client.lost is None


@pytest.mark.parametrize(
    "line",
    [
        b"[]\n", b"nonsense\n", b"{}\n", b'{"type":1}\n', b"x" * 17_000, b"\xff\n", b"[" * 16_000 + b"\n",
    ],
)  # fmt: skip
async def test_a_broken_control_stream_ends_the_connection(line: bytes, tmp_path: Path) -> None:
    """Without a conversation nothing could be revoked, so nothing goes on."""
    async with tunnel_world(tmp_path) as world:
        async with raw_client(world.address, world.credentials.tls_context(), NAME) as client:
            session = await client.session(world.credentials.token(CHANNEL))
            session.send(line)
            await until(lambda: client.lost)
        await until(lambda: not world.server.sessions)
        assert world.server.group.defects == 0


@pytest.mark.parametrize(
    "message",
    [
        b'{"type":"token"}', b'{"type":"token","ref":[],"token":{}}', b'{"type":"token","ref":-1,"token":""}',
        b'{"type":"token","ref":1,"token":"x.y.z"}', b'{"type":"retire","keep":[[],{},"1",null]}',
        b'{"type":"retire","keep":7}', b'{"type":"invented"}', b'{"type":"token","ref":1e400,"token":"x"}',
    ],
)  # fmt: skip
async def test_odd_messages_break_nothing(message: bytes, tmp_path: Path) -> None:
    """Well-formed JSON of any shape gets an answer or none, and the next message is heard."""
    async with tunnel_world(tmp_path) as world:
        async with raw_client(world.address, world.credentials.tls_context(), NAME) as client:
            session = await client.session(world.credentials.token(CHANNEL))
            session.send(message + b'\n{"type":"token","ref":9,"token":"' + b"a.b.c" + b'"}\n')
            await until(lambda: b'"ref":9' in session.received)
            assert client.lost is None
        assert world.server.group.defects == 0


async def test_a_place_is_not_held_without_a_token(tmp_path: Path) -> None:
    """Whoever connects and says nothing is sent away, on both listeners; half a ClientHello too."""
    async with tunnel_world(tmp_path, limits="handshake_s = 0.3") as world:
        context = world.credentials.tls_context()
        for address in (world.address, world.interop):
            async with raw_client(address, context, NAME) as client:
                await until(lambda: client.lost)
        host, _, port = world.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"\x16\x03\x01\x01\x00")
        async with asyncio.timeout(3):
            with suppress(ConnectionResetError):  # what it had sent was never read
                assert await reader.read() == b""
        writer.close()
        tunnel = await world.started()
        await asyncio.sleep(0.5)
        assert tunnel.state == "connected"


# A tenant switch


async def test_retirement(tmp_path: Path) -> None:
    """`terminate` is reset at both ends at once, `keep` and `drain` go on, `drain` until its time is over."""
    async with tunnel_world(tmp_path) as world:
        tunnel = await world.started()
        doomed, doomed_origin = await world.open("files.example")
        kept, kept_origin = await world.open("keep.example")
        drained, drained_origin = await world.open("drain.example")
        await doomed.application.send(b"before")
        assert await doomed_origin.receive_exactly(6) == b"before"
        report = await tunnel.retire(on("keep", "drain"))
        assert report == (1, 1, 1, 0)
        assert await doomed.application.receive_until_reset() == 0
        assert await doomed_origin.receive_until_reset() == 0
        for request, origin in ((kept, kept_origin), (drained, drained_origin)):
            await request.application.send(b"after")
            assert await origin.receive_exactly(5) == b"after"
            await origin.send(b"answer")
            assert await request.application.receive_exactly(6) == b"answer"
        assert await world.refusal() is Reason.TENANT_SWITCHED
        assert await drained.application.receive_until_reset() == 0
        assert await drained_origin.receive_until_reset() == 0
        assert tunnel.state == "connected"
        kept.application.finish()
        kept_origin.finish()
        assert await kept.application.receive_all() == await kept_origin.receive_all() == b""
        await until(lambda: tunnel.state == "closed")
        await until(lambda: not world.server.sessions)
        await until(world.quiet)
        assert doomed.flow.record.reason is Reason.TENANT_SWITCHED


async def test_nothing_moves_between_freezing_and_retiring(tmp_path: Path) -> None:
    """From the commit on not one byte of the old epoch reaches its origin, though the resets come later."""
    async with tunnel_world(tmp_path) as world:
        tunnel = await world.started()
        request, origin = await world.open()
        (link,) = tunnel._links
        link.mux.transport.pause_reading()  # so that it is not the edge's reset that stops us
        tunnel.freeze(lambda record: False)
        window = link.mux.codec.send_window
        await request.application.send(b"too late")
        await asyncio.sleep(0.1)
        assert link.mux.codec.send_window == window
        link.mux.transport.resume_reading()
        report = await tunnel.retire(lambda record: False)
        assert (report.terminated, report.bytes_after) == (1, 0)
        assert await origin.receive_until_reset() == 0
        assert await request.application.receive_until_reset() == 0


async def test_flows_on_their_way_are_retired_too(tmp_path: Path) -> None:
    """One that waits for its token and one whose 200 arrives after the commit: neither ever opens."""
    async with tunnel_world(tmp_path) as world:
        tunnel = await world.started()
        first, origin = await world.open()
        world.credentials.gate = asyncio.Event()
        waiting = await world.request("other.example")
        (link,), (edge,) = tunnel._links, world.server.sessions
        link.mux.transport.pause_reading()
        asked = await world.request("files.example")
        await until(lambda: len(edge.flows) == 2 and all(flow.opened for flow in edge.flows))
        await asyncio.sleep(0.01)  # the 200 is on its way
        tunnel.freeze(lambda record: False)
        world.credentials.gate.set()
        link.mux.transport.resume_reading()
        await asyncio.sleep(0.1)
        await tunnel.retire(lambda record: False)
        assert (waiting.refused, asked.refused) == (Reason.TENANT_SWITCHED, Reason.TENANT_SWITCHED)
        assert await origin.receive_until_reset() == 0
        assert first.flow.over
        await until(world.quiet)


async def test_an_edge_that_does_not_answer_a_retirement(tmp_path: Path) -> None:
    """After a second the connection is aborted, and the report does not claim to know."""
    async with tunnel_world(tmp_path) as world:
        hole = BlackHole(world.address)
        tunnel = world.tunnel(address=hole.address)
        await tunnel.start(5)
        request, _ = await world.open()
        hole.open.clear()
        began = time.monotonic()
        report = await tunnel.retire(lambda record: False)
        assert report.bytes_after is None
        assert time.monotonic() - began < 3
        assert await request.application.receive_until_reset() == 0
        hole.close()
        await until(world.quiet)


# Drains


async def test_an_orderly_end_of_an_edge(tmp_path: Path) -> None:
    """GOAWAY twice: first for nothing, then for everything after the last stream (RFC 9113 §6.8)."""
    async with (
        tunnel_world(tmp_path) as world,
        raw_client(world.address, world.credentials.tls_context(), NAME) as client,
    ):
        session = await client.session(world.credentials.token(CHANNEL))
        (edge,) = world.server.sessions
        edge.drain(0.5)
        await until(lambda: b'"drain"' in session.received and client.goaways)
        assert client.goaways == [(0, MAX_STREAM_ID)]
        edge.finish()
        await until(lambda: client.lost)
        assert client.goaways == [(0, MAX_STREAM_ID), (0, 1)]


async def test_a_draining_connection_is_replaced(tmp_path: Path) -> None:
    """New flows go over a new connection, the old flow goes on over the old one, which ends with it."""
    async with tunnel_world(tmp_path) as world:
        tunnel = await world.started()
        (edge,) = world.server.sessions
        request, origin = await world.open()
        edge.drain(30)
        await until(lambda: tunnel._links[0].draining)
        second, second_origin = await world.open()
        assert len(world.server.sessions) == 2
        assert tunnel.state == "connected"
        for flow, its in ((request, origin), (second, second_origin)):
            await flow.application.send(b"x")
            assert await its.receive_exactly(1) == b"x"
        request.application.reset()
        await until(lambda: len(world.server.sessions) == 1)
        second.application.reset()
        await until(world.quiet)


async def test_a_flow_refused_by_a_drain_is_tried_again(tmp_path: Path) -> None:
    """The edge had decided to go when the request was on its way: REFUSED_STREAM costs the application nothing."""
    async with tunnel_world(tmp_path) as world:
        await world.started()
        first, _ = await world.open()
        (edge,) = world.server.sessions
        edge.mux.codec.goaway(0, last_stream_id=edge.mux.codec.highest_remote)  # type: ignore[arg-type]
        request = await world.request()  # sent before the GOAWAY is read
        edge.mux.flush()
        await until(lambda: request.accepted or request.refused)
        assert request.accepted
        assert len(world.server.sessions) == 2
        for each in (first, request):
            each.application.reset()
        await until(world.quiet)


# Silence and loss


async def test_a_silent_edge_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PING without an answer: the flows are reset with that reason, and the tunnel comes back by itself."""
    monkeypatch.setattr(link_module, "DEAD_S", 0.3)
    async with tunnel_world(tmp_path) as world:
        hole = BlackHole(world.address)
        tunnel = world.tunnel(address=hole.address)
        await tunnel.start(5)
        await tunnel.probe(2)
        request, _ = await world.open()
        hole.open.clear()
        with pytest.raises(StreamError) as failed:
            await tunnel.probe(0.1)
        assert failed.value.reason is Reason.PROBE_FAILED
        assert await request.application.receive_until_reset() == 0
        assert request.flow.record.reason is Reason.PING_TIMEOUT
        hole.open.set()
        await until(lambda: tunnel.state == "connected" and tunnel._usable())
        assert hole.connections >= 2
        second, _ = await world.open()
        second.application.reset()
        await tunnel.close()
        hole.close()
        await until(world.quiet)


async def test_a_lost_connection_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Meanwhile `block` rules refuse and `bypass` rules go direct; afterwards everything is as before."""
    async with tunnel_world(tmp_path) as world:
        tunnel = await world.started()
        request, origin = await world.open()
        connect = EdgeLink.connect

        async def unreachable(*arguments: Any) -> None:
            raise StreamError(Reason.EDGE_UNREACHABLE, "as the test wants")

        monkeypatch.setattr(EdgeLink, "connect", unreachable)
        (edge,) = world.server.sessions
        edge.mux.fail(Reason.EDGE_LOST)
        assert await request.application.receive_until_reset() == 0
        assert await origin.receive_until_reset() == 0
        await until(lambda: tunnel.state == "unreachable")
        assert await world.refusal() is Reason.HARDENING_BLOCK
        direct, its = await world.open("bypass.example")
        await direct.application.send(b"direct")
        assert await its.receive_exactly(6) == b"direct"
        assert (direct.flow.record.action, direct.flow.record.detail) == ("direct", "hardening_bypass")
        assert not world.server.sessions
        monkeypatch.setattr(EdgeLink, "connect", connect)
        await until(lambda: tunnel.state == "connected")
        second, _ = await world.open()
        for each in (second, direct):
            each.application.reset()
        await until(world.quiet)


async def test_a_connection_lost_while_tokens_are_on_their_way(tmp_path: Path) -> None:
    """Every flow that waited is answered, whether its application had been asked for or not; the tunnel recovers."""
    async with tunnel_world(tmp_path) as world:
        tunnel = await world.started()
        world.credentials.gate = asyncio.Event()
        requests = [await world.request(name) for name in ("files.example", "other.example", "files.example")]
        (edge,) = world.server.sessions
        edge.mux.fail(Reason.EDGE_LOST)
        await until(lambda: all(request.refused for request in requests))
        assert {request.refused for request in requests} == {Reason.HARDENING_BLOCK}
        world.credentials.gate.set()
        await until(lambda: tunnel.state == "connected" and tunnel._usable())
        request, _ = await world.open()
        request.application.reset()
        await until(world.quiet)


async def test_a_connection_lost_as_soon_as_it_is_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not taken for a tunnel that is up."""
    async with tunnel_world(tmp_path) as world:
        connect = EdgeLink.connect

        async def unlucky(link: EdgeLink, *arguments: Any) -> None:
            await connect(link, *arguments)
            link.mux.fail(Reason.EDGE_LOST)
            await until(lambda: link.gone)

        monkeypatch.setattr(EdgeLink, "connect", unlucky)
        tunnel = world.tunnel()
        with pytest.raises(StreamError):
            await tunnel.start(5)
        assert (tunnel.state, tunnel._links) == ("unreachable", [])


async def test_attempts_back_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edge that is down is asked ever less often, by daemons that do not march in step."""
    attempts: list[float] = []

    async def unreachable(*arguments: Any) -> None:
        attempts.append(time.monotonic())
        raise StreamError(Reason.EDGE_UNREACHABLE, "as the test wants")

    monkeypatch.setattr(EdgeLink, "connect", unreachable)
    monkeypatch.setattr("tunneld.client.tunnel.random.random", lambda: 0.9)
    async with tunnel_world(tmp_path) as world:
        tunnel = world.tunnel()
        with pytest.raises(StreamError):
            await tunnel.start(5)
        await asyncio.sleep(2.5)
        gaps = [later - earlier for earlier, later in pairwise(attempts)]
        assert 2 <= len(gaps) <= 5
        assert all(later > earlier for earlier, later in pairwise(gaps))


# Reload and caps


async def test_a_reload_ends_only_what_changed(tmp_path: Path) -> None:
    """Flows of rules that are gone or belong to another application end; the others do not notice."""
    async with tunnel_world(tmp_path) as world:
        await world.started()
        gone, gone_origin = await world.open("keep.example")
        moved, moved_origin = await world.open("other.example")
        same, same_origin = await world.open("files.example")
        world.write_profile(profile(rule("files", priority=5), rule("other"), version=2))
        assert await gone.application.receive_until_reset() == 0
        assert await moved.application.receive_until_reset() == 0
        assert await gone_origin.receive_until_reset() == await moved_origin.receive_until_reset() == 0
        await same.application.send(b"still here")
        assert await same_origin.receive_exactly(10) == b"still here"
        assert {record.reason for record in world.server.flows.ended} == {Reason.RULE_REMOVED}
        await until(lambda: any(event["type"] == "profile-changed" for event in world.events))
        assert await world.refusal("keep.example") is Reason.DESTINATION_NOT_IN_APPLICATION
        same.application.reset()
        await until(world.quiet)


CAPS = {
    "in all": ("flows = 2", "other.example"),
    "of a user": ("flows_per_user = 2", "other.example"),
    "to an application": ("flows_per_application = 2", "files.example"),
}


@pytest.mark.parametrize("name", CAPS)
async def test_caps(name: str, tmp_path: Path) -> None:
    """One flow too many is refused; a place that became free is given, and in the end all of them are."""
    limits, last = CAPS[name]
    async with tunnel_world(tmp_path, limits=limits) as world:
        await world.started()
        first, _ = await world.open()
        second, _ = await world.open()
        assert await world.refusal(last) is Reason.TOO_MANY_FLOWS
        first.application.reset()
        await until(lambda: world.server.caps.open == 1)
        third, _ = await world.open(last)
        for request in (second, third):
            request.application.reset()
        await until(world.quiet)


async def test_a_cap_of_one_application_leaves_the_others(tmp_path: Path) -> None:
    """A black hole of an origin does not take every place."""
    async with tunnel_world(tmp_path, limits="flows_per_application = 1") as world:
        await world.started()
        first, _ = await world.open()
        assert await world.refusal() is Reason.TOO_MANY_FLOWS
        other, _ = await world.open("other.example")
        assert other.flow.record.application == OTHER_APPLICATION
        for request in (first, other):
            request.application.reset()
        await until(world.quiet)


async def test_more_flows_than_one_connection_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool grows before a connection is full; nobody waits and nobody is refused."""
    monkeypatch.setattr(tunnel_module, "GROW_AT", 3)
    async with tunnel_world(tmp_path, limits="streams = 5") as world:
        await world.started()
        flows = [(await world.open())[0] for _ in range(12)]
        assert len(world.server.sessions) >= 3
        for request in flows:
            request.application.reset()
        await until(world.quiet)


async def test_sessions_above_the_limit_are_closed_and_strangers_take_no_place(tmp_path: Path) -> None:
    """Connections that never say a word do not keep those out who can identify themselves."""
    async with tunnel_world(tmp_path, limits="connections = 2\nhandshake_s = 1") as world:
        host, _, port = world.address.rpartition(":")
        silent = [await asyncio.open_connection(host, int(port)) for _ in range(4)]
        await asyncio.sleep(0.05)
        await world.started()
        await world.started()
        with pytest.raises(StreamError):
            await world.tunnel().start(5)
        for _, writer in silent:
            writer.close()
        await until(lambda: not world.server._strangers)
