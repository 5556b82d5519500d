"""Every row of the table: who may do what with it, and what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.idp.graph.admin import Admin, administrator, error, give_role, store
from tests.integration.idp.graph.samples import SAMPLES, Sample
from tests.integration.idp.world import ALEX_F, BOB, FABRIKAM, World
from tunneld.idp.graph.objects import HIDDEN
from tunneld.idp.graph.resource import BETA, V1, ResourceType, Verb
from tunneld.idp.graph.table import OPERATIONS, ROWS, SERVED, known_permissions
from tunneld.policy.built_in_roles import BUILT_IN
from tunneld.policy.kinds import KINDS

# Kinds that live by rules of their own: what is written of them is in their owners' tests.
ELSEWHERE = {
    "synchronizationJob", "accessPackage", "accessPackageAssignment", "accessReview", "b2bManagementPolicy",
    "authenticationFlowsPolicy", "emailAuthenticationMethod", "workload", "userFlow", "apiConnector",
    "organizationalBranding",
}
SAMPLED = [row for row in SERVED if row.kind in SAMPLES]
ROW_NAMES = [f"{row.kind}@{row.collection or row.item}" for row in SAMPLED]
WRITES = frozenset({Verb.CREATE, Verb.UPDATE, Verb.REPLACE, Verb.DELETE})


def test_every_row_has_its_kind() -> None:
    """A row whose kind is missing would silently not be served."""
    assert not {row.kind for row in ROWS} - set(KINDS)


def test_every_row_has_a_sample() -> None:
    """Whoever adds a row says what one of its objects looks like."""
    assert {row.kind for row in SERVED} - ELSEWHERE == set(SAMPLES)


def test_every_string_belongs_to_a_role() -> None:
    """Besides the one that has everything, and each read string to those who read everything."""
    for name in known_permissions():
        holders = [role.name for role in BUILT_IN if role.allows(name)]
        assert "Global Administrator" in holders
        assert ("Global Reader" in holders) is name.endswith("/read"), name


def version_of(row: ResourceType) -> str:
    return V1 if V1 in row.versions else BETA


def paths_of(row: ResourceType, key: str) -> list[tuple[Verb, str, str]]:
    """Return verb, method and URL of everything that a row offers, deletion last."""
    base = f"/{version_of(row)}"
    item = base + row.item_path.replace("{id}", key)
    known = {
        Verb.LIST: ("GET", base + row.collection), Verb.CREATE: ("POST", base + row.collection),
        Verb.GET: ("GET", item), Verb.UPDATE: ("PATCH", item), Verb.REPLACE: ("PUT", item),
        Verb.DELETE: ("DELETE", item),
    }
    return [(verb, *known[verb]) for verb in known if verb in row.verbs]


async def made(world: World, admin: Admin, row: ResourceType, sample: Sample) -> str:
    """Make what the sample needs and the object itself; return its key."""
    for method, path, body in sample.before:
        response = await admin.send(method, path, body)
        assert response.status_code in (201, 204), (path, response.text)
    if row.singleton:
        return row.singleton
    if not row.verbs & {Verb.CREATE, Verb.REPLACE}:
        value = KINDS[row.kind].model.model_validate(sample.create)
        await store(world, row.kind, str(sample.create["id"]), value)
        return str(sample.create["id"])
    base = f"/{version_of(row)}"
    if Verb.CREATE in row.verbs:
        response = await admin.send("POST", base + row.collection, sample.create)
    else:
        response = await admin.send("PUT", base + row.item_path.replace("{id}", sample.key), sample.create)
    assert response.status_code == 201, response.text
    return str(response.json()[row.key])


@pytest.mark.parametrize("row", SAMPLED, ids=ROW_NAMES)
async def test_life_of_an_object(world: World, row: ResourceType) -> None:
    """Made, read, listed, changed, deleted: each write one audit record, each state one tag."""
    sample, admin = SAMPLES[row.kind], await administrator(world)
    key = await made(world, admin, row, sample)
    base = f"/{version_of(row)}"
    item = base + row.item_path.replace("{id}", key)
    before = len(await admin.audits(world))
    first = await admin.send("GET", item)
    assert first.status_code == 200, first.text
    for name in row.secrets & sample.create.keys():
        assert first.json()[name] == HIDDEN
        assert sample.create[name] not in (world.root / "state" / "audit.jsonl").read_text()
    if Verb.LIST in row.verbs:
        listed = (await admin.get(f"{base}{row.collection}?$top=999"))["value"]
        assert first.json() in listed
    known = await admin.send("GET", item, if_none_match=first.headers["etag"])
    assert (known.status_code, known.content) == (304, b"")
    if Verb.UPDATE in row.verbs:
        assert error(await admin.send("PATCH", item, sample.update, if_match='"0"')) == (412, "preconditionFailed")
        changed = await admin.send("PATCH", item, sample.update, if_match=first.headers["etag"])
        assert changed.status_code == (200 if row.answers_update else 204), changed.text
        second = await admin.send("GET", item)
        assert second.headers["etag"] == changed.headers["etag"] != first.headers["etag"]
        for name, value in sample.update.items():
            assert includes(second.json()[name], value), name
        lines = await admin.audits(world)
        assert len(lines) == before + 1
        assert (lines[-1]["activityDisplayName"], lines[-1]["category"]) == (row.audit.update, row.audit.category)
        assert {one["displayName"] for one in lines[-1]["targetResources"][0]["modifiedProperties"]} >= set(
            sample.update
        ) - row.secrets
        assert lines[-1]["initiatedBy"]["user"]["userPrincipalName"] == "alex@contoso.example"
    if Verb.DELETE in row.verbs:
        before = len(await admin.audits(world))
        assert (await admin.send("DELETE", item)).status_code == 204
        assert error(await admin.send("GET", item)) == (404, "Request_ResourceNotFound")
        assert error(await admin.send("DELETE", item))[0] == 404
        lines = await admin.audits(world)
        assert [line["activityDisplayName"] for line in lines[before:]] == [row.audit.delete]


def includes(whole: Any, part: Any) -> bool:
    """Tell whether `part` was merged into `whole`."""
    if isinstance(part, dict):
        return all(includes(whole[name], value) for name, value in part.items())
    return bool(whole == part)


@pytest.mark.parametrize("row", SAMPLED, ids=ROW_NAMES)
async def test_who_may(world: World, row: ResourceType) -> None:
    """No token, a member, a guest, an administrator of another tenant, a reader, and the right one."""
    sample, admin = SAMPLES[row.kind], await administrator(world)
    key = await made(world, admin, row, sample)
    reader = Admin.mint(world, oid=BOB)
    await give_role(world, "Global Administrator", tenant=FABRIKAM, oid=ALEX_F)
    foreign = Admin.mint(world, FABRIKAM, ALEX_F)
    for verb, method, path in paths_of(row, key):
        if verb in WRITES:
            refused = await reader.send(method, path, sample.create if verb is not Verb.UPDATE else sample.update)
            assert error(refused) == (403, "Authorization_RequestDenied"), "a member without a role"
    await give_role(world, "Global Reader", oid=BOB)
    state = (await admin.send("GET", paths_of(row, key)[0][2])).content
    for verb, method, path in paths_of(row, key):
        body = {Verb.CREATE: sample.create, Verb.REPLACE: sample.create, Verb.UPDATE: sample.update}.get(verb)
        bare = await admin.http.request(method, path, json=body)
        assert error(bare) == (401, "InvalidAuthenticationToken")
        assert bare.headers["www-authenticate"].startswith("Bearer ")
        answer = await reader.send(method, path, body)
        if verb in WRITES:
            assert error(answer) == (403, "Authorization_RequestDenied"), path
        else:
            assert answer.status_code == 200, path
        # Another tenant's administrator meets their own tenant under the same URL, never this object.
        other = await foreign.send("GET", path) if verb is Verb.GET and not row.singleton else None
        assert other is None or sample.shared or other.status_code == 404
    assert (await admin.send("GET", paths_of(row, key)[0][2])).content == state


async def test_members_and_guests_read_what_the_directory_shows_them(world: World) -> None:
    """Without a role nothing of policies, logs and roles is shown."""
    member, guest = Admin.mint(world, oid=BOB), Admin.mint(world, FABRIKAM, ALEX_F)
    open_to_all = {"/users", "/groups", "/applications", "/organization"}
    for operation in OPERATIONS:
        if operation.method != "GET" or "{" in operation.path or operation.path.startswith("/me"):
            continue
        path = f"/{operation.versions[0]}{operation.path}"
        if operation.path in ("/invitations", "/policies/export"):  # everybody sees what is theirs: nothing yet
            for caller in (member, guest):
                assert (await caller.get(path))["value"] == [], path
            continue
        status = (await member.send("GET", path)).status_code
        assert status == (200 if operation.path in open_to_all else 403), path
        status = (await guest.send("GET", path)).status_code
        assert status == (200 if operation.path == "/organization" else 403), path


async def test_a_disabled_administrator_is_nobody(world: World) -> None:
    """The directory decides at each call, whatever the token said when it was made."""
    gone = await administrator(world, oid="aaaaaaaa-0000-4000-8000-000000000003")  # Eve, who is disabled
    assert error(await gone.send("GET", "/v1.0/policies/crossTenantAccessPolicy"))[0] == 403
