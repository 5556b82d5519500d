"""The strict verification of an access token, up to the point where judging it begins.

`take_apart` judges the form, `verify` the signature and the claims that make it an access token of the one issuer.
What the bearer may do with it is decided elsewhere (`admission.py`), on the `VerifiedClaims` returned here.
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import NamedTuple

from joserfc import jws
from joserfc.errors import JoseError

from tunneld.model.errors import TokenError
from tunneld.model.identity import VerifiedClaims
from tunneld.model.reasons import Reason
from tunneld.policy.compact_token import ALGORITHM, CompactToken
from tunneld.policy.key_set import PublishedKey

CLOCK_SKEW_S = 60
MAX_LIFETIME_S = 28 * 3600  # the longest access token of the Microsoft identity platform (continuous access sessions)
MAX_TEXT = 256
MAX_GROUPS = 1000  # the platform puts at most 200 into a token and points to a directory beyond that

_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")
# What an ID token, a security event or a logout token has and an access token never has (RFC 8725 §3.12).
_FOREIGN = ("nonce", "c_hash", "at_hash", "events")


class Trust(NamedTuple):
    """The one issuer that a tenant's edge believes, and the audiences that it stands for."""

    tenant_id: str
    issuer: str
    audiences: Container[str]


def verify(token: CompactToken, key: PublishedKey, trust: Trust, *, now: float) -> VerifiedClaims:
    """Return the claims of an access token that `trust.issuer` signed with `key`, or raise TokenError."""
    choose_issuer(token, trust)
    if token.key_id != key.key_id:
        raise TokenError(Reason.TOKEN_KEY_UNKNOWN, "another key was looked up")
    check_signature(token, key)
    claims = token.claims
    _check_issuer(claims, key, trust)
    audience = _guid(claims, "aud", Reason.TOKEN_AUDIENCE)
    if audience not in trust.audiences:
        raise TokenError(Reason.TOKEN_AUDIENCE, "none of ours")
    issued_at, not_before, expires_at = check_times(claims, now)
    _check_kind(claims)
    return VerifiedClaims(
        issuer=trust.issuer,
        tenant_id=trust.tenant_id,
        oid=_guid(claims, "oid"),
        subject=_text(claims, "sub"),
        audience=audience,
        client_id=_guid(claims, "azp", Reason.TOKEN_TYPE),
        scopes=frozenset(_text(claims, "scp", Reason.TOKEN_TYPE, limit=4096).split(" ")),
        groups=_texts(claims, "groups"),
        user_type=_user_type(claims),
        token_id=_text(claims, "uti"),
        session_id=_text(claims, "sid") if "sid" in claims else None,
        jkt=_bound_key(claims),
        issued_at=issued_at,
        not_before=not_before,
        expires_at=expires_at,
        authentication_contexts=_texts(claims, "acrs"),
        capabilities=frozenset(name.lower() for name in _texts(claims, "xms_cc")),
        home_tenant=_home_tenant(claims, trust),
    )


def choose_issuer(token: CompactToken, trust: Trust) -> None:
    """Refuse a token that does not even claim to come from the issuer, before anybody looks for its key.

    A token that is consistently another tenant's (its `tid` and an `iss` of the same form) is told apart from one
    whose issuer is plainly foreign: the first is somebody in the wrong place, the second an attack.
    """
    issuer, tenant_id = token.claims.get("iss"), token.claims.get("tid")
    if issuer == trust.issuer and tenant_id == trust.tenant_id:
        return
    if isinstance(tenant_id, str) and _GUID.fullmatch(tenant_id) and tenant_id != trust.tenant_id:
        if issuer == trust.issuer.replace(trust.tenant_id, tenant_id):
            raise TokenError(Reason.TOKEN_TENANT)
        if issuer == trust.issuer:
            raise TokenError(Reason.TOKEN_TENANT, "tid and iss disagree")
    raise TokenError(Reason.TOKEN_ISSUER)


def check_times(claims: dict[str, object], now: float) -> tuple[int, int, int]:
    """Return `iat`, `nbf` and `exp`, or raise TokenError (RFC 7519 §4.1; all three are required, whole seconds)."""
    issued_at, not_before, expires_at = (_seconds(claims, name) for name in ("iat", "nbf", "exp"))
    if now >= expires_at + CLOCK_SKEW_S:
        raise TokenError(Reason.TOKEN_EXPIRED, f"{now - expires_at:.0f} s ago")
    if not_before > now + CLOCK_SKEW_S or issued_at > now + CLOCK_SKEW_S:
        raise TokenError(Reason.TOKEN_NOT_YET_VALID, f"{max(not_before, issued_at) - now:.0f} s ahead of our clock")
    if expires_at <= not_before or expires_at - min(issued_at, not_before) > MAX_LIFETIME_S:
        raise TokenError(Reason.TOKEN_LIFETIME, f"{expires_at - not_before} s")
    return issued_at, not_before, expires_at


def check_signature(token: CompactToken, key: PublishedKey) -> None:
    """Refuse a token that `key` did not sign. Raises TokenError."""
    try:
        jws.deserialize_compact(token.text, key.key, algorithms=[ALGORITHM])
    except (JoseError, ValueError, TypeError, OverflowError, RecursionError):
        raise TokenError(Reason.TOKEN_SIGNATURE) from None


def _check_issuer(claims: dict[str, object], key: PublishedKey, trust: Trust) -> None:
    if claims.get("ver") != "2.0":
        raise TokenError(Reason.TOKEN_TYPE, "ver is not 2.0")
    # The key belongs to one issuer, or to a template of issuers; a key of tenant A never speaks for tenant B.
    if key.issuer is not None and key.issuer.replace("{tenantid}", trust.tenant_id) != trust.issuer:
        raise TokenError(Reason.TOKEN_ISSUER, "the key is published for another issuer")


def _check_kind(claims: dict[str, object]) -> None:
    foreign = next((name for name in _FOREIGN if name in claims), None)
    if foreign is not None:
        raise TokenError(Reason.TOKEN_TYPE, f"{foreign} belongs to another kind of token")
    # An app-only token has no user whose assignments could be judged.
    if claims.get("idtyp", "user") != "user" or "scp" not in claims or "azp" not in claims:
        raise TokenError(Reason.TOKEN_TYPE, "not a delegated access token")


def _seconds(claims: dict[str, object], name: str) -> int:
    value = claims.get(name)
    if type(value) is not int or not 0 <= value < 1 << 40:  # bool is an int, and 1.7e9 is a float
        raise TokenError(Reason.TOKEN_MALFORMED, f"{name} is not a number of seconds")
    return value


def _text(
    claims: dict[str, object], name: str, reason: Reason = Reason.TOKEN_MALFORMED, *, limit: int = MAX_TEXT
) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= limit:
        raise TokenError(reason, f"{name} is not a text of 1 to {limit} characters")
    return value


def _guid(claims: dict[str, object], name: str, reason: Reason = Reason.TOKEN_MALFORMED) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not _GUID.fullmatch(value):
        raise TokenError(reason, f"{name} is not a GUID")
    return value


def _texts(claims: dict[str, object], name: str) -> frozenset[str]:
    values = claims.get(name, [])
    if not isinstance(values, list) or len(values) > MAX_GROUPS:
        raise TokenError(Reason.TOKEN_MALFORMED, f"{name} is not a list")
    for value in values:
        if not isinstance(value, str) or len(value) > MAX_TEXT:
            raise TokenError(Reason.TOKEN_MALFORMED, f"{name} holds something that is not a short text")
    return frozenset(values)


def _user_type(claims: dict[str, object]) -> str | None:
    account = claims.get("acct")
    if account is None:
        return None
    if type(account) is not int or account not in (0, 1):
        raise TokenError(Reason.TOKEN_MALFORMED, "acct is neither 0 nor 1")
    return "guest" if account else "member"


def _home_tenant(claims: dict[str, object], trust: Trust) -> str | None:
    """Return the tenant in `idp`, else the issuer's. For records only: nobody may be authorized by it."""
    if "idp" not in claims:
        return trust.tenant_id
    found = _GUID.search(_text(claims, "idp", limit=2048).lower())
    return found[0] if found is not None else None


def _bound_key(claims: dict[str, object]) -> str | None:
    """Return the thumbprint in `cnf` (RFC 7800 §3, RFC 9449 §6.1). A binding that we cannot read is no binding."""
    confirmation = claims.get("cnf")
    if confirmation is None:
        return None
    thumbprint = confirmation.get("jkt") if isinstance(confirmation, dict) and len(confirmation) == 1 else None
    if not isinstance(thumbprint, str) or not _THUMBPRINT.fullmatch(thumbprint):
        raise TokenError(Reason.TOKEN_BINDING, "cnf holds no key thumbprint")
    return thumbprint
