"""Who is signed in on this machine, and their credentials in every tenant they use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

from tunneld.client.credentials import Ask, Home, Interaction, TenantCredentials, sign_in_by_browser
from tunneld.client.endless import keep_at
from tunneld.client.oidc import Grant, Metadata, Provider, identity_claims
from tunneld.client.ports import Denied
from tunneld.client.vault import Vault
from tunneld.model.reasons import Reason
from tunneld.session.backoff import Backoff

log = structlog.get_logger("tunneld.identity")

LOOK_S = 15.0  # the longest sleep between two looks at what is due: a suspended laptop wakes up late
DEVICE_SLOWER_S = 5.0  # RFC 8628 §3.5: what `slow_down` adds


@dataclass(frozen=True, slots=True)
class Account:
    """The home account, as its identity token described it at sign-in."""

    tenant_id: str
    oid: str
    username: str
    name: str

    @classmethod
    def from_claims(cls, claims: Mapping[str, Any]) -> Account:
        return cls(
            tenant_id=str(claims["tid"]),
            oid=str(claims["oid"]),
            username=str(claims.get("preferred_username", "")),
            name=str(claims.get("name", "")),
        )


class Identity:
    """The home session and the credentials it opens. Everything worth keeping is in the vault."""

    def __init__(
        self,
        provider: Provider,
        vault: Vault,
        *,
        home_tenant: str,
        now: Callable[[], float],
        pins: Path | None = None,
    ) -> None:
        self.provider = provider
        self.account: Account | None = None
        self._vault = vault
        self._home_tenant = home_tenant
        self._now = now
        self._pins = pins
        self._session: str | None = None
        self._tenants: dict[str, TenantCredentials] = {}
        self._dirty = asyncio.Event()
        self._wake = asyncio.Event()
        self._backoffs: dict[str, Backoff] = {}
        self._writing = asyncio.Lock()

    @property
    def key_source(self) -> str:
        """Where the vault's key comes from: `keyring` or `file`."""
        return self._vault.key_source

    def restore(self) -> bool:
        """Take up what the last run left, and tell whether somebody is signed in."""
        saved = self._vault.read()
        try:
            self.account = Account(**saved["account"])
            self._session = saved["session_credential"]
            for tenant_id, part in saved["tenants"].items():
                self._tenants[tenant_id] = self._make(tenant_id, part["refresh_token"])
        except (KeyError, TypeError, AttributeError):
            self.account, self._session, self._tenants = None, None, {}
        return self.account is not None

    def credentials(self, tenant_id: str) -> TenantCredentials:
        """Return the credentials in a tenant; the same object every time, until somebody else signs in."""
        found = self._tenants.get(tenant_id)
        if found is None:
            found = self._tenants[tenant_id] = self._make(tenant_id, None)
        return found

    def require_account(self) -> Account:
        """Return who is signed in. Raises Denied(`signed_out`)."""
        if self.account is None:
            raise Denied(Reason.SIGNED_OUT, "run `tunneld login`")
        return self.account

    async def login(self, ask: Ask, *, device: bool, seconds: float) -> Account:
        """Sign the home account in. Raises Denied; then whoever was signed in still is."""
        metadata = await self.provider.metadata(self._home_tenant)
        if device:
            grant = await self._device(metadata, ask, seconds)
        else:
            grant = await sign_in_by_browser(self.provider, metadata, ask, seconds=seconds)
        account = Account.from_claims(identity_claims(grant.id_token, metadata))
        if self.account is None or account.oid != self.account.oid or account.tenant_id != self.account.tenant_id:
            self._tenants = {}  # another person's credentials are of no use, and must not be
        self.account, self._session = account, grant.session_credential or self._session
        self.credentials(account.tenant_id).take(grant, metadata)
        self._changed()
        log.info("signed_in", user=account.username, tenant=account.tenant_id)
        return account

    async def step_up(
        self, tenant_id: str, application: str, context: str | None, ask: Ask, *, seconds: float
    ) -> Account:
        """Have the account sign in more strongly for one application of a tenant. Raises Denied."""
        account, credentials = self.require_account(), self.credentials(tenant_id)
        grant = await credentials.step_up(application, context, ask, seconds=seconds)
        if self._tenants.get(tenant_id) is not credentials:
            raise Denied(Reason.SIGNED_OUT, "the account was signed out meanwhile")
        self._session = grant.session_credential or self._session  # home gives one: what was proved counts abroad too
        self._changed()
        log.info("stepped_up", user=account.username, tenant=tenant_id, application=application)
        return account

    async def logout(self) -> None:
        """Forget everything, and tell the provider if it can be reached."""
        account, session = self.account, self._session
        self.account, self._session, self._tenants = None, None, {}
        self._dirty.clear()
        async with self._writing:  # else what is being written now would be there again after a sign-out
            await asyncio.to_thread(self._vault.erase)
        if account is not None and session is not None:
            try:
                await self.provider.end_session(await self.provider.metadata(account.tenant_id), session)
            except Denied as denied:  # the credentials are gone from here, which is what was asked
                log.warning("logout_not_told", reason=denied.reason.value)
        log.info("signed_out")

    async def run(self) -> None:
        """Renew tokens and certificates before they end and keep the vault up to date, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(keep_at(self._maintain, name="renew"), name="renew")
            group.create_task(keep_at(self._save_changes, name="vault"), name="vault")

    async def save(self) -> None:
        """Write what changed, if anything did."""
        async with self._writing:
            await self._save()

    async def _save(self) -> None:
        changed = self._dirty.is_set()
        self._dirty.clear()
        if not changed or self.account is None:
            return
        content = {
            "account": asdict(self.account),
            "session_credential": self._session,
            "tenants": {tenant_id: tenant.saved() for tenant_id, tenant in self._tenants.items()},
        }
        await asyncio.to_thread(self._vault.write, content)

    async def _save_changes(self) -> None:
        # Off the path of a token request: a rotation that is lost in a crash costs one silent sign-in, no more.
        await self._dirty.wait()
        try:
            await self.save()
        except OSError as error:
            log.error("vault_not_written", path=str(self._vault.path), cause=error.strerror)

    async def _maintain(self) -> None:
        wait = LOOK_S
        for tenant_id, tenant in list(self._tenants.items()):
            wait = min(wait, await self._renew(tenant_id, tenant))
        self._wake.clear()
        try:
            async with asyncio.timeout(wait):
                await self._wake.wait()
        except TimeoutError:
            pass  # the usual case

    async def _renew(self, tenant_id: str, tenant: TenantCredentials) -> float:
        """Renew what is due in one tenant; return how long that may rest. A failure here stays in this tenant."""
        try:
            due = await tenant.maintain()
        except Denied as denied:
            log.warning("renewal_refused", tenant=tenant_id, reason=denied.reason.value)
        except Exception:
            log.exception("internal_error", task="renew", tenant=tenant_id)
        else:
            self._backoffs.pop(tenant_id, None)
            return LOOK_S if due is None else max(0.05, due - self._now())
        # Half of the full-jitter ceiling: renewal starts early, so a collision of daemons is harmless.
        return max(1.0, self._backoffs.setdefault(tenant_id, Backoff()).next_delay(0.5))

    async def _device(self, metadata: Metadata, ask: Ask, seconds: float) -> Grant:
        """RFC 8628: show a code, then ask at the interval that the provider wants."""
        started = await self.provider.device_authorization(metadata)
        await ask(Interaction(started.url, started.user_code))
        interval = started.interval_s
        try:
            async with asyncio.timeout(min(seconds, started.expires_in_s)):
                while True:
                    await asyncio.sleep(interval)
                    answer = await self.provider.device_poll(metadata, started.device_code)
                    if isinstance(answer, Grant):
                        return answer
                    interval += DEVICE_SLOWER_S if answer == "slow_down" else 0.0
        except TimeoutError:
            raise Denied(Reason.INTERACTION_REQUIRED, "the code was not entered in time") from None

    def _make(self, tenant_id: str, refresh_token: str | None) -> TenantCredentials:
        return TenantCredentials(
            self.provider,
            tenant_id,
            self._home,
            now=self._now,
            pins=self._pins,
            refresh_token=refresh_token,
            changed=self._changed,
        )

    def _home(self) -> Home:
        return Home(self._session, self.account.username if self.account else "")

    def _changed(self) -> None:
        self._dirty.set()
        self._wake.set()
