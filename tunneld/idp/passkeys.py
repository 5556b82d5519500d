"""Passkeys: registration and use of authenticators (W3C Web Authentication, level 2, §7.1 and §7.2)."""

from __future__ import annotations

import hashlib
import json
from ipaddress import ip_address
from urllib.parse import urlsplit

from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from tunneld.idp.ceremonies import CEREMONY_S
from tunneld.idp.credentials import MAX_METHODS, Passkey, Registered, add_passkey, count_use, passkey
from tunneld.idp.provider import Provider
from tunneld.policy.directory import ObjectKey

MAX_CREDENTIAL = 16 * 1024  # an answer with an attestation is under 4 KiB

# What broken JSON, CBOR, base64 and keys of a hostile browser raise in the libraries below besides their own errors.
_BROKEN = (WebAuthnException, ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError)


def relying_party(provider: Provider) -> str | None:
    """Return the relying party id, the host of the public URL; None for an IP address, which cannot be one (§5.1.2)."""
    host = urlsplit(provider.base_url).hostname or ""
    try:
        ip_address(host)
    except ValueError:
        return host or None
    return None


def offered(provider: Provider) -> bool:
    """Tell whether pages may offer passkeys."""
    return relying_party(provider) is not None


def user_handle(provider: Provider, owner: ObjectKey) -> bytes:
    """Return the opaque id by which authenticators know an account: it tells nothing about the person (§14.6.1)."""
    return hashlib.sha256(provider.seal.derive("passkey-user") + "\0".join(owner).encode()).digest()


def registration_options(
    provider: Provider, owner: ObjectKey, name: str, challenge: bytes, known: Registered
) -> str:
    """Return the JSON that a browser's script makes a credential from: discoverable, and the user is verified."""
    rp_id = relying_party(provider)
    assert rp_id is not None  # pages offer passkeys only then
    options = generate_registration_options(
        rp_id=rp_id, rp_name="tunneld mock identity provider", user_name=name, user_id=user_handle(provider, owner),
        challenge=challenge, timeout=CEREMONY_S * 1000,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=_descriptors(known),
    )
    return options_to_json(options)


def assertion_options(provider: Provider, challenge: bytes, known: Registered | None) -> str:
    """Return the JSON that a browser's script signs with; None lets the authenticator say whose passkey it has."""
    rp_id = relying_party(provider)
    assert rp_id is not None
    options = generate_authentication_options(
        rp_id=rp_id, challenge=challenge, timeout=CEREMONY_S * 1000,
        allow_credentials=_descriptors(known) if known else None,
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return options_to_json(options)


async def register(
    provider: Provider, owner: ObjectKey, name: str, challenge: bytes, answer: str
) -> bool:
    """Judge a new credential and keep it (§7.1); False when the answer is not one."""
    rp_id = relying_party(provider)
    if rp_id is None or len(answer) > MAX_CREDENTIAL:
        return False
    try:
        verified = verify_registration_response(
            credential=answer, expected_challenge=challenge, expected_rp_id=rp_id, expected_origin=provider.base_url,
            require_user_verification=True,
        )
    except _BROKEN:
        return False
    if len(verified.credential_id) > 1023:  # §7.1 step 21
        return False
    kept = Passkey(
        bytes_to_base64url(verified.credential_id), owner, name,
        bytes_to_base64url(verified.credential_public_key), verified.sign_count, provider.now(),
    )
    return await add_passkey(provider.database, kept)


async def signer(provider: Provider, challenge: bytes, answer: str) -> ObjectKey | None:
    """Judge an assertion and return whose it is (§7.2); None when it proves nothing."""
    rp_id = relying_party(provider)
    if rp_id is None or len(answer) > MAX_CREDENTIAL:
        return None
    try:
        document = json.loads(answer)
        known = await passkey(provider.database, str(document["id"])[:1400])
        handle = document["response"].get("userHandle")
        if known is None:
            return None
        # §7.2 step 6: an authenticator that names an account must name the one that the key belongs to.
        if handle is not None and base64url_to_bytes(handle) != user_handle(provider, known.owner):
            return None
        verified = verify_authentication_response(
            credential=document, expected_challenge=challenge, expected_rp_id=rp_id,
            expected_origin=provider.base_url, credential_public_key=base64url_to_bytes(known.public_key),
            credential_current_sign_count=known.sign_count, require_user_verification=True,
        )
    except _BROKEN:
        return None
    if not await count_use(provider.database, known.id, known.sign_count, verified.new_sign_count):
        return None
    return known.owner


def full(known: Registered) -> bool:
    """Tell whether there is no room for another."""
    return len(known.passkeys) >= MAX_METHODS


def _descriptors(known: Registered) -> list[PublicKeyCredentialDescriptor]:
    return [PublicKeyCredentialDescriptor(id=base64url_to_bytes(kept.id)) for kept in known.passkeys]
