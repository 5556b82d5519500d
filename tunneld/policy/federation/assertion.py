"""A verified SAML assertion as values: version 2.0 (SAML core) and 1.1 (inside WS-Federation), one shape for both."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

from tunneld.policy.federation.signed_assertion import SAML1, SAML2
from tunneld.policy.federation.vouched import FederationError
from tunneld.policy.federation.xml_document import Element, children, only_child, text_of

EMAIL = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress"
NAMES = (
    "http://schemas.microsoft.com/identity/claims/displayname", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
    "displayName",
)
IMMUTABLE_ID = "http://schemas.microsoft.com/LiveID/Federation/2008/05/ImmutableID"
METHODS = "http://schemas.microsoft.com/claims/authnmethodsreferences"
# Microsoft Learn, "Federated identity provider satisfies MFA": the value by which a provider says that it did.
MULTIPLE = "http://schemas.microsoft.com/claims/multipleauthn"
MAX_ATTRIBUTES = 400

_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]{1,9})?Z")


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A bearer subject confirmation (SAML profiles §4.1.4.2)."""

    recipient: str
    not_on_or_after: int
    in_response_to: str
    not_before: int | None = None


@dataclass(frozen=True, slots=True)
class Assertion:
    """What an assertion says. Times are seconds since the epoch; `attributes` holds every value of every name."""

    id: str
    issuer: str
    subject: str
    subject_format: str
    audiences: tuple[str, ...]
    not_before: int
    not_on_or_after: int
    confirmations: tuple[Confirmation, ...]
    authenticated_at: int
    contexts: tuple[str, ...]
    attributes: dict[str, tuple[str, ...]]

    def one(self, name: str) -> str:
        """Return the value of an attribute that may have one value only. Raises FederationError("attribute")."""
        values = self.attributes.get(name, ())
        if len(values) > 1:
            raise FederationError("attribute", "two values where one is needed")
        return values[0] if values else ""

    @property
    def display_name(self) -> str:
        return next((self.attributes[name][0] for name in NAMES if name in self.attributes), "")

    @property
    def multi_factor(self) -> bool:
        """Tell whether the provider says that it asked for a second factor."""
        return MULTIPLE in self.contexts or MULTIPLE in self.attributes.get(METHODS, ())


def read_assertion(node: Element) -> Assertion:
    """Return the values of a verified assertion of either version. Raises FederationError."""
    return _read_2(node) if node.tag == f"{{{SAML2}}}Assertion" else _read_1(node)


def seconds(text: str | None, rule: str) -> int:
    """Return an instant in UTC as seconds (SAML core §1.3.3: no other time zone). Raises FederationError(rule)."""
    match = _DATE.fullmatch(text or "")
    if match is None:
        raise FederationError(rule, "not a time in UTC")
    try:
        when = datetime.datetime.fromisoformat(match[1]).replace(tzinfo=datetime.UTC)
    except ValueError:
        raise FederationError(rule, "not a time") from None
    return int(when.timestamp())


def _read_2(node: Element) -> Assertion:
    if node.get("Version") != "2.0":
        raise FederationError("version", "not SAML 2.0")
    subject = only_child(node, f"{{{SAML2}}}Subject", "subject")
    name = only_child(subject, f"{{{SAML2}}}NameID", "subject")
    conditions = only_child(node, f"{{{SAML2}}}Conditions", "conditions")
    statement = only_child(node, f"{{{SAML2}}}AuthnStatement", "authentication")
    context = only_child(statement, f"{{{SAML2}}}AuthnContext", "authentication")
    references = children(context, f"{{{SAML2}}}AuthnContextClassRef")
    return Assertion(
        id=_id(node, "ID"),
        issuer=text_of(only_child(node, f"{{{SAML2}}}Issuer", "issuer"), "issuer", limit=1024),
        subject=text_of(name, "subject"),
        subject_format=name.get("Format", ""),
        audiences=_audiences(conditions, f"{{{SAML2}}}AudienceRestriction", f"{{{SAML2}}}Audience"),
        not_before=seconds(conditions.get("NotBefore"), "conditions"),
        not_on_or_after=seconds(conditions.get("NotOnOrAfter"), "conditions"),
        confirmations=_confirmations(subject),
        authenticated_at=seconds(statement.get("AuthnInstant"), "authentication"),
        contexts=tuple(text_of(each, "authentication", limit=1024) for each in references),
        attributes=_attributes(node, SAML2, "Name", None),
    )


def _read_1(node: Element) -> Assertion:
    if (node.get("MajorVersion"), node.get("MinorVersion")) != ("1", "1"):
        raise FederationError("version", "not SAML 1.1")
    conditions = only_child(node, f"{{{SAML1}}}Conditions", "conditions")
    statement = only_child(node, f"{{{SAML1}}}AuthenticationStatement", "authentication")
    subject = only_child(statement, f"{{{SAML1}}}Subject", "subject")
    name = only_child(subject, f"{{{SAML1}}}NameIdentifier", "subject")
    return Assertion(
        id=_id(node, "AssertionID"),
        issuer=node.get("Issuer", ""),
        subject=text_of(name, "subject"),
        subject_format=name.get("Format", ""),
        audiences=_audiences(conditions, f"{{{SAML1}}}AudienceRestrictionCondition", f"{{{SAML1}}}Audience"),
        not_before=seconds(conditions.get("NotBefore"), "conditions"),
        not_on_or_after=seconds(conditions.get("NotOnOrAfter"), "conditions"),
        confirmations=(),
        authenticated_at=seconds(statement.get("AuthenticationInstant"), "authentication"),
        contexts=(statement.get("AuthenticationMethod", ""),),
        attributes=_attributes(node, SAML1, "AttributeName", "AttributeNamespace"),
    )


def _id(node: Element, name: str) -> str:
    value: str = node.get(name, "")
    if not 1 <= len(value) <= 256:
        raise FederationError("version", "the assertion has no usable id")
    return value


def _audiences(conditions: Element, restriction: str, audience: str) -> tuple[str, ...]:
    """Every restriction has to name us (SAML core §2.5.1.4), so there may be one only."""
    found = only_child(conditions, restriction, "audience")
    return tuple(text_of(each, "audience", limit=1024) for each in children(found, audience))


def _confirmations(subject: Element) -> tuple[Confirmation, ...]:
    found = []
    for each in children(subject, f"{{{SAML2}}}SubjectConfirmation"):
        if each.get("Method") != "urn:oasis:names:tc:SAML:2.0:cm:bearer":
            continue
        detail = only_child(each, f"{{{SAML2}}}SubjectConfirmationData", "confirmation")
        before = detail.get("NotBefore")
        found.append(
            Confirmation(
                detail.get("Recipient", ""), seconds(detail.get("NotOnOrAfter"), "confirmation"),
                detail.get("InResponseTo", ""), seconds(before, "confirmation") if before is not None else None,
            )
        )
    return tuple(found)


def _attributes(node: Element, namespace: str, name: str, prefix: str | None) -> dict[str, tuple[str, ...]]:
    """Return all attributes; in version 1.1 a name is its namespace, a slash, and the name in it."""
    found: dict[str, tuple[str, ...]] = {}
    for statement in children(node, f"{{{namespace}}}AttributeStatement"):
        for attribute in children(statement, f"{{{namespace}}}Attribute"):
            full = attribute.get(name, "")
            if prefix is not None and attribute.get(prefix):
                full = f"{attribute.get(prefix)}/{full}"
            values = children(attribute, f"{{{namespace}}}AttributeValue")
            texts = tuple(text_of(value, "attribute", limit=4096) for value in values if len(value) or value.text)
            found[full] = (*found.get(full, ()), *texts)
            if len(found) > MAX_ATTRIBUTES:
                raise FederationError("attribute", "too many attributes")
    return found
