"""The states of a channel and of the daemon, as tables that a test walks pair by pair.

A channel has its own states so that "the edge does not answer", "the edge does not believe us" and "the application is
not assigned to this user" stay three different things; the third is never a channel state but a refusal of one flow.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from tunneld.model.errors import LocalProtocolError
from tunneld.model.verdict import Channel


class ChannelState(StrEnum):
    """Where one channel's tunnel is in its life."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    UNREACHABLE = "unreachable"  # no answer from the edge; attempts go on
    UNAUTHENTICATED = "unauthenticated"  # the edge or the issuer refuses our credential; attempts go on, slowly
    CLOSED = "closed"


class ChannelEvent(StrEnum):
    """What can happen to a channel, in the past tense."""

    STARTED = "started"  # an attempt began
    READY = "ready"
    LOST = "lost"  # the connection failed or broke
    REFUSED = "refused"  # certificate or token was not accepted
    RETIRED = "retired"  # we closed it on purpose


_C, _E = ChannelState, ChannelEvent

CHANNEL_TABLE: Mapping[tuple[ChannelState, ChannelEvent], ChannelState] = {
    (_C.CONNECTING, _E.READY): _C.CONNECTED,
    (_C.CONNECTING, _E.LOST): _C.UNREACHABLE,
    (_C.CONNECTING, _E.REFUSED): _C.UNAUTHENTICATED,
    (_C.CONNECTING, _E.RETIRED): _C.CLOSED,
    (_C.CONNECTED, _E.LOST): _C.UNREACHABLE,
    (_C.CONNECTED, _E.REFUSED): _C.UNAUTHENTICATED,  # a renewal or a claims challenge was not answered
    (_C.CONNECTED, _E.RETIRED): _C.CLOSED,
    (_C.UNREACHABLE, _E.STARTED): _C.CONNECTING,
    (_C.UNREACHABLE, _E.RETIRED): _C.CLOSED,
    (_C.UNAUTHENTICATED, _E.STARTED): _C.CONNECTING,
    (_C.UNAUTHENTICATED, _E.RETIRED): _C.CLOSED,
    (_C.CLOSED, _E.RETIRED): _C.CLOSED,  # closing twice is not an error
}


def next_state(state: ChannelState, event: ChannelEvent) -> ChannelState:
    """Return the state after `event`. Raises LocalProtocolError for a pair the table does not hold."""
    try:
        return CHANNEL_TABLE[state, event]
    except KeyError:
        raise LocalProtocolError(f"a channel that is {state.value} cannot be {event.value}") from None


class DaemonState(StrEnum):
    """What `status` says in one word."""

    SIGNED_OUT = "signed_out"
    CONNECTING = "connecting"
    CONNECTED = "connected"  # every expected channel is up
    DEGRADED = "degraded"  # at least one expected channel is up and one is not
    DISCONNECTED = "disconnected"  # no expected channel is up
    NO_CHANNELS = "no_channels"  # signed in, and nothing to tunnel: a valid state, not a fault


def daemon_state(*, signed_in: bool, channels: Mapping[Channel, ChannelState]) -> DaemonState:
    """Return the daemon's state from the channels that its profile expects, and from no others.

    A channel that no profile names must never make the daemon look ill, and a tenant without any is healthy.
    """
    if not signed_in:
        return DaemonState.SIGNED_OUT
    states = set(channels.values())
    if not states:
        return DaemonState.NO_CHANNELS
    if states == {ChannelState.CONNECTED}:
        return DaemonState.CONNECTED
    if ChannelState.CONNECTED in states:
        return DaemonState.DEGRADED
    if ChannelState.CONNECTING in states:
        return DaemonState.CONNECTING
    return DaemonState.DISCONNECTED
