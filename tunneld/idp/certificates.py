"""Enrolment: a key proven by a CSR and a fresh token become a client certificate for the tunnel, hours long."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

from cryptography import x509
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tunneld.idp.answers import ApiError, correlation_of
from tunneld.idp.directory_source import Authority
from tunneld.idp.forms import read_json
from tunneld.idp.provider import Provider, provider_of
from tunneld.idp.tokens import Caller, verify_bearer
from tunneld.journal.timestamps import rfc3339
from tunneld.model.errors import PeerProtocolError
from tunneld.policy.directory import ENROLMENT_API
from tunneld.wire.x509 import jwk_thumbprint, read_csr, sign_client_certificate

FRESH_S = 300  # a token for enrolment is used at once; an old one is a found one
BACKDATE = timedelta(seconds=60)  # clocks of edges may be this far behind: the skew allowed for tokens


async def certificate(request: Request) -> Response:
    """Serve POST /{tenant}/tunnel/v1/certificate."""
    provider = provider_of(request)
    caller = verify_bearer(provider, request, ENROLMENT_API)
    tenant = provider.directory.tenant(request.path_params["tenant"])
    if tenant is None or tenant.id != caller.tenant.id:
        raise ApiError(403, "token_tenant", "The token belongs to another tenant.")
    if caller.bound or provider.now() - caller.issued_at > FRESH_S:
        raise ApiError(401, "token_not_fresh", "A fresh token that is bound to no key is needed.")
    body = await read_json(request)
    csr = body.get("csr") if isinstance(body, dict) else None
    if not isinstance(csr, str):
        raise ApiError(400, "malformed_request", "The body must be a JSON object with the member csr.")
    authority = provider.loaded.authorities.get(tenant.id)
    if authority is None:
        raise ApiError(404, "no_authority", "The tenant issues no client certificates.")
    try:
        return JSONResponse(await _issue(provider, request, caller, csr, authority))
    except PeerProtocolError as error:
        raise ApiError(400, "malformed_request", error.detail.replace('"', "'")) from None


async def _issue(
    provider: Provider, request: Request, caller: Caller, csr: str, authority: Authority
) -> dict[str, object]:
    csr_pem = csr.encode("utf-8", "replace")
    thumbprint = jwk_thumbprint(read_csr(csr_pem))
    now = datetime.fromtimestamp(provider.now(), UTC)
    own_end = x509.load_pem_x509_certificate(authority.certificate).not_valid_after_utc
    # The authority's own end is a limit too: a chain is valid only while all of it is.
    end = min(now - BACKDATE + timedelta(seconds=provider.settings.lifetimes.certificate), own_end)
    leaf = sign_client_certificate(
        csr_pem, ca_cert_pem=authority.certificate, ca_key_pem=authority.key, tenant_id=caller.tenant.id,
        oid=caller.user.oid, serial=secrets.randbits(127) | 1 << 120, not_before=now - BACKDATE, not_after=end,
    )
    await provider.store.certify(caller.tenant.id, caller.user.oid, thumbprint, int(end.timestamp()))
    provider.records.audit(
        "Issue client certificate", now=provider.clock(), correlation_id=correlation_of(request),
        tenant=caller.tenant.id, oid=caller.user.oid, thumbprint=thumbprint, expires_at=rfc3339(end.timestamp()),
    )
    return {
        "certificate": (leaf + authority.certificate).decode(), "ca": authority.certificate.decode(),
        "thumbprint": thumbprint, "expires_at": rfc3339(end.timestamp()),
    }
