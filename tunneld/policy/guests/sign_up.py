"""Self-service sign-up: which attributes a flow collects, and what an API connector's answer means.

Microsoft Graph reference: b2xIdentityUserFlow, identityUserFlowAttributeAssignment, identityApiConnector. Microsoft
Entra External ID: add an API connector to a user flow (request and response forms).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, StringConstraints

from tunneld.policy.directory import Directory
from tunneld.policy.guests.invitation_object import MAX_URL, Line
from tunneld.policy.guests.settings_objects import Guid
from tunneld.policy.objects import Conflict, GraphObject, ObjectKind

MAX_VALUE = 256  # characters of one attribute: what the directory keeps of a string property
MAX_USER_MESSAGE = 1_000  # characters of a connector's sentence that a page shows: a choice
API_VERSION = "1.0.0"

# The built-in attributes that a flow may collect (Microsoft Graph reference: identityUserFlowAttribute).
ATTRIBUTES: Mapping[str, str] = {
    "displayName": "Display name", "givenName": "Given name", "surname": "Surname", "jobTitle": "Job title",
    "department": "Department", "companyName": "Company", "streetAddress": "Street address", "city": "City",
    "postalCode": "Postal code", "state": "State or province", "country": "Country or region",
    "mobilePhone": "Mobile phone", "employeeId": "Employee id",
}


def _connector_url(text: str) -> str:
    parts = urlsplit(text)
    if not text.isascii() or any(character <= " " for character in text) or not parts.hostname or "@" in parts.netloc:
        raise ValueError("not an absolute URL in ASCII without credentials")
    _ = parts.port  # raises ValueError beyond 65535
    if parts.scheme != "https":
        raise ValueError("https only")
    return text


class ApiConnector(GraphObject):
    """`/identity/apiConnectors/{id}`: an HTTP endpoint that is asked before somebody is signed up."""

    id: Guid
    display_name: Line
    target_url: Annotated[str, StringConstraints(max_length=MAX_URL), AfterValidator(_connector_url)]


class AttributeValue(GraphObject):
    """One choice of a drop-down list."""

    name: Line
    value: Line
    is_default: bool = False


class AttributeAssignment(GraphObject):
    """One field of the page."""

    id: Literal[
        "displayName", "givenName", "surname", "jobTitle", "department", "companyName", "streetAddress", "city",
        "postalCode", "state", "country", "mobilePhone", "employeeId",
    ]
    display_name: Line | None = None
    is_optional: bool = False
    user_input_type: Literal["textBox", "dropdownSingleSelect"] = "textBox"
    user_attribute_values: tuple[AttributeValue, ...] = ()

    @property
    def label(self) -> str:
        return self.display_name or ATTRIBUTES[self.id]


class ConnectorReference(GraphObject):
    """A connector by its id."""

    id: Guid


class ConnectorConfiguration(GraphObject):
    """At which steps connectors are asked: before and after the attributes are collected."""

    post_federation_signup: ConnectorReference | None = None
    post_attribute_collection: ConnectorReference | None = None


class UserFlow(GraphObject):
    """`/identity/b2xUserFlows/{id}`; the API keeps keys in lower case."""

    id: Annotated[str, StringConstraints(pattern=r"^[Bb]2[Xx]_1_[A-Za-z0-9_-]{1,64}$")]
    user_flow_type: Literal["signUpOrSignIn"] = "signUpOrSignIn"
    user_flow_type_version: Literal[1] = 1
    user_attribute_assignments: tuple[AttributeAssignment, ...] = ()
    api_connector_configuration: ConnectorConfiguration = ConnectorConfiguration()


def collect(flow: UserFlow, fields: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return what a filled-in page says, and by attribute what is wrong with it."""
    values: dict[str, str] = {}
    wrong: dict[str, str] = {}
    for assignment in flow.user_attribute_assignments:
        value = fields.get(f"attribute_{assignment.id}", "").strip()
        if not value:
            if not assignment.is_optional:
                wrong[assignment.id] = f"{assignment.label} is needed."
        elif len(value) > MAX_VALUE:
            wrong[assignment.id] = f"{assignment.label} is longer than {MAX_VALUE} characters."
        elif assignment.user_input_type == "dropdownSingleSelect" and value not in {
            choice.value for choice in assignment.user_attribute_values
        }:
            wrong[assignment.id] = f"{assignment.label} is not one of the choices."
        else:
            values[assignment.id] = value
    return values, wrong


@dataclass(frozen=True, slots=True)
class Continue:
    """Go on; `values` take the place of what was typed, for attributes that the flow collects."""

    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Mistake:
    """ValidationError: show the page again with the connector's sentence."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Blocked:
    """ShowBlockPage, or an answer that nobody can act on: nobody is signed up."""

    sentence: str
    failure: str = ""  # for the audit log: what was wrong with the answer


ConnectorAnswer = Continue | Mistake | Blocked
_BROKEN = "The sign-up cannot be completed now. Try again later."


def connector_request(
    address: str, values: Mapping[str, str], *, step: str, client_id: str, locale: str = "en-US"
) -> bytes:
    """Return the JSON body that a connector is sent."""
    body: dict[str, Any] = {"email": address, "displayName": values.get("displayName", address.partition("@")[0])}
    body |= values
    body |= {"step": step, "client_id": client_id, "ui_locales": locale}
    return json.dumps(body).encode("ascii")


def read_connector_answer(status: int, body: bytes, wanted: Collection[str]) -> ConnectorAnswer:
    """Return what an answer means. Whatever is not documented blocks, since a check that failed is no check passed."""
    answer = _object(body)
    action = answer.get("action") if answer is not None else None
    if answer is None or answer.get("version") != API_VERSION:
        return Blocked(_BROKEN, f"status {status}, no JSON object of version {API_VERSION}")
    if action == "Continue" and status == 200:
        values = {name: value.strip() for name, value in answer.items() if name in wanted and isinstance(value, str)}
        if any(len(value) > MAX_VALUE or not value.isprintable() for value in values.values()):
            return Blocked(_BROKEN, "a value that cannot be kept")
        return Continue(values)
    sentence = answer.get("userMessage")
    if not isinstance(sentence, str) or not sentence or len(sentence) > MAX_USER_MESSAGE:
        return Blocked(_BROKEN, f"status {status}, action without a usable userMessage")
    # The product sends ValidationError with status 400, in the line and in the body.
    if action == "ValidationError" and status == 400 and answer.get("status") == 400:
        return Mistake(sentence)
    if action == "ShowBlockPage" and status == 200:
        return Blocked(sentence)
    return Blocked(_BROKEN, f"status {status}, an action that does not belong to it")


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _put(directory: Directory, tenant_id: str, values: Mapping[str, GraphObject | None]) -> Directory:
    """Flows and connectors are read where they are used."""
    del tenant_id, values
    return directory


def _check_flow(directory: Directory, tenant_id: str, value: GraphObject) -> Conflict | None:
    assert isinstance(value, UserFlow)
    tenant = directory.tenants[tenant_id]
    ids = [assignment.id for assignment in value.user_attribute_assignments]
    if len(ids) != len(set(ids)):
        return Conflict("attributeTwice", "An attribute is collected twice.", "Leave one.", "userAttributeAssignments")
    for assignment in value.user_attribute_assignments:
        if (assignment.user_input_type == "dropdownSingleSelect") is not bool(assignment.user_attribute_values):
            message = f"{assignment.id}: a drop-down list has choices, and a text box has none."
            mend = "Set userInputType or userAttributeValues."
            return Conflict("choicesMissing", message, mend, "userAttributeAssignments")
    configuration = value.api_connector_configuration
    for reference in (configuration.post_federation_signup, configuration.post_attribute_collection):
        if reference is not None and tenant.object("apiConnector", reference.id) is None:
            message = f"There is no API connector {reference.id}."
            return Conflict("unknownConnector", message, "Create the connector first.", "apiConnectorConfiguration")
    return None


def _connector_is_free(directory: Directory, tenant_id: str, object_id: str) -> Conflict | None:
    for flow in directory.tenants[tenant_id].objects.get("userFlow", {}).values():
        assert isinstance(flow, UserFlow)
        configuration = flow.api_connector_configuration
        used = (configuration.post_federation_signup, configuration.post_attribute_collection)
        if any(reference is not None and reference.id == object_id for reference in used):
            message = f"The user flow {flow.id} asks this connector."
            return Conflict("connectorInUse", message, "Take it out of the flow first.", status=409)
    return None


API_CONNECTOR = ObjectKind("apiConnector", ApiConnector, _put, check_delete=_connector_is_free)
USER_FLOW = ObjectKind("userFlow", UserFlow, _put, _check_flow)
