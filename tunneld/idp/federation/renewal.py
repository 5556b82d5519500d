"""Following a SAML or WS-Federation provider to its next certificate, by the metadata that it publishes.

Graph's `metadataExchangeUri` is there for that. Whoever wrote the configuration trusts what is published at that
address; the owner of this machine has to list its host, as for everything that is fetched.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tunneld.idp.changes import SYSTEM, AuditEntry, AuditTarget, ConflictError, ModifiedProperty
from tunneld.idp.provider import Provider
from tunneld.policy.federation.certificates import certificate_text, read_signing_certificate
from tunneld.policy.federation.compiled import Protocol, TrustedProvider
from tunneld.policy.federation.configuration import KIND, FederationConfiguration
from tunneld.policy.federation.provider_metadata import about_to_expire, signing_certificates, successor
from tunneld.policy.federation.vouched import FederationError, Vouched
from tunneld.policy.objects import Change, ObjectRef
from tunneld.policy.views import fingerprint_of

COOL_DOWN_S = 300  # how often signatures that do not verify may cause a look, as for unknown keys of OpenID providers
DAILY_S = 86_400  # how often a certificate that will expire may

UNKNOWN_CERTIFICATE = frozenset({"signature", "certificate"})  # the rules that a new certificate would break

_log = structlog.get_logger("idp")


def renewable(trusted: TrustedProvider) -> bool:
    """Tell whether a provider publishes what it signs with."""
    return trusted.protocol in (Protocol.SAML, Protocol.WS_FED) and bool(trusted.metadata_url)


async def verify_with_published(
    provider: Provider, trusted: TrustedProvider, verify: Callable[[str], Awaitable[Vouched]], *, correlation_id: str
) -> Vouched | None:
    """Return whom an answer vouches for by a certificate that is published and not stored yet, and store that one.

    None when there is no such certificate. One under which this very answer does not hold is never stored.
    """
    if not renewable(trusted) or not provider.federation.may_look(trusted, COOL_DOWN_S, provider.clock()):
        return None
    stored = read_signing_certificate(trusted.certificate)
    seen = _seen(provider, trusted)
    for certificate in await _published(provider, trusted):
        if certificate == stored:
            continue
        try:
            vouched = await verify(certificate_text(certificate))
        except FederationError as error:
            if error.rule in UNKNOWN_CERTIFICATE:
                continue
            raise
        return vouched if await _store(provider, trusted, certificate, seen, correlation_id) else None
    return None


async def look_ahead(provider: Provider, trusted: TrustedProvider, *, correlation_id: str) -> None:
    """Store the next certificate when the stored one is about to expire and is not published any more."""
    if not renewable(trusted):
        return
    stored = read_signing_certificate(trusted.certificate)
    if not about_to_expire(stored, provider.now()):
        return
    if not provider.federation.may_look(trusted, DAILY_S, provider.clock()):
        return
    seen = _seen(provider, trusted)
    listed = await _published(provider, trusted)
    following = successor(stored, listed) if listed else None
    if following is not None:
        await _store(provider, trusted, following, seen, correlation_id)


async def _published(provider: Provider, trusted: TrustedProvider) -> tuple[x509.Certificate, ...]:
    outbound = provider.federation.outbound(provider.settings.federation)
    try:
        document = await outbound.get(trusted.metadata_url, accept="application/samlmetadata+xml, application/xml")
        return await asyncio.to_thread(signing_certificates, document, trusted.issuer, provider.now())
    except FederationError as error:
        _log.warning(
            "federation_metadata_refused", tenant=trusted.tenant_id, provider=trusted.id, rule=error.rule,
            detail=error.detail,
        )
        return ()


def _seen(provider: Provider, trusted: TrustedProvider) -> str:
    return fingerprint_of(provider.directory, ObjectRef(trusted.tenant_id, KIND, trusted.id))


async def _store(
    provider: Provider, trusted: TrustedProvider, certificate: x509.Certificate, seen: str, correlation_id: str
) -> bool:
    """Write the certificate into the configuration as it was before the look; False when somebody changed that."""
    ref = ObjectRef(trusted.tenant_id, KIND, trusted.id)
    tenant = provider.directory.tenants.get(trusted.tenant_id)
    current = tenant.object(KIND, trusted.id) if tenant is not None else None
    if not isinstance(current, FederationConfiguration):
        return False
    text = certificate_text(certificate)
    old = read_signing_certificate(trusted.certificate)
    modified = ModifiedProperty("SigningCertificate", _thumbprint(old), _thumbprint(certificate))
    record = AuditEntry(
        "Renew federation certificate", "ExternalUserProfile", trusted.tenant_id, SYSTEM,
        (AuditTarget(trusted.id, trusted.display_name, "IdentityProvider", (modified,)),),
        details={"metadata": trusted.metadata_url},
    )
    change = Change(ref, current.model_copy(update={"signing_certificate": text}))
    try:
        await provider.commit([change], [record], correlation_id=correlation_id, expected={ref: seen})
    except ConflictError as error:
        _log.warning(
            "federation_certificate_kept", tenant=trusted.tenant_id, provider=trusted.id, rule=error.conflict.rule
        )
        return False
    return True


def _thumbprint(certificate: x509.Certificate) -> str:
    return json.dumps(certificate.fingerprint(hashes.SHA256()).hex())
