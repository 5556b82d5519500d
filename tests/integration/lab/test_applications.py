"""The lab's applications on real sockets: whose they are, what they count, and how they end."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tunneld.lab.applications import Listener, Settings, load_settings, serve
from tunneld.model.errors import DocumentError

CANARY = "canary-t-1"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def running(kind: str) -> AsyncIterator[int]:
    port = free_port()
    settings = Settings(listeners=[Listener(name="app", tenant="t", canary=CANARY, kind=kind, port=port)])
    stop, ready = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(serve(settings, ready.set, stop))
        await ready.wait()
        yield port
        stop.set()


async def talk(port: int, sent: bytes) -> bytes:
    """Send, half-close, and return everything that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    writer.write_eof()
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_the_echo_gives_back_what_it_got() -> None:
    """Byte for byte, half-close included."""
    content = bytes(range(256)) * 4000
    async with running("echo") as port:
        assert await talk(port, content) == content
        assert await talk(port, b"whoami\n") == f"{CANARY}\n".encode()


async def test_the_sink_writes_a_receipt() -> None:
    """Count and digest, only after the end of input."""
    async with running("sink") as port:
        receipt = json.loads(await talk(port, b"abc" * 1000))
    assert receipt["bytes"] == 3000
    assert receipt["sha256"] == hashlib.sha256(b"abc" * 1000).hexdigest()
    assert receipt["canary"] == CANARY


async def test_the_page_says_whose_it_is_and_counts_the_body() -> None:
    """Two requests in one segment are both answered."""
    request = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /y HTTP/1.1\r\nHost: h\r\n\r\n"
    async with running("http") as port:
        answer = (await talk(port, request)).decode()
    bodies = [json.loads(line) for line in answer.splitlines() if line.startswith("{")]
    assert [(body["target"], body["body_bytes"], body["canary"]) for body in bodies] == [
        ("/x", 3, CANARY), ("/y", 0, CANARY),
    ]
    assert answer.count(f"x-canary: {CANARY}") == 2


async def test_a_download_has_its_length_and_pattern() -> None:
    """Sent in pieces, with the peer's pace."""
    async with running("http") as port:
        head, _, body = (await talk(port, b"GET /bytes/300000 HTTP/1.1\r\nHost: h\r\n\r\n")).partition(b"\r\n\r\n")
    assert b"content-length: 300000" in head
    assert body == (bytes(range(256)) * 1200)[:300000]


async def test_nonsense_closes_the_connection() -> None:
    """It is a web server, not an echo."""
    async with running("http") as port:
        assert await talk(port, b"\x00\x01\x02\r\n\r\n") == b""


async def test_the_slow_one_takes_its_time() -> None:
    """About two seconds."""
    loop = asyncio.get_running_loop()
    async with running("slow") as port:
        begin = loop.time()
        assert CANARY.encode() in await talk(port, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert 1.5 < loop.time() - begin < 8


async def test_the_one_that_refuses_refuses() -> None:
    """And holds its port, so that nobody else answers there."""
    async with running("refuse") as port:
        with pytest.raises(ConnectionRefusedError):
            await talk(port, b"")
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))


async def test_the_datagram_echo() -> None:
    """One datagram there, one back."""
    loop = asyncio.get_running_loop()
    async with running("udp-echo") as port:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            client.connect(("127.0.0.1", port))
            for sent, expected in ((b"ping", b"ping"), (b"whoami\n", f"{CANARY}\n".encode())):
                await loop.sock_sendall(client, sent)
                async with asyncio.timeout(5):
                    assert await loop.sock_recv(client, 100) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "JSON"), ('{"listeners": [{"name": "x"}]}', r"listeners\.0"), ('{"extra": 1}', "listeners|extra")],
)
def test_a_broken_document_is_named(content: str, message: str, tmp_path: Path) -> None:
    """With the place of the fault."""
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DocumentError, match=message):
        load_settings(tmp_path / "a.json")
    with pytest.raises(DocumentError, match=r"missing\.json"):
        load_settings(tmp_path / "missing.json")
