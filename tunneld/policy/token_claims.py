"""The claims of access and ID tokens, version 2.0 of the Microsoft identity platform's shape, as pure functions.

`oid`, `groups` and `acct` are those of the tenant that is signed in to; a guest's home appears in `idp` and, for
test rigs that must see through it, in one namespaced claim that the real platform does not have.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tunneld.policy.directory import Application, UserType
from tunneld.policy.facts import MethodUse, Place, SessionFacts
from tunneld.policy.sign_in import Grant
from tunneld.policy.token_shape import (
    GUEST_UPN,
    GUEST_UPN_WITHOUT_HASH,
    TUNNEL_SHAPE,
    USER_TOKENS_TOO,
    TokenShape,
)

MOCK_CLAIM = "urn:tunneld:x"
MAX_GROUPS = 200  # more become an overage pointer: the published limit of groups in a JWT
_FIRST_FACTORS = frozenset({"password", "federatedSingleFactor"})  # what is no second factor by itself


@dataclass(frozen=True, slots=True)
class TokenInputs:
    """What the claims need besides the decision: names of issuers, ids, the clock, and what the session proved."""

    base_url: str
    session_id: str
    token_id: str
    subject_salt: bytes = field(repr=False)
    now: int
    lifetime_s: int
    capabilities: tuple[str, ...] = ()
    key_thumbprint: str | None = None
    authenticated_at: int | None = None
    address: str = ""
    facts: SessionFacts = SessionFacts()
    continuous: bool = False  # a long-lived token whose verifiers hear of revocations


def issuer(base_url: str, tenant_id: str) -> str:
    """Return the `iss` of a tenant."""
    return f"{base_url}/{tenant_id}/v2.0"


def pairwise_subject(salt: bytes, audience: str, oid: str) -> str:
    """Return a `sub` that differs per (tenant salt, audience, user) (OpenID Connect Core §8.1)."""
    digest = hmac.digest(salt, f"{audience}\0{oid}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def access_claims(grant: Grant, inputs: TokenInputs) -> dict[str, object]:
    """Return the claims of an access token for the resource of `grant`."""
    application = grant.tenant.applications.get(grant.resource.id)
    shape = application.shape if application is not None else TUNNEL_SHAPE
    claims = _identity_claims(grant, inputs, grant.resource.id)
    claims |= {
        "azp": grant.client.id,
        "azpacr": "0",
        "scp": grant.resource.scope,
        "uti": inputs.token_id,
        MOCK_CLAIM: _mock_claim(grant, inputs),
    }
    claims |= _optional_claims(grant, inputs, shape.access)
    claims |= _membership_claims(grant, inputs, shape, application)
    if inputs.continuous:
        claims["xms_ssm"] = "1"
    if inputs.key_thumbprint is not None:
        claims["cnf"] = {"jkt": inputs.key_thumbprint}  # RFC 7800 §3.1, member registered by RFC 9449
    return claims


def id_claims(grant: Grant, inputs: TokenInputs, nonce: str | None) -> dict[str, object]:
    """Return the claims of an ID token for the client of `grant` (OpenID Connect Core §2).

    A client that is also an application of the tenant decides about its own ID tokens.
    """
    claims = _identity_claims(grant, inputs, grant.client.id)
    claims["sid"] = inputs.session_id
    application = grant.tenant.applications.get(grant.client.id)
    if grant.user.user_type is UserType.GUEST:
        claims |= _email(grant, inputs, frozenset())
    if application is not None:
        claims |= _optional_claims(grant, inputs, application.shape.identity)
        claims |= _membership_claims(grant, inputs, application.shape, application)
    if nonce is not None:
        claims["nonce"] = nonce
    return claims


def _identity_claims(grant: Grant, inputs: TokenInputs, audience: str) -> dict[str, object]:
    claims: dict[str, object] = {
        "ver": "2.0",
        "iss": issuer(inputs.base_url, grant.tenant.id),
        "aud": audience,
        "tid": grant.tenant.id,
        "oid": grant.user.oid,
        "sub": pairwise_subject(inputs.subject_salt, audience, grant.user.oid),
        "name": grant.user.display_name,
        "preferred_username": _username(grant),
        "iat": inputs.now,
        "nbf": inputs.now,
        "exp": inputs.now + inputs.lifetime_s,
    }
    if grant.home.id != grant.tenant.id:
        claims["idp"] = issuer(inputs.base_url, grant.home.id)
    elif grant.user.external is not None:
        claims["idp"] = grant.user.external.issuer
    return claims


def _username(grant: Grant) -> str:
    """Return the name that the person signs in with; the object of a guest from outside has one of our making."""
    return grant.user.mail or grant.home_user.upn if grant.user.external is not None else grant.home_user.upn


# Optional claims, each out of (grant, inputs, additional properties): {} where there is nothing to say.
_Claims = dict[str, object]


def _account_type(grant: Grant, inputs: TokenInputs, properties: frozenset[str]) -> _Claims:
    del inputs, properties
    return {"acct": 1 if grant.user.user_type is UserType.GUEST else 0}


def _contexts(grant: Grant, inputs: TokenInputs, properties: frozenset[str]) -> _Claims:
    del inputs, properties
    return {"acrs": list(grant.access.contexts)} if grant.access.contexts else {}


def _capabilities(grant: Grant, inputs: TokenInputs, properties: frozenset[str]) -> _Claims:
    """Only what the resource asked for and the client sent."""
    del grant, properties
    return {"xms_cc": list(inputs.capabilities)} if inputs.capabilities else {}


def _session(grant: Grant, inputs: TokenInputs, properties: frozenset[str]) -> _Claims:
    del grant, properties
    return {"sid": inputs.session_id}


def _authenticated(grant: Grant, inputs: TokenInputs, properties: frozenset[str]) -> _Claims:
    del grant, properties
    return {"auth_time": inputs.authenticated_at} if inputs.authenticated_at is not None else {}


def _address(grant: Grant, inputs: TokenInputs, properties: frozenset[str]) -> _Claims:
    del grant, properties
    return {"ipaddr": inputs.address} if inputs.address else {}


def _email(grant: Grant, inputs: TokenInputs, properties: frozenset[str]) -> _Claims:
    del inputs, properties
    address = grant.user.mail or grant.home_user.mail
    if not address and grant.home.id != grant.tenant.id:
        address = grant.home_user.upn  # a guest without mail is known by the name of their home account
    return {"email": address} if address else {}


def _upn(grant: Grant, inputs: TokenInputs, properties: frozenset[str]) -> _Claims:
    """A guest's has `#EXT#` in it, and appears only where the application asked for that."""
    del inputs
    name = grant.user.upn
    if grant.home.id == grant.tenant.id and grant.user.external is None:
        return {"upn": name}
    if GUEST_UPN_WITHOUT_HASH in properties:
        return {"upn": name.replace("#", "_")}
    return {"upn": name} if GUEST_UPN in properties else {}


def _kind(grant: Grant, inputs: TokenInputs, properties: frozenset[str]) -> _Claims:
    del grant, inputs
    return {"idtyp": "user"} if USER_TOKENS_TOO in properties else {}


_OPTIONAL: dict[str, Callable[[Grant, TokenInputs, frozenset[str]], _Claims]] = {
    "acct": _account_type, "acrs": _contexts, "xms_cc": _capabilities, "sid": _session, "auth_time": _authenticated,
    "ipaddr": _address, "email": _email, "upn": _upn, "idtyp": _kind,
}


def _optional_claims(grant: Grant, inputs: TokenInputs, wanted: Mapping[str, frozenset[str]]) -> _Claims:
    """Return those of the wanted claims that we know; the others are ignored, as in the product."""
    claims: _Claims = {}
    for name, properties in wanted.items():
        if name in _OPTIONAL:
            claims |= _OPTIONAL[name](grant, inputs, properties)
    return claims


def _membership_claims(
    grant: Grant, inputs: TokenInputs, shape: TokenShape, application: Application | None
) -> _Claims:
    """Return `groups`, `wids` and `roles`: of the visited tenant, never of home."""
    user = grant.user
    claims: _Claims = {}
    if shape.lists("SecurityGroup", "All"):
        claims = _groups(grant, inputs, user.groups)
    elif shape.lists("ApplicationGroup") and application is not None:
        assigned = application.assignments.groups
        claims = _groups(grant, inputs, tuple(group for group in user.groups if group in assigned))
    if shape.lists("DirectoryRole", "All") and user.roles:
        claims["wids"] = sorted(user.roles)
    if application is not None:
        names = {user.oid, *user.group_keys}
        roles = [role.value for role in application.roles if role.enabled and names & role.holders]
        if roles:
            claims["roles"] = roles
    return claims


def _groups(grant: Grant, inputs: TokenInputs, groups: tuple[str, ...]) -> _Claims:
    if not groups:
        return {}
    if len(groups) <= MAX_GROUPS:
        return {"groups": list(groups)}
    endpoint = f"{inputs.base_url}/v1.0/users/{grant.user.oid}/getMemberObjects"
    return {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": endpoint}}}


def _mock_claim(grant: Grant, inputs: TokenInputs) -> _Claims:
    """Return what no real service issues: who somebody is at home, and what was proved where."""
    claim: _Claims = {
        "home_tid": grant.home.id, "home_oid": grant.home_user.oid, "user_type": str(grant.user.user_type),
    }
    for place, uses in ((Place.HOME, inputs.facts.home), (Place.RESOURCE, inputs.facts.resource)):
        if _second_factor(uses, place):
            methods = sorted({use.method for use in uses})
            claim["mfa"] = {"at": str(place), "methods": methods, "time": max(use.at for use in uses)}
            break
    device = inputs.facts.device
    if device is not None:
        claim["device"] = {
            "id": device.id, "tid": device.tenant_id, "compliant": device.compliant, "hybrid": device.hybrid_joined,
        }
    return claim


def _second_factor(uses: tuple[MethodUse, ...], place: Place) -> bool:
    """Tell whether more than a first factor was used. At the visited tenant nobody begins, so anything counts."""
    methods = {use.method for use in uses}
    if place is Place.RESOURCE:
        return bool(methods - _FIRST_FACTORS)
    return bool(methods & {"fido2", "federatedMultiFactor"}) or (len(methods) > 1 and bool(methods - _FIRST_FACTORS))
