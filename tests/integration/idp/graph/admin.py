"""An administrator's hands: roles given by the server itself, tokens fetched through the page, requests as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from tests.integration.idp.world import ALEX, BASE, CONTOSO, Browser, World, bearer, claims
from tunneld.idp.changes import SYSTEM, AuditEntry
from tunneld.policy.built_in_roles import BY_NAME
from tunneld.policy.directory import DIRECTORY_API
from tunneld.policy.objects import Change, GraphObject, ObjectRef
from tunneld.policy.roles import RoleAssignment

PARTNERS = "/v1.0/policies/crossTenantAccessPolicy/partners"
GLOBAL = "Global Administrator"


async def give_role(world: World, name: str, *, tenant: str = CONTOSO, oid: str = ALEX, scope: str = "/") -> None:
    """Give a user a built-in role (or a custom one by id)."""
    role = BY_NAME[name.lower()].id if name.lower() in BY_NAME else name
    key = f"{role}-{oid}{scope.replace('/', '-')}"
    value = RoleAssignment(id=key, principal_id=oid, role_definition_id=role, directory_scope_id=scope)
    await store(world, "roleAssignment", key, value, tenant=tenant)


async def store(world: World, kind: str, key: str, value: GraphObject | None, *, tenant: str = CONTOSO) -> None:
    """Write an object as the server itself."""
    assert world.provider is not None
    entry = AuditEntry("Set up", "Test", tenant, SYSTEM)
    await world.provider.commit([Change(ObjectRef(tenant, kind, key), value)], [entry], correlation_id="0" * 32)


@dataclass
class Admin:
    """One signed-in user of the API."""

    http: httpx.AsyncClient
    token: str

    @classmethod
    def mint(cls, world: World, tenant: str = CONTOSO, oid: str = ALEX, **more: Any) -> Admin:
        """Make a token by the tenant's own key, as a sign-in would."""
        provider = world.provider
        assert provider is not None
        now = provider.now()
        token = provider.keys.sign(tenant, {
            "ver": "2.0", "iss": f"{BASE}/{tenant}/v2.0", "aud": DIRECTORY_API, "tid": tenant, "oid": oid,
            "azp": "7d2f3c9e-6b1a-4e5d-9a40-1f6c8e2b5a10", "sub": oid, "uti": "u", "scp": "Directory.Read",
            "iat": now, "nbf": now, "exp": now + 3600, **more,
        })
        return cls(world.browser().http, token)

    @classmethod
    async def sign_in(
        cls, world: World, tenant: str = "contoso", user: str = "alex@contoso.example", **form: Any
    ) -> Admin:
        browser: Browser = world.browser()
        body = await browser.signed_in(tenant, user=user, **form)
        return cls(browser.http, body["access_token"])

    @property
    def claims(self) -> dict[str, Any]:
        return claims(self.token)

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.request(method, path, json=body, headers={**bearer(self.token), **named}) if (
            body is not None
        ) else await self.http.request(method, path, headers={**bearer(self.token), **named})

    async def get(self, path: str, **headers: str) -> Any:
        response = await self.send("GET", path, **headers)
        assert response.status_code == 200, (path, response.status_code, response.text)
        return response.json()

    async def audits(self, world: World) -> list[dict[str, Any]]:
        return [line for line in world.lines("audit.jsonl") if "activityDisplayName" in line]


async def administrator(
    world: World, role: str = GLOBAL, *, tenant: str = CONTOSO, oid: str = ALEX, **more: Any
) -> Admin:
    """Return a holder of a role."""
    await give_role(world, role, tenant=tenant, oid=oid)
    return Admin.mint(world, tenant, oid, **more)


def error(response: httpx.Response) -> tuple[int, str]:
    """Return status and code of a refusal in Graph's form."""
    body = response.json()["error"]
    assert body["message"]
    assert body["innerError"]["client-request-id"] == response.headers["client-request-id"]
    return response.status_code, body["code"]
