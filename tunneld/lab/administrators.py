"""A fresh token of each tenant's administrator in a file, so that a script can change settings without signing in."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from pathlib import Path
from ssl import create_default_context
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from tunneld.journal.files import write_atomic
from tunneld.lab import world
from tunneld.lab.configuration import Configuration
from tunneld.lab.sign_in import SignInError, walk
from tunneld.model.errors import TunneldError
from tunneld.policy.directory import DAEMON_CLIENT, DIRECTORY_API

RETRY_S = 30.0
TIMEOUT_S = 20.0
_REDIRECT = "http://127.0.0.1/callback"  # nobody listens: the code is read from the redirect itself


class AdministratorTokens:
    """The token files of one lab. Each is replaced, whole, when half of its token's life is over."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._due = dict.fromkeys((tenant.name for tenant in world.TENANTS), 0.0)

    def file(self, tenant: str) -> Path:
        """Where a tenant's token is."""
        return self._configuration.paths.lab / f"admin-{tenant}.token"

    def renew(self, now: float | None = None) -> list[str]:
        """Replace every token whose time has come; return a sentence for each that could not be replaced."""
        faults = []
        for tenant in world.TENANTS:
            moment = time.monotonic() if now is None else now
            if moment < self._due[tenant.name]:
                continue
            try:
                token, lifetime = self._sign_in(tenant)
            except (TunneldError, httpx.HTTPError) as error:
                self._due[tenant.name] = moment + RETRY_S
                faults.append(f"no token for {world.administrator(tenant)}: {error}")
            else:
                self._due[tenant.name] = moment + lifetime / 2
                write_atomic(self.file(tenant.name), token.encode())
        return faults

    def _sign_in(self, tenant: world.Tenant) -> tuple[str, float]:
        """Sign in on the real page and redeem the code (RFC 6749 §4.1, RFC 7636); return token and lifetime."""
        name = world.administrator(tenant)
        verifier = secrets.token_urlsafe(32)
        digest = hashlib.sha256(verifier.encode()).digest()
        question = urlencode({
            "client_id": DAEMON_CLIENT, "response_type": "code", "redirect_uri": _REDIRECT, "login_hint": name,
            "scope": f"openid api://{DIRECTORY_API}/.default", "code_challenge_method": "S256", "state": "admin",
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        })  # fmt: skip
        base = f"{self._configuration.idp_url}/{tenant.id}/oauth2/v2.0"
        context = create_default_context(cafile=str(self._configuration.paths.bundle))
        with httpx.Client(verify=context, trust_env=False, timeout=TIMEOUT_S) as browser:
            password = self._configuration.secrets.passwords[name]
            end = walk(browser, f"{base}/authorize?{question}", username=name, password=password, stop_at=_REDIRECT)
            answer = dict(parse_qsl(urlsplit(end).query))
            if "code" not in answer:
                raise SignInError(answer.get("error_description") or end)
            response = browser.post(f"{base}/token", data={
                "grant_type": "authorization_code", "client_id": DAEMON_CLIENT, "redirect_uri": _REDIRECT,
                "code": answer["code"], "code_verifier": verifier,
            })  # fmt: skip
        body = response.json() if response.is_success else {}
        if "access_token" not in body:
            raise SignInError(f"{response.status_code} from the token endpoint: {response.text[:200]}")
        return body["access_token"], float(body["expires_in"])
