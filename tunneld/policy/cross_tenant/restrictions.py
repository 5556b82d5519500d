"""Tenant restrictions: what accounts of other organizations may reach from the network whose headers a request carries.

The network's owner is neither the account's home nor the visited tenant, and its own inbound and outbound settings
play no part (Microsoft Entra: tenant restrictions, versions 1 and 2). A header that cannot be understood refuses the
request; ignoring it would open the network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tunneld.policy.cross_tenant.effective import PERSONAL_TENANT, B2BSetting, policy_id
from tunneld.policy.cross_tenant.matching import Applications, Match, Person, judge_applications, judge_user, person_of
from tunneld.policy.directory import Tenant, User
from tunneld.policy.facts import Restrictions
from tunneld.policy.refusals import Refusal, refusal

RESTRICT_PERSONAL = "restrict-msa"  # version 1, for personal accounts, in the header of version 2
_GUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_POLICY = re.compile(rf"({_GUID}):({_GUID})")
_HEADER = "sec-Restrict-Tenant-Access-Policy"


@dataclass(frozen=True, slots=True)
class RestrictionFinding:
    """One look at the owner's policy, or at a header. `tenant` is the owner where it is known."""

    rule: str
    tenant: Tenant | None = None
    setting: str = ""
    source: str = ""
    hit: bool | None = None
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class PolicyHeader:
    """A header of version 2: who owns the network, and which policy of theirs it means."""

    owner: str
    policy: str


@dataclass(frozen=True, slots=True)
class Access:
    """The access that is judged. `home` and `home_user` are None for a name that no account has."""

    home: Tenant | None
    home_user: User | None
    resource: Tenant
    user: User | None  # the object in `resource`
    applications: Applications

    def permitted_by(self, tenants: str) -> bool:
        """Tell whether a list of version 1 names the visited tenant, by id or verified domain."""
        listed = {entry.strip().lower() for entry in tenants.split(",")}
        return not listed.isdisjoint((self.resource.id, *self.resource.domains))


def parse_policy_header(value: str) -> PolicyHeader | None:
    """Return what a header of version 2 says, None when it is malformed."""
    found = _POLICY.fullmatch(value.strip().lower())
    return PolicyHeader(found[1], found[2]) if found else None


def judge_restrictions(
    restrictions: Restrictions, tenants: Mapping[str, Tenant], access: Access
) -> Iterator[RestrictionFinding]:
    """Yield what the headers say about an access. The first refusal counts; the caller stops there."""
    personal = RESTRICT_PERSONAL in (value.strip().lower() for value in restrictions.v2)
    if len(restrictions.v2) > 1:
        yield _malformed(f"{_HEADER} may appear once.")
    elif personal:
        yield from _personal(access)
        if access.home is None or access.home.id != PERSONAL_TENANT:
            yield from _version_1(restrictions, access)
    elif restrictions.v2 and (restrictions.v1_tenants is not None or restrictions.v1_context is not None):
        yield _malformed("Headers of both versions of tenant restrictions were sent; one has to go.")
    elif restrictions.v2:
        yield from _version_2(restrictions.v2[0], tenants, access)
    else:
        yield from _version_1(restrictions, access)


def _personal(access: Access) -> Iterator[RestrictionFinding]:
    """Personal accounts may not be used for themselves; as guests of an organization they may."""
    if access.resource.id == PERSONAL_TENANT:
        sentence = "The network does not permit personal accounts."
        yield RestrictionFinding("AADSTS500021", refusal=refusal(500021, sentence))


def _version_1(restrictions: Restrictions, access: Access) -> Iterator[RestrictionFinding]:
    context = (restrictions.v1_context or "").strip().lower()
    if restrictions.v1_tenants is None:
        yield RestrictionFinding("no header")
    elif context and not re.fullmatch(_GUID, context):
        yield _malformed("Restrict-Access-Context is not the id of a directory.")
    elif access.permitted_by(restrictions.v1_tenants):
        yield RestrictionFinding("the tenant is listed", hit=True)
    else:
        # The two published codes mean the same. We tell apart whether somebody named in the context gets to know.
        code = 500021 if context else 500022
        yield RestrictionFinding(f"AADSTS{code}", hit=False, refusal=refusal(code))


def _version_2(value: str, tenants: Mapping[str, Tenant], access: Access) -> Iterator[RestrictionFinding]:
    header = parse_policy_header(value)
    owner = tenants.get(header.owner) if header is not None else None
    if header is None:
        yield _malformed(f"{_HEADER} is not <tenant id>:<policy id>.")
    elif owner is None or policy_id(owner.id) != header.policy:
        sentence = "The network names a tenant restrictions policy that does not exist."
        yield RestrictionFinding("AADSTS5000211", owner, refusal=refusal(5000211, sentence))
    elif access.home is not None and access.home.id == owner.id:
        yield RestrictionFinding("an account of the network's owner", owner)
    elif access.resource.id == owner.id:
        # A choice: the scope is external accounts in external tenants; the owner's own are a matter of its inbound.
        yield RestrictionFinding("a tenant of the network's owner", owner)
    else:
        yield from _owners_rules(owner, access)


def _owners_rules(owner: Tenant, access: Access) -> Iterator[RestrictionFinding]:
    """The rule for the account's tenant and the rule for the visited one: both have to pass."""
    home, resource = access.home, access.resource
    if home is not None and home.id not in (resource.id, PERSONAL_TENANT):
        yield from _rule(owner, home.id, person_of(access.home_user), access.applications)
    yield from _rule(owner, resource.id, person_of(access.user), access.applications)


def _rule(owner: Tenant, external: str, person: Person, applications: Applications) -> Iterator[RestrictionFinding]:
    rule = owner.policy.cross_tenant.tenant_restrictions(external)
    for match in judge_rule(rule.value, external, person, applications):
        no = None if match.passes else refusal(5000211)
        words = f"{external}: {match.rule}"
        yield RestrictionFinding(words, owner, "tenantRestrictions", rule.source, match.hit, no)


def judge_rule(rule: B2BSetting, external: str, person: Person, applications: Applications) -> tuple[Match, ...]:
    """Return what each list of a rule says; the ids in it are those of the external tenant.

    The tenant of all personal accounts is judged by application only. Of somebody unknown there, only AllUsers hits.
    """
    about_application = judge_applications(rule.applications, applications)
    if external == PERSONAL_TENANT:
        return (about_application,)
    return judge_user(rule.users, person), about_application


def _malformed(sentence: str) -> RestrictionFinding:
    return RestrictionFinding("AADSTS90014", refusal=refusal(90014, sentence))

