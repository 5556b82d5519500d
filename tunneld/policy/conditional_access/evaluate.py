"""The decision of Conditional Access on one sign-in: every policy of the tenant that is entered, and nothing else.

First the facts of the session are held against every policy that applies, whether it is enforced or only reported;
then those that are enforced decide. Policies stand in the order of their ids, so that no order of writing matters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tunneld.policy.conditional_access.compiled import Control, Policy, numbers
from tunneld.policy.conditional_access.controls import SESSION_RANK, Case, Demand, need_multifactor, unmet
from tunneld.policy.conditional_access.limits import session_of, too_old
from tunneld.policy.conditional_access.matching import Sight, match_policies
from tunneld.policy.conditional_access.outcome import AccessVerdict, Interaction, Task
from tunneld.policy.conditional_access.standing import Standing, stand
from tunneld.policy.conditional_access.subject import Subject
from tunneld.policy.conditional_access.words import (
    REGISTER_SECURITY,
    Combination,
    ControlKind,
    UserClass,
    written,
)
from tunneld.policy.refusals import Refusal, refusal
from tunneld.policy.trace import TraceStep

_AT_HOME = Policy("", "service provider")


@dataclass(frozen=True, slots=True)
class Finding:
    """A policy that applies, and what it still needs."""

    policy: Policy
    demands: tuple[Demand, ...]

    @property
    def met(self) -> bool:
        """Whether the policy lets the sign-in pass as it is."""
        return not self.policy.block and not self.demands


def evaluate_access(subject: Subject) -> AccessVerdict:
    """Answer what the tenant's policies make of a sign-in. Pure: equal subjects have equal verdicts."""
    access = subject.tenant.policy.conditional_access
    standing = stand(subject)
    matches = match_policies(Sight(subject, standing, access))
    findings = []
    for number in numbers(matches.applying):
        policy = access.policies[number]
        findings.append(_find(Case(subject, standing, policy)))
        matches.lines[number] = access.applied[_result(findings[-1])][number]
    enforced = [each for each in findings if not each.policy.report_only]
    required = _required_at_home(subject, standing)
    trace = _trace(subject, standing, findings, required)
    refused, interaction = _refuse(subject, enforced, required)
    if refused is not None:
        return AccessVerdict(refused, interaction, tuple(matches.lines), trace=trace)
    session = session_of((each.policy for each in enforced), standing.user_class)
    contexts = tuple(sorted(access.contexts.intersection(subject.around.contexts)))
    return AccessVerdict(None, None, tuple(matches.lines), session, contexts, trace)


def _find(case: Case) -> Finding:
    if case.policy.block:
        return Finding(case.policy, ())
    old = too_old(case)
    return Finding(case.policy, unmet(case) if old is None else (*unmet(case), old))


def _required_at_home(subject: Subject, standing: Standing) -> Demand | None:
    """A service provider's technicians use a second factor at home whatever the policies say (Microsoft: GDAP)."""
    if standing.user_class is not UserClass.SERVICE_PROVIDER:
        return None
    return need_multifactor(Control(ControlKind.MFA), Case(subject, standing, _AT_HOME))


def _refuse(
    subject: Subject, enforced: Sequence[Finding], required: Demand | None
) -> tuple[Refusal | None, Interaction | None]:
    """Return the first thing that is missing in the documented order of controls, over all policies together."""
    if any(each.policy.block for each in enforced):
        return refusal(53010 if subject.around.user_action == REGISTER_SECURITY else 53003), None
    asked = [(demand, each.policy.id) for each in enforced for demand in each.demands]
    if required is not None:
        asked.append((required, ""))
    if not asked:
        return None, None
    # Among controls of one rank, what cannot be met comes first: asking for the others would be in vain.
    first = min((demand for demand, _ in asked), key=lambda each: (each.rank, each.task is not None, each.code))
    refused = refusal(first.code, first.sentence)
    if first.task is None:
        return refused, None
    alike = [
        (demand, policy) for demand, policy in asked
        if (demand.task, demand.place, demand.agreement) == (first.task, first.place, first.agreement)
    ]  # fmt: skip
    policies = tuple(sorted({policy for _, policy in alike if policy}))
    methods = _methods([demand for demand, _ in alike]) if first.task in (Task.MFA, Task.REGISTER_MFA) else ()
    return refused, Interaction(first.task, first.place, methods, policies, first.agreement)


def _methods(demands: Iterable[Demand]) -> tuple[Combination, ...]:
    """Return the combinations that satisfy all demands, or the first demand's where no single one does."""
    named = [each.combinations for each in demands if not each.any_factor]
    if not named:
        return ()
    candidates = {each for combinations in named for each in combinations}
    fit = {each for each in candidates if all(any(one <= each for one in combinations) for combinations in named)}
    return tuple(sorted(fit or set(named[0]), key=written))


def _result(finding: Finding) -> str:
    """Return what the sign-in record says of a policy that applies."""
    if not finding.policy.report_only:
        return "success" if finding.met else "failure"
    if finding.met:
        return "reportOnlySuccess"
    helpless = finding.policy.block or any(demand.task is None for demand in finding.demands)
    return "reportOnlyFailure" if helpless else "reportOnlyInterrupted"


def _trace(
    subject: Subject, standing: Standing, findings: Sequence[Finding], required: Demand | None
) -> tuple[TraceStep, ...]:
    """Return which policies apply, then what each still needs: grant controls before session controls."""
    steps = [_step(subject, "S9", each, each.policy.asks, None) for each in findings]
    late: list[TraceStep] = []
    if required is not None:
        rule = f"AADSTS{required.code} {standing.user_class}"
        steps.append(
            TraceStep("S10", _CHECKS["S10"], subject.tenant.name, "interrupt", rule, version=subject.tenant.version)
        )
    for each in findings:
        for demand in each.demands:
            step, where = ("S11", late) if demand.rank >= SESSION_RANK else ("S10", steps)
            place = f" at {demand.place}" if demand.task is not None else ""
            rule = f"policy {each.policy.id} AADSTS{demand.code} {demand.control}{place}"
            where.append(_step(subject, step, each, rule, demand))
    return (*steps, *late)


_CHECKS = {"S9": "conditional access", "S10": "grant controls", "S11": "session controls"}


def _step(subject: Subject, step: str, finding: Finding, rule: str, demand: Demand | None) -> TraceStep:
    if finding.policy.report_only:
        effect = "report"
    elif demand is not None:
        effect = "block" if demand.task is None else "interrupt"
    else:
        effect = "block" if finding.policy.block else "pass"
    tenant = subject.tenant
    return TraceStep(
        step, _CHECKS[step], tenant.name, effect, rule, "conditionalAccessPolicy", "policy", version=tenant.version
    )
