"""Tenant restrictions where the data is: the token that a request carries, against the header of the network it is on.

A token that was minted elsewhere and pasted in never met the sign-in's own check, so the edge repeats it from the
token's claims (Microsoft Entra: tenant restrictions version 2, data plane protection).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tunneld.model.identity import VerifiedClaims
from tunneld.model.reasons import Reason
from tunneld.policy.admission import Refuse
from tunneld.policy.cross_tenant.effective import PERSONAL_TENANT, CrossTenantPolicy, policy_id
from tunneld.policy.cross_tenant.matching import Applications, Person
from tunneld.policy.cross_tenant.restrictions import judge_rule, parse_policy_header


class Origin(NamedTuple):
    """What a token says about where its bearer belongs. `home_oid` is empty where the token does not say."""

    tenant_id: str
    home_tenant: str
    oid: str
    groups: frozenset[str]
    audience: str
    client_id: str
    home_oid: str = ""

    @classmethod
    def of(cls, claims: VerifiedClaims) -> Origin:
        """Return the origin of a verified token."""
        home = claims.home_tenant or claims.tenant_id
        own = claims.oid if home == claims.tenant_id else ""
        return cls(claims.tenant_id, home, claims.oid, claims.groups, claims.audience, claims.client_id, own)


def judge_origin(
    header: Sequence[str], origin: Origin | None, resource_tenant: str, policies: Mapping[str, CrossTenantPolicy]
) -> Refuse | None:
    """Return why a request is refused, None when it may pass.

    `header` are all values of `sec-Restrict-Tenant-Access-Policy`, `origin` is None for an anonymous request, and
    `policies` holds the networks' owners by tenant id. An owner or a policy that is not known refuses.
    """
    if not header:
        return None
    parsed = parse_policy_header(header[0]) if len(header) == 1 else None
    if parsed is None:
        return Refuse(Reason.MALFORMED_REQUEST, "sec-Restrict-Tenant-Access-Policy")
    policy = policies.get(parsed.owner)
    if policy is None or policy_id(parsed.owner) != parsed.policy:
        return Refuse(Reason.TENANT_RESTRICTED, "no such policy")
    if resource_tenant == parsed.owner:
        return None  # also anonymously: links of the owner's own stay usable
    if origin is None:
        return Refuse(Reason.TOKEN_MISSING, "anonymous access to another organization")
    if parsed.owner in (origin.home_tenant, origin.tenant_id):
        return None
    return _judge(policy, origin)


def _judge(policy: CrossTenantPolicy, origin: Origin) -> Refuse | None:
    applications = Applications.named(origin.audience, origin.client_id)
    looked_at = [(origin.tenant_id, Person(origin.oid, origin.groups))]
    if origin.home_tenant not in (origin.tenant_id, PERSONAL_TENANT):
        looked_at.insert(0, (origin.home_tenant, Person(origin.home_oid)))
    for tenant_id, person in looked_at:
        rule = policy.tenant_restrictions(tenant_id).value
        if not person.oid and not rule.users.everything:
            # A choice: a list of people refuses somebody of whom the token does not say whether they are on it.
            return Refuse(Reason.TENANT_RESTRICTED, f"{tenant_id}: the token does not say who this is at home")
        for match in judge_rule(rule, tenant_id, person, applications):
            if not match.passes:
                return Refuse(Reason.TENANT_RESTRICTED, f"{tenant_id}: {match.rule}")
    return None
