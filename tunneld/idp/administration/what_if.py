"""The what-if call: the decision about a sign-in that nobody makes, under the policy of now and under another.

It reads and never writes: no record, no row, no page. A tenant learns of another one only what its own log would say
of a real sign-in: that the other let the account through, or that it did not.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from starlette.responses import JSONResponse, Response

from tunneld.idp.administration.candidates import ProposedChange, judged, laid_over, read_model
from tunneld.idp.graph.call import Call
from tunneld.idp.graph.resource import Operation
from tunneld.idp.graph.saving import refused
from tunneld.policy.directory import Directory, Tenant
from tunneld.policy.objects import Conflict, GraphObject
from tunneld.policy.sign_in import Deny, Grant, evaluate
from tunneld.policy.what_if import Hypothesis, answer_json, suppose

MAX_CANDIDATES = 1000
_READ = "microsoft.directory/conditionalAccessPolicies/standard/read"
_TAG = "what-if"

Candidate = Annotated[tuple[ProposedChange, ...], Field(max_length=MAX_CANDIDATES)]


class WhatIf(GraphObject):
    """A supposed sign-in, and changes that are supposed to have been made."""

    sign_in: Hypothesis
    candidate: Candidate = ()


async def what_if(call: Call) -> Response:
    """Decide a supposed sign-in, now and under the candidate."""
    asked = await read_model(call.request, WhatIf)
    before = call.directory
    after = candidate_directory(call, asked.candidate)
    visited = before.tenant(asked.sign_in.tenant) if asked.sign_in.tenant else call.tenant
    if visited is None:
        raise refused(Conflict("unknownTenant", "There is no such tenant.", "Give an id, a name or a domain.",
                               "signIn.tenant", 404))
    now = call.provider.now()
    request = suppose(asked.sign_in, visited, before, now)
    if isinstance(request, Conflict):
        raise refused(request)
    if call.tenant.id not in (visited.id, request.account[0] if request.account else ""):
        raise refused(Conflict("foreignSignIn", "Neither the account nor the tenant is yours.",
                               "Ask as the administrator of one of the two.", "signIn.tenant", 403))
    answer: dict[str, Any] = {"signIn": asked.sign_in.to_json(), "policyVersion": call.tenant.version}
    answer |= seen_by(call.tenant, visited, evaluate(request, before, now))
    if asked.candidate:
        changed = after.tenants[call.tenant.id]
        outcome = evaluate(request, after, now)
        answer["withCandidate"] = {"policyVersion": changed.version, **seen_by(changed, visited, outcome)}
    return JSONResponse(answer)


def seen_by(reader: Tenant, visited: Tenant, outcome: Grant | Deny) -> dict[str, Any]:
    """Return a decision as one tenant may see it: of the other's settings only whether they let the account pass."""
    answer = answer_json(outcome)
    if reader.id != visited.id:
        answer |= {"appliedConditionalAccessPolicies": [], "interaction": None}
        if outcome.trace and isinstance(outcome, Deny) and outcome.trace[-1].tenant != reader.name:
            answer["decidedBy"] = f"AADSTS{outcome.code} in the other tenant"
    for step in answer["decisionTrace"]:
        if step["tenant"] not in (reader.name, ""):
            for member in ("setting", "source", "hit", "policyVersion"):
                step.pop(member, None)
            if not step["rule"].startswith("AADSTS"):
                step["rule"] = "a setting of the other tenant"
    return answer


def candidate_directory(call: Call, changes: Candidate) -> Directory:
    """Return the directory with proposed changes laid over it, which are not saved. Raises ApiError."""
    return laid_over(call, [one.change for one in judged(call, changes)])


OPERATIONS = (
    Operation("POST", "/policies/whatIf", what_if, "Decide a supposed sign-in. Not in Microsoft Graph.", _READ,
              body=WhatIf, tag=_TAG),
)
