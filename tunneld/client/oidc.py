"""The identity provider as seen from a public client: OpenID Connect with PKCE, device code, refresh, enrolment.

Public clients of RFC 8252: no secret, so PKCE (RFC 7636), `state`, `nonce` and the issuer check of RFC 9207 carry the
weight. Every failure leaves this module as Denied with a Reason.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from tunneld.client.answers import (
    Answer,
    read_credential,
    read_object,
    read_seconds,
    read_text,
    read_url,
)
from tunneld.client.cause import cause_headers
from tunneld.client.ports import Denied
from tunneld.model.reasons import Kind, Reason, reason_named

CLIENT_ID = "7d2f3c9e-6b1a-4e5d-9a40-1f6c8e2b5a10"
DIRECTORY = "00000003-0000-0000-c000-000000000000"
ENROLMENT = "0a4c1d7e-52f3-4f0b-8a6e-3d9b7c15e284"
SILENT_REDIRECT = "http://127.0.0.1/callback"  # any port is the same redirect URI on loopback (RFC 8252 §7.3)

RESTRICTION_HEADER = "sec-restrict-tenant-access-policy"  # tenant restrictions, version 2

TIMEOUT_S = 10.0
MAX_BODY = 32 * 1024 * 1024  # a profile of 100,000 rules is about 20 MB
DEVICE_INTERVAL_S = 5.0  # RFC 8628 §3.2: the default when the provider names no interval
DEVICE_INTERVALS_S = (1.0, 60.0)  # what we ask at, whatever the provider names
DEVICE_LIFE_S = 900.0  # the usual life of a code, where the provider names none (it must, RFC 8628 §3.2)

_INTERACTION = {"interaction_required", "login_required", "consent_required", "account_selection_required"}
_OUTAGE = {"server_error", "temporarily_unavailable"}


class Metadata(NamedTuple):
    """What a tenant's discovery document says (OpenID Connect Discovery 1.0 §3)."""

    issuer: str
    tenant_id: str
    authorization_endpoint: str
    token_endpoint: str
    device_authorization_endpoint: str | None
    end_session_endpoint: str | None
    names_issuer: bool  # RFC 9207 §3: the provider promises `iss` in every authorization response


class Grant(NamedTuple):
    """A token response (RFC 6749 §5.1) with the two members this provider adds."""

    access_token: str
    expires_in: float
    refresh_token: str | None
    id_token: str | None
    session_credential: str | None


class DeviceCode(NamedTuple):
    """A device authorization response (RFC 8628 §3.2)."""

    device_code: str
    user_code: str
    url: str
    interval_s: float
    expires_in_s: float


class Attempt(NamedTuple):
    """The secrets of one authorization request; they are used once."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def make(cls) -> Attempt:
        return cls(secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48))

    @property
    def challenge(self) -> str:
        """The S256 challenge (RFC 7636 §4.2)."""
        digest = hashlib.sha256(self.verifier.encode("ascii")).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def scope_of(audience: str) -> str:
    """Return the scope that asks for a token of one audience, whole permissions only for the directory."""
    name = ".default" if audience == DIRECTORY else "user_impersonation"
    return f"api://{audience}/{name}"


class Provider:
    """HTTP to one identity provider. Knows no user and keeps nothing but the tenants' metadata."""

    def __init__(
        self, url: str, verify: ssl.SSLContext | bool = True, *, restriction: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url
        self.restriction = restriction
        """The tenant-restriction policy of whoever owns this machine, named in every request."""
        # The environment's proxy settings may well point at this daemon, so they are not for us.
        self._http = httpx.AsyncClient(
            verify=verify, timeout=TIMEOUT_S, trust_env=False, follow_redirects=False, transport=transport
        )
        self._metadata: dict[str, Metadata] = {}
        self.requests = 0

    async def close(self) -> None:
        await self._http.aclose()

    async def metadata(self, tenant: str) -> Metadata:
        """Return the tenant's endpoints, checked to belong to this provider. Raises Denied."""
        known = self._metadata.get(tenant)
        if known is None:
            answer = await self._send("GET", f"{self.url}/{tenant}/v2.0/.well-known/openid-configuration")
            if answer.status != 200:
                raise _denied(answer, Reason.TENANT_UNKNOWN)
            known = _metadata(self.url, _json(answer))
            self._metadata[tenant] = self._metadata[known.tenant_id] = known
        return known

    def authorize_url(self, tenant: Metadata, attempt: Attempt, *, redirect: str, **extra: str) -> str:
        """Return the address of an authorization request (RFC 6749 §4.1.1 with RFC 7636)."""
        query = {
            "client_id": CLIENT_ID,
            "response_type": "code",
            "redirect_uri": redirect,
            "scope": f"openid profile offline_access {scope_of(DIRECTORY)}",
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
            **extra,
        }
        return f"{tenant.authorization_endpoint}?{urlencode(query)}"

    async def silent_code(self, tenant: Metadata, attempt: Attempt, session: str) -> str:
        """Ask for a code without any page, on the strength of the home session. Raises Denied."""
        url = self.authorize_url(tenant, attempt, redirect=SILENT_REDIRECT, prompt="none")
        answer = await self._send("GET", url, headers={"x-session-credential": session})
        location = answer.headers.get("location", "")
        if answer.status not in (302, 303) or not location.startswith(f"{SILENT_REDIRECT}?"):
            if answer.status in (200, 302, 303):
                raise Denied(Reason.INTERACTION_REQUIRED, "the tenant answers with a page")
            raise _denied(answer, Reason.LOGIN_FAILED)
        return read_answer(tenant, attempt, dict(parse_qsl(urlsplit(location).query)))

    async def redeem_code(self, tenant: Metadata, attempt: Attempt, code: str, redirect: str) -> Grant:
        """Exchange a code, and check that the identity it brings belongs to this very request. Raises Denied."""
        grant = await self._token(
            tenant,
            {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": redirect,
                "code_verifier": attempt.verifier,
            },
        )
        claims = identity_claims(grant.id_token, tenant)
        if not secrets.compare_digest(str(claims.get("nonce", "")).encode(), attempt.nonce.encode()):
            raise Denied(Reason.LOGIN_FAILED, "the identity token answers another request (nonce)")
        return grant

    async def refresh(
        self, tenant: Metadata, refresh_token: str, audience: str, thumbprint: str | None, *, claims: str = ""
    ) -> Grant:
        """Redeem a refresh token for an access token of one audience, bound to a key where one is given.

        `claims` is the parameter of OpenID Connect Core 1.0 §5.5; empty for none.
        """
        form = {
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
            "scope": f"{scope_of(audience)} offline_access",
        }
        if thumbprint is not None:
            form["cnf_jkt"] = thumbprint
        if claims:
            form["claims"] = claims
        return await self._token(tenant, form)

    async def device_authorization(self, tenant: Metadata) -> DeviceCode:
        """Begin a device authorization (RFC 8628 §3.1). Raises Denied."""
        if tenant.device_authorization_endpoint is None:
            raise Denied(Reason.LOGIN_FAILED, "the identity provider offers no device sign-in")
        form = {"client_id": CLIENT_ID, "scope": f"openid profile offline_access {scope_of(DIRECTORY)}"}
        answer = await self._send("POST", tenant.device_authorization_endpoint, data=form)
        body = _json(answer)
        if answer.status != 200 or not {"device_code", "user_code", "verification_uri"} <= body.keys():
            raise _denied(answer, Reason.LOGIN_FAILED)
        complete = "verification_uri_complete" if body.get("verification_uri_complete") else "verification_uri"
        least, most = DEVICE_INTERVALS_S
        return DeviceCode(
            device_code=read_text(body, "device_code"),
            user_code=read_text(body, "user_code"),
            url=read_text(body, complete),
            interval_s=max(least, min(most, read_seconds(body, "interval", DEVICE_INTERVAL_S))),
            expires_in_s=read_seconds(body, "expires_in", DEVICE_LIFE_S),
        )

    async def device_poll(self, tenant: Metadata, device_code: str) -> Grant | str:
        """Return the grant, or `authorization_pending` or `slow_down` (RFC 8628 §3.5). Raises Denied."""
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": device_code}
        answer = await self._send("POST", tenant.token_endpoint, data={"client_id": CLIENT_ID, **form})
        body = _json(answer)
        if body.get("error") in ("authorization_pending", "slow_down"):
            return str(body["error"])
        return _grant(answer, body)

    async def certificate(self, tenant_id: str, csr: str, token: str) -> tuple[str, str]:
        """Ask for a client certificate for the key of `csr`; return it and its authority as PEM. Raises Denied."""
        url = f"{self.url}/{tenant_id}/tunnel/v1/certificate"
        answer = await self._send("POST", url, headers=_bearer(token), json={"csr": csr})
        body = _json(answer)
        if answer.status != 200 or not {"certificate", "ca"} <= body.keys():
            raise _denied(answer, Reason.CERTIFICATE_REFUSED)
        return read_text(body, "certificate"), read_text(body, "ca")

    async def tenants(self, token: str) -> list[dict[str, Any]]:
        """Return the tenants where the signed-in user is known, home first. Raises Denied."""
        answer = await self._send("GET", f"{self.url}/v1.0/me/tenants", headers=_bearer(token))
        value = _json(answer).get("value")
        if answer.status != 200 or not isinstance(value, list):
            raise _denied(answer, Reason.LOGIN_FAILED)
        return value

    async def profile(self, token: str, etag: str | None) -> tuple[str, str | None] | None:
        """Return the effective profile and its ETag, or None if it is still the one of `etag`. Raises Denied."""
        headers = _bearer(token) | ({"if-none-match": etag} if etag else {})
        answer = await self._send("GET", f"{self.url}/v1.0/networkAccess/me/forwardingProfile", headers=headers)
        if answer.status == 304:
            return None
        if answer.status == 200:
            etag = answer.headers.get("etag")
            # One that cannot be sent back is of no use: RFC 9110 §8.8.3 allows more than headers carry in practice.
            return answer.body.decode(errors="replace"), etag if etag and etag.isascii() else None
        raise _denied(answer, Reason.PROFILE_NOT_ASSIGNED if answer.status == 404 else Reason.LOGIN_FAILED)

    async def end_session(self, tenant: Metadata, session: str) -> None:
        """Tell the provider that the home session is over. Raises Denied if it cannot be told."""
        if tenant.end_session_endpoint is not None:
            await self._send("GET", tenant.end_session_endpoint, headers={"x-session-credential": session})

    async def _token(self, tenant: Metadata, form: dict[str, str]) -> Grant:
        answer = await self._send("POST", tenant.token_endpoint, data={"client_id": CLIENT_ID, **form})
        return _grant(answer, _json(answer))

    async def _send(self, method: str, url: str, headers: Mapping[str, str] | None = None, **parts: Any) -> Answer:
        self.requests += 1
        body = bytearray()
        restricted = {RESTRICTION_HEADER: self.restriction} if self.restriction is not None else {}
        parts["headers"] = {**cause_headers(), **restricted, **(headers or {})}
        try:
            async with self._http.stream(method, url, **parts) as answer:
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_BODY:
                        raise Denied(Reason.IDP_UNREACHABLE, "the identity provider's answer is too large")
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, TypeError) as error:
            # The last three: an address or a header that cannot be sent, made of what the provider said earlier.
            cause = str(error) or type(error).__name__
            raise Denied(Reason.IDP_UNREACHABLE, f"{self.url}: {cause}") from None
        return Answer(answer.status_code, answer.headers, bytes(body))


def read_answer(tenant: Metadata, attempt: Attempt, query: Mapping[str, str]) -> str:
    """Return the code of an authorization response, checked to be the answer to `attempt`. Raises Denied."""
    if not secrets.compare_digest(query.get("state", "").encode(), attempt.state.encode()):
        raise Denied(Reason.LOGIN_FAILED, "the answer belongs to another request (state)")
    issuer = query.get("iss")
    if issuer != tenant.issuer and (issuer is not None or tenant.names_issuer):
        raise Denied(Reason.LOGIN_FAILED, "the answer comes from another issuer")  # RFC 9207 §2.4: mix-up
    if "error" in query:
        raise denied_by(
            query["error"], query.get("error_description", ""), query.get("claims", ""), query.get("suberror", "")
        )
    if not query.get("code"):
        raise Denied(Reason.LOGIN_FAILED, "the answer carries no code")
    return query["code"]


def identity_claims(id_token: str | None, tenant: Metadata) -> dict[str, Any]:
    """Return the claims of an identity token that came straight from the token endpoint. Raises Denied.

    TLS to the token endpoint vouches for it in place of its signature (OpenID Connect Core 1.0 §3.1.3.7, item 6).
    """
    try:
        body = (id_token or "").split(".")[1]
        claims = read_object(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (IndexError, ValueError):
        raise Denied(Reason.LOGIN_FAILED, "the identity token is missing or malformed") from None
    if claims.get("iss") != tenant.issuer or claims.get("aud") != CLIENT_ID:
        raise Denied(Reason.LOGIN_FAILED, "the identity token is for somebody else (iss or aud)")
    if claims.get("tid") != tenant.tenant_id or not claims.get("oid"):
        raise Denied(Reason.LOGIN_FAILED, "the identity token names another tenant or nobody")
    return claims


def denied_by(error: str, description: str, claims: str = "", suberror: str = "") -> Denied:
    """Return the denial that an OAuth error stands for. `error` decides; codes and `suberror` only refine a denial."""
    detail = re.sub(r"[^\x20-\x7e]+", " ", description)[:300] or error
    if "profile_not_assigned" in description:
        return Denied(Reason.PROFILE_NOT_ASSIGNED, detail)
    if "AADSTS50105" in description:
        return Denied(Reason.APPLICATION_NOT_ASSIGNED, detail)
    if error in _INTERACTION:
        return Denied(Reason.INTERACTION_REQUIRED, detail, claims=claims)
    if error in _OUTAGE:
        return Denied(Reason.IDP_UNREACHABLE, detail)
    named = reason_named(suberror)
    if error == "access_denied" and named is not None and named.kind is Kind.DENIED:
        return Denied(named, detail)
    return Denied(Reason.LOGIN_FAILED, detail)


def _denied(answer: Answer, fallback: Reason) -> Denied:
    """Return the denial in an answer: OAuth's (RFC 6749 §5.2) or an API's `{"error": {"code", "message"}}`."""
    if answer.status >= 500:
        return Denied(Reason.IDP_UNREACHABLE, f"the identity provider answered {answer.status}")
    error = _json(answer).get("error")
    if isinstance(error, dict):
        code, message = str(error.get("code", "")), str(error.get("message", ""))[:300]
        known = {reason.value: reason for reason in (Reason.PROFILE_NOT_ASSIGNED, Reason.NO_PROFILE)}
        return Denied(known.get(code, fallback), message or code)
    if isinstance(error, str):
        said = _json(answer)
        words = (str(said.get(name, "")) for name in ("error_description", "claims", "suberror"))
        return denied_by(error, *words)
    return Denied(fallback, f"the identity provider answered {answer.status}")


def _grant(answer: Answer, body: dict[str, Any]) -> Grant:
    if answer.status != 200 or not isinstance(body.get("access_token"), str):
        raise _denied(answer, Reason.LOGIN_FAILED)
    return Grant(
        access_token=read_credential(body, "access_token") or "",
        expires_in=read_seconds(body, "expires_in", 0.0),
        refresh_token=read_credential(body, "refresh_token"),
        id_token=read_credential(body, "id_token"),
        session_credential=read_credential(body, "session_credential"),
    )


def _metadata(base: str, document: dict[str, Any]) -> Metadata:
    """Check that everything the document names lies at the provider we were told to use."""
    names = ("issuer", "authorization_endpoint", "token_endpoint")
    issuer, authorize, token = (read_url(document, name, base) for name in names)
    if issuer is None or authorize is None or token is None:
        raise Denied(Reason.LOGIN_FAILED, f"the discovery document lacks one of {', '.join(names)}")
    found = re.fullmatch(r"(.*)/([0-9a-fA-F-]{36})/v2\.0", issuer)
    if found is None:
        raise Denied(Reason.LOGIN_FAILED, "the discovery document's issuer names no tenant")
    names_issuer = bool(document.get("authorization_response_iss_parameter_supported"))
    return Metadata(
        issuer=issuer,
        tenant_id=found[2].lower(),
        authorization_endpoint=authorize,
        token_endpoint=token,
        device_authorization_endpoint=read_url(document, "device_authorization_endpoint", base),
        end_session_endpoint=read_url(document, "end_session_endpoint", base),
        names_issuer=names_issuer,
    )


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def _json(answer: Answer) -> dict[str, Any]:
    return read_object(answer.body)
