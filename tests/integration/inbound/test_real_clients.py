"""Programs and libraries that people use, through the mixed port."""

from __future__ import annotations

import asyncio
import shutil
from asyncio.subprocess import DEVNULL, PIPE

import httpx
import pytest
from python_socks import ProxyError
from python_socks.sync import Proxy

from tests.integration.inbound.proxy_world import World, echo, origin, pages, proxy
from tunneld.model.reasons import Reason

NC = shutil.which("nc.openbsd") or shutil.which("nc")


async def run(*command: str, data: bytes | None = None) -> tuple[int, bytes]:
    """Run a program to its end and return its status and what it printed."""
    environment = {"PATH": "/usr/bin:/bin"}  # proxies of the caller's environment have no say
    stdin = DEVNULL if data is None else PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdin=stdin, stdout=PIPE, stderr=DEVNULL, env=environment
    )
    out, _ = await process.communicate(data)
    return process.returncode or 0, out


async def curl(*arguments: str) -> tuple[int, str]:
    status, out = await run("curl", "-sS", "--max-time", "10", *arguments)
    return status, out.decode()


def styles(world: World) -> dict[str, list[str]]:
    """Every way in which curl can use the port."""
    address = f"{world.host}:{world.port}"
    return {
        "http-forward": ["-x", f"http://{address}"],
        "http-connect": ["-p", "-x", f"http://{address}"],
        "socks4a": ["-x", f"socks4a://{address}"],
        "socks5": ["-x", f"socks5h://{address}"],
    }


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_speaks_every_protocol() -> None:
    """Names stay names, and two URLs share a connection."""
    async with origin(pages) as port, proxy() as world:
        for kind, arguments in styles(world).items():
            world.opener.requests.clear()
            url = f"http://a.example:{port}"
            status, out = await curl(*arguments, f"{url}/1", f"{url}/2")
            assert (status, out) == (0, "GET /1 HTTP/1.1\nGET /2 HTTP/1.1\n"), kind
            assert [(r.host, r.port, r.kind) for r in world.opener.requests] == [("a.example", port, kind)]
        status, out = await curl("-x", f"socks5://{world.host}:{world.port}", f"http://127.0.0.1:{port}/4")
        assert (status, out) == (0, "GET /4 HTTP/1.1\n")
        status, out = await curl("-x", f"socks4://{world.host}:{world.port}", f"http://127.0.0.1:{port}/5")
        assert (status, out) == (0, "GET /5 HTTP/1.1\n")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_understands_refusals() -> None:
    """Each protocol's own refusal is an error that curl names."""
    async with proxy() as world:
        world.opener.refusals["no.example"] = Reason.RULE_BLOCK
        statuses = {}
        for kind, arguments in styles(world).items():
            statuses[kind] = (await curl(*arguments, "-w", "%{http_code}", "http://no.example/"))[0]
        # 0: the refusal is the answer; 56: CONNECT was answered with an error; 97: the proxy handshake failed.
        assert statuses == {"http-forward": 0, "http-connect": 56, "socks4a": 97, "socks5": 97}


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_with_a_password() -> None:
    """RFC 1929 and Basic; version 4 has no way in."""
    async with origin(pages) as port, proxy(credentials=(b"ada", b"secret")) as world:
        url = f"http://a.example:{port}/1"
        for kind, arguments in styles(world).items():
            status, out = await curl(*arguments, "-U", "ada:secret", url)
            assert (status, out) == ((97, "") if kind == "socks4a" else (0, "GET /1 HTTP/1.1\n")), kind
            status, out = await curl(*arguments, "-U", "ada:wrong", "-o", "/dev/null", "-w", "%{http_code}", url)
            assert out.endswith("407") if kind == "http-forward" else status in (56, 97), kind


@pytest.mark.skipif(NC is None, reason="netcat-openbsd is not installed")
@pytest.mark.parametrize("protocol", ["5", "4", "connect"])
async def test_netcat_as_a_proxy_command(protocol: str) -> None:
    """What ssh's ProxyCommand does: bytes in, bytes out, and the end of each."""
    async with origin(echo) as port, proxy() as world:
        command = [str(NC), "-N", "-X", protocol, "-x", f"{world.host}:{world.port}", "127.0.0.1", str(port)]
        assert await run(*command, data=b"hello\n" * 1000) == (0, b"hello\n" * 1000)


@pytest.mark.parametrize("scheme", ["socks5", "socks4", "http"])
async def test_python_socks(scheme: str) -> None:
    """Remote names, bytes both ways, and a refusal that it raises."""
    async with origin(echo) as port, proxy() as world:
        world.opener.refusals["no.example"] = Reason.RULE_BLOCK
        client = Proxy.from_url(f"{scheme}://{world.host}:{world.port}", rdns=True)
        # In a thread: the library's asyncio flavour does not run on aiofastnet's loop (sock_connect has no `sock`).
        sock = await asyncio.to_thread(client.connect, "a.example", port)
        sock.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=sock)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        assert world.opener.requests[0].host == "a.example"
        with pytest.raises(ProxyError):
            await asyncio.to_thread(client.connect, "no.example", 443)


async def test_httpx_forwarding() -> None:
    """A pool of kept-alive connections, bodies both ways, and the reason of a refusal in its field."""
    async with origin(pages) as port, proxy() as world:
        world.opener.refusals["no.example"] = Reason.APPLICATION_NOT_ASSIGNED
        async with httpx.AsyncClient(proxy=world.url, trust_env=False) as client:
            assert (await client.get(f"http://a.example:{port}/1")).text == "GET /1 HTTP/1.1\n"
            posted = await client.post(f"http://a.example:{port}/2", content=b"x" * 300_000)
            assert posted.content == b"POST /2 HTTP/1.1\n" + b"x" * 300_000
            refused = await client.get("http://no.example/")
            assert refused.status_code == 403
            assert 'details="application_not_assigned"' in refused.headers["proxy-status"]
            await asyncio.gather(*(client.get(f"http://a.example:{port}/{n}") for n in range(20)))  # noqa: TID251


