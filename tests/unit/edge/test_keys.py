"""The key cache: fetched ahead, kept when the issuer is away, and never at a stranger's pleasure."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.tokens import key_set, public_jwk
from tunneld.edge.keys import ABSENT_S, KeyCache, KeyDocument, max_age_of
from tunneld.edge.settings import KeysSection
from tunneld.model.errors import StreamError, TokenError
from tunneld.model.reasons import Reason

RATES = KeysSection(refresh_s=3600, unknown_s=300, retry_s=5, lifetime_s=86400)


class Issuer:
    """An issuer whose answers tests choose."""

    def __init__(self, *keys: str) -> None:
        self.document: bytes | None = None
        self.publish(*keys)
        self.asked = 0
        self.gate: asyncio.Event | None = None
        self.third_time = asyncio.Event()

    def publish(self, *keys: str) -> None:
        self.document = key_set(*(public_jwk(name) for name in keys))

    async def fetch(self) -> bytes:
        self.asked += 1
        if self.asked == 3:
            self.third_time.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.document is None:
            raise StreamError(Reason.IDP_UNREACHABLE, "down")
        return self.document


class Clock:
    """Seconds that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def cache(issuer: Issuer, clock: Clock | None = None, rates: KeysSection = RATES) -> KeyCache:
    return KeyCache(issuer.fetch, rates, clock=clock or Clock())


async def refused(keys: KeyCache, key_id: str) -> Reason:
    with pytest.raises(TokenError) as refusal:
        await keys.find(key_id)
    return refusal.value.reason


async def test_the_first_question_fetches_and_the_next_does_not() -> None:
    """A known key is answered from memory."""
    issuer = Issuer("first", "second")
    keys = cache(issuer)
    assert keys.known("first") is None
    assert (await keys.find("first")).key_id == "first"
    assert (await keys.find("second")).key_id == "second"
    assert keys.known("first") is not None
    assert issuer.asked == 1


async def test_unknown_ids_cost_one_look_an_interval() -> None:
    """Ten thousand invented key ids are one fetch; after the interval there is one more."""
    issuer, clock = Issuer("first"), Clock()
    keys = cache(issuer, clock)
    await keys.refresh()
    for number in range(10_000):
        assert await refused(keys, f"invented-{number}") is Reason.TOKEN_KEY_UNKNOWN
    assert issuer.asked == 2
    clock.now += 300
    assert await refused(keys, "another") is Reason.TOKEN_KEY_UNKNOWN
    assert issuer.asked == 3


async def test_one_absent_id_is_not_looked_for_again_soon() -> None:
    """Even where looks are frequent, the same invented id does not cause them."""
    issuer, clock = Issuer("first"), Clock()
    keys = cache(issuer, clock, RATES.model_copy(update={"unknown_s": 1.0}))
    assert await refused(keys, "invented") is Reason.TOKEN_KEY_UNKNOWN
    clock.now += ABSENT_S - 1
    assert await refused(keys, "invented") is Reason.TOKEN_KEY_UNKNOWN
    assert issuer.asked == 1
    clock.now += 1
    assert await refused(keys, "invented") is Reason.TOKEN_KEY_UNKNOWN
    assert issuer.asked == 2


async def test_absent_ids_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of invented ids does not grow with them."""
    monkeypatch.setattr("tunneld.edge.keys.MAX_ABSENT", 3)
    clock = Clock()
    keys = cache(Issuer("first"), clock, RATES.model_copy(update={"unknown_s": 1.0}))
    for number in range(10):
        clock.now += 1
        await refused(keys, str(number))
    assert len(keys._absent) <= 3


async def test_a_new_key_is_found_at_once_after_a_scheduled_look() -> None:
    """An emergency rollover right after the hourly look does not wait for the next one."""
    issuer, clock = Issuer("first"), Clock()
    keys = cache(issuer, clock)
    await keys.find("first")
    clock.now += 3600
    await keys.refresh()
    issuer.publish("first", "second")
    assert (await keys.find("second")).key_id == "second"


async def test_a_withdrawn_key_stops_at_the_next_look() -> None:
    """The document is the truth: what vanished from it no longer verifies, and caches are told."""
    issuer = Issuer("first", "second")
    keys = cache(issuer)
    await keys.refresh()
    generation = keys.generation
    await keys.refresh()
    assert keys.generation == generation
    issuer.publish("second")
    await keys.refresh()
    assert keys.known("first") is None
    assert keys.generation == generation + 1


@pytest.mark.parametrize("document", [None, b"nonsense", b'{"keys":[]}', b'{"keys":[],"keys":[]}'])
async def test_the_last_good_keys_stay_while_the_issuer_is_away(document: bytes | None) -> None:
    """Down, broken or empty: the old keys work until they are a day old."""
    issuer, clock = Issuer("first"), Clock()
    keys = cache(issuer, clock)
    assert await keys.refresh()
    issuer.document = document
    assert not await keys.refresh()
    assert keys.last_failure is not None
    assert (await keys.find("first")).key_id == "first"
    clock.now += 86401
    assert keys.known("first") is None
    assert await refused(keys, "first") is Reason.IDP_UNREACHABLE


async def test_without_any_keys_the_issuer_is_to_blame_not_the_token() -> None:
    """Before the first success the reason is the issuer; it is tried again soon, but not for every token."""
    issuer, clock = Issuer("first"), Clock()
    issuer.document = None
    keys = cache(issuer, clock)
    assert await refused(keys, "first") is Reason.IDP_UNREACHABLE
    assert await refused(keys, "first") is Reason.IDP_UNREACHABLE
    assert issuer.asked == 1
    issuer.publish("first")
    clock.now += 5
    assert (await keys.find("first")).key_id == "first"


async def test_many_who_ask_at_once_share_one_fetch() -> None:
    """A thundering herd after a start is one request, and each gets its answer."""
    issuer = Issuer("first", "second")
    issuer.gate = asyncio.Event()
    keys = cache(issuer)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        tasks = [group.create_task(keys.find(name)) for name in ("first", "second") * 50]
        await asyncio.sleep(0)
        issuer.gate.set()
    assert [task.result().key_id for task in tasks] == ["first", "second"] * 50
    assert issuer.asked == 1


async def test_a_cancelled_look_leaves_the_next_one_free() -> None:
    """When the one who fetches gives up, the next in line fetches."""
    issuer = Issuer("first")
    issuer.gate = asyncio.Event()
    keys = cache(issuer)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        impatient = group.create_task(keys.find("first"))
        patient = group.create_task(keys.find("first"))
        await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.sleep(0)
        issuer.gate.set()
    assert patient.result().key_id == "first"


async def test_keys_are_kept_fresh_by_an_owned_task() -> None:
    """It looks at once, soon after a failure, and takes another fetch from the next look on."""
    issuer, other = Issuer("first"), Issuer("second")
    issuer.document = None
    keys = cache(issuer, rates=RATES.model_copy(update={"retry_s": 0.001, "refresh_s": 0.001}))
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        task = group.create_task(keys.keep_fresh())
        await issuer.third_time.wait()
        keys.fetch_with(other.fetch)
        await other.third_time.wait()
        assert keys.known("second") is not None
        task.cancel()


@pytest.mark.parametrize(
    ("age", "pause"), [(None, 3600.0), (300.0, 300.0), (0.0, 5.0), (999_999.0, 3600.0), (4.0, 5.0)],
    ids=["silent", "five minutes", "never keep it", "longer than ours", "less than after a failure"],
)
async def test_the_issuers_age_of_a_document_shortens_the_pause(age: float | None, pause: float) -> None:
    """A withdrawn key is gone from here by then; the issuer can ask for more looks, not for a flood of them."""
    document = KeyDocument(key_set(public_jwk("first")))
    document.max_age_s = age

    async def fetch() -> bytes:
        return document

    keys = KeyCache(fetch, KeysSection())
    assert await keys.refresh()
    assert keys.pause_s == pause


@pytest.mark.parametrize(
    ("field", "age"),
    [
        ("public, max-age=300", 300.0), ("max-age=0", 0.0), ("MAX-AGE=5 , public", 5.0), ("", None), ("no-store", None),
        ("s-maxage=9", None), ("max-age=-1", None), ("max-age=1e9", None), ("max-age=" + "9" * 99, None),
        ('x="max-age=1"', None), ("max-age", None),
    ],
)
def test_what_cannot_be_read_leaves_our_own_pace(field: str, age: float | None) -> None:
    """A header of another form, or a number that nobody means, says nothing."""
    assert max_age_of(field) == age
