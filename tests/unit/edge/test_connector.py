"""From destination to origin: mapped at once, resolved and judged, or refused."""

from __future__ import annotations

from collections.abc import Sequence

import dns.resolver
import pytest

from tests.support.edge_settings import settings
from tunneld.edge.connector import MAX_ADDRESSES, Connector, Origin
from tunneld.model.reasons import Reason
from tunneld.model.verdict import Protocol
from tunneld.policy.admission import Refuse


class Names:
    """A resolver with a list of answers for any name, and a count of questions."""

    def __init__(self, *answers: Sequence[str] | Exception) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(self, host: str) -> Sequence[str]:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if isinstance(answer, Exception):
            raise answer
        return answer


class Clock:
    """Seconds that tests move."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def connector(*answers: Sequence[str] | Exception, clock: Clock | None = None) -> Connector:
    return Connector(settings().connector, resolve=Names(*answers).resolve, clock=clock or Clock())


def reason_of(answer: object) -> Reason | None:
    return answer.reason if isinstance(answer, Refuse) else None


async def test_a_mapped_destination_is_answered_at_once() -> None:
    """Without asking anybody, loopback or not, with its PROXY protocol wish, TCP and UDP apart."""
    link = connector()
    origin = link.locate_now("files.example", 80)
    assert origin == Origin(("127.0.0.1",), 8000, True, "files.example:80", True)
    assert await link.locate("files.example", 80) == origin
    datagram = link.locate_now("files.example", 53, Protocol.UDP)
    assert isinstance(datagram, Origin)
    assert (datagram.port, datagram.proxy_protocol) == (5353, False)
    assert link.locate_now("files.example", 53) is None
    assert isinstance(link.locate_now("2001:db8::1", 80), Origin)


def test_a_literal_address_is_judged_at_once() -> None:
    """A private address is fine, a loopback one is not unless that very pair is allowed."""
    link = connector()
    assert link.locate_now("10.0.0.1", 22) == Origin(("10.0.0.1",), 22, False, "10.0.0.1:22", False)
    assert reason_of(link.locate_now("127.0.0.1", 8000)) is Reason.FORBIDDEN_DESTINATION
    assert reason_of(link.locate_now("169.254.169.254", 80)) is Reason.FORBIDDEN_DESTINATION
    assert isinstance(link.locate_now("127.0.0.1", 9009), Origin)


async def test_a_name_is_judged_after_resolution() -> None:
    """Only permitted answers are kept, and they are what is dialled: the name is not asked again."""
    names = Names(["127.0.0.1", "10.0.0.7", "::1", "2001:db8::7"], ["169.254.169.254"])
    link = Connector(settings().connector, resolve=names.resolve)
    origin = await link.locate("rebind.example", 80)
    assert isinstance(origin, Origin)
    assert origin.addresses == ("10.0.0.7", "2001:db8::7")
    assert names.asked == 1
    assert reason_of(await link.locate("rebind.example", 80)) is Reason.FORBIDDEN_DESTINATION


async def test_answers_are_bounded() -> None:
    """A name with a hundred addresses is not a hundred attempts."""
    origin = await connector([f"10.0.0.{n}" for n in range(100)]).locate("many.example", 80)
    assert isinstance(origin, Origin)
    assert len(origin.addresses) == MAX_ADDRESSES


@pytest.mark.parametrize("answer", [dns.resolver.NXDOMAIN(), dns.resolver.NoAnswer(), OSError("down"), []])
async def test_a_name_without_an_address_is_refused(answer: Sequence[str] | Exception) -> None:
    """Whatever the resolver's trouble, the reason is one."""
    assert reason_of(await connector(answer).locate("absent.example", 80)) is Reason.NAME_NOT_RESOLVED


@pytest.mark.parametrize("own", [("127.0.0.1", 8000), ("::ffff:127.0.0.1", 8000), ("0.0.0.0", 8000)])
def test_nothing_leads_back_to_the_edge(own: tuple[str, int]) -> None:
    """A map that points at our own listener is a loop, and is refused instead of followed."""
    link = connector()
    link.forbid([("127.0.0.1", 9009)])
    link.forbid([own])
    assert reason_of(link.locate_now("files.example", 80)) is Reason.FORBIDDEN_DESTINATION
    assert reason_of(link.locate_now("127.0.0.1", 9009)) is Reason.FORBIDDEN_DESTINATION


def test_an_origin_that_keeps_failing_is_refused_at_once_for_a_while() -> None:
    """Five failures open the circuit; after the pause one attempt decides; a success closes it."""
    clock = Clock()
    link = connector(clock=clock)
    origin = link.locate_now("files.example", 80)
    assert isinstance(origin, Origin)
    for _ in range(4):
        link.failed(origin)
    assert isinstance(link.locate_now("files.example", 80), Origin)
    link.failed(origin)
    assert reason_of(link.locate_now("files.example", 80)) is Reason.ORIGIN_UNREACHABLE
    assert isinstance(link.locate_now("files.example", 53, Protocol.UDP), Origin)
    clock.now += 5
    assert isinstance(link.locate_now("files.example", 80), Origin)
    link.failed(origin)
    assert reason_of(link.locate_now("files.example", 80)) is Reason.ORIGIN_UNREACHABLE
    clock.now += 5
    link.reached(origin)
    link.failed(origin)
    assert isinstance(link.locate_now("files.example", 80), Origin)


def test_circuits_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who tries every address of a network does not fill the memory."""
    monkeypatch.setattr("tunneld.edge.connector.MAX_CIRCUITS", 2)
    link = connector()
    for last in range(1, 6):
        origin = link.locate_now(f"10.0.0.{last}", 22)
        assert isinstance(origin, Origin)
        link.failed(origin)
    assert len(link._circuits) <= 2


def test_without_a_resolver_of_its_own_it_takes_the_configured_one() -> None:
    """The default is DNS; mapped destinations never ask it."""
    assert isinstance(Connector(settings().connector).locate_now("files.example", 80), Origin)
