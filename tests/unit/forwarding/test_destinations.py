"""Destinations and ports: what is read from their spellings, and what is said about unusable ones."""

from __future__ import annotations

import pytest

from tunneld.forwarding.destinations import Destination, Form, UnusableError, parse_destination, under
from tunneld.forwarding.ports import PortRange, merge_ports, parse_ports, port_container, port_count

TEN = 10 << 24


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("App.Example.", Destination(Form.NAME, "app.example")),
        ("intranet", Destination(Form.NAME, "intranet")),
        ("10-20.example", Destination(Form.NAME, "10-20.example")),
        ("bücher.example", Destination(Form.NAME, "xn--bcher-kva.example")),
        ("*.Example", Destination(Form.WILDCARD, "example")),
        ("*", Destination(Form.WILDCARD, "")),
        ("10.0.0.1", Destination(Form.ADDRESSES, "10.0.0.1", 4, TEN + 1, TEN + 1)),
        ("10.0.0.0/8", Destination(Form.ADDRESSES, "10.0.0.0/8", 4, TEN, TEN + 0xFFFFFF)),
        ("0.0.0.0/0", Destination(Form.ADDRESSES, "0.0.0.0/0", 4, 0, 0xFFFFFFFF)),
        ("10.0.0.1-10.0.0.9", Destination(Form.ADDRESSES, "10.0.0.1-10.0.0.9", 4, TEN + 1, TEN + 9)),
        ("10.0.0.1 - 10.0.0.9", Destination(Form.ADDRESSES, "10.0.0.1-10.0.0.9", 4, TEN + 1, TEN + 9)),
        ("FD00:0::1", Destination(Form.ADDRESSES, "fd00::1", 6, 0xFD << 120 | 1, 0xFD << 120 | 1)),
        ("fd00::/112", Destination(Form.ADDRESSES, "fd00::/112", 6, 0xFD << 120, 0xFD << 120 | 0xFFFF)),
        ("::ffff:10.0.0.1", Destination(Form.ADDRESSES, "10.0.0.1", 4, TEN + 1, TEN + 1)),
        ("::ffff:10.0.0.0/104", Destination(Form.ADDRESSES, "10.0.0.0/8", 4, TEN, TEN + 0xFFFFFF)),
        ("::/0", Destination(Form.ADDRESSES, "::/0", 6, 0, (1 << 128) - 1)),
    ],
)
def test_spellings(text: str, expected: Destination) -> None:
    """Every spelling becomes the one value that hosts in normal form are compared with."""
    assert parse_destination(text) == expected
    assert parse_destination(str(expected)) == expected


@pytest.mark.parametrize(
    ("text", "message", "mend"),
    [
        (5, "a destination is a string", "write a name"),
        ("", "not a host name", "write a name"),
        ("a.*.example", "not a host name", "*.name"),
        ("*.", "not a host name", "*.name"),
        ("*.10.0.0.1", "wildcard before an address", "10.0.0.0/8"),
        ("https://app.example/x", "is a URL", "its host alone"),
        ("app.example:443", "not a destination", "ports go into `ports`"),
        ("10.0.0.1/8", "has host bits set", "write 10.0.0.0/8"),
        ("fd00::1/64", "has host bits set", "write fd00::/64"),
        ("10.0.0.0/33", "not a CIDR block", "10.0.0.0/8"),
        ("10.0.0.0/255.0.0.0", "not a CIDR block", "10.0.0.0/8"),
        ("fd00::%eth0/64", "not a CIDR block", "2001:db8::/32"),
        ("name/8", "not a CIDR block", "2001:db8::/32"),
        ("10.0.0.9-10.0.0.1", "ends before it starts", "write 10.0.0.1-10.0.0.9"),
        ("10.0.0.1-fd00::1", "not a range", "both IPv4 or both IPv6"),
        ("10.0.0.1-x", "not a range", "first-last"),
        ("127.1", "not a host name", "write a name"),
        ("x" * 300, "...", "write a name"),
        ("line\nbreak", "\\n", "write a name"),
    ],
)
def test_unusable_spellings(text: object, message: str, mend: str) -> None:
    """What cannot be used is refused with what to write instead, on one line."""
    with pytest.raises(UnusableError) as caught:
        parse_destination(text)
    assert message in str(caught.value)
    assert mend in caught.value.mend
    assert "\n" not in str(caught.value) + caught.value.mend


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [
        ("a.example", "a.example", True),
        ("a.example", "b.a.example", False),
        ("*.example", "a.example", True),
        ("*.example", "example", False),
        ("*.example", "*.a.example", True),
        ("*.example", "*.example", True),
        ("*.a.example", "*.example", False),
        ("*.ample", "a.example", False),
        ("*", "a", True),
        ("*", "*.a", True),
        ("a.example", "*.example", False),
        ("*", "10.0.0.1", False),
        ("10.0.0.0/8", "10.1.0.0/16", True),
        ("10.0.0.0/8", "10.255.255.0-11.0.0.0", False),
        ("::/0", "10.0.0.1", False),
    ],
)
def test_containment(outer: str, inner: str, expected: bool) -> None:
    """A destination contains another when it matches every host that the other matches."""
    assert parse_destination(outer).contains(parse_destination(inner)) is expected


def test_size_and_labels() -> None:
    """Names count labels, addresses count addresses, and neither counts the other's."""
    assert [parse_destination(text).labels for text in ("*", "*.a", "a.b.c", "10.0.0.1")] == [0, 1, 3, 0]
    assert [parse_destination(text).size for text in ("*.a", "a", "10.0.0.0/24", "10.0.0.1")] == [0, 0, 256, 1]
    assert under("a", "") is True
    assert under("", "") is False


@pytest.mark.parametrize(
    ("value", "expected"),
    [(443, (443, 443)), ("443", (443, 443)), ("8000-8100", (8000, 8100)), (" 1 - 65535", (1, 65535))],
)
def test_ports(value: object, expected: tuple[int, int]) -> None:
    """A port is a number or a string, a range is a string."""
    assert parse_ports(value) == expected


@pytest.mark.parametrize(
    ("value", "mend"),
    [
        (0, "1 to 65535"),
        (65536, "1 to 65535"),
        ("0-5", "1 to 65535"),
        ("9-5", 'write "5-9"'),
        (True, "such as 443"),
        (44.3, "such as 443"),
        ("http", "such as 443"),
        ("1-", "such as 443"),
        ("٤٤٣", "such as 443"),
        ("1" * 5000, "such as 443"),
    ],
)
def test_unusable_ports(value: object, mend: str) -> None:
    """Anything else is refused, booleans and digits of other scripts included."""
    with pytest.raises(UnusableError) as caught:
        parse_ports(value)
    assert mend in caught.value.mend


def test_ports_merge() -> None:
    """Ranges that overlap or touch become one; how many ports there are does not depend on how they were written."""
    merged = merge_ports([PortRange(80, 90), PortRange(22, 22), PortRange(85, 100), PortRange(101, 101)])
    assert merged == ((22, 22), (80, 101))
    assert port_count(merged) == 23
    assert port_count(()) == 65535


@pytest.mark.parametrize(
    ("ranges", "inside", "outside"),
    [
        ([], [1, 65535], []),
        ([(80, 90)], [80, 85, 90], [79, 91]),
        ([(22, 22), (80, 90)], [22, 80, 90], [21, 23, 91]),
        ([(22, 22), (80, 90), (1000, 60000)], [22, 90, 1000, 60000], [21, 999, 60001]),
    ],
)
def test_port_containers(ranges: list[tuple[int, int]], inside: list[int], outside: list[int]) -> None:
    """Whatever container is the fastest for them, it holds exactly the ports of the ranges."""
    ports = port_container(merge_ports(PortRange(*each) for each in ranges))
    assert all(port in ports for port in inside)
    assert not any(port in ports for port in outside)
    assert "80" not in ports
