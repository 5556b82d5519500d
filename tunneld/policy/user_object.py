"""Users as the admin API reads and writes them (Microsoft Graph reference: user)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, StringConstraints

from tunneld.policy.directory import (
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
from tunneld.policy.directory_document import Guid, PasswordHash, Text
from tunneld.policy.group_object import groups_of
from tunneld.policy.objects import Conflict, GraphObject, ObjectKind

_LOCAL = r"[^@\s\x00-\x1f\x7f]{1,128}"
UserName = Annotated[str, StringConstraints(max_length=320, pattern=rf"^{_LOCAL}@[A-Za-z0-9.-]{{1,253}}$")]
Mail = Annotated[str, StringConstraints(max_length=320, pattern=rf"^{_LOCAL}@[^@\s\x00-\x1f\x7f]{{1,253}}$")]
Line = Annotated[str, StringConstraints(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
Timestamp = Annotated[str, StringConstraints(max_length=40, pattern=r"^\d{4}-\d{2}-\d{2}T[0-9:.]+Z$")]

# Single-valued properties that decisions and claims may ask for by Graph's name.
ATTRIBUTES = (
    "givenName", "surname", "department", "jobTitle", "companyName", "usageLocation", "employeeId", "city", "country",
    "mobilePhone", "officeLocation", "preferredLanguage", "state", "streetAddress", "postalCode", "creationType",
    "createdDateTime", "externalUserStateChangeDateTime",
)


class Identity(GraphObject):
    """A name by which a user may sign in (Microsoft Graph reference: objectIdentity)."""

    sign_in_type: Line
    issuer: Line | None = None
    issuer_assigned_id: Line | None = None


class HomeLink(GraphObject):
    """The object in the home tenant: the stable link that no rename breaks."""

    tenant_id: Guid
    object_id: Guid


class OutsideIdentity(GraphObject):
    """A credential that no tenant holds."""

    way: Literal["mail", "federation", "social", "personal"]
    issuer: Line
    subject: Line


class UserObject(GraphObject):
    """A user. The last members are kept and never shown."""

    hidden: ClassVar[frozenset[str]] = frozenset({
        "password_hash", "alternative_security_id", "external", "roles", "sessions_valid_from",
    })

    id: Guid
    user_principal_name: UserName
    display_name: Text
    given_name: Line | None = None
    surname: Line | None = None
    mail: Mail | None = None
    other_mails: Annotated[tuple[Mail, ...], Field(max_length=250)] = ()
    proxy_addresses: Annotated[tuple[Line, ...], Field(max_length=250)] = ()
    user_type: Literal["Member", "Guest"] = "Member"
    account_enabled: bool = True
    external_user_state: Literal["PendingAcceptance", "Accepted"] | None = None
    external_user_state_change_date_time: Timestamp | None = None
    creation_type: Line | None = None
    identities: Annotated[tuple[Identity, ...], Field(max_length=16)] = ()
    department: Line | None = None
    job_title: Line | None = None
    company_name: Line | None = None
    usage_location: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2}$")] | None = None
    employee_id: Annotated[str, AfterValidator(str.strip), StringConstraints(max_length=16)] | None = None
    city: Line | None = None
    country: Line | None = None
    mobile_phone: Line | None = None
    office_location: Line | None = None
    preferred_language: Line | None = None
    state: Line | None = None
    street_address: Line | None = None
    postal_code: Line | None = None
    created_date_time: Timestamp | None = None
    sponsors: Annotated[tuple[Guid, ...], Field(max_length=5)] = ()

    password_hash: PasswordHash | None = Field(default=None, repr=False)
    alternative_security_id: HomeLink | None = None
    external: OutsideIdentity | None = None
    roles: tuple[Guid, ...] = ()
    sessions_valid_from: int = 0


def user_object(user: User) -> UserObject:
    """Return a user of the directory as if it had been stored."""
    known = {name: value for name, value in user.attributes.items() if name in ATTRIBUTES and value}
    link = HomeLink(tenant_id=user.home[0], object_id=user.home[1]) if user.home else None
    outside = user.external
    return UserObject.model_validate({
        "id": user.oid, "userPrincipalName": user.upn, "displayName": user.display_name,
        "mail": user.mail or None, "otherMails": user.other_mails, "userType": str(user.user_type).capitalize(),
        "accountEnabled": user.enabled,
        "externalUserState": str(user.external_state) if user.external_state else None,
        "identities": _identities(user), "passwordHash": user.password_hash, "alternativeSecurityId": link,
        "external": None if outside is None else OutsideIdentity.model_validate(
            {"way": str(outside.way), "issuer": outside.issuer, "subject": outside.subject}
        ),
        "roles": sorted(user.roles), "sessionsValidFrom": user.sessions_valid_from, **known,
    })


def _identities(user: User) -> tuple[Identity, ...]:
    domain = user.upn.rpartition("@")[2]
    if user.home is not None and not user.pending:
        return (Identity(sign_in_type="federated", issuer="ExternalAzureAD"),)
    if user.external is not None and not user.pending:
        return (Identity(sign_in_type="federated", issuer=user.external.issuer),)
    return (Identity(sign_in_type="userPrincipalName", issuer=domain, issuer_assigned_id=user.upn),)


def compile_user(value: UserObject, groups: Mapping[str, Group]) -> User:
    """Return the user as decisions read it."""
    held = groups_of(value.id, groups)
    names = frozenset(groups[group].name.lower() for group in held)
    stored = value.model_dump(mode="json", by_alias=True)
    link, outside = value.alternative_security_id, value.external
    external = ExternalIdentity(SignInWay(outside.way), outside.issuer, outside.subject) if outside else None
    state = ExternalState(value.external_user_state) if value.external_user_state else None
    return User(
        value.id, value.user_principal_name.lower(), value.display_name, UserType(value.user_type.lower()),
        value.account_enabled, held, frozenset(held) | names, (link.tenant_id, link.object_id) if link else None,
        value.password_hash, external, state, value.mail or "", value.other_mails, frozenset(value.roles),
        {name: stored[name] for name in ATTRIBUTES if stored.get(name)}, value.sessions_valid_from,
    )


def _put(directory: Directory, tenant_id: str, values: Mapping[str, GraphObject | None]) -> Directory:
    """Replace users and the indexes that name them."""
    tenant = directory.tenants[tenant_id]
    users, visits, accounts = dict(tenant.users), dict(directory.visits), dict(directory.accounts)
    for oid, value in values.items():
        before = users.get(oid)
        if before is not None:
            _unlink(before, (tenant_id, oid), visits, accounts)
        if not isinstance(value, UserObject):
            users.pop(oid, None)
            continue
        user = users[oid] = compile_user(value, tenant.groups)
        if user.home is not None:
            others = tuple(key for key in visits.get(user.home, ()) if key != (tenant_id, oid))
            visits[user.home] = (*others, (tenant_id, oid))
        else:
            accounts.setdefault(user.upn, (tenant_id, oid))  # the check has refused a name in use
    tenants = {**directory.tenants, tenant_id: replace(tenant, users=users)}
    return replace(directory, tenants=tenants, visits=visits, accounts=accounts)


def _unlink(
    user: User, key: ObjectKey, visits: dict[ObjectKey, tuple[ObjectKey, ...]], accounts: dict[str, ObjectKey]
) -> None:
    if user.home is not None:
        rest = tuple(each for each in visits.get(user.home, ()) if each != key)
        if rest:
            visits[user.home] = rest
        else:
            visits.pop(user.home, None)
    elif accounts.get(user.upn) == key:
        del accounts[user.upn]


def _check(directory: Directory, tenant_id: str, value: GraphObject) -> Conflict | None:
    assert isinstance(value, UserObject)
    tenant, user = directory.tenants[tenant_id], directory.tenants[tenant_id].users[value.id]
    taken = next((one for one in tenant.users.values() if one.upn == user.upn and one.oid != user.oid), None)
    if taken is not None:
        return Conflict("userPrincipalNameTaken", f"Another user is called {value.user_principal_name}.",
                        "Choose another name.", "userPrincipalName")
    if user.home is not None and user.external is not None:
        return Conflict("twoIdentities", "A user has one home at most.", "Remove one of them.", "identities")
    # Names lead to accounts across all tenants: a tenant without a domain must not take one of somebody else's.
    domains = tenant.domains or (f"{tenant.name}.invalid",)
    if user.way is SignInWay.HERE and user.upn.rpartition("@")[2] not in domains:
        return Conflict("domainNotVerified", f"{value.user_principal_name} is not in a domain of {tenant.name}.",
                        f"Use one of: {', '.join(domains)}.", "userPrincipalName")
    if user.pending and user.way is SignInWay.HERE and user.password_hash is not None:
        return Conflict("pendingMember", "Only a user who signs in elsewhere can be pending.",
                        "Leave externalUserState out.", "externalUserState")
    return _check_home(directory, tenant, user) if user.home is not None else None


def _check_home(directory: Directory, tenant: Tenant, user: User) -> Conflict | None:
    assert user.home is not None
    if user.home[0] == tenant.id:
        return Conflict("homeIsHere", "The home is another tenant than this one.", "Name another tenant.")
    home = directory.user(user.home)
    if home is None or home.home is not None:
        return Conflict("unknownHome", "The account does not exist in its home tenant.", "Invite an existing account.")
    here = [key for key in directory.visits.get(user.home, ()) if key[0] == tenant.id]
    if len(here) > 1:
        return Conflict("accountKnown", f"This account has another object in {tenant.name}.",
                        "Change that object instead.", status=409)
    return None


def _implied(directory: Directory, tenant_id: str, object_id: str) -> GraphObject | None:
    user = directory.tenants[tenant_id].users.get(object_id)
    return user_object(user) if user is not None else None


def _implied_ids(directory: Directory, tenant_id: str) -> Iterable[str]:
    return directory.tenants[tenant_id].users


USER = ObjectKind("user", UserObject, _put, _check, implied=_implied, implied_ids=_implied_ids)
