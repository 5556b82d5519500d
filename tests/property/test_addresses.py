"""Hosts: the shortcuts for what is already in normal form agree with the full way."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.profiles import compiled, rule
from tunneld.forwarding.compile import NO_RULE
from tunneld.model.address import normalise_host
from tunneld.model.errors import PeerProtocolError
from tunneld.model.verdict import Protocol

# Groups that are often zero, so that runs of zeros of every length and place come up.
GROUPS = st.lists(st.sampled_from([0, 0, 0, 1, 0xFFFF, 0xA0, 0x1234]), min_size=8, max_size=8)
IPV6 = GROUPS.map(lambda groups: IPv6Address(sum(group << 16 * place for place, group in enumerate(groups))))
PIECES = st.sampled_from(
    [":", "::", "0", "1", "ffff", "0a", "A", "1.2.3.4", "a", "z", ".", "-", "255", "256", "01", "%1"]
)
MANY = settings(max_examples=500, deadline=None)


@given(IPV6)
@example(IPv6Address("::"))
@example(IPv6Address("1:2:3:4:5:6:7:8"))
@example(IPv6Address("1:2:3:4:5:6::"))
@MANY
def test_ipv6_addresses(address: IPv6Address) -> None:
    """Every spelling of an address normalises to ipaddress's own text, and the index finds exactly that address."""
    mapped = address.ipv4_mapped
    normal = str(address if mapped is None else mapped)
    for spelling in (str(address), address.exploded, str(address).upper(), f"[{address}]"):
        assert normalise_host(spelling) == normal
    profile = compiled(rule("r", normal))
    assert profile.classify(normal, 1, Protocol.TCP).rule_id == "r"
    other = normalise_host(str(IPv6Address(int(address) ^ 1)))
    assert profile.classify(other, 1, Protocol.TCP) is NO_RULE


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
@MANY
def test_ipv4_addresses(address: IPv4Address) -> None:
    """An IPv4 address is its own normal form, also when it comes mapped into IPv6."""
    assert normalise_host(str(address)) == str(address)
    for mapped in (f"::ffff:{address}", f"::ffff:{int(address) >> 16:x}:{int(address) & 0xFFFF:x}"):
        assert normalise_host(mapped) == str(address)


@given(st.lists(PIECES, max_size=12).map("".join))
@MANY
def test_normal_form_is_a_fixed_point(text: str) -> None:
    """What is accepted is an address exactly if ipaddress says so, and its normal form is its own normal form."""
    try:
        normal = normalise_host(text)
    except PeerProtocolError:
        return
    assert normalise_host(normal) == normal
    assert normal == normal.lower()
    try:
        address = ip_address(normal)
    except ValueError:
        assert ":" not in normal
    else:
        assert str(address) == normal
