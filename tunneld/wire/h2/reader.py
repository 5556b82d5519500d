"""Cuts the byte stream into frames, however it is chopped. DATA payload passes through without being gathered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunneld.wire.h2 import frames
from tunneld.wire.h2.control import CONTROL
from tunneld.wire.h2.frames import ErrorCode, unpack_header

if TYPE_CHECKING:
    from tunneld.wire.h2.connection import Connection


class FrameReader:
    """The receiving half of a connection, up to whole frames."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.preface = b"" if connection.client else frames.PREFACE
        self.partial = bytearray()  # a frame header, or a control frame, that is not complete yet
        self.payload_left = 0  # bytes that the current DATA frame still has to bring

    def receive(self, data: memoryview) -> None:
        """Take bytes until they end or the connection fails."""
        connection = self._connection
        position = 0
        end = len(data)
        if self.preface:
            position = self._receive_preface(data, end)
        while position < end and connection.failed is None:
            left = self.payload_left
            if left:
                stop = position + left if left < end - position else end
                self.payload_left = left = left - (stop - position)
                connection.receive_payload(data[position:stop], last=not left)
                position = stop
            elif self.partial or end - position < frames.HEADER_SIZE:
                position = self._gather(data, position, end)
            else:
                high, low, kind, flags, stream_id = unpack_header(data, position)
                stream_id &= frames.MAX_STREAM_ID  # §4.1: the reserved bit is ignored
                body = position + frames.HEADER_SIZE
                stop = body + (high << 16 | low)
                if kind == frames.DATA and stop <= end and connection.receive_whole(stream_id, flags, data[body:stop]):
                    position = stop  # the usual case, in one call
                elif self._begin(kind, flags, stream_id, stop - body):
                    position = body
                elif stop > end:
                    self.partial += data[position:end]
                    position = end
                else:
                    self._control(kind, flags, stream_id, bytes(data[body:stop]))
                    position = stop

    def _receive_preface(self, data: memoryview, end: int) -> int:
        size = min(len(self.preface), end)
        if data[:size] != self.preface[:size]:
            self._connection.fail(ErrorCode.PROTOCOL_ERROR, "no HTTP/2 preface")
            return end
        self.preface = self.preface[size:]
        return size

    def _gather(self, data: memoryview, position: int, end: int) -> int:
        """Collect a frame header, then the payload of a control frame, that arrive in pieces."""
        partial = self.partial
        size = len(partial)
        complete = size >= frames.HEADER_SIZE
        if not complete:
            stop = min(end, position + frames.HEADER_SIZE - size)
            partial += data[position:stop]
            position = stop
            if len(partial) < frames.HEADER_SIZE:
                return position
        high, low, kind, flags, stream_id = unpack_header(partial)
        stream_id &= frames.MAX_STREAM_ID
        length: int = high << 16 | low
        if not complete and self._begin(kind, flags, stream_id, length):
            partial.clear()
            return position
        need = frames.HEADER_SIZE + length
        stop = min(end, position + need - len(partial))
        partial += data[position:stop]
        if len(partial) == need:
            payload = bytes(partial[frames.HEADER_SIZE :])
            partial.clear()
            self._control(kind, flags, stream_id, payload)
        return stop

    def _begin(self, kind: int, flags: int, stream_id: int, length: int) -> bool:
        """Check a frame header. True: its payload streams, being unpadded DATA; False: gather the whole frame."""
        connection = self._connection
        if length > connection.limits.frame_size:
            connection.fail(ErrorCode.FRAME_SIZE_ERROR, "frame is larger than SETTINGS_MAX_FRAME_SIZE")
        elif not connection.settings_seen and kind != frames.SETTINGS:
            connection.fail(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS")
        elif connection.header_block is not None and kind != frames.CONTINUATION:
            connection.fail(ErrorCode.PROTOCOL_ERROR, "a header block is interrupted")
        elif kind == frames.DATA and not flags & frames.PADDED:
            self.payload_left = length
            connection.begin_data(stream_id, length, flags)
            return True
        return False

    def _control(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        connection = self._connection
        if connection.failed is not None:
            return
        apply = CONTROL.get(kind)
        if apply is not None:
            apply(connection, flags, stream_id, payload)
        elif not connection.budgets.control.spend(connection.now):  # §5.5: unknown frames are ignored
            connection.calm(connection.budgets.control.name)
