"""Whether a target list hits somebody and something, and what the list then says.

An allow list lets in what it names, a block list lets in what it does not name; a setting passes when both of its
lists do (Microsoft Graph reference: crossTenantAccessPolicyTargetConfiguration). That a block list admits the rest
follows from the portal's wording.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from tunneld.policy.cross_tenant.effective import AccessType, B2BSetting, Targets
from tunneld.policy.directory import DIRECTORY_API, ENROLMENT_API, Client, Resource, ResourceKind, User

# The suite that Office365 stands for: SharePoint, Exchange, Teams, Skype for Business, Planner, Forms, Office itself.
OFFICE365_APPS = frozenset({
    "00000003-0000-0ff1-ce00-000000000000", "00000002-0000-0ff1-ce00-000000000000",
    "cc15fd57-2c6c-4117-a88c-83b1d56b4bbe", "00000004-0000-0ff1-ce00-000000000000",
    "09abbdfd-ed23-44ee-a2d9-a627aa1c90f3", "c9a559d2-7aab-4f13-a6ed-e7e9c52aec87",
    "4765445b-32c6-49b0-83e6-1d93765276ca",
})
# What an allow list breaks without: encrypted mail, registering methods in the visited tenant, terms of use there.
RIGHTS_MANAGEMENT = "00000012-0000-0000-c000-000000000000"
APP_ACCESS_PANEL = "0000000c-0000-0000-c000-000000000000"
TERMS_OF_USE = "d52792f4-ba38-424d-8140-ada5b883f293"
HELPER_APPS = {
    RIGHTS_MANAGEMENT: "rights management: encrypted mail and documents cannot be opened",
    APP_ACCESS_PANEL: "App Access Panel: guests cannot register authentication methods in the visited tenant",
    TERMS_OF_USE: "terms of use: guests cannot accept the visited tenant's terms",
}
_FIRST_PARTY = OFFICE365_APPS | HELPER_APPS.keys() | {DIRECTORY_API, ENROLMENT_API}


@dataclass(frozen=True, slots=True)
class Applications:
    """The two applications of a request, either of which a list may name: what is reached, and with what.

    Keywords are asked about the resource alone, which is a choice: a suite's name says what is opened. Otherwise an
    allow list of first-party applications would open every private application to our own first-party client.
    """

    resource: str
    client: str
    first_party: bool

    @classmethod
    def of(cls, resource: Resource, client: Client) -> Applications:
        """Return those of a sign-in."""
        return cls(resource.id, client.id, resource.kind is not ResourceKind.APPLICATION or resource.id in _FIRST_PARTY)

    @classmethod
    def named(cls, resource: str, client: str) -> Applications:
        """Return those that a token names, without a directory to look them up in."""
        return cls(resource, client, resource in _FIRST_PARTY)


@dataclass(frozen=True, slots=True)
class Match:
    """What one list says about one sign-in: whether it hit, in words, and whether that lets it pass."""

    passes: bool
    hit: bool
    rule: str


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a list of users and groups is asked about, by ids of the tenant that the list's ids belong to."""

    oid: str
    groups: Collection[str] = ()


NOBODY_KNOWN = Person("")  # only AllUsers hits


def person_of(user: User | None) -> Person:
    """Return what a target list may know about a user object."""
    return Person(user.oid, user.groups) if user is not None else NOBODY_KNOWN


def judge_user(targets: Targets, person: Person) -> Match:
    """Judge the list of users and groups."""
    if targets.everything:
        return _match(targets, "AllUsers")
    if person.oid in targets.ids:
        return _match(targets, f"user {person.oid}")
    group = next((group for group in person.groups if group in targets.groups), "") if targets.groups else ""
    return _match(targets, f"group {group}" if group else "")


def judge_applications(targets: Targets, applications: Applications) -> Match:
    """Judge the list of applications: either id hits, whether the list allows or blocks."""
    if targets.everything:
        return _match(targets, "AllApplications")
    for application in (applications.resource, applications.client):
        if application in targets.ids:
            return _match(targets, f"application {application}")
    if "Office365" in targets.keywords and applications.resource in OFFICE365_APPS:
        return _match(targets, "Office365")
    if "AllMicrosoftApps" in targets.keywords and applications.first_party:
        return _match(targets, "AllMicrosoftApps")
    return _match(targets, "")


def setting_passes(setting: B2BSetting, person: Person, applications: Applications) -> bool:
    """Tell whether both lists pass."""
    users, applied = setting.users, setting.applications
    return judge_user(users, person).passes and judge_applications(applied, applications).passes


def allow_list_gaps(setting: B2BSetting) -> tuple[str, ...]:
    """Return the helper applications that an allow list forgets, each as "id, what breaks without it".

    The administrator most likely wants them: their absence shows as refusals of applications that nobody asked for.
    """
    targets = setting.applications
    if targets.access is AccessType.BLOCKED or targets.everything or "AllMicrosoftApps" in targets.keywords:
        return ()
    return tuple(f"{id_}, {effect}" for id_, effect in HELPER_APPS.items() if id_ not in targets.ids)


def _match(targets: Targets, what: str) -> Match:
    hit = bool(what)
    words = what or "none of the targets"
    return Match(hit is (targets.access is AccessType.ALLOWED), hit, f"{targets.access} {words}")
