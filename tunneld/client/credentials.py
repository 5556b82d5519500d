"""One user's credentials in one tenant: the refresh token, the tokens it buys, the key and its certificate."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from tunneld.client.demands import Demands
from tunneld.client.enrolment import DeviceKey, Enrolment, enrol
from tunneld.client.oidc import (
    DIRECTORY,
    ENROLMENT,
    SILENT_REDIRECT,
    Attempt,
    Grant,
    Metadata,
    Provider,
    identity_claims,
    read_answer,
    scope_of,
)
from tunneld.client.ports import Denied
from tunneld.client.redirect import listen_for_redirect
from tunneld.client.tokens import TokenCache, TokenKey
from tunneld.model.reasons import Reason
from tunneld.policy.claims_challenge import claims_parameter


class Interaction(NamedTuple):
    """A page that the user must answer in a browser, with a code to type where it is a device sign-in."""

    url: str
    user_code: str | None = None


Ask = Callable[[Interaction], Awaitable[None]]
"""Shows an interaction to whoever asked; returns when it was shown, not when it was answered."""


async def sign_in_by_browser(
    provider: Provider, tenant: Metadata, ask: Ask, *, seconds: float, **extra: str
) -> Grant:
    """Have the user answer the tenant's page in a browser and return the grant. Raises Denied."""
    attempt = Attempt.make()
    try:
        async with asyncio.timeout(seconds), listen_for_redirect(attempt.state) as redirect:
            url = provider.authorize_url(tenant, attempt, redirect=redirect.uri, **extra)
            await ask(Interaction(url))
            query = await redirect.answer()
    except TimeoutError:
        raise Denied(Reason.INTERACTION_REQUIRED, f"the page was not answered in {seconds:g} s") from None
    return await provider.redeem_code(tenant, attempt, read_answer(tenant, attempt, query), redirect.uri)


class Home(NamedTuple):
    """What a tenant's credentials need of the home account: proof of its session, and its name for the page."""

    session_credential: str | None
    username: str


class TenantCredentials:
    """Implements the `Credentials` port. Rotating refresh tokens allow one request at a time, so there is a lock."""

    def __init__(
        self,
        provider: Provider,
        tenant: str,
        home: Callable[[], Home],
        *,
        now: Callable[[], float],
        pins: Path | None = None,
        refresh_token: str | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._provider = provider
        self.tenant = tenant
        self._home = home
        self._now = now
        self._pins = pins
        self.refresh_token = refresh_token
        self._changed = changed
        self._lock = asyncio.Lock()
        self._key: DeviceKey | None = None
        self._enrolment: Enrolment | None = None
        self.keep_enrolled = False
        """Whether `maintain` renews the certificate: the tenant is active and has channels."""
        self.tokens = TokenCache(now)
        self.demands = Demands(now)
        self._applications: set[str] = set()

    async def channel_token(self, audience: str) -> str:
        return await self._token(TokenKey(audience, bound=True))

    async def app_token(self, application: str) -> str:
        self._applications.add(application)
        return await self._token(TokenKey(application, bound=True))

    async def answer_challenge(self, application: str, refused: str, challenge: str) -> str:
        self._applications.add(application)
        key = TokenKey(application, bound=True)
        async with self._lock:
            current = self.tokens.get(key)
            if current is not None and current != refused:
                return current  # another connection's challenge was answered while this one waited
            self.demands.challenged(application, challenge)
            return await self._fetch(key)

    async def step_up(self, application: str, context: str | None, ask: Ask, *, seconds: float) -> Grant:
        """Have the user answer the page that stands between them and the application. Raises Denied.

        What it asks for is what the edge demanded, or the `context` that the profile names. Tokens of everything else
        stay as they are, and can be had while the page is open.
        """
        self._applications.add(application)
        wanted = self.demands.remembered(application)
        if not wanted.contexts and context is not None:
            wanted = replace(wanted, contexts=(context,))
        metadata = await self._provider.metadata(self.tenant)
        grant = await sign_in_by_browser(
            self._provider, metadata, ask, seconds=seconds, login_hint=self._home().username,
            scope=f"openid profile offline_access {scope_of(application)}", claims=claims_parameter(wanted),
        )  # fmt: skip
        who = identity_claims(grant.id_token, metadata)["oid"]
        if self._enrolment is not None and self._enrolment.oid not in ("", who):
            raise Denied(Reason.LOGIN_FAILED, "the page was answered by another account than the one signed in here")
        await self.enrol()
        async with self._lock:
            self._keep(grant.refresh_token)
            self.demands.insist(application, wanted)
            key = TokenKey(application, bound=True)
            self.tokens.forgive(key)
            await self._fetch(key)
        return grant

    async def directory_token(self) -> str:
        """Return a token for the tenant's directory: bearer, because the directory sees no client certificate."""
        return await self._token(TokenKey(DIRECTORY, bound=False))

    def tls_context(self) -> ssl.SSLContext:
        if self._enrolment is None or self._now() >= self._enrolment.expires_at:
            raise Denied(Reason.CERTIFICATE_EXPIRED if self._enrolment else Reason.CERTIFICATE_MISSING, self.tenant)
        return self._enrolment.context

    @property
    def restriction(self) -> str | None:
        return self._provider.restriction

    @property
    def certificate_expires_at(self) -> float | None:
        return self._enrolment.expires_at if self._enrolment else None

    async def sign_in(self, ask: Ask | None, *, seconds: float, fresh: bool = False) -> None:
        """Make sure that this tenant knows us: by what we hold, else silently, else by a page if there is `ask`.

        `fresh` asks the provider whatever we hold, so that a policy that changed is met now and not when tokens end.
        """
        async with self._lock:
            try:
                await (self._sign_in_anew() if fresh else self._sign_in_silently())
            except Denied as denied:
                if denied.reason is not Reason.INTERACTION_REQUIRED or ask is None:
                    raise
                metadata = await self._provider.metadata(self.tenant)
                hint = self._home().username
                grant = await sign_in_by_browser(self._provider, metadata, ask, seconds=seconds, login_hint=hint)
                self.take(grant, metadata)

    async def _sign_in_silently(self) -> None:
        key = TokenKey(DIRECTORY, bound=False)
        self.tokens.forgive(key)  # whoever signs in wants to know now, not what was said a moment ago
        if self.tokens.get(key) is not None:
            return
        if self.refresh_token is not None:
            await self._fetch(key)
        else:
            await self._authorize_silently()

    async def _sign_in_anew(self) -> None:
        key = TokenKey(DIRECTORY, bound=False)
        self.tokens.forgive(key)
        await (self._fetch(key) if self.refresh_token is not None else self._authorize_silently())
        self.tokens.drop_bound()  # each is judged by itself, for an application or a channel

    async def enrol(self) -> None:
        """Make sure that there is a certificate with life in it, for the key that our tokens are bound to."""
        if self._enrolment is not None and self._now() < self._enrolment.renew_at:
            return
        async with self._lock:
            if self._enrolment is not None and self._now() < self._enrolment.renew_at:
                return  # somebody else renewed it while we waited
            key = self._key or DeviceKey()
            # A fresh token: the issuer does not take one that has been lying about.
            grant = await self._grant(ENROLMENT, None)
            metadata = await self._provider.metadata(self.tenant)
            certificate, ca = await self._provider.certificate(metadata.tenant_id, key.csr(), grant.access_token)
            self._enrolment = enrol(key, certificate, ca, self._pins)
            self._key = key

    async def maintain(self) -> float | None:
        """Renew what is due, keep going on a refusal, and return when to look again (None: nothing to renew).

        Raises Denied(`idp_unreachable`) so that the caller backs off; what is in force stays in force until it ends.
        """
        if self.keep_enrolled:
            await self.enrol()
        for key in self.tokens.due():
            async with self._lock:
                await self._fetch(key)
        times = [self.tokens.next_due(), self._enrolment.renew_at if self._enrolment and self.keep_enrolled else None]
        return min((t for t in times if t is not None), default=None)

    async def renew(self, audience: str) -> str:
        """Return a new bound token although the old one has not ended: an edge asked for one."""
        async with self._lock:
            return await self._fetch(TokenKey(audience, bound=True))

    def token_state(self, audience: str) -> str:
        """Return `valid`, `none` or the reason of a fresh refusal, for an explanation."""
        try:
            if self.tokens.get(TokenKey(audience, bound=True)):
                return "valid"
        except Denied as denied:
            return denied.reason.value
        return next((each.reason.value for each in self.demands.waiting() if each.application == audience), "none")

    async def _token(self, key: TokenKey) -> str:
        if key.bound:
            await self.enrol()  # nothing to do but once in a certificate's life; a bound token needs its key
        found = self.tokens.get(key)
        if found is not None:
            return found
        async with self._lock:
            return self.tokens.get(key) or await self._fetch(key)

    async def _fetch(self, key: TokenKey) -> str:
        if key.bound and self._key is None:
            raise Denied(Reason.CERTIFICATE_MISSING, "no certificate yet, so there is no key to bind a token to")
        try:
            grant = await self._grant(key.audience, self._key.thumbprint if key.bound and self._key else None)
        except Denied as denied:
            if denied.reason is not Reason.IDP_UNREACHABLE:  # an outage says nothing about the token we have
                self.tokens.deny(key, denied)
                if key.bound and key.audience in self._applications:
                    self.demands.refused(key.audience, denied)
            raise
        if key.bound:
            self.demands.met(key.audience)
        self.tokens.put(key, grant.access_token, grant.expires_in)
        return self.tokens.get(key) or grant.access_token

    async def _grant(self, audience: str, thumbprint: str | None) -> Grant:
        """Redeem the refresh token; if it is no good any more, sign in silently once and try again."""
        metadata = await self._provider.metadata(self.tenant)
        if self.refresh_token is not None:
            try:
                return await self._redeem(metadata, audience, thumbprint)
            except Denied as denied:
                if denied.reason is not Reason.LOGIN_FAILED:
                    raise
        await self._authorize_silently()
        return await self._redeem(metadata, audience, thumbprint)

    async def _redeem(self, metadata: Metadata, audience: str, thumbprint: str | None) -> Grant:
        # Only edges challenge, and only for applications: nobody else is told that we can answer.
        claims = self.demands.claims(audience) if thumbprint and audience in self._applications else ""
        grant = await self._provider.refresh(metadata, self.refresh_token or "", audience, thumbprint, claims=claims)
        self._keep(grant.refresh_token)
        return grant

    async def _authorize_silently(self) -> None:
        session = self._home().session_credential
        if session is None:
            raise Denied(Reason.INTERACTION_REQUIRED, "there is no home session to sign in with")
        metadata = await self._provider.metadata(self.tenant)
        attempt = Attempt.make()
        code = await self._provider.silent_code(metadata, attempt, session)
        grant = await self._provider.redeem_code(metadata, attempt, code, SILENT_REDIRECT)
        self.take(grant, metadata)

    def take(self, grant: Grant, metadata: Metadata) -> None:
        """Begin anew with the grant of a sign-in. Raises Denied if it is not one."""
        identity_claims(grant.id_token, metadata)
        if grant.refresh_token is None:
            raise Denied(Reason.LOGIN_FAILED, "the identity provider gave no refresh token")
        self._keep(grant.refresh_token)
        self.tokens.put(TokenKey(DIRECTORY, bound=False), grant.access_token, grant.expires_in)

    def _keep(self, refresh_token: str | None) -> None:
        if refresh_token is not None and refresh_token != self.refresh_token:
            self.refresh_token = refresh_token
            self._changed()

    def saved(self) -> dict[str, Any]:
        """Return what outlives the process. The key does not: it is never written."""
        return {"refresh_token": self.refresh_token}
