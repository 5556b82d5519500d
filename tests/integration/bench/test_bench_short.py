"""The harness at its smallest: real processes, no peer needed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench import cost, forward
from bench.children import ChildError, await_port, free_port, running
from bench.flows import NONE, SOCKS5, Endpoint
from bench.measures import MEASURES, TINY, Target, idle, warm_up
from bench.systems import SYSTEMS, Running
from bench.systems.loopback import Loopback
from bench.workload import UnmeasuredError, Workload, workload

BUSY = "import time\nwhile time.process_time() < {seconds}: pass\nprint('done', flush=True)\ntime.sleep(60)"


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Workload]:
    with workload(tmp_path) as made:
        yield made


def _straight(work: Workload) -> Target:
    endpoint = Endpoint(NONE, work.origin_port, "127.0.0.1", work.origin_port)
    return Target(work, Running(endpoint, (os.getpid(),), (), "1", None, "none"), endpoint)


def test_every_measure_runs_once(work: Workload) -> None:
    target = _straight(work)
    warm_up(target)
    for name, measure in MEASURES.items():
        figures = measure(target, TINY)
        assert figures["client"] >= 0, name
        assert figures["edge"] == 0, name
        assert all(value > 0 for key, value in figures.items() if key not in ("client", "edge")), name


def test_idle_flows_are_held_and_let_go(work: Workload) -> None:
    found = idle(_straight(work), (10, 20))
    assert set(found) == {10, 20}
    assert isinstance(found[20], dict)


def test_more_idle_flows_than_descriptors_are_explained(work: Workload) -> None:
    found = idle(_straight(work), (10_000_000,))
    assert "descriptors" in str(found[10_000_000])


@contextmanager
def _proxy(answer: bytes) -> Iterator[int]:
    """A proxy that answers whatever it is told with the same bytes and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            try:
                while True:
                    sock, _ = listener.accept()
                    with sock:
                        sock.recv(4096)
                        sock.sendall(answer)
            except OSError:
                return  # the listener was closed

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(
    ("protocol", "answer", "said"),
    [
        (SOCKS5, b"\x05\xff", "SOCKS method"),
        (SOCKS5, b"", "closed during the handshake"),
        ("http", b"HTTP/1.1 403 Forbidden\r\n\r\n", "403"),
    ],
)
def test_a_refusal_is_not_a_figure(work: Workload, protocol: str, answer: bytes, said: str) -> None:
    """A proxy that refuses quickly must not look like a fast one."""
    with _proxy(answer) as port, pytest.raises(UnmeasuredError, match=said):
        work.ask("short", Endpoint(protocol, port, "db.test", 1), 5.0, count=3, concurrency=1)
    assert work.ask("release", None, 5.0) == {"held": 0}


def test_wrong_bytes_are_not_a_figure(work: Workload) -> None:
    with _proxy(b"x" * 4096) as port, pytest.raises(UnmeasuredError, match="wrong or missing bytes at 0"):
        work.ask("check", Endpoint(NONE, port, "", 0), 5.0, size=4096)


def test_a_silent_proxy_ends_at_the_deadline_and_the_next_order_is_obeyed(work: Workload) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(UnmeasuredError, match="silent"):
        work.ask("ping", Endpoint(SOCKS5, listener.getsockname()[1], "db.test", 1), 0.5, count=1)
    target = _straight(work)
    assert target.work.ask("ping", target.endpoint, 5.0, count=3)["p50_us"] > 0


def test_cpu_of_a_process_and_of_its_children_is_counted(tmp_path: Path) -> None:
    """Half a second of work is seen as such, whether the process or its child does it, with thread and all."""
    spawn = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BUSY.format(seconds=0.3)!r}])"
    for program in (BUSY.format(seconds=0.3), spawn):
        with running([sys.executable, "-c", program], tmp_path / "busy.log", piped=True) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"done\n"
            assert 0.3 <= cost.cpu_seconds([child.pid]) < 0.6
            assert cost.resident_bytes([child.pid]) > 1_000_000


def test_children_end_with_the_block_even_when_they_ignore_sigterm(tmp_path: Path) -> None:
    stubborn = "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(60)"
    with running([sys.executable, "-c", stubborn], tmp_path / "log", piped=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
    assert child.returncode == -9


def test_children_end_when_the_benchmark_is_killed(tmp_path: Path) -> None:
    """Peers must not stay behind on the machine of somebody who stopped a benchmark the hard way."""
    program = (
        "from pathlib import Path\nimport sys, time\nfrom bench.children import running\n"
        "with running([sys.executable, '-c', 'import time; time.sleep(60)'], Path('log').resolve()) as child:\n"
        "    print(child.pid, flush=True)\n    time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(forward.__file__).resolve().parent.parent)}
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 5
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_peer_that_dies_at_the_start_is_reported_with_its_last_words(tmp_path: Path) -> None:
    log = tmp_path / "peer.log"
    program = "import sys; sys.exit('no such cipher')"
    with (
        running([sys.executable, "-c", program], log) as child,
        pytest.raises(ChildError, match="no such cipher"),
    ):
        await_port(child, free_port(), log)


class _Absent(Loopback):
    name = "absent"

    def missing(self) -> str | None:
        return "pip install absent"


class _Dying(Loopback):
    name = "dying"

    @contextmanager
    def start(self, folder: Path, origin_port: int) -> Iterator[Running]:
        raise ChildError("exit status 1: bad option")
        yield


def test_a_run_leaves_out_what_is_not_there_and_measures_the_rest() -> None:
    systems = {"loopback": Loopback(), "absent": _Absent(), "dying": _Dying()}
    result = forward.measure(TINY, systems, systems=systems)
    assert set(result["systems"]) == {"loopback"}
    assert result["left_out"] == {
        "absent": "not installed (pip install absent)",
        "dying": "did not start: exit status 1: bad option",
    }
    (found,) = result["rounds"]
    assert set(found["loopback"]) == set(MEASURES)
    assert not any("unmeasured" in row for row in found["loopback"].values())


@pytest.mark.slow
def test_the_reference_carries_flows(tmp_path: Path, work: Workload) -> None:
    """Envoy is what every ratio is measured against: its configuration must go on working."""
    envoy = SYSTEMS["envoy"]
    why = envoy.missing()
    if why:
        pytest.skip(why)
    folder = tmp_path / "envoy"
    folder.mkdir()
    with envoy.start(folder, work.origin_port) as started:
        warm_up(Target(work, started, started.tunnel))
        assert started.cipher == "TLSv1.3 TLS_AES_128_GCM_SHA256"
        # more flows than Envoy's defences against resets would let through
        work.ask("short", started.tunnel, 30.0, count=1500, concurrency=32)
        refused = started.tunnel._replace(host="other.test")
        with pytest.raises(UnmeasuredError, match="404"):
            work.ask("short", refused, 5.0, count=1, concurrency=1)
