"""An edge demands an authentication context: the daemon asks the real provider for it, and the user for a page."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.client.conftest import Machine
from tests.integration.idp.factors import MFA, policy
from tests.integration.idp.world import CONTOSO, PRIVATE, WIKI, claims, directory
from tunneld.client.ports import Denied
from tunneld.model.reasons import Reason
from tunneld.policy.claims_challenge import step_up_challenge

C1 = step_up_challenge("c1")
FOR_C1 = {"applications": {"includeAuthenticationContextClassReferences": ["c1"]}}


@pytest.fixture
async def guarded(machine: Machine) -> Machine:
    """Contoso publishes c1, and demands a second factor for it."""
    document = directory()
    document["tenants"][0]["objects"] = {
        "authenticationContextClassReference": [{"id": "c1", "displayName": "Strong", "isAvailable": True}],
        "conditionalAccessPolicy": [policy(1, grant=MFA, conditions=FOR_C1)],
    }
    machine.world.write_directory(document)
    assert machine.world.provider is not None
    assert await machine.world.provider.refresh()
    await machine.run()
    await machine.login()
    return machine


async def refused(credentials: Any, token: str, challenge: str = C1) -> Denied:
    with pytest.raises(Denied) as denied:
        await credentials.answer_challenge(WIKI, token, challenge)
    return denied.value


async def test_only_applications_are_told_that_challenges_are_understood(guarded: Machine) -> None:
    """Channels and the directory challenge nobody, and what they get stays as it was."""
    credentials = guarded.running.daemon.identity.credentials(CONTOSO)
    assert claims(await credentials.app_token(WIKI))["xms_cc"] == ["cp1"]
    assert "acrs" not in claims(await credentials.app_token(WIKI))
    assert "xms_cc" not in claims(await credentials.channel_token(PRIVATE))
    assert "xms_cc" not in claims(await credentials.directory_token())


async def test_a_step_up_opens_the_application_and_disturbs_nothing_else(guarded: Machine) -> None:
    """Refused with a page to answer; answered, the context is in the token, and in those that follow."""
    daemon = guarded.running.daemon
    credentials = daemon.identity.credentials(CONTOSO)
    channel, first = await credentials.channel_token(PRIVATE), await credentials.app_token(WIKI)
    assert (await refused(credentials, first)).reason is Reason.INTERACTION_REQUIRED
    assert daemon.status()["step_up"][0]["name"] == "Wiki"
    assert credentials.token_state(WIKI) == "interaction_required"
    requests = len(guarded.running.transport.paths)
    assert (await refused(credentials, first)).reason is Reason.INTERACTION_REQUIRED
    assert len(guarded.running.transport.paths) == requests, "a burst of flows asks once"
    result = await daemon.step_up("wiki", guarded.person())
    assert (result["reason"], result["application"], result["tenant"]) == (None, "Wiki", "contoso")
    assert await credentials.channel_token(PRIVATE) == channel
    token = claims(await credentials.app_token(WIKI))
    assert (token["acrs"], token["xms_cc"], token["cnf"]) == (["c1"], ["cp1"], claims(first)["cnf"])
    assert daemon.status()["step_up"] == []
    guarded.clock.now += (token["exp"] - token["iat"]) * 0.8
    await credentials.maintain()
    renewed = claims(await credentials.app_token(WIKI))
    assert renewed["acrs"] == ["c1"]
    assert renewed["uti"] != token["uti"]


async def test_a_session_that_is_strong_enough_steps_up_silently(guarded: Machine) -> None:
    """After one page, a new demand for the same is met without anybody noticing."""
    daemon = guarded.running.daemon
    credentials = daemon.identity.credentials(CONTOSO)
    await refused(credentials, await credentials.app_token(WIKI))
    await daemon.step_up("Wiki", guarded.person())
    credentials.demands.settle({})
    credentials.tokens._tokens.clear()
    token = await credentials.app_token(WIKI)
    asked = len(guarded.asked)
    assert claims(await credentials.answer_challenge(WIKI, token, C1))["acrs"] == ["c1"]
    assert len(guarded.asked) == asked


async def test_the_provider_sees_one_request_for_a_challenge_that_never_ends(guarded: Machine) -> None:
    """A context that nobody publishes is granted without a word: the edge would demand it for ever."""
    credentials = guarded.running.daemon.identity.credentials(CONTOSO)
    nobodys = step_up_challenge("c7")
    first = await credentials.app_token(WIKI)
    second = await credentials.answer_challenge(WIKI, first, nobodys)
    assert "acrs" not in claims(second)
    requests = len(guarded.running.transport.paths)
    for _ in range(5):
        assert (await refused(credentials, second, nobodys)).reason is Reason.INSUFFICIENT_CLAIMS
    assert len(guarded.running.transport.paths) == requests
    assert await credentials.answer_challenge(WIKI, first, nobodys) == second, "another connection had the old token"


async def test_somebody_else_at_the_page_changes_nothing(guarded: Machine) -> None:
    """Their refresh token would make every later flow theirs."""
    daemon = guarded.running.daemon
    document = directory()
    document["tenants"][0]["objects"] = {}
    document["tenants"][0]["users"][1]["groups"] = ["staff"]
    guarded.world.write_directory(document)
    assert guarded.world.provider is not None
    assert await guarded.world.provider.refresh()
    credentials = daemon.identity.credentials(CONTOSO)
    mine = credentials.refresh_token
    with pytest.raises(Denied) as denied:
        await daemon.step_up("Wiki", guarded.person(user="bob@contoso.example"))
    assert (denied.value.reason, "another account" in denied.value.detail) == (Reason.LOGIN_FAILED, True)
    assert credentials.refresh_token == mine


async def test_a_step_up_needs_an_application_and_an_account(guarded: Machine) -> None:
    daemon = guarded.running.daemon
    with pytest.raises(Denied) as denied:
        await daemon.step_up("Nothing", guarded.person())
    assert denied.value.reason is Reason.APPLICATION_NOT_ASSIGNED
    await daemon.logout()
    with pytest.raises(Denied) as denied:
        await daemon.step_up("Wiki", guarded.person())
    assert denied.value.reason is Reason.SIGNED_OUT
