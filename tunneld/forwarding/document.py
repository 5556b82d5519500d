"""The forwarding profile as people write it: one frozen model, one JSON Schema, one loader for JSON and TOML."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from tunneld.forwarding.destinations import UnusableError
from tunneld.forwarding.faults import document_error
from tunneld.forwarding.fields import (
    AnyDestination,
    AnyPorts,
    AnySwitchPolicy,
    Count,
    DialAddress,
    EdgeName,
    Identifier,
    Label,
    Suffix,
    TenantName,
)
from tunneld.forwarding.places import Path
from tunneld.forwarding.syntax import read_source
from tunneld.model.verdict import TERMINATE, Action, Channel, Hardening, Protocol

MAX_RULES = 100_000
MAX_DESTINATIONS = 400_000  # over all rules; 100,000 rules of realistic profiles hold about 200,000
MAX_RULE_DESTINATIONS = 500  # Global Secure Access allows 500 segments in an application
MAX_RULE_PORTS = 64
MAX_ENTRIES = 10_000  # users, groups, suffixes: a directory's page sizes are far below

_STRICT = ConfigDict(extra="forbid", frozen=True)


class Assignments(BaseModel):
    """Whom the profile is for. `users` and `groups` name people, `user_types` narrows; all empty means nobody."""

    model_config = _STRICT

    users: tuple[Label, ...] = Field(default=(), max_length=MAX_ENTRIES, description="Object ids or principal names")
    groups: tuple[Label, ...] = Field(default=(), max_length=MAX_ENTRIES, description="Group ids; direct members only")
    user_types: tuple[Literal["guest", "member"], ...] = ()


class ChannelSettings(BaseModel):
    """Where the edge of one channel is and whose token opens it."""

    model_config = _STRICT

    edge: EdgeName = Field(description="host:port; the host is also the TLS server name")
    audience: Identifier | None = Field(default=None, description="Audience of the channel token")
    address: DialAddress | None = Field(
        default=None, description="address:port to dial instead of resolving the edge's name"
    )


class Application(BaseModel):
    """A private application, the unit that users are assigned to and tokens are issued for."""

    model_config = _STRICT

    id: Identifier
    name: Label
    kind: Literal["enterprise", "quick_access"] = "enterprise"
    authentication_context: Annotated[str, Field(pattern=r"^c[1-9][0-9]?$")] | None = Field(
        default=None, description="Authentication context, c1 to c99, that the application's token must have satisfied"
    )


@dataclass(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Rule:
    """Destinations, ports and protocols, and what happens to flows that go there."""

    id: Identifier
    channel: Channel
    destinations: Annotated[tuple[AnyDestination, ...], Field(min_length=1, max_length=MAX_RULE_DESTINATIONS)]
    application: Identifier | None = None
    priority: Annotated[Count, Field(ge=0, le=1_000_000)] = 1000
    ports: Annotated[tuple[AnyPorts, ...], Field(max_length=MAX_RULE_PORTS)] = ()
    protocols: Annotated[tuple[Protocol, ...], Field(min_length=1, max_length=2)] = (Protocol.TCP, Protocol.UDP)
    action: Action = Action.TUNNEL
    hardening: Hardening | None = None
    on_switch: AnySwitchPolicy = TERMINATE

    @property
    def effective_hardening(self) -> Hardening | None:
        """What holds while the edge is unreachable: as written, else block for private and bypass for the rest."""
        if self.action is not Action.TUNNEL:
            return None
        return self.hardening or (Hardening.BLOCK if self.channel is Channel.PRIVATE else Hardening.BYPASS)


class PrivateDns(BaseModel):
    """Suffixes whose names belong to the tenant and must never reach a public resolver."""

    model_config = _STRICT

    suffixes: tuple[Suffix, ...] = Field(default=(), max_length=MAX_ENTRIES)


class ProfileDocument(BaseModel):
    """A whole forwarding profile. The order of its rules carries no meaning."""

    model_config = _STRICT

    schema_version: Literal[1] = Field(alias="schema")
    id: Identifier
    tenant: TenantName
    version: Annotated[Count, Field(ge=0)]
    assignments: Assignments = Field(default_factory=lambda: Assignments())
    channels: dict[Channel, ChannelSettings] = {}
    applications: tuple[Application, ...] = Field(default=(), max_length=MAX_RULES)
    rules: tuple[Rule, ...] = Field(default=(), max_length=MAX_RULES)
    private_dns: PrivateDns = Field(default_factory=lambda: PrivateDns())

    def to_json(self) -> dict[str, Any]:
        """Return the document as JSON values, such that loading them gives an equal document."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @model_validator(mode="after")
    def _consistent(self) -> ProfileDocument:
        _unique(("applications", application.id) for application in self.applications)
        _unique(("rules", rule.id) for rule in self.rules)
        if sum(len(rule.destinations) for rule in self.rules) > MAX_DESTINATIONS:
            raise UnusableError(f"more than {MAX_DESTINATIONS:,} destinations", "split the profile", ("rules",))
        applications = {application.id for application in self.applications}
        for position, rule in enumerate(self.rules):
            _check_references(rule, ("rules", position), applications, self.channels)
        return self


def _unique(entries: Iterable[tuple[str, str]]) -> None:
    seen: dict[str, int] = {}
    for position, (section, key) in enumerate(entries):
        first = seen.setdefault(key, position)
        if first != position:
            message = f"id {key!r} is taken by {section}[{first}]"
            raise UnusableError(message, "give it an id of its own", (section, position, "id"))


def _check_references(rule: Rule, path: Path, applications: set[str], channels: dict[Channel, ChannelSettings]) -> None:
    if rule.application is not None and rule.application not in applications:
        message = f"application {rule.application!r} is not in applications"
        raise UnusableError(message, _nearest(rule.application, applications), (*path, "application"))
    if rule.action is not Action.TUNNEL:
        return
    if rule.channel not in channels:
        message = f"no channel {rule.channel.value!r} to tunnel through"
        raise UnusableError(message, f"add channels.{rule.channel.value} with its edge", (*path, "channel"))
    if rule.channel is Channel.PRIVATE and rule.application is None:
        message = "a private rule that tunnels needs an application"
        raise UnusableError(message, "name the application whose token the edge asks for", path)


def _nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known)[:1000], n=1)  # difflib is quadratic in what it is given
    return f"did you mean {close[0]!r}?" if close else "add it there, or name one that exists"


# What each section may hold, for the mend of a misspelt field.
_FIELDS = {
    "": tuple(field.alias or name for name, field in ProfileDocument.model_fields.items()),
    "assignments": tuple(Assignments.model_fields),
    "channels": tuple(ChannelSettings.model_fields),
    "applications": tuple(Application.model_fields),
    "rules": tuple(Rule.__dataclass_fields__),
    "private_dns": tuple(PrivateDns.model_fields),
}


def load_profile(text: str | bytes, *, where: str) -> ProfileDocument:
    """Return the profile that `text` holds: JSON where `where` ends in .json or it begins with a brace, else TOML.

    Raises DocumentError with the file, the path inside it, the line and the mend, in one line.
    """
    source = read_source(text, where)
    try:
        return ProfileDocument.model_validate(source.value)
    except ValidationError as error:
        raise document_error(error, source, _FIELDS) from None
