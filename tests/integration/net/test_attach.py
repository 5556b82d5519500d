"""A transport that is given up in its first callback leaves nothing behind that could hurt the next one."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from tunneld.net.attach import abort_with_reset, attach, close_in_order, expect_the_worst, is_fastnet


class GivenUp(asyncio.Protocol):
    """Ends its connection as soon as it is there."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        abort_with_reset(transport)


class Paused(asyncio.Protocol):
    """Does not want to read yet."""

    def __init__(self) -> None:
        self.data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        self.data += data


class Reading(asyncio.Protocol):
    """Waits for one message."""

    def __init__(self) -> None:
        self.got = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.got.set_result(data)


async def test_the_next_socket_with_the_same_descriptor_hears_its_data() -> None:
    """The kernel hands descriptors out again at once, and a reader that was left behind would keep the new one deaf."""
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            near, far = socket.socketpair()
            descriptor = near.fileno()
            attach(loop, near, GivenUp(), group)
            await asyncio.sleep(0.01)
            assert near.fileno() < 0
            far.close()
            near, far = _pair_with(descriptor)
            reading = Reading()
            with far:
                attach(loop, near, reading, group)
                far.send(b"hello")
                async with asyncio.timeout(5):
                    assert await reading.got == b"hello"
                reading.transport.abort()
                await asyncio.sleep(0.01)


async def test_a_transport_that_was_paused_at_once_does_not_spin() -> None:
    """It hears nothing, watches nothing, and goes on when it is told to."""
    loop = asyncio.get_running_loop()
    if not is_fastnet(loop):
        pytest.skip("asyncio 3.11 and uvloop go on reading; they do not spin either")
    near, far = socket.socketpair()
    paused = Paused()
    async with asyncio.TaskGroup() as group:
        with far:
            attach(loop, near, paused, group)
            far.send(b"hello")
            await asyncio.sleep(0.02)
            assert paused.data == b""
            assert not loop.remove_reader(near.fileno()), "a reader that nobody wanted"
            paused.transport.resume_reading()
            await asyncio.sleep(0.02)
            assert paused.data == b"hello"
            paused.transport.abort()
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("orderly", [True, False])
async def test_only_an_orderly_close_looks_like_one(orderly: bool) -> None:
    """Whatever else closes the socket, the end of the process above all, the peer sees a reset."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    reading = Reading()
    with far:
        async with asyncio.TaskGroup() as group:
            attach(loop, near, reading, group)
            far.send(b"x")
            await reading.got
            expect_the_worst(reading.transport)
            if orderly:
                close_in_order(reading.transport)
            else:
                reading.transport.abort()
            await asyncio.sleep(0.02)
        if orderly:
            assert far.recv(1) == b""
        else:
            with pytest.raises(ConnectionResetError):
                far.recv(1)


def _pair_with(descriptor: int) -> tuple[socket.socket, socket.socket]:
    """Return a pair of sockets of which the first has this descriptor."""
    one, other = socket.socketpair()
    if one.fileno() == descriptor:
        return one, other
    if other.fileno() == descriptor:
        return other, one
    raise AssertionError(f"descriptor {descriptor} is not free")
