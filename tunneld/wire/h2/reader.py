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
        self._preface = b"" if connection.client else frames.PREFACE
        self._partial = bytearray()  # a frame header, or a control frame, that is not complete yet
        self._payload_left = 0  # bytes that the current DATA frame still has to bring

    def receive(self, data: memoryview) -> None:
        """Take bytes until they end or the connection fails."""
        connection = self._connection
        position = 0
        end = len(data)
        if self._preface:
            position = self._receive_preface(data, end)
        while position < end and connection.failed is None:
            left = self._payload_left
            if left:
                stop = position + left if left < end - position else end
                self._payload_left = left = left - (stop - position)
                connection.receive_payload(data[position:stop], last=not left)
                position = stop
            elif self._partial or end - position < frames.HEADER_SIZE:
                position = self._gather(data, position, end)
            else:
                high, low, kind, flags, stream_id = unpack_header(data, position)
                body = position + frames.HEADER_SIZE
                stop = body + (high << 16 | low)
                if kind == frames.DATA and stop <= end and connection.receive_whole(stream_id, flags, data[body:stop]):
                    position = stop  # the usual case, in one call
                else:
                    position = self._receive_frame(data, position, end)

    def _receive_preface(self, data: memoryview, end: int) -> int:
        size = min(len(self._preface), end)
        if data[:size] != self._preface[:size]:
            self._connection.fail(ErrorCode.PROTOCOL_ERROR, "no HTTP/2 preface")
            return end
        self._preface = self._preface[size:]
        return size

    def _receive_frame(self, data: memoryview, position: int, end: int) -> int:
        """Take the frame that starts at `position`; its header is complete."""
        body = position + frames.HEADER_SIZE
        header = data[position:body]
        length = header[0] << 16 | header[1] << 8 | header[2]
        if self._begin(header, length):
            return body
        stop = body + length
        if stop > end:
            self._partial += data[position:end]
            return end
        if self._connection.failed is None:
            self._control(header, bytes(data[body:stop]))
        return stop

    def _gather(self, data: memoryview, position: int, end: int) -> int:
        """Collect a frame header, then the payload of a control frame, that arrive in pieces."""
        partial = self._partial
        size = len(partial)
        if size < frames.HEADER_SIZE:
            stop = min(end, position + frames.HEADER_SIZE - size)
            partial += data[position:stop]
            position = stop
            if len(partial) < frames.HEADER_SIZE:
                return position
            header = memoryview(bytes(partial))
            if self._begin(header, header[0] << 16 | header[1] << 8 | header[2]):
                partial.clear()
                return position
        need = frames.HEADER_SIZE + (partial[0] << 16 | partial[1] << 8 | partial[2])
        stop = min(end, position + need - len(partial))
        partial += data[position:stop]
        if len(partial) == need and self._connection.failed is None:
            whole = bytes(partial)
            partial.clear()
            self._control(memoryview(whole)[: frames.HEADER_SIZE], whole[frames.HEADER_SIZE :])
        return stop

    def _begin(self, header: memoryview, length: int) -> bool:
        """Check a frame header. True: its payload streams, being unpadded DATA; False: gather the whole frame."""
        connection = self._connection
        kind = header[3]
        if length > connection.limits.frame_size:
            connection.fail(ErrorCode.FRAME_SIZE_ERROR, "frame is larger than SETTINGS_MAX_FRAME_SIZE")
        elif not connection.settings_seen and kind != frames.SETTINGS:
            connection.fail(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS")
        elif connection.header_block is not None and kind != frames.CONTINUATION:
            connection.fail(ErrorCode.PROTOCOL_ERROR, "a header block is interrupted")
        elif kind == frames.DATA and not header[4] & frames.PADDED:
            self._payload_left = length
            connection.begin_data(int.from_bytes(header[5:9], "big") & frames.MAX_STREAM_ID, length, header[4])
            return True
        return False

    def _control(self, header: memoryview, payload: bytes) -> None:
        connection = self._connection
        apply = CONTROL.get(header[3])
        if apply is not None:
            apply(connection, header[4], int.from_bytes(header[5:9], "big") & frames.MAX_STREAM_ID, payload)
        elif not connection.budgets.control.spend(connection.now):  # §5.5: unknown frames are ignored
            connection.calm(connection.budgets.control.name)
