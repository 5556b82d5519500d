"""Who is at the other end of one tunnel connection, and what their tokens let them do there."""

from __future__ import annotations

import time

from tunneld.edge.tenant import TenantEdge
from tunneld.model.errors import TokenError
from tunneld.model.identity import ClientIdentity, VerifiedClaims
from tunneld.model.reasons import Reason
from tunneld.model.verdict import Channel
from tunneld.policy.admission import (
    NO_DEMANDS,
    Admit,
    Decision,
    DestinationGate,
    Refuse,
    Tunnel,
    admit_session,
    admit_token,
    lacking,
)


class Bearer:
    """The tokens of one connection as they were judged: the channel's, and by number those of applications.

    On the interoperability listener there is neither certificate nor session: each token brings its own user, and
    with it the profile.
    """

    def __init__(self, tenant: TenantEdge, tunnel: Tunnel, *, interop: bool) -> None:
        self.tunnel = tunnel
        self.restriction: str | None = None
        """The tenant-restriction policy that the session named."""
        self.gate: DestinationGate | None = None
        self.session: Admit | None = None
        self.refs: dict[bytes, Admit] = {}
        self._tenant = tenant
        self._interop = interop
        self._claims: VerifiedClaims | None = None

    @property
    def user(self) -> str:
        """Return the object id of whoever is at the other end, for records and caps."""
        client = self.tunnel.client
        return client.oid if client is not None else (self._claims.oid if self._claims else "")

    @property
    def known(self) -> bool:
        """Say whether any token was accepted yet that tells whose profile counts."""
        return self._claims is not None

    def identified(self, client: ClientIdentity) -> None:
        """Note whom the certificate speaks for."""
        self.tunnel = self.tunnel._replace(client=client)

    async def judge_channel(self, token: str) -> Decision:
        """Judge a channel's token; one that is admitted is in force."""
        try:
            claims = await self._tenant.verified_under(token, self._jkt, self.restriction)
        except TokenError as error:
            return Refuse(error.reason, error.detail)
        gate = self._tenant.gate(claims, self.tunnel.channel)
        decision = admit_session(self.tunnel, claims, profile_assigned=gate is not None, now=time.time())
        if isinstance(decision, Admit):
            self._claims, self.session, self.gate = claims, decision, gate
        return decision

    async def judge_application(self, token: str, restriction: str | None = None) -> Decision:
        """Judge an application's token. On the interoperability listener it brings its own profile."""
        try:
            claims = await self._tenant.verified_under(token, self._jkt, restriction or self.restriction)
        except TokenError as error:
            return Refuse(error.reason, error.detail)
        if self._interop:
            self.gate = self._tenant.gate(claims, Channel.PRIVATE)
            self._claims = claims
            if self.gate is None:
                return Refuse(Reason.PROFILE_NOT_ASSIGNED)
        if self.gate is None or (self._claims is None and not self._interop):
            return Refuse(Reason.NO_SESSION)
        user = None if self._interop or self._claims is None else self._claims.oid
        return admit_token(
            self.tunnel, claims, user=user, applications=self.gate.applications, demands=self.gate.demands,
            now=time.time(),
        )  # fmt: skip

    def keep(self, ref: int, grant: Admit) -> None:
        """Let flows use `grant` under a number. One token an application: a renewed one takes the last one's place."""
        self.refs = {r: a for r, a in self.refs.items() if a.application != grant.application}
        self.refs[str(ref).encode()] = grant

    def reload(self) -> DestinationGate | None:
        """Look at the profiles that are in force now, and forget the tokens that do not do for them any more.

        A client takes an unknown number for a reason to present its token again, and then hears what is missing.
        """
        if self._claims is None:
            return None
        self.gate = gate = self._tenant.gate(self._claims, self.tunnel.channel)
        demands = gate.demands if gate is not None else NO_DEMANDS
        self.refs = {ref: grant for ref, grant in self.refs.items() if lacking(grant, demands) is None}
        return gate

    @property
    def _jkt(self) -> str | None:
        return None if self.tunnel.client is None else self.tunnel.client.jkt
