"""Tenant switches under load, judged by what clients and applications saw and not by what the programs say."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.adapted_lab import DIRECT, PORT, AdaptedLab, adapted_lab, edit_json
from tests.support.origins import Origin
from tests.support.proxy_clients import KINDS, Refused, dial
from tests.support.running_lab import wait_until

EACH = 6  # flows of each kind
SWITCHES = 50
PACE_S = 0.002


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdaptedLab]:
    """A lab of this module's own, with little patience."""
    state = tmp_path_factory.mktemp("lab") / "s"
    with adapted_lab(state, daemon={"limits": {"prepare_s": 4.0}}) as running:
        yield running


class Chatter:
    """A flow whose client sends the time every few milliseconds, reads it back, and notes how it ended."""

    def __init__(self, lab: AdaptedLab, host: str, number: int, kind: str = "socks5") -> None:
        self.number = number
        self.sent = 0
        self.echoed = b""
        self.end: str | None = None
        self.ended_at = 0.0
        self._broken = False
        self._sock = dial(lab.proxy, host, PORT, kind, early=f"{number} stamps 0\n".encode())
        self.canary = self._line()
        self._quiet = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._speak, self._listen)]
        for thread in self._threads:
            thread.start()

    def _line(self) -> str:
        data = b""
        while not data.endswith(b"\n"):
            data += self._sock.recv(1)
        return data.decode().strip()

    def _speak(self) -> None:
        try:
            while not self._quiet.wait(PACE_S):
                self.sent += self._sock.send(f"{time.monotonic():.7f}\n".encode())
            self._sock.shutdown(socket.SHUT_WR)
        except ConnectionResetError:  # told once, to whoever asks first; after a FIN it would be EPIPE
            self._broken = True
        except OSError:
            return

    def _listen(self) -> None:
        try:
            while data := self._sock.recv(65536):
                self.echoed += data
            time.sleep(0.01)
            self.end = "reset" if self._broken else "fin"
        except TimeoutError:
            self.end = "timeout"
        except OSError:
            self.end = "reset"
        self.ended_at = time.monotonic()

    def stop(self) -> None:
        """Say FIN and wait for the end."""
        self._quiet.set()
        for thread in self._threads:
            thread.join(30)
        self._sock.close()


_numbers = iter(range(1, 1_000_000))


@contextmanager
def chatting(lab: AdaptedLab, *hosts: str) -> Iterator[list[Chatter]]:
    """Give `EACH` talking flows for each host, over all proxy protocols."""
    flows: list[Chatter] = []
    try:
        for host in hosts:
            flows += [Chatter(lab, host, next(_numbers), KINDS[i % len(KINDS)]) for i in range(EACH)]
        wait_until(lambda: all(flow.echoed for flow in flows))
        yield flows
    finally:
        for flow in flows:
            flow.stop()


def pieces_after(origin: Origin, flows: list[Chatter], moment: float) -> int:
    """Return how many stamps that were sent after `moment` an application got in these flows."""
    numbers = {flow.number for flow in flows}
    return sum(piece.flow in numbers and piece.sent > moment for piece in origin.pieces)


def test_every_flow_ends_as_its_rule_says_and_the_receipt_tells_the_truth(lab: AdaptedLab) -> None:
    """Terminated flows move nothing once the call has returned, kept ones go on, draining ones get their seconds."""
    lab.go_to("fabrikam")
    origin = lab.origins["fabrikam"]
    hosts = ("cut.corp.internal", "keep.corp.internal", "drain.corp.internal", DIRECT)
    with chatting(lab, *hosts) as flows:
        cut, keep, drain, direct = (flows[i * EACH : (i + 1) * EACH] for i in range(4))
        assert {flow.canary for flow in cut + keep + drain} == {"canary-fabrikam"}
        receipt = lab.switch("woodgrove")
        returned = time.monotonic()
        assert receipt["committed"], receipt
        wait_until(lambda: all(flow.end for flow in cut), 5)
        wait_until(lambda: all(flow.end for flow in drain), 6)
        assert {flow.end for flow in cut + drain} == {"reset"}
        assert {flow.end for flow in keep + direct} == {None}
        wait_until(lambda: origin.ends.keys() >= {flow.number for flow in cut + drain}, 5)
        assert {origin.ends[flow.number] for flow in cut + drain} == {"reset"}
    assert {flow.end for flow in keep + direct} == {"fin"}
    assert receipt["flows"] == {"terminated": EACH, "drained": EACH, "kept": EACH}
    assert receipt["old_epoch_bytes_after_commit"] == 0
    assert pieces_after(origin, cut, returned) == 0
    assert pieces_after(origin, drain, returned) > 0
    assert pieces_after(origin, keep, returned) > 0
    assert all(1.5 <= flow.ended_at - returned <= 4 for flow in drain), "drain:2 is two seconds"
    assert all(len(flow.echoed) == flow.sent for flow in keep + direct), "what goes on loses nothing"
    by_port = Counter((flow["state"], flow["reason"]) for flow in lab.flows() if flow["port"] == PORT)
    assert by_port[("terminated", "tenant_switched")] == 2 * EACH
    lines = (lab.paths.lab / "edge-fabrikam.flows.jsonl").read_text().splitlines()
    ends = Counter(record.get("reason") for record in map(json.loads, lines) if record.get("end"))
    assert ends["tenant_switched"] >= EACH


def test_the_canary_would_show_bytes_of_a_flow_that_goes_on(lab: AdaptedLab) -> None:
    """The same measure finds the bytes of a kept flow: a measure that never finds anything proves nothing."""
    lab.go_to("fabrikam")
    with chatting(lab, "keep.corp.internal") as flows:
        assert lab.switch("woodgrove")["committed"]
        returned = time.monotonic()
        wait_until(lambda: pieces_after(lab.origins["fabrikam"], flows, returned) > 0)


class Openers:
    """Threads that open flows to one name without a pause, and what became of each."""

    def __init__(self, lab: AdaptedLab, count: int) -> None:
        self.reached: dict[int, str] = {}
        self.refused: Counter[tuple[int | None, str | None]] = Counter()
        self.reset = 0
        self.wrong: list[str] = []
        self._lab = lab
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(KINDS[i % 3],)) for i in range(count)]

    def __enter__(self) -> Openers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def _work(self, kind: str) -> None:
        while not self._over.is_set():
            number = next(_numbers)
            try:
                with dial(self._lab.proxy, "cut.corp.internal", PORT, kind, early=f"{number} whoami 0\n".encode()) as s:
                    answer = b"".join(iter(lambda sock=s: sock.recv(100), b""))  # type: ignore[misc]
                self.reached[number] = answer.decode().strip()
            except Refused as refused:
                self.refused[refused.code, refused.reason] += 1
            except ConnectionResetError:
                self.reset += 1
            except OSError as error:
                self.wrong.append(repr(error))


def test_opens_in_flight_end_in_one_tenant_or_in_a_refusal(lab: AdaptedLab) -> None:
    """Fifty switches between two tenants that have the same name: nobody gets both, nobody hangs."""
    lab.go_to("fabrikam")
    tenants = ("woodgrove", "fabrikam")
    with Openers(lab, 6) as openers:
        receipts = [lab.switch(tenants[number % 2]) for number in range(SWITCHES)]
    assert all(receipt["committed"] for receipt in receipts)
    assert {receipt["old_epoch_bytes_after_commit"] for receipt in receipts} == {0}
    assert [r["epoch"] for r in receipts] == sorted({r["epoch"] for r in receipts})
    assert openers.wrong == []
    got = {name: set(lab.origins[name].flows) for name in tenants}
    assert not got["woodgrove"] & got["fabrikam"], "one flow, two tenants"
    for number, canary in openers.reached.items():
        assert canary in ("canary-woodgrove", "canary-fabrikam")
        assert number in got[canary.removeprefix("canary-")]
    # SOCKS replies and HTTP statuses of `tenant_switched`; nothing else may be said to a flow that had bad luck.
    assert set(openers.refused) <= {(1, None), (91, None), (502, "tenant_switched"), (503, "tenant_switched")}
    assert len(openers.reached) >= 10 * SWITCHES / 5


def killed(name: str) -> Callable[[AdaptedLab], Callable[[], Any]]:
    def sabotage(lab: AdaptedLab) -> Callable[[], Any]:
        if name == "idp":
            lab.kill(lab.lab.idp)
            return lab.start_idp
        lab.kill_edge(name)
        return lambda: lab.start_edge(name)

    return sabotage


def stopped(name: str) -> Callable[[AdaptedLab], Callable[[], Any]]:
    def sabotage(lab: AdaptedLab) -> Callable[[], Any]:
        pid = lab.lab.idp.pid if name == "idp" else lab.lab.edges[name].pid
        os.kill(pid, signal.SIGSTOP)
        return lambda: os.kill(pid, signal.SIGCONT)

    return sabotage


def without_the_users_group(lab: AdaptedLab) -> Callable[[], Any]:
    """Take the user out of the group that the target's profile and applications are assigned to."""
    directory = lab.lab.configuration.file("directory.json")
    before = directory.read_text()

    def change(document: dict[str, Any]) -> None:
        tenant = next(each for each in document["tenants"] if each["name"] == "woodgrove")
        for user in tenant["users"]:
            user["groups"] = []

    def write(text: str | None) -> None:
        reloads = lab.log("idp").count("directory_reloaded")
        edit_json(directory, change) if text is None else directory.write_text(text)
        wait_until(lambda: lab.log("idp").count("directory_reloaded") > reloads)

    write(None)
    return lambda: write(before)


@pytest.mark.parametrize(
    ("target", "sabotage", "reasons"),
    [
        ("woodgrove", killed("woodgrove"), {"edge_unreachable"}),
        ("woodgrove", stopped("woodgrove"), {"prepare_timeout"}),
        ("woodgrove", killed("idp"), {"idp_unreachable"}),
        ("woodgrove", stopped("idp"), {"prepare_timeout"}),
        ("woodgrove", without_the_users_group, {"profile_not_assigned"}),
        ("tailspin", lambda _: lambda: None, {"tenant_unknown"}),
        ("nobody at all", lambda _: lambda: None, {"tenant_unknown"}),
    ],
    ids=["edge killed", "edge stopped", "idp killed", "idp stopped", "not assigned", "not invited", "unknown"],
)
def test_a_switch_that_fails_changes_nothing(
    lab: AdaptedLab, target: str, sabotage: Callable[[AdaptedLab], Callable[[], Any]], reasons: set[str]
) -> None:
    """A named reason, the old epoch, and running flows that did not notice."""
    lab.go_to("fabrikam")
    before = lab.status()
    with chatting(lab, "cut.corp.internal") as flows:
        mend = sabotage(lab)
        try:
            receipt = lab.switch(target)
        finally:
            mend()
        assert (receipt["committed"], receipt["from"]) == (False, "fabrikam")
        assert receipt["reason"] in reasons
        assert receipt["detail"]
        status = lab.status()
        assert (status["tenant"], status["epoch"]) == ("fabrikam", before["epoch"])
        echoed = [len(flow.echoed) for flow in flows]
        wait_until(lambda: all(len(f.echoed) > n for f, n in zip(flows, echoed, strict=True)))
        with dial(lab.proxy, "cut.corp.internal", PORT, early=b"0 whoami 0\n") as sock:
            assert sock.recv(100) == b"canary-fabrikam\n"
    assert {flow.end for flow in flows} == {"fin"}
    assert all(len(flow.echoed) == flow.sent for flow in flows)


def test_the_target_works_again_after_all_of_that(lab: AdaptedLab) -> None:
    """Nothing of a failed switch is left in the way of the next."""
    lab.go_to("fabrikam")
    wait_until(lambda: lab.switch("woodgrove")["committed"], 20)
    with dial(lab.proxy, "cut.corp.internal", PORT, early=b"0 whoami 0\n") as sock:
        assert sock.recv(100) == b"canary-woodgrove\n"


def test_a_killed_daemon_comes_back_to_the_tenant_it_had(lab: AdaptedLab) -> None:
    """The stale socket is replaced, and the name still means the selected tenant's application."""
    lab.go_to("woodgrove")
    lab.kill(lab.lab.daemon)
    lab.start_daemon()
    assert lab.status()["tenant"] == "woodgrove"
    with dial(lab.proxy, "cut.corp.internal", PORT, early=b"0 whoami 0\n") as sock:
        assert sock.recv(100) == b"canary-woodgrove\n"


def test_without_guest_access_nobody_leaves_home(lab: AdaptedLab) -> None:
    """The selection of before is ignored, the switch refused by name, and home works on."""
    lab.go_to("woodgrove")
    settings = lab.lab.configuration.file("daemon.toml")
    text = settings.read_text()
    settings.write_text(text.replace("guest_access_enabled = true", "guest_access_enabled = false"))
    try:
        lab.restart_daemon()
        wait_until(lambda: lab.status()["tenant"] == "contoso")
        with chatting(lab, "cut.contoso.internal") as flows:
            receipt = lab.switch("fabrikam")
            assert (receipt["committed"], receipt["reason"]) == (False, "guest_access_disabled")
            assert lab.status()["tenant"] == "contoso"
        assert {flow.end for flow in flows} == {"fin"}
    finally:
        settings.write_text(text)
        lab.restart_daemon()


def test_no_program_had_a_defect_to_report(lab: AdaptedLab) -> None:
    """Not one traceback in any log after all of it."""
    assert lab.tracebacks() == []
