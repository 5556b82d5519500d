"""How commands talk to the admin API: HTTPS with an administrator's token, which a lab keeps in files.

Where nothing is said, the lab whose state directory is $TUNNELD_STATE (else the usual one) is administered.
"""

from __future__ import annotations

import os
import ssl
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from tunneld.model.errors import DocumentError, TunneldError

TIMEOUT_S = 60.0
URL, CA, TOKEN_FILE = "TUNNELD_IDP", "TUNNELD_IDP_CA", "TUNNELD_ADMIN_TOKEN_FILE"
_MEND = (
    f"start one with `tunneld lab up`, name its directory with --state, or set {URL}, {CA} and {TOKEN_FILE}"
)


class RefusedError(TunneldError):
    """The API says no: its code, its sentence, the member or object that it names, and how to mend it."""

    def __init__(self, status: int, error: Mapping[str, Any]) -> None:
        self.status = status
        self.code = str(error.get("code", status))
        self.sentence = str(error.get("message", ""))
        self.target = str(error.get("target") or "")
        details = error.get("details")
        self.details: list[Any] = details if isinstance(details, list) else []
        super().__init__(f"{self.code}: {self.sentence}")


class Place(NamedTuple):
    """Where the identity provider is, whose certificates it uses, and where each tenant's token is."""

    url: str
    ca: Path | None
    tokens: Mapping[str, Path]  # by tenant name; "" for a token that says itself whose it is

    def named(self, wanted: list[str] | None) -> list[str]:
        """Return the tenants to work on: those named, else all that there are tokens of. Raises DocumentError."""
        unknown = sorted(set(wanted or ()) - set(self.tokens))
        if unknown and "" in self.tokens:
            mend = f"leave it out: the token in {TOKEN_FILE} says which tenant it administers"
            raise DocumentError("--tenant", "", f"{unknown[0]!r} is of no use here", mend)
        if unknown:
            known = ", ".join(sorted(self.tokens))
            raise DocumentError("--tenant", "", f"there is no administrator's token of {unknown[0]}", f"known: {known}")
        return list(wanted or self.tokens)


def find_place(state: Path | None) -> Place:
    """Return the identity provider that the environment or a lab's state directory names. Raises DocumentError."""
    if os.environ.get(URL):
        if not os.environ.get(TOKEN_FILE):
            raise DocumentError(URL, "", "set without a token", f"set {TOKEN_FILE} as well")
        if not os.environ[URL].startswith(("https://", "http://")):
            raise DocumentError(URL, "", f"{os.environ[URL]!r} is no address", "write https://HOST:PORT")
        ca = os.environ.get(CA)
        return Place(os.environ[URL].rstrip("/"), Path(ca) if ca else None, {"": Path(os.environ[TOKEN_FILE])})
    root = state or Path(os.environ.get("TUNNELD_STATE") or _usual_lab())
    tokens = {path.stem.removeprefix("admin-"): path for path in sorted((root / "lab").glob("admin-*.token"))}
    try:
        settings = tomllib.loads((root / "lab" / "daemon.toml").read_text())["idp"]
    except (OSError, ValueError, KeyError):
        raise DocumentError(str(root), "", "no lab keeps its files there", _MEND) from None
    if not tokens:
        raise DocumentError(str(root / "lab"), "", "there is no administrator's token", _MEND)
    return Place(settings["url"], Path(settings["ca"]), tokens)


class AdminClient:
    """One tenant's administrator. Raises RefusedError for what the API refuses, TunneldError when nobody answers."""

    def __init__(self, place: Place, tenant: str) -> None:
        token, context = _token(place.tokens[tenant]), _authorities(place.ca)
        self._http = httpx.Client(
            base_url=f"{place.url}/v1.0", headers={"authorization": f"Bearer {token}"}, verify=context,
            trust_env=False, timeout=TIMEOUT_S,
        )

    def __enter__(self) -> AdminClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **query: str | None) -> dict[str, Any]:
        """Return an object, or one page."""
        return self._call("GET", path, params={name: value for name, value in query.items() if value is not None})

    def every(self, path: str, **query: str | None) -> Iterator[dict[str, Any]]:
        """Yield the members of a collection, page after page."""
        page = self.get(path, **query)
        while True:
            yield from page.get("value", ())
            following = page.get("@odata.nextLink")
            if not following:
                return
            page = self._call("GET", str(following))

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Have something done and return what came of it."""
        return self._call("POST", path, json=dict(body or {}))

    def _call(self, method: str, path: str, **parts: Any) -> dict[str, Any]:
        with self._errors():
            answer = self._http.request(method, path, **parts)
            body = answer.json() if answer.content else {}
        if not isinstance(body, dict):
            raise TunneldError(f"{self._http.base_url}: something else than an identity provider answers there")
        if answer.is_error:
            error = body.get("error")
            raise RefusedError(answer.status_code, error if isinstance(error, dict) else {"message": str(error)})
        return body

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
            mend = f"name its authority in {CA}" if "CERTIFICATE_VERIFY" in why else f"start it, or correct {URL}"
            raise TunneldError(f"no identity provider answers at {self._http.base_url}: {why} ({mend})") from None
        except ValueError:
            raise TunneldError(f"{self._http.base_url}: the answer is not JSON") from None


def _token(file: Path) -> str:
    mend = "name a file with one bearer token"
    try:
        token = file.read_text().strip()
    except OSError as error:
        raise DocumentError(str(file), "", error.strerror or "cannot be read", mend) from None
    except ValueError:
        token = ""
    if not token.isascii() or not token.isprintable() or not token:
        raise DocumentError(str(file), "", "holds no token", mend)
    return token


def _authorities(file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(file) if file else None)
    except OSError as error:  # ssl.SSLError is one, for a file that holds something else
        why = "holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror or "cannot be read"
        raise DocumentError(str(file), "", why, f"name the authority's PEM file in {CA}") from None


def _usual_lab() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "tunneld-lab"
