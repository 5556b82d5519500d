"""Which tokens are believed: the usual one, the limits, the whole corpus of attacks, and random mutations."""

from __future__ import annotations

import json
import random
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.attacks import Attack, attacks
from tests.support.tokens import (
    AUDIENCE,
    BASE,
    CHANNEL,
    CLIENT,
    ISSUER,
    JKT,
    NOW,
    OTHER_TENANT,
    TENANT,
    USER,
    claims,
    header,
    key_set,
    public_jwk,
    rsa_key,
    sign,
)
from tunneld.model.errors import TokenError
from tunneld.model.identity import VerifiedClaims
from tunneld.model.reasons import Reason
from tunneld.policy.compact_token import CompactToken, bearer, strict_object, take_apart
from tunneld.policy.key_set import read_key_set
from tunneld.policy.tokens import Trust, choose_issuer, verify

TRUST = Trust(TENANT, ISSUER, {AUDIENCE, CHANNEL})
KEYS = read_key_set(
    key_set(
        public_jwk(),
        public_jwk("concrete", issuer=f"{BASE}/{OTHER_TENANT}/v2.0"),
        public_jwk("bare", issuer=...),
        public_jwk("weak", rsa_key("weak", 1024)),
        public_jwk("small-exponent", e="Aw"),
        {"kty": "EC", "crv": "P-256", "kid": "ec", "use": "sig", "alg": "ES256", "x": "A" * 43, "y": "A" * 43},
    )
)
CORPUS = list(attacks())


def believe(token: str, *, now: float = NOW) -> VerifiedClaims:
    """Do what an edge does with a token and keys at hand."""
    parts = take_apart(token)
    choose_issuer(parts, TRUST)
    key = KEYS.get(parts.key_id)
    if key is None:
        raise TokenError(Reason.TOKEN_KEY_UNKNOWN)
    return verify(parts, key, TRUST, now=now)


def second_opinion(token: str) -> dict[str, Any]:
    """What PyJWT, configured strictly, makes of the token."""
    kid = jwt.get_unverified_header(token)["kid"]
    decoded: dict[str, Any] = jwt.decode(
        token,
        key=rsa_key(kid).public_key(),
        algorithms=["RS256"],
        audience=[AUDIENCE, CHANNEL],
        issuer=ISSUER,
        options={"require": ["exp", "iat", "nbf", "aud", "iss"], "verify_exp": False, "verify_nbf": False,
                 "verify_iat": False},  # the clock of these tests is not the machine's
    )
    return decoded


def test_the_usual_token_becomes_typed_claims() -> None:
    """All that admission asks for comes out of a good token, spelled once."""
    assert believe(sign()) == VerifiedClaims(
        issuer=ISSUER,
        tenant_id=TENANT,
        oid=USER,
        subject="pairwise-subject",
        audience=AUDIENCE,
        client_id=CLIENT,
        scopes=frozenset({"user_impersonation"}),
        groups=frozenset({"99999999-0000-4000-8000-000000000001"}),
        user_type="guest",
        token_id="unique-token-id",
        session_id="session-id",
        jkt=JKT,
        issued_at=NOW - 60,
        not_before=NOW - 60,
        expires_at=NOW + 3600,
        capabilities=frozenset({"cp1"}),
        home_tenant=TENANT,
    )


@pytest.mark.parametrize(
    ("idp", "home"),
    [
        (f"https://login.test/{OTHER_TENANT}/v2.0", OTHER_TENANT),
        (f"https://sts.windows.net/{OTHER_TENANT.upper()}/", OTHER_TENANT),
        ("live.com", None),
        ("mail", None),
    ],
)
def test_the_home_tenant_is_the_one_that_idp_names(idp: str, home: str | None) -> None:
    """A guest's home, whichever form the issuer has; an account outside all tenants has none."""
    assert believe(sign(claims(idp=idp))).home_tenant == home


@pytest.mark.parametrize("idp", [7, None, [], "", "x" * 2049])
def test_a_claim_of_home_that_is_no_text_is_refused(idp: object) -> None:
    """The log must not be fed with anything else."""
    with pytest.raises(TokenError):
        believe(sign(claims(idp=idp)))


def test_optional_claims_may_be_absent() -> None:
    """A member's unbound token without session, groups and capabilities is as good."""
    verified = believe(sign(claims(sid=..., groups=..., acct=..., xms_cc=..., cnf=..., acrs=["c1"])))
    assert (verified.session_id, verified.groups, verified.user_type, verified.jkt) == (None, frozenset(), None, None)
    assert verified.authentication_contexts == {"c1"}
    assert believe(sign(claims(acct=0))).user_type == "member"


@pytest.mark.parametrize(
    ("payload", "now"),
    [
        (claims(exp=NOW - 59), NOW),
        (claims(nbf=NOW + 60, iat=NOW + 60), NOW),
        (claims(exp=NOW - 60 + 28 * 3600), NOW),
        (claims(idtyp="user"), NOW),
        (claims(name="Zoë 🦊", x=[1.5, -2, {"y": [None, False]}]), NOW),
        (claims(aud=CHANNEL), NOW),
        (claims(pad="x" * 7800), NOW),
        (claims(groups=["g"] * 200), NOW),
    ],
    ids=["skew at the end", "skew at the start", "28 hours", "idtyp user", "foreign claims", "second audience", "long",
         "200 groups"],
)
def test_the_edges_of_what_is_good(payload: dict[str, Any], now: float) -> None:
    """Each limit's last permitted value passes, here and in PyJWT."""
    token = sign(payload)
    assert believe(token, now=now).tenant_id == TENANT
    assert second_opinion(token)["tid"] == TENANT


def test_headers_with_a_thumbprint_and_keys_without_an_issuer_are_good() -> None:
    """`x5t` is tolerated as in version 1 tokens; the `issuer` member of a key is optional."""
    assert believe(sign(head=header(x5t="abc")))
    assert believe(sign(head=header(kid="bare"), key=rsa_key("bare")))


@pytest.mark.parametrize("attack", CORPUS, ids=[attack.name for attack in CORPUS])
def test_attack_is_refused_with_its_reason(attack: Attack) -> None:
    """Every token of the corpus is refused, and for the reason that makes it an attack."""
    with pytest.raises(TokenError) as refusal:
        believe(attack.token)
    assert refusal.value.reason is attack.reason, refusal.value


def test_the_corpus_is_a_corpus() -> None:
    """Its names differ, and it would be noticed if a generator stopped yielding."""
    assert len({attack.name for attack in CORPUS}) == len(CORPUS) > 250
    # A18 (replay), A21 (headers) and A22 (the authorization server) are no tokens; they are tried where they happen.
    assert {attack.kind for attack in CORPUS} == {f"A{number}" for number in range(1, 21) if number != 18}


def test_a_key_looked_up_under_another_id_verifies_nothing() -> None:
    """The shell's mistake of handing over the wrong key is caught before any signature is looked at."""
    with pytest.raises(TokenError) as refusal:
        verify(take_apart(sign()), KEYS["bare"], TRUST, now=NOW)
    assert refusal.value.reason is Reason.TOKEN_KEY_UNKNOWN


def test_verify_does_not_rely_on_the_caller_for_the_issuer() -> None:
    """Skipping `choose_issuer` opens nothing."""
    with pytest.raises(TokenError) as refusal:
        verify(take_apart(sign(claims(tid=OTHER_TENANT))), KEYS["first"], TRUST, now=NOW)
    assert refusal.value.reason is Reason.TOKEN_TENANT


@given(seed=st.integers(0, 2**32), edits=st.integers(1, 6))
@settings(max_examples=400)
def test_mutated_text_is_refused_or_means_the_same(seed: int, edits: int) -> None:
    """Bytes changed at random raise nothing but TokenError; and what passes, PyJWT passes with the same claims."""
    chance = random.Random(seed)
    text = list(sign())
    for _ in range(edits):
        position = chance.randrange(len(text))
        match chance.randrange(4):
            case 0:
                text[position] = chance.choice("AaZz09-_.=+/ \n\0é{}[]\",:")
            case 1:
                del text[position]
            case 2:
                text.insert(position, chance.choice("A.=-"))
            case _:
                text[position : position + 8] = text[position : position + 8][::-1]
    _agree("".join(text))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    changes=st.dictionaries(st.sampled_from([*claims(), "nonce", "acrs", "idtyp", "roles"]), _JSON, max_size=3),
    head=st.dictionaries(st.sampled_from(["alg", "kid", "typ", "x5t", "crit", "jku"]), _JSON, max_size=2),
)
@settings(max_examples=200)
def test_genuinely_signed_nonsense_is_refused_or_means_the_same(changes: dict[str, Any], head: dict[str, Any]) -> None:
    """An issuer that signs anything at all cannot make the verifier crash or differ from PyJWT."""
    _agree(sign(json.dumps({**claims(), **changes}).encode(), json.dumps({**header(), **head}).encode()))


@given(data=st.binary(max_size=200))
@settings(max_examples=300)
def test_any_bytes_are_an_object_or_refused(data: bytes) -> None:
    """Strict JSON never raises anything but TokenError, and agrees with the lax parser on what it accepts."""
    try:
        accepted = strict_object(data)
    except TokenError:
        return
    assert accepted == json.loads(data)


def _agree(token: str) -> None:
    try:
        verified = believe(token)
    except TokenError:
        return
    opinion = second_opinion(token)
    assert (opinion["oid"], opinion["aud"], opinion["exp"]) == (verified.oid, verified.audience, verified.expires_at)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ([], Reason.TOKEN_MISSING),
        (["Bearer a.b.c", "Bearer a.b.c"], Reason.TOKEN_MALFORMED),
        (["Basic a.b.c"], Reason.TOKEN_MALFORMED),
        (["bearer a.b.c"], Reason.TOKEN_MALFORMED),
        (["Bearer\ta.b.c"], Reason.TOKEN_MALFORMED),
        (["Bearera.b.c"], Reason.TOKEN_MALFORMED),
        (["Bearer"], Reason.TOKEN_MALFORMED),
        ([""], Reason.TOKEN_MALFORMED),
        ([" Bearer a.b.c"], Reason.TOKEN_MALFORMED),
        (["Bearer  a.b.c"], Reason.TOKEN_MALFORMED),
        (["Bearer a.b.c, Bearer d.e.f"], Reason.TOKEN_MALFORMED),
        (["Bearer a.b.c\r\n X: y"], Reason.TOKEN_MALFORMED),
        (["Bearer "], Reason.TOKEN_MISSING),
    ],
)
def test_authorization_fields_that_hold_no_token(fields: list[str], reason: Reason) -> None:
    """Two fields, other schemes, folds and joins are refused, in the field or in the token that comes out of it."""
    with pytest.raises(TokenError) as refusal:
        take_apart(bearer(fields))
    assert refusal.value.reason is reason


def test_one_authorization_field_holds_the_token() -> None:
    """Exactly one field with exactly Bearer gives its token."""
    assert take_apart(bearer([f"Bearer {sign()}"])).key_id == "first"


def test_an_exotic_failure_of_the_library_is_a_bad_signature() -> None:
    """Whatever the JOSE library raises on strange input counts as a refusal, not as a defect of ours."""
    parts = take_apart(sign())
    with pytest.raises(TokenError) as refusal:
        verify(CompactToken("é", parts.key_id, parts.claims), KEYS["first"], TRUST, now=NOW)
    assert refusal.value.reason is Reason.TOKEN_SIGNATURE
