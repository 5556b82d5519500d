"""Conditional Access policies as Microsoft Graph writes them. Words are read in any letter case.

Microsoft Graph reference: conditionalAccessPolicy, conditionalAccessConditionSet, conditionalAccessGrantControls,
conditionalAccessSessionControls, conditionalAccessGuestsOrExternalUsers.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from tunneld.policy.conditional_access.device_filter import check_rule
from tunneld.policy.conditional_access.references import ContextId, Timestamp
from tunneld.policy.conditional_access.words import EXTERNAL_CLASSES, cased
from tunneld.policy.directory_document import Guid, Text
from tunneld.policy.objects import GraphObject

MAX_MEMBERS = 2000  # a choice: ids in one list of a policy

_Everyone = Literal["All", "None", "GuestsOrExternalUsers"]
_Applications = Literal["All", "None", "Office365", "MicrosoftAdminPortals"]
_Locations = Literal["All", "AllTrusted"]
_Platforms = Literal["android", "iOS", "windows", "windowsPhone", "macOS", "linux", "all"]
_Clients = Literal["all", "browser", "mobileAppsAndDesktopClients", "exchangeActiveSync", "easSupported", "other"]
_Actions = Literal["urn:user:registersecurityinfo", "urn:user:registerdevice"]
_Risks = Literal["low", "medium", "high", "none"]
_Built = Literal[
    "block", "mfa", "compliantDevice", "domainJoinedDevice", "approvedApplication", "compliantApplication",
    "passwordChange",
]  # fmt: skip
_States = Literal["enabled", "disabled", "enabledForReportingButNotEnforced"]

UserRef = Annotated[_Everyone | Guid, cased(_Everyone)]
ApplicationRef = Annotated[_Applications | Guid, cased(_Applications)]
LocationRef = Annotated[_Locations | Guid, cased(_Locations)]
Limit = Field(max_length=MAX_MEMBERS)
Guids = Annotated[tuple[Guid, ...], Limit]


def _types(value: object) -> object:
    """Graph writes a set of flags as one string with commas."""
    if not isinstance(value, str):
        return value
    known = {each.value.lower(): each.value for each in EXTERNAL_CLASSES} | {"none": "none"}
    words = [part.strip() for part in value[:1024].split(",")]
    unknown = [word for word in words if word.lower() not in known]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not a type of guests or external users")
    return ",".join(known[word.lower()] for word in words)


class ExternalTenants(GraphObject):
    """Every tenant, or those that are listed."""

    odata_type: Annotated[str, Field(alias="@odata.type", max_length=100)]
    membership_kind: Annotated[Literal["all", "enumerated"], cased(Literal["all", "enumerated"])] = "all"
    members: Guids | None = None

    @model_validator(mode="before")
    @classmethod
    def _typed_by_its_kind(cls, value: Any) -> Any:  # whatever the caller sent
        if not isinstance(value, dict):
            return value
        kind = str(value.get("membershipKind", "all")).capitalize()
        return {**value, "@odata.type": f"#microsoft.graph.conditionalAccess{kind[:16]}ExternalTenants"}

    @model_validator(mode="after")
    def _members_fit(self) -> ExternalTenants:
        if (self.membership_kind == "enumerated") != bool(self.members):
            raise ValueError("members belong to membershipKind enumerated, and it needs some")
        return self


class GuestsOrExternalUsers(GraphObject):
    """Sorts of users who are not ours, perhaps of some tenants only."""

    guest_or_external_user_types: Annotated[str, BeforeValidator(_types)]
    external_tenants: ExternalTenants | None = None

    @property
    def types(self) -> tuple[str, ...]:
        """The sorts by themselves; "none" is no sort."""
        return tuple(each for each in self.guest_or_external_user_types.split(",") if each != "none")

    @model_validator(mode="after")
    def _tenants_need_types(self) -> GuestsOrExternalUsers:
        if self.external_tenants is not None and not self.types:
            raise ValueError("externalTenants without a type of users says nothing")
        return self


class Users(GraphObject):
    """Who a policy is about."""

    include_users: Annotated[tuple[UserRef, ...], Limit] = ()
    exclude_users: Annotated[tuple[UserRef, ...], Limit] = ()
    include_groups: Guids = ()
    exclude_groups: Guids = ()
    include_roles: Guids = ()
    exclude_roles: Guids = ()
    include_guests_or_external_users: GuestsOrExternalUsers | None = None
    exclude_guests_or_external_users: GuestsOrExternalUsers | None = None


class Applications(GraphObject):
    """What is entered: applications, or user actions, or authentication contexts."""

    include_applications: Annotated[tuple[ApplicationRef, ...], Limit] = ()
    exclude_applications: Annotated[tuple[ApplicationRef, ...], Limit] = ()
    include_user_actions: Annotated[tuple[Annotated[_Actions, cased(_Actions)], ...], Limit] = ()
    include_authentication_context_class_references: Annotated[tuple[ContextId, ...], Limit] = ()


class Platforms(GraphObject):
    """Operating systems, as the client says."""

    include_platforms: Annotated[tuple[Annotated[_Platforms, cased(_Platforms)], ...], Limit] = ()
    exclude_platforms: Annotated[tuple[Annotated[_Platforms, cased(_Platforms)], ...], Limit] = ()


class Locations(GraphObject):
    """Named locations that the client's address is, or is not, in."""

    include_locations: Annotated[tuple[LocationRef, ...], Limit] = ()
    exclude_locations: Annotated[tuple[LocationRef, ...], Limit] = ()


class DeviceFilter(GraphObject):
    """A rule over the attributes of the device."""

    mode: Annotated[Literal["include", "exclude"], cased(Literal["include", "exclude"])]
    rule: Annotated[str, AfterValidator(check_rule)]


class Devices(GraphObject):
    """Which devices."""

    device_filter: DeviceFilter | None = None


RiskLevels = Annotated[tuple[Annotated[_Risks, cased(_Risks)], ...], Field(max_length=4)]


class Conditions(GraphObject):
    """All conditions have to match; one that is left out always does."""

    users: Users
    applications: Applications
    client_app_types: Annotated[
        tuple[Annotated[_Clients, cased(_Clients)], ...], Field(min_length=1, max_length=6)
    ] = ("all",)
    platforms: Platforms | None = None
    locations: Locations | None = None
    devices: Devices | None = None
    sign_in_risk_levels: RiskLevels = ()
    user_risk_levels: RiskLevels = ()


class StrengthRef(GraphObject):
    """An authentication strength by id. Graph answers with the whole object; its other members are not read."""

    id: Guid

    @model_validator(mode="before")
    @classmethod
    def _only_the_id(cls, value: Any) -> Any:  # whatever the caller sent
        if not isinstance(value, dict):
            return value
        shown = {
            "displayName", "description", "policyType", "requirementsSatisfied", "allowedCombinations",
            "combinationConfigurations", "createdDateTime", "modifiedDateTime",
        }  # fmt: skip
        return {name: each for name, each in value.items() if name not in shown}


class GrantControls(GraphObject):
    """What has to be proved: all of it, or any of it."""

    operator: Annotated[Literal["AND", "OR"], cased(Literal["AND", "OR"])]
    built_in_controls: Annotated[tuple[Annotated[_Built, cased(_Built)], ...], Field(max_length=7)] = ()
    custom_authentication_factors: Annotated[tuple[Text, ...], Field(max_length=16)] = ()
    terms_of_use: Annotated[tuple[Guid, ...], Field(max_length=16)] = ()
    authentication_strength: StrengthRef | None = None


class SignInFrequency(GraphObject):
    """How old an authentication may be. Graph's unit is `type`; it is null with everyTime."""

    is_enabled: bool = True
    value: Annotated[int, Field(ge=1, le=365)] | None = None
    type: Annotated[Literal["hours", "days"], cased(Literal["hours", "days"])] | None = None
    frequency_interval: Annotated[Literal["timeBased", "everyTime"], cased(Literal["timeBased", "everyTime"])] = (
        "timeBased"
    )
    authentication_type: Annotated[
        Literal["primaryAndSecondaryAuthentication", "secondaryAuthentication"],
        cased(Literal["primaryAndSecondaryAuthentication", "secondaryAuthentication"]),
    ] = "primaryAndSecondaryAuthentication"

    @model_validator(mode="after")
    def _a_period(self) -> SignInFrequency:
        timed = self.value is not None and self.type is not None
        untimed = self.value is None and self.type is None
        if self.is_enabled and not (timed if self.frequency_interval == "timeBased" else untimed):
            raise ValueError("timeBased needs value and type; everyTime has neither")
        return self


class PersistentBrowser(GraphObject):
    """Whether a browser session outlives the browser."""

    is_enabled: bool = True
    mode: Annotated[Literal["always", "never"], cased(Literal["always", "never"])] | None = None


class Switched(GraphObject):
    """A session control that another service enforces: kept and shown, not acted upon."""

    is_enabled: bool = True


class CloudAppSecurity(Switched):
    """Conditional Access app control, which another service enforces."""

    cloud_app_security_type: Annotated[
        Literal["mcasConfigured", "monitorOnly", "blockDownloads"],
        cased(Literal["mcasConfigured", "monitorOnly", "blockDownloads"]),
    ] | None = None


_Modes = Literal["disabled", "strictEnforcement", "strictLocation"]


class ContinuousAccess(GraphObject):
    """How continuous access evaluation behaves."""

    mode: Annotated[_Modes, cased(_Modes)]


class SessionControls(GraphObject):
    """What the session may do."""

    sign_in_frequency: SignInFrequency | None = None
    persistent_browser: PersistentBrowser | None = None
    application_enforced_restrictions: Switched | None = None
    cloud_app_security: CloudAppSecurity | None = None
    disable_resilience_defaults: bool | None = None
    continuous_access_evaluation: ContinuousAccess | None = None


class ConditionalAccessPolicy(GraphObject):
    """One policy: whom it is about, what has to be proved, what the session may do."""

    id: Guid
    display_name: Text
    state: Annotated[_States, cased(_States)]
    created_date_time: Timestamp | None = None
    modified_date_time: Timestamp | None = None
    description: Annotated[str, Field(max_length=1024)] | None = None
    template_id: Guid | None = None
    conditions: Conditions
    grant_controls: GrantControls | None = None
    session_controls: SessionControls | None = None

    @field_validator("description")
    @classmethod
    def _no_nul(cls, value: str | None) -> str | None:
        if value is not None and "\0" in value:
            raise ValueError("a NUL is not text")
        return value
