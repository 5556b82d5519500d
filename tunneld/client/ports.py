"""What the daemon's parts expect of each other, as protocols: the tests stand fakes behind them."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import NamedTuple, Protocol

from tunneld.inbound.request import Opener
from tunneld.journal.flows import FlowRecord
from tunneld.model.errors import TunneldError
from tunneld.model.reasons import Reason
from tunneld.model.verdict import Channel


class Denied(TunneldError):  # noqa: N818 - a verdict in transit, not a fault
    """Sign-in or a token was refused. Carries the reason through the control flow of a sign-in, and no further.

    `claims` is the claims challenge that a stronger sign-in has to answer, as the issuer gave it.
    """

    def __init__(self, reason: Reason, detail: str = "", *, claims: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail
        self.claims = claims


class EdgeAddress(NamedTuple):
    """Where to dial an edge, and the name it must prove."""

    host: str
    port: int
    sni: str


class RetireReport(NamedTuple):
    """What became of a retired tunnel's flows; `bytes_after` is the edge's own count, None without its answer."""

    terminated: int
    drained: int
    kept: int
    bytes_after: int | None


class Credentials(Protocol):
    """One user's credentials in one tenant: tokens bound to one key, and the certificate of that key."""

    async def channel_token(self, audience: str) -> str:
        """Return a bound token for a channel. Raises Denied."""

    async def app_token(self, application: str) -> str:
        """Return a bound token for an application. Raises Denied."""

    async def answer_challenge(self, application: str, refused: str, challenge: str) -> str:
        """Return another token than the `refused` one, as a claims challenge asks. Raises Denied."""

    def tls_context(self) -> ssl.SSLContext:
        """Return a context that trusts the tenant's authority only and presents the client certificate."""

    @property
    def restriction(self) -> str | None:
        """The tenant-restriction policy that every tunnel of this machine names, if there is one."""


class Tunnel(Protocol):
    """One channel's tunnel, as everybody but the data plane sees it."""

    @property
    def edge(self) -> EdgeAddress: ...

    @property
    def state(self) -> str: ...

    @property
    def since(self) -> float:
        """When the state was entered, in seconds since 1970."""

    @property
    def reason(self) -> Reason | None: ...

    async def start(self, timeout: float) -> None:  # noqa: ASYNC109 - the tunnel maps the timeout to a reason
        """Return when the session is ready. Raises StreamError or Denied; attempts go on until `close`."""

    async def probe(self, timeout: float) -> None:  # noqa: ASYNC109
        """Make one round trip through the session. Raises StreamError."""

    def freeze(self, keep: Callable[[FlowRecord], bool]) -> None:
        """Before this returns, part every flow that `keep` does not want from its far end, and tell the edge."""

    async def retire(self, keep: Callable[[FlowRecord], bool]) -> RetireReport:
        """Freeze if that was not done yet, end what was frozen, and return the counts, the edge's among them."""

    async def close(self) -> None: ...


class TunnelFactory(Protocol):
    """Makes a tunnel that is not started yet."""

    def __call__(
        self,
        *,
        tenant: str,
        channel: Channel,
        edge: EdgeAddress,
        audience: str,
        credentials: Credentials,
        epoch: int,
    ) -> Tunnel: ...


class DataPlane(Protocol):
    """What moves bytes: it opens flows for the inbounds and makes tunnels for the control plane."""

    @property
    def opener(self) -> Opener: ...

    @property
    def make_tunnel(self) -> TunnelFactory: ...

    def cut(self, chosen: Callable[[FlowRecord], bool], reason: Reason) -> None:
        """End the live flows that `chosen` picks; their applications see a reset."""
