"""What an HTTP/2 connection reports. Past tense, one class an event, in the order in which the bytes arrived."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunneld.wire.h2.frames import ErrorCode
from tunneld.wire.h2.header_block import Field

if TYPE_CHECKING:
    from tunneld.wire.h2.stream import Stream


class Event:
    """Any of the below."""

    __slots__ = ()


class RequestReceived(Event):
    """The peer opened a stream."""

    __slots__ = ("ended", "fields", "stream")

    def __init__(self, stream: Stream, fields: list[Field], ended: bool) -> None:
        self.stream = stream
        self.fields = fields
        self.ended = ended


class ResponseReceived(Event):
    """The peer answered a request of ours with a final status (1xx are skipped)."""

    __slots__ = ("ended", "fields", "status", "stream")

    def __init__(self, stream: Stream, status: int, fields: list[Field], ended: bool) -> None:
        self.stream = stream
        self.status = status
        self.fields = fields
        self.ended = ended


class DataReceived(Event):
    """Payload arrived, perhaps a part of a frame. `data` is valid only until the next `receive_data`.

    Once its bytes are written on, call `Connection.consume(stream, len(data))`.
    """

    __slots__ = ("data", "stream")

    def __init__(self, stream: Stream, data: memoryview) -> None:
        self.stream = stream
        self.data = data


class StreamEnded(Event):
    """The peer sent END_STREAM: FIN in its direction."""

    __slots__ = ("stream",)

    def __init__(self, stream: Stream) -> None:
        self.stream = stream


class StreamReset(Event):
    """The stream broke: the peer reset it, or its own frames were wrong (`by_us`)."""

    __slots__ = ("by_us", "code", "stream")

    def __init__(self, stream: Stream, code: int, by_us: bool) -> None:
        self.stream = stream
        self.code = code
        self.by_us = by_us


class StreamWritable(Event):
    """A stream that had no window has some again."""

    __slots__ = ("stream",)

    def __init__(self, stream: Stream) -> None:
        self.stream = stream


class ConnectionWritable(Event):
    """The connection's window was empty and is not any more: every stream may try again."""

    __slots__ = ()


class SettingsReceived(Event):
    """The peer's settings arrived and are in force."""

    __slots__ = ()


class PingAcknowledged(Event):
    """The peer answered a PING of ours."""

    __slots__ = ("opaque",)

    def __init__(self, opaque: bytes) -> None:
        self.opaque = opaque


class GoAwayReceived(Event):
    """The peer takes no more streams above `last_stream_id`."""

    __slots__ = ("code", "debug", "last_stream_id")

    def __init__(self, last_stream_id: int, code: int, debug: bytes) -> None:
        self.last_stream_id = last_stream_id
        self.code = code
        self.debug = debug


class ConnectionFailed(Event):
    """The connection broke its protocol and is over; GOAWAY waits in `data_to_send`. Close after sending it."""

    __slots__ = ("code", "detail")

    def __init__(self, code: ErrorCode, detail: str) -> None:
        self.code = code
        self.detail = detail
