"""What an edge asks when a connection names the policy of its network's owner: does the policy permit this token?

The form is that of token introspection (RFC 7662): the token is the question's credential and its subject. Nothing
comes back but yes or no with a reason, so that the owner's policy stays the owner's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tunneld.idp.answers import ApiError
from tunneld.idp.forms import read_json
from tunneld.idp.provider import provider_of
from tunneld.idp.tokens import bearer_claims
from tunneld.policy.cross_tenant.matching import Applications
from tunneld.policy.cross_tenant.restrictions import Access, judge_restrictions
from tunneld.policy.directory import Directory, Tenant
from tunneld.policy.facts import Restrictions
from tunneld.policy.refusals import Refusal, refusal
from tunneld.policy.token_claims import MOCK_CLAIM


async def restrictions(request: Request) -> Response:
    """Serve POST /{tenant}/tunnel/v1/restrictions."""
    provider = provider_of(request)
    claims = bearer_claims(provider, request)
    tenant = provider.directory.tenant(request.path_params["tenant"])
    if tenant is None or tenant.id != claims["tid"]:
        raise ApiError(403, "token_tenant", "The token belongs to another tenant.")
    body = await read_json(request)
    policy = body.get("policy") if isinstance(body, dict) else None
    if not isinstance(policy, str) or len(policy) > 256:
        raise ApiError(400, "malformed_request", "The body must be a JSON object with the member policy.")
    refused = _judge(policy, claims, tenant, provider.directory)
    return JSONResponse({"permitted": refused is None, "reason": str(refused.reason) if refused else None})


def _judge(policy: str, claims: Mapping[str, Any], tenant: Tenant, directory: Directory) -> Refusal | None:
    """Ask what a sign-in asks, about the account that the token was issued to, as the directory knows it now."""
    origin = claims.get(MOCK_CLAIM, {})
    home = directory.tenants.get(str(origin.get("home_tid", tenant.id)))
    home_user = directory.user((home.id, str(origin.get("home_oid", "")))) if home is not None else None
    if home_user is None:
        # A choice: nobody can say any more whether somebody who is gone was on a list.
        return refusal(5000211, "The account that the token was issued to does not exist any more.")
    applications = Applications.named(str(claims["aud"]), str(claims.get("azp", "")))
    access = Access(home, home_user, tenant, tenant.users.get(str(claims["oid"])), applications)
    findings = judge_restrictions(Restrictions(v2=(policy,)), directory.tenants, access)
    return next((finding.refusal for finding in findings if finding.refusal is not None), None)
