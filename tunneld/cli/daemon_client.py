"""How the commands talk to a running daemon: HTTP/1.1 over its Unix socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tunneld.client.settings import default_state_dir
from tunneld.model.errors import TunneldError
from tunneld.net.unix import is_live

SOCKET = "control.sock"
CONNECT_S = 3.0
ANSWER_S = 60.0


class NoDaemonError(TunneldError):
    """Nobody answers on the control socket."""


class RefusedError(TunneldError):
    """The daemon says no. `reason` is its reason's name."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason


class DaemonClient:
    """One command's question to the daemon; it serves one. Raises NoDaemonError or RefusedError, one line."""

    def __init__(self, state: Path | None) -> None:
        directory = state or default_state_dir()
        self._path = directory / SOCKET
        self._lab = directory.with_name("tunneld-lab") if directory.name == "tunneld" else None
        timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
        self._http = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self._path)), base_url="http://tunneld", timeout=timeout
        )

    def get(self, path: str, **query: str | None) -> dict[str, Any]:
        """Return the answer to a question."""
        with self._errors():
            asked = {name: value for name, value in query.items() if value is not None}
            return self._object(self._http.get(path, params=asked))

    def post(self, path: str) -> dict[str, Any]:
        """Have something done that takes no time, and return what the daemon says of it."""
        with self._errors():
            return self._object(self._http.post(path))

    def lines(self, method: str, path: str, *, patient: bool = False, **parts: Any) -> Iterator[dict[str, Any]]:
        """Yield the JSON lines of a long answer as they come; `patient` waits for each as long as it takes."""
        timeout = httpx.Timeout(None, connect=CONNECT_S) if patient else httpx.Timeout(ANSWER_S, connect=CONNECT_S)
        with self._errors(), self._http.stream(method, path, timeout=timeout, **parts) as answer:
            if answer.is_error:
                answer.read()
                self._object(answer)
            for line in answer.iter_lines():
                if line:
                    yield json.loads(line)

    @property
    def _mend(self) -> str:
        """Say what helps: a lab keeps its state beside a real daemon's, so that is where to look for one."""
        if self._lab is not None and is_live(self._lab / SOCKET):
            return f"a lab is running: export TUNNELD_STATE={self._lab}"
        return "start one with `tunneld run` or `tunneld lab up`, or name its state directory with --state"

    def _object(self, answer: httpx.Response) -> dict[str, Any]:
        try:
            body = answer.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise NoDaemonError(f"{self._path}: something else than a daemon answers there")
        if answer.is_error:
            error = body.get("error") or {}
            raise RefusedError(str(error.get("reason", answer.status_code)), str(error.get("message", "")))
        return body

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn the transport's errors into the one line that helps."""
        try:
            if not is_live(self._path):  # asked first, because httpcore leaks the socket of a refused connection
                raise NoDaemonError(f"no daemon answers at {self._path} ({self._mend})")
            yield
        except (httpx.HTTPError, ValueError) as error:
            raise NoDaemonError(f"the daemon at {self._path} went away: {str(error) or type(error).__name__}") from None
        finally:
            self._http.close()
