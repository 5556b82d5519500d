"""Ways into a tenant other than a guest's: direct connect, service providers, another cloud, templates. Over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.idp.factors import MFA, code_now, policy, seed_of
from tests.integration.idp.graph.admin import administrator
from tests.integration.idp.world import (
    ALEX,
    ALEX_F,
    BOB,
    CONTOSO,
    FABRIKAM,
    TAILSPIN,
    WIKI_F,
    Browser,
    World,
    answer,
    bearer,
    claims,
    directory,
    scope_of,
)
from tests.support.access_oracle import everything

OPEN = everything("allowed")
TRUST = {"isMfaAccepted": True, "isCompliantDeviceAccepted": True, "isHybridAzureADJoinedDeviceAccepted": True}
SCOPE = f"openid offline_access {scope_of(WIKI_F)}"
GOVERNMENT = "microsoftonline.us"
Body = dict[str, Any]


async def configure(world: World, *, home: Body | None = None, visited: Body | None = None, **more: Any) -> None:
    """Give both tenants a partner each, and what else is said; the visited application is for everybody."""
    document = directory()
    for index, other, body in ((0, FABRIKAM, home), (1, CONTOSO, visited)):
        objects: Body = dict(more.get("objects", {}).get(index, {}))
        if body is not None:
            objects["crossTenantAccessPartner"] = [{"tenantId": other, **body}]
        document["tenants"][index]["objects"] = objects
        if index in more.get("clouds", {}):
            document["tenants"][index]["cloud"] = more["clouds"][index]
    document["tenants"][1]["applications"][0]["assignments"] = {"user_types": ["guest", "member"]}
    world.write_directory(document)
    assert world.provider is not None
    assert await world.provider.refresh()


async def visit(browser: Browser, user: str = "bob@contoso.example") -> Any:
    return await browser.sign_in("fabrikam", user=user, scope=SCOPE)


async def with_second_factor(world: World, browser: Browser) -> dict[str, Any]:
    """Sign Bob in, registering the app at home, and return the token response."""
    page = await visit(browser)
    code = answer(await browser.submit(page, "register", code=code_now(world, seed_of(page))))["code"]
    body: dict[str, Any] = (await browser.redeem("fabrikam", code)).json()
    return body


def logged(world: World, tenant: str) -> list[dict[str, Any]]:
    return [line for line in world.lines("sign-ins.jsonl") if line["tenantId"] == tenant]


async def test_direct_connect_with_trusted_mfa(world: World, browser: Browser) -> None:
    """No object, no invitation, no consent: a token of an hour for one application, and both logs say how."""
    demand = {1: {"conditionalAccessPolicy": [policy(1, grant=MFA)]}}
    await configure(
        world, home={"b2bDirectConnectOutbound": OPEN}, objects=demand,
        visited={"b2bDirectConnectInbound": OPEN, "inboundTrust": TRUST},
    )
    tokens = await with_second_factor(world, browser)
    token = claims(tokens["access_token"])
    assert (token["aud"], token["tid"], token["exp"] - token["iat"]) == (WIKI_F, FABRIKAM, 3600)
    assert world.provider is not None
    fabrikam = world.provider.directory.tenants[FABRIKAM]
    assert token["oid"] not in {BOB, *fabrikam.users}  # an id of this tenant's own for him, and no object
    again = claims((await browser.refresh("fabrikam", tokens["refresh_token"], scope=SCOPE)).json()["access_token"])
    assert again["oid"] == token["oid"]
    for tenant in (CONTOSO, FABRIKAM):
        lines = [line for line in logged(world, tenant) if line["via"] == "code"]
        (granted,) = [line for line in lines if line["status"]["errorCode"] == 0]
        assert granted["crossTenantAccessType"] == "b2bDirectConnect"
        assert (granted["homeTenantId"], granted["resourceTenantId"]) == (CONTOSO, FABRIKAM)
    code = answer(await browser.authorize("fabrikam", prompt="none"))["code"]
    token_of_nobody = (await browser.redeem("fabrikam", code)).json()["access_token"]
    read = await browser.http.get("/v1.0/users", headers=bearer(token_of_nobody))
    assert read.status_code == 403, read.text  # the directory serves the objects that it has


async def test_direct_connect_without_trust_is_refused(world: World, browser: Browser) -> None:
    """A tenant cannot ask somebody without an object for a second factor of its own: 90071."""
    demand = {1: {"conditionalAccessPolicy": [policy(1, grant=MFA)]}}
    await configure(
        world, home={"b2bDirectConnectOutbound": OPEN}, visited={"b2bDirectConnectInbound": OPEN}, objects=demand,
    )
    refused = answer(await visit(browser))
    assert (refused["error"], refused["error_description"][:12]) == ("access_denied", "AADSTS90071:")
    for tenant in (CONTOSO, FABRIKAM):
        line = logged(world, tenant)[-1]
        assert (line["status"]["errorCode"], line["crossTenantAccessType"]) == (90071, "b2bDirectConnect")


@pytest.mark.parametrize(
    ("home", "visited"), [({"b2bDirectConnectOutbound": OPEN}, {}), ({}, {"b2bDirectConnectInbound": OPEN})]
)
async def test_direct_connect_is_mutual(world: World, browser: Browser, home: Body, visited: Body) -> None:
    """One side alone opens nothing: without an object he is a stranger."""
    await configure(world, home=home, visited=visited)
    assert "AADSTS50020:" in answer(await visit(browser))["error_description"]
    assert logged(world, FABRIKAM)[-1]["crossTenantAccessType"] == "b2bCollaboration"


async def test_a_service_provider_comes_in_unless_home_forbids_it(world: World, browser: Browser) -> None:
    """No object either, and always a second factor; the home tenant's own switch keeps its people from it."""
    await configure(world, home={}, visited={"isServiceProvider": True})
    tokens = await with_second_factor(world, browser)
    assert claims(tokens["access_token"])["tid"] == FABRIKAM
    for tenant in (CONTOSO, FABRIKAM):
        assert logged(world, tenant)[-1]["crossTenantAccessType"] == "serviceProvider"
    await configure(world, home={"blockServiceProviderOutboundAccess": True}, visited={"isServiceProvider": True})
    refused = (await browser.refresh("fabrikam", tokens["refresh_token"], scope=SCOPE)).json()
    assert refused["error_codes"] == [500212]


CLOUDS = {"crossTenantAccessPolicy": [{"allowedCloudEndpoints": [GOVERNMENT]}]}
BACK = {"crossTenantAccessPolicy": [{"allowedCloudEndpoints": ["microsoftonline.com"]}]}


@pytest.mark.parametrize(("home", "visited", "objects", "code"), [
    ({}, {}, {1: BACK}, 1000104),
    ({}, {}, {0: CLOUDS}, 90038),
    (None, {}, {0: CLOUDS, 1: BACK}, 1000104),
    ({}, None, {0: CLOUDS, 1: BACK}, 90038),
    ({}, {}, {0: CLOUDS, 1: BACK}, 0),
])
async def test_another_cloud_is_reached_when_both_said_so_twice(
    world: World, browser: Browser, home: Body | None, visited: Body | None, objects: dict[int, Body], code: int
) -> None:
    """Naming the cloud and adding the partner, on both sides; the refusal says whose word is missing."""
    opened = {"b2bCollaborationInbound": OPEN, "b2bCollaborationOutbound": OPEN}
    await configure(
        world, home=None if home is None else opened, visited=None if visited is None else opened, objects=objects,
        clouds={1: GOVERNMENT},
    )
    reply = answer(await visit(browser, "alex@contoso.example"))
    assert ("code" in reply) is (code == 0)
    if code:
        assert f"AADSTS{code}:" in reply["error_description"]


async def test_the_template_is_what_a_new_partner_of_the_organization_starts_with(world: World) -> None:
    """Multitenant organization: the template's settings become those of a partner that is marked as a member."""
    admin = await administrator(world, oid=ALEX)
    base = "/v1.0/policies/crossTenantAccessPolicy"
    template = f"{base}/templates/multiTenantOrganizationPartnerConfiguration"
    changed = await admin.send("PATCH", template, {
        "inboundTrust": TRUST, "automaticUserConsentSettings": {"inboundAllowed": True, "outboundAllowed": True},
        "templateApplicationLevel": "newPartners",
    })
    assert changed.status_code in (200, 204), changed.text
    assert (await admin.get(template))["inboundTrust"] == TRUST
    made = await admin.send("POST", f"{base}/partners", {"tenantId": TAILSPIN, "isInMultiTenantOrganization": True})
    assert made.status_code == 201, made.text
    assert world.provider is not None
    settings = world.provider.directory.tenants[CONTOSO].policy.cross_tenant
    assert settings.inbound_trust(TAILSPIN).value.mfa
    plain = await admin.send("POST", f"{base}/partners", {"tenantId": FABRIKAM})
    assert plain.status_code == 201, plain.text
    settings = world.provider.directory.tenants[CONTOSO].policy.cross_tenant
    assert not settings.inbound_trust(FABRIKAM).value.mfa
    assert ALEX_F in world.provider.directory.tenants[FABRIKAM].users
