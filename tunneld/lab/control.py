"""The lab's small client of the daemon's control socket: HTTP/1.1 over a Unix socket, long answers as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tunneld.model.errors import TunneldError

REQUEST_TIMEOUT_S = 60.0  # a switch may wait for tokens, a profile and a probe


class ControlError(TunneldError):
    """The daemon refused, or is not there."""


class Control:
    """Ask the daemon. Raises ControlError with the daemon's own sentence."""

    def __init__(self, socket: Path) -> None:
        transport = httpx.HTTPTransport(uds=str(socket))
        self._http = httpx.Client(transport=transport, base_url="http://tunneld", timeout=REQUEST_TIMEOUT_S)

    def __enter__(self) -> Control:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str) -> dict[str, Any]:
        """Return the answer to a question."""
        answer = self._json(self._send("GET", path))
        assert isinstance(answer, dict)
        return answer

    def records(self, path: str) -> list[dict[str, Any]]:
        """Return the lines of a finished answer, the newest flow first."""
        response = self._send("GET", path)
        if response.is_error:
            self._json(response)
        return [json.loads(line) for line in reversed(response.text.splitlines()) if line.strip()]

    def lines(self, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the lines of a long answer as they come."""
        try:
            with self._http.stream("POST", path, json=body) as response:
                if response.is_error:
                    response.read()
                    self._json(response)
                for line in response.iter_lines():
                    if line.strip():
                        yield json.loads(line)
        except httpx.HTTPError as error:
            raise ControlError(f"the daemon's control socket failed: {error}") from None

    def _send(self, method: str, path: str) -> httpx.Response:
        try:
            return self._http.request(method, path)
        except httpx.HTTPError as error:
            raise ControlError(f"the daemon's control socket failed: {error}") from None

    def _json(self, response: httpx.Response) -> Any:  # the body of an answer, of any shape
        try:
            body = response.json()
        except ValueError:
            raise ControlError(f"{response.status_code} without JSON: {response.text[:200]}") from None
        if response.is_error:
            fault = body.get("error", {})
            raise ControlError(f"{fault.get('reason', response.status_code)}: {fault.get('message', '')}")
        return body
