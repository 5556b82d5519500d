"""From a tenant's Graph objects to the compiled form. What a policy refers to and nobody has any more fails closed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_network

from tunneld.policy.conditional_access.compiled import Bits, ConditionalAccess, Control, Frequency, Location, Lookup
from tunneld.policy.conditional_access.compiled import Policy as CompiledPolicy
from tunneld.policy.conditional_access.device_filter import Predicate, read_rule
from tunneld.policy.conditional_access.documents import (
    ConditionalAccessPolicy,
    GrantControls,
    GuestsOrExternalUsers,
    SessionControls,
    Users,
)
from tunneld.policy.conditional_access.outcome import AppliedPolicy
from tunneld.policy.conditional_access.references import (
    IP_LOCATION,
    AuthenticationContext,
    AuthenticationStrength,
    NamedLocation,
)
from tunneld.policy.conditional_access.words import (
    ALL,
    ALL_TRUSTED,
    BUILT_IN_STRENGTHS,
    EVERY_PLATFORM,
    NONE,
    RANK,
    Combination,
    Condition,
    ControlKind,
    combination,
)
from tunneld.policy.objects import GraphObject

POLICY, LOCATION = "conditionalAccessPolicy", "namedLocation"
STRENGTH, CONTEXT, AGREEMENT = "authenticationStrengthPolicy", "authenticationContextClassReference", "agreement"

Objects = Mapping[str, Mapping[str, GraphObject]]
Words = tuple[tuple[str, ...], tuple[str, ...]]  # included, excluded

# What a sign-in record says of a policy whose conditions all matched.
RESULTS = ("success", "failure", "reportOnlySuccess", "reportOnlyFailure", "reportOnlyInterrupted")
_EVERY_CONDITION = tuple(each.value for each in Condition)
_SECONDS = {"hours": 3600, "days": 86400}


def compile_access(objects: Objects) -> ConditionalAccess:
    """Return everything that evaluation needs of a tenant's objects."""
    documents = sorted(
        (each for each in objects.get(POLICY, {}).values() if isinstance(each, ConditionalAccessPolicy)),
        key=lambda each: each.id,
    )
    strengths = strength_combinations(objects)
    policies = tuple(_policy(each, strengths) for each in documents)
    words = [_words(each) for each in documents]
    live: Bits = sum(1 << n for n, each in enumerate(documents) if each.state != "disabled")
    contexts = (each for each in objects.get(CONTEXT, {}).values() if isinstance(each, AuthenticationContext))
    return ConditionalAccess(
        policies, live,
        {condition: _lookup([each[condition] for each in words]) for condition in words[0]} if words else {},
        _device_rules(documents), _locations(objects, words),
        frozenset(each.id for each in contexts if each.is_available),
        tuple(_line(each, "notEnabled") for each in policies),
        {condition: tuple(_dropped(each, condition) for each in policies) for condition in Condition},
        {result: tuple(_line(each, result, _EVERY_CONDITION) for each in policies) for result in RESULTS},
    )


def strength_combinations(objects: Objects) -> dict[str, tuple[Combination, ...]]:
    """Return the combinations of every strength that the tenant has, the built-in ones among them."""
    known = {name: tuple(combination(text) for text in texts) for name, (_, texts) in BUILT_IN_STRENGTHS.items()}
    for each in objects.get(STRENGTH, {}).values():
        assert isinstance(each, AuthenticationStrength)
        known[each.id] = tuple(combination(text) for text in each.allowed_combinations)
    return known


def user_words(users: Users) -> Words:
    """Return the words that a user has to have, and must not have, for a policy to be about them."""
    return (
        _of_users(users.include_users, users.include_groups, users.include_roles,
                  users.include_guests_or_external_users),
        _of_users(users.exclude_users, users.exclude_groups, users.exclude_roles,
                  users.exclude_guests_or_external_users),
    )  # fmt: skip


def _of_users(
    users: Iterable[str], groups: Iterable[str], roles: Iterable[str], external: GuestsOrExternalUsers | None
) -> tuple[str, ...]:
    words = [each for each in users if each != NONE]
    words += [f"group:{each}" for each in groups]
    words += [f"role:{each}" for each in roles]
    if external is not None:
        tenants = external.external_tenants
        members = tenants.members if tenants is not None else None
        for each in external.types:
            words += [f"{each}@{member}" for member in members] if members else [each]
    return tuple(words)


def _words(document: ConditionalAccessPolicy) -> dict[Condition, Words]:
    conditions = document.conditions
    applications, platforms, locations = conditions.applications, conditions.platforms, conditions.locations
    included = (
        *(each for each in applications.include_applications if each != NONE),
        *applications.include_user_actions, *applications.include_authentication_context_class_references,
    )
    return {
        Condition.USERS: user_words(conditions.users),
        Condition.APPLICATION: (included, applications.exclude_applications),
        Condition.CLIENT_TYPE: (conditions.client_app_types, ()),
        Condition.PLATFORM: (platforms.include_platforms or (EVERY_PLATFORM,), platforms.exclude_platforms)
        if platforms is not None else ((EVERY_PLATFORM,), ()),
        Condition.LOCATION: (locations.include_locations or (ALL,), locations.exclude_locations)
        if locations is not None else ((ALL,), ()),
        Condition.SIGN_IN_RISK: (conditions.sign_in_risk_levels or (ALL,), ()),
        Condition.USER_RISK: (conditions.user_risk_levels or (ALL,), ()),
    }  # fmt: skip


def _lookup(words: Sequence[Words]) -> Lookup:
    included: dict[str, Bits] = {}
    excluded: dict[str, Bits] = {}
    for number, both in enumerate(words):
        for mapping, mine in zip((included, excluded), both, strict=True):
            for word in mine:
                mapping[word] = mapping.get(word, 0) | 1 << number
    return Lookup(included, excluded)


def _device_rules(documents: Sequence[ConditionalAccessPolicy]) -> dict[int, tuple[bool, Predicate]]:
    rules = {}
    for number, document in enumerate(documents):
        devices = document.conditions.devices
        if devices is not None and devices.device_filter is not None:
            rules[number] = (devices.device_filter.mode == "include", read_rule(devices.device_filter.rule))
    return rules


def _locations(objects: Objects, words: Iterable[Mapping[Condition, Words]]) -> tuple[Location, ...]:
    wanted = {word for each in words for side in each[Condition.LOCATION] for word in side}
    known = sorted(
        (each for each in objects.get(LOCATION, {}).values() if isinstance(each, NamedLocation)),
        key=lambda each: each.id,
    )
    return tuple(
        _location(each) for each in known if each.id in wanted or (each.is_trusted and ALL_TRUSTED in wanted)
    )


def _location(document: NamedLocation) -> Location:
    if document.odata_type != IP_LOCATION:
        return Location(
            document.id, countries=frozenset(document.countries_and_regions),
            unknown_countries=document.include_unknown_countries_and_regions,
        )
    networks = [ip_network(each.cidr_address) for each in document.ip_ranges]
    of = {
        version: tuple(
            (int(each.network_address), int(each.broadcast_address)) for each in networks if each.version == version
        )
        for version in (4, 6)
    }
    return Location(document.id, document.is_trusted, of[4], of[6])


def _policy(document: ConditionalAccessPolicy, strengths: Mapping[str, tuple[Combination, ...]]) -> CompiledPolicy:
    grant, session = document.grant_controls, document.session_controls or SessionControls()
    controls = _controls(grant, strengths) if grant is not None else ()
    browser, conditions = session.persistent_browser, document.conditions
    grant_words, session_words = tuple(each.name for each in controls), _session_words(session)
    return CompiledPolicy(
        document.id, document.display_name, document.state == "enabledForReportingButNotEnforced",
        block=any(each.kind is ControlKind.BLOCK for each in controls),
        every_control=grant is None or grant.operator == "AND",
        controls=tuple(each for each in controls if each.kind is not ControlKind.BLOCK),
        frequency=_frequency(session),
        persistent_browser=browser.mode == "always"
        if browser is not None and browser.is_enabled and browser.mode else None,
        continuous_access=session.continuous_access_evaluation.mode if session.continuous_access_evaluation else "",
        on_sign_in_risk=bool(conditions.sign_in_risk_levels), on_user_risk=bool(conditions.user_risk_levels),
        grant_words=grant_words, session_words=session_words,
        asks=f"policy {document.id} asks for {', '.join((*grant_words, *session_words))}",
    )  # fmt: skip


def _controls(
    grant: GrantControls, strengths: Mapping[str, tuple[Combination, ...]]
) -> tuple[Control, ...]:
    controls = [Control(ControlKind(each)) for each in grant.built_in_controls]
    if grant.authentication_strength is not None:
        strength = grant.authentication_strength.id
        controls.append(Control(ControlKind.STRENGTH, strength, strengths.get(strength, ())))
    controls += [Control(ControlKind.TERMS_OF_USE, each) for each in grant.terms_of_use]
    controls += [Control(ControlKind.CUSTOM, each) for each in grant.custom_authentication_factors]
    return tuple(sorted(set(controls), key=lambda each: (RANK[each.kind], each.id)))


def _frequency(session: SessionControls) -> Frequency | None:
    document = session.sign_in_frequency
    if document is None or not document.is_enabled:
        return None
    secondary = document.authentication_type == "secondaryAuthentication"
    if document.value is None or document.type is None:
        return Frequency(0, True, secondary)
    return Frequency(document.value * _SECONDS[document.type], False, secondary)


def _session_words(session: SessionControls) -> tuple[str, ...]:
    """Return the names of the session controls that are switched on, as a sign-in record lists them."""
    members = {
        "signInFrequency": session.sign_in_frequency, "persistentBrowser": session.persistent_browser,
        "applicationEnforcedRestrictions": session.application_enforced_restrictions,
        "cloudAppSecurity": session.cloud_app_security,
    }
    words = [name for name, each in members.items() if each is not None and each.is_enabled]
    words += ["continuousAccessEvaluation"] if session.continuous_access_evaluation else []
    return (*words, *(["disableResilienceDefaults"] if session.disable_resilience_defaults else []))


def _line(policy: CompiledPolicy, result: str, satisfied: tuple[str, ...] = ()) -> AppliedPolicy:
    return AppliedPolicy(policy.id, policy.name, result, policy.grant_words, policy.session_words, satisfied)


def _dropped(policy: CompiledPolicy, condition: Condition) -> AppliedPolicy:
    """The line of a policy that a condition kept out; those before it did match, those after it nobody looked at."""
    conditions = list(Condition)
    before = tuple(each.value for each in conditions[: conditions.index(condition)])
    return AppliedPolicy(
        policy.id, policy.name, "reportOnlyNotApplied" if policy.report_only else "notApplied",
        policy.grant_words, policy.session_words, before, (condition.value,),
    )
