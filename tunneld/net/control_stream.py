"""The control stream: JSON lines in both directions on one long-lived tunnel stream."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tunneld.model.reasons import Reason
from tunneld.net.relay import NOBODY, FlowEnd

MAX_LINE = 16 * 1024  # a token line is the largest: 12 KiB of token and its frame of JSON

_SPACE = memoryview(bytearray(4096))


class ControlStream:
    """A `FlowEnd` that is a conversation instead of a socket. Link it with a StreamEnd as its `peer`.

    `on_message(message)` gets each object; `on_closed(reason)` is called once when the stream is over.
    """

    def __init__(self, on_message: Callable[[dict[str, Any]], None], on_closed: Callable[[Reason], None]) -> None:
        self.peer: FlowEnd = NOBODY
        self._on_message = on_message
        self._on_closed = on_closed
        self._buffer = bytearray()
        self._closed = False

    def send(self, message: dict[str, Any]) -> None:
        """Send one message."""
        if not self._closed:
            self.peer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def write(self, data: memoryview | bytes) -> None:
        """Take bytes from the far side and report every complete line."""
        self._buffer += data
        while not self._closed:
            line, newline, rest = self._buffer.partition(b"\n")
            if len(line) > MAX_LINE:
                self._break()
            elif newline:
                self._buffer = rest
                self._report(bytes(line))
            else:
                return

    def write_eof(self) -> None:
        """The far side ended the conversation."""
        self.reset(Reason.COMPLETED)

    def reset(self, reason: Reason) -> None:
        """The conversation is over."""
        if not self._closed:
            self._closed = True
            self.peer = NOBODY
            self._on_closed(reason)

    def borrow(self) -> memoryview:
        """Lend space; nobody reads into a conversation, but the contract of an end holds."""
        return _SPACE

    def commit(self, size: int) -> None:
        """Take borrowed bytes."""
        self.write(_SPACE[:size])

    def pause_reading(self) -> None:
        """What is sent waits in the stream: it is a few lines a minute."""

    def resume_reading(self) -> None:
        """Nothing was stopped."""

    def _report(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if isinstance(message, dict) and isinstance(message.get("type"), str):
            self._on_message(message)
        else:
            self._break()

    def _break(self) -> None:
        peer = self.peer
        self.reset(Reason.MALFORMED_REQUEST)
        peer.reset(Reason.MALFORMED_REQUEST)
