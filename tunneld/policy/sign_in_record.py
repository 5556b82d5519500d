"""What each tenant writes down about one sign-in: both get a record, and neither gets what is the other's business.

The members are those of Microsoft Graph's `signIn` (beta); `decisionTrace` and `via` are ours. What is not known is
null. Which tenant sees what follows Microsoft's description of cross-tenant sign-in logs where there is one, and is
the narrower choice elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunneld.policy.cross_tenant.restrictions import parse_policy_header
from tunneld.policy.directory import Directory, Tenant, User
from tunneld.policy.facts import AccessPath
from tunneld.policy.refusals import refusal
from tunneld.policy.sign_in_parts import (
    PASSED_AT_HOME,
    access_members,
    device_of,
    methods_of,
    multifactor,
    surroundings_of,
)
from tunneld.policy.sign_in_values import Deny, Grant, SignInRequest

NOBODY = "00000000-0000-0000-0000-000000000000"  # the object id of somebody who has, or shows, no object
_RESTRICTED = frozenset({500021, 500022, 5000211})


@dataclass(frozen=True, slots=True)
class Moment:
    """What the decision does not know: when, in which conversation, by which grant, and what was typed."""

    created: str  # RFC 3339
    correlation_id: str  # a GUID
    via: str  # "password" | "code" | "refresh" | …
    typed: str = ""
    record_ids: tuple[str, ...] = ()  # at least three
    user_agent: str | None = None
    session_id: str | None = None
    token_id: str | None = None  # of the access token that a grant is worth


@dataclass(frozen=True, slots=True)
class Record:
    """One tenant's record. `tenant_id` is "" when no tenant can be told."""

    tenant_id: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Case:
    request: SignInRequest
    outcome: Grant | Deny
    resource: Tenant | None
    home: Tenant | None
    home_user: User | None
    guest: User | None
    moment: Moment

    @property
    def code(self) -> int:
        return self.outcome.code if isinstance(self.outcome, Deny) else 0

    @property
    def last_step(self) -> str:
        return self.outcome.trace[-1].step if self.outcome.trace else ""

    @property
    def name(self) -> str:
        """How the person is called in logs: guests by their home address, in lower case."""
        if self.home_user is None:
            return self.moment.typed.lower()
        external = self.home_user.external
        return (external.subject if external else self.home_user.upn).lower()


def records_of(
    request: SignInRequest, outcome: Grant | Deny, directory: Directory, moment: Moment
) -> tuple[Record, ...]:
    """Return the records of one decision, one for each tenant that has a part in it."""
    resource = directory.tenant(request.tenant)
    home = directory.tenants.get(request.account[0]) if request.account else None
    home_user = directory.user(request.account) if request.account else None
    guest = directory.presence(resource, request.account) if resource and request.account else None
    if guest is None and isinstance(outcome, Grant):
        guest = outcome.user
    case = _Case(request, outcome, resource, home, home_user, guest, moment)
    if case.code in _RESTRICTED:
        bodies = _restricted(case, directory)
    elif home is None or home is resource:
        bodies = [(resource, _own(case, resource))]
    elif case.last_step == "S3" or resource is None:
        bodies = [(home, _at_home(case, home))]  # who failed to prove anything is unknown to the tenant beyond
    else:
        bodies = [(home, _at_home(case, home)), (resource, _at_resource(case, resource))]
    return tuple(
        Record(tenant.id if tenant else "", {"id": record_id, "tenantId": tenant.id if tenant else None, **body})
        for record_id, (tenant, body) in zip(moment.record_ids, bodies, strict=False)
    )


def _same(case: _Case, *, reason: str | None) -> dict[str, Any]:
    """Return the members that are equal in all records of a sign-in."""
    request, moment = case.request, case.moment
    return {
        "createdDateTime": moment.created, "correlationId": moment.correlation_id,
        "originalRequestId": moment.correlation_id, "uniqueTokenIdentifier": None,  # the issuing tenant's alone
        "homeTenantId": case.home.id if case.home else None,
        "resourceTenantId": case.resource.id if case.resource else None,
        "crossTenantAccessType": str(case.outcome.path), "appId": request.client_id, "resourceId": request.audience,
        "status": {"errorCode": case.code, "failureReason": reason, "additionalDetails": None},
        "isTenantRestricted": case.code in _RESTRICTED, "via": moment.via,
        **surroundings_of(request, moment.via, moment.user_agent),
    }


def _token_id(case: _Case) -> str | None:
    """Return the id of the token that came of the sign-in: the tenant's own edges know the flow by it."""
    return None if isinstance(case.outcome, Deny) else case.moment.token_id


def _own(case: _Case, tenant: Tenant | None) -> dict[str, Any]:
    """Nothing is crossed: everything is this tenant's own business."""
    user = case.guest or case.home_user
    facts = case.request.facts
    return {
        **_same(case, reason=_reason(case)),
        "uniqueTokenIdentifier": _token_id(case),
        **_person(case, user.oid if user else NOBODY, case.name, user),
        "homeTenantName": case.home.name if case.home else None,
        "resourceDisplayName": _resource_name(case), "appDisplayName": _client_name(case),
        "sessionId": case.moment.session_id, **methods_of((*facts.home, *facts.resource)),
        **access_members(case.outcome.access), **device_of(facts.device),
        "riskLevelDuringSignIn": facts.sign_in_risk, "riskLevelAggregated": facts.user_risk,
        "decisionTrace": _trace(case, tenant),
    }


def _at_home(case: _Case, home: Tenant) -> dict[str, Any]:
    """The account's tenant: how it signed in and where to, and nothing of the visited tenant's policies."""
    facts = case.request.facts
    ours = case.last_step in ("S0", "S1", "S2", "S3", "S4")
    user = case.home_user
    return {
        **_same(case, reason=_reason(case) if ours else _public_reason(case)),
        **_person(case, user.oid if user else NOBODY, case.name, user),
        "homeTenantName": home.name, "resourceDisplayName": None, "appDisplayName": _client_name(case),
        "sessionId": case.moment.session_id, **methods_of(facts.home), **access_members(None),
        **device_of(facts.device),
        "riskLevelDuringSignIn": facts.sign_in_risk, "riskLevelAggregated": facts.user_risk,
        "decisionTrace": _trace(case, home),
    }


def _at_resource(case: _Case, tenant: Tenant) -> dict[str, Any]:
    """The visited tenant: its own decisions, and of the home only what it was told and trusts."""
    assert case.home is not None
    facts = case.request.facts
    hidden = case.last_step == "S4"  # the home kept the account back: the visited tenant learns that, and not of whom
    trust = tenant.policy.cross_tenant.inbound_trust(case.home.id).value
    shown = case.home.policy.cross_tenant.automatic_consent(tenant.id).value.outbound
    guest = case.guest
    body = {
        **_same(case, reason=_public_reason(case) if hidden else _reason(case)),
        **_person(
            case, guest.oid if guest and not hidden else NOBODY, masked(case.name) if hidden else case.name,
            None if hidden else guest,
        ),
        "uniqueTokenIdentifier": _token_id(case),
        # The home's consent is its outbound automatic redemption for this tenant: there is no switch of its own.
        "homeTenantName": case.home.name if shown else None,
        "resourceDisplayName": _resource_name(case), "appDisplayName": _client_name(case), "sessionId": None,
        **methods_of(facts.resource),
        **access_members(None if hidden else case.outcome.access),
        **device_of(facts.device if facts.device and facts.device.tenant_id == tenant.id else None),
        "riskLevelDuringSignIn": "hidden" if hidden else facts.sign_in_risk, "riskLevelAggregated": "hidden",
        "decisionTrace": _trace(case, tenant),
    }
    if facts.device and not hidden and facts.device.tenant_id != tenant.id:
        body |= device_of(facts.device, compliant=trust.compliant_device, joined=trust.hybrid_joined, named=False)
    if trust.mfa and not hidden and case.outcome.path is not AccessPath.NONE and multifactor(facts.home):
        body["status"] = {**body["status"], "additionalDetails": PASSED_AT_HOME}
        body["authenticationDetails"] = [
            *body["authenticationDetails"],
            {"authenticationMethod": None, "authenticationStepDateTime": None, "succeeded": True,
             "authenticationStepResultDetail": PASSED_AT_HOME},
        ]
    return body


def _restricted(case: _Case, directory: Directory) -> list[tuple[Tenant | None, dict[str, Any]]]:
    """A network's owner refused: its record names nobody, the account's tenant has the name.

    Version 1 is reported to the tenant of `Restrict-Access-Context` alone.
    """
    headers = case.request.around.restrictions
    version_2 = case.code == 5000211
    parsed = parse_policy_header(headers.v2[0]) if version_2 and headers.v2 else None
    owner_name = parsed.owner if parsed is not None else headers.v1_context
    owner = directory.tenant(owner_name) if owner_name else None
    bodies: list[tuple[Tenant | None, dict[str, Any]]] = []
    if owner is not None and owner is not case.home:
        bodies.append((owner, {
            **_same(case, reason=_public_reason(case)), **_person(case, NOBODY, masked(case.name), None),
            "homeTenantName": None, "resourceDisplayName": None, "appDisplayName": _client_name(case),
            "sessionId": None, **methods_of(()), **access_members(None), **device_of(None),
            "riskLevelDuringSignIn": "hidden", "riskLevelAggregated": "hidden", "decisionTrace": _trace(case, owner),
        }))
    if case.home is not None and (version_2 or owner is None or owner is case.home):
        bodies.append((case.home, _at_home(case, case.home)))
    return bodies or [(case.resource, _own(case, case.resource))]


def masked(name: str) -> str:
    """Return a user name without the user, as tenant-restriction reports write it."""
    return f"{{PII Removed}}@{name.rpartition('@')[2]}" if "@" in name else "{PII Removed}"


def _person(case: _Case, object_id: str, name: str, user: User | None) -> dict[str, Any]:
    crossed = case.outcome.path is not AccessPath.NONE
    return {
        "userId": object_id, "userPrincipalName": name, "userDisplayName": user.display_name if user else None,
        "userType": str(user.user_type) if user else ("guest" if crossed else "member"),
        "signInIdentifier": name or None, "signInIdentifierType": "userPrincipalName" if name else None,
    }


def _reason(case: _Case) -> str | None:
    return case.outcome.refusal.sentence if isinstance(case.outcome, Deny) else None


def _public_reason(case: _Case) -> str | None:
    """Return the published sentence of the code: the decision's own may name objects of the other tenant."""
    return refusal(case.code).sentence if case.code else None


def _resource_name(case: _Case) -> str | None:
    found = case.resource.resource(case.request.audience) if case.resource else None
    return found.name if found else None


def _client_name(case: _Case) -> str | None:
    return case.outcome.client.name if isinstance(case.outcome, Grant) else None


def _trace(case: _Case, tenant: Tenant | None) -> list[dict[str, object]]:
    """Return the steps at which this tenant's own settings were read, and those that belong to nobody."""
    own = {"", tenant.name} if tenant is not None else {""}
    return [step.to_json() for step in case.outcome.trace if step.tenant in own]
