"""Plain HTTP forwarding: one client connection, one flow for each origin that its requests name.

`HttpForwarder` is the client's side: it reads requests, asks the opener for a flow to each origin and keeps that flow
for following requests as long as they would be decided in the same way. `OriginEnd` is the near end of such a flow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import h11

from tunneld.inbound.linger import linger
from tunneld.inbound.origin import OriginEnd, OriginRequest
from tunneld.inbound.reception import Reception
from tunneld.model.reasons import Reason
from tunneld.net.attach import abort_with_reset
from tunneld.wire.http_forward import ClientEvent, ForwardServer, RequestFailed, ResponseFailed
from tunneld.wire.http_head import encode_refusal
from tunneld.wire.http_rewrite import RequestHead

BackToHandshake = Callable[[Reception, tuple[str, int], Any, bytes], None]

# RFC 9110 §9.2.2; only these may be sent a second time when a kept connection turns out to be closed (RFC 9112 §9.3.1).
_IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})


class HttpForwarder(asyncio.Protocol):
    """The client's side of a kept-alive HTTP proxy connection."""

    def __init__(self, reception: Reception, source: tuple[str, int], back: BackToHandshake) -> None:
        self._reception = reception
        self._source = source
        self._back = back
        self._server = ForwardServer(reception.credentials)
        self._transport: Any = None
        self._head: RequestHead | None = None  # of the exchange in progress
        self._asked: OriginRequest | None = None  # the flow we wait for
        self._origin: OriginEnd | None = None
        self._fresh = True  # the exchange runs on a flow that was opened for it
        self._sent_body = False
        self._sent_end: h11.EndOfMessage | None = None
        self._advancing = False
        self._reading_paused = False
        self._writing_paused = False
        self._eof = False
        self._over = False

    # -- what asyncio calls --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport over from the handshake."""
        self._transport = transport
        self._reception.forwarders.add(self)
        self._await_request()

    def data_received(self, data: bytes) -> None:
        """Read requests as far as back-pressure allows; at most two reads are held beyond that.

        Reading stops only at the second one, because a transport that is not read does not see its client leave,
        and most clients say nothing while they wait.
        """
        was_stalled = self._is_stalled()
        self._server.receive_data(data)
        self._advance()
        if was_stalled and not self._over and self._is_stalled():
            self._reading_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Finish the exchange that the client waits for, then close."""
        self._eof = True
        self._server.receive_eof()
        self._advance()
        if self._head is None and not self._over:
            self._finish()
        return not self._over

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the flow down with the client."""
        self._end()

    def pause_writing(self) -> None:
        """The client reads slowly: let the origin wait."""
        self._writing_paused = True
        if self._origin is not None:
            self._origin.peer.pause_reading()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._writing_paused = False
        if self._origin is not None:
            self._origin.peer.resume_reading()

    # -- what the deadlines and the listener call ----------------------------------------------------------------

    def expire(self) -> None:
        """Close: no request came, or not all of it."""
        if self._server.started:
            self._reception.failed(Reason.HANDSHAKE_TIMEOUT, "", self._source)
            self._finish(encode_refusal(Reason.HANDSHAKE_TIMEOUT))
        else:
            self._finish()

    def cut(self) -> None:
        """Close at once."""
        self._end()
        self._transport.abort()

    # -- what the origin's side calls ----------------------------------------------------------------------------

    def opened(self, origin: OriginEnd) -> None:
        """Go on with the request that waited for this flow."""
        self._asked = None
        self._origin = origin
        self._fresh = True
        self._begin_exchange(origin)
        self._advance()

    def refused(self, reason: Reason, detail: str) -> None:
        """Tell the client why its request goes nowhere; the connection lives on if the request is complete."""
        self._asked = None
        self._server.refuse(reason, detail)
        self._exchange_over()

    def answered(self, origin: OriginEnd) -> None:
        """Pass on what the origin said."""
        for event in origin.client.events():
            self._pass_on(origin, event)
            if self._origin is not origin or self._over:
                return
        self._flush()

    def broke(self, origin: OriginEnd, reason: Reason, detail: str = "") -> None:
        """The flow to the origin is gone: say so, or break off if the client has seen part of an answer."""
        if self._origin is not origin:
            return
        self._origin = None
        if self._head is None:
            return
        if self._server.responded:
            self._end()
            abort_with_reset(self._transport)  # a truncated answer must not look complete
        elif self._may_repeat(origin):
            self._ask(self._head)
        else:
            self.refused(reason, detail)

    def closed(self, origin: OriginEnd) -> None:
        """Forget a kept flow that its origin has ended."""
        if self._origin is origin:
            self._origin = None

    def unblocked(self) -> None:
        """The flow takes bytes again."""
        self._advance()

    # -- requests ------------------------------------------------------------------------------------------------

    def _is_stalled(self) -> bool:
        if self._head is None:
            return False
        return self._origin is None or self._origin.blocked or self._server.request_complete

    def _advance(self) -> None:
        """Pull requests and bodies until something has to wait.

        What it calls may call it again, which the loop already running takes care of: a client that pipelines
        thousands of requests must not exhaust the stack.
        """
        if self._advancing:
            return
        self._advancing = True
        while not self._over and (self._head is None or (self._origin is not None and not self._origin.blocked)):
            event = next(self._server.events(), None)
            if event is None:
                break
            if isinstance(event, RequestHead):
                self._take_request(event)
            elif isinstance(event, h11.Data | h11.EndOfMessage):
                self._send_on(event)
            elif isinstance(event, RequestFailed):
                self._fail(event)
            else:
                self._to_handshake()
        self._advancing = False
        if self._over:
            return
        self._flush()
        if self._head is None:
            self._await_request()
        if self._reading_paused and not self._is_stalled():
            self._reading_paused = False
            self._transport.resume_reading()

    def _await_request(self) -> None:
        reception = self._reception
        if self._server.started:
            reception.idle.discard(self)
            reception.handshakes.add_once(self)
        else:
            reception.idle.add_once(self)

    def _take_request(self, head: RequestHead) -> None:
        self._reception.idle.discard(self)
        self._reception.handshakes.discard(self)
        self._head = head
        self._sent_body = False
        self._sent_end = None
        if head.local:
            self._server.answer_options()
            self._exchange_over()
            return
        origin = self._origin
        if origin is not None and origin.serves(head) and self._reception.opener.may_reuse(origin.request):
            self._fresh = False
            self._begin_exchange(origin)
            return
        self._leave_origin()
        self._ask(head)

    def _ask(self, head: RequestHead) -> None:
        authority = (head.host, head.port)
        self._asked = request = OriginRequest(self, authority, self._source, self._reception.lingering)
        self._reception.opener.open(request)

    def _begin_exchange(self, origin: OriginEnd) -> None:
        assert self._head is not None
        if self._writing_paused:
            origin.peer.pause_reading()
        origin.client.start(self._head)
        if self._sent_end is not None:
            origin.client.send_end(self._sent_end)
        origin.flush()

    def _send_on(self, event: h11.Data | h11.EndOfMessage) -> None:
        assert self._origin is not None
        if isinstance(event, h11.Data):
            self._sent_body = True
            self._origin.client.send_data(event)
        else:
            self._sent_end = event
            self._origin.client.send_end(event)
        self._origin.flush()

    def _may_repeat(self, origin: OriginEnd) -> bool:
        # A kept connection may be closed by its server just as we use it, which is nobody's fault.
        assert self._head is not None
        return not (self._fresh or origin.client.responding or self._sent_body) and self._head.method in _IDEMPOTENT

    def _fail(self, failure: RequestFailed) -> None:
        self._reception.failed(failure.reason, failure.detail, self._source)
        if self._server.responded:
            self._end()
            abort_with_reset(self._transport)
        else:
            self._finish()

    def _to_handshake(self) -> None:
        data = self._server.trailing_data
        self._end()
        self._back(self._reception, self._source, self._transport, data)

    # -- answers -------------------------------------------------------------------------------------------------

    def _pass_on(self, origin: OriginEnd, event: ClientEvent) -> None:
        if isinstance(event, h11.Data):
            self._server.respond_data(event)
        elif isinstance(event, h11.Response):
            self._server.respond(event)
        elif isinstance(event, h11.EndOfMessage):
            self._server.respond_end(event)
            self._exchange_over()
        elif isinstance(event, ResponseFailed):
            origin.fail(event.reason)
            self.broke(origin, event.reason, event.detail)
        elif event.status_code == 101:
            if self._server.request_complete:
                self._switch(origin, event)
            else:
                origin.fail(Reason.ORIGIN_PROTOCOL)
                self.broke(origin, Reason.ORIGIN_PROTOCOL, "101 in the middle of the request")
        else:
            self._server.inform(event)

    def _switch(self, origin: OriginEnd, event: h11.InformationalResponse) -> None:
        """Leave HTTP: the client's transport becomes an ordinary end of the origin's flow."""
        self._server.inform(event)
        self._flush()
        early, late = self._server.trailing_data, origin.client.trailing_data
        far, near = origin.peer, origin.switch()
        self._origin = None
        self._end()
        self._transport.set_protocol(near)
        near.connection_made(self._transport)
        if late:
            near.write(late)
        if early:
            far.write(early)
        if self._reading_paused:
            near.resume_reading()
        if self._eof:
            near.eof_received()

    def _exchange_over(self) -> None:
        self._head = None
        if self._origin is not None and not self._origin.client.reusable:
            self._leave_origin()
        if self._server.next_request() and not self._eof:
            self._advance()
        elif not self._over:
            self._finish()

    def _leave_origin(self) -> None:
        origin, self._origin = self._origin, None
        if origin is not None:
            if self._writing_paused:
                origin.peer.resume_reading()
            origin.leave()

    # -- ends ----------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        out = self._server.data_to_send()
        if out:
            self._transport.write(out)

    def _finish(self, out: bytes = b"") -> None:
        """Close in order, with what is still to be said."""
        if self._over:
            return
        self._end()
        linger(self._transport, self._reception.lingering, self._server.data_to_send() + out, eof=self._eof)

    def _end(self) -> None:
        """Let go of everything but the transport. Idempotent."""
        if self._over:
            return
        self._over = True
        reception = self._reception
        reception.idle.discard(self)
        reception.handshakes.discard(self)
        reception.forwarders.discard(self)
        asked, self._asked = self._asked, None
        if asked is not None:
            asked.abandon()
        self._leave_origin()
