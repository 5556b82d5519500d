"""Words of Graph's cross-tenant documents, read in any case and with stray blanks, written in their one form.

Samples in Microsoft's own pages mix letter case and carry blanks, so exports of real tenants do too.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator, StringConstraints

from tunneld.policy.clouds import CLOUDS, canonical_cloud

GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ALL_USERS, ALL_APPLICATIONS = "AllUsers", "AllApplications"
SUITES = ("Office365", "AllMicrosoftApps")
_RESERVED = {word.lower(): word for word in (ALL_USERS, ALL_APPLICATIONS, *SUITES)}

Word = TypeVar("Word", bound=StrEnum)


class TargetType(StrEnum):
    """Graph's `crossTenantAccessPolicyTargetType`."""

    USER = "user"
    GROUP = "group"
    APPLICATION = "application"


class Primary(StrEnum):
    """An identity provider that an invitation may be redeemed with."""

    ENTRA = "azureActiveDirectory"
    FEDERATION = "externalFederation"
    SOCIAL = "socialIdentityProviders"


class Fallback(StrEnum):
    """What is left when no primary one fits."""

    CONFIGURED = "defaultConfiguredIdp"
    PASSCODE = "emailOneTimePasscode"
    PERSONAL = "microsoftAccount"


class TemplateLevel(StrEnum):
    """Graph's `templateApplicationLevel`, a set of flags written as one word or two."""

    NONE = "none"
    NEW = "newPartners"
    EXISTING = "existingPartners"
    BOTH = "newPartners,existingPartners"


def any_case(words: type[Word]) -> BeforeValidator:
    """Return a validator that finds a word of an enumeration whatever its case, the blanks, and the order of flags."""
    known = {_folded(word.value): word for word in words}

    def find(value: object) -> object:
        return known.get(_folded(value), value) if isinstance(value, str) else value

    return BeforeValidator(find)


def _folded(text: str) -> str:
    return ",".join(sorted(flag.strip().lower() for flag in text.split(",")))


def _guid(text: str) -> str:
    lowered = text.strip().lower()
    if not GUID.fullmatch(lowered):
        raise ValueError("not a GUID such as 0a4c1d7e-52f3-4f0b-8a6e-3d9b7c15e284")
    return lowered


def _target(text: str) -> str:
    stripped = text.strip().lower()
    if stripped in _RESERVED:
        return _RESERVED[stripped]
    if not GUID.fullmatch(stripped):
        raise ValueError(f"neither an object id nor one of {', '.join(_RESERVED.values())}")
    return stripped


def _cloud(text: str) -> str:
    cloud = canonical_cloud(text)
    if cloud not in CLOUDS:
        raise ValueError(f"not one of {', '.join(CLOUDS)}")
    return cloud


Guid = Annotated[str, StringConstraints(max_length=64), AfterValidator(_guid)]
TargetName = Annotated[str, StringConstraints(max_length=64), AfterValidator(_target)]
Cloud = Annotated[str, StringConstraints(max_length=64), AfterValidator(_cloud)]
# The directory's limit of a display name (Microsoft Graph reference: policyBase, displayName of directory objects).
DisplayName = Annotated[str, StringConstraints(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
