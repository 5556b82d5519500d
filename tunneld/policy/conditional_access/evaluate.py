"""The decision of Conditional Access on one sign-in: every policy of the tenant that is entered, and nothing else."""

from __future__ import annotations

from tunneld.policy.conditional_access.outcome import AccessVerdict
from tunneld.policy.conditional_access.subject import Subject


def evaluate_access(subject: Subject) -> AccessVerdict:
    """Answer what the tenant's policies make of a sign-in. Pure: equal subjects have equal verdicts."""
    del subject
    return AccessVerdict()
