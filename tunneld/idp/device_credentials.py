"""Devices that prove themselves: a key registered for a device object, and a signed statement over a nonce of ours.

The statement travels as a JWT in the header `x-device-proof`: type `device-proof+jwt`, ES256, `kid` the device's id,
claims `aud` (this provider's base URL), `nonce` and `iat`. It stands for what the real platform does with a primary
refresh token; the form is a choice of this system, after DPoP (RFC 9449 §4.2).
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from sqlalchemy import Column, Integer, String, Table, delete, insert, select

from tunneld.idp.ceremonies import NONCE_S
from tunneld.idp.database import Database, schema
from tunneld.idp.provider import Provider
from tunneld.policy.directory import ObjectKey

PROOF_HEADER = "x-device-proof"
SKEW_S = 60
MAX_PROOF = 2048  # ours are under 600 characters

_keys = Table(
    "device_keys", schema,
    Column("device_id", String(36), primary_key=True),
    Column("tenant_id", String(36), nullable=False),
    Column("oid", String(36), nullable=False),  # who registered it
    Column("jwk", String(512), nullable=False),
    Column("created_at", Integer, nullable=False),
)


@dataclass(frozen=True, slots=True)
class DeviceKey:
    """A device's public key, as a JWK of the curve P-256."""

    device_id: str
    owner: ObjectKey
    jwk: str


def new_nonce(provider: Provider) -> str:
    """Return a nonce that a device may sign once within `NONCE_S`."""
    return provider.seal.seal("device-nonce", f"{provider.now()}~{secrets.token_urlsafe(16)}")


async def add_key(database: Database, key: DeviceKey, now: int) -> None:
    """Keep the key of a new device."""
    async with database.connect() as connection:
        await connection.execute(insert(_keys).values(
            device_id=key.device_id, tenant_id=key.owner[0], oid=key.owner[1], jwk=key.jwk, created_at=now
        ))


async def drop_key(database: Database, device_id: str) -> None:
    """Forget the key of a device that was not made after all."""
    async with database.connect() as connection:
        await connection.execute(delete(_keys).where(_keys.c.device_id == device_id))


async def key_of(database: Database, device_id: str) -> DeviceKey | None:
    """Return the key of a device."""
    async with database.connect() as connection:
        row = (await connection.execute(select(_keys).where(_keys.c.device_id == device_id))).first()
    return DeviceKey(row.device_id, (row.tenant_id, row.oid), row.jwk) if row is not None else None


def read_public_key(value: object) -> str | None:
    """Return a public JWK of P-256 in one form, None for anything else, private keys included."""
    if not isinstance(value, dict) or "d" in value:
        return None
    members = {name: value.get(name) for name in ("kty", "crv", "x", "y")}
    if members["kty"] != "EC" or members["crv"] != "P-256":
        return None
    if not all(isinstance(text, str) and len(text) <= 64 for text in members.values()):
        return None
    try:
        public = ECKey.import_key(members).as_dict(private=False)  # type: ignore[arg-type]
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return json.dumps({name: public[name] for name in ("kty", "crv", "x", "y")}, separators=(",", ":"))


async def proven_device(provider: Provider, proof: str) -> DeviceKey | None:
    """Return the device that signed a proof, None when it proves nothing. A nonce is good once."""
    header, claims = _read(proof)
    key = await key_of(provider.database, header.get("kid", "")) if claims else None
    if key is None or not _signed_by(key, proof):
        return None
    now = provider.now()
    issued_at, nonce = claims.get("iat"), claims.get("nonce")
    if not isinstance(issued_at, int) or abs(now - issued_at) > NONCE_S + SKEW_S:
        return None
    if claims.get("aud") != provider.base_url or not isinstance(nonce, str):
        return None
    opened = provider.seal.open("device-nonce", nonce)
    made_at = int(opened.partition("~")[0]) if opened else 0
    if not 0 <= now - made_at < NONCE_S or not provider.factors.nonces.use(nonce, now):
        return None
    return key


def _read(proof: str) -> tuple[dict[str, Any], dict[str, Any]]:
    if len(proof) > MAX_PROOF or proof.count(".") != 2:
        return {}, {}
    try:
        unverified = jws.extract_compact(proof.encode("ascii"))
        header, claims = unverified.headers(), json.loads(unverified.payload)
    except (JoseError, ValueError, KeyError, TypeError, RecursionError):
        return {}, {}
    exact = {name: header.get(name) for name in header} == {
        "alg": "ES256", "typ": "device-proof+jwt", "kid": header.get("kid"),
    }
    return (header, claims) if exact and isinstance(header["kid"], str) and isinstance(claims, dict) else ({}, {})


def _signed_by(key: DeviceKey, proof: str) -> bool:
    try:
        jws.deserialize_compact(proof, ECKey.import_key(json.loads(key.jwk)), algorithms=["ES256"])
    except (JoseError, ValueError, TypeError, RecursionError):
        return False
    return True
