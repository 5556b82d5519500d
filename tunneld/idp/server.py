"""How the identity provider runs: an https listener, a watch on its files, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog
import uvicorn
import uvloop
from sqlalchemy.exc import SQLAlchemyError

from tunneld.idp.administration.upkeep import keep_up
from tunneld.idp.application import build_application
from tunneld.idp.evidence import sweep as sweep_evidence
from tunneld.idp.https_identity import identity_watch, read_identity
from tunneld.idp.provider import Provider
from tunneld.idp.settings import IdpSettings, load_settings
from tunneld.journal import log
from tunneld.model.address import format_authority
from tunneld.model.errors import DocumentError
from tunneld.net.watch import watch

WATCH_S = 1.0
SWEEP_S = 600.0
GRACE_S = 3.0
CONCURRENCY = 2_000  # connections; a laptop's worth of daemons many times over, far below the descriptor limit

_log = structlog.get_logger("idp")


class _Listener(uvicorn.Server):
    """A uvicorn server that leaves signals to its owner and tells when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing: the caller of `serve` decides what ends it."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, then say so."""
        await super().startup(sockets=sockets)
        self._ready()


async def serve(settings: IdpSettings, *, ready: Callable[[str], None], stop: asyncio.Event) -> None:
    """Serve until `stop` is set; `ready` is called with the base URL once requests are answered.

    Raises DocumentError for unusable settings, files or port, before anything was started.
    """
    read_identity(settings)
    listening = _listen(settings)
    try:
        host, port = listening.getsockname()[:2]
        base_url = settings.public_url or f"https://{format_authority(host, port)}"
        provider = await Provider.open(settings, base_url)
    except BaseException:
        listening.close()
        raise
    try:
        config = uvicorn.Config(
            build_application(provider), loop="none", http="h11", ws="none", lifespan="off", log_config=None,
            access_log=False, server_header=False, ssl_certfile=settings.certificate, ssl_keyfile=settings.key,
            limit_concurrency=CONCURRENCY, timeout_keep_alive=30, timeout_graceful_shutdown=int(GRACE_S),
        )
        listener = _Listener(config, lambda: ready(base_url))
        async with asyncio.TaskGroup() as group:
            config.load()
            directory = group.create_task(_watch(provider))
            identity = group.create_task(_watch_identity(settings, config))
            sweeping = group.create_task(_sweep(provider))
            upkeep = group.create_task(keep_up(provider))
            records = group.create_task(provider.records.run())
            end = group.create_task(_end(listener, stop))
            await listener.serve(sockets=[listening])
            for task in (directory, identity, sweeping, upkeep, records, end):
                task.cancel()
    finally:
        listening.close()
        await provider.close()


def run(config: Path) -> int:
    """Run `tunneld idp --config FILE` until SIGTERM or SIGINT and return the exit status."""
    log.configure("idp")
    try:
        settings = load_settings(config)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(settings))
    except DocumentError as error:
        sys.stderr.write(f"tunneld idp: {error}\n")
        return 2
    return 0


async def _run(settings: IdpSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(settings, ready=_announce, stop=stop)


def _announce(base_url: str) -> None:
    sys.stdout.write(json.dumps({"ready": True, "url": base_url, "pid": os.getpid()}) + "\n")
    sys.stdout.flush()


async def _end(listener: uvicorn.Server, stop: asyncio.Event) -> None:
    await stop.wait()
    listener.should_exit = True


async def _watch(provider: Provider) -> None:
    """Reload the directory when one of its files changed, and let the keys' schedule go on."""
    while True:
        await asyncio.sleep(WATCH_S)
        try:
            if await provider.refresh():
                _log.info("directory_reloaded", tenants=len(provider.directory.tenants))
                provider.records.audit("Reload directory", now=provider.clock(), correlation_id="", result="success")
        except DocumentError as error:
            _log.warning("reload_refused", error=str(error))
            provider.records.audit(
                "Reload directory", now=provider.clock(), correlation_id="", result="refused", because=str(error)
            )
        except SQLAlchemyError as error:  # it is followed again when it is back
            _log.warning("database_away", error=type(error).__name__)


async def _watch_identity(settings: IdpSettings, config: uvicorn.Config) -> None:
    """Serve a changed certificate to whoever connects from then on."""
    if config.ssl is None:
        return
    await watch([
        identity_watch(
            settings, config.ssl,
            changed=lambda: _log.info("certificate_reloaded"),
            refused=lambda message: _log.warning("reload_refused", error=message),
        )
    ])


async def _sweep(provider: Provider) -> None:
    while True:
        await asyncio.sleep(SWEEP_S)
        try:
            await sweep(provider)
        except SQLAlchemyError as error:
            _log.warning("database_away", error=type(error).__name__)


async def sweep(provider: Provider) -> None:
    """Delete what has expired."""
    await provider.store.sweep(provider.now())
    await sweep_evidence(provider.database)  # after the sessions that it belongs to
    await provider.records.sweep(provider.now() - provider.settings.lifetimes.log)


def _listen(settings: IdpSettings) -> socket.socket:
    host, port = settings.address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(1024)
    except OSError as error:
        listening.close()
        raise DocumentError("settings", "listen", f"{settings.listen}: {error.strerror}") from None
    return listening
