"""A daemon's link meets a real edge: who gets a session, whose token opens which flow, and what a refusal says."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Authority
from tests.support.roads import until
from tests.support.tokens import AUDIENCE, CHANNEL, ISSUER, OTHER_TENANT, TENANT
from tests.support.tunnel_world import OTHER_APPLICATION, FakeCredentials, profile, rule, tunnel_world
from tunneld.client.ports import Denied
from tunneld.model.errors import StreamError
from tunneld.model.reasons import Reason

OTHER_USER = "bbbbbbbb-0000-4000-8000-000000000002"
STRANGER = "cccccccc-0000-4000-8000-00000000ffff"


async def test_a_flow_through_the_tunnel(tmp_path: Path) -> None:
    """From the application to the origin and back, with one correlation id in both programs' records."""
    async with tunnel_world(tmp_path) as world:
        tunnel = await world.started()
        assert (tunnel.state, tunnel.reason) == ("connected", None)
        request, origin = await world.open()
        await request.application.send(b"question")
        assert await origin.receive_exactly(8) == b"question"
        await origin.send(b"answer!")
        assert await request.application.receive_exactly(7) == b"answer!"
        request.application.finish()
        assert await origin.receive_all() == b""
        origin.finish()
        assert await request.application.receive_all() == b""
        await until(world.quiet)
        ours, theirs = world.live.flows.ended[0], world.server.flows.ended[0]
        for record in (ours, theirs):
            assert (record.state, record.reason, record.bytes_sent, record.bytes_received) == (
                "closed", Reason.COMPLETED, 8, 7,
            )
            assert (record.tenant, record.channel, record.rule_id, record.application) == (
                "contoso", "private", "files", AUDIENCE,
            )
        assert ours.correlation_id == theirs.correlation_id
        await until(lambda: len(world.lines) == 2)
        assert {line["correlation_id"] for line in world.lines} == {ours.correlation_id}


async def test_one_token_serves_many_flows(tmp_path: Path) -> None:
    """The issuer is asked once an application, however many flows wait for the answer."""
    async with tunnel_world(tmp_path) as world:
        await world.started()
        requests = [await world.request() for _ in range(20)]
        requests.append(await world.request("other.example"))
        await until(lambda: all(request.accepted for request in requests))
        assert sorted(world.credentials.asked) == sorted([CHANNEL, AUDIENCE, OTHER_APPLICATION])
        for request in requests:
            request.application.reset()
            await world.origin.accept()
        await until(world.quiet)


# The channel token


FOREIGN = ISSUER.replace(TENANT, OTHER_TENANT)
CHANNEL_REFUSALS: dict[str, tuple[dict[str, Any], Reason]] = {
    "expired": ({"iat": 1_600_000_000, "nbf": 1_600_000_000, "exp": 1_600_003_600}, Reason.TOKEN_EXPIRED),
    "not valid yet": ({"nbf": 4_000_000_000, "iat": 4_000_000_000, "exp": 4_000_003_600}, Reason.TOKEN_NOT_YET_VALID),
    "another channel's": ({"aud": STRANGER}, Reason.TOKEN_AUDIENCE),
    "an application's": ({"aud": AUDIENCE}, Reason.TOKEN_AUDIENCE),
    "another tenant's": ({"tid": OTHER_TENANT, "iss": FOREIGN}, Reason.TOKEN_TENANT),
    "another issuer's": ({"iss": "https://evil.test"}, Reason.TOKEN_ISSUER),
    "bound to another key": ({"cnf": {"jkt": "J" * 43}}, Reason.TOKEN_BINDING),
    "not bound": ({"cnf": ...}, Reason.TOKEN_BINDING),
    "of another user": ({"oid": OTHER_USER}, Reason.TOKEN_SUBJECT),
    "of another client": ({"azp": STRANGER}, Reason.TOKEN_ACTOR),
    "without scope": ({"scp": "Directory.Read"}, Reason.TOKEN_SCOPE),
}


@pytest.mark.parametrize("name", CHANNEL_REFUSALS)
async def test_channel_tokens_that_open_no_session(name: str, tmp_path: Path) -> None:
    """The daemon learns the edge's reason, is unauthenticated or denied, and a flow is told the same."""
    changes, reason = CHANNEL_REFUSALS[name]
    async with tunnel_world(tmp_path) as world:
        world.credentials.changed[CHANNEL] = changes
        tunnel = world.tunnel()
        with pytest.raises(StreamError) as refusal:
            await tunnel.start(5)
        assert refusal.value.reason is reason
        assert (tunnel.state, tunnel.reason) == ("unauthenticated", reason)
        assert await world.refusal() is reason
        assert world.origin.accepted == []


async def test_the_first_half_of_the_gate(tmp_path: Path) -> None:
    """A profile that is not assigned to the user opens no session, however good the token."""

    async with tunnel_world(tmp_path, prepare=lambda world: world.write_profile(profile(
        assignments={"users": [OTHER_USER]}
    ))) as world:
        world.tenant.profiles = world.tenant._read_profiles()
        tunnel = world.tunnel()
        with pytest.raises(StreamError) as refusal:
            await tunnel.start(5)
        assert refusal.value.reason is tunnel.reason is Reason.PROFILE_NOT_ASSIGNED


async def test_the_second_half_of_the_gate(tmp_path: Path) -> None:
    """Without the application's token the channel is up and the flow is denied, with the issuer's reason."""
    async with tunnel_world(tmp_path) as world:
        world.credentials.denied[AUDIENCE] = Reason.APPLICATION_NOT_ASSIGNED
        tunnel = await world.started()
        assert await world.refusal() is Reason.APPLICATION_NOT_ASSIGNED
        assert tunnel.state == "connected"
        del world.credentials.denied[AUDIENCE]
        request, _ = await world.open()
        request.application.reset()


async def test_a_denied_sign_in_is_no_reason_to_ask_the_edge(tmp_path: Path) -> None:
    """No channel token, no connection."""
    async with tunnel_world(tmp_path) as world:
        world.credentials.denied[CHANNEL] = Reason.PROFILE_NOT_ASSIGNED
        tunnel = world.tunnel()
        with pytest.raises(Denied):
            await tunnel.start(5)
        assert (tunnel.state, tunnel.reason) == ("unauthenticated", Reason.PROFILE_NOT_ASSIGNED)
        assert await world.refusal() is Reason.PROFILE_NOT_ASSIGNED
        assert not world.server.sessions


# Certificates


async def test_a_certificate_of_another_authority(tmp_path: Path) -> None:
    """TLS refuses it; the client, which believed itself connected, calls it by its name."""
    async with tunnel_world(tmp_path) as world:
        theirs = Authority(tmp_path, "theirs")
        credentials = FakeCredentials(world.authority, theirs.client())
        tunnel = world.tunnel(credentials=credentials)
        with pytest.raises(StreamError) as refusal:
            await tunnel.start(5)
        assert refusal.value.reason is Reason.CERTIFICATE_REFUSED
        assert tunnel.state == "unauthenticated"


async def test_a_certificate_of_another_tenant_under_our_authority(tmp_path: Path) -> None:
    """What the chain allows by mistake the edge still does not."""
    async with tunnel_world(tmp_path) as world:
        pair = world.authority.client(tenant_id=OTHER_TENANT, label="wrong-tenant")
        tunnel = world.tunnel(credentials=FakeCredentials(world.authority, pair))
        with pytest.raises(StreamError) as refusal:
            await tunnel.start(5)
        assert refusal.value.reason is Reason.CERTIFICATE_REFUSED
        await until(lambda: not world.server.sessions)


async def test_an_edge_of_another_authority_or_name(tmp_path: Path) -> None:
    """The client hangs up and says why; no token was sent."""
    async with tunnel_world(tmp_path) as world:
        theirs = Authority(tmp_path, "theirs")
        tunnel = world.tunnel(credentials=FakeCredentials(theirs, world.credentials.pair))
        with pytest.raises(StreamError) as refusal:
            await tunnel.start(5)
        assert refusal.value.reason is Reason.CERTIFICATE_INVALID
        tunnel = world.tunnel(sni=f"{OTHER_TENANT}.private.edge.test")
        with pytest.raises(StreamError) as refusal:
            await tunnel.start(5)
        assert refusal.value.reason is Reason.EDGE_UNREACHABLE
        assert not world.server.sessions


# Application tokens and destinations


APP_REFUSALS: dict[str, tuple[dict[str, Any], Reason]] = {
    "of another user": ({"oid": OTHER_USER}, Reason.TOKEN_SUBJECT),
    "bound to another key": ({"cnf": {"jkt": "J" * 43}}, Reason.TOKEN_BINDING),
    "not bound": ({"cnf": ...}, Reason.TOKEN_BINDING),
    "of another tenant": ({"tid": OTHER_TENANT, "iss": FOREIGN}, Reason.TOKEN_TENANT),
    "expired": ({"iat": 1_600_000_000, "nbf": 1_600_000_000, "exp": 1_600_003_600}, Reason.TOKEN_EXPIRED),
    "a channel token": ({"aud": CHANNEL}, Reason.TOKEN_AUDIENCE),
    "of no application of ours": ({"aud": STRANGER}, Reason.TOKEN_AUDIENCE),
    "without scope": ({"scp": "x"}, Reason.TOKEN_SCOPE),
}


@pytest.mark.parametrize("name", APP_REFUSALS)
async def test_application_tokens_that_open_no_flow(name: str, tmp_path: Path) -> None:
    """All flows that waited are refused with the edge's reason; a good token later works."""
    changes, reason = APP_REFUSALS[name]
    async with tunnel_world(tmp_path) as world:
        world.credentials.changed[AUDIENCE] = changes
        await world.started()
        requests = [await world.request() for _ in range(3)]
        await until(lambda: all(request.refused for request in requests))
        assert {request.refused for request in requests} == {reason}
        del world.credentials.changed[AUDIENCE]
        request, _ = await world.open()
        request.application.reset()
        await until(world.quiet)


async def test_a_destination_of_another_application(tmp_path: Path) -> None:
    """The edge judges by its own profile, whatever the daemon's says; nothing is dialled."""
    async with tunnel_world(tmp_path) as world:
        world.use(profile(rule("files"), rule("other"), rule("unknown")))
        await world.started()
        assert await world.refusal("other.example") is Reason.DESTINATION_NOT_IN_APPLICATION
        assert await world.refusal("unknown.example") is Reason.DESTINATION_NOT_IN_APPLICATION
        refused = [record.reason for record in world.server.flows.ended]
        assert refused == [Reason.DESTINATION_NOT_IN_APPLICATION] * 2
        await until(world.quiet)


async def test_an_origin_that_refuses(tmp_path: Path) -> None:
    """It is the origin that is blamed, not the edge."""
    async with tunnel_world(tmp_path) as world:
        await world.started()
        assert await world.refusal("closed.example") is Reason.ORIGIN_REFUSED
        await until(world.quiet)


async def test_an_accepted_token_that_ends_is_replaced_in_time(tmp_path: Path) -> None:
    """The daemon stops using it a minute before its end; the next flow brings a new one."""
    async with tunnel_world(tmp_path) as world:
        world.credentials.changed[AUDIENCE] = {"exp": int(time.time()) + 62}
        await world.started()
        for _ in range(2):
            request, _ = await world.open()
            request.application.reset()
        assert world.credentials.asked.count(AUDIENCE) == 1
        await asyncio.sleep(2.1)
        request, _ = await world.open()
        request.application.reset()
        assert world.credentials.asked.count(AUDIENCE) == 2
        await until(world.quiet)


async def test_a_token_that_the_edge_has_forgotten_is_offered_again(tmp_path: Path) -> None:
    """`token_ref_unknown` costs the application nothing: the flow is asked for once more, with a new token."""
    async with tunnel_world(tmp_path) as world:
        await world.started()
        request, _ = await world.open()
        request.application.reset()
        (session,) = world.server.sessions
        session.bearer.refs.clear()
        request, _ = await world.open()
        request.application.reset()
        assert world.credentials.asked.count(AUDIENCE) == 2


async def test_starting_can_be_cancelled_anywhere(tmp_path: Path) -> None:
    """After whichever turn of the loop: no task, no socket and no session stays."""
    async with tunnel_world(tmp_path) as world:
        for turns in [*range(12), *range(12, 2000, 9)]:
            tunnel = world.tunnel()
            task = world.group.create_task(tunnel.start(5))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            await tunnel.close()
            await until(lambda: not world.server.sessions)
            if not task.cancelled():
                assert turns > 2
                return
        pytest.fail("it never came to an end by itself")
