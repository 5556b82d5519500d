"""A switch is a fresh sign-in: what a tenant has decided since is met at the switch, not when tokens end."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.client.conftest import Machine
from tests.integration.idp.graph.admin import store
from tests.integration.idp.world import ALEX_F, CONTOSO, FABRIKAM, WIKI_F
from tunneld.policy.cross_tenant.documents import AccessPartner
from tunneld.policy.directory_objects import UserObject
from tunneld.policy.views import view

NOBODY = {
    "usersAndGroups": {"accessType": "blocked", "targets": [{"target": "AllUsers", "targetType": "user"}]},
    "applications": {"accessType": "blocked", "targets": [{"target": "AllApplications", "targetType": "application"}]},
}


async def nobody(_: Any) -> None:
    raise AssertionError("nobody is there to ask")


async def block(machine: Machine, tenant: str, partner: str, member: str) -> None:
    value = AccessPartner.model_validate({"tenantId": partner, member: NOBODY})
    await store(machine.world, "crossTenantAccessPartner", partner, value, tenant=tenant)


@pytest.mark.parametrize(
    ("tenant", "partner", "member", "reason"),
    [
        (FABRIKAM, CONTOSO, "b2bCollaborationInbound", "resource_inbound"),
        (CONTOSO, FABRIKAM, "b2bCollaborationOutbound", "home_outbound"),
    ],
)
async def test_a_block_is_met_at_the_next_switch(
    machine: Machine, tenant: str, partner: str, member: str, reason: str
) -> None:
    """Valid tokens are at hand from the first visit; the second is refused all the same, and home stays."""
    running = await machine.run()
    await machine.login()
    for name in ("fabrikam", "contoso"):
        assert (await running.daemon.switch(name, nobody))["committed"]
    await block(machine, tenant, partner, member)
    before = running.daemon.live.current
    receipt = await running.daemon.switch("fabrikam", nobody)
    assert (receipt["committed"], receipt["reason"]) == (False, reason)
    assert running.daemon.live.current is before


async def test_tokens_for_applications_are_asked_for_again(machine: Machine) -> None:
    """Each is judged by itself, so none outlives the visit it was fetched in."""
    running = await machine.run()
    await machine.login()
    await running.daemon.switch("fabrikam", nobody)
    credentials = running.daemon.identity.credentials(FABRIKAM)
    first = await credentials.app_token(WIKI_F)
    await running.daemon.switch("contoso", nobody)
    await running.daemon.switch("fabrikam", nobody)
    assert await credentials.app_token(WIKI_F) != first


async def test_a_session_that_the_tenant_revoked_is_begun_anew_on_a_page(machine: Machine) -> None:
    """Silently it is refused with a page to open; the page leads in."""
    running = await machine.run()
    await machine.login()
    await running.daemon.switch("fabrikam", nobody)
    await running.daemon.switch("contoso", nobody)
    provider = machine.world.provider
    assert provider is not None
    machine.clock.now += 5
    guest = view(provider.directory, FABRIKAM, "user", ALEX_F)
    assert isinstance(guest, UserObject)
    revoked = guest.model_copy(update={"sign_in_sessions_valid_from": provider.now()})
    await store(machine.world, "user", ALEX_F, revoked, tenant=FABRIKAM)
    machine.clock.now += 5
    receipt = await running.daemon.switch("fabrikam", machine.person())
    assert (receipt["committed"], receipt["reason"]) == (True, None), receipt
    assert len(machine.asked) >= 1
