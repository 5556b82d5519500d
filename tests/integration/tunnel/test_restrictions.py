"""A token that was issued elsewhere and brought into a restricted network opens nothing there."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.integration.tunnel.test_foreign import library_client, unbound
from tests.support.roads import until
from tests.support.tokens import AUDIENCE, CHANNEL, OTHER_TENANT, TENANT
from tests.support.tunnel_world import tunnel_world
from tunneld.edge.restrictions import REMEMBERED_S, RestrictionCheck
from tunneld.model.errors import StreamError, TokenError
from tunneld.model.reasons import Reason

POLICY = f"{OTHER_TENANT}:{TENANT}"
HEADER = "sec-restrict-tenant-access-policy"


class Judge:
    """The identity provider's endpoint: permits the audiences that it is told to, and counts questions."""

    def __init__(self, *permitted: str) -> None:
        self.permitted = set(permitted)
        self.asked: list[tuple[str, str]] = []
        self.answer: bytes | None = None
        self.down = False

    async def __call__(self, policy: str, token: str) -> bytes:
        audience = json.loads(_padded(token.split(".")[1]))["aud"] if token.count(".") == 2 else token
        self.asked.append((policy, audience))
        if self.down:
            raise StreamError(Reason.IDP_UNREACHABLE, "as the test wants")
        if self.answer is not None:
            return self.answer
        return json.dumps({"permitted": audience in self.permitted, "reason": "tenant_restricted"}).encode()


def _padded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def test_a_restricted_connection_is_judged_for_every_token(tmp_path: Path) -> None:
    """The session by the channel's token, each application by its own; without a policy nobody is asked."""
    judge = Judge(CHANNEL)
    async with tunnel_world(tmp_path) as world:
        world.tenant.restrictions = RestrictionCheck(judge)
        await world.started()
        await world.open()
        assert judge.asked == []
        world.credentials.restriction = POLICY
        await world.started()
        assert await world.refusal() is Reason.TENANT_RESTRICTED
        assert judge.asked == [(POLICY, CHANNEL), (POLICY, AUDIENCE)]


async def test_a_session_that_the_policy_forbids_is_refused(tmp_path: Path) -> None:
    """With the reason, before any flow."""
    async with tunnel_world(tmp_path) as world:
        world.tenant.restrictions = RestrictionCheck(Judge())
        world.credentials.restriction = POLICY
        with pytest.raises(StreamError) as refused:
            await world.started()
        assert refused.value.reason is Reason.TENANT_RESTRICTED


@pytest.mark.parametrize("headers", [[(HEADER, POLICY)], [(HEADER, POLICY), (HEADER, POLICY)], [(HEADER, "nonsense")]])
async def test_a_foreign_client_is_held_to_the_header_of_its_flow(
    tmp_path: Path, headers: list[tuple[str, str]]
) -> None:
    """The infiltrated token: good everywhere else, refused where the network's header goes with it."""
    async with tunnel_world(tmp_path) as world:
        world.tenant.restrictions = RestrictionCheck(Judge())
        token = ("proxy-authorization", f"Bearer {unbound(world)}")
        async with library_client(world) as client:
            free = await client.request("files.example:80", token)
            held = await client.request("files.example:80", token, *headers)
            await client.until(lambda: {free, held} <= client.status.keys())
            assert client.status[free] == 200
            assert client.reason(held) == "tenant_restricted"
        await until(world.quiet)


Spoil = Callable[[Judge], None]


def _down(judge: Judge) -> None:
    judge.down = True


def _says(answer: bytes) -> Spoil:
    def spoil(judge: Judge) -> None:
        judge.answer = answer

    return spoil


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_down, Reason.IDP_UNREACHABLE),
        (_says(b""), Reason.IDP_UNREACHABLE),
        (_says(b"[]"), Reason.IDP_UNREACHABLE),
        (_says(b"{}"), Reason.IDP_UNREACHABLE),
        (_says(b"[" * 5000), Reason.IDP_UNREACHABLE),
        (_says(b'{"permitted": 1}'), Reason.TENANT_RESTRICTED),
        (_says(b'{"permitted": "true", "reason": 7}'), Reason.TENANT_RESTRICTED),
        (_says(b'{"permitted": false, "reason": "revoked"}'), Reason.REVOKED),
    ],
)
async def test_anything_but_a_clear_yes_is_a_no(spoil: Spoil, reason: Reason) -> None:
    """An outage or an odd answer must not open the network."""
    judge = Judge("token")
    spoil(judge)
    with pytest.raises(TokenError) as refused:
        await RestrictionCheck(judge).check(POLICY, "token")
    assert refused.value.reason is reason


@pytest.mark.parametrize("policy", ["", "x", POLICY + ",", f"{POLICY},{POLICY}", TENANT, POLICY.replace(":", "/")])
async def test_what_is_no_policy_is_refused_unasked(policy: str) -> None:
    """Fail closed, and no question to anybody."""
    judge = Judge("token")
    with pytest.raises(TokenError):
        await RestrictionCheck(judge).check(policy, "token")
    with pytest.raises(TokenError):
        await RestrictionCheck(None).check(POLICY, "token")
    assert judge.asked == []


async def test_an_answer_is_remembered_for_a_while_and_a_failure_is_not() -> None:
    """A change of the policy acts within a minute; an outage ends when it ends."""
    now = 0.0
    judge = Judge("token")
    check = RestrictionCheck(judge, clock=lambda: now)
    ask: Callable[[], Awaitable[None]] = lambda: check.check(POLICY.upper(), "token")  # noqa: E731
    judge.down = True
    with pytest.raises(TokenError):
        await ask()
    judge.down = False
    await ask()
    await ask()
    assert len(judge.asked) == 2
    judge.permitted.clear()
    await ask()
    now = REMEMBERED_S
    with pytest.raises(TokenError):
        await ask()
    with pytest.raises(TokenError):
        await ask()
    assert judge.asked == [(POLICY, "token")] * 3
