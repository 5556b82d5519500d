"""Every end of a flow arrives as what it was, over every way in and both ways out, and nothing stays behind."""

from __future__ import annotations

import os
import random
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from tests.support.adapted_lab import CLOSED, DIRECT, NOWHERE, PORT, AdaptedLab, adapted_lab
from tests.support.history import CLIENT, ORIGIN, Plan, Seen, content, judge
from tests.support.proxy_clients import KINDS, Refused, dial
from tests.support.running_lab import wait_until
from tests.support.talk import reset, talk

TUNNEL = "cut.contoso.internal"
ROADS = {"tunnel": (TUNNEL, "contoso"), "direct": (DIRECT, "direct")}
_numbers = iter(range(1, 1_000_000))

every_way = pytest.mark.parametrize("kind", KINDS)
both_roads = pytest.mark.parametrize("road", list(ROADS))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdaptedLab]:
    """A lab of this module's own: its descriptors are counted."""
    with adapted_lab(tmp_path_factory.mktemp("lab") / "s") as running:
        with dial(running.proxy, TUNNEL, PORT, early=b"0 whoami 0\n") as sock:  # the token is there from now on
            assert sock.recv(100) == b"canary-contoso\n"
        yield running


def descriptors(lab: AdaptedLab) -> dict[str, int]:
    """Return how many descriptors daemon and edge hold."""
    pids = {"daemon": lab.lab.daemon.pid, "edge": lab.lab.edges["contoso"].pid}
    return {name: len(os.listdir(f"/proc/{pid}/fd")) for name, pid in pids.items()}


@contextmanager
def nothing_left(lab: AdaptedLab) -> Iterator[None]:
    """Check that descriptors and flow tables are afterwards what they were before."""
    wait_until(lambda: not lab.flows("?state=active"), 15)
    before = descriptors(lab)
    yield
    wait_until(lambda: lab.flows("?state=active") == [], 15)

    def back() -> bool:
        now = descriptors(lab)
        return all(now[name] <= before[name] for name in before)

    wait_until(back, 15)


@pytest.fixture
def lab(world: AdaptedLab) -> Iterator[AdaptedLab]:
    """The lab, of which each test must give back what it took."""
    with nothing_left(world):
        yield world


def newest(lab: AdaptedLab, number: int = 1) -> list[tuple[str, str | None]]:
    """Return state and reason of the newest flows, once they have ended."""
    wait_until(lambda: all(flow["end"] for flow in lab.flows(f"?limit={number}")))
    return [(flow["state"], flow["reason"]) for flow in lab.flows(f"?limit={number}")]


@every_way
@both_roads
@pytest.mark.parametrize(
    ("part", "up", "down"),
    [("answer", 300_001, 200_003), ("exchange", 1_000_003, 1_000_033), ("answer", 5, 0), ("exchange", 0, 7),
     ("exchange", 0, 0)],
    ids=["upload, FIN, reply", "both at once", "upload only", "download only", "no byte at all"],
)  # fmt: skip
def test_half_closes_are_carried_as_such(
    lab: AdaptedLab, kind: str, road: str, part: str, up: int, down: int
) -> None:
    """Like `nc -N`: each direction ends by itself, and both sides read everything."""
    host, origin = ROADS[road]
    plan = Plan(next(_numbers), up, down, spared=True)
    line = f"{plan.flow} {part} {plan.download}\n".encode()
    said = content(plan.flow, CLIENT, up)
    sock = dial(lab.proxy, host, PORT, kind, early=line + bytes(said[:100]))  # the first bytes come with the request
    seen = Seen(plan.flow, CLIENT, *talk(sock, said[100:]))
    wait_until(lambda: any(each.flow == plan.flow for each in lab.origins[origin].seen))
    history = [seen, *(each for each in lab.origins[origin].seen if each.flow == plan.flow)]
    assert [each.side for each in history] == [CLIENT, ORIGIN]
    assert not judge({plan.flow: plan}, history), history
    assert newest(lab) == [("closed", "completed")]
    record = lab.flows("?limit=1")[0]
    assert (record["bytes_sent"], record["bytes_received"]) == (up + len(line), down)


@every_way
@both_roads
def test_a_server_that_closes_first_is_seen_to(lab: AdaptedLab, kind: str, road: str) -> None:
    """Its FIN arrives while our direction is open; what we say afterwards still does."""
    host, origin = ROADS[road]
    with dial(lab.proxy, host, PORT, kind, early=f"{next(_numbers)} whoami 0\n".encode()) as sock:
        assert sock.recv(100).decode().strip() == f"canary-{origin}"
        assert sock.recv(100) == b""
        sock.sendall(b"still talking" * 1000)
        assert lab.flows("?limit=1")[0]["state"] == "active"
    assert newest(lab) == [("closed", "completed")]


@every_way
@both_roads
def test_a_reset_by_the_application_reaches_the_origin(lab: AdaptedLab, kind: str, road: str) -> None:
    """As a reset, even behind data."""
    host, origin = ROADS[road]
    number = next(_numbers)
    sock = dial(lab.proxy, host, PORT, kind, early=f"{number} silent 0\n".encode())
    sock.sendall(b"x" * 10_000)
    wait_until(lambda: number in lab.origins[origin].flows)
    reset(sock)
    wait_until(lambda: lab.origins[origin].ends.get(number) == "reset")
    assert newest(lab) == [("terminated", "client_reset")]


@every_way
@both_roads
@pytest.mark.parametrize("size", [0, 10_000, 1_000_000])
def test_a_reset_by_the_origin_reaches_the_application(lab: AdaptedLab, kind: str, road: str, size: int) -> None:
    """As a reset, whether the client reads at the time or not."""
    host, _ = ROADS[road]
    with dial(lab.proxy, host, PORT, kind, early=f"{next(_numbers)} reset {size}\n".encode()) as sock:
        received: list[bytes] = []
        with pytest.raises(ConnectionResetError):
            received += iter(lambda: sock.recv(65536), b"")
    assert newest(lab) == [("terminated", "origin_reset")]


# RFC 1928 §6: 5 is "connection refused", 4 "host unreachable", 6 "TTL expired", which is the nearest to a time-out.
REFUSED = {"socks5": (5, None), "socks4a": (91, None), "http-connect": (502, "origin_refused")}
TIMED_OUT = {"socks5": (6, None), "socks4a": (91, None), "http-connect": (504, "origin_timeout")}


@every_way
@pytest.mark.parametrize(("host", "port"), [(TUNNEL, PORT + 1), (CLOSED, 80)], ids=["tunnel", "direct"])
def test_a_refusal_is_told_apart(lab: AdaptedLab, kind: str, host: str, port: int) -> None:
    """The origin's own refusal, in each protocol's own terms."""
    with pytest.raises(Refused) as refused:
        dial(lab.proxy, host, port, kind)
    assert (refused.value.code, refused.value.reason) == REFUSED[kind]
    assert newest(lab) == [("refused", "origin_refused")]


def test_an_origin_that_does_not_answer_times_out(lab: AdaptedLab) -> None:
    """All at once, because each takes ten seconds; other flows do not wait for them."""

    def attempt(way: tuple[str, str, int]) -> tuple[Any, ...]:
        try:
            dial(lab.proxy, way[1], way[2], way[0]).close()
        except Refused as refused:
            return refused.code, refused.reason
        return ()

    ways = [(kind, host, port) for kind in KINDS for host, port in ((TUNNEL, PORT + 2), (NOWHERE, 80))]
    with ThreadPoolExecutor(len(ways)) as pool:
        answers = pool.map(attempt, ways)
        for _ in range(10):
            with dial(lab.proxy, TUNNEL, PORT, early=f"{next(_numbers)} whoami 0\n".encode()) as sock:
                assert sock.recv(100) == b"canary-contoso\n"
        assert list(answers) == [TIMED_OUT[kind] for kind, _, _ in ways]


@every_way
@pytest.mark.parametrize(
    ("host", "port"),
    [(TUNNEL, PORT), (TUNNEL, PORT + 2), (DIRECT, PORT), (NOWHERE, 80)],
    ids=["tunnel", "tunnel to nowhere", "direct", "direct to nowhere"],
)
def test_clients_that_leave_while_their_flow_is_opened(lab: AdaptedLab, kind: str, host: str, port: int) -> None:
    """The dial is given up at once; a hundred of them leave no descriptor, no flow and no hanging origin."""
    address, _, proxy_port = lab.proxy.rpartition(":")
    authority = f"{host}:{port}".encode()
    asks = {
        "socks5": b"\x05\x01\x00\x05\x01\x00\x03" + bytes([len(host)]) + host.encode() + port.to_bytes(2, "big"),
        "socks4a": b"\x04\x01" + port.to_bytes(2, "big") + b"\0\0\0\1\0" + host.encode() + b"\0",
        "http-connect": b"CONNECT " + authority + b" HTTP/1.1\r\nHost: " + authority + b"\r\n\r\n",
    }
    dice = random.Random(3)
    for _ in range(100):
        sock = socket.create_connection((address, int(proxy_port)))
        sock.sendall(asks[kind])
        time.sleep(dice.choice((0.0, 0.0, 0.001)))
        # A FIN is no farewell: the client may wait for its answer. Where one comes, it may say FIN too.
        sock.close() if port == PORT and dice.random() < 0.2 else reset(sock)
    wait_until(lambda: not lab.flows("?state=active"), 5)
    with dial(lab.proxy, TUNNEL, PORT, kind, early=f"{next(_numbers)} whoami 0\n".encode()) as sock:
        assert sock.recv(100) == b"canary-contoso\n"


@every_way
@pytest.mark.parametrize("size", [253, 254, 255, 256, 5000])
def test_names_at_the_limit(lab: AdaptedLab, kind: str, size: int) -> None:
    """RFC 1035 §2.3.4 ends names at 255 bytes on the wire; whatever is longer is refused by name."""
    name = ".".join(["a" * 63] * 80)[: size - 1] + "b"
    if kind == "socks5" and size > 255:
        pytest.skip("SOCKS5 has one byte for the length")
    with pytest.raises(Refused) as refused:
        dial(lab.proxy, name, PORT, kind)
    if kind == "http-connect":
        expected = {"name_not_resolved"} if size <= 253 else {"name_too_long", "name_invalid", "malformed_request"}
        assert refused.value.reason in expected
    else:
        assert refused.value.code is not None or size > 255


def listeners(lab: AdaptedLab) -> dict[str, Callable[[], socket.socket]]:
    """Return how to reach every socket that a stranger can."""

    def tcp(address: str) -> Callable[[], socket.socket]:
        host, _, port = address.rpartition(":")
        return lambda: socket.create_connection((host, int(port)), timeout=5)

    def control() -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(5)
        sock.connect(str(lab.paths.control))
        return sock

    def over_tls() -> socket.socket:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context.wrap_socket(tcp(lab.lab.ready["idp"].removeprefix("https://"))())

    edges = lab.lab.ready["edges"]["contoso"]
    return {
        "idp over TLS": over_tls,
        "proxy": tcp(lab.proxy), "idp": tcp(lab.lab.ready["idp"].removeprefix("https://")), "control": control,
        **{f"edge {channel}": tcp(place["address"]) for channel, place in edges.items()},
    }  # fmt: skip


CLIENT_HELLO = bytes.fromhex("16030100a5010000a10303") + bytes(range(32)) + b"\x20" + bytes(32) + b"\x00\x02\x13\x01"
GARBAGE = [
    b"", b"\0", b"\xff" * 5000, b"\x16\x03\x01\xff\xff" + b"a" * 20_000, CLIENT_HELLO, CLIENT_HELLO[:7],
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\x10\x04\0\0\0\0\0" + b"z" * 40,
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 5000 + b"\r\n", b"GET " + b"/" * 70_000 + b" HTTP/1.1\r\n\r\n",
    b"GET http://[::1 HTTP/1.1\r\n\r\n", b"CONNECT \xff\xfe:1 HTTP/1.1\r\n\r\n", b"CONNECT a:99999 HTTP/1.1\r\n\r\n",
    b"CONNECT :80 HTTP/1.1\r\nHost: \r\n\r\n", b"POST /v1/switch HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n{{{",
    b'POST /v1/switch HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n{"tenant":[{}]}',
    b"POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nnull",
    b"GET /v1/flows?limit=x&state=%ff HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v1/explain?destination=%00&protocol=tcp HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /contoso/oauth2/v2.0/token HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n\r\n%ff=%",
    b"POST /contoso/oauth2/v2.0/authorize HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
    b"Content-Type: multipart/form-data; boundary=a\r\n\r\n--a\r\nb",
    b"GET /v1.0/me/tenants HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + b"a." * 3000 + b"\r\n\r\n",
    b"POST /v1/switch HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"\x05", b"\x05\x00", b"\x05\xff" + b"\x02" * 255, b"\x05\x01\x00\x05\x03\x00\x01" + bytes(6),
    b"\x05\x01\x00\x05\x01\x00\x09" + bytes(40), b"\x05\x01\x00\x05\x01\x00\x03\x00\x00\x50",
    b"\x05\x01\x00\x05\x01\x00\x03\x05\xff\xfe\x00\x2e\x2e\x00\x50", b"\x05\x01\x00\x05\x01\x00\x01\x7f\0\0\x01\0\0",
    b"\x04\x02\x00\x50\x01\x02\x03\x04\0", b"\x04\x01\x00\x00\0\0\0\x01\0\0",
    b"\x04\x01\x00\x50\0\0\0\x01" + b"u" * 9000,
]  # fmt: skip


@pytest.mark.parametrize(
    "name", ["proxy", "idp", "idp over TLS", "control", "edge private", "edge internet", "edge microsoft"]
)
def test_malformed_bytes_hurt_nobody(lab: AdaptedLab, name: str) -> None:
    """Fixed and random garbage, ended by FIN, by reset or by patience; afterwards everything works."""
    reach, dice = listeners(lab)[name], random.Random(name)
    blobs = GARBAGE + [dice.randbytes(dice.choice((1, 9, 300, 20_000))) for _ in range(40)]
    for number, blob in enumerate(blobs):
        with suppress(OSError), reach() as sock:
            sock.settimeout(0.05)
            sock.sendall(blob)
            if number % 3 == 0:
                sock.shutdown(socket.SHUT_WR)
            if number % 3 == 1:
                reset(sock)
            else:
                while sock.recv(65536):
                    pass
    assert lab.status()["tenant"] == "contoso"
    with dial(lab.proxy, TUNNEL, PORT, early=f"{next(_numbers)} whoami 0\n".encode()) as sock:
        assert sock.recv(100) == b"canary-contoso\n"
    assert lab.tracebacks() == []


def test_no_program_had_a_defect_to_report(world: AdaptedLab) -> None:
    """Not one traceback in any log after all of it, and no tunnel that broke."""
    assert world.tracebacks() == []
    assert "tunnel_down" not in world.log("daemon")
