"""The edge's judgement: every condition alone is enough for a refusal with its own reason."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.tokens import AUDIENCE, CHANNEL, CLIENT, ISSUER, JKT, NOW, OTHER_TENANT, TENANT, USER
from tunneld.model.identity import ClientIdentity, VerifiedClaims
from tunneld.model.reasons import Reason
from tunneld.model.verdict import Channel, Outcome, Protocol, Verdict
from tunneld.policy.admission import (
    Admit,
    DestinationGate,
    Refuse,
    SignIn,
    Tunnel,
    admit_flow,
    admit_session,
    admit_token,
    holds,
)

STRANGER = "bbbbbbbb-0000-4000-8000-00000000dead"
OTHER_APPLICATION = "aaaaaaaa-0000-4000-8000-000000000002"

PERSON = ClientIdentity(TENANT, USER, JKT, NOW + 1800.0)
TUNNEL = Tunnel(TENANT, Channel.PRIVATE, CHANNEL, PERSON, frozenset({CLIENT}))
BEARER_ONLY = TUNNEL._replace(client=None)
SIGN_IN = SignIn("t", OTHER_TENANT, "guest")


def said(**changes: Any) -> VerifiedClaims:
    """The claims of a good channel token, changed."""
    usual = VerifiedClaims(
        issuer=ISSUER, tenant_id=TENANT, oid=USER, subject="s", audience=CHANNEL, client_id=CLIENT,
        scopes=frozenset({"user_impersonation"}), groups=frozenset(), user_type="guest", token_id="t",
        session_id=None, jkt=JKT, issued_at=NOW - 60, not_before=NOW - 60, expires_at=NOW + 3600,
        home_tenant=OTHER_TENANT,
    )  # fmt: skip
    return usual._replace(**changes)


def reason_of(decision: object) -> Reason | None:
    return decision.reason if isinstance(decision, Refuse) else None


# Each row breaks exactly one condition that holds for every token in a tunnel.
BROKEN = [
    (TUNNEL, {"tenant_id": OTHER_TENANT}, Reason.TOKEN_TENANT),
    (TUNNEL._replace(client=PERSON._replace(tenant_id=OTHER_TENANT)), {}, Reason.CERTIFICATE_TENANT),
    (TUNNEL._replace(client=PERSON._replace(oid=STRANGER)), {}, Reason.TOKEN_SUBJECT),
    (TUNNEL, {"oid": STRANGER}, Reason.TOKEN_SUBJECT),
    (TUNNEL, {"jkt": "K" * 43}, Reason.TOKEN_BINDING),
    (TUNNEL, {"jkt": None}, Reason.TOKEN_BINDING),
    (TUNNEL._replace(client=PERSON._replace(not_after=NOW - 60.0)), {}, Reason.CERTIFICATE_EXPIRED),
    (TUNNEL, {"client_id": STRANGER}, Reason.TOKEN_ACTOR),
    (TUNNEL, {"scopes": frozenset({"Directory.Read"})}, Reason.TOKEN_SCOPE),
    (TUNNEL, {"scopes": frozenset()}, Reason.TOKEN_SCOPE),
    (TUNNEL, {"expires_at": NOW - 60}, Reason.TOKEN_EXPIRED),
    (BEARER_ONLY, {}, Reason.TOKEN_BINDING),
]


def test_a_session_is_admitted_until_token_or_certificate_ends() -> None:
    """The earlier of the two ends is the session's."""
    assert admit_session(TUNNEL, said(), profile_assigned=True, now=NOW) == Admit(NOW + 1800.0, sign_in=SIGN_IN)
    brief = said(expires_at=NOW + 10)
    assert admit_session(TUNNEL, brief, profile_assigned=True, now=NOW) == Admit(NOW + 10, sign_in=SIGN_IN)


@pytest.mark.parametrize(("tunnel", "changes", "reason"), BROKEN)
def test_a_session_fails_on_each_condition(tunnel: Tunnel, changes: dict[str, Any], reason: Reason) -> None:
    """Certificate, tenant, user, key, client, scope and times must all agree."""
    assert reason_of(admit_session(tunnel, said(**changes), profile_assigned=True, now=NOW)) is reason


@pytest.mark.parametrize(("tunnel", "changes", "reason"), BROKEN)
def test_an_application_token_fails_on_each_condition(tunnel: Tunnel, changes: dict[str, Any], reason: Reason) -> None:
    """The same holds for every token that follows in the tunnel."""
    claims = said(audience=AUDIENCE, **changes)
    assert reason_of(admit_token(tunnel, claims, user=USER, applications={AUDIENCE}, now=NOW)) is reason


def test_a_session_needs_the_channels_own_token() -> None:
    """An app token, or another channel's token, opens no tunnel; nor does a channel that is not offered."""
    wrong = admit_session(TUNNEL, said(audience=AUDIENCE), profile_assigned=True, now=NOW)
    assert reason_of(wrong) is Reason.TOKEN_AUDIENCE
    absent = admit_session(TUNNEL._replace(audience=None), said(), profile_assigned=True, now=NOW)
    assert reason_of(absent) is Reason.CHANNEL_NOT_OFFERED


def test_the_profile_half_of_the_double_gate() -> None:
    """A perfect token opens nothing for a user to whom no profile with the channel is assigned."""
    assert reason_of(admit_session(TUNNEL, said(), profile_assigned=False, now=NOW)) is Reason.PROFILE_NOT_ASSIGNED


def test_an_application_token_is_admitted_for_its_application() -> None:
    """The grant names the application that the token was issued for."""
    claims = said(audience=AUDIENCE)
    grant = admit_token(TUNNEL, claims, user=USER, applications={AUDIENCE}, now=NOW)
    assert grant == Admit(NOW + 1800.0, AUDIENCE, sign_in=SIGN_IN)


def test_an_unbound_token_is_admitted_where_there_is_no_certificate() -> None:
    """The interoperability listener takes full unbound tokens, and their own end counts."""
    claims = said(audience=AUDIENCE, jkt=None)
    grant = admit_token(BEARER_ONLY, claims, user=None, applications={AUDIENCE}, now=NOW)
    assert grant == Admit(NOW + 3600, AUDIENCE, sign_in=SIGN_IN)


@pytest.mark.parametrize(
    ("audience", "user", "reason"),
    [
        (CHANNEL, USER, Reason.TOKEN_AUDIENCE),
        (OTHER_APPLICATION, USER, Reason.PROFILE_NOT_ASSIGNED),
        (AUDIENCE, STRANGER, Reason.TOKEN_SUBJECT),
    ],
)
def test_an_application_token_must_fit_user_and_profile(audience: str, user: str, reason: Reason) -> None:
    """A channel token is none; application, profile, session and token must be about the same user."""
    decision = admit_token(TUNNEL, said(audience=audience), user=user, applications={AUDIENCE}, now=NOW)
    assert reason_of(decision) is reason


GRANT = Admit(NOW + 100.0, AUDIENCE)
OWNED = Verdict(Outcome.TUNNEL, Reason.RULE_TUNNEL, Channel.PRIVATE, "files", 1000, AUDIENCE)
RULES = {
    "files.example": OWNED,
    "other.example": OWNED._replace(rule_id="other", application=OTHER_APPLICATION),
    "blocked.example": Verdict(Outcome.BLOCK, Reason.RULE_BLOCK, Channel.PRIVATE, "blocked"),
    "bypass.example": Verdict(Outcome.DIRECT, Reason.RULE_BYPASS, Channel.PRIVATE, "bypass"),
    "web.example": Verdict(Outcome.TUNNEL, Reason.RULE_TUNNEL, Channel.INTERNET, "web"),
}


class Rules:
    """A classifier that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def classify(self, host: str, port: int, protocol: Protocol) -> Verdict:
        self.asked += 1
        return RULES.get(host, Verdict(Outcome.DIRECT, Reason.NO_RULE)) if port == 443 else RULES["blocked.example"]


def gate(channel: Channel = Channel.PRIVATE, *, rules: Rules | None = None, limit: int = 100) -> DestinationGate:
    return DestinationGate((rules or Rules()).classify, channel, {AUDIENCE}, limit=limit)


def test_a_flow_to_the_tokens_own_application_is_admitted() -> None:
    """Both halves of the gate hold: admitted, with the rule that won."""
    decision = admit_flow(gate(), GRANT, "files.example", 443, Protocol.TCP, now=NOW)
    assert decision == Admit(NOW + 100.0, AUDIENCE, "files")


@pytest.mark.parametrize(
    ("host", "port", "reason"),
    [
        ("other.example", 443, Reason.DESTINATION_NOT_IN_APPLICATION),
        ("unknown.example", 443, Reason.DESTINATION_NOT_IN_APPLICATION),
        ("bypass.example", 443, Reason.DESTINATION_NOT_IN_APPLICATION),
        ("web.example", 443, Reason.DESTINATION_NOT_IN_APPLICATION),
        ("blocked.example", 443, Reason.RULE_BLOCK),
        ("files.example", 444, Reason.RULE_BLOCK),
    ],
)
def test_the_destination_half_of_the_double_gate(host: str, port: int, reason: Reason) -> None:
    """A good token reaches nothing that its application does not own by the winning rule."""
    assert reason_of(admit_flow(gate(), GRANT, host, port, Protocol.TCP, now=NOW)) is reason


def test_a_flow_without_a_token_is_refused() -> None:
    """The application half of the gate: no accepted token, no flow."""
    assert reason_of(admit_flow(gate(), None, "files.example", 443, Protocol.TCP, now=NOW)) is Reason.TOKEN_MISSING


def test_a_flow_under_an_expired_grant_is_refused_though_its_destination_is_remembered() -> None:
    """Remembered decisions are about destinations, never about time; the clock skew is granted once."""
    door = gate()
    assert admit_flow(door, GRANT, "files.example", 443, Protocol.TCP, now=NOW + 159.9)
    late = admit_flow(door, GRANT, "files.example", 443, Protocol.TCP, now=NOW + 160)
    assert reason_of(late) is Reason.TOKEN_EXPIRED


def test_other_channels_ask_for_no_application() -> None:
    """In the Internet channel the session's own grant is enough, for destinations of that channel only."""
    session = Admit(NOW + 100.0)
    door = gate(Channel.INTERNET)
    assert admit_flow(door, session, "web.example", 443, Protocol.TCP, now=NOW) == Admit(NOW + 100.0, None, "web")
    refused = admit_flow(door, session, "files.example", 443, Protocol.TCP, now=NOW)
    assert reason_of(refused) is Reason.DESTINATION_NOT_IN_APPLICATION


def test_decisions_are_remembered_per_application_and_within_a_bound() -> None:
    """The same question is classified once, another application's is not answered from it, and memory is bounded."""
    rules = Rules()
    door = gate(rules=rules, limit=2)
    for _ in range(3):
        assert isinstance(door.decide(AUDIENCE, "files.example", 443, Protocol.TCP), Verdict)
    assert rules.asked == 1
    assert isinstance(door.decide(OTHER_APPLICATION, "files.example", 443, Protocol.TCP), Refuse)
    assert rules.asked == 2
    door.decide(AUDIENCE, "other.example", 443, Protocol.TCP)
    door.decide(AUDIENCE, "files.example", 443, Protocol.TCP)
    assert rules.asked == 4


# Authentication contexts


@pytest.mark.parametrize(
    ("held", "capable", "demands", "refused"),
    [
        ([], True, {}, None),
        ([], True, {OTHER_APPLICATION: "c1"}, None),
        (["c1"], True, {AUDIENCE: "c1"}, None),
        (["c1", "c2"], False, {AUDIENCE: "c2"}, None),
        ([], True, {AUDIENCE: "c1"}, "c1"),
        (["c2"], True, {AUDIENCE: "c1"}, "c1"),
        (["C1"], True, {AUDIENCE: "c1"}, "c1"),
        (["c11"], True, {AUDIENCE: "c1"}, "c1"),
        ([], False, {AUDIENCE: "c1"}, ""),
        (["c2"], False, {AUDIENCE: "c1"}, ""),
    ],
)
def test_a_demanded_context_must_be_in_the_token(
    held: list[str], capable: bool, demands: dict[str, str], refused: str | None
) -> None:
    """When the token is presented and again for each flow; a challenge only where somebody can read it."""
    claims = said(
        audience=AUDIENCE, authentication_contexts=frozenset(held),
        capabilities=frozenset({"cp1"} if capable else {"cp2"}),
    )  # fmt: skip
    first = admit_token(TUNNEL, claims, user=USER, applications={AUDIENCE}, demands=demands, now=NOW)
    earlier = admit_token(TUNNEL, claims, user=USER, applications={AUDIENCE}, now=NOW)
    assert isinstance(earlier, Admit)
    gate = DestinationGate(Rules().classify, Channel.PRIVATE, {AUDIENCE}, demands=demands)
    flow = admit_flow(gate, earlier, "files.example", 443, Protocol.TCP, now=NOW)
    live = holds(gate, earlier, "files.example", 443, Protocol.TCP)
    if refused is None:
        assert isinstance(first, Admit)
        assert isinstance(flow, Admit)
        assert isinstance(live, Verdict)
    else:
        for decision in (first, flow, live):
            assert isinstance(decision, Refuse)
            assert (decision.reason, decision.context) == (Reason.INSUFFICIENT_CLAIMS, refused)


@pytest.mark.parametrize(("tunnel", "changes", "reason"), BROKEN)
def test_a_token_that_is_no_good_is_never_challenged(tunnel: Tunnel, changes: dict[str, Any], reason: Reason) -> None:
    """A challenge would tell a stranger what the application demands."""
    claims = said(audience=AUDIENCE, capabilities=frozenset({"cp1"}), **changes)
    decision = admit_token(tunnel, claims, user=USER, applications={AUDIENCE}, demands={AUDIENCE: "c1"}, now=NOW)
    assert isinstance(decision, Refuse)
    assert (decision.reason, decision.context) == (reason, "")
