"""One HTTP/2 stream: two half-streams, two windows, and whatever its owner attaches to it."""

from __future__ import annotations

from typing import Any


class Stream:
    """State of one stream. `owner` belongs to the shell; the codec never looks at it."""

    __slots__ = (
        "answered",
        "credit",
        "expects_data",
        "id",
        "local_closed",
        "owed",
        "owner",
        "receive_window",
        "remote_closed",
        "send_window",
        "starved",
    )

    def __init__(self, stream_id: int, send_window: int, receive_window: int) -> None:
        self.id = stream_id
        self.send_window = send_window
        self.receive_window = receive_window
        self.credit = 0  # bytes consumed but not yet announced with WINDOW_UPDATE
        self.owed = 0  # bytes received but not yet consumed
        self.local_closed = False  # we sent END_STREAM
        self.remote_closed = False  # the peer sent END_STREAM
        self.answered = False  # the final response was sent or received
        self.expects_data = True  # DATA is allowed: the peer's request or its final response arrived
        self.starved = False  # its owner found the window empty and waits for StreamWritable
        self.owner: Any = None

    @property
    def closed(self) -> bool:
        """Say whether both directions ended."""
        return self.local_closed and self.remote_closed
