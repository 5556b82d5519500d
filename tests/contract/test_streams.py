"""What every end of a flow owes its application, whatever carries the flow and on whichever loop.

The roads are two sockets (`tcp`), streams of an HTTP/2 connection in memory (`memory`) and over TLS (`tunnel`).
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.certificates import Authority
from tests.support.roads import KERNEL_BUFFER, LIMITS, WINDOW, Application, MuxRoad, Road, road, until
from tunneld.model.reasons import Reason
from tunneld.net import vigil
from tunneld.net.control_stream import ControlStream
from tunneld.net.mux import CONTENTION, TURN, WRITE_HIGH
from tunneld.net.relay import NOBODY, HoldingEnd
from tunneld.net.stream_end import StreamEnd

KINDS = ["tcp", "memory", "tunnel"]
STREAMS = ["memory", "tunnel"]
MANY = 64 * 1024 * 1024  # more than any buffer on the way could hold


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "ours")


@pytest.fixture(autouse=True)
def _short_vigils(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vigil, "SWEEP_S", 0.1)


def turned(pair: tuple[Application, Application], way: str) -> tuple[Application, Application]:
    """Return (who acts, who watches)."""
    return pair if way == "up" else (pair[1], pair[0])


both_ways = pytest.mark.parametrize("way", ["up", "down"])
every_kind = pytest.mark.parametrize("kind", KINDS)


# Bytes


@every_kind
async def test_bytes_arrive_in_order(kind: str, authority: Authority) -> None:
    """Both directions at once, in pieces of any size, and a clean end behind the last byte of each."""
    source = random.Random(7)

    async def talk(application: Application, said: Any) -> None:
        for _ in range(60):
            data = source.randbytes(source.choice((1, 9, 1000, 16_384, 65_536, 200_000)))
            said.update(data)
            await application.send(data)
        application.finish()

    async def listen(application: Application, heard: Any) -> None:
        while piece := await application.receive():
            heard.update(piece)

    async with road(kind, authority) as flows:
        pair = await flows.open()
        said = [hashlib.sha256() for _ in pair]
        heard = [hashlib.sha256() for _ in pair]
        async with asyncio.TaskGroup() as group:
            for number, application in enumerate(pair):
                group.create_task(talk(application, said[number]))
                group.create_task(listen(application, heard[1 - number]))
        assert [each.digest() for each in said] == [each.digest() for each in heard]
        await over(flows, [Reason.COMPLETED] * 2)


async def over(flows: Road, reasons: list[Reason]) -> None:
    """Wait until every end has said that it is over, and see that nothing is left of the flow."""
    await until(lambda: len(flows.ended) >= len(flows.ends))
    assert sorted(flows.ended) == sorted(reasons)
    if isinstance(flows, MuxRoad):
        await until(lambda: not any(mux.codec.streams for mux in flows.muxes))
        assert all(mux.codec.owed == 0 and not mux.waiting for mux in flows.muxes)


@every_kind
@both_ways
async def test_half_close(kind: str, way: str, authority: Authority) -> None:
    """FIN ends one direction; the other goes on for as long as it wants, and is whole."""
    async with road(kind, authority) as flows:
        first, second = turned(await flows.open(), way)
        await first.send(b"question")
        first.finish()
        assert await second.receive_all() == b"question"
        answer = random.Random(1).randbytes(700_000)
        async with asyncio.TaskGroup() as group:
            group.create_task(second.send(answer))
            assert await first.receive_exactly(len(answer)) == answer
        second.finish()
        assert await first.receive_all() == b""
        await over(flows, [Reason.COMPLETED] * 2)


@every_kind
@both_ways
async def test_an_end_behind_a_backlog(kind: str, way: str, authority: Authority) -> None:
    """FIN while nobody reads: every byte first, then the end."""
    async with road(kind, authority) as flows:
        first, second = turned(await flows.open(), way)
        taken = await first.send_until_full(MANY)
        first.finish()
        await asyncio.sleep(0.05)
        assert len(await second.receive_all()) == taken
        second.finish()
        assert await first.receive_all() == b""
        await over(flows, [Reason.COMPLETED] * 2)


@every_kind
@both_ways
async def test_an_end_never_overtakes_what_was_written(kind: str, way: str, authority: Authority) -> None:
    """Whoever hands an end more than it can send, and then the end, sees them arrive in that order."""
    async with road(kind, authority) as flows:
        first, second = turned(await flows.open(), way)
        near = flows.ends[0 if way == "up" else 1]
        data = random.Random(3).randbytes(5 * WINDOW)
        for start in range(0, len(data), 50_000):
            near.peer.write(data[start : start + 50_000])
        near.peer.write_eof()
        near.eof_in = True  # as if the application had said so
        near.pause_reading()
        assert await second.receive_all() == data
        second.finish()
        assert await first.receive_all() == b""
        await over(flows, [Reason.COMPLETED] * 2)


@every_kind
@both_ways
async def test_a_whole_answer_that_waits(kind: str, way: str, authority: Authority) -> None:
    """Both have said FIN, and one reads late: a connection that is over in the kernel is not yet one that broke."""
    async with road(kind, authority) as flows:
        first, second = turned(await flows.open(), way)
        full = await second.send_until_full(MANY)
        second.reset()
        pairs = [turned(await flows.open(), way) for _ in range(6)]
        sizes = []  # of which some leave room for FIN in the socket that we do not read from
        for number, (first, second) in enumerate(pairs):
            first.finish()
            assert await second.receive_all() == b""
            sizes.append(await second.send_until_full(full * (number + 4) // 10))
            second.finish()
        await asyncio.sleep(0.4)  # several looks of the vigil
        for (first, _), size in zip(pairs, sizes, strict=True):
            assert len(await first.receive_all()) == size
        await over(flows, [Reason.ORIGIN_RESET] * 2 + [Reason.COMPLETED] * 2 * len(pairs))


# Back-pressure


@every_kind
@both_ways
async def test_a_stalled_reader_stops_the_writer(kind: str, way: str, authority: Authority) -> None:
    """The kernel's buffers, one window and a few reads: more is never taken, and none of it is lost."""
    async with road(kind, authority) as flows:
        first, second = turned(await flows.open(), way)
        taken = await first.send_until_full(MANY)
        kernel = 2 * 2 * 2 * KERNEL_BUFFER  # two connections, two buffers, and Linux doubles each
        assert taken < kernel + WINDOW + WRITE_HIGH + 256 * 1024
        for mux in flows.muxes:
            assert mux.codec.owed <= WINDOW
            assert mux.transport.get_write_buffer_size() <= WRITE_HIGH * 2
        assert all(end.transport.get_write_buffer_size() <= 256 * 1024 for end in flows.ends)
        assert len(await second.receive_exactly(taken)) == taken
        await first.send(b"more")
        assert await second.receive_exactly(4) == b"more"


@pytest.mark.parametrize("kind", STREAMS)
@both_ways
async def test_stalled_streams_do_not_slow_another(kind: str, way: str, authority: Authority) -> None:
    """Ten readers stand still, each a whole window behind, and the eleventh stream moves twenty windows."""
    async with road(kind, authority) as flows:
        stalled = [turned(await flows.open(), way) for _ in range(10)]
        async with asyncio.TaskGroup() as group:
            for first, _ in stalled:
                group.create_task(first.send_until_full(MANY))
        assert sum(mux.codec.owed for mux in flows.muxes) > LIMITS.connection_window
        first, second = turned(await flows.open(), way)
        data = random.Random(2).randbytes(20 * WINDOW)
        async with asyncio.TaskGroup() as group:
            group.create_task(first.send(data))
            assert await second.receive_exactly(len(data)) == data


@pytest.mark.parametrize("kind", STREAMS)
@both_ways
async def test_a_keystroke_passes_a_bulk_transfer(kind: str, way: str, authority: Authority) -> None:
    """While one stream moves all it can, another's byte goes there and back after a bounded amount of it."""
    moved = 0

    async def pump(application: Application) -> None:
        data = bytes(256 * 1024)
        while True:
            await application.send(data)

    async def drain(application: Application) -> None:
        nonlocal moved
        while True:
            moved += len(await application.receive(256 * 1024))

    async with road(kind, authority) as flows:
        source, sink = turned(await flows.open(), way)
        here, there = await flows.open()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(pump(source)), group.create_task(drain(sink))]
            await until(lambda: moved >= 1024 * 1024)
            between = []
            for _ in range(20):
                before = moved
                await here.send(b"k")
                assert await there.receive_exactly(1) == b"k"
                await there.send(b"k")
                assert await here.receive_exactly(1) == b"k"
                between.append(moved - before)
            for task in tasks:
                task.cancel()
        assert sorted(between)[10] < 4 * 1024 * 1024


@pytest.mark.parametrize("kind", STREAMS)
async def test_two_bulk_transfers_share(kind: str, authority: Authority) -> None:
    """Neither gets more than four times what the other gets."""
    moved = [0, 0]

    async def pump(application: Application) -> None:
        while True:
            await application.send(bytes(256 * 1024))

    async def drain(application: Application, number: int) -> None:
        while True:
            moved[number] += len(await application.receive(256 * 1024))

    async with road(kind, authority) as flows:
        pairs = [await flows.open() for _ in moved]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(pump(pair[0])) for pair in pairs]
            tasks += [group.create_task(drain(pair[1], number)) for number, pair in enumerate(pairs)]
            await until(lambda: sum(moved) >= 8 * 1024 * 1024)
            for task in tasks:
                task.cancel()
        assert min(moved) * 4 > max(moved)


async def test_busy_streams_take_turns(authority: Authority) -> None:
    """Two streams that both move large pieces get frames of one turn; alone, a stream gets all it may send."""
    async with road("memory", authority) as flows:
        await flows.open()
        await flows.open()
        mux = flows.client
        one, two = (end for end in flows.streams if end.mux is mux)

        def move(end: StreamEnd, size: int) -> None:
            end.borrow()[:size] = bytes(size)
            end.commit(size)

        assert len(one.borrow()) == WINDOW
        move(one, TURN)
        assert len(one.borrow()) == WINDOW - TURN
        move(two, TURN - 1)
        assert len(one.borrow()) == WINDOW - TURN
        move(two, TURN)
        assert len(one.borrow()) == len(two.borrow()) == TURN
        await asyncio.sleep(3 * CONTENTION)
        assert len(one.borrow()) == WINDOW - TURN


# Resets


async def idle(first: Application, second: Application) -> int:
    """Nothing was ever said."""
    return 0


async def after_data_that_nobody_read(first: Application, second: Application) -> int:
    """It has arrived, and lies in the kernel."""
    await first.send(b"unread")
    await asyncio.sleep(0.05)
    return 6


async def right_behind_data(first: Application, second: Application) -> int:
    """Both leave in the same instant."""
    first.sock.send(b"x" * 1000)
    return 1000


async def while_held_back(first: Application, second: Application) -> int:
    """The writer is paused, because the reader stands still."""
    return await first.send_until_full(MANY)


async def after_reading(first: Application, second: Application) -> int:
    """Everything was read before."""
    await first.send(b"read")
    await second.receive_exactly(4)
    return 0


async def after_its_reader_s_end(first: Application, second: Application) -> int:
    """The one who watches has said all it had to say."""
    second.finish()
    assert await first.receive_all() == b""
    return 0


STATES: list[Callable[[Application, Application], Any]] = [
    idle, after_data_that_nobody_read, right_behind_data, while_held_back, after_reading, after_its_reader_s_end,
]  # fmt: skip


@every_kind
@both_ways
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
async def test_a_reset_is_seen_as_a_reset(
    kind: str, way: str, state: Callable[[Application, Application], Any], authority: Authority
) -> None:
    """In whichever state: ConnectionResetError, perhaps after some bytes, and never a clean end."""
    async with road(kind, authority) as flows:
        first, second = turned(await flows.open(), way)
        sent = await state(first, second)
        first.reset()
        assert await second.receive_until_reset() <= sent
        await over(flows, [Reason.ORIGIN_RESET] * 2)


@every_kind
@both_ways
async def test_a_reader_that_resets_while_bytes_wait_for_it(kind: str, way: str, authority: Authority) -> None:
    """The backlog is dropped, and the writer learns that it was."""
    async with road(kind, authority) as flows:
        first, second = turned(await flows.open(), way)
        await first.send_until_full(MANY)
        second.reset()
        await first.receive_until_reset()
        await over(flows, [Reason.ORIGIN_RESET] * 2)


@every_kind
@both_ways
async def test_a_reset_after_the_end(kind: str, way: str, authority: Authority) -> None:
    """Whoever said FIN may still reset, and the other, who read that FIN, learns of it without writing."""
    async with road(kind, authority) as flows:
        first, second = turned(await flows.open(), way)
        await first.send(b"last")
        first.finish()
        assert await second.receive_all() == b"last"
        first.reset()
        assert await second.error() in (errno.EPIPE, errno.ECONNRESET)
        await over(flows, [Reason.ORIGIN_RESET] * 2)


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("moment", ["idle", "in bulk", "half-closed"])
async def test_a_lost_connection_resets_both_applications(kind: str, moment: str, authority: Authority) -> None:
    """Whatever was under way, neither side may take what it has for everything."""
    async with road(kind, authority) as flows:
        near, far = await flows.open()
        if moment == "in bulk":
            await near.send_until_full(MANY)
        elif moment == "half-closed":
            near.finish()
            assert await far.receive_all() == b""
        flows.client.fail(Reason.PING_TIMEOUT)
        await near.receive_until_reset()
        if moment == "half-closed":
            assert await far.error() in (errno.EPIPE, errno.ECONNRESET)
        else:
            await far.receive_until_reset()
        await until(lambda: len(flows.ended) >= 2)
        assert sorted(flows.ended) == sorted([Reason.PING_TIMEOUT, Reason.EDGE_LOST])


async def test_a_silent_half_closed_flow_ends(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that vanished after its FIN does not hold its flow for ever; one that talks does."""
    monkeypatch.setattr("tests.support.roads.PATIENCE_S", 0.5)
    async with road("tcp", authority) as flows:
        quiet, listener = await flows.open()
        talker, other = await flows.open()
        quiet.finish()
        talker.finish()
        for _ in range(10):
            await asyncio.sleep(0.1)
            await other.send(b".")
        monkeypatch.undo()
        assert await listener.error() in (errno.EPIPE, errno.ECONNRESET)
        assert flows.ended == [Reason.HALF_CLOSE_TIMEOUT] * 2
        assert await talker.receive_exactly(10) == b"." * 10


# Late calls


def every_verb(end: Any) -> None:
    """Call everything that a peer may call."""
    end.borrow()[:1] = b"x"
    end.commit(1)
    end.write(b"late")
    end.write(memoryview(b"late"))
    end.write_eof()
    end.pause_reading()
    end.resume_reading()
    end.reset(Reason.CLIENT_RESET)
    end.write_eof()


@every_kind
@pytest.mark.parametrize("how", ["reset", "completed", "lost"])
async def test_late_calls_are_swallowed(kind: str, how: str, authority: Authority) -> None:
    """When a flow is over, whatever is still said to its ends changes nothing and harms nobody."""
    async with road(kind, authority) as flows:
        near, far = await flows.open()
        ends = [*flows.ends, *getattr(flows, "streams", [])]
        if how == "reset":
            near.reset()
        elif how == "completed":
            near.finish()
            far.finish()
        elif kind == "tcp":
            flows.ends[0].transport.abort()
        else:
            flows.server.fail(Reason.EDGE_LOST)
        await until(lambda: len(flows.ended) >= 2)
        ended = list(flows.ended)
        await asyncio.sleep(0.05)
        for end in ends:
            every_verb(end)
            every_verb(end)
        await asyncio.sleep(0.05)
        assert flows.ended == ended


def test_ends_in_memory_swallow_them_too() -> None:
    """Nobody, a holder of early bytes, and a conversation that is over."""
    closed: list[Reason] = []
    conversation = ControlStream(lambda message: None, closed.append)
    conversation.reset(Reason.COMPLETED)
    for end in (NOBODY, HoldingEnd(), conversation):
        every_verb(end)
        every_verb(end)
    conversation.send({"type": "late"})
    assert closed == [Reason.COMPLETED]


def test_early_bytes_are_handed_over_once_and_in_order() -> None:
    """A holder keeps bytes and the end, for an end that is not there yet."""

    class Recording(HoldingEnd):
        def __init__(self) -> None:
            super().__init__()
            self.calls: list[Any] = []

        def write(self, data: memoryview | bytes) -> None:
            self.calls.append(bytes(data))

        def write_eof(self) -> None:
            self.calls.append("end")

    for parts, calls in (([], []), ([b"a", b"b"], [b"ab"]), ([b"a", "end"], [b"a", "end"]), (["end"], ["end"])):
        early, late = HoldingEnd(), Recording()
        for part in parts:
            early.write(part) if isinstance(part, bytes) else early.write_eof()
        early.release(late)
        assert late.calls == calls
