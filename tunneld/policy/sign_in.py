"""The sign-in decision: one function over values, in one fixed order of steps.

The order is part of the contract, because the first refusal is the one that a person sees and searches for. Home's
outbound settings (S4) come before the visited tenant's inbound ones (S5), since home issues first; both come before
the lookup of the guest object (S6), so that a blocked partner learns nothing about who is a guest.
"""

from __future__ import annotations

from collections.abc import Callable

from tunneld.policy import sign_in_steps as steps
from tunneld.policy.cross_tenant import boundary
from tunneld.policy.directory import Directory
from tunneld.policy.sign_in_values import (
    ApplicationConsent,
    Deny,
    Finding,
    Findings,
    Grant,
    MethodProof,
    PasswordProof,
    Progress,
    Proof,
    SessionProof,
    SignInRequest,
)
from tunneld.policy.trace import TraceStep

__all__ = [
    "STEPS", "ApplicationConsent", "Deny", "Grant", "MethodProof", "PasswordProof", "Proof", "SessionProof",
    "SignInRequest", "evaluate",
]

STEPS: tuple[tuple[str, str, Callable[[Progress], Findings]], ...] = (
    ("S0", "request", steps.request),
    ("S1", "tenant restrictions", boundary.tenant_restrictions),
    ("S2", "home realm", boundary.home_realm),
    ("S3", "home authentication", steps.home_authentication),
    ("S4", "home outbound", boundary.home_outbound),
    ("S5", "resource inbound", boundary.resource_inbound),
    ("S6", "object in the tenant", steps.object_in_tenant),
    ("S7", "redemption", steps.redemption),
    ("S8", "assignment", steps.assignment),
    ("S9", "Conditional Access", steps.conditional_access),
    ("S10", "grant controls", steps.grant_controls),
    ("S11", "session controls", steps.session_controls),
)


def evaluate(request: SignInRequest, directory: Directory, now: int) -> Grant | Deny:
    """Decide one sign-in, silent or not. The caller shows pages, mints tokens and writes the log (S12)."""
    at = Progress(request, directory, now)
    for step, check, judge in STEPS:
        for finding in judge(at):
            at.trace.append(_line(step, check, finding, at))
            if finding.refusal is not None:
                return Deny(finding.refusal, tuple(at.trace), at.interaction, at.path, at.access)
    return _grant(at)


def _line(step: str, check: str, finding: Finding, at: Progress) -> TraceStep:
    """Write a finding down. One that names no tenant is about the tenant that is entered."""
    where = finding.tenant or at.tenant
    name, version = (where.name, where.version) if where else ("", "")
    effect = "pass" if finding.refusal is None else "interrupt" if at.interaction else "block"
    return TraceStep(
        step, check, name, effect, finding.rule, finding.setting, finding.source, finding.hit, version
    )


def _grant(at: Progress) -> Grant:
    assert at.tenant is not None
    assert at.user is not None
    assert at.home is not None
    assert at.home_user is not None
    assert at.client is not None
    assert at.resource is not None
    return Grant(
        at.tenant, at.user, at.home, at.home_user, at.client, at.resource, tuple(at.trace), at.path, at.access
    )
