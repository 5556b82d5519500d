"""Each tenant's signing keys: kept in the state directory, advanced by the schedule, published as a JWK set."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from joserfc.jwk import RSAKey

from tunneld.journal.files import write_atomic
from tunneld.model.errors import DocumentError
from tunneld.policy.key_schedule import KeyDates, KeyPolicy, advance, signing_key
from tunneld.policy.key_set import PublishedKey

RSA_BITS = 2048  # the least that RFC 7518 §3.3 allows for RS256


@dataclass(slots=True)
class TenantKeys:
    """One tenant's keys in memory. `public` holds every published key, `private` those that may still sign."""

    dates: tuple[KeyDates, ...] = ()
    public: dict[str, rsa.RSAPublicKey] = field(default_factory=dict)
    private: dict[str, rsa.RSAPrivateKey] = field(default_factory=dict, repr=False)
    verifying: dict[str, PublishedKey] = field(default_factory=dict)  # of `public`, made when they are first asked for
    kid: str = ""
    header: str = ""  # encoded JOSE header of the signing key, the same for every token


class KeyRing:
    """The signing keys of all tenants."""

    def __init__(self, directory: Path, policy: KeyPolicy) -> None:
        self._directory = directory
        self._policy = policy
        self._tenants: dict[str, TenantKeys] = {}

    def advance(self, tenants: Mapping[str, Collection[str]], now: int) -> list[str]:
        """Bring the keys of `tenants` (id → withdrawn kids) up to date and return those that changed.

        Makes and writes keys: on an event loop, run it in a thread. Raises DocumentError for an unusable key file.
        """
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        changed = []
        for tenant_id, withdrawn in tenants.items():
            keys = self._tenants.get(tenant_id) or self._load(tenant_id)
            fresh = [secrets.token_urlsafe(20), secrets.token_urlsafe(20)]
            dates = advance(keys.dates, now, self._policy, withdrawn=withdrawn, fresh_kids=fresh)
            if dates != keys.dates:
                keys = _with_dates(keys, dates)
                write_atomic(self._directory / f"{tenant_id}.json", _to_file(keys), mode=0o600)
                changed.append(tenant_id)
            self._tenants[tenant_id] = keys
        return changed

    def kid(self, tenant_id: str) -> str:
        """Return the id of the key that signs for a tenant now."""
        return self._tenants[tenant_id].kid

    def published(self, tenant_id: str) -> list[str]:
        """Return the ids of all keys in a tenant's set."""
        return [date.kid for date in self._tenants[tenant_id].dates]

    def dates(self, tenant_id: str) -> tuple[KeyDates, ...]:
        """Return when each key of a tenant's set was published, signed first and last."""
        return self._tenants[tenant_id].dates

    def sign(self, tenant_id: str, claims: Mapping[str, object]) -> str:
        """Return a compact JWS (RFC 7515 §3.1) with the header `alg`, `kid`, `typ` and nothing else."""
        keys = self._tenants[tenant_id]
        payload = _encode(json.dumps(claims, separators=(",", ":")).encode())
        signed = f"{keys.header}.{payload}"
        signature = keys.private[keys.kid].sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_encode(signature)}"

    def published_key(self, tenant_id: str, kid: str) -> PublishedKey | None:
        """Return a published key as verifiers have it, for verifying our own tokens. A withdrawn one is gone."""
        keys = self._tenants.get(tenant_id)
        if keys is None or kid not in keys.public:
            return None
        found = keys.verifying.get(kid)
        if found is None:
            found = keys.verifying[kid] = PublishedKey(kid, None, RSAKey.import_key(keys.public[kid]))
        return found

    def jwks(self, tenant_id: str, issuer: str) -> dict[str, list[dict[str, str]]]:
        """Return the JWK set of a tenant. Each key names its issuer, so that it cannot speak for another tenant."""
        keys = self._tenants[tenant_id]
        return {"keys": [_jwk(keys.public[date.kid], date.kid, issuer) for date in keys.dates]}

    def _load(self, tenant_id: str) -> TenantKeys:
        path = self._directory / f"{tenant_id}.json"
        try:
            return _from_file(path.read_bytes())
        except FileNotFoundError:
            return TenantKeys()
        except (OSError, ValueError, KeyError, TypeError, UnsupportedAlgorithm):
            # Never the exception's own text: it could quote the file.
            raise DocumentError(str(path), "", "not a usable key file", "remove it; new keys are made") from None


def _with_dates(keys: TenantKeys, dates: tuple[KeyDates, ...]) -> TenantKeys:
    private, public = {}, {}
    for date in dates:
        if date.kid not in keys.public:
            key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
            private[date.kid], public[date.kid] = key, key.public_key()
            continue
        public[date.kid] = keys.public[date.kid]
        if date.retired_at is None:  # the private half of a retired key has no use left
            private[date.kid] = keys.private[date.kid]
    return _ready(TenantKeys(dates, public, private))


def _ready(keys: TenantKeys) -> TenantKeys:
    signing = signing_key(keys.dates)
    if signing is None or signing.kid not in keys.private:
        raise ValueError("no key signs")
    keys.kid = signing.kid
    keys.header = _encode(json.dumps({"alg": "RS256", "kid": keys.kid, "typ": "JWT"}, separators=(",", ":")).encode())
    return keys


def _to_file(keys: TenantKeys) -> bytes:
    entries = []
    for date in keys.dates:
        private = keys.private.get(date.kid)
        entries.append(
            {
                "kid": date.kid, "published_at": date.published_at, "signs_from": date.signs_from,
                "retired_at": date.retired_at, "public": _public_pem(keys.public[date.kid]),
                "private": None if private is None else _private_pem(private),
            }
        )
    return json.dumps({"keys": entries}, indent=1).encode()


def _from_file(raw: bytes) -> TenantKeys:
    keys = TenantKeys()
    dates = []
    for entry in json.loads(raw)["keys"]:
        kid = str(entry["kid"])
        dates.append(KeyDates(kid, entry["published_at"], entry["signs_from"], entry["retired_at"]))
        public = serialization.load_pem_public_key(entry["public"].encode())
        if not isinstance(public, rsa.RSAPublicKey):
            raise ValueError("not an RSA key")
        keys.public[kid] = public
        if entry["private"] is not None:
            keys.private[kid] = _private_key(entry["private"], public)
    keys.dates = tuple(dates)
    return _ready(keys)


def _private_key(pem: str, public: rsa.RSAPublicKey) -> rsa.RSAPrivateKey:
    """Read a private key of ours. Raises ValueError when it is not the one of `public`.

    The library's own check of a key proves its primes anew, 30 ms for each of every tenant's keys. One signature that
    the published half verifies tells what matters, in less than one.
    """
    private = serialization.load_pem_private_key(pem.encode(), None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(private, rsa.RSAPrivateKey):
        raise ValueError("not an RSA key")
    try:
        signature = private.sign(b"", padding.PKCS1v15(), hashes.SHA256())
        public.verify(signature, b"", padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise ValueError("the two halves do not belong together") from None
    return private


def _jwk(key: rsa.RSAPublicKey, kid: str, issuer: str) -> dict[str, str]:
    numbers = key.public_numbers()
    modulus = numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")
    exponent = numbers.e.to_bytes((numbers.e.bit_length() + 7) // 8, "big")
    return {
        "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": _encode(modulus), "e": _encode(exponent),
        "issuer": issuer,
    }


def _public_pem(key: rsa.RSAPublicKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.PEM, form).decode()


def _private_pem(key: rsa.RSAPrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
