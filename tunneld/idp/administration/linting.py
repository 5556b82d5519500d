"""Linting a tenant's whole policy: what locks people out, and what breaks where nobody looks for the cause."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from starlette.responses import JSONResponse, Response

from tunneld.idp.graph.call import Call
from tunneld.idp.graph.resource import Operation
from tunneld.policy.conditional_access.lint import lint_tenant
from tunneld.policy.conditional_access.lint_values import Finding, Severity
from tunneld.policy.cross_tenant.effective import B2BSetting, Settings
from tunneld.policy.cross_tenant.matching import allow_list_gaps
from tunneld.policy.directory import Tenant

_READ = "microsoft.directory/conditionalAccessPolicies/standard/read"
_FIELDS = {
    "b2bCollaborationInbound": "collaboration_inbound", "b2bCollaborationOutbound": "collaboration_outbound",
    "b2bDirectConnectInbound": "direct_connect_inbound", "b2bDirectConnectOutbound": "direct_connect_outbound",
}


async def lint(call: Call) -> Response:
    """Answer every finding about the tenant's policy. Not in Microsoft Graph."""
    # The linter asks the evaluator about every kind of visitor for every policy: not on the loop.
    found = await asyncio.to_thread(lint_tenant, call.tenant)
    rows = [finding.to_json() for finding in (*found, *forgotten_applications(call.tenant))]
    return JSONResponse({"value": rows})


def forgotten_applications(tenant: Tenant) -> Iterator[Finding]:
    """Yield the helper applications that allow lists of cross-tenant access settings forget."""
    policy = tenant.policy.cross_tenant
    owners: list[tuple[str, Settings]] = [("default", policy.default), *sorted(policy.partners.items())]
    for owner, settings in owners:
        for setting, field in _FIELDS.items():
            value = getattr(settings, field)
            for gap in allow_list_gaps(value) if isinstance(value, B2BSetting) else ():
                yield Finding(
                    "helperApplicationForgotten", Severity.WARNING, (f"{owner}: {setting}",), (),
                    f"The allow list forgets {gap}.", "Add the application to the list.",
                )


OPERATIONS = (
    Operation("GET", "/policies/lint", lint, "Find what locks people out. Not in Microsoft Graph.", _READ,
              tag="policy as code"),
)
