"""From the oracle's plain dictionaries to the evaluator's values, so that both judge the same sign-in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.support.conditional_access_oracle import APP, TENANT
from tunneld.policy.conditional_access.compiling import compile_access
from tunneld.policy.conditional_access.evaluate import evaluate_access
from tunneld.policy.conditional_access.kinds import CONDITIONAL_ACCESS_KINDS
from tunneld.policy.conditional_access.outcome import AccessVerdict
from tunneld.policy.conditional_access.subject import Subject
from tunneld.policy.cross_tenant.effective import InboundTrust
from tunneld.policy.directory import (
    Application,
    Assignments,
    Client,
    ExternalIdentity,
    Resource,
    ResourceKind,
    SignInWay,
    Tenant,
    User,
    UserType,
)
from tunneld.policy.facts import AccessPath, DeviceFacts, MethodUse, SessionFacts, Surroundings
from tunneld.policy.objects import GraphObject
from tunneld.policy.tenant_policy import TenantPolicy

Json = dict[str, Any]
MODELS = {kind.name: kind.model for kind in CONDITIONAL_ACCESS_KINDS}
POLICY = "conditionalAccessPolicy"


def policy_id(number: int) -> str:
    return f"11111111-0000-4000-8000-{number:012d}"


def policy(number: int = 1, **members: Any) -> Json:
    """An enabled policy about everybody and everything; `users`, `applications` and other conditions by keyword."""
    top = ("state", "grantControls", "sessionControls", "displayName")
    conditions = {name: each for name, each in members.items() if name not in top}
    conditions = {"users": {"includeUsers": ["All"]}, "applications": {"includeApplications": ["All"]}} | conditions
    return {
        "id": policy_id(number), "displayName": f"Policy {number}", "state": "enabled", "conditions": conditions,
        **{name: each for name, each in members.items() if name in top},
    }  # fmt: skip


def grant(*controls: str, operator: str = "AND", **members: Any) -> Json:
    """Grant controls, as the body of a policy has them."""
    return {"operator": operator, "builtInControls": list(controls), **members}


def read(kind: str, *bodies: Json) -> dict[str, GraphObject]:
    """Return Graph objects by id."""
    return {body["id"]: MODELS[kind].model_validate(body) for body in bodies}


def tenant(*policies: Json, identifier: str = TENANT, **others: tuple[Json, ...]) -> Tenant:
    """A tenant with policies, and what they refer to by kind."""
    objects = {POLICY: read(POLICY, *policies)} | {kind: read(kind, *bodies) for kind, bodies in others.items()}
    empty = Tenant(identifier, "resource", "Resource", (), {}, {APP: Application(APP, "App", Assignments())}, (), {})
    return replace(empty, objects=objects, policy=TenantPolicy(conditional_access=compile_access(objects)))


def subject(who: Json, at: Tenant) -> Subject:
    """The oracle's sign-in as the evaluator's subject."""
    home = replace(at, id=who["home"], name="home") if who["authenticates"] == "home" or who["type"] is None else at
    external = ExternalIdentity(SignInWay.MAIL, "mail", "x@y") if who["authenticates"] == "outside" else None
    user = None if who["type"] is None else User(
        who["oid"], "u@x", "U", UserType(who["type"]), True, tuple(who["groups"]), frozenset(who["groups"]),
        home=("h", "u") if who["authenticates"] == "home" else None, external=external, roles=frozenset(who["roles"]),
    )  # fmt: skip
    home_user = user or User(who["oid"], "u@x", "U", UserType.MEMBER, True, (), frozenset())
    around = Surroundings(
        who["address"], who["country"], who["platform"], who["client_app"], contexts=tuple(who["contexts"]),
        user_action=who["action"],
    )
    trust = InboundTrust("mfa" in who["trust"], "compliant" in who["trust"], "hybrid" in who["trust"])
    return Subject(
        at, user, home, home_user, Client("c", "C", (), trusted=who["approved_client"]),
        Resource(ResourceKind.APPLICATION, who["app"], "App", ""), AccessPath(who["path"]), trust, facts_of(who),
        around, who["now"],
    )


def facts_of(who: Json) -> SessionFacts:
    """The session part of a sign-in."""
    device = who["device"]
    return SessionFacts(
        tuple(MethodUse(method, at) for method, at in who["home_methods"].items()),
        tuple(MethodUse(method, at) for method, at in who["resource_methods"].items()),
        frozenset(who["home_registered"]), frozenset(who["resource_registered"]),
        device and DeviceFacts(
            "dev", device["tenant"], compliant=device["compliant"], hybrid_joined=device["hybrid"],
            attributes=device.get("attributes", {}),
        ),
        frozenset(who["terms"]), who["user_risk"], who["sign_in_risk"],
    )  # fmt: skip


def decide(who: Json, *policies: Json, **others: tuple[Json, ...]) -> AccessVerdict:
    """Evaluate one sign-in under some policies."""
    return evaluate_access(subject(who, tenant(*policies, **others)))


def summary(verdict: AccessVerdict) -> Json:
    """A verdict in the oracle's words."""
    interaction = verdict.interaction
    place = interaction and (interaction.agreement or interaction.place.value)
    return {
        "code": verdict.refusal.code if verdict.refusal else 0, "task": interaction and interaction.task.value,
        "place": place, "results": {line.id: line.result for line in verdict.applied},
    }  # fmt: skip
