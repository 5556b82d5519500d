"""Why somebody got in or did not, from the records that one tenant may read: the same questions in the same order.

Nothing is guessed: a line says what was looked at and what it shows, or that this tenant cannot see it and who can.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Record = Mapping[str, Any]  # a signIn or directoryAudit as Graph shows it

_NETWORK = frozenset({500021, 500022, 5000211})
_SHOWN_AUDITS = 5


@dataclass(frozen=True, slots=True)
class Line:
    """One question of the triage."""

    looked_at: str
    shows: str

    def to_json(self) -> dict[str, str]:
        """Return the line as JSON."""
        return {"lookedAt": self.looked_at, "shows": self.shows}


def explain(
    tenant_id: str, sign_ins: Sequence[Record], audits: Sequence[Record], workloads: Sequence[str] = ()
) -> list[Line]:
    """Return the lines for the last of a correlation's sign-ins that was refused, or the last of all.

    `audits` are the tenant's recent changes, `workloads` names those that ignore the directory's guest settings.
    """
    if not sign_ins:
        return [Line("sign-ins", "none with this correlation id in this tenant; ask in the other tenant")]
    ordered = sorted(sign_ins, key=lambda record: (str(record["createdDateTime"]), str(record["id"])))
    refused = [record for record in ordered if record["status"]["errorCode"]]
    record = (refused or ordered)[-1]
    return [
        _code(record), *_between(record), _side(record, tenant_id), *_steps(record), *_policies(record, tenant_id),
        _device(record, tenant_id), _methods(record), *_changes(record, audits), _workload(workloads),
    ]


def _code(record: Record) -> Line:
    status = record["status"]
    if not status["errorCode"]:
        return Line("status.errorCode", "0: access was granted")
    return Line("status.errorCode", f"{status['errorCode']}: {status['failureReason'] or 'no reason given'}")


def _between(record: Record) -> Iterator[Line]:
    yield Line("crossTenantAccessType", str(record["crossTenantAccessType"]))
    yield Line("homeTenantId, resourceTenantId, resourceId",
               f"{record['homeTenantId']} to {record['resourceTenantId']}, {record['resourceId']}")


def _side(record: Record, tenant_id: str) -> Line:
    """A record has the steps of its own tenant alone: where none of them stopped it, the other tenant did."""
    code, looked_at = record["status"]["errorCode"], "whose setting decided"
    if not code:
        return Line(looked_at, "nobody refused")
    if code in _NETWORK:
        return Line(looked_at, "the tenant restrictions of the network that the request came from")
    if any(step["effect"] in ("block", "interrupt") for step in record["decisionTrace"]):
        return Line(looked_at, "this tenant's: the setting is in the steps below")
    side = "home" if record["resourceTenantId"] == tenant_id else "resource"
    return Line(looked_at, f"the {side} tenant's, {record[f'{side}TenantId']}: its own record has the setting")


def _steps(record: Record) -> Iterator[Line]:
    for step in record["decisionTrace"]:
        if step["effect"] == "pass" and not step.get("setting"):
            continue
        where = f" of {step['tenant']}" if step["tenant"] else ""
        parts = [f"{step['effect']}: {step['rule']}"]
        if step.get("setting"):
            parts.append(f"{step['setting']} ({step.get('source', 'own')})")
        yield Line(f"{step['step']} {step['check']}{where}", ", ".join(parts))


def _policies(record: Record, tenant_id: str) -> Iterator[Line]:
    looked_at = "appliedConditionalAccessPolicies"
    applied = [one for one in record["appliedConditionalAccessPolicies"] if one["result"] != "notApplied"]
    for policy in applied:
        controls = ", ".join(policy["enforcedGrantControls"]) or "no grant control"
        yield Line(looked_at, f"{policy['displayName']} ({policy['id']}): {policy['result']}, {controls}")
    if not applied:
        own = record["resourceTenantId"] == tenant_id
        elsewhere = f"not shown here: those of {record['resourceTenantId']} are in its own record"
        yield Line(looked_at, "none applied" if own else elsewhere)


def _device(record: Record, tenant_id: str) -> Line:
    device = record["deviceDetail"]
    if device is None:
        return Line("deviceDetail", "no device proved itself")
    members = ("displayName", "isCompliant", "trustType")
    words = [f"{name} {device[name]}" for name in members if device[name] is not None]
    hidden = "" if record["homeTenantId"] == tenant_id else "; what is not trusted is not shown"
    return Line("deviceDetail", (", ".join(words) or "nothing that this tenant trusts") + hidden)


def _methods(record: Record) -> Line:
    methods = ", ".join(record["authenticationMethodsUsed"]) or "none used here"
    told = record["status"]["additionalDetails"]
    return Line("authenticationDetails", f"{methods}; {told}" if told else methods)


def _changes(record: Record, audits: Sequence[Record]) -> Iterator[Line]:
    before = [one for one in audits if str(one["activityDateTime"]) <= str(record["createdDateTime"])]
    newest = sorted(before, key=lambda one: (str(one["activityDateTime"]), str(one["id"])), reverse=True)
    for one in newest[:_SHOWN_AUDITS]:
        who = (one["initiatedBy"]["user"] or {}).get("userPrincipalName") or (one["initiatedBy"]["app"] or {}).get(
            "displayName", "")
        yield Line("audit log", f"{one['activityDateTime']} {one['activityDisplayName']} by {who}: {one['result']}")
    if not newest:
        yield Line("audit log", "no change of this tenant before it")


def _workload(workloads: Sequence[str]) -> Line:
    named = ", ".join(sorted(workloads))
    if named:
        return Line("workloads", f"{named}: the directory's guest settings do not hold there")
    return Line("workloads", "all respect the directory's settings")
