"""The origin that every flow ends at: echo, sink and source on one port. Its own process, not counted.

A flow begins with one record of 64 bytes: a mode, a length, padding. `E` echoes it and all that follows; `U` takes
`length` bytes and answers one record; `D` sends `length` bytes. Bulk flows move to a blocking thread each, because
one 256 KiB system call at a time costs the shared cores least.
"""

from __future__ import annotations

import json
import random
import select
import socket
import struct
import sys
import threading
from pathlib import Path

RECORD = struct.Struct(">cQ55x")
ECHO, UPLOAD, DOWNLOAD = b"E", b"U", b"D"
PIECE = 256 * 1024
SMALL = 4096  # reading a record into 256 KiB would map and unmap that much memory each time
BACKLOG = 4096


def pattern() -> bytes:
    """Return the block that downloads repeat: not compressible, and the same in every process."""
    return random.Random(64).randbytes(PIECE)


def receive_exactly(sock: socket.socket, size: int, buffer: bytearray) -> None:
    """Read `size` bytes and drop them. Raises ConnectionError when the flow ends early."""
    view = memoryview(buffer)
    while size:
        count = sock.recv_into(view[: min(size, len(view))])
        if not count:
            raise ConnectionError(f"flow ended {size} bytes early")
        size -= count


def send_repeated(sock: socket.socket, size: int, block: bytes) -> None:
    """Send `size` bytes, repeating the block."""
    view = memoryview(block)
    while size:
        part = view[: min(size, len(view))]
        sock.sendall(part)
        size -= len(part)


def _bulk(sock: socket.socket, mode: bytes, size: int, block: bytes) -> None:
    with sock:
        try:
            if mode == UPLOAD:
                receive_exactly(sock, size, bytearray(PIECE))
                sock.sendall(RECORD.pack(UPLOAD, size))
            else:
                send_repeated(sock, size, block)
            sock.recv(1)  # the other side closes
        except OSError:
            pass  # the load generator reports what a broken flow means


class Origin:
    """One epoll loop: accepts, echoes, and hands bulk flows to threads."""

    def __init__(self) -> None:
        self.block = pattern()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self.listener.setblocking(False)
        self.port: int = self.listener.getsockname()[1]
        self.flows: dict[int, socket.socket] = {}
        self.begun: set[int] = set()
        self.poll = select.epoll()
        self.poll.register(self.listener.fileno(), select.EPOLLIN)

    def serve(self) -> None:
        """Serve until the process is killed."""
        listening = self.listener.fileno()
        while True:
            for fd, _ in self.poll.poll():
                if fd == listening:
                    self._accept()
                else:
                    self._read(fd)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.flows[sock.fileno()] = sock
            self.poll.register(sock.fileno(), select.EPOLLIN)

    def _read(self, fd: int) -> None:
        sock = self.flows[fd]
        try:
            piece = sock.recv(SMALL)
            if not piece:
                self._forget(fd).close()
            elif fd in self.begun or piece[:1] == ECHO:
                self.begun.add(fd)
                sock.send(piece)  # never more than the load generator waits for, so it always fits
            else:
                mode, size = RECORD.unpack(piece[: RECORD.size])
                self._forget(fd).setblocking(True)
                threading.Thread(target=_bulk, args=(sock, mode, self._rest(mode, size, piece), self.block)).start()
        except (OSError, struct.error):
            self._forget(fd).close()

    @staticmethod
    def _rest(mode: bytes, size: int, piece: bytes) -> int:
        return size - (len(piece) - RECORD.size) if mode == UPLOAD else size

    def _forget(self, fd: int) -> socket.socket:
        self.begun.discard(fd)
        sock = self.flows.pop(fd, None)
        if sock is None:
            raise RuntimeError(f"unknown descriptor {fd}")
        self.poll.unregister(fd)
        return sock


def command() -> list[str]:
    """Return the command that runs an origin; its first line on stdout tells the port."""
    return [sys.executable, str(Path(__file__).resolve())]


if __name__ == "__main__":
    origin = Origin()
    print(json.dumps({"ready": True, "port": origin.port}), flush=True)
    origin.serve()
