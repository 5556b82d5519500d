"""No flow ends cleanly with bytes missing, whatever dies: histories of many flows, and a judge that reads them."""

from __future__ import annotations

import hashlib
import itertools
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.support.adapted_lab import DIRECT, PORT, AdaptedLab, adapted_lab
from tests.support.history import CLIENT, ORIGIN, REFUSED, Plan, Seen, complete, content, judge
from tests.support.origins import describe
from tests.support.proxy_clients import KINDS, Refused, dial
from tests.support.running_lab import wait_until
from tests.support.talk import talk

KILLS = 5
FLOWS = 44  # at a time: 220 over all kills
HOST = "cut.contoso.internal"
BACK_S = 2.0  # from the edge's ready line to the first flow that works


_NUMBERS = itertools.count(1)  # of flows, over all tests: the origins keep one history


class Load:
    """Flows of all sizes in both directions, and their history."""

    def __init__(self, lab: AdaptedLab, seed: int, proxy: str | None = None) -> None:
        self.plans: dict[int, Plan] = {}
        self.seen: list[Seen] = []
        self._lab = lab
        self._proxy = proxy or lab.proxy
        self._random = random.Random(seed)
        self._moved = 0

    def begin(
        self, pool: ThreadPoolExecutor, count: int, *, host: str = HOST, spared: bool = False
    ) -> list[Future[None]]:
        """Start `count` flows of random sizes."""
        begun = []
        for _ in range(count):
            plan = Plan(next(_NUMBERS), *self._sizes(), spared)
            self.plans[plan.flow] = plan
            kind = self._random.choice(KINDS)
            part = self._random.choice(("exchange", "answer"))
            pause = self._random.choice((0.0, 0.0, 0.005, 0.02))  # seconds after each 64 KiB
            begun.append(pool.submit(self._run, plan, host, kind, part, pause))
        return begun

    def _sizes(self) -> tuple[int, int]:
        up, down = (int(2 ** self._random.uniform(6, 22)) for _ in range(2))  # 64 bytes to 4 MiB
        return self._random.choice(((up, down), (up, 0), (0, down), (up, up)))

    def _run(self, plan: Plan, host: str, kind: str, part: str, pause: float) -> None:
        try:
            sock = dial(self._proxy, host, PORT, kind)
        except (Refused, OSError):  # the edge is away already: a refusal is a good end
            self.seen.append(Seen(plan.flow, CLIENT, 0, False, 0, _NOTHING, REFUSED))
            return
        line = f"{plan.flow} {part} {plan.download}\n".encode()
        with suppress(OSError):  # `talk` sees it too
            sock.sendall(line)
        done = talk(sock, content(plan.flow, CLIENT, plan.upload), pause_s=pause, progress=self._count)
        self.seen.append(Seen(plan.flow, CLIENT, *done))

    def _count(self, size: int) -> None:
        self._moved += size

    def history(self) -> list[Seen]:
        """Return what both sides wrote down, when the origins' threads are through too."""
        origins = self._lab.origins.values()

        def through() -> bool:
            return {s.flow for o in origins for s in o.seen} >= {f for o in origins for f in o.flows if f in self.plans}

        wait_until(through, 20)
        return self.seen + [seen for origin in origins for seen in origin.seen if seen.flow in self.plans]

    @property
    def moved(self) -> int:
        """How many bytes have arrived anywhere."""
        return self._moved + sum(origin.moved for origin in self._lab.origins.values())

    @property
    def planned(self) -> int:
        """How many bytes all flows so far are to move."""
        return sum(plan.upload + plan.download for plan in self.plans.values())


_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdaptedLab]:
    """A lab of this module's own: it loses its edges."""
    with adapted_lab(tmp_path_factory.mktemp("lab") / "s") as running:
        yield running


@contextmanager
def busy(count: int) -> Iterator[ThreadPoolExecutor]:
    """Give threads for `count` clients."""
    with ThreadPoolExecutor(count) as pool:
        yield pool


@contextmanager
def killed_in_mid_flow(load: Load, dice: random.Random, kill: Callable[[], None]) -> Iterator[None]:
    """Kill when a random share of what the block begins has moved."""
    planned, moved = load.planned, load.moved
    yield
    goal = moved + dice.uniform(0.02, 0.5) * (load.planned - planned)
    deadline = time.monotonic() + 20
    while load.moved < goal and time.monotonic() < deadline:
        time.sleep(0.0005)
    kill()


def reached(lab: AdaptedLab, host: str) -> str | None:
    """Return the canary behind `host`, or None when it cannot be reached."""
    try:
        with dial(lab.proxy, host, PORT, early=b"0 whoami 0\n") as sock:
            return sock.recv(100).decode().strip() or None
    except (Refused, OSError):
        return None


def test_an_edge_killed_at_any_byte_truncates_nothing(lab: AdaptedLab) -> None:
    """Clients and origins of its flows see resets; what belongs to others goes on; it is back in two seconds."""
    dice = random.Random(20)
    load = Load(lab, seed=21)
    lab.go_to("fabrikam")
    with busy(FLOWS + 2) as pool, dial(lab.proxy, "keep.corp.internal", PORT, early=b"0 stamps 0\n") as kept:
        assert kept.recv(100) == b"canary-fabrikam\n"
        lab.go_to("contoso")
        with dial(lab.proxy, DIRECT, PORT, early=b"0 stamps 0\n") as direct:
            assert direct.recv(100) == b"canary-direct\n"
            for _ in range(KILLS):
                with killed_in_mid_flow(load, dice, lambda: lab.kill_edge("contoso")):
                    begun = load.begin(pool, FLOWS)
                    spared = load.begin(pool, 2, host=DIRECT, spared=True)
                for each in (*begun, *spared):
                    each.result()
                for flow in (kept, direct):  # another tenant's tunnel, and no tenant's
                    flow.sendall(b"1.5\n")
                    assert flow.recv(100) == b"1.5\n"
                assert reached(lab, HOST) is None
                lab.start_edge("contoso")
                ready = time.monotonic()
                wait_until(lambda: reached(lab, HOST) == "canary-contoso")
                assert time.monotonic() - ready <= BACK_S
    history = load.history()
    assert not judge(load.plans, history), describe(history)
    ends = [seen.end for seen in history if seen.side == CLIENT and not load.plans[seen.flow].spared]
    assert ends.count("reset") >= 5 * KILLS, "the kills came too late to prove anything"
    assert complete(load.plans, history) >= KILLS
    assert len(ends) >= 200


@pytest.mark.parametrize("kind", KINDS)
def test_while_the_edge_is_down_the_rule_decides(lab: AdaptedLab, kind: str) -> None:
    """`block` refuses in each protocol's own terms, `bypass` goes direct, and the record says which."""
    lab.go_to("contoso")
    lab.kill_edge("contoso")
    try:
        wait_until(lambda: lab.status()["channels"]["private"]["state"] == "unreachable")
        with pytest.raises(Refused) as refused:
            dial(lab.proxy, HOST, PORT, kind)
        # RFC 1928 §6: 4 is "host unreachable"; SOCKS4 has one code for everything; RFC 9209 explains the 502.
        assert (refused.value.code, refused.value.reason) == {
            "socks5": (4, None), "socks4a": (91, None), "http-connect": (502, "hardening_block"),
        }[kind]  # fmt: skip
        blocked = lab.flows()[0]
        assert (blocked["state"], blocked["reason"]) == ("refused", "hardening_block")
        with dial(lab.proxy, "soft.contoso.internal", PORT, kind, early=b"0 whoami 0\n") as sock:
            assert sock.recv(100) == b"canary-direct\n"
            assert lab.flows()[0]["action"] == "direct"
    finally:
        lab.start_edge("contoso")
    wait_until(lambda: reached(lab, "soft.contoso.internal") == "canary-contoso")


def test_a_killed_daemon_truncates_nothing_and_leaves_nothing(lab: AdaptedLab) -> None:
    """Its applications and the origins of its direct flows see resets; it has no children; it starts again."""
    lab.go_to("contoso")
    load, dice = Load(lab, seed=22), random.Random(23)
    with busy(30) as pool:
        children = psutil.Process(lab.lab.daemon.pid).children(recursive=True)
        with killed_in_mid_flow(load, dice, lambda: lab.kill(lab.lab.daemon)):
            begun = load.begin(pool, 20) + load.begin(pool, 10, host=DIRECT)
        for each in begun:
            each.result()
    left_behind = lab.paths.control.is_socket()
    lab.start_daemon()
    assert left_behind, "a killed daemon cannot remove it"
    assert not [child for child in children if child.is_running()]
    history = load.history()
    assert not judge(load.plans, history), describe(history)
    assert sum(seen.end == "reset" for seen in history) >= 10
    wait_until(lambda: reached(lab, HOST) == "canary-contoso")


def test_the_judge_catches_a_daemon_that_says_fin_for_reset(lab: AdaptedLab) -> None:
    """The same load and the same kill, against a build with this one defect."""
    lab.go_to("contoso")
    lab.kill(lab.lab.daemon)
    config = str(lab.lab.configuration.file("daemon.toml"))
    broken = subprocess.Popen(
        [sys.executable, "-m", "tests.support.broken_daemon", "run", "--config", config],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[2],
    )
    load, dice = Load(lab, seed=24), random.Random(25)
    try:
        assert broken.stdout is not None
        assert broken.stdout.readline()
        wait_until(lambda: reached(lab, HOST) == "canary-contoso")
        with busy(FLOWS) as pool:
            with killed_in_mid_flow(load, dice, lambda: lab.kill_edge("contoso")):
                begun = load.begin(pool, FLOWS)
            for each in begun:
                each.result()
    finally:
        broken.kill()
        broken.communicate()
        lab.start_edge("contoso")
        lab.start_daemon()
    found = judge(load.plans, load.history())
    assert any(violation.what.startswith("a clean end after") for violation in found)
    wait_until(lambda: reached(lab, HOST) == "canary-contoso")


def test_no_program_had_a_defect_to_report(lab: AdaptedLab) -> None:
    """Not one traceback in any log after all of it."""
    assert lab.tracebacks() == []


def seen(flow: int, side: str, size: int, end: str, *, said_all: bool = True, writer: str | None = None) -> Seen:
    """Return what an honest side would have written down."""
    said = content(flow, writer or (CLIENT if side == ORIGIN else ORIGIN), size)
    return Seen(flow, side, 0, said_all, size, hashlib.sha256(said).hexdigest(), end)


@pytest.mark.parametrize(
    ("history", "fault"),
    [
        ((seen(1, CLIENT, 20, "fin"), seen(1, ORIGIN, 10, "fin")), None),
        ((seen(1, CLIENT, 7, "reset"), seen(1, ORIGIN, 3, "reset")), None),
        ((seen(1, CLIENT, 20, "fin"), seen(1, ORIGIN, 3, "reset")), None),
        ((seen(1, CLIENT, 0, "refused"),), None),
        ((seen(1, CLIENT, 19, "fin"), seen(1, ORIGIN, 10, "fin")), "a clean end after 19 of 20 bytes"),
        ((seen(1, CLIENT, 20, "fin"), seen(1, ORIGIN, 9, "fin")), "a clean end after 9 of 10 bytes"),
        ((seen(1, CLIENT, 20, "timeout"),), "hangs after 20 of 20 bytes"),
        ((seen(1, CLIENT, 21, "fin"),), "read 21 bytes of 20"),
        ((seen(1, CLIENT, 20, "fin", writer=CLIENT),), "read 20 bytes that nobody said"),
        ((seen(1, CLIENT, 20, "fin"), seen(1, ORIGIN, 10, "fin", said_all=False)),
         "a clean end that the other side never said"),
        ((seen(2, CLIENT, 5, "reset"),), "reset without a fault, after 5 of 20 bytes"),
        ((seen(1, ORIGIN, 10, "fin"),), "left no record"),
        ((seen(1, CLIENT, 20, "fin"), seen(1, CLIENT, 20, "fin")), "a side wrote two records"),
    ],
)  # fmt: skip
def test_the_judge_knows_every_fault(history: tuple[Seen, ...], fault: str | None) -> None:
    """Each fault by itself, and what is no fault."""
    plans = {number: Plan(number, 10, 20, spared=number == 2) for number in {each.flow for each in history}}
    assert [violation.what for violation in judge(plans, history)] == ([fault] if fault else [])
