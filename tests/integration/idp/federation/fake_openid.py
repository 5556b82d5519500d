"""An OpenID provider in memory that answers what it is told to, well or badly."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import httpx

from tests.integration.idp.federation.outsiders import OPENID_CLIENT, OPENID_ISSUER
from tests.support.tokens import public_jwk, rsa_key, sign

MAIL = "gail@other.example"


@dataclass
class FakeOpenId:
    """One provider. `metadata`, `claims` and `header` are changed by what a test puts there; `...` leaves out."""

    clock: Callable[[], float]
    metadata: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    key: str = "other"
    keys: list[dict[str, Any]] | None = None
    broken: dict[str, httpx.Response] = field(default_factory=dict)
    nonce: str = ""
    asked: list[str] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)
    token: str | None = None

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def id_token(self) -> str:
        now = int(self.clock())
        usual = {
            "iss": OPENID_ISSUER, "aud": OPENID_CLIENT, "sub": "subject-1", "nonce": self.nonce, "iat": now,
            "exp": now + 300, "email": MAIL, "name": "Gail",
        }
        claims = {name: value for name, value in {**usual, **self.claims}.items() if value is not ...}
        head = {"alg": "RS256", "kid": "other", "typ": "JWT", **self.header}
        head = {name: value for name, value in head.items() if value is not ...}
        return sign(claims, head, key=rsa_key(self.key))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.asked.append(path)
        if path in self.broken:
            return self.broken[path]
        if path == "/.well-known/openid-configuration":
            document = {
                "issuer": OPENID_ISSUER, "authorization_endpoint": f"{OPENID_ISSUER}/auth",
                "token_endpoint": f"{OPENID_ISSUER}/token", "jwks_uri": f"{OPENID_ISSUER}/keys",
                "authorization_response_iss_parameter_supported": True, **self.metadata,
            }
            return httpx.Response(200, json=document)
        if path == "/keys":
            keys = [public_jwk("other", issuer=...)] if self.keys is None else self.keys
            return httpx.Response(200, json={"keys": keys})
        if path == "/token":
            self.forms.append(dict(parse_qsl(request.content.decode())))
            return httpx.Response(200, content=json.dumps({"id_token": self.token or self.id_token()}))
        return httpx.Response(404)
