"""Feed one input in different pieces: a codec must not be able to tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """Cut `data` at the given places."""
    places = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[a:b] for a, b in pairwise(places) if a < b]


CUTS = st.lists(st.integers(min_value=0, max_value=600), max_size=12)


def outcome(make: Callable[[], Any], chunks: Iterable[bytes], *, eof: bool = False) -> tuple[Any, ...]:
    """Return everything that a codec says and sends for `chunks`."""
    codec = make()
    events: list[Any] = []
    sent = b""
    for chunk in chunks:
        codec.receive_data(chunk)
        events += codec.events()
        sent += codec.data_to_send()
    if eof:
        codec.receive_eof()
        events += codec.events()
        sent += codec.data_to_send()
    return events, sent, codec.trailing_data


def assert_split_invariant(
    make: Callable[[], Any], data: bytes, cuts: Iterable[int] = (), *, eof: bool = False
) -> None:
    """Whole, byte by byte and cut anywhere are the same."""
    whole = outcome(make, [data] if data else [], eof=eof)
    assert outcome(make, [data[i : i + 1] for i in range(len(data))], eof=eof) == whole
    assert outcome(make, pieces(data, cuts), eof=eof) == whole
