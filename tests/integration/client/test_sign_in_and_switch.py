"""Sign-in, discovery, profiles and switching against the real identity provider, with tunnels that only pretend."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.integration.client.conftest import Machine
from tests.integration.idp.world import CONTOSO, FABRIKAM, WIKI, claims, directory, profile
from tests.support.cancelling import cancelled_at
from tests.support.fake_tunnels import FakeDataPlane
from tunneld.client.credentials import Interaction
from tunneld.client.oidc import CLIENT_ID, DIRECTORY, ENROLMENT
from tunneld.client.ports import Denied
from tunneld.model.errors import StreamError
from tunneld.model.reasons import Reason
from tunneld.model.verdict import Channel, Protocol
from tunneld.policy.directory import DAEMON_CLIENT, DIRECTORY_API, ENROLMENT_API


async def nobody(_: Interaction) -> None:
    raise AssertionError("nobody should have been asked")


def test_client_and_provider_mean_the_same_ids() -> None:
    assert (CLIENT_ID, DIRECTORY, ENROLMENT) == (DAEMON_CLIENT, DIRECTORY_API, ENROLMENT_API)


async def test_a_sign_in_brings_the_home_tenant_and_its_channels_up(machine: Machine) -> None:
    running = await machine.run()
    assert running.daemon.status()["state"] == "signed_out"
    result = await machine.login()
    assert (result["reason"], result["username"], result["tenant"]) == (None, "alex@contoso.example", "contoso")
    status = running.daemon.status()
    assert (status["state"], status["tenant"], status["home"]) == ("connected", "contoso", "contoso")
    assert list(status["channels"]) == ["private"]
    assert running.daemon.health()["healthy"]


async def test_tokens_are_bound_to_the_certified_key_and_have_one_audience(machine: Machine) -> None:
    running = await machine.run()
    await machine.login()
    credentials = running.daemon.identity.credentials(CONTOSO)
    token = claims(await credentials.app_token(WIKI))
    assert token["aud"] == WIKI
    assert token["cnf"]["jkt"] == claims(await credentials.app_token(WIKI))["cnf"]["jkt"]
    assert "cnf" not in claims(await credentials.directory_token())
    assert credentials.tls_context().check_hostname


async def test_a_token_is_fetched_once_and_renewed_at_three_quarters_of_its_life(machine: Machine) -> None:
    running = await machine.run()
    await machine.login()
    credentials = running.daemon.identity.credentials(CONTOSO)
    first = await credentials.app_token(WIKI)
    requests = len(running.transport.paths)
    assert await credentials.app_token(WIKI) == first
    assert len(running.transport.paths) == requests
    life = claims(first)["exp"] - claims(first)["iat"]
    machine.clock.now += life * 0.74
    await credentials.maintain()
    assert await credentials.app_token(WIKI) == first
    machine.clock.now += life * 0.02
    await credentials.maintain()
    assert await credentials.app_token(WIKI) != first


async def test_a_switch_to_a_guests_tenant_is_silent_and_comes_back(machine: Machine) -> None:
    running = await machine.run()
    await machine.login()
    home = running.plane.made[0]
    receipt = await running.daemon.switch("fabrikam", nobody)
    assert (receipt["committed"], receipt["reason"], receipt["from"], receipt["to"]) == (
        True, None, "contoso", "fabrikam",
    )
    assert receipt["old_epoch_bytes_after_commit"] == 0
    assert home.calls == ["start", "freeze", "retire", "close"]
    assert running.daemon.live.current.tenant_id == FABRIKAM
    back = await running.daemon.switch("contoso", nobody)
    assert back["committed"]
    assert back["epoch"] > receipt["epoch"]
    assert [t.tenant for t in running.plane.alive()] == ["contoso"]


async def test_tokens_of_two_tenants_are_bound_to_different_keys(machine: Machine) -> None:
    running = await machine.run()
    await machine.login()
    await running.daemon.switch("fabrikam", nobody)
    identity = running.daemon.identity
    home = claims(await identity.credentials(CONTOSO).app_token(WIKI))
    audience = running.daemon.live.current.profile.document.channels[Channel.PRIVATE].audience  # type: ignore[union-attr]
    away = claims(await identity.credentials(FABRIKAM).channel_token(audience))
    assert (home["tid"], away["tid"]) == (CONTOSO, FABRIKAM)
    assert home["cnf"] != away["cnf"]


@pytest.mark.parametrize("step", ["start", "probe"])
async def test_a_failure_before_the_commit_leaves_the_old_tenant_untouched(machine: Machine, step: str) -> None:
    plane = FakeDataPlane(failures={("fabrikam", step): StreamError(Reason.EDGE_UNREACHABLE, "no answer")})
    running = await machine.run(plane=plane)
    await machine.login()
    before = running.daemon.live.current
    receipt = await running.daemon.switch("fabrikam", nobody)
    expected = "probe_failed" if step == "probe" else "edge_unreachable"
    assert (receipt["committed"], receipt["reason"], receipt["epoch"]) == (False, expected, before.epoch)
    assert running.daemon.live.current is before
    assert plane.made[0].calls == ["start"]
    assert plane.alive() == [plane.made[0]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d["tenants"][1].update(forwarding_profiles=[]), "no_profile"),
        (lambda d: d["tenants"][1].pop("users"), "tenant_unknown"),
        (lambda d: d["tenants"][1]["users"][0].update(state="disabled"), "login_failed"),
    ],
)
async def test_what_the_identity_provider_refuses_is_named_in_the_receipt(
    machine: Machine, change: object, reason: str
) -> None:
    document = directory()
    change(document)  # type: ignore[operator]
    if reason == "tenant_unknown":
        document["tenants"][1]["applications"] = []
    running = await machine.run()
    await machine.login()
    machine.world.write_directory(document)
    assert machine.world.provider is not None
    assert await machine.world.provider.refresh()
    before = running.daemon.live.current
    receipt = await running.daemon.switch("fabrikam", nobody)
    if reason == "login_failed":
        assert receipt["reason"] in ("login_failed", "interaction_required", "tenant_unknown")
    else:
        assert receipt["reason"] == reason
    assert running.daemon.live.current is before


async def test_an_unreachable_identity_provider_leaves_the_old_tenant_untouched(machine: Machine) -> None:
    running = await machine.run()
    await machine.login()
    await running.daemon.discovery.refresh()
    before = running.daemon.live.current
    running.transport.down = True
    receipt = await running.daemon.switch("fabrikam", nobody)
    assert receipt["reason"] == "idp_unreachable"
    assert running.daemon.live.current is before


async def test_where_a_page_is_needed_the_old_tenant_works_on_until_it_is_answered(machine: Machine) -> None:
    running = await machine.run()
    await machine.login()
    before = running.daemon.live.current

    async def late(interaction: Interaction) -> None:
        assert running.daemon.live.current is before
        assert running.plane.made[0].calls == ["start"]
        await machine.person()(interaction)

    receipt = await running.daemon.switch("woodgrove", late)
    assert len(machine.asked) == 2  # the sign-in itself, then woodgrove's consent
    assert "/33333333-3333-4333-8333-333333333333/" in machine.asked[1].url
    # Woodgrove publishes no profile in this world, so consent alone does not get one in.
    assert (receipt["committed"], receipt["reason"]) == (False, "no_profile")
    assert running.daemon.live.current is before


async def test_without_anybody_to_ask_the_reason_is_that_a_page_is_needed(machine: Machine) -> None:
    running = await machine.run()
    await machine.login()
    receipt = await running.daemon.switchboard.switch("woodgrove")
    assert receipt.reason is Reason.INTERACTION_REQUIRED


async def test_one_switch_at_a_time(machine: Machine) -> None:
    plane = FakeDataPlane()
    running = await machine.run(plane=plane)
    await machine.login()
    plane.gates["probe"] = asyncio.Event()
    first = running.group.create_task(running.daemon.switch("fabrikam", nobody))
    await plane.reached("probe")
    second = await running.daemon.switch("contoso", nobody)
    assert second["reason"] == "switch_in_progress"
    with pytest.raises(Denied, match="switch_in_progress"):
        await running.daemon.logout()
    plane.gates["probe"].set()
    assert (await first)["committed"]


async def test_preparing_has_a_deadline(machine: Machine) -> None:
    plane = FakeDataPlane()
    running = await machine.run(plane=plane)
    await machine.login()
    plane.gates["start"] = asyncio.Event()
    running.daemon.switchboard._prepare_s = 0.2
    receipt = await running.daemon.switch("fabrikam", nobody)
    assert receipt["reason"] == "prepare_timeout"
    assert [tunnel.tenant for tunnel in plane.alive()] == ["contoso"]


async def test_cancelled_at_any_await_a_switch_either_happened_or_left_no_trace(machine: Machine) -> None:
    running = await machine.run()
    await machine.login()
    happened = []
    for number in range(1, 200):
        before = running.daemon.live.current
        target = "fabrikam" if before.tenant == "contoso" else "contoso"
        running.daemon.identity._tenants.pop(FABRIKAM, None)  # so that signing in and enrolling are walked as well
        try:
            receipt = await cancelled_at(running.daemon.switchboard.switch(target), number)
        except asyncio.CancelledError:
            receipt = None
        after = running.daemon.live.current
        happened.append(after is not before)
        assert after is before or after.tenant == target
        assert not running.daemon.switchboard.busy
        assert [t for t in running.plane.alive() if t.epoch not in (before.epoch, after.epoch)] == []
        if after is not before:  # cancelled while it retired: what is left of the old tenant is frozen, never live
            assert all("freeze" in t.calls for t in running.plane.made if t.epoch == before.epoch)
            for tunnel in running.plane.alive():
                if tunnel.epoch == before.epoch:
                    await tunnel.close()
        if receipt is not None:
            assert receipt.committed
            break
    assert receipt is not None, "no switch ran to its end"
    assert len(happened) > 8, "hardly an await was visited"
    assert not all(happened)


async def test_a_restart_comes_back_to_the_chosen_tenant_without_a_page(machine: Machine) -> None:
    running = await machine.run()
    await machine.login()
    assert (await running.daemon.switch("fabrikam", nobody))["committed"]
    await machine.stop()
    again = await machine.run()
    assert again.daemon.status()["tenant"] == "fabrikam"
    assert again.daemon.status()["state"] == "connected"
    assert len(machine.asked) == 1


async def test_a_restart_with_guest_access_switched_off_comes_back_home(machine: Machine) -> None:
    running = await machine.run()
    await machine.login()
    await running.daemon.switch("fabrikam", nobody)
    await machine.stop()
    again = await machine.run(guest=False)
    assert again.daemon.status()["tenant"] == "contoso"


async def test_a_machine_of_a_resource_tenant_is_there_without_a_switch_even_if_the_provider_is_down_later(
    machine: Machine,
) -> None:
    bound = 'bound_tenant = "fabrikam"'
    running = await machine.run(extra=bound)
    await machine.login()
    assert running.daemon.status()["tenant"] == "fabrikam"
    assert running.daemon._all_channels(running.daemon.discovery.home())
    await machine.stop()
    again = await machine.run(extra=bound, down=True)
    assert again.daemon.status()["tenant"] == "fabrikam"


async def test_a_restart_without_the_identity_provider_classifies_with_the_last_profile(machine: Machine) -> None:
    await machine.run()
    await machine.login()
    await machine.stop()
    again = await machine.run(down=True)
    current = again.daemon.live.current
    assert current.tenant == "contoso"
    verdict = current.classifier.classify("wiki.corp.internal", 443, Protocol.TCP)
    assert verdict.rule_id == "wiki"


async def test_without_guest_access_nothing_is_discovered_and_nothing_is_asked(machine: Machine) -> None:
    running = await machine.run(guest=False)
    assert (await running.daemon.switch("fabrikam", nobody))["reason"] == "signed_out"
    await machine.login()
    receipt = await running.daemon.switch("fabrikam", nobody)
    assert receipt["reason"] == "guest_access_disabled"
    await running.daemon.discovery.refresh()
    running.daemon.discovery.poke()
    await asyncio.sleep(0.05)
    assert not [path for path in running.transport.paths if "me/tenants" in path or FABRIKAM in path]
    assert [tenant["name"] for tenant in running.daemon.tenants()["tenants"]] == ["contoso"]


async def test_discovery_lists_home_first_and_finds_new_invitations_by_itself(machine: Machine) -> None:
    running = await machine.run()
    await machine.login()
    await running.daemon.discovery.refresh()
    listed = running.daemon.tenants()
    assert [t["name"] for t in listed["tenants"]] == ["contoso", "fabrikam", "woodgrove"]
    assert [t["active"] for t in listed["tenants"]] == [True, False, False]
    assert listed["age_s"] is not None


async def test_a_changed_profile_is_swapped_whole_and_only_changed_rules_lose_their_flows(machine: Machine) -> None:
    running = await machine.run()
    await machine.login()
    before = running.daemon.live.current
    changed = profile("contoso", None, {"groups": ["Staff"]})
    changed["version"] = 4
    changed["rules"].append(
        {"id": "more", "channel": "private", "application": WIKI, "destinations": ["more.corp.internal"]}
    )
    await _publish(machine, changed)
    await running.daemon.upkeep.refresh()
    after = running.daemon.live.current
    assert after is not before
    assert (after.epoch, after.profile.version) == (before.epoch, 4)  # type: ignore[union-attr]
    assert after.channels[Channel.PRIVATE] is before.channels[Channel.PRIVATE]
    chosen, reason = running.plane.cuts[-1]
    assert reason is Reason.RULE_REMOVED
    assert not chosen(_record(before.epoch, "wiki"))
    changed["version"], changed["rules"] = 5, changed["rules"][1:]
    await _publish(machine, changed)
    await running.daemon.upkeep.refresh()
    chosen, _ = running.plane.cuts[-1]
    assert chosen(_record(before.epoch, "wiki"))
    assert not chosen(_record(before.epoch, "more"))
    assert not chosen(_record(before.epoch, None))


async def test_an_unchanged_profile_costs_a_304_and_changes_nothing(machine: Machine) -> None:
    running = await machine.run()
    await machine.login()
    before = running.daemon.live.current
    machine.clock.now += 60
    assert running.daemon.status()["profile"]["age_s"] == 60
    await running.daemon.upkeep.refresh()
    assert running.daemon.live.current is before
    assert running.daemon.status()["profile"]["age_s"] == 0


async def test_a_sign_out_forgets_everything(machine: Machine) -> None:
    running = await machine.run()
    await machine.login()
    await running.daemon.switch("fabrikam", nobody)
    await running.daemon.logout()
    assert running.daemon.status()["state"] == "signed_out"
    assert running.plane.alive() == []
    left = sorted(p.name for p in (machine.root / "state").rglob("*") if p.is_file())
    assert left == ["identity.key"]
    for word in ("fabrikam", "contoso", "nowhere"):
        receipt = await running.daemon.switch(word, nobody)
        assert (receipt["reason"], receipt["detail"]) == ("signed_out", "run `tunneld login`")
    assert running.daemon.status()["home"] == "contoso"


async def test_no_token_is_readable_in_the_state_directory(machine: Machine) -> None:
    running = await machine.run()
    await machine.login()
    refresh_token = running.daemon.identity.credentials(CONTOSO).refresh_token
    await machine.stop()
    files = [p for p in (machine.root / "state").rglob("*") if p.is_file()]
    assert any(p.name == "identity.vault" for p in files)
    for path in files:
        assert refresh_token is not None
        assert refresh_token.encode() not in path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0
    await machine.run()


async def test_a_device_sign_in_shows_a_code(machine: Machine) -> None:
    running = await machine.run()
    shown: list[Interaction] = []

    async def ask(interaction: Interaction) -> None:
        shown.append(interaction)
        raise Denied(Reason.LOGIN_FAILED, "enough seen")

    with pytest.raises(Denied, match="enough seen"):
        await running.daemon.login(ask, device=True)
    assert shown[0].user_code
    assert shown[0].url.startswith("https://idp.test/")


async def test_an_explanation_says_what_the_daemon_knows_beyond_the_rules(machine: Machine) -> None:
    running = await machine.run()
    await machine.login()
    answer = await running.daemon.explain(destination="wiki.corp.internal", protocol=None, tenant=None, flow=None)
    assert (answer["verdict"], answer["tenant"], answer["channel_state"]) == ("tunnel", "contoso", "connected")
    assert (answer["port"], answer["protocol"], answer["token_state"]) == (443, "tcp", "none")
    await running.daemon.identity.credentials(CONTOSO).app_token(WIKI)
    answer = await running.daemon.explain(destination="wiki.corp.internal", protocol=None, tenant=None, flow=None)
    assert answer["token_state"] == "valid"
    assert answer["now"] == {"outcome": "tunnel", "reason": "rule_tunnel"}
    loopback = await running.daemon.explain(destination="127.0.0.1:80", protocol=None, tenant=None, flow=None)
    assert (loopback["verdict"], loopback["reason"]) == ("direct", "no_rule")
    assert loopback["now"] == {"outcome": "refused", "reason": "forbidden_destination"}
    away = await running.daemon.explain(destination="wiki.corp.internal", protocol=None, tenant="fabrikam", flow=None)
    assert (away["tenant"], away["epoch"], away["channel_state"]) == ("fabrikam", None, None)
    assert running.daemon.live.current.tenant == "contoso"
    with pytest.raises(Denied, match="flow_unknown"):
        await running.daemon.explain(destination=None, protocol=None, tenant=None, flow="nothing")


async def test_an_application_that_is_not_assigned_is_denied_with_its_reason(machine: Machine) -> None:
    running = await machine.run()
    await machine.login()
    vault = directory()["tenants"][0]["applications"][1]["id"]
    with pytest.raises(Denied) as caught:
        await running.daemon.identity.credentials(CONTOSO).app_token(vault)
    assert caught.value.reason is Reason.APPLICATION_NOT_ASSIGNED


async def _publish(machine: Machine, document: object) -> None:
    (machine.world.root / "contoso.json").write_text(json.dumps(document))
    provider = machine.world.provider
    assert provider is not None
    assert await provider.refresh()


def _record(epoch: int, rule: str | None) -> object:
    from tunneld.journal.flows import FlowRecord

    return FlowRecord("f", "c", 0.0, "d", 1, epoch=epoch, rule_id=rule)


