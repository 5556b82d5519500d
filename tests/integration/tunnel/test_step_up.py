"""Applications that demand an authentication context: edge and daemon agree on a step-up, or say why there is none."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.tunnel.test_foreign import library_client, unbound
from tests.support.roads import until
from tests.support.tokens import AUDIENCE, CHANNEL
from tests.support.tunnel_world import OTHER_APPLICATION, World, profile, rule, tunnel_world
from tunneld.client.demands import HASTE
from tunneld.model.reasons import Reason
from tunneld.policy.claims_challenge import step_up_challenge

C1 = {"access_token": {"acrs": {"essential": True, "value": "c1"}}}


def demanding(*contexts: str | None) -> dict[str, Any]:
    """The usual profile, where the first application demands `contexts[0]`."""
    document = profile(rule("files"), rule("keep"), rule("other", OTHER_APPLICATION))
    for application, context in zip(document["applications"], contexts, strict=False):
        if context is not None:
            application["authentication_context"] = context
    return document


async def reload(world: World, document: dict[str, Any]) -> None:
    """Put another profile in force at the edge."""
    before = len([event for event in world.events if event["type"] == "profile-changed"])
    world.write_profile(document)
    await until(lambda: len([event for event in world.events if event["type"] == "profile-changed"]) > before)


def wants_c1(world: World) -> None:
    world.write_profile(demanding("c1"))
    world.tenant.profiles = world.tenant._read_profiles()


def spoil(world: World, claims: object) -> None:
    """Have the edge refuse every application token with `claims`, whatever is in it: a hostile edge."""
    session = next(iter(world.server.sessions))
    calls = iter(range(1_000_000))

    async def refuse(ref: int, token: str) -> None:
        value = claims(next(calls)) if callable(claims) else claims
        session._say({"type": "token-refused", "ref": ref, "reason": "insufficient_claims", "claims": value})

    session._take_token = refuse  # type: ignore[method-assign]


async def test_a_challenge_is_answered_once_and_the_flow_goes_through(tmp_path: Path) -> None:
    """The daemon asks for another token with what the edge demands; the next flow needs no challenge any more."""
    async with tunnel_world(tmp_path, prepare=wants_c1) as world:
        await world.started()
        await world.open()
        assert [json.loads(base64.b64decode(each)) for each in world.credentials.challenges] == [C1]
        assert world.credentials.asked == [CHANNEL, AUDIENCE, AUDIENCE]
        await world.open("keep.example")
        await world.open("other.example")
        assert len(world.credentials.challenges) == 1


async def test_many_flows_wait_for_one_answer(tmp_path: Path) -> None:
    async with tunnel_world(tmp_path, prepare=wants_c1) as world:
        await world.started()
        requests = [await world.request() for _ in range(20)]
        await until(lambda: all(each.accepted for each in requests))
        assert len(world.credentials.challenges) == 1


async def test_a_token_without_capability_is_not_challenged(tmp_path: Path) -> None:
    """Nobody would read it: the refusal is plain, and nothing is asked of the identity provider."""
    async with tunnel_world(tmp_path, prepare=wants_c1) as world:
        world.credentials.changed[AUDIENCE] = {"xms_cc": ...}
        await world.started()
        assert await world.refusal() is Reason.INSUFFICIENT_CLAIMS
        assert world.credentials.challenges == []
        assert "claims" not in world.events[-1]


async def test_a_step_up_that_does_not_help_ends(tmp_path: Path) -> None:
    """The issuer grants a token that still lacks the context: one more try, a named reason, and no loop."""
    async with tunnel_world(tmp_path, prepare=wants_c1) as world:
        world.credentials.stepped_up = {"acrs": ["c2"]}
        await world.started()
        for _ in range(5):
            assert await world.refusal() is Reason.INSUFFICIENT_CLAIMS
        assert world.credentials.asked.count(AUDIENCE) <= 1 + 5 + 1
        detail = world.live.flows.ended[-1].detail
        assert detail.startswith("run: tunneld login --step-up Files")
        assert "still demands" in detail


@pytest.mark.parametrize(
    "claims",
    ["", "%%%", "bm90IGpzb24", base64.b64encode(b"[" * 4000).decode(), "A" * 12000, 7, None, ["x"], "é",
     base64.b64encode(b'{"access_token":{"acrs":{"value":"c100"}}}').decode(),
     base64.b64encode(b'{"access_token":{"capolids":{"values":["x"]}}}').decode(),
     base64.b64encode(b'{"access_token":{"acrs":{"value":"c1"},"acrs":{"value":"c2"}}}').decode()],
)  # fmt: skip
async def test_a_malformed_challenge_reaches_nobody(tmp_path: Path, claims: object) -> None:
    """Refused with the reason; the identity provider does not see a byte of it, and the tunnel goes on."""
    async with tunnel_world(tmp_path) as world:
        await world.started()
        spoil(world, claims)
        assert await world.refusal() is Reason.INSUFFICIENT_CLAIMS
        assert world.credentials.asked.count(AUDIENCE) == 1
        assert world.tunnels[0].state == "connected"


async def test_an_edge_that_challenges_for_ever_is_not_followed(tmp_path: Path) -> None:
    """Whatever it invents: a flow costs one answer at most, and an application a handful in a minute."""
    async with tunnel_world(tmp_path) as world:
        await world.started()
        spoil(world, lambda turn: step_up_challenge(f"c{turn % 99 + 1}"))
        assert await world.refusal() is Reason.INSUFFICIENT_CLAIMS
        assert world.credentials.asked.count(AUDIENCE) == 2, "the token, and one answer"
        for _ in range(11):
            assert await world.refusal() is Reason.INSUFFICIENT_CLAIMS
        assert world.credentials.asked.count(AUDIENCE) <= 12 + HASTE
        assert "something else every time" in world.live.flows.ended[-1].detail


async def test_a_reload_that_adds_a_demand_ends_flows_admitted_without(tmp_path: Path) -> None:
    """Only that application's; the reason goes ahead of the reset, and the next flow steps up by itself."""
    async with tunnel_world(tmp_path) as world:
        await world.started()
        ended, _ = await world.open()
        stays, origin = await world.open("other.example")
        await reload(world, demanding("c1"))
        await until(lambda: ended.flow.over)
        assert ended.flow.record.reason is Reason.INSUFFICIENT_CLAIMS
        await world.open()
        assert len(world.credentials.challenges) == 1
        assert not stays.flow.over
        await origin.send(b"on")
        assert await stays.application.receive_exactly(2) == b"on"
        await reload(world, demanding("c1") | {"version": 2})
        again, _ = await world.open()
        assert len(world.credentials.challenges) == 1
        assert not again.flow.over


@pytest.mark.parametrize(
    ("changes", "status", "challenged"),
    [
        ({}, 407, True), ({"xms_cc": ...}, 403, False), ({"acrs": ["c2"]}, 407, True),
        ({"acrs": ["c1", "c2"]}, 200, False), ({"acrs": ["c1"], "xms_cc": ...}, 200, False),
    ],
)
async def test_a_foreign_client_is_challenged_in_the_answer(
    tmp_path: Path, changes: dict[str, Any], status: int, challenged: bool
) -> None:
    """407 with the claims where the token says `cp1`, a plain 403 where it does not (RFC 9110 §15.5.8)."""
    async with tunnel_world(tmp_path, prepare=wants_c1) as world, library_client(world) as client:
        token = ("proxy-authorization", f"Bearer {unbound(world, **changes)}")
        stream = await client.request("files.example:80", token)
        await client.until(lambda: stream in client.status)
        assert client.status[stream] == status
        expected = f'Bearer error="insufficient_claims", claims="{step_up_challenge("c1")}"' if challenged else None
        assert client.fields[stream].get("proxy-authenticate") == expected
        if status != 200:
            assert client.reason(stream) == "insufficient_claims"
