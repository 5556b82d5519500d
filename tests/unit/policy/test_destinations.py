"""What a proxy must never be talked into dialling, in every spelling that somebody may try."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunneld.model.address import normalise_host, parse_ip
from tunneld.model.errors import PeerProtocolError
from tunneld.model.reasons import Reason
from tunneld.policy.destinations import forbidden

OWN = frozenset({("203.0.113.5", 8443), ("2001:db8::5", 8443)})

_SPELLINGS = """
127.0.0.1 127.1.2.3 127.255.255.255 0.0.0.0 0.1.2.3 169.254.169.254 169.254.0.1 169.254.255.255
100.100.100.200 192.0.0.192 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
127.0.0.1. [::1] ::1 [::] :: 0:0:0:0:0:0:0:1 0000:0000:0000:0000:0000:0000:0000:0001
::ffff:127.0.0.1 [::FFFF:7f00:1] ::ffff:0:127.0.0.1 ::127.0.0.1 ::ffff:169.254.169.254 ::a9fe:a9fe
64:ff9b::127.0.0.1 64:ff9b::7f00:1 64:FF9B::a9fe:a9fe 64:ff9b:1::7f00:1 64:ff9b:1:ffff::169.254.169.254
2002:7f00:1:: 2002:7f00:0001::1 2002:a9fe:a9fe:: 2002:e000:1::
fe80::1 febf::1 fec0::1 ff02::1 ff0e::1 FF05::2 fd00:ec2::254 FD00:0EC2::254 100::1
\uff11\uff12\uff17.0.0.1 127\u30020\u30020\u30021 \u246f9.254.169.254
203.0.113.5
"""

# inet_aton and other numeric spellings, which some resolvers take for addresses: they are no names either.
_NUMERIC = """
2130706433 0x7f000001 017700000001 127.1 127.0.1 0177.0.0.1 0x7f.0.0.1 0x7f.1 00127.0.0.1 127.0.0.01 1.2.3.4.5
0xa9fea9fe 2852039166 169.254.43518 0 256.256.256.256 fe80::1%eth0 [fe80::1%1] [127.0.0.1] ::ffff:127.1 127.0.0.1\u3002
"""

_PERMITTED = """
8.8.8.8 10.0.0.1 192.168.1.1 172.16.0.1 100.64.0.1 198.18.0.1 128.0.0.1 126.255.255.255 169.253.255.255 1.0.0.0
2001:db8::1 2606:4700::1111 fd00:ec2::253 fd00::1 fe00::1 64:ff9b::8.8.8.8 64:ff9b:1::a00:1 2002:808:808::
::8.8.8.8 101::1 ::ffff:8.8.8.8
"""

SPELLINGS, NUMERIC, PERMITTED = _SPELLINGS.split(), _NUMERIC.split(), _PERMITTED.split()


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spelling_of_a_forbidden_address_is_refused(spelling: str) -> None:
    """However it is written, a forbidden address is recognised after normalisation."""
    host = normalise_host(spelling)
    assert parse_ip(host) is not None
    assert forbidden(host, 8443, own=OWN) is Reason.FORBIDDEN_DESTINATION


@pytest.mark.parametrize("spelling", NUMERIC)
def test_numeric_spelling_is_neither_name_nor_address(spelling: str) -> None:
    """What a resolver might take for an address never gets to a resolver."""
    with pytest.raises(PeerProtocolError):
        normalise_host(spelling)
    assert forbidden(spelling, 80) is Reason.FORBIDDEN_DESTINATION


@pytest.mark.parametrize("address", PERMITTED)
def test_other_addresses_are_permitted(address: str) -> None:
    """Private networks are what this is for, and neighbours of forbidden ranges are not forbidden."""
    assert forbidden(normalise_host(address), 443, own=OWN) is None


@pytest.mark.parametrize("text", ["localhost", "", "example.com", "localhost.", "LOCALHOST"])
def test_a_name_is_never_an_answer(text: str) -> None:
    """Only addresses are judged, because only addresses are dialled."""
    assert forbidden(text, 80) is Reason.FORBIDDEN_DESTINATION


def test_the_tables_are_long_enough() -> None:
    """Nobody shortens them by accident."""
    assert len(SPELLINGS) + len(NUMERIC) >= 60


def test_the_allow_list_names_pairs() -> None:
    """One address and port is let through; the port next to it, the address next to it, are not."""
    allowed = frozenset({("127.0.0.1", 9009), ("::1", 9009)})
    assert forbidden("127.0.0.1", 9009, allowed=allowed) is None
    assert forbidden("::ffff:127.0.0.1", 9009, allowed=allowed) is None
    assert forbidden("0:0::1", 9009, allowed=allowed) is None
    assert forbidden("127.0.0.1", 9010, allowed=allowed) is Reason.FORBIDDEN_DESTINATION
    assert forbidden("127.0.0.2", 9009, allowed=allowed) is Reason.FORBIDDEN_DESTINATION
    assert forbidden("64:ff9b::7f00:1", 9009, allowed=allowed) is Reason.FORBIDDEN_DESTINATION


def test_own_listeners_are_never_reached() -> None:
    """Not even when somebody allowed them; a listener on every address answers on loopback too."""
    allowed = frozenset({("127.0.0.1", 8443), ("203.0.113.5", 8443)})
    assert forbidden("203.0.113.5", 8443, own=OWN, allowed=allowed) is Reason.FORBIDDEN_DESTINATION
    assert forbidden("203.0.113.5", 8444, own=OWN) is None
    everywhere = frozenset({("0.0.0.0", 8443)})
    assert forbidden("127.0.0.1", 8443, own=everywhere, allowed=allowed) is Reason.FORBIDDEN_DESTINATION
    assert forbidden("127.0.0.1", 8443, own=frozenset({("::", 8443)}), allowed=allowed) is Reason.FORBIDDEN_DESTINATION
    assert forbidden("127.0.0.1", 8443, allowed=allowed) is None


@given(st.ip_addresses(v=4), st.sampled_from(["::ffff:{}", "::{}", "64:ff9b::{}", "::ffff:0:{}"]))
def test_embedding_an_address_changes_nothing(address: object, form: str) -> None:
    """An IPv6 spelling of an IPv4 destination is judged as that destination."""
    if form == "::{}" and str(address) in {"0.0.0.0", "0.0.0.1"}:
        return  # these are :: and ::1 themselves
    assert forbidden(form.format(address), 80) == forbidden(str(address), 80)
