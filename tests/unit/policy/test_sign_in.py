"""The order of the sign-in decision, as a table of (what differs, first refusal)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.policy.documents import (
    ALEX,
    APP,
    BOB,
    CHANNEL,
    EVE,
    GUEST,
    HOME,
    LOCKED_APP,
    RESOURCE,
    STAFF,
    document,
    link,
    profile,
)
from tunneld.model.reasons import Reason
from tunneld.policy.conditional_access.outcome import Task
from tunneld.policy.directory import DAEMON_CLIENT, DIRECTORY_API, ENROLMENT_API, Assignments, Directory
from tunneld.policy.sign_in import Deny, Grant, PasswordProof, SessionProof, SignInRequest, evaluate

NOW = 1_000_000
RIGHT = PasswordProof(correct=True, locked=False)
WRONG = PasswordProof(correct=False, locked=False)
LOCKED = PasswordProof(correct=True, locked=True)
SESSION = SessionProof(NOW - 10, revoked=False, lifetime_s=100)
AT_HOME = SignInRequest(HOME, DAEMON_CLIENT, DIRECTORY_API, (HOME, ALEX), RIGHT)
AS_GUEST = replace(AT_HOME, tenant=RESOURCE)
PENDING_GUEST = replace(AS_GUEST, account=(HOME, BOB))


@pytest.fixture(scope="module")
def directory() -> Directory:
    return link(document(), {RESOURCE: [profile(Assignments(groups=frozenset({"staff"})))]})


@pytest.mark.parametrize(
    ("request_", "code", "step"),
    [
        (replace(AT_HOME, tenant="nowhere", client_id="x", account=None), 90002, "S0"),
        (replace(AT_HOME, client_id="x", audience="y"), 700016, "S0"),
        (replace(AT_HOME, audience=APP, account=None), 500011, "S0"),
        (replace(AT_HOME, account=None, proof=LOCKED), 50053, "S3"),
        (replace(AT_HOME, account=None), 50034, "S3"),
        (replace(AT_HOME, account=("nowhere", ALEX)), 50034, "S3"),
        (replace(AT_HOME, account=(RESOURCE, GUEST)), 50034, "S3"),
        (replace(AT_HOME, account=(HOME, EVE), proof=WRONG), 50126, "S3"),
        (replace(AT_HOME, account=(HOME, EVE)), 50057, "S3"),
        (replace(AT_HOME, proof=replace(SESSION, revoked=True)), 50173, "S3"),
        (replace(AT_HOME, proof=replace(SESSION, authenticated_at=NOW - 100)), 50173, "S3"),
        (replace(PENDING_GUEST, audience=LOCKED_APP), 50014, "S7"),
        (replace(PENDING_GUEST, audience=LOCKED_APP, consented=True), 50105, "S8"),
        (replace(AS_GUEST, audience=LOCKED_APP), 50105, "S8"),
        (replace(PENDING_GUEST, audience=CHANNEL, consented=True), 50105, "S8"),
    ],
)
def test_first_refusal_in_the_fixed_order(
    directory: Directory, request_: SignInRequest, code: int, step: str
) -> None:
    """Each request has several faults where it can; the earliest step names its own."""
    outcome = evaluate(request_, directory, NOW)
    assert isinstance(outcome, Deny)
    last, effect = outcome.trace[-1], "interrupt" if code == 50014 else "block"
    assert (outcome.code, last.step, last.effect) == (code, step, effect)
    assert outcome.refusal.description.startswith(f"AADSTS{code}: ")
    assert outcome.unproven == (step == "S3")
    assert outcome.authenticated == (step > "S3")
    assert (outcome.interaction is not None and outcome.interaction.task is Task.REDEMPTION) == (code == 50014)


@pytest.mark.parametrize(
    ("request_", "oid", "scope"),
    [
        (AT_HOME, ALEX, "Directory.Read Profile.Read"),
        (replace(AT_HOME, proof=SESSION, tenant="HOME.example"), ALEX, "Directory.Read Profile.Read"),
        (replace(AT_HOME, audience=ENROLMENT_API), ALEX, "user_impersonation"),
        (replace(AS_GUEST, audience=APP), GUEST, "user_impersonation"),
        (replace(AS_GUEST, audience=CHANNEL), GUEST, "user_impersonation"),
    ],
)
def test_grants(directory: Directory, request_: SignInRequest, oid: str, scope: str) -> None:
    """All steps pass, in their order, and the object is the one of the tenant that was asked."""
    outcome = evaluate(request_, directory, NOW)
    assert isinstance(outcome, Grant)
    assert (outcome.user.oid, outcome.home_user.oid, outcome.resource.scope) == (oid, ALEX, scope)
    assert list(dict.fromkeys(step.step for step in outcome.trace)) == [f"S{number}" for number in range(12)]
    assert {step.effect for step in outcome.trace} == {"pass"}


def test_strangers_and_disabled_guest_objects(directory: Directory) -> None:
    """No object in the tenant is 50020; a disabled one is 50057, after the person proved who they are."""
    raw = document()
    raw["tenants"][1]["users"][0]["state"] = "disabled"
    raw["tenants"][1]["users"].pop(1)
    changed = link(raw)
    for account, code in (((HOME, ALEX), 50057), ((HOME, BOB), 50020)):
        outcome = evaluate(replace(AS_GUEST, account=account), changed, NOW)
        assert isinstance(outcome, Deny)
        assert (outcome.code, outcome.trace[-1].step, outcome.authenticated) == (code, "S6", True)


def test_consent_flag_asks_guests_and_not_own_users() -> None:
    """`consent_required` is about visitors."""
    raw = document()
    for tenant in raw["tenants"]:
        tenant["consent_required"] = True
    changed = link(raw)
    assert isinstance(evaluate(AT_HOME, changed, NOW), Grant)
    outcome = evaluate(AS_GUEST, changed, NOW)
    assert isinstance(outcome, Deny)
    assert (outcome.code, outcome.reason) == (50014, Reason.INTERACTION_REQUIRED)


def test_the_two_halves_of_the_gate_have_their_own_reasons(directory: Directory) -> None:
    """Application and profile are refused with one code and two reasons."""
    application = evaluate(replace(AS_GUEST, audience=LOCKED_APP), directory, NOW)
    channel = evaluate(replace(PENDING_GUEST, audience=CHANNEL, consented=True), directory, NOW)
    assert isinstance(application, Deny)
    assert isinstance(channel, Deny)
    assert (application.reason, channel.reason) == (Reason.APPLICATION_NOT_ASSIGNED, Reason.PROFILE_NOT_ASSIGNED)


def test_channel_of_a_profile_that_is_not_the_one_in_effect() -> None:
    """The closest assignment decides; the channel of another profile gives no token."""
    other = "ffffffff-0000-4000-8000-000000000002"
    direct, everybody = Assignments(users=frozenset({GUEST})), Assignments(user_types=frozenset({"guest"}))
    changed = link(document(), {RESOURCE: [profile(everybody, "a", other), profile(direct, "b")]})
    assert isinstance(evaluate(replace(AS_GUEST, audience=CHANNEL), changed, NOW), Grant)
    assert isinstance(evaluate(replace(AS_GUEST, audience=other), changed, NOW), Deny)


def test_trace_is_the_same_for_the_same_input(directory: Directory) -> None:
    """No clock, no id, no order of a set in it."""
    assert evaluate(AS_GUEST, directory, NOW) == evaluate(AS_GUEST, directory, NOW + 5)
    assert STAFF not in repr(evaluate(AS_GUEST, directory, NOW).trace)
