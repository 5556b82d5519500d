"""Which policies a sign-in meets: its facts as words, condition after condition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from tunneld.policy.conditional_access.compiled import Bits, ConditionalAccess, Location, numbers
from tunneld.policy.conditional_access.device_filter import Attributes
from tunneld.policy.conditional_access.outcome import AppliedPolicy
from tunneld.policy.conditional_access.standing import Standing
from tunneld.policy.conditional_access.subject import Subject
from tunneld.policy.conditional_access.words import (
    ADMIN_PORTAL_IDS,
    ADMIN_PORTALS,
    ALL,
    ALL_TRUSTED,
    EVERY_CLIENT,
    EVERY_PLATFORM,
    GUESTS_OR_EXTERNAL_USERS,
    OFFICE_365,
    OFFICE_365_IDS,
    Condition,
    UserClass,
)
from tunneld.policy.facts import DeviceFacts
from tunneld.policy.role_grants import WHOLE_TENANT

Words = list[str]


@dataclass(frozen=True, slots=True)
class Sight:
    """What conditions look at."""

    subject: Subject
    standing: Standing
    access: ConditionalAccess


@dataclass(frozen=True, slots=True)
class Matches:
    """The policies that apply, and a line for the log about every policy, those that apply still to be judged."""

    applying: Bits
    lines: list[AppliedPolicy]


def match_policies(at: Sight) -> Matches:
    """Look at the conditions in their order; a policy that one of them keeps out is looked at no more."""
    access = at.access
    lines = list(access.idle)
    left = access.live
    for condition, words in WORDS.items():
        if not left:
            return Matches(left, lines)
        stay = left & access.lookups[condition].matching(words(at))
        _drop(lines, left ^ stay, access.dropped[condition])
        left = stay
    out = _kept_out_by_device(at.standing, access, left)
    _drop(lines, out, access.dropped[Condition.DEVICE])
    return Matches(left ^ out, lines)


def matching_users(at: Sight) -> Bits:
    """Return the policies that are about this user, whatever their other conditions say."""
    lookup = at.access.lookups.get(Condition.USERS)
    return lookup.matching(_users(at)) if lookup is not None else 0


def _drop(lines: list[AppliedPolicy], bits: Bits, dropped: tuple[AppliedPolicy, ...]) -> None:
    for number in numbers(bits):
        lines[number] = dropped[number]


def _users(at: Sight) -> Words:
    sort = at.standing.user_class
    words = [ALL]
    if sort is not UserClass.MEMBER:
        words += (GUESTS_OR_EXTERNAL_USERS, sort.value)
        if at.standing.home_tenant:
            words.append(f"{sort}@{at.standing.home_tenant}")
    user = at.subject.user
    if user is not None:
        words.append(user.oid)
        words += [f"group:{group}" for group in user.groups]
        words += [f"role:{role}" for role in user.roles]
        held = at.subject.tenant.policy.roles.held.get(user.oid, ())
        words += [f"role:{role.definition}" for role in held if role.scope == WHOLE_TENANT]
    return words


def _applications(at: Sight) -> Words:
    """Return the application, or the user action alone.

    A user action is met by the policies that name it and by no other, which is a choice: registering a factor must
    stay possible under a policy for all applications that asks for that factor.
    """
    if at.subject.around.user_action:
        return [at.subject.around.user_action]
    application = at.subject.resource.id
    words = [ALL, application]
    if application in OFFICE_365_IDS:
        words.append(OFFICE_365)
    if application in ADMIN_PORTAL_IDS:
        words.append(ADMIN_PORTALS)
    return words + [context for context in at.subject.around.contexts if context in at.access.contexts]


def _clients(at: Sight) -> Words:
    return [EVERY_CLIENT, at.subject.around.client_app]


def _platforms(at: Sight) -> Words:
    return [EVERY_PLATFORM, at.subject.around.platform]


def _locations(at: Sight) -> Words:
    words = [ALL]
    if at.access.locations:
        number, version = _address(at.subject.around.address)
        country = at.subject.around.country.upper()
        for location in at.access.locations:
            if _inside(location, number, version, country):
                words.append(location.id)
                if location.trusted:
                    words.append(ALL_TRUSTED)
    return words


def _sign_in_risk(at: Sight) -> Words:
    return [ALL, at.subject.facts.sign_in_risk]


def _user_risk(at: Sight) -> Words:
    return [ALL, at.subject.facts.user_risk]


WORDS: dict[Condition, Callable[[Sight], Words]] = {
    Condition.USERS: _users,
    Condition.APPLICATION: _applications,
    Condition.CLIENT_TYPE: _clients,
    Condition.PLATFORM: _platforms,
    Condition.LOCATION: _locations,
    Condition.SIGN_IN_RISK: _sign_in_risk,
    Condition.USER_RISK: _user_risk,
}


def _address(text: str) -> tuple[int, int]:
    """Return an address as (number, IP version); (0, 0) where it is unknown. IPv4 in IPv6 counts as IPv4."""
    try:
        address = ip_address(text)
    except ValueError:
        return 0, 0
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return int(address), address.version


def _inside(location: Location, number: int, version: int, country: str) -> bool:
    if country and country in location.countries:
        return True
    if not country and location.unknown_countries:
        return True
    ranges = location.ranges4 if version == 4 else location.ranges6 if version == 6 else ()
    return any(first <= number <= last for first, last in ranges)


def _kept_out_by_device(standing: Standing, access: ConditionalAccess, left: Bits) -> Bits:
    out: Bits = 0
    attributes: Attributes | None = None
    for number, (include, rule) in access.device_rules.items():
        if left >> number & 1:
            attributes = device_attributes(standing.known_device) if attributes is None else attributes
            out |= (rule(attributes) is not include) << number
    return out


def device_attributes(device: DeviceFacts | None) -> Attributes:
    """Return what a rule may compare: in lower case, and nothing at all of a device that is not known."""
    if device is None:
        return {}
    known = {name.lower(): value.lower() for name, value in device.attributes.items()}
    own = {
        "deviceid": device.id, "displayname": device.display_name, "operatingsystem": device.operating_system,
        "trusttype": "ServerAD" if device.hybrid_joined else "",
    }  # fmt: skip
    known |= {name: value.lower() for name, value in own.items() if value}
    known["iscompliant"] = "true" if device.compliant else "false"
    return known
