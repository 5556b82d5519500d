"""The directory document as written by hand: TOML or JSON, its shape checked field by field with pydantic."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from tunneld.model.errors import DocumentError
from tunneld.model.strict_json import unique_members
from tunneld.model.verdict import Channel
from tunneld.policy.passwords import parse_hash

MAX_DOCUMENT = 16 * 1024 * 1024  # 50,000 users fit; a larger file is a mistake, not a directory


_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def _checked_hash(encoded: str) -> str:
    parse_hash(encoded)
    return encoded


def _ascending(bounds: tuple[int, int]) -> tuple[int, int]:
    if bounds[0] > bounds[1]:
        raise ValueError("the shortest lifetime comes first")
    return bounds


def _guid(text: str) -> str:
    if not _GUID.fullmatch(text):
        raise ValueError("not a GUID such as 0a4c1d7e-52f3-4f0b-8a6e-3d9b7c15e284")
    return text.lower()


Guid = Annotated[str, AfterValidator(_guid)]
ShortName = Annotated[str, StringConstraints(to_lower=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,62}$")]
Domain = Annotated[str, StringConstraints(to_lower=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$")]
Upn = Annotated[str, StringConstraints(to_lower=True, pattern=r"^[^@\s\x00-\x1f]{1,64}@[A-Za-z0-9.-]{1,253}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
Reference = Annotated[str, StringConstraints(min_length=1, max_length=256, to_lower=True)]
Cloud = Literal["microsoftonline.com", "microsoftonline.us", "partner.microsoftonline.cn", "microsoftonline.cn"]
PasswordHash = Annotated[str, AfterValidator(_checked_hash)]
# 28 hours: the longest access token that Microsoft Entra issues; verifiers refuse more.
Seconds = Annotated[int, Field(ge=1, le=28 * 3600)]
Lifetime = Annotated[tuple[Seconds, Seconds], AfterValidator(_ascending)]


class Section(BaseModel):
    """A table of the document: unknown keys are mistakes, values are never coerced silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=False)


class AssignmentsSection(Section):
    """Who has it: users by object id or UPN, groups by id or name, user types."""

    users: tuple[Reference, ...] = ()
    groups: tuple[Reference, ...] = ()
    user_types: tuple[Literal["member", "guest"], ...] = ()


class ApplicationSection(Section):
    """A private application; its id is the audience of app tokens."""

    id: Guid
    name: Text
    assignments: AssignmentsSection = AssignmentsSection()


class GroupSection(Section):
    """A group. Its members are listed at the users."""

    id: Guid
    name: Text


class HomeSection(Section):
    """The home object of an account of another organization: tenant by id, name or domain, and object id or UPN."""

    tenant: Reference
    oid: Reference


class ExternalSection(Section):
    """A credential that no tenant holds: whose it is, and the name that the issuer gives."""

    way: Literal["mail", "federation", "social", "personal"]
    issuer: Text
    subject: Text


class UserSection(Section):
    """A user object: with a password of its own, with a home in another tenant, or with a credential outside."""

    oid: Guid
    upn: Upn
    display_name: Text
    user_type: Literal["member", "guest"] = "member"
    password_hash: PasswordHash | None = Field(default=None, repr=False)
    home: HomeSection | None = None
    external: ExternalSection | None = None
    groups: tuple[Reference, ...] = ()
    state: Literal["active", "disabled", "pending"] = "active"
    roles: tuple[Text, ...] = ()  # names or ids of built-in roles, held over the whole tenant
    mail: Text | None = None
    other_mails: tuple[Text, ...] = ()
    attributes: dict[Text, Text] = {}  # department, jobTitle, … by Graph's name


class TenantSection(Section):
    """One organization."""

    id: Guid
    name: ShortName
    display_name: Text
    domains: tuple[Domain, ...] = ()
    token_lifetime: Lifetime | None = None
    ca_certificate: str | None = None
    ca_key: str | None = None
    forwarding_profiles: tuple[str, ...] = ()
    channels: dict[Channel, Guid] = {}
    consent_required: bool = False
    withdrawn_keys: tuple[str, ...] = ()
    applications: tuple[ApplicationSection, ...] = ()
    groups: tuple[GroupSection, ...] = ()
    users: tuple[UserSection, ...] = ()
    cloud: Cloud = "microsoftonline.com"
    has_p1: bool = True
    objects: dict[str, tuple[dict[str, Any], ...]] = {}  # by kind, each as the admin API would be sent it


class ClientSection(Section):
    """A further public client application besides the daemon."""

    id: Guid
    name: Text
    redirect_uris: tuple[str, ...] = ()


class DirectoryDocument(Section):
    """The whole document."""

    tenants: tuple[TenantSection, ...]
    clients: tuple[ClientSection, ...] = ()


Model = TypeVar("Model", bound=BaseModel)


def read_document(model: type[Model], text: str, *, where: str) -> Model:
    """Parse `text` (JSON when it begins with a brace, else TOML) into `model`. Raises DocumentError with the place."""
    if len(text) > MAX_DOCUMENT:
        raise DocumentError(where, "", f"larger than {MAX_DOCUMENT} characters")
    raw = _parse_json(text, where) if text.lstrip().startswith("{") else _parse_toml(text, where)
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        message = first["msg"].removeprefix("Value error, ")
        raise DocumentError(where, place(first["loc"]), message, _mend(error.error_count())) from None


def read_directory(text: str, *, where: str) -> DirectoryDocument:
    """Parse a directory document. Names in it are not resolved yet: `directory_links.py` does that."""
    return read_document(DirectoryDocument, text, where=where)


def place(parts: tuple[int | str, ...]) -> str:
    """Return the path of a value as a reader would write it: ``tenants[0].users[2].upn``."""
    text = ""
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def _mend(problems: int) -> str:
    return f"and {problems - 1} more problem{'s' if problems > 2 else ''}" if problems > 1 else ""


def _parse_json(text: str, where: str) -> Any:  # a parsed document has any shape until pydantic has judged it
    try:
        return json.loads(text, object_pairs_hook=unique_members)
    except json.JSONDecodeError as error:
        raise DocumentError(where, f"line {error.lineno}", error.msg, "the document is not JSON") from None
    except (ValueError, RecursionError) as error:
        raise DocumentError(where, "", str(error)) from None


def _parse_toml(text: str, where: str) -> Any:  # as above
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise DocumentError(where, "", str(error), "the document is not TOML") from None
