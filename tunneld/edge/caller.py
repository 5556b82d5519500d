"""Who is at the other end of a tunnel connection, by the certificate that TLS verified."""

from __future__ import annotations

import asyncio

from tunneld.model.errors import PeerProtocolError
from tunneld.model.identity import ClientIdentity
from tunneld.model.reasons import Reason
from tunneld.net.tls import peer_certificate
from tunneld.wire.x509 import read_client_identity


def identify(transport: asyncio.BaseTransport, tenant_id: str) -> ClientIdentity:
    """Return whom the client certificate speaks for. Raises PeerProtocolError with the reason to end the connection.

    The chain already ends at this tenant's authority; the name is compared all the same, since resumption and
    mistakes in files do not care for chains.
    """
    certificate = peer_certificate(transport)
    if certificate is None:
        raise PeerProtocolError(Reason.CERTIFICATE_MISSING)
    client = read_client_identity(certificate)
    if client.tenant_id != tenant_id:
        raise PeerProtocolError(Reason.CERTIFICATE_TENANT, client.tenant_id)
    return client
