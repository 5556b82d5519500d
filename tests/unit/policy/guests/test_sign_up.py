"""Self-service sign-up: what is collected, and what a connector's answer means."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from tests.unit.policy.documents import RESOURCE, document, link
from tunneld.policy.directory import Directory
from tunneld.policy.guests.sign_up import (
    MAX_USER_MESSAGE,
    MAX_VALUE,
    ApiConnector,
    Blocked,
    Continue,
    Mistake,
    UserFlow,
    collect,
    connector_request,
    read_connector_answer,
)
from tunneld.policy.kinds import KINDS
from tunneld.policy.objects import Change, Conflict, ObjectRef
from tunneld.policy.overlay import change_directory

CONNECTOR = "12121212-0000-4000-8000-000000000001"
FLOW = UserFlow.model_validate({
    "id": "B2X_1_Partners",
    "userAttributeAssignments": [
        {"id": "displayName"},
        {"id": "city", "displayName": "Town", "isOptional": True},
        {"id": "country", "userInputType": "dropdownSingleSelect",
         "userAttributeValues": [{"name": "Norway", "value": "NO"}, {"name": "Chile", "value": "CL"}]},
    ],
})


@pytest.mark.parametrize(
    ("fields", "values", "wrong"),
    [
        ({"displayName": " Ann ", "city": "Oslo", "country": "NO"},
         {"displayName": "Ann", "city": "Oslo", "country": "NO"}, {}),
        ({"displayName": "Ann", "country": "CL", "jobTitle": "not asked"}, {"displayName": "Ann", "country": "CL"}, {}),
        ({"country": "NO"}, {"country": "NO"}, {"displayName": "Display name is needed."}),
        ({"displayName": "   ", "country": "NO"}, {"country": "NO"}, {"displayName": "Display name is needed."}),
        ({"displayName": "A", "country": "Norway"}, {"displayName": "A"},
         {"country": "Country or region is not one of the choices."}),
        ({"displayName": "A", "country": "NO", "city": "x" * (MAX_VALUE + 1)}, {"displayName": "A", "country": "NO"},
         {"city": "Town is longer than 256 characters."}),
        ({"displayName": "A" * MAX_VALUE, "country": "NO"}, {"displayName": "A" * MAX_VALUE, "country": "NO"}, {}),
    ],
)
def test_a_page_is_read(fields: dict[str, str], values: dict[str, str], wrong: dict[str, str]) -> None:
    assert collect(FLOW, {f"attribute_{name}": value for name, value in fields.items()}) == (values, wrong)


def test_a_connector_is_told_what_was_collected() -> None:
    body = json.loads(connector_request("ann@p.example", {"city": "Oslo"}, step="PostAttributeCollection",
                                        client_id="c"))
    assert body == {
        "email": "ann@p.example", "displayName": "ann", "city": "Oslo", "step": "PostAttributeCollection",
        "client_id": "c", "ui_locales": "en-US",
    }
    body = json.loads(connector_request("ann@p.example", {"displayName": "Ann Ø"}, step="s", client_id="c"))
    assert body["displayName"] == "Ann Ø"


def answer(**members: Any) -> bytes:
    return json.dumps({"version": "1.0.0", **members}).encode()


@pytest.mark.parametrize(
    ("status", "body", "meaning"),
    [
        (200, answer(action="Continue"), Continue({})),
        (200, answer(action="Continue", city=" Bergen ", jobTitle="no", isAdmin=True), Continue({"city": "Bergen"})),
        (200, answer(action="Continue", city=None, displayName=7), Continue({})),
        (400, answer(action="ValidationError", status=400, userMessage="Wrong number."), Mistake("Wrong number.")),
        (200, answer(action="ShowBlockPage", userMessage="You are on hold."), Blocked("You are on hold.")),
    ],
)
def test_a_documented_answer(status: int, body: bytes, meaning: object) -> None:
    assert read_connector_answer(status, body, {"city", "displayName"}) == meaning


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, answer(action="Continue")),
        (302, answer(action="Continue")),
        (200, b""), (200, b"[]"), (200, b"null"), (200, b"\xff"), (200, b"[" * 100_000), (200, b"<html>"),
        (200, json.dumps({"action": "Continue"}).encode()),
        (200, json.dumps({"version": "2.0.0", "action": "Continue"}).encode()),
        (200, answer()), (200, answer(action="continue")), (200, answer(action=["Continue"])),
        (200, answer(action="Continue", city="x" * (MAX_VALUE + 1))),
        (200, answer(action="Continue", city="Oslo\r\nBcc: x")),
        (200, answer(action="ValidationError", status=400, userMessage="no")),
        (400, answer(action="ValidationError", userMessage="no")),
        (400, answer(action="ValidationError", status="400", userMessage="no")),
        (400, answer(action="ValidationError", status=400)),
        (400, answer(action="ValidationError", status=400, userMessage="")),
        (200, answer(action="ShowBlockPage", userMessage={"a": 1})),
        (200, answer(action="ShowBlockPage", userMessage="x" * (MAX_USER_MESSAGE + 1))),
        (400, answer(action="ShowBlockPage", userMessage="no")),
    ],
)
def test_any_other_answer_signs_nobody_up(status: int, body: bytes) -> None:
    meaning = read_connector_answer(status, body, {"city"})
    assert isinstance(meaning, Blocked)
    assert meaning.failure
    assert meaning.sentence == "The sign-up cannot be completed now. Try again later."


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://api.partner.example/check", True), ("https://127.0.0.1:8080/x", True), ("http://[::1]/x", False),
        ("http://localhost/x", False), ("http://api.partner.example/", False), ("ftp://127.0.0.1/", False),
        ("https://user:pw@api.example/", False), ("https:///x", False), ("/x", False), ("https://a b/", False),
        ("https://api.example:99999/", False), ("https://äpi.example/", False), ("https://[::1/", False),
    ],
)
def test_where_a_connector_may_be(url: str, good: bool) -> None:
    body = {"id": CONNECTOR, "displayName": "Check", "targetUrl": url}
    if good:
        assert ApiConnector.model_validate(body).target_url == url
    else:
        with pytest.raises(ValidationError):
            ApiConnector.model_validate(body)


@pytest.fixture(scope="module")
def directory() -> Directory:
    value = ApiConnector(id=CONNECTOR, display_name="Check", target_url="https://api.example/")
    changed = change_directory(link(document()), [Change(ObjectRef(RESOURCE, "apiConnector", CONNECTOR), value)])
    assert isinstance(changed, Directory)
    return changed


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({}, None),
        ({"apiConnectorConfiguration": {"postAttributeCollection": {"id": CONNECTOR}}}, None),
        ({"apiConnectorConfiguration": {"postFederationSignup": {"id": RESOURCE}}}, "unknownConnector"),
        ({"userAttributeAssignments": [{"id": "city"}, {"id": "city"}]}, "attributeTwice"),
        ({"userAttributeAssignments": [{"id": "city", "userInputType": "dropdownSingleSelect"}]}, "choicesMissing"),
        ({"userAttributeAssignments": [{"id": "city", "userAttributeValues": [{"name": "a", "value": "a"}]}]},
         "choicesMissing"),
    ],
)
def test_contradictions_of_a_flow(directory: Directory, changes: dict[str, Any], rule: str | None) -> None:
    value = KINDS["userFlow"].model.model_validate({"id": "B2X_1_F", **changes})
    outcome = change_directory(directory, [Change(ObjectRef(RESOURCE, "userFlow", "b2x_1_f"), value)])
    assert (outcome.rule if isinstance(outcome, Conflict) else None) == rule


def test_a_connector_that_a_flow_asks_stays(directory: Directory) -> None:
    using = {"id": "B2X_1_F", "apiConnectorConfiguration": {"postFederationSignup": {"id": CONNECTOR}}}
    flow, connector = ObjectRef(RESOURCE, "userFlow", "b2x_1_f"), ObjectRef(RESOURCE, "apiConnector", CONNECTOR)
    used = change_directory(directory, [Change(flow, KINDS["userFlow"].model.model_validate(using))])
    assert isinstance(used, Directory)
    conflict = change_directory(used, [Change(connector, None)])
    assert isinstance(conflict, Conflict)
    assert (conflict.rule, conflict.status) == ("connectorInUse", 409)
    assert isinstance(change_directory(used, [Change(connector, None), Change(flow, None)]), Directory)
    assert isinstance(change_directory(directory, [Change(connector, None)]), Directory)
