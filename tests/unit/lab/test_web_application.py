"""The lab's web server where the client is gone before anybody looked at it."""

from __future__ import annotations

import asyncio

import pytest

from tunneld.lab.web_application import Site, WebConnection


class Transport(asyncio.Transport):
    """Keeps what is written, and says of its peer what it was told to say."""

    def __init__(self, peer: tuple[str, int] | None) -> None:
        super().__init__({"peername": peer})
        self.written = b""

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.written += data

    def is_closing(self) -> bool:
        return False


@pytest.mark.parametrize(("peer", "client"), [(("127.0.0.1", 7), "127.0.0.1:7"), (None, "unknown")])
def test_a_request_is_answered_whether_or_not_its_client_has_an_address(
    peer: tuple[str, int] | None, client: str
) -> None:
    connection, transport = WebConnection(Site("web", "t", "canary")), Transport(peer)
    connection.connection_made(transport)
    connection.data_received(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    assert f"x-client: {client}\r\n".encode() in transport.written
