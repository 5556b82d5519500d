"""What may be invited, which list names it, and what the guest is called."""

from __future__ import annotations

import pytest

from tunneld.policy.guests.addresses import is_domain_pattern, listed, parse_address
from tunneld.policy.guests.collaboration import Collaboration
from tunneld.policy.guests.names import MAX_NAME, default_display_name, guest_principal_name

PATTERNS = frozenset({"contoso.com", "*.fabrikam.com"})


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Alex@Contoso.COM", "alex@contoso.com"),
        ("  o'neil_jr@a-b.example ", "o'neil_jr@a-b.example"),
        ("_a.b-c_@x.y.z", "_a.b-c_@x.y.z"),
        ("a" * 64 + "@x.example", "a" * 64 + "@x.example"),
        ("a" * 65 + "@x.example", None),
        ("a@" + ".".join(["b" * 63] * 3) + "." + "c" * 60, "a@" + ".".join(["b" * 63] * 3) + "." + "c" * 60),
        ("a@" + ".".join(["b" * 63] * 4), None),
        (".alex@contoso.com", None), ("alex.@contoso.com", None), ("-a@contoso.com", None), ("a-@contoso.com", None),
        ("a..b@contoso.com", None), ("@contoso.com", None), ("alex", None), ("alex@localhost", None), ("", None),
        ("alex@-contoso.com", None), ("alex@contoso-.com", None), ("alex@contoso..com", None),
        ("alex@contoso.com\r\nBcc: all@x.example", None), ("a\x00b@contoso.com", None), ("älex@contoso.com", None),
        ("alex@cöntoso.com", None), ("alex@contoso.com.", None), ("a@b@contoso.com", None),
        ("alex@contoso.com" + " " * 250, None),
    ]
    + [(f"a{mark}b@contoso.com", None) for mark in "~!#$%^&*()+=[]{}\\/|;:\"<>?, \t\n"],
)
def test_only_plain_addresses_can_be_invited(text: str, address: str | None) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("domain", "entry"),
    [
        ("contoso.com", "contoso.com"),
        ("mail.contoso.com", None),
        ("fabrikam.com", None),
        ("a.fabrikam.com", "*.fabrikam.com"),
        ("b.a.fabrikam.com", "*.fabrikam.com"),
        ("xfabrikam.com", None),
        ("com", None),
    ],
)
def test_a_list_names_a_domain_exactly_or_everything_below_a_wildcard(domain: str, entry: str | None) -> None:
    assert listed(domain, PATTERNS) == entry


@pytest.mark.parametrize(
    ("text", "good"),
    [("contoso.com", True), ("*.contoso.com", True), ("*.*.contoso.com", False), ("*", False), ("*.com", False),
     ("a*.contoso.com", False), ("com", False), ("", False)],
)
def test_what_may_stand_in_a_list(text: str, good: bool) -> None:
    assert is_domain_pattern(text) is good


@pytest.mark.parametrize(
    ("settings", "domain", "passed", "said"),
    [
        (Collaboration(), "any.example", True, "no list"),
        (Collaboration(allowed_domains=PATTERNS), "contoso.com", True, "allow list, contoso.com"),
        (Collaboration(allowed_domains=PATTERNS), "other.example", False, "allow list, not on it"),
        (Collaboration(allowed_domains=frozenset()), "contoso.com", False, "allow list, not on it"),
        (Collaboration(blocked_domains=PATTERNS), "a.fabrikam.com", False, "block list, *.fabrikam.com"),
        (Collaboration(blocked_domains=PATTERNS), "other.example", True, "block list, not on it"),
        (Collaboration(blocked_domains=frozenset()), "contoso.com", True, "block list, not on it"),
    ],
)
def test_a_domain_is_held_against_the_one_list(settings: Collaboration, domain: str, passed: bool, said: str) -> None:
    verdict = settings.judge_domain(domain)
    assert (verdict.passed, str(verdict)) == (passed, said)


def test_a_guest_is_named_after_the_address() -> None:
    name = guest_principal_name("user@contoso.com", "fabrikam.example", ())
    assert name == "user_contoso.com#EXT#@fabrikam.example"


def test_two_addresses_that_give_the_same_name_are_told_apart() -> None:
    taken: set[str] = set()
    for number in ("", "_2", "_3"):
        expected = f"a_b_c.example{number}#EXT#@f.example"
        name = guest_principal_name("a_b@c.example", "f.example", taken)
        assert name == expected
        taken.add(name.lower())


def test_a_long_name_is_cut_in_front_of_the_mark() -> None:
    address = "a" * 64 + "@" + ".".join(["b" * 60] * 3)
    first = guest_principal_name(address, "fabrikam.example", ())
    second = guest_principal_name(address, "fabrikam.example", {first.lower()})
    assert len(first) == len(second) == MAX_NAME
    assert first.endswith("#EXT#@fabrikam.example")
    assert second.endswith("_2#EXT#@fabrikam.example")


def test_nobody_is_without_a_display_name() -> None:
    assert default_display_name("alex@contoso.com") == "alex"
