"""The small pure rules: redirect URIs, scopes, PKCE, passwords, lock-out, key rollover, claims."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.policy.documents import ALEX, APP, GUEST, HOME, RESOURCE, document, link
from tunneld.policy.authorization import (
    AuthorizationRequest,
    BadAuthorization,
    parse_authorization,
    verifier_matches,
)
from tunneld.policy.claims_request import parse_claims
from tunneld.policy.directory import DAEMON_CLIENT, DIRECTORY_API
from tunneld.policy.key_schedule import KeyDates, KeyPolicy, advance, next_key, signing_key
from tunneld.policy.lock_out import FORGET_S, THRESHOLD, Attempts
from tunneld.policy.passwords import check_password, hash_password, parse_hash
from tunneld.policy.redirects import redirect_allowed
from tunneld.policy.scopes import ScopeRequest, parse_scope
from tunneld.policy.sign_in import Grant, PasswordProof, SignInRequest, evaluate
from tunneld.policy.token_claims import TokenInputs, access_claims, id_claims

REGISTERED = ("http://127.0.0.1/callback", "https://app.example/cb?x=1", "http://[::1]/cb")


@pytest.mark.parametrize(
    ("uri", "allowed"),
    [
        ("http://127.0.0.1/callback", True), ("http://127.0.0.1:1/callback", True),
        ("http://127.0.0.1:65535/callback", True), ("http://[::1]:9/cb", True), ("https://app.example/cb?x=1", True),
        ("http://127.0.0.1:0/callback", False), ("http://127.0.0.1:65536/callback", False),
        ("http://127.0.0.1:1/callback/", False), ("http://127.0.0.1:1/", False), ("http://127.0.0.1:1", False),
        ("http://127.0.0.1:1/callback#f", False), ("https://app.example:443/cb?x=1", False),
        ("https://app.example/cb", False), ("https://app.example/cb?x=1&y=2", False),
        ("http://127.0.0.1:1/callback\n", False), ("http://127.0.0.1 /callback", False), ("", False),
        ("http://127.0.0.2:1/callback", False), ("http://[::1]:9/callback", False), ("x" * 3000, False),
    ],
)
def test_redirect_uris(uri: str, allowed: bool) -> None:
    """Exact, but for the port of a loopback address."""
    assert redirect_allowed(uri, REGISTERED) is allowed


@given(st.text(max_size=60))
def test_no_other_redirect_uri_is_allowed(tail: str) -> None:
    """Whatever is appended to a registered URI makes another one."""
    assert redirect_allowed("http://127.0.0.1/callback" + tail, REGISTERED) == (tail == "")


@pytest.mark.parametrize(
    ("text", "audience"),
    [
        ("openid", DIRECTORY_API), (f"api://{APP}/user_impersonation openid", APP), (f"{APP.upper()}/.default", APP),
        (f"api://{APP}/a api://{APP}/b", APP),
    ],
)
def test_scopes(text: str, audience: str) -> None:
    """One audience, or the directory API when there is none."""
    found = parse_scope(text)
    assert isinstance(found, ScopeRequest)
    assert found.audience == audience


@pytest.mark.parametrize(
    "text", ["", " ", "openid  profile", "other", f"api://{APP}/", f"api://{APP}/a api://{HOME}/a", "x" * 2049, "é/a"]
)
def test_bad_scopes(text: str) -> None:
    """What is wrong is said in a sentence."""
    found = parse_scope(text)
    assert isinstance(found, str)
    assert found.endswith(".")


def test_pkce_example_of_the_rfc() -> None:
    """RFC 7636 appendix B; and a verifier out of its alphabet or length matches nothing."""
    verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert verifier_matches(verifier, challenge)
    for wrong in (verifier[:-1], verifier + "=", "", "é" * 43, "a" * 129, verifier.swapcase()):
        assert not verifier_matches(wrong, challenge)


@pytest.mark.parametrize(
    ("claims", "found"),
    [
        ("", ()), ("{}", ()), ('{"access_token":{"xms_cc":{"values":["cp1"]}}}', ("cp1",)), ("[]", None), ("x", None),
        ('{"access_token":{"xms_cc":{"values":"cp1"}}}', None), ('{"access_token":[]}', None), ("[" * 9999, None),
        ('{"access_token":{"xms_cc":{"values":["a b"]}}}', None), ('{"access_token":{"xms_cc":{"values":[1]}}}', None),
        ('{"access_token":{"xms_cc":{"values":["1","2","3","4","5","6","7","8","9"]}}}', None),
    ],
)
def test_client_capabilities(claims: str, found: tuple[str, ...] | None) -> None:
    """The claims parameter, read for `xms_cc` only; None when it is malformed."""
    parsed = parse_claims(claims)
    assert (parsed.capabilities if parsed else None) == found


GOOD = {
    "client_id": DAEMON_CLIENT, "redirect_uri": "http://127.0.0.1:7/callback", "response_type": "code",
    "scope": "openid", "code_challenge": "A" * 43, "code_challenge_method": "S256", "state": "s",
}


@pytest.mark.parametrize(
    ("change", "code", "redirects"),
    [
        ({"client_id": "x"}, 700016, False), ({"redirect_uri": "http://127.0.0.1:7/"}, 50011, False),
        ({"response_type": "token"}, 700054, True), ({"response_mode": "web_message"}, 90014, True),
        ({"code_challenge_method": "plain"}, 50147, True), ({"code_challenge": "x"}, 50147, True),
        ({"state": "s" * 2049}, 90014, True), ({"prompt": "x"}, 90014, True), ({"scope": "x"}, 70011, True),
        ({"scope": f"{APP}/a {HOME}/a"}, 28000, True), ({"scope": f"{APP}/a"}, 500011, True),
        ({"claims": "x"}, 90014, True),
    ],
)
def test_bad_authorization_requests(change: dict[str, str], code: int, redirects: bool) -> None:
    """The first fault has a code, and goes to the client only when its redirect URI is good."""
    outcome = parse_authorization(GOOD | change, "home", link(document()))
    assert isinstance(outcome, BadAuthorization)
    assert outcome.refusal.code == code
    assert (outcome.redirect_uri is not None) is redirects
    assert outcome.state in (None, "s")


def test_good_authorization_request() -> None:
    """Everything in its place; an unknown tenant is told to nobody but the user."""
    directory = link(document())
    outcome = parse_authorization(GOOD, "home", directory)
    assert isinstance(outcome, AuthorizationRequest)
    assert (outcome.tenant.id, outcome.state, outcome.nonce, outcome.prompt) == (HOME, "s", None, "")
    unknown = parse_authorization(GOOD, "x", directory)
    assert isinstance(unknown, BadAuthorization)
    assert unknown.redirect_uri is None


def test_passwords() -> None:
    """Right, wrong, and hashes that are not ours."""
    encoded = hash_password("pä$$", salt=b"0123456789abcdef", cost=(16, 8, 1))
    assert check_password("pä$$", encoded)
    assert not check_password("pa$$", encoded)
    assert parse_hash(encoded)[:4] == (16, 8, 1, b"0123456789abcdef")
    salt, digest = encoded.split("$")[4:]
    for bad in (
        "", "bcrypt$1$2$3$4$5", f"scrypt$3$8$1${salt}${digest}", f"scrypt$1$8$1${salt}${digest}",
        f"scrypt$16$0$1${salt}${digest}", f"scrypt$16$8$0${salt}${digest}", f"scrypt${2**20}$8$1${salt}${digest}",
        f"scrypt$x$8$1${salt}${digest}", f"scrypt$16$8$1$AA${digest}", f"scrypt$16$8$1${salt}$AA",
        f"scrypt$16$8$1${salt}$!!!!",
    ):
        with pytest.raises(ValueError):  # noqa: PT011 - any of them makes the document invalid
            parse_hash(bad)


def test_lock_out_grows_and_is_forgotten() -> None:
    """Nine misses are free, the tenth locks for a minute, later ones for twice as long, up to an hour."""
    attempts, now = Attempts(), 1000
    for _ in range(THRESHOLD - 1):
        attempts = attempts.after_miss(now)
        assert not attempts.locked(now)
    locks = []
    for _ in range(9):
        attempts = attempts.after_miss(now)
        locks.append(attempts.locked_until - now)
        now = attempts.locked_until
        assert attempts.locked(now - 1)
        assert not attempts.locked(now)
    assert locks == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert attempts.after_miss(now + FORGET_S + 1) == Attempts(1, now + FORGET_S + 1, 0)


POLICY = KeyPolicy(period_s=100, ahead_s=20, keep_s=50)


def test_key_schedule_over_a_life() -> None:
    """Start: one signs, one waits. Then each signs for a period and stays published for the keep time."""
    counter = iter(range(1000))
    keys: tuple[KeyDates, ...] = ()
    signed, published = [], []
    for now in range(0, 400, 10):
        fresh = [f"k{next(counter)}", f"k{next(counter)}"]
        keys = advance(keys, now, POLICY, withdrawn=(), fresh_kids=fresh)
        active = signing_key(keys)
        assert active is not None
        signed.append(active.kid)
        published.append({key.kid for key in keys})
        assert next_key(keys) is not None
    order = list(dict.fromkeys(signed))
    assert [signed.index(kid) * 10 for kid in order] == [0, 100, 200, 300]
    for kid in order[1:]:  # known to verifiers for `ahead` before its first signature
        first = signed.index(kid)
        assert all(kid in names for names in published[first - 2 : first])
    for kid in order[:-1]:  # and for `keep` after its last
        last = len(signed) - 1 - signed[::-1].index(kid)
        assert all(kid in names for names in published[last : last + 6])
        assert kid not in published[last + 7]


def test_key_withdrawal_and_a_next_key_that_is_too_young() -> None:
    """Withdrawal promotes at once, whatever the age; a scheduled change waits until the next key is known."""
    keys = advance((), 0, POLICY, withdrawn=(), fresh_kids=["a", "b"])
    active, waiting = signing_key(keys), next_key(keys)
    assert active is not None
    assert waiting is not None
    after = advance(keys, 1, POLICY, withdrawn={active.kid}, fresh_kids=["c", "d"])
    promoted = signing_key(after)
    assert promoted is not None
    assert (promoted.kid, {key.kid for key in after}) == (waiting.kid, {waiting.kid, "c"})
    both = advance(keys, 1, POLICY, withdrawn={"a", "b"}, fresh_kids=["c", "d"])
    assert {key.kid for key in both} == {"c", "d"}
    late = (KeyDates("a", 0, signs_from=0), KeyDates("b", 95))
    assert signing_key(advance(late, 110, POLICY, withdrawn=(), fresh_kids=["c", "d"])) == late[0]
    alone = advance((late[0],), 110, POLICY, withdrawn=(), fresh_kids=["c", "d"])
    assert signing_key(alone) == late[0]


INPUTS = TokenInputs("https://i", "sid", "uti", b"salt", 1000, 60)


def grant_of(tenant: str, groups: int = 0) -> Grant:
    request = SignInRequest(tenant, DAEMON_CLIENT, DIRECTORY_API, (HOME, ALEX), PasswordProof(True, False))
    outcome = evaluate(request, link(document()), 0)
    assert isinstance(outcome, Grant)
    user = replace(outcome.user, groups=tuple(f"g{n}" for n in range(groups)))
    return replace(outcome, user=user)


def test_claims_of_a_guest_and_of_a_member() -> None:
    """tid, oid, acct and idp follow the tenant; optional claims appear only when asked for."""
    guest = access_claims(grant_of(RESOURCE), replace(INPUTS, key_thumbprint="t", capabilities=("cp1",)))
    assert (guest["tid"], guest["oid"], guest["acct"], guest["idp"]) == (RESOURCE, GUEST, 1, f"https://i/{HOME}/v2.0")
    assert (guest["cnf"], guest["xms_cc"]) == ({"jkt": "t"}, ["cp1"])
    assert guest["preferred_username"] == "alex@home.example"
    member = access_claims(grant_of(HOME), INPUTS)
    assert (member["acct"], member["exp"], member["iss"]) == (0, 1060, f"https://i/{HOME}/v2.0")
    assert not {"idp", "cnf", "xms_cc", "groups"} & member.keys()


def test_subject_is_pairwise() -> None:
    """The ID token's subject differs from the access token's, and from another tenant's."""
    grant = grant_of(HOME)
    subjects = {
        access_claims(grant, INPUTS)["sub"], id_claims(grant, INPUTS, None)["sub"],
        access_claims(grant, replace(INPUTS, subject_salt=b"other"))["sub"],
    }
    assert len(subjects) == 3
    assert "nonce" not in id_claims(grant, INPUTS, None)
    assert id_claims(grant, INPUTS, "n")["nonce"] == "n"


def test_groups_and_their_overage() -> None:
    """Up to 200 groups are listed; more become a pointer."""
    assert access_claims(grant_of(HOME, 200), INPUTS)["groups"] == [f"g{n}" for n in range(200)]
    over = access_claims(grant_of(HOME, 201), INPUTS)
    assert "groups" not in over
    assert over["_claim_names"] == {"groups": "src1"}
