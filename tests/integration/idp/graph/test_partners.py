"""Cross-tenant access settings over the API, from the request to the next token."""

from __future__ import annotations

from tests.integration.idp.graph.admin import PARTNERS, administrator, error
from tests.integration.idp.world import FABRIKAM, World

ALL_TRUSTED = {
    "inboundTrust": {
        "isMfaAccepted": True, "isCompliantDeviceAccepted": True, "isHybridAzureADJoinedDeviceAccepted": True,
    }
}


async def test_trusting_a_partner(world: World) -> None:
    """The example of every introduction works as it is written there."""
    admin = await administrator(world)
    made = await admin.send("POST", PARTNERS, {"tenantId": FABRIKAM})
    assert made.status_code == 201, made.text
    assert made.headers["location"].endswith(f"{PARTNERS}/{FABRIKAM}")
    changed = await admin.send("PATCH", f"{PARTNERS}/{FABRIKAM}", ALL_TRUSTED)
    assert (changed.status_code, changed.content) == (204, b"")
    assert (await admin.get(f"{PARTNERS}/{FABRIKAM}"))["inboundTrust"] == ALL_TRUSTED["inboundTrust"]
    assert error(await admin.send("POST", PARTNERS, {"tenantId": FABRIKAM}))[0] == 409
