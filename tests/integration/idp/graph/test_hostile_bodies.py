"""Bodies, headers and paths that nobody should send: each a refusal in Graph's form, and nothing changed."""

from __future__ import annotations

import asyncio
import json

from tests.integration.idp.graph.admin import PARTNERS, Admin, administrator, error, store
from tests.integration.idp.world import BOB, FABRIKAM, World, bearer
from tunneld.policy.cross_tenant.documents import AccessPartner

ITEM = f"{PARTNERS}/{FABRIKAM}"
JSON = "application/json"
EVERYTHING = {"accessType": "allowed", "targets": [{"target": "AllApplications", "targetType": "application"}]}


BODIES = [
    (b"", JSON, 400), (b"null", JSON, 400), (b"[]", JSON, 400), (b'"x"', JSON, 400), (b"1", JSON, 400),
    (b"{", JSON, 400), (b"{'a': 1}", JSON, 400), (b"\xff\xfe{}", JSON, 400), (b"\xef\xbb\xbf{}", JSON, 400),
    (b'{"inboundTrust": NaN}', JSON, 400), (b'{"inboundTrust": -Infinity}', JSON, 400),
    (b'{"inboundTrust": 1e999}', JSON, 400), (b'{"inboundTrust": ' + b"9" * 5000 + b"}", JSON, 400),
    (b'{"inboundTrust": null, "inboundTrust": null}', JSON, 400),
    (b'{"inboundTrust": {"isMfaAccepted": true, "isMfaAccepted": false}}', JSON, 400),
    (b'{"a":' * 40 + b"1" + b"}" * 40, JSON, 400), (b"[" * 100_000, JSON, 400), (b'{"x":' * 100_000, JSON, 400),
    (b'{"unknown": 1}', JSON, 400), (b'{"inboundTrust": {"unknown": 1}}', JSON, 400),
    (b'{"inboundTrust": "yes"}', JSON, 400), (b'{"inboundTrust": {"isMfaAccepted": "true"}}', JSON, 400),
    (b'{"inboundTrust": {"isMfaAccepted": 1}}', JSON, 400),
    (b'{"inboundTrust": {"isMfaAccepted": null}}', JSON, 400),
    (b'{"isServiceProvider": 0}', JSON, 400), (b'{"tenantId": 5}', JSON, 400),
    (b'{"tenantId": "33333333-3333-4333-8333-333333333333"}', JSON, 400),
    (b'{"b2bCollaborationInbound": {}}', JSON, 400), (b'{"b2bCollaborationInbound": []}', JSON, 400),
    (b'{"\\u0000": 1}', JSON, 400), (b'{"\\ud800": 1}', JSON, 400),
    (b'{"protectedContentSharing": "\\ud800"}', JSON, 400),
    (b'{"__proto__": {}}', JSON, 400), (b'{"' + b"x" * 100_000 + b'": 1}', JSON, 400),
    (b"{}", "text/plain", 415), (b"{}", "", 415), (b"a=b", "application/x-www-form-urlencoded", 415),
    (b"{}", "application/xml", 415), (b"{}", "application/jsonp", 415),
    (b'{"displayName": "' + b"x" * (1024 * 1024) + b'"}', JSON, 413),
]


async def test_bodies(world: World) -> None:
    """Refused with a sentence; the object stays as it was."""
    admin = await administrator(world)
    await store(world, "crossTenantAccessPartner", FABRIKAM, AccessPartner(tenant_id=FABRIKAM))
    before = await admin.get(ITEM)
    for body, content_type, status in BODIES:
        for method, path in (("PATCH", ITEM), ("PUT", f"{ITEM}/identitySynchronization")):
            headers = {**bearer(admin.token), "content-type": content_type}
            answer = await admin.http.request(method, path, content=body, headers=headers)
            assert error(answer)[0] == status, (body[:80], answer.text)
    assert await admin.get(ITEM) == before


async def test_a_body_may_be_large(world: World) -> None:
    """A policy with thousands of ids is no attack."""
    admin = await administrator(world)
    await store(world, "crossTenantAccessPartner", FABRIKAM, AccessPartner(tenant_id=FABRIKAM))
    users = [{"target": f"{n:08x}-0000-4000-8000-000000000000", "targetType": "user"} for n in range(5000)]
    setting = {
        "usersAndGroups": {"accessType": "allowed", "targets": users},
        "applications": EVERYTHING,
    }
    answer = await admin.send("PATCH", ITEM, {"b2bCollaborationInbound": setting})
    assert answer.status_code == 204, answer.text


async def test_the_fault_is_named(world: World) -> None:
    """Every faulty member with its place, the first one in front."""
    admin = await administrator(world)
    answer = await admin.send("POST", PARTNERS, {
        "tenantId": "fabrikam", "inboundTrust": {"isMfaAccepted": "no"}, "b2bCollaborationInbound": {"x": 1},
    })
    assert error(answer) == (400, "BadRequest")
    body = answer.json()["error"]
    places = {one["target"] for one in body["details"]}
    assert {"tenantId", "inboundTrust.isMfaAccepted", "b2bCollaborationInbound.x"} <= places
    assert body["target"] == body["details"][0]["target"]


async def test_a_conflict_names_its_rule_and_the_mend(world: World) -> None:
    """Well-formed and contradictory is another thing than malformed."""
    admin = await administrator(world)
    setting = {
        "usersAndGroups": {"accessType": "blocked", "targets": [{"target": "AllUsers", "targetType": "user"}]},
        "applications": EVERYTHING,
    }
    answer = await admin.send("POST", PARTNERS, {"tenantId": FABRIKAM, "b2bCollaborationInbound": setting})
    assert error(answer) == (400, "conflictingAccess")
    assert answer.json()["error"]["target"].startswith("b2bCollaborationInbound")
    assert error(await admin.send("GET", ITEM))[0] == 404, "a refused object is not there"


async def test_annotations_are_dropped(world: World) -> None:
    """What Graph clients add is no member."""
    admin = await administrator(world)
    answer = await admin.send("POST", PARTNERS, {
        "@odata.type": "#x", "tenantId": FABRIKAM, "inboundTrust@odata.type": "#y",
        "inboundTrust": {"@odata.context": "z", "isMfaAccepted": True},
    })
    assert answer.status_code == 201
    assert "@odata.type" not in answer.json()


QUERIES = [
    "$filter=", "$filter=tenantId", "$filter=nothing eq 1", "$filter=" + "(" * 500, "$filter=%00", "$search=x",
    "$expand=identitySynchronization", "$top=0", "$top=99999", "$top=-1", "$skip=1", "$select=nothing",
    "$orderby=nothing", "$skiptoken=abc", "$top=1&$top=2", "$count=maybe", "foo=bar", "$filter=" + "x" * 5000,
]


async def test_queries(world: World) -> None:
    """An option that is not understood is refused, not ignored."""
    admin = await administrator(world)
    for query in QUERIES:
        assert error(await admin.send("GET", f"{PARTNERS}?{query}"))[0] == 400, query


PATHS = [
    ("GET", f"{PARTNERS}/x", 404), ("GET", f"{PARTNERS}/%00", 404), ("GET", f"{PARTNERS}/{'x' * 3000}", 404),
    ("GET", f"{PARTNERS}/%2e%2e", 404), ("GET", f"{PARTNERS}/%F0%9F%98%80", 404), ("GET", "/v1.0/nothing", 404),
    ("GET", "/v1.0/", 404), ("DELETE", PARTNERS, 405), ("PUT", PARTNERS, 405), ("POST", ITEM, 405),
    ("DELETE", "/v1.0/policies/crossTenantAccessPolicy", 405), ("GET", "/v1.0/users/%00%ff", 404),
    ("GET", "/v1.0/auditLogs/directoryAudits/%00", 404),
    ("GET", f"/v1.0/auditLogs/directoryAudits/{'x' * 900}", 404),
]


async def test_paths(world: World) -> None:
    """Nothing there, or not that way."""
    admin = await administrator(world)
    for method, path, status in PATHS:
        answer = await admin.send(method, path)
        assert error(answer)[0] == status, path
        assert ("allow" in answer.headers) is (status == 405), path


async def test_preconditions(world: World) -> None:
    """If-Match protects against lost updates, If-None-Match against overwriting."""
    admin = await administrator(world)
    made = await admin.send("POST", PARTNERS, {"tenantId": FABRIKAM})
    tag = made.headers["etag"]
    body = {"inboundTrust": {"isMfaAccepted": True}}
    assert (await admin.send("PATCH", ITEM, body, if_match=f'"x", {tag}')).status_code == 204
    assert error(await admin.send("PATCH", ITEM, body, if_match=tag)) == (412, "preconditionFailed")
    assert error(await admin.send("DELETE", ITEM, if_match=tag)) == (412, "preconditionFailed")
    assert error(await admin.send("PATCH", f"{PARTNERS}/{BOB}", body, if_match="*"))[0] == 412
    sync = f"{ITEM}/identitySynchronization"
    assert (await admin.send("PUT", sync, {}, if_none_match="*")).status_code == 201
    assert error(await admin.send("PUT", sync, {}, if_none_match="*")) == (412, "preconditionFailed")
    assert (await admin.send("DELETE", ITEM, if_match="*")).status_code == 204


async def test_what_is_never_shown_cannot_be_sent(world: World) -> None:
    """A hash, a link to a home or a role smuggled into a user would be a way in."""
    admin = await administrator(world)
    for name, value in {
        "passwordHash": "scrypt$16$8$1$MDEyMzQ1Njc4OWFiY2RlZg$x", "roles": ["62e90394-69f5-4237-9190-012177145e10"],
        "sessionsValidFrom": 0, "external": None, "alternativeSecurityId": None,
    }.items():
        assert error(await admin.send("PATCH", f"/v1.0/users/{BOB}", {name: value})) == (400, "BadRequest"), name
        assert error(await admin.send("GET", f"/v1.0/users?$filter={name} ne null"))[0] == 400, name
    user = await admin.get(f"/v1.0/users/{BOB}")
    assert not {"passwordHash", "roles", "external"} & user.keys()
    assert "scrypt" not in json.dumps(user)


async def test_two_writers(world: World) -> None:
    """Both changes are there in the end: the later one merges into what the earlier one left."""
    admin = await administrator(world)
    other = Admin.mint(world)
    await admin.send("POST", PARTNERS, {"tenantId": FABRIKAM})
    async with asyncio.TaskGroup() as group:
        group.create_task(admin.send("PATCH", ITEM, {"inboundTrust": {"isMfaAccepted": True}}))
        group.create_task(other.send("PATCH", ITEM, {"inboundTrust": {"isCompliantDeviceAccepted": True}}))
        group.create_task(other.send("PATCH", ITEM, {"isServiceProvider": True}))
    final = await admin.get(ITEM)
    assert final["inboundTrust"]["isMfaAccepted"] is final["inboundTrust"]["isCompliantDeviceAccepted"] is True
    assert final["isServiceProvider"] is True
