"""The daemon's endless work: a round that fails unexpectedly is logged, and the next one comes all the same."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from tests.support.fake_tunnels import FakeDataPlane
from tunneld.client.endless import keep_at
from tunneld.client.identity import Account, Identity
from tunneld.client.live import LiveState
from tunneld.client.oidc import Provider
from tunneld.client.ports import Denied
from tunneld.client.tenants import Discovery, Profiles, Tenant
from tunneld.client.upkeep import Upkeep
from tunneld.client.vault import Vault
from tunneld.journal.flows import FlowTable
from tunneld.model.reasons import Reason

ID = "11111111-1111-4111-8111-111111111111"
HOME = Tenant(ID, "contoso", "Contoso", "Member", home=True)


class Defect(Exception):  # noqa: N818
    """Nobody expects it."""


class Faulty:
    """Fails on the first call, and tells of the second one."""

    def __init__(self) -> None:
        self.calls = 0
        self.again = asyncio.Event()

    async def __call__(self, *_: object, **__: object) -> Any:
        self.calls += 1
        if self.calls == 1:
            raise Defect
        self.again.set()
        await asyncio.Event().wait()


@pytest.fixture
def identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Identity:
    monkeypatch.setattr(keep_at, "__kwdefaults__", {"pause_s": 0.01})
    provider = Provider("https://idp.test", transport=httpx.MockTransport(lambda _: httpx.Response(503)))
    made = Identity(provider, Vault(tmp_path / "v", bytes(32), key_source="file"), home_tenant="contoso", now=lambda: 0)
    made.account = Account(ID, "o", "alex", "Alex")
    return made


async def survives(work: Coroutine[Any, Any, None], faulty: Faulty) -> list[Any]:
    """Run `work` until its faulty part is asked again, and return what was logged."""
    with structlog.testing.capture_logs() as logged:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work)
            async with asyncio.timeout(5):
                await faulty.again.wait()
            task.cancel()
    return [entry for entry in logged if entry["event"] == "internal_error"]


def upkeep_of(identity: Identity, directory: Path, group: asyncio.TaskGroup) -> Upkeep:
    plane = FakeDataPlane()
    profiles = Profiles(identity, directory, now=lambda: 0)
    return Upkeep(
        LiveState(FlowTable()), identity, profiles, plane.make_tunnel,
        all_channels=lambda _: True, cut=plane.cut, group=group,
    )  # fmt: skip


async def upkeep(identity: Identity, faulty: Faulty, directory: Path) -> None:
    async with asyncio.TaskGroup() as group:
        made = upkeep_of(identity, directory, group)
        made.refresh = faulty  # type: ignore[method-assign]
        await made.run(0.01)


async def discovery(identity: Identity, faulty: Faulty, directory: Path) -> None:
    made = Discovery(identity, home_name="contoso", guest_access=True, now=lambda: 0)
    made.refresh = faulty  # type: ignore[method-assign]
    await made.run(0.01)


async def vault(identity: Identity, faulty: Faulty, directory: Path) -> None:
    identity.save = faulty  # type: ignore[method-assign]
    identity._changed()
    await identity.run()


async def renewal(identity: Identity, faulty: Faulty, directory: Path) -> None:
    identity.credentials(ID).maintain = faulty  # type: ignore[method-assign]
    await identity.run()


@pytest.mark.parametrize("work", [upkeep, discovery, vault, renewal])
async def test_a_defect_in_one_round_does_not_end_the_work(
    identity: Identity, tmp_path: Path, work: Callable[[Identity, Faulty, Path], Coroutine[Any, Any, None]]
) -> None:
    faulty = Faulty()
    defects = await survives(work(identity, faulty, tmp_path), faulty)
    assert len(defects) == 1
    assert defects[0]["exc_info"]
    await identity.provider.close()


async def test_a_defect_in_bringing_up_a_tunnel_is_that_tunnels_alone(identity: Identity, tmp_path: Path) -> None:
    faulty = Faulty()
    with structlog.testing.capture_logs() as logged:
        async with asyncio.TaskGroup() as group:
            tunnel = type("Broken", (), {"start": faulty})()
            async with asyncio.timeout(5):
                await upkeep_of(identity, tmp_path, group)._start(tunnel, HOME).wait()
    assert [entry["task"] for entry in logged if entry["event"] == "internal_error"] == ["bring-up"]
    await identity.provider.close()


async def test_a_defect_in_one_tenant_leaves_the_renewal_of_the_next(identity: Identity) -> None:
    broken, other = Faulty(), Faulty()
    other.calls = 1
    identity.credentials(ID).maintain = broken  # type: ignore[method-assign]
    identity.credentials("other").maintain = other  # type: ignore[method-assign]
    assert len(await survives(identity.run(), other)) == 1
    assert broken.calls == 1
    await identity.provider.close()


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000, '{"a": ' + "9" * 5_000 + "}", "a=" + "[" * 50_000])
async def test_a_profile_that_no_parser_survives_is_refused(identity: Identity, tmp_path: Path, text: str) -> None:
    with pytest.raises(Denied) as caught:
        await Profiles(identity, tmp_path, now=lambda: 0)._read(HOME, text, None, all_channels=True)
    assert caught.value.reason is Reason.PROFILE_INVALID
    await identity.provider.close()


@pytest.mark.parametrize(("tenant_id", "found"), [(ID, 1), ("../../etc/x", 0), ("a\0b", 0), ("", 0)])
async def test_a_tenant_has_an_id_that_may_name_a_file(identity: Identity, tenant_id: str, found: int) -> None:
    async def token() -> str:
        return "t"

    listed = {"value": [{"id": tenant_id, "name": "x"}]}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=listed))
    identity.provider = Provider("https://idp.test", transport=transport)
    identity.credentials(ID).directory_token = token  # type: ignore[method-assign]
    made = Discovery(identity, home_name="contoso", guest_access=True, now=lambda: 0)
    await made.refresh()
    assert len(made._tenants) == found
    await identity.provider.close()


async def test_what_is_being_written_at_a_sign_out_is_gone_after_it(
    identity: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, go_on, write = threading.Event(), threading.Event(), Vault.write

    def slowly(vault: Vault, content: Any) -> None:
        writing.set()
        assert go_on.wait(5)
        write(vault, content)

    monkeypatch.setattr(Vault, "write", slowly)
    identity._changed()
    async with asyncio.TaskGroup() as group:
        group.create_task(identity.save())
        await asyncio.to_thread(writing.wait, 5)
        leaving = group.create_task(identity.logout())
        await asyncio.wait([leaving], timeout=0.1)
        go_on.set()
    assert not (tmp_path / "v").exists()
    await identity.provider.close()
