"""From a profile's channels to tunnels: where each edge is, whose token opens it, and what classifies for it."""

from __future__ import annotations

from tunneld.client.ports import Credentials, Denied, EdgeAddress, Tunnel, TunnelFactory
from tunneld.client.tenants import Profile, Tenant
from tunneld.forwarding.classifier import Classifier
from tunneld.forwarding.document import ChannelSettings
from tunneld.model.address import parse_authority
from tunneld.model.reasons import Reason
from tunneld.model.verdict import Channel


def edge_address(channel: ChannelSettings) -> EdgeAddress:
    """Return where to dial: the profile's `address` where it gives one, and always the edge's name as SNI."""
    sni, port = parse_authority(channel.edge)
    if channel.address is None:
        return EdgeAddress(sni, port, sni)
    host, port = parse_authority(channel.address)
    return EdgeAddress(host, port, sni)


def build(
    make: TunnelFactory, tenant: Tenant, channel: Channel, *, profile: Profile, credentials: Credentials, epoch: int
) -> Tunnel:
    """Return the tunnel of one channel, not started. Raises Denied where the tenant left out its audience."""
    settings = profile.document.channels[channel]
    if settings.audience is None:
        raise Denied(Reason.PROFILE_INVALID, f"channels.{channel.value}.audience is missing")
    return make(
        tenant=tenant.name,
        channel=channel,
        edge=edge_address(settings),
        audience=settings.audience,
        credentials=credentials,
        epoch=epoch,
    )


def classifier_of(profile: Profile | None) -> Classifier:
    """Return a classifier with a cache of its own: answers of one tenant or version must not serve another."""
    return Classifier(profile.compiled if profile else None)
