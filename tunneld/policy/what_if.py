"""What a sign-in would come to: hypothetical facts in, the decision and its steps out, and nobody signed in.

The members are those of this system's own `whatIf` call; their words are Microsoft Graph's where Graph has one
(`clientAppType`, `devicePlatform`, `signInRiskLevel` of the Conditional Access what-if evaluation). Nothing is read
but the directory that is handed in, and nothing is written.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from tunneld.policy.conditional_access.outcome import AppliedPolicy, Interaction
from tunneld.policy.conditional_access.words import KNOWN_COMBINATIONS, cased
from tunneld.policy.directory import DAEMON_CLIENT, DIRECTORY_API, Directory, ObjectKey, Tenant
from tunneld.policy.facts import AccessPath, DeviceFacts, MethodUse, Restrictions, SessionFacts, Surroundings
from tunneld.policy.objects import Conflict, GraphObject
from tunneld.policy.sign_in import Deny, Grant, MethodProof, SessionProof, SignInRequest

MAX_LIST = 32  # methods, contexts, agreements: a session has a handful

Word = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
Words = Annotated[tuple[Word, ...], Field(max_length=MAX_LIST)]
Risk = Literal["none", "low", "medium", "high"]
Platform = Literal["", "android", "iOS", "windows", "windowsPhone", "macOS", "linux"]
ClientApp = Literal["browser", "mobileAppsAndDesktopClients", "exchangeActiveSync", "easSupported", "other"]
METHODS = frozenset(method for methods in KNOWN_COMBINATIONS for method in methods)
SESSION_S = 3600  # how long the supposed session lives; only its age decides anything


def _address(text: str) -> str:
    try:
        return text and str(ip_address(text))
    except ValueError:
        raise ValueError("not an address such as 192.0.2.1 or 2001:db8::1") from None


def _country(text: str) -> str:
    if text and not re.fullmatch(r"[A-Za-z]{2}", text):
        raise ValueError("not two letters such as DE (ISO 3166-1)")
    return text


def _methods(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in METHODS:
            raise ValueError(f"{name!r} is none of {', '.join(sorted(METHODS))}")
    return names


Methods = Annotated[Words, AfterValidator(_methods)]


class SupposedDevice(GraphObject):
    """A device that is supposed to have proved itself at home."""

    is_compliant: bool = False
    is_hybrid_joined: bool = False
    display_name: str = ""
    operating_system: str = ""
    attributes: Annotated[dict[str, str], Field(max_length=MAX_LIST)] = {}


class SupposedRestrictions(GraphObject):
    """The tenant-restriction headers that a proxy is supposed to add."""

    restrict_access_to_tenants: str | None = None
    restrict_access_context: str | None = None
    sec_restrict_tenant_access_policy: str | None = None


class Hypothesis(GraphObject):
    """One supposed sign-in. `user` and `application` are ids or names; what is left out is the plainest case."""

    user: Word
    tenant: Word = ""  # the tenant that is visited; the caller's own when empty
    application: Word = DIRECTORY_API
    client: Word = DAEMON_CLIENT
    ip_address: Annotated[str, AfterValidator(_address)] = ""
    country: Annotated[str, AfterValidator(_country)] = ""
    device_platform: Annotated[Platform, cased(Platform)] = ""
    client_app_type: Annotated[ClientApp, cased(ClientApp)] = "browser"
    access_type: Literal["b2bCollaboration", "b2bDirectConnect", "serviceProvider"] = "b2bCollaboration"
    methods_at_home: Methods = ("password",)
    methods_at_resource: Methods = ()
    registered_at_home: Methods = ()
    registered_at_resource: Methods = ()
    methods_age_seconds: Annotated[int, Field(ge=0, le=366 * 86400)] = 0
    device: SupposedDevice | None = None
    terms_accepted: Words = ()
    user_risk_level: Risk = "none"
    sign_in_risk_level: Risk = "none"
    authentication_contexts: Words = ()
    user_action: str = ""
    redeemed: bool = True  # the person has accepted the visited tenant's terms, or would
    interactive: bool = True
    restrictions: SupposedRestrictions = SupposedRestrictions()


def suppose(hypothesis: Hypothesis, tenant: Tenant, directory: Directory, now: int) -> SignInRequest | Conflict:
    """Return the question that `hypothesis` asks of `tenant`, or what in it names nothing."""
    account = find_account(hypothesis.user, tenant, directory)
    if account is None:
        return Conflict(
            "unknownUser", f"No account is called {hypothesis.user!r}.",
            "Give the name the person signs in with, or an object id of this tenant.", "user", 404,
        )
    at = now - hypothesis.methods_age_seconds
    first = hypothesis.methods_at_home[0] if hypothesis.methods_at_home else "password"
    aged = hypothesis.methods_age_seconds > 0
    proof = SessionProof(at, False, hypothesis.methods_age_seconds + SESSION_S) if aged else MethodProof(first, True)
    return SignInRequest(
        tenant.id, find_client(hypothesis.client, directory), find_application(hypothesis.application, tenant), account,
        proof, hypothesis.redeemed, _facts(hypothesis, account, at), _surroundings(hypothesis),
    )


def find_account(text: str, tenant: Tenant, directory: Directory) -> ObjectKey | None:
    """Return the account that a name or an object id stands for: of any tenant by name, of this one by id."""
    wanted = text.strip().lower()
    if not wanted:
        return None
    named = directory.account(wanted)
    if named is not None:
        return named
    for user in tenant.users.values():
        if wanted in (user.oid, user.upn.lower(), user.mail.lower()):
            return user.home or (tenant.id, user.oid)
    found = [other.id for other in directory.tenants.values() if wanted in other.users]
    return (found[0], wanted) if len(found) == 1 and directory.tenants[found[0]].users[wanted].home is None else None


def find_client(text: str, directory: Directory) -> str:
    """Return the id of the client application of that id or name; an unknown one stays as it is, to be refused."""
    wanted = text.lower()
    for client in directory.clients.values():
        if wanted in (client.id, client.name.lower()):
            return client.id
    return wanted


def find_application(text: str, tenant: Tenant) -> str:
    """Return the audience of that id or name; an unknown one stays as it is, to be refused."""
    wanted = text.lower()
    for application in tenant.applications.values():
        if wanted in (application.id, application.name.lower()):
            return application.id
    for audience, channel in tenant.channels.items():
        if wanted == str(channel).lower():
            return audience
    return DIRECTORY_API if wanted == "directory" else wanted


def answer_json(outcome: Grant | Deny) -> dict[str, Any]:  # a JSON object has any shape
    """Return a decision as JSON: what happens, why, what could be done about it, and every step."""
    access = outcome.access
    answer: dict[str, Any] = {
        "decision": "grant" if isinstance(outcome, Grant) else "deny",
        "errorCode": 0, "reason": None, "failureReason": None, "interaction": None,
        "crossTenantAccessType": str(outcome.path),
        "decidedBy": decided_by(outcome),
        "appliedConditionalAccessPolicies": [policy_json(policy) for policy in access.applied],
        "authenticationContexts": list(access.contexts),
        "sessionControls": {
            "signInFrequencySeconds": access.session.sign_in_frequency_s,
            "persistentBrowser": access.session.persistent_browser,
            "continuousAccessEvaluation": access.session.continuous_access or None,
        },
        "decisionTrace": [step.to_json() for step in outcome.trace],
    }
    if isinstance(outcome, Deny):
        answer |= {
            "errorCode": outcome.code, "reason": str(outcome.reason), "failureReason": outcome.refusal.sentence,
            "interaction": interaction_json(outcome.interaction) if outcome.interaction else None,
        }
    return answer


def decided_by(outcome: Grant | Deny) -> str:
    """Return the step that decided, as one readable line that is the same for the same settings."""
    if isinstance(outcome, Grant):
        return "granted"
    last = next((step for step in reversed(outcome.trace) if step.effect in ("block", "interrupt")), None)
    if last is None:
        return f"AADSTS{outcome.code}"
    parts = [last.step, last.check, f"in {last.tenant}" if last.tenant else "", last.setting, last.source]
    where = " ".join(part for part in parts if part)
    return f"AADSTS{outcome.code} at {where}" + ("" if last.rule.startswith("AADSTS") else f": {last.rule}")


def policy_json(policy: AppliedPolicy) -> dict[str, Any]:
    """Return one Conditional Access policy's result in the words of Graph's sign-in record."""
    return {
        "id": policy.id, "displayName": policy.display_name, "result": policy.result,
        "enforcedGrantControls": list(policy.grant_controls), "enforcedSessionControls": list(policy.session_controls),
        "conditionsSatisfied": list(policy.satisfied), "conditionsNotSatisfied": list(policy.not_satisfied),
    }


def interaction_json(interaction: Interaction) -> dict[str, Any]:
    """Return what a page could still ask for."""
    return {
        "task": str(interaction.task), "place": str(interaction.place), "agreement": interaction.agreement or None,
        "methods": sorted(sorted(methods) for methods in interaction.methods), "policies": list(interaction.policies),
    }


def _facts(hypothesis: Hypothesis, account: ObjectKey, at: int) -> SessionFacts:
    return SessionFacts(
        _uses(hypothesis.methods_at_home, at), _uses(hypothesis.methods_at_resource, at),
        frozenset(hypothesis.registered_at_home), frozenset(hypothesis.registered_at_resource),
        _device(hypothesis.device, account[0]), frozenset(hypothesis.terms_accepted),
        hypothesis.user_risk_level, hypothesis.sign_in_risk_level,
    )


def _surroundings(hypothesis: Hypothesis) -> Surroundings:
    headers = hypothesis.restrictions
    v2 = headers.sec_restrict_tenant_access_policy
    restrictions = Restrictions(
        headers.restrict_access_to_tenants, headers.restrict_access_context, (v2,) if v2 is not None else ()
    )
    return replace(
        Surroundings(), address=hypothesis.ip_address, country=hypothesis.country.upper(),
        platform=hypothesis.device_platform, client_app=hypothesis.client_app_type, interactive=hypothesis.interactive,
        path=AccessPath(hypothesis.access_type), contexts=hypothesis.authentication_contexts,
        user_action=hypothesis.user_action, restrictions=restrictions,
    )


def _uses(methods: Iterable[str], at: int) -> tuple[MethodUse, ...]:
    return tuple(MethodUse(method, at) for method in methods)


def _device(device: SupposedDevice | None, tenant_id: str) -> DeviceFacts | None:
    if device is None:
        return None
    digest = hashlib.sha256(device.model_dump_json().encode()).hexdigest()  # an id that depends on nothing but it
    return DeviceFacts(
        f"supposed-{digest[:16]}", tenant_id, device.display_name, device.operating_system, device.is_compliant,
        device.is_hybrid_joined, dict(device.attributes),
    )
