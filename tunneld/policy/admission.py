"""Who may open a tunnel, use a token in it, and reach a destination: the edge's judgement, as values.

A private flow passes a double gate. One half is the profile: it must be assigned to the user and carry the channel.
The other is the application: its token must have been issued to the user, and the destination must be its own.
Nothing here knows a socket or a data plane, so the same judgement can answer an external proxy's authorization call.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping
from types import MappingProxyType
from typing import NamedTuple

from tunneld.model.identity import ClientIdentity, VerifiedClaims
from tunneld.model.reasons import Reason
from tunneld.model.verdict import Channel, Outcome, Protocol, Verdict
from tunneld.policy.claims_challenge import CAPABLE
from tunneld.policy.tokens import CLOCK_SKEW_S

USER_SCOPE = "user_impersonation"
MAX_DECISIONS = 65536  # about 10 MiB; a user with more distinct destinations than that is scanning

Classify = Callable[[str, int, Protocol], Verdict]

NO_DEMANDS: Mapping[str, str] = MappingProxyType({})


class SignIn(NamedTuple):
    """Which sign-in a token came from, for the traffic log: it joins what the network saw with who signed in."""

    token_id: str
    home_tenant: str | None
    user_type: str | None


class Admit(NamedTuple):
    """Yes, until `expires_at` (seconds since the epoch). `application` is None outside the private channel.

    `contexts` are the authentication contexts that the token had satisfied; `capable` says whether its client can
    answer a claims challenge, should the application come to demand another one.
    """

    expires_at: float
    application: str | None = None
    rule_id: str | None = None
    sign_in: SignIn | None = None
    contexts: frozenset[str] = frozenset()
    capable: bool = False


class Refuse(NamedTuple):
    """No, and why. `detail` is for the edge's own log, never for the peer.

    `context` is the authentication context to challenge the client with; empty where nothing would come of that.
    """

    reason: Reason
    detail: str = ""
    context: str = ""


Decision = Admit | Refuse


class Tunnel(NamedTuple):
    """The connection that asks: whose edge and channel it reached, and whom its certificate speaks for.

    `client` is None on the interoperability listener, where only unbound tokens are taken. `clients` are the client
    applications that may use this edge.
    """

    tenant_id: str
    channel: Channel
    audience: str | None
    client: ClientIdentity | None
    clients: Container[str]


def admit_session(tunnel: Tunnel, claims: VerifiedClaims, *, profile_assigned: bool, now: float) -> Decision:
    """Decide whether the channel token opens this tunnel."""
    if tunnel.audience is None:
        return Refuse(Reason.CHANNEL_NOT_OFFERED, tunnel.channel)
    if claims.audience != tunnel.audience:
        return Refuse(Reason.TOKEN_AUDIENCE, "not this channel's")
    refusal = _bearer(tunnel, claims, now)
    if refusal is not None:
        return refusal
    if not profile_assigned:
        return Refuse(Reason.PROFILE_NOT_ASSIGNED, tunnel.channel)
    return Admit(_until(tunnel, claims), sign_in=_sign_in(claims))


def admit_token(
    tunnel: Tunnel,
    claims: VerifiedClaims,
    *,
    user: str | None,
    applications: Container[str],
    demands: Mapping[str, str] = NO_DEMANDS,
    now: float,
) -> Decision:
    """Decide whether an application's token may be used in this tunnel.

    `user` is the object id that the channel token was accepted for, None where there is no session.
    `applications` are those of the profile in effect for the user, `demands` the authentication contexts that some
    of them ask for.
    """
    refusal = _bearer(tunnel, claims, now)
    if refusal is not None:
        return refusal
    if user is not None and claims.oid != user:
        return Refuse(Reason.TOKEN_SUBJECT, "not the user of the channel token")
    if claims.audience == tunnel.audience:
        return Refuse(Reason.TOKEN_AUDIENCE, "a channel token is no application token")
    if claims.audience not in applications:
        return Refuse(Reason.PROFILE_NOT_ASSIGNED, "no profile of the user has this application")
    grant = Admit(
        _until(tunnel, claims), claims.audience, sign_in=_sign_in(claims), contexts=claims.authentication_contexts,
        capable=CAPABLE in claims.capabilities,
    )  # fmt: skip
    return lacking(grant, demands) or grant


class DestinationGate:
    """The second half of the double gate for one profile and one channel, with its decisions remembered.

    A gate belongs to one version of one profile; a reload makes a new one. That is all the invalidation there is.
    """

    __slots__ = ("_channel", "_classify", "_decisions", "_limit", "applications", "demands")

    def __init__(
        self,
        classify: Classify,
        channel: Channel,
        applications: Collection[str],
        *,
        demands: Mapping[str, str] = NO_DEMANDS,
        limit: int = MAX_DECISIONS,
    ) -> None:
        self._classify = classify
        self._channel = channel
        self._limit = limit
        self._decisions: dict[tuple[str | None, str, int, Protocol], Verdict | Refuse] = {}
        self.applications = frozenset(applications)
        self.demands = demands
        """The authentication context of each application that demands one."""

    def decide(self, application: str | None, host: str, port: int, protocol: Protocol) -> Verdict | Refuse:
        """Return the winning rule's verdict if `application` owns the (normalised) destination, else why not."""
        key = (application, host, port, protocol)
        decision = self._decisions.get(key)
        if decision is None:
            if len(self._decisions) >= self._limit:
                self._decisions.clear()
            decision = self._decisions[key] = self._judge(self._classify(host, port, protocol), application)
        return decision

    def _judge(self, verdict: Verdict, application: str | None) -> Verdict | Refuse:
        if verdict.outcome is Outcome.BLOCK:
            return Refuse(Reason.RULE_BLOCK, verdict.rule_id or "")
        if verdict.outcome is not Outcome.TUNNEL or verdict.channel is not self._channel:
            return Refuse(Reason.DESTINATION_NOT_IN_APPLICATION, "no rule of this channel wins here")
        if self._channel is Channel.PRIVATE and verdict.application != application:
            return Refuse(Reason.DESTINATION_NOT_IN_APPLICATION, f"{verdict.application} owns it")
        return verdict


def admit_flow(
    gate: DestinationGate, grant: Admit | None, host: str, port: int, protocol: Protocol, *, now: float
) -> Decision:
    """Decide one flow under a grant that `admit_token` gave (in other channels: `admit_session`). `host` is normalised.

    None stands for a flow that named no accepted token.
    """
    if grant is None:
        return Refuse(Reason.TOKEN_MISSING)
    if now >= grant.expires_at + CLOCK_SKEW_S:
        return Refuse(Reason.TOKEN_EXPIRED)
    decision = holds(gate, grant, host, port, protocol)
    if isinstance(decision, Refuse):
        return decision
    return Admit(grant.expires_at, grant.application, decision.rule_id)


def holds(gate: DestinationGate, grant: Admit, host: str, port: int, protocol: Protocol) -> Verdict | Refuse:
    """Decide a flow by its profile alone, as is done again for every live flow when the profile changes."""
    return (lacking(grant, gate.demands) if gate.demands else None) or gate.decide(
        grant.application, host, port, protocol
    )


def lacking(grant: Admit, demands: Mapping[str, str]) -> Refuse | None:
    """Refuse a grant whose token lacks what its application demands.

    A client that does not say that it understands challenges is not challenged (Microsoft identity platform: "How to
    use Continuous Access Evaluation enabled APIs"): it would come back with the same token for ever.
    """
    context = demands.get(grant.application or "")
    if context is None or context in grant.contexts:
        return None
    return Refuse(Reason.INSUFFICIENT_CLAIMS, f"lacks {context}", context if grant.capable else "")


def _bearer(tunnel: Tunnel, claims: VerifiedClaims, now: float) -> Refuse | None:
    """What every token in a tunnel must satisfy, whatever it is for."""
    client = tunnel.client
    if claims.tenant_id != tunnel.tenant_id:
        return Refuse(Reason.TOKEN_TENANT)
    if client is None:
        if claims.jkt is not None:
            return Refuse(Reason.TOKEN_BINDING, "a bound token without its key")
    elif client.tenant_id != tunnel.tenant_id:
        return Refuse(Reason.CERTIFICATE_TENANT)
    elif claims.oid != client.oid:
        return Refuse(Reason.TOKEN_SUBJECT, "not the user of the certificate")
    elif claims.jkt != client.jkt:
        return Refuse(Reason.TOKEN_BINDING, "another key" if claims.jkt else "not bound")
    elif now >= client.not_after + CLOCK_SKEW_S:
        return Refuse(Reason.CERTIFICATE_EXPIRED)
    if claims.client_id not in tunnel.clients:
        return Refuse(Reason.TOKEN_ACTOR, claims.client_id)
    if USER_SCOPE not in claims.scopes:
        return Refuse(Reason.TOKEN_SCOPE)
    if now >= claims.expires_at + CLOCK_SKEW_S:  # a cached verification outlives its token
        return Refuse(Reason.TOKEN_EXPIRED)
    return None


def _sign_in(claims: VerifiedClaims) -> SignIn:
    return SignIn(claims.token_id, claims.home_tenant, claims.user_type)


def _until(tunnel: Tunnel, claims: VerifiedClaims) -> float:
    return claims.expires_at if tunnel.client is None else min(claims.expires_at, tunnel.client.not_after)
