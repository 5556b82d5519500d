"""Everything an edge holds for one tenant, live: TLS context, keys, profiles, origins. All of it can be rebuilt."""

from __future__ import annotations

import hashlib
import re
import ssl
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from tunneld.edge.connector import Connector
from tunneld.edge.keys import Fetch, KeyCache, https_fetch
from tunneld.edge.restrictions import Ask, RestrictionCheck, https_ask
from tunneld.edge.settings import Settings, TenantSection
from tunneld.forwarding.assignment import assigned
from tunneld.forwarding.compile import CompiledProfile, compile_profile
from tunneld.forwarding.document import load_profile
from tunneld.model.errors import DocumentError
from tunneld.model.identity import ClientIdentity, VerifiedClaims
from tunneld.model.verdict import Channel
from tunneld.net.tls import interop_context, server_context
from tunneld.net.watch import FileWatch
from tunneld.policy.admission import DestinationGate, Tunnel
from tunneld.policy.compact_token import MAX_TOKEN, take_apart
from tunneld.policy.tokens import Trust, choose_issuer, verify

MAX_VERIFIED = 4096  # verified tokens remembered: two a user; an entry takes about 2 KiB


class Profiles(NamedTuple):
    """The tenant's compiled profiles at one moment. A reload makes another; nobody changes this one.

    `audiences` are those of the channels and of every application, `number` grows with each reload.
    """

    compiled: tuple[CompiledProfile, ...]
    gates: dict[tuple[str, Channel], DestinationGate]
    audiences: frozenset[str]
    number: int


_OBJECT_ID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")

ProfilesChanged = Callable[[Profiles, Profiles], None]


class TenantEdge:
    """One tenant's half of an edge. Reading files raises DocumentError; asking about tokens raises TokenError."""

    def __init__(self, tenant: TenantSection, settings: Settings, *, fetch: Fetch | None = None) -> None:
        self.name = tenant.name
        self.id = tenant.id
        self.settings = tenant
        self._names = {f"{tenant.id}.{channel.value}.{settings.edge.domain}": channel for channel in tenant.channels}
        self._timeout_s = settings.keys.timeout_s
        self.context, self.interop_context = self._read_contexts()
        self.keys = KeyCache(fetch or self._read_trust(), settings.keys)
        self.restrictions = RestrictionCheck(self._read_ask())
        self.connector = Connector(tenant.connector or settings.connector)
        self.profiles = Profiles((), {}, frozenset(), 0)
        self.profiles = self._read_profiles()
        self._listeners: list[ProfilesChanged] = []
        self._verified: dict[tuple[bytes, str | None], VerifiedClaims] = {}
        self._verified_with = 0

    # Who asks

    def channel_named(self, server_name: str) -> Channel | None:
        """Return the channel whose edge goes by that TLS server name here."""
        return self._names.get(server_name.lower())

    def tunnel(self, channel: Channel, client: ClientIdentity | None) -> Tunnel:
        """Return what admission needs to know of a connection to `channel`."""
        return Tunnel(self.id, channel, self.settings.channels.get(channel), client, self.settings.clients)

    # Tokens

    def recalled(self, token: str, jkt: str | None) -> VerifiedClaims | None:
        """Return the claims of a token that was verified before, in a connection with the same certificate key.

        Admission looks at its expiry again. Everything is forgotten when the issuer's keys change.
        """
        return self._memory().get((hashlib.sha256(token.encode()).digest(), jkt))

    async def verified(self, token: str, jkt: str | None) -> VerifiedClaims:
        """Return the claims of `token`, verified now or before. Raises TokenError.

        Waits only for a key that is not at hand; whose token it is, is judged before anybody asks for a key.
        """
        if len(token) <= MAX_TOKEN and token.isascii():  # hashing more would be work at a stranger's pleasure
            recalled = self.recalled(token, jkt)
            if recalled is not None:
                return recalled
        parts = take_apart(token)
        trust = Trust(self.id, self.settings.issuer, self.profiles.audiences)
        choose_issuer(parts, trust)
        key = self.keys.known(parts.key_id) or await self.keys.find(parts.key_id)
        claims = verify(parts, key, trust, now=time.time())
        memory = self._memory()
        if len(memory) >= MAX_VERIFIED:
            memory.clear()
        memory[hashlib.sha256(token.encode()).digest(), jkt] = claims
        return claims

    async def verified_under(self, token: str, jkt: str | None, policy: str | None) -> VerifiedClaims:
        """Return the claims of `token` where the tenant-restriction `policy` permits it. Raises TokenError."""
        claims = await self.verified(token, jkt)
        if policy is not None:
            await self.restrictions.check(policy, token)
        return claims

    def _memory(self) -> dict[tuple[bytes, str | None], VerifiedClaims]:
        if self._verified_with != self.keys.generation:
            self._verified.clear()
            self._verified_with = self.keys.generation
        return self._verified

    # Profiles

    def gate(self, claims: VerifiedClaims, channel: Channel) -> DestinationGate | None:
        """Return the gate of the profile in effect for the user in `channel`, None where no profile is assigned.

        The closest assignment wins (user, then group, then user type), then the order in the settings. Ask again
        when the profiles change.
        """
        ranked = [
            (closeness, position)
            for position, profile in enumerate(self.profiles.compiled)
            if profile.has_channel(channel) and (closeness := _closeness(profile, claims)) is not None
        ]
        if not ranked:
            return None
        profile = self.profiles.compiled[min(ranked)[1]]
        key = (profile.id, channel)
        gate = self.profiles.gates.get(key)
        if gate is None:
            applications = {application.id for application in profile.document.applications}
            gate = DestinationGate(profile.classify, channel, applications, demands=profile.demands)
            self.profiles.gates[key] = gate
        return gate

    def on_profiles(self, listener: ProfilesChanged) -> None:
        """Call `listener` with the old and the new profiles after each reload."""
        self._listeners.append(listener)

    # Files

    def watches(self, *, refused: Callable[[str], None], changed: Callable[[str], None]) -> list[FileWatch[object]]:
        """Return the watches over this tenant's files. `changed` hears which kind of file is in force anew."""
        tenant = self.settings

        def use_contexts(contexts: object) -> None:
            assert isinstance(contexts, tuple)
            self.context, self.interop_context = contexts
            changed("certificate")

        def use_profiles(profiles: object) -> None:
            assert isinstance(profiles, Profiles)
            old, self.profiles = self.profiles, profiles
            changed("profiles")
            for listener in tuple(self._listeners):
                listener(old, profiles)

        def use_trust(fetch: object) -> None:
            assert callable(fetch)
            self.keys.fetch_with(fetch)
            self.restrictions = RestrictionCheck(self._read_ask())
            changed("trust")

        return [
            FileWatch(
                (tenant.certificate, tenant.key, tenant.client_ca), self._read_contexts, use_contexts, refused=refused
            ),
            FileWatch(tenant.profiles, self._read_profiles, use_profiles, refused=refused),
            FileWatch((tenant.trust,), self._read_trust, use_trust, refused=refused),
        ]

    def _read_contexts(self) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        tenant = self.settings
        mutual = server_context(certificate=tenant.certificate, key=tenant.key, client_ca=tenant.client_ca)
        return mutual, interop_context(certificate=tenant.certificate, key=tenant.key)

    def _read_trust(self) -> Fetch:
        return https_fetch(self.settings.jwks_url, trust=self.settings.trust, timeout_s=self._timeout_s)

    def _read_ask(self) -> Ask | None:
        url = self.settings.restrictions_url
        return https_ask(url, trust=self.settings.trust, timeout_s=self._timeout_s) if url is not None else None

    def _read_profiles(self) -> Profiles:
        compiled = []
        for path in self.settings.profiles:
            try:
                text = path.read_bytes()
            except OSError as error:
                raise DocumentError(str(path), "", f"cannot be read ({error.strerror})", "give its path") from None
            compiled.append(compile_profile(load_profile(text, where=str(path))))
            self._check_profile(compiled, where=str(path))
            _remark_names(compiled[-1], where=str(path))
        audiences = set(self.settings.channels.values())
        audiences |= {application.id for each in compiled for application in each.document.applications}
        return Profiles(tuple(compiled), {}, frozenset(audiences), self.profiles.number + 1)

    def _check_profile(self, compiled: Sequence[CompiledProfile], *, where: str) -> None:
        newest = compiled[-1]
        if newest.tenant not in (self.name, self.id):
            mend = f"this edge section is {self.name}'s"
            raise DocumentError(where, "tenant", f"the profile belongs to {newest.tenant}", mend)
        if any(other.id == newest.id for other in compiled[:-1]):
            raise DocumentError(where, "id", f"{newest.id} is taken by another profile of the tenant", "choose another")


def _closeness(profile: CompiledProfile, claims: VerifiedClaims) -> int | None:
    """Return how directly the profile is assigned, None for not at all.

    Principal names never count here: they can be changed by whoever administers the home tenant.
    """
    assignments = profile.document.assignments
    if not assigned(assignments, claims.oid, "", claims.groups, claims.user_type or ""):
        return None
    if claims.oid in assignments.users:
        return 0
    return 1 if assignments.groups else 2


def _remark_names(profile: CompiledProfile, *, where: str) -> None:
    """Say in the log which assignments can never fit here, since tokens vouch for object ids and not for names."""
    assignments = profile.document.assignments
    names = [name for name in (*assignments.users, *assignments.groups) if not _OBJECT_ID.fullmatch(name)]
    if names:
        structlog.get_logger().warning(
            "assignments_by_name", file=where, names=names, mend="the edge knows object ids only; write these"
        )


def find_tenant(tenants: Sequence[TenantEdge], server_name: str) -> tuple[TenantEdge, Channel] | None:
    """Return whose edge the TLS server name asks for."""
    for tenant in tenants:
        channel = tenant.channel_named(server_name)
        if channel is not None:
            return tenant, channel
    return None
