"""The load generator: one process that obeys JSON lines on stdin and answers each with a JSON line on stdout.

Its cost is not counted, but it shares the cores, so it makes few system calls and no object per byte.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # not bench/ itself: it has a module called profile

from bench.figures import percentile
from bench.flows import Endpoint, Exchange, FlowError, connect, exchange, open_flow
from bench.origin import DOWNLOAD, ECHO, PIECE, RECORD, SMALL, UPLOAD, pattern, receive_exactly, send_repeated

ASK = RECORD.pack(ECHO, 0)
Answer = dict[str, float]


def bulk(endpoint: Endpoint, direction: str, size: int) -> Answer:
    """Move `size` bytes through one flow; the clock stops when the last byte is known to have arrived."""
    buffer = bytearray(PIECE)
    block = pattern() if direction == "up" else b""
    with open_flow(endpoint) as sock:
        began = time.perf_counter()
        if direction == "up":
            sock.sendall(RECORD.pack(UPLOAD, size))
            send_repeated(sock, size, block)
            receive_exactly(sock, RECORD.size, buffer)
        else:
            sock.sendall(RECORD.pack(DOWNLOAD, size))
            receive_exactly(sock, size, buffer)
        return {"seconds": time.perf_counter() - began}


def check(endpoint: Endpoint, size: int) -> Answer:
    """Download and compare every byte: a proxy that is fast and wrong is not measured."""
    block = memoryview(pattern())
    done = 0
    with open_flow(endpoint) as sock:
        sock.sendall(RECORD.pack(DOWNLOAD, size))
        while done < size:
            piece = sock.recv(min(size - done, PIECE - done % PIECE))
            start = done % PIECE
            if not piece or piece != block[start : start + len(piece)]:
                raise FlowError(f"wrong or missing bytes at {done}")
            done += len(piece)
    return {"bytes": done}


def ping(endpoint: Endpoint, count: int) -> Answer:
    """Exchange 64-byte records one at a time on one open flow."""
    clock = time.perf_counter_ns
    taken: list[int] = []
    with open_flow(endpoint) as sock:
        for _ in range(count):
            began = clock()
            sock.sendall(ASK)
            if len(sock.recv(SMALL)) != len(ASK):
                raise FlowError("echo of another size")
            taken.append(clock() - began)
    return {"p50_us": percentile(taken, 0.5) / 1000, "p99_us": percentile(taken, 0.99) / 1000}


def short_one_by_one(endpoint: Endpoint, count: int) -> list[int]:
    """Run short flows one after the other: connect, handshake, 64 bytes out, 64 bytes back, close."""
    clock = time.perf_counter_ns
    taken: list[int] = []
    for _ in range(count):
        began = clock()
        with open_flow(endpoint) as sock:
            sock.sendall(ASK)
            if sock.recv(SMALL) != ASK:
                raise FlowError("echo differs")
        taken.append(clock() - began)
    return taken


class Pending:
    """One flow of many: its socket, where its handshake stands, and when it began."""

    __slots__ = ("asked", "began", "sock", "steps")

    def __init__(self, endpoint: Endpoint) -> None:
        self.began = time.perf_counter_ns()
        self.steps: Exchange | None = exchange(endpoint)
        self.sock = connect(endpoint)
        self.asked = False
        self._advance(next(self.steps, None))

    def _advance(self, out: bytes | None) -> None:
        if out is None:
            self.steps = None
            self.asked = True
            self.sock.send(ASK)
        elif out:
            self.sock.send(out)

    def readable(self) -> bool:
        """Take what has arrived; True when the flow has had its echo."""
        received = self.sock.recv(SMALL)
        if not received:
            raise FlowError("flow closed early")
        if self.steps is None:
            if received != ASK:
                raise FlowError("echo differs")
            return True
        try:
            self._advance(self.steps.send(received))
        except StopIteration:
            self._advance(None)
        return False


def run_many(endpoint: Endpoint, count: int, concurrency: int, done: Callable[[Pending], None]) -> None:
    """Run `count` flows up to their echo, `concurrency` at a time; `done` takes each one over, socket open."""
    poll = select.epoll()
    live: dict[int, Pending] = {}
    begun = finished = 0
    while finished < count:
        while begun < count and len(live) < concurrency:
            flow = Pending(endpoint)
            live[flow.sock.fileno()] = flow
            poll.register(flow.sock.fileno(), select.EPOLLIN)
            begun += 1
        for fd, _ in poll.poll():
            if live[fd].readable():
                flow = live.pop(fd)
                poll.unregister(fd)
                done(flow)
                finished += 1
    poll.close()


def short(endpoint: Endpoint, count: int, concurrency: int) -> Answer:
    """Run `count` short flows and return their rate and latency."""
    taken: list[int] = []

    def close(flow: Pending) -> None:
        flow.sock.close()
        taken.append(time.perf_counter_ns() - flow.began)

    began = time.perf_counter()
    if concurrency == 1:
        taken = short_one_by_one(endpoint, count)
    else:
        run_many(endpoint, count, concurrency, close)
    seconds = time.perf_counter() - began
    return {
        "flows_per_s": count / seconds,
        "p50_us": percentile(taken, 0.5) / 1000,
        "p99_us": percentile(taken, 0.99) / 1000,
    }


class Load:
    """The commands, and the idle flows that outlive one."""

    def __init__(self) -> None:
        self.held: list[socket.socket] = []

    def hold(self, endpoint: Endpoint, total: int) -> Answer:
        """Open flows until `total` are open, each proven by one echo, and keep them idle."""
        run_many(endpoint, max(0, total - len(self.held)), 32, lambda flow: self.held.append(flow.sock))
        return {"held": len(self.held)}

    def release(self) -> Answer:
        """Close the idle flows."""
        for sock in self.held:
            sock.close()
        self.held.clear()
        return {"held": 0}

    def obey(self, order: dict[str, object]) -> Answer:
        """Carry out one command."""
        verb = order.pop("do")
        if verb == "release":
            return self.release()
        arguments: dict[str, object] = {**order, "endpoint": Endpoint(*order["endpoint"])}  # type: ignore[misc]
        verbs: dict[object, Callable[..., Answer]] = {
            "bulk": bulk, "check": check, "ping": ping, "short": short, "hold": self.hold,
        }  # fmt: skip
        return verbs[verb](**arguments)


def serve() -> None:
    """Answer commands until stdin ends."""
    load = Load()
    for line in sys.stdin:
        try:
            answer: dict[str, object] = {"ok": True, **load.obey(json.loads(line))}
        except (OSError, FlowError) as error:
            answer = {"ok": False, "error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
