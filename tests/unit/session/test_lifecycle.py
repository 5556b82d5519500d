"""The state tables, walked pair by pair."""

from __future__ import annotations

from itertools import product

import pytest

from tunneld.model.errors import LocalProtocolError
from tunneld.model.verdict import Channel
from tunneld.session.lifecycle import (
    CHANNEL_TABLE,
    ChannelEvent,
    ChannelState,
    DaemonState,
    daemon_state,
    next_state,
)

S = ChannelState


@pytest.mark.parametrize(("state", "event"), list(product(ChannelState, ChannelEvent)))
def test_every_pair_either_moves_as_the_table_says_or_is_refused(state: ChannelState, event: ChannelEvent) -> None:
    if (state, event) in CHANNEL_TABLE:
        assert next_state(state, event) is CHANNEL_TABLE[state, event]
    else:
        with pytest.raises(LocalProtocolError, match=state.value):
            next_state(state, event)


def test_every_state_can_be_retired_and_a_closed_channel_stays_closed() -> None:
    for state in ChannelState:
        assert next_state(state, ChannelEvent.RETIRED) is S.CLOSED
    leaving = {event for state, event in CHANNEL_TABLE if state is S.CLOSED}
    assert leaving == {ChannelEvent.RETIRED}


def test_every_state_is_reached_from_connecting() -> None:
    reached, frontier = {S.CONNECTING}, [S.CONNECTING]
    while frontier:
        here = frontier.pop()
        for (state, _event), after in CHANNEL_TABLE.items():
            if state is here and after not in reached:
                reached.add(after)
                frontier.append(after)
    assert reached == set(ChannelState)


P, I, M = Channel.PRIVATE, Channel.INTERNET, Channel.MICROSOFT  # noqa: E741


@pytest.mark.parametrize(
    ("signed_in", "channels", "expected"),
    [
        (False, {}, DaemonState.SIGNED_OUT),
        (False, {P: S.CONNECTED}, DaemonState.SIGNED_OUT),
        (True, {}, DaemonState.NO_CHANNELS),
        (True, {P: S.CONNECTED}, DaemonState.CONNECTED),  # one expected channel, up: nothing else may spoil it
        (True, {P: S.CONNECTED, I: S.CONNECTED}, DaemonState.CONNECTED),
        (True, {P: S.CONNECTED, I: S.UNREACHABLE}, DaemonState.DEGRADED),
        (True, {P: S.CONNECTED, I: S.CONNECTING}, DaemonState.DEGRADED),
        (True, {P: S.CONNECTING}, DaemonState.CONNECTING),
        (True, {P: S.CONNECTING, M: S.UNREACHABLE}, DaemonState.CONNECTING),
        (True, {P: S.UNREACHABLE}, DaemonState.DISCONNECTED),
        (True, {P: S.UNAUTHENTICATED, I: S.UNREACHABLE}, DaemonState.DISCONNECTED),
    ],
)
def test_the_daemons_state_follows_from_the_expected_channels(
    signed_in: bool, channels: dict[Channel, ChannelState], expected: DaemonState
) -> None:
    assert daemon_state(signed_in=signed_in, channels=channels) is expected
