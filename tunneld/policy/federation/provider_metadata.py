"""The metadata that a SAML or WS-Federation provider publishes: here only the certificates that it signs with.

SAML 2.0 metadata §2.4.3 and WS-Federation §3.1. The document is believed because of where it was fetched, so its own
signature is not looked at: that would be made by one of the very keys that are in question.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from cryptography import x509

from tunneld.policy.federation.certificates import certificate_text, read_signing_certificate, valid_at
from tunneld.policy.federation.signed_assertion import DSIG
from tunneld.policy.federation.vouched import FederationError
from tunneld.policy.federation.xml_document import Element, children, named, read_xml

MAX_METADATA = 256 * 1024  # what AD FS publishes, with all its claim descriptions, takes 80 KiB
MAX_CERTIFICATES = 10  # a provider has one, and two while it changes them
AHEAD_S = 30 * 86400  # AD FS makes its next certificate 20 days before the end of the old one, others a month

_METADATA = "urn:oasis:names:tc:SAML:2.0:metadata"
_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"


def signing_certificates(raw: bytes, issuer: str, now: int) -> tuple[x509.Certificate, ...]:
    """Return the usable certificates that the metadata of `issuer` list for signing. Raises FederationError."""
    root = read_xml(raw, limit=MAX_METADATA)
    if root.tag != f"{{{_METADATA}}}EntityDescriptor" or root.get("entityID") != issuer:
        raise FederationError("metadata", "not the metadata of this issuer")
    if _over(root, now):
        raise FederationError("metadata", "no longer valid by its own date")
    found: dict[str, x509.Certificate] = {}
    for text in _certificates(root):
        try:
            certificate = read_signing_certificate(text)
        except ValueError:
            continue  # another algorithm, or nonsense: what cannot verify anything need not stop the others
        if valid_at(certificate, now):
            found[certificate_text(certificate)] = certificate
    if not 1 <= len(found) <= MAX_CERTIFICATES:
        raise FederationError("metadata", f"{len(found)} usable certificates")
    return tuple(found.values())


def about_to_expire(certificate: x509.Certificate, now: int) -> bool:
    """Tell whether it is time to look for a certificate's successor."""
    return certificate.not_valid_after_utc.timestamp() - now < AHEAD_S


def successor(stored: x509.Certificate, listed: tuple[x509.Certificate, ...]) -> x509.Certificate | None:
    """Return the certificate to go on with; None while the stored one is listed, or none is good for longer."""
    if stored in listed:
        return None
    best = max(listed, key=lambda each: each.not_valid_after_utc)
    return best if best.not_valid_after_utc > stored.not_valid_after_utc else None


def _certificates(root: Element) -> Iterator[str]:
    roles = children(root, f"{{{_METADATA}}}IDPSSODescriptor")
    roles += [
        role for role in children(root, f"{{{_METADATA}}}RoleDescriptor")
        if role.get(_TYPE, "").rpartition(":")[2] == "SecurityTokenServiceType"
    ]
    for role in roles:
        for key in children(role, f"{{{_METADATA}}}KeyDescriptor"):
            if key.get("use", "signing") == "signing":  # without the attribute it is for both uses
                yield from (node.text or "" for node in named(key, frozenset({f"{{{DSIG}}}X509Certificate"})))


def _over(root: Element, now: int) -> bool:
    text = root.get("validUntil")
    if text is None:
        return False
    try:
        until = datetime.datetime.fromisoformat(text)
        return now >= (until if until.tzinfo else until.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, OverflowError):
        raise FederationError("metadata", "validUntil is no date") from None
