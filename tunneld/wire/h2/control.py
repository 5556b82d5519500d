"""What each frame other than plain DATA does to a connection: one function a frame type, one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tunneld.wire.h2 import frames
from tunneld.wire.h2.events import (
    ConnectionWritable,
    GoAwayReceived,
    PingAcknowledged,
    RequestReceived,
    ResponseReceived,
    SettingsReceived,
    StreamReset,
    StreamWritable,
)
from tunneld.wire.h2.frames import ErrorCode, Setting
from tunneld.wire.h2.header_block import FIELDS_200, MAX_HEADER_LIST, Field, HeaderError
from tunneld.wire.h2.semantics import request_fault, response_status

if TYPE_CHECKING:
    from tunneld.wire.h2.connection import Connection
    from tunneld.wire.h2.stream import Stream

MAX_SETTINGS = 32  # in one frame, as nghttp2 since CVE-2020-11080: each may touch every stream
BYTES_PER_UPDATE = 2048  # see `Budgets.updates`


def on_data(connection: Connection, flags: int, stream_id: int, payload: bytes) -> None:
    """Only padded DATA comes here; plain DATA is streamed."""
    connection.receive_padded(stream_id, flags, payload)


def on_headers(connection: Connection, flags: int, stream_id: int, payload: bytes) -> None:
    """Strip padding and priority (§6.2), then wait for the block's end."""
    if stream_id == 0:
        connection.fail(ErrorCode.PROTOCOL_ERROR, "HEADERS on stream 0")
        return
    start, stop = 0, len(payload)
    if flags & frames.PADDED:
        start, stop = 1, stop - (payload[0] if payload else 0)
    if flags & frames.PRIORITY_FLAG:
        start += 5
    if start > stop:
        connection.fail(ErrorCode.PROTOCOL_ERROR, "padding exceeds the frame")
    elif flags & frames.END_HEADERS:
        _on_block(connection, flags, stream_id, payload[start:stop])
    else:
        connection.header_block = bytearray(payload[start:stop])
        connection.header_stream = stream_id
        connection.header_flags = flags
        _check_block_size(connection)


def on_continuation(connection: Connection, flags: int, stream_id: int, payload: bytes) -> None:
    """Collect a header block (§6.10); its size and its empty pieces are limited (CVE-2024-27316)."""
    block = connection.header_block
    if block is None or stream_id != connection.header_stream:
        connection.fail(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without its HEADERS")
        return
    block += payload
    if not _check_block_size(connection):
        return
    if not connection.budgets.empty.spend(connection.now):
        connection.calm(connection.budgets.empty.name)
    elif flags & frames.END_HEADERS:
        connection.header_block = None
        _on_block(connection, connection.header_flags, stream_id, bytes(block))


def _check_block_size(connection: Connection) -> bool:
    block = connection.header_block
    if block is not None and len(block) > MAX_HEADER_LIST:
        connection.calm("header block is too large")
        return False
    return True


def _on_block(connection: Connection, flags: int, stream_id: int, block: bytes) -> None:
    """Decode a complete block: always, because the decoder's state is shared by all streams."""
    try:
        fields = connection.decoder.decode(block)
    except HeaderError as error:
        connection.fail(ErrorCode.COMPRESSION_ERROR, str(error))
        return
    ended = bool(flags & frames.END_STREAM)
    stream = connection.streams.get(stream_id)
    if stream is not None:
        if connection.is_own(stream_id) and not stream.answered:
            _on_response(connection, stream, fields, ended)
        else:
            _on_trailers(connection, stream)
    elif connection.client or connection.is_own(stream_id) or stream_id <= connection.highest_remote:
        connection.stray(stream_id)
    else:
        _on_request(connection, stream_id, fields, ended)


def _on_request(connection: Connection, stream_id: int, fields: list[Field], ended: bool) -> None:
    stream = connection.accept_stream(stream_id)
    if stream is None:
        return
    fault = request_fault(fields)
    if fault is not None:
        connection.stream_error(stream, ErrorCode.PROTOCOL_ERROR)
        return
    stream.remote_closed = ended
    connection.pending.append(RequestReceived(stream, fields, ended))


def _on_response(connection: Connection, stream: Stream, fields: list[Field], ended: bool) -> None:
    status = 200 if fields is FIELDS_200 else response_status(fields)
    if status is None or stream.remote_closed:
        connection.stream_error(stream, ErrorCode.PROTOCOL_ERROR)
        return
    if status < 200:
        if ended:  # §8.1: an interim response never ends the stream
            connection.stream_error(stream, ErrorCode.PROTOCOL_ERROR)
        elif not connection.budgets.control.spend(connection.now):
            connection.calm("interim responses")
        return
    stream.answered = stream.expects_data = True
    stream.remote_closed = ended
    connection.pending.append(ResponseReceived(stream, status, fields, ended))
    if stream.closed:
        connection.forget(stream)


def _on_trailers(connection: Connection, stream: Stream) -> None:
    """A second block can only be trailers, which a tunnel has no room for: END_STREAM in them is no FIN (§8.5)."""
    code = ErrorCode.STREAM_CLOSED if stream.remote_closed else ErrorCode.PROTOCOL_ERROR
    connection.stream_error(stream, code)


def on_priority(connection: Connection, flags: int, stream_id: int, payload: bytes) -> None:
    """Priorities are deprecated (§5.3.2): check the size, count, ignore."""
    if stream_id == 0:
        connection.fail(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0")
    elif len(payload) != 5:
        connection.fail(ErrorCode.FRAME_SIZE_ERROR, "malformed PRIORITY")
    elif not connection.budgets.control.spend(connection.now):
        connection.calm("PRIORITY frames")


def on_rst_stream(connection: Connection, flags: int, stream_id: int, payload: bytes) -> None:
    """The peer broke a stream (§6.4); too many, above all unanswered ones, are Rapid Reset."""
    if len(payload) != 4:
        connection.fail(ErrorCode.FRAME_SIZE_ERROR, "malformed RST_STREAM")
        return
    stream = connection.streams.get(stream_id)
    if stream is None:
        connection.stray(stream_id)
        return
    budgets = connection.budgets
    rapid = not connection.client and not stream.answered
    if not budgets.resets.spend(connection.now) or (rapid and not budgets.premature.spend(connection.now)):
        connection.calm("reset flood")
        return
    connection.pending.append(StreamReset(stream, int.from_bytes(payload, "big"), by_us=False))
    connection.forget(stream)


def on_settings(connection: Connection, flags: int, stream_id: int, payload: bytes) -> None:
    """Apply the peer's settings (§6.5) and acknowledge them."""
    if stream_id != 0 or (flags & frames.ACK and not connection.settings_seen):
        connection.fail(ErrorCode.PROTOCOL_ERROR, "misplaced SETTINGS")
        return
    if len(payload) % 6 or (flags & frames.ACK and payload):
        connection.fail(ErrorCode.FRAME_SIZE_ERROR, "malformed SETTINGS")
        return
    if len(payload) > MAX_SETTINGS * 6 or not connection.budgets.control.spend(connection.now):
        connection.calm("SETTINGS frames")
        return
    if flags & frames.ACK:
        return
    for position in range(0, len(payload), 6):
        key = int.from_bytes(payload[position : position + 2], "big")
        value = int.from_bytes(payload[position + 2 : position + 6], "big")
        fault = _apply_setting(connection, key, value)
        if fault is not None:
            connection.fail(fault, f"setting {key} is out of range")
            return
    connection.settings_seen = True
    connection.out.append(frames.frame(frames.SETTINGS, frames.ACK, 0))
    connection.pending.append(SettingsReceived())


def _apply_setting(connection: Connection, key: int, value: int) -> ErrorCode | None:
    if key == Setting.INITIAL_WINDOW_SIZE:
        if value > frames.MAX_WINDOW:
            return ErrorCode.FLOW_CONTROL_ERROR
        return _change_initial_window(connection, value)
    if key == Setting.MAX_FRAME_SIZE:
        if not frames.MIN_FRAME_SIZE <= value <= frames.MAX_FRAME_SIZE:
            return ErrorCode.PROTOCOL_ERROR
        connection.peer_frame_size = value
    elif key == Setting.MAX_CONCURRENT_STREAMS:
        connection.peer_streams = value
    elif key == Setting.ENABLE_PUSH:
        if value > (0 if connection.client else 1):  # §6.5.2: only a client may ask for pushes
            return ErrorCode.PROTOCOL_ERROR
    elif key == Setting.ENABLE_CONNECT_PROTOCOL and value > 1:
        return ErrorCode.PROTOCOL_ERROR
    # HEADER_TABLE_SIZE limits an encoder's dynamic table; ours never uses one (RFC 7541 §4.2).
    return None


def _change_initial_window(connection: Connection, value: int) -> ErrorCode | None:
    """Shift every stream's window by the difference (§6.9.2); it may become negative."""
    change = value - connection.peer_initial_window
    connection.peer_initial_window = value
    for stream in connection.streams.values():
        stream.send_window += change
        if stream.send_window > frames.MAX_WINDOW:
            return ErrorCode.FLOW_CONTROL_ERROR
        if stream.starved and stream.send_window > 0:
            stream.starved = False
            connection.pending.append(StreamWritable(stream))
    return None


def on_push_promise(connection: Connection, flags: int, stream_id: int, payload: bytes) -> None:
    """We never allow push (§8.4)."""
    connection.fail(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE is disabled")


def on_ping(connection: Connection, flags: int, stream_id: int, payload: bytes) -> None:
    """Echo PING (§6.7)."""
    if len(payload) != 8:
        connection.fail(ErrorCode.FRAME_SIZE_ERROR, "malformed PING")
    elif stream_id != 0:
        connection.fail(ErrorCode.PROTOCOL_ERROR, "PING on a stream")
    elif not connection.budgets.control.spend(connection.now):
        connection.calm("PING frames")
    elif flags & frames.ACK:
        connection.pending.append(PingAcknowledged(payload))
    else:
        connection.out.append(frames.frame(frames.PING, frames.ACK, 0, payload))


def on_goaway(connection: Connection, flags: int, stream_id: int, payload: bytes) -> None:
    """The peer drains or gives up (§6.8). Streams of ours above its last id were not processed."""
    if stream_id != 0:
        connection.fail(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream")
        return
    if len(payload) < 8:
        connection.fail(ErrorCode.FRAME_SIZE_ERROR, "malformed GOAWAY")
        return
    if not connection.budgets.control.spend(connection.now):
        connection.calm("GOAWAY frames")
        return
    last = int.from_bytes(payload[:4], "big") & frames.MAX_STREAM_ID
    connection.peer_goaway = last
    connection.pending.append(GoAwayReceived(last, int.from_bytes(payload[4:8], "big"), payload[8:136]))
    for stream in [s for s in connection.streams.values() if connection.is_own(s.id) and s.id > last]:
        connection.pending.append(StreamReset(stream, ErrorCode.REFUSED_STREAM, by_us=False))
        connection.forget(stream)


def on_window_update(connection: Connection, flags: int, stream_id: int, payload: bytes) -> None:
    """Credit from the peer (§6.9)."""
    if len(payload) != 4:
        connection.fail(ErrorCode.FRAME_SIZE_ERROR, "malformed WINDOW_UPDATE")
        return
    if not _may_update(connection):
        connection.calm("WINDOW_UPDATE frames")
        return
    increment = int.from_bytes(payload, "big") & frames.MAX_WINDOW
    if stream_id == 0:
        _credit_connection(connection, increment)
        return
    stream = connection.streams.get(stream_id)
    if stream is None:
        connection.stray(stream_id)
    elif increment == 0:
        connection.stream_error(stream, ErrorCode.PROTOCOL_ERROR)
    elif stream.send_window + increment > frames.MAX_WINDOW:
        connection.stream_error(stream, ErrorCode.FLOW_CONTROL_ERROR)
    else:
        stream.send_window += increment
        if stream.starved and stream.send_window > 0:
            stream.starved = False
            connection.pending.append(StreamWritable(stream))


def _may_update(connection: Connection) -> bool:
    """Say whether one more WINDOW_UPDATE is in proportion to what we sent."""
    updates = connection.budgets.updates
    sent = connection.credited - connection.send_window
    updates.refund((sent - connection.sent_before) / BYTES_PER_UPDATE)
    connection.sent_before = sent
    return updates.spend(connection.now)


def _credit_connection(connection: Connection, increment: int) -> None:
    if increment == 0:
        connection.fail(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
    elif connection.send_window + increment > frames.MAX_WINDOW:
        connection.fail(ErrorCode.FLOW_CONTROL_ERROR, "connection window overflows")
    else:
        connection.send_window += increment
        connection.credited += increment
        if connection.blocked:
            connection.blocked = False
            connection.pending.append(ConnectionWritable())


CONTROL: dict[int, Callable[[Connection, int, int, bytes], None]] = {
    frames.DATA: on_data,
    frames.HEADERS: on_headers,
    frames.PRIORITY: on_priority,
    frames.RST_STREAM: on_rst_stream,
    frames.SETTINGS: on_settings,
    frames.PUSH_PROMISE: on_push_promise,
    frames.PING: on_ping,
    frames.GOAWAY: on_goaway,
    frames.WINDOW_UPDATE: on_window_update,
    frames.CONTINUATION: on_continuation,
}
