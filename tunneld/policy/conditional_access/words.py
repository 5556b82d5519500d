"""The words of Microsoft Graph that Conditional Access uses, and which authentication methods make what.

Microsoft Graph reference: conditionalAccessPolicy, authenticationMethodModes, authenticationStrengthPolicy.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, get_args

from pydantic import BeforeValidator

# Keywords of conditions
ALL = "All"
NONE = "None"
ALL_TRUSTED = "AllTrusted"
GUESTS_OR_EXTERNAL_USERS = "GuestsOrExternalUsers"
OFFICE_365 = "Office365"
ADMIN_PORTALS = "MicrosoftAdminPortals"
EVERY_PLATFORM = "all"
EVERY_CLIENT = "all"
REGISTER_SECURITY = "urn:user:registersecurityinfo"
REGISTER_DEVICE = "urn:user:registerdevice"

# Application ids that Microsoft publishes for the members of its two groups of applications.
OFFICE_365_IDS = frozenset({
    "00000002-0000-0ff1-ce00-000000000000",  # Exchange Online
    "00000003-0000-0ff1-ce00-000000000000",  # SharePoint Online
    "00000006-0000-0ff1-ce00-000000000000",  # Office 365 portal
    "cc15fd57-2c6c-4117-a88c-83b1d56b4bbe",  # Teams
    "00000005-0000-0ff1-ce00-000000000000",  # Viva Engage
})
ADMIN_PORTAL_IDS = frozenset({
    "c44b4083-3bb0-49c1-b47d-974e53cbdf3c",  # Azure portal, and the Entra admin center in it
    "80ccca67-54bd-44ab-8625-4b79c4dc7775",  # Defender and Purview portals
    "497effe9-df71-4043-a8bb-14cf78c4b63b",  # Exchange admin center
})


class UserClass(StrEnum):
    """What a user is to the tenant; all but MEMBER are words of `guestOrExternalUserTypes`."""

    MEMBER = "member"
    INTERNAL_GUEST = "internalGuest"
    COLLABORATION_GUEST = "b2bCollaborationGuest"
    COLLABORATION_MEMBER = "b2bCollaborationMember"
    DIRECT_CONNECT = "b2bDirectConnectUser"
    OTHER = "otherExternalUser"
    SERVICE_PROVIDER = "serviceProvider"


EXTERNAL_CLASSES = tuple(each for each in UserClass if each is not UserClass.MEMBER)


class Condition(StrEnum):
    """The conditions in the order in which they are looked at; the words are Graph's conditionalAccessConditions."""

    USERS = "users"
    APPLICATION = "application"
    CLIENT_TYPE = "clientType"
    PLATFORM = "devicePlatform"
    LOCATION = "location"
    SIGN_IN_RISK = "signInRisk"
    USER_RISK = "userRisk"
    DEVICE = "deviceState"


class ControlKind(StrEnum):
    """Grant controls in the order in which Microsoft documents that they are enforced; `block` comes before all."""

    BLOCK = "block"
    MFA = "mfa"
    STRENGTH = "authenticationStrength"
    COMPLIANT_DEVICE = "compliantDevice"
    DOMAIN_JOINED = "domainJoinedDevice"
    APPROVED_APPLICATION = "approvedApplication"
    COMPLIANT_APPLICATION = "compliantApplication"
    PASSWORD_CHANGE = "passwordChange"
    TERMS_OF_USE = "termsOfUse"
    CUSTOM = "customAuthenticationFactor"


RANK = {kind: position for position, kind in enumerate(ControlKind)}
RANK[ControlKind.STRENGTH] = RANK[ControlKind.MFA]  # one place in the order: a strength is a stricter MFA

Combination = frozenset[str]


def combination(text: str) -> Combination:
    """Return the methods of one of Graph's combinations: "password,softwareOath" is two, used together."""
    return frozenset(part.strip() for part in text.split(","))


def written(methods: Combination) -> tuple[str, ...]:
    """Return a combination in an order of its own, so that equal sets sort and print alike."""
    return tuple(sorted(methods))


# Factors that home's sign-in already was, seen from the tenant that is visited.
FIRST_FACTORS = frozenset({"password", "federatedSingleFactor"})
# Second factors that a visited tenant can ask of a guest (Microsoft: authentication strength for external users).
USABLE_AT_RESOURCE = frozenset({"sms", "voice", "microsoftAuthenticatorPush", "softwareOath"})
# Methods that never begin a sign-in, so that using one does not make a primary authentication fresh.
NEVER_FIRST = USABLE_AT_RESOURCE | {"hardwareOath"}

_PHISHING_RESISTANT = ("windowsHelloForBusiness", "fido2", "x509CertificateMultiFactor")
_PASSWORDLESS = (*_PHISHING_RESISTANT, "deviceBasedPush")
_MULTIFACTOR = (
    *_PASSWORDLESS,
    "temporaryAccessPassOneTime",
    "temporaryAccessPassMultiUse",
    "password,microsoftAuthenticatorPush",
    "password,softwareOath",
    "password,hardwareOath",
    "password,sms",
    "password,voice",
    "federatedMultiFactor",
    "microsoftAuthenticatorPush,federatedSingleFactor",
    "softwareOath,federatedSingleFactor",
    "hardwareOath,federatedSingleFactor",
    "sms,federatedSingleFactor",
    "voice,federatedSingleFactor",
)
_SINGLE_FACTOR = ("password", "federatedSingleFactor", "sms", "x509CertificateSingleFactor", "qrCodePin", "email")

MFA_STRENGTH, PASSWORDLESS_STRENGTH, PHISHING_RESISTANT_STRENGTH = (
    f"00000000-0000-0000-0000-00000000000{n}" for n in (2, 3, 4)
)
BUILT_IN_STRENGTHS: dict[str, tuple[str, tuple[str, ...]]] = {
    MFA_STRENGTH: ("Multifactor authentication", _MULTIFACTOR),
    PASSWORDLESS_STRENGTH: ("Passwordless MFA", _PASSWORDLESS),
    PHISHING_RESISTANT_STRENGTH: ("Phishing-resistant MFA", _PHISHING_RESISTANT),
}
KNOWN_COMBINATIONS = {combination(text): text for text in (*_MULTIFACTOR, *_SINGLE_FACTOR)}
MFA_COMBINATIONS: tuple[Combination, ...] = tuple(combination(text) for text in _MULTIFACTOR)


def cased(kind: Any) -> BeforeValidator:  # a Literal or a StrEnum
    """Return a validator that reads a word in any letter case and keeps the one that Graph writes."""
    words = [str(each) for each in (get_args(kind) or tuple(kind))]
    canonical = {word.lower(): word for word in words}

    def read(value: object) -> object:
        return canonical.get(value.lower(), value) if isinstance(value, str) else value

    return BeforeValidator(read)
