"""Plain HTTP forwarding, both sides of it: the server that a client speaks to and the client that an origin sees.

Messages are read and written by h11 and never copied through as bytes, so that a framing which two programs could
read differently does not survive the passage. Each exchange gets fresh h11 state; what one side sends too early
stays behind for the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import NamedTuple

import h11

from tunneld.model.errors import PeerProtocolError
from tunneld.model.reasons import Reason
from tunneld.wire.handshake import Credentials
from tunneld.wire.http_head import (
    encode_refusal,
    is_authorized,
    measure_head,
    plain_words,
    refusal_body,
    refusal_fields,
    refusal_status,
)
from tunneld.wire.http_rewrite import (
    Fields,
    RequestHead,
    has_token,
    rewrite_request,
    rewrite_response,
    rewrite_trailers,
)

_CONNECT = b"CONNECT "


class RequestFailed(NamedTuple):
    """The client broke HTTP; the refusal is in `data_to_send`, and the connection must close."""

    reason: Reason
    detail: str


class ConnectAsked(NamedTuple):
    """The next request is a CONNECT: give `trailing_data` to a fresh proxy handshake."""


class ResponseFailed(NamedTuple):
    """The origin broke HTTP or ended in the middle of an answer."""

    reason: Reason
    detail: str


ServerEvent = RequestHead | h11.Data | h11.EndOfMessage | RequestFailed | ConnectAsked
ClientEvent = h11.InformationalResponse | h11.Response | h11.Data | h11.EndOfMessage | ResponseFailed

# Envoy allows 60 KiB of response headers; applications that set many cookies need more than h11's 16.
MAX_RESPONSE_HEAD = 64 * 1024

_ANSWERING = (h11.IDLE, h11.SEND_RESPONSE, h11.SEND_BODY)


class ForwardServer:
    """The client's side of one kept-alive connection."""

    __slots__ = (
        "_buffer",
        "_chunked",
        "_conn",
        "_credentials",
        "_eof",
        "_failed",
        "_http_version",
        "_is_head",
        "_out",
        "_over",
        "_upgrade",
        "responded",
    )

    def __init__(self, credentials: Credentials | None = None) -> None:
        self._credentials = credentials
        self._buffer = b""  # bytes in front of the next head
        self._eof = False
        self._out: list[bytes] = []
        self._over = False  # nothing more is read here: a failure, or a CONNECT for somebody else
        self._failed = False
        self._renew()

    def _renew(self) -> None:
        self._conn: h11.Connection | None = None  # None until a head is complete
        self._chunked = False
        self._http_version = b"1.1"
        self._is_head = False
        self._upgrade = False
        self.responded = False  # the head of the final response has been sent

    # -- reading -------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the client."""
        if self._failed:
            return
        if self._conn is None:
            self._buffer += data
        else:
            self._conn.receive_data(data)

    def receive_eof(self) -> None:
        """Take the client's end of stream."""
        self._eof = True
        if self._conn is not None:
            self._conn.receive_data(b"")

    def events(self) -> Iterator[ServerEvent]:
        """Yield what happened. Stop iterating to apply back-pressure: the rest comes with the next call."""
        while not self._over:
            event = self._read_head() if self._conn is None else self._read_body(self._conn)
            if event is None:
                return
            yield event

    @property
    def trailing_data(self) -> bytes:
        """Bytes behind the request that was read; after a failure nobody may read them."""
        if self._failed:
            return b""
        return self._buffer if self._conn is None else self._conn.trailing_data[0]

    @property
    def started(self) -> bool:
        """Whether part of a head, or a request, is here."""
        return self._conn is not None or bool(self._buffer)

    @property
    def request_complete(self) -> bool:
        """Whether the client has said all of its request."""
        return self._conn is not None and self._conn.their_state is not h11.SEND_BODY

    def _fail(self, reason: Reason, detail: str) -> RequestFailed:
        self._over = self._failed = True
        if not self.responded:
            self._out.append(encode_refusal(reason, detail))
        return RequestFailed(reason, detail)

    def _read_head(self) -> ServerEvent | None:
        buffer = self._buffer
        try:
            if buffer.startswith(_CONNECT):
                self._over = True
                return ConnectAsked()
            size = measure_head(buffer)
            if not size:
                if self._eof and buffer:
                    raise PeerProtocolError(Reason.MALFORMED_REQUEST, "the client closed in the head")
                return None
            return self._start(buffer[:size], buffer[size:])
        except PeerProtocolError as error:
            return self._fail(error.reason, error.detail)

    def _start(self, head: bytes, rest: bytes) -> RequestHead:
        conn = h11.Connection(h11.SERVER)
        conn.receive_data(head)
        try:
            request = conn.next_event()
        except h11.RemoteProtocolError as error:
            raise PeerProtocolError(Reason.MALFORMED_REQUEST, plain_words(error)) from None
        assert isinstance(request, h11.Request)  # the head is complete
        rewritten = rewrite_request(request)
        if not is_authorized(request.headers, self._credentials):
            raise PeerProtocolError(Reason.PROXY_AUTH_REQUIRED, "")
        self._conn = conn
        self._buffer = b""
        self._http_version = request.http_version
        self._is_head = request.method == b"HEAD"
        self._upgrade = any(name == b"upgrade" for name, _ in request.headers)
        if rest:
            conn.receive_data(rest)
        if self._eof:
            conn.receive_data(b"")
        return rewritten

    def _read_body(self, conn: h11.Connection) -> ServerEvent | None:
        if conn.their_state is not h11.SEND_BODY:
            return None
        try:
            event = conn.next_event()
        except h11.RemoteProtocolError as error:
            return self._fail(Reason.MALFORMED_REQUEST, plain_words(error))
        return event if isinstance(event, h11.Data | h11.EndOfMessage) else None

    # -- writing -------------------------------------------------------------------------------------------------

    def data_to_send(self) -> bytes:
        """Return the bytes to write since the last call."""
        out = b"".join(self._out)
        self._out.clear()
        return out

    def inform(self, response: h11.InformationalResponse) -> None:
        """Pass on a 1xx. A client of HTTP/1.0 must not see one (RFC 9110 §15.2)."""
        if self._http_version == b"1.1":
            status, fields = response.status_code, rewrite_response(response)
            self._send(h11.InformationalResponse(status_code=status, headers=fields, reason=response.reason))

    def respond(self, response: h11.Response) -> None:
        """Pass on the head of the final response."""
        self._respond(response.status_code, rewrite_response(response), response.reason)

    def respond_data(self, data: h11.Data) -> None:
        """Pass on a piece of the body."""
        self._send(h11.Data(data=data.data))

    def respond_end(self, end: h11.EndOfMessage) -> None:
        """Pass on the end of the body; trailers where the client's framing has room for them."""
        self._send(h11.EndOfMessage(headers=rewrite_trailers(end.headers) if self._chunked else []))

    def refuse(self, reason: Reason, detail: str = "") -> None:
        """Answer the request ourselves, with `reason`."""
        body = refusal_body(reason, detail)
        fields = [(name.encode(), value.encode()) for name, value in refusal_fields(reason)]
        self._answer(HTTPStatus(refusal_status(reason)), fields, body)

    def answer_options(self) -> None:
        """Answer OPTIONS as its final recipient (RFC 9110 §7.6.2)."""
        self._answer(HTTPStatus.OK, [], b"")

    def next_request(self) -> bool:
        """Prepare for the next request, if the connection lives on after a completed exchange."""
        conn = self._conn
        if conn is None or conn.our_state is not h11.DONE or conn.their_state is not h11.DONE:
            return False
        rest = conn.trailing_data[0]
        if rest and self._upgrade:
            # Sent in the hope of another protocol, which was refused: never read it as a request (RFC 9931).
            return False
        self._buffer = rest
        self._renew()
        return True

    def _answer(self, status: HTTPStatus, fields: Fields, body: bytes) -> None:
        # What is here of a body is read and dropped, so that the connection can live on if that was all.
        for _ in self.events():
            pass
        if self._failed:
            return
        self._respond(status, [*fields, (b"Content-Length", b"%d" % len(body))], status.phrase.encode())
        if body and not self._is_head:
            self._send(h11.Data(data=body))
        self._send(h11.EndOfMessage())

    def _respond(self, status: int, fields: Fields, phrase: bytes) -> None:
        if not self.request_complete:
            # A request that is answered before its end is not read to its end.
            fields = [*fields, (b"Connection", b"close")]
        self.responded = True
        head = self._send(h11.Response(status_code=status, headers=fields, reason=phrase))
        self._chunked = b"\r\ntransfer-encoding: chunked\r\n" in head.lower()

    def _send(self, event: h11.Event) -> bytes:
        assert self._conn is not None
        data = self._conn.send(event) or b""
        self._out.append(data)
        return data


class ForwardClient:
    """What one origin connection sees: one exchange after the other."""

    __slots__ = ("_chunked", "_conn", "_eof", "_out", "_spoiled", "responding")

    def __init__(self) -> None:
        self._conn: h11.Connection | None = None
        self._chunked = False
        self._out: list[bytes] = []
        self._eof = False
        self._spoiled = False  # it spoke out of turn, or broke HTTP
        self.responding = False  # bytes of the current answer have come

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent on this connection."""
        conn = self._conn
        if self._eof or self._spoiled:
            return False
        return conn is None or (
            conn.our_state is h11.DONE and conn.their_state is h11.DONE and not conn.trailing_data[0]
        )

    @property
    def idle(self) -> bool:
        """Whether no exchange is in progress: nothing is lost if the connection ends now."""
        conn = self._conn
        return not self._spoiled and (
            conn is None or (conn.our_state is not h11.SEND_BODY and conn.their_state not in _ANSWERING)
        )

    @property
    def trailing_data(self) -> bytes:
        """Bytes behind a 101: they belong to the protocol that was switched to."""
        return b"" if self._conn is None else self._conn.trailing_data[0]

    def start(self, head: RequestHead) -> None:
        """Send the head of a request."""
        self._conn = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_RESPONSE_HEAD)
        self._chunked = has_token(head.fields, b"transfer-encoding", b"chunked")
        self.responding = False
        self._send(h11.Request(method=head.method, target=head.target, headers=head.fields))

    def send_data(self, data: h11.Data) -> None:
        """Send a piece of the request's body."""
        self._send(h11.Data(data=data.data))

    def send_end(self, end: h11.EndOfMessage) -> None:
        """Send the end of the request."""
        self._send(h11.EndOfMessage(headers=rewrite_trailers(end.headers) if self._chunked else []))

    def data_to_send(self) -> bytes:
        """Return the bytes to write since the last call."""
        out = b"".join(self._out)
        self._out.clear()
        return out

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the origin."""
        if self._conn is None or self._spoiled:
            self._spoiled = True  # nobody asked
            return
        self.responding = True
        self._conn.receive_data(data)

    def receive_eof(self) -> None:
        """Take the origin's end of stream."""
        self._eof = True
        if self._conn is not None and not self._spoiled:
            self._conn.receive_data(b"")

    def events(self) -> Iterator[ClientEvent]:
        """Yield what happened."""
        conn = self._conn
        while conn is not None and not self._spoiled and conn.their_state in _ANSWERING:
            try:
                event = conn.next_event()
            except h11.RemoteProtocolError as error:
                self._spoiled = True
                yield ResponseFailed(Reason.ORIGIN_RESET if self._eof else Reason.ORIGIN_PROTOCOL, plain_words(error))
                return
            if not isinstance(event, h11.InformationalResponse | h11.Response | h11.Data | h11.EndOfMessage):
                return  # NEED_DATA
            yield event

    def _send(self, event: h11.Event) -> None:
        assert self._conn is not None
        self._out.append(self._conn.send(event) or b"")
