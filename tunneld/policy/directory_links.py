"""Turning a directory document into a `Directory`: every name resolved, every contradiction found, or nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from tunneld.model.errors import DocumentError
from tunneld.policy.directory import (
    ACCESS_PANEL,
    DAEMON_CLIENT,
    DIRECTORY_API,
    ENROLMENT_API,
    Application,
    AssignedProfile,
    Assignments,
    Client,
    Directory,
    ExternalIdentity,
    ExternalState,
    Group,
    ObjectKey,
    SignInWay,
    Tenant,
    User,
    UserType,
)
from tunneld.policy.directory_document import AssignmentsSection, DirectoryDocument, TenantSection, UserSection
from tunneld.policy.roles import role_id
from tunneld.policy.seeds import with_seeds

ACCOUNT_PAGES = Client(ACCESS_PANEL, "My account", (), trusted=True)  # no redirect: it is ourselves
DAEMON = Client(DAEMON_CLIENT, "tunneld", ("http://127.0.0.1/callback",), trusted=True)


def link_directory(
    document: DirectoryDocument, profiles: Mapping[str, Sequence[AssignedProfile]], *, where: str
) -> Directory:
    """Return the directory of `document`; `profiles` holds each tenant's (by id), read by the caller.

    Raises DocumentError with the path of the first contradiction.
    """
    if not document.tenants:
        raise DocumentError(where, "tenants", "there is no tenant in it", "add one")
    aliases = _aliases(document.tenants, where)
    tenants = {
        section.id: _tenant(section, profiles.get(section.id, ()), f"tenants[{index}]", where)
        for index, section in enumerate(document.tenants)
    }
    tenants, visits = _with_homes(document.tenants, tenants, aliases, where)
    accounts: dict[str, ObjectKey] = {
        user.upn: (tenant.id, user.oid)
        for tenant in tenants.values()
        for user in tenant.users.values()
        if user.home is None
    }
    directory = Directory(tenants, aliases, _clients(document, where), visits, accounts)
    return with_seeds(directory, document.tenants, where=where)


def link_assignments(section: AssignmentsSection) -> Assignments:
    """Return assignments as sets; names were lower-cased on reading."""
    return Assignments(frozenset(section.users), frozenset(section.groups), frozenset(section.user_types))


def _aliases(sections: Iterable[TenantSection], where: str) -> dict[str, str]:
    aliases: dict[str, str] = {}
    ids: set[str] = set()
    for index, section in enumerate(sections):
        if section.id in ids:
            raise DocumentError(where, f"tenants[{index}].id", f"the tenant id {section.id} is used twice")
        ids.add(section.id)
        named = [("name", section.name), *((f"domains[{n}]", domain) for n, domain in enumerate(section.domains))]
        for field, alias in named:
            if aliases.setdefault(alias, section.id) != section.id:
                raise DocumentError(where, f"tenants[{index}].{field}", f"{alias!r} names two tenants")
    return aliases


def _tenant(section: TenantSection, profiles: Sequence[AssignedProfile], at: str, where: str) -> Tenant:
    group_names = {group.name.lower(): group.id for group in section.groups}
    group_ids = {group.id: group.name.lower() for group in section.groups}
    users: dict[str, User] = {}
    names: set[str] = set()
    for index, user in enumerate(section.users):
        path = f"{at}.users[{index}]"
        if user.oid in users:
            raise DocumentError(where, f"{path}.oid", f"the object id {user.oid} is used twice")
        if user.upn in names:
            raise DocumentError(where, f"{path}.upn", f"{user.upn} is used twice")
        names.add(user.upn)
        _check_kind(user, section, path, where)
        groups = []
        for position, name in enumerate(user.groups):
            group = group_names.get(name, name)
            if group not in group_ids:
                raise DocumentError(where, f"{path}.groups[{position}]", f"no group {name!r} in {section.name}")
            groups.append(group)
        keys = frozenset(groups) | frozenset(group_ids[group] for group in groups)
        roles = _roles(user, path, where)
        users[user.oid] = User(
            user.oid, user.upn, user.display_name, UserType(user.user_type), user.state != "disabled", tuple(groups),
            keys, None, user.password_hash, _external(user), _external_state(user), user.mail or "", user.other_mails,
            roles, user.attributes,
        )
    return Tenant(
        section.id, section.name, section.display_name, section.domains, users, _applications(section, at, where),
        tuple(profiles), _channels(section, profiles, at, where), section.consent_required, section.token_lifetime,
        frozenset(section.withdrawn_keys), section.cloud, groups=_groups(section, users), has_p1=section.has_p1,
        version=_version(section, profiles),
    )


def _groups(section: TenantSection, users: Mapping[str, User]) -> dict[str, Group]:
    members: dict[str, set[str]] = {group.id: set() for group in section.groups}
    for user in users.values():
        for group in user.groups:
            members[group].add(user.oid)
    return {group.id: Group(group.id, group.name, frozenset(members[group.id])) for group in section.groups}


def _roles(user: UserSection, path: str, where: str) -> frozenset[str]:
    roles = set()
    for position, name in enumerate(user.roles):
        role = role_id(name)
        if role is None:
            raise DocumentError(where, f"{path}.roles[{position}]", f"no built-in role {name!r}")
        roles.add(role)
    return frozenset(roles)


def _external(user: UserSection) -> ExternalIdentity | None:
    if user.external is None:
        return None
    return ExternalIdentity(SignInWay(user.external.way), user.external.issuer, user.external.subject)


def _version(section: TenantSection, profiles: Sequence[AssignedProfile]) -> str:
    """Fingerprint what the files say of a tenant; stored objects are added to it."""
    parts = [section.model_dump_json(exclude={"objects"})]
    for profile in profiles:
        whom = profile.assignments
        named = [sorted(whom.users), sorted(whom.groups), sorted(map(str, whom.user_types))]
        parts.append(json.dumps([profile.id, named, sorted(profile.channels.items())]))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _external_state(user: UserSection) -> ExternalState | None:
    if user.home is None and user.external is None:
        return None
    return ExternalState.PENDING if user.state == "pending" else ExternalState.ACCEPTED


def _check_kind(user: UserSection, tenant: TenantSection, path: str, where: str) -> None:
    if user.home is not None and user.external is not None:
        raise DocumentError(where, f"{path}.external", "a user has one home, in a tenant or outside")
    if user.external is not None and user.password_hash is not None:
        raise DocumentError(where, f"{path}.password_hash", "a user from outside has no password here")
    if user.home is not None and user.password_hash is not None:
        raise DocumentError(where, f"{path}.password_hash", "a user with a home signs in there, not here")
    outside = user.home is not None or user.external is not None
    if not outside and user.user_type == "guest":
        raise DocumentError(where, f"{path}.home", "a guest needs a home", 'home = { tenant = "…", oid = "…" }')
    if not outside and user.state == "pending":
        raise DocumentError(where, f"{path}.state", "only a user with a home can be pending")
    if not outside and user.upn.partition("@")[2] not in tenant.domains:
        raise DocumentError(where, f"{path}.upn", f"{user.upn} is not in a domain of {tenant.name}")


def _applications(section: TenantSection, at: str, where: str) -> dict[str, Application]:
    applications: dict[str, Application] = {}
    taken = {DIRECTORY_API, ENROLMENT_API}
    for index, application in enumerate(section.applications):
        if application.id in applications or application.id in taken:
            path = f"{at}.applications[{index}].id"
            raise DocumentError(where, path, f"the audience {application.id} is used twice")
        assignments = link_assignments(application.assignments)
        applications[application.id] = Application(application.id, application.name, assignments)
    return applications


def _channels(
    section: TenantSection, profiles: Sequence[AssignedProfile], at: str, where: str
) -> dict[str, str]:
    channels: dict[str, str] = {}
    taken = {DIRECTORY_API, ENROLMENT_API} | {application.id for application in section.applications}
    known = [(str(name), audience) for name, audience in section.channels.items()]
    for name, audience in known + [pair for profile in profiles for pair in profile.channels.items()]:
        if audience in taken or channels.setdefault(audience, name) != name:
            raise DocumentError(where, f"{at}.channels.{name}", f"the audience {audience} is used twice")
    return channels


def _with_homes(
    sections: Sequence[TenantSection], tenants: dict[str, Tenant], aliases: Mapping[str, str], where: str
) -> tuple[dict[str, Tenant], dict[ObjectKey, tuple[ObjectKey, ...]]]:
    linked: dict[str, Tenant] = {}
    visits: dict[ObjectKey, tuple[ObjectKey, ...]] = {}
    for index, section in enumerate(sections):
        users = dict(tenants[section.id].users)
        for position, user in enumerate(section.users):
            if user.home is None:
                continue
            path = f"tenants[{index}].users[{position}].home"
            home = _home(section, user, tenants, aliases, path=path, where=where)
            known = visits.get(home, ())
            if any(tenant_id == section.id for tenant_id, _ in known):
                raise DocumentError(where, path, f"this account has two objects in {section.name}")
            visits[home] = (*known, (section.id, user.oid))
            users[user.oid] = replace(users[user.oid], home=home)
        linked[section.id] = replace(tenants[section.id], users=users)
    return linked, visits


def _home(
    section: TenantSection,
    user: UserSection,
    tenants: Mapping[str, Tenant],
    aliases: Mapping[str, str],
    *,
    path: str,
    where: str,
) -> ObjectKey:
    assert user.home is not None
    tenant = tenants.get(aliases.get(user.home.tenant, user.home.tenant))
    if tenant is None:
        raise DocumentError(where, f"{path}.tenant", f"no tenant {user.home.tenant!r}")
    if tenant.id == section.id:
        raise DocumentError(where, f"{path}.tenant", "the home is another tenant than this one")
    for candidate in tenant.users.values():
        if user.home.oid in (candidate.oid, candidate.upn):
            if candidate.password_hash is None:
                raise DocumentError(where, f"{path}.oid", f"{candidate.upn} has no credential in {tenant.name}")
            return tenant.id, candidate.oid
    raise DocumentError(where, f"{path}.oid", f"no user {user.home.oid!r} in {tenant.name}")


def _clients(document: DirectoryDocument, where: str) -> dict[str, Client]:
    clients = {DAEMON.id: DAEMON, ACCOUNT_PAGES.id: ACCOUNT_PAGES}
    for index, section in enumerate(document.clients):
        if section.id in clients:
            raise DocumentError(where, f"clients[{index}].id", f"the client id {section.id} is used twice")
        clients[section.id] = Client(section.id, section.name, section.redirect_uris)
    return clients
