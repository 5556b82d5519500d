"""The daemon as a program: from a settings file to a running proxy, and from SIGTERM to a clean end."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

import structlog

from tunneld.client.control import serve_control
from tunneld.client.daemon import Daemon, Ready, make_identity, proxy_address, stop_on_signals
from tunneld.client.data_plane import TunnelledDataPlane
from tunneld.client.live import LiveState
from tunneld.client.oidc import Provider
from tunneld.client.settings import Settings
from tunneld.client.vault import open_vault
from tunneld.inbound.listener import Listener
from tunneld.inbound.reception import Reception
from tunneld.journal.flows import FlowRecord, FlowTable
from tunneld.model.reasons import Reason
from tunneld.net.listen import bind
from tunneld.net.loops import settle
from tunneld.net.resolve import Resolver
from tunneld.net.tls import trust_context
from tunneld.net.unix import listen_unix

log = structlog.get_logger("tunneld.daemon")


class _Stopped(Exception):  # noqa: N818 - the orderly end of a task group, which cannot be cancelled otherwise
    pass


async def serve(
    settings: Settings, *, where: str, announce: Callable[[Ready], None], stop: asyncio.Event | None = None
) -> None:
    """Run the daemon until `stop` (by default SIGTERM or SIGINT). `announce` is told when it can be used.

    Raises DocumentError for what a user must mend: a port in use, another daemon, an unreadable authority.
    """
    if stop is None:
        stop = asyncio.Event()
        stop_on_signals(stop)
    verify = ssl.create_default_context() if settings.idp.ca is None else trust_context(settings.idp.ca)
    control_path = settings.daemon.state / "control.sock"
    # First of all, because it also proves that no other daemon is using the state directory.
    control = listen_unix(control_path)
    try:
        host, _, port = settings.daemon.proxy.rpartition(":")
        proxy = bind(host.strip("[]"), int(port), where=where, path="daemon.proxy")
        vault = await asyncio.to_thread(open_vault, settings.daemon.state)
        restrictions = settings.tenant_restrictions
        provider = Provider(settings.idp.url, verify, restriction=restrictions.policy if restrictions else None)
        live = LiveState(FlowTable(history=settings.limits.closed_flows))
        try:
            async with asyncio.TaskGroup() as group:
                plane = TunnelledDataPlane(live, settings, resolve=Resolver().resolve, group=group)
                daemon = Daemon(settings, live, make_identity(settings, provider, vault), plane, group)
                plane.on_profile_changed = daemon.upkeep.poke
                plane.private_suffixes = daemon.profiles.private_suffixes
                await daemon.start()
                reception = Reception(
                    plane.opener, credentials=_credentials(settings), handshake_s=settings.limits.handshake_s
                )
                with Listener(proxy, reception, group) as listener:
                    plane.router.forbid([listener.address])
                    quitting = asyncio.Event()
                    serving = group.create_task(serve_control(daemon, control, quitting), name="control")
                    announce(Ready(proxy_address(proxy), control_path))
                    settle()
                    await stop.wait()
                    log.info("stopping", flows=len(live.flows.live))
                    quitting.set()
                    await serving
                await _let_flows_end(live.flows, settings.limits.grace_s)
                plane.cut(lambda _: True, Reason.SHUTDOWN)
                await daemon.stop()
                raise _Stopped
        except* _Stopped:
            log.info("stopped")
        finally:
            await provider.close()
    finally:
        control.close()
        control_path.unlink(missing_ok=True)


def _credentials(settings: Settings) -> tuple[bytes, bytes] | None:
    auth = settings.proxy_auth
    return None if auth is None else (auth.user.encode(), auth.password.encode())


async def _let_flows_end(flows: FlowTable, seconds: float) -> None:
    """Return when the last flow has ended, or after `seconds`."""
    over = asyncio.Event()

    def look(_: FlowRecord) -> None:
        if not flows.live:
            over.set()

    unsubscribe = flows.subscribe(look)
    try:
        async with asyncio.timeout(seconds):
            if flows.live:
                await over.wait()
    except TimeoutError:
        log.info("flows_cut", flows=len(flows.live))
    finally:
        unsubscribe()
