"""What a device asks: to be registered by a signed-in user, and a nonce to prove itself with."""

from __future__ import annotations

import uuid

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tunneld.idp.answers import ApiError, correlation_of
from tunneld.idp.ceremonies import NONCE_S
from tunneld.idp.changes import AuditEntry, AuditTarget, ConflictError
from tunneld.idp.decisions import Wanted, decide, session_question
from tunneld.idp.device_credentials import DeviceKey, add_key, drop_key, new_nonce, read_public_key
from tunneld.idp.forms import read_json
from tunneld.idp.method_records import acting
from tunneld.idp.provider import Provider, provider_of
from tunneld.idp.tokens import Caller, bearer_claims, verify_bearer
from tunneld.journal.timestamps import rfc3339
from tunneld.policy.devices import DEVICE, Device
from tunneld.policy.directory import ENROLMENT_API, ObjectKey
from tunneld.policy.objects import Change, ObjectRef
from tunneld.policy.sign_in import Deny

REGISTER_ACTION = "urn:user:registerdevice"
FRESH_S = 300  # as for certificates: a token for enrolment is used at once; an old one is a found one
MAX_DEVICES = 50  # of one user: Microsoft Entra ID's default
_TEXTS = {"displayName": 256, "operatingSystem": 64, "operatingSystemVersion": 64}


async def device_nonce(request: Request) -> Response:
    """Serve POST /{tenant}/devices/v1/nonce."""
    provider = provider_of(request)
    if provider.directory.tenant(request.path_params["tenant"]) is None:
        raise ApiError(404, "Request_ResourceNotFound", "The tenant was not found.")
    return JSONResponse({"nonce": new_nonce(provider), "aud": provider.base_url, "expires_in": NONCE_S})


async def enroll_device(request: Request) -> Response:
    """Serve POST /{tenant}/devices/v1/enroll: a public key in, the id of a new device object out."""
    provider = provider_of(request)
    caller = verify_bearer(provider, request, ENROLMENT_API)
    tenant = provider.directory.tenant(request.path_params["tenant"])
    if tenant is None or tenant.id != caller.tenant.id:
        raise ApiError(403, "token_tenant", "The token belongs to another tenant.")
    if caller.user.home is not None:
        raise ApiError(403, "not_home_tenant", "Devices are registered at home: a visited tenant cannot manage them.")
    if caller.bound or provider.now() - caller.issued_at > FRESH_S:
        raise ApiError(401, "token_not_fresh", "A fresh token that is bound to no key is needed.")
    await _allowed(provider, request, caller)
    jwk, texts = _read(await read_json(request))
    owned = [kept for kept in tenant.objects.get(DEVICE, {}).values()
             if isinstance(kept, Device) and kept.registered_owner == caller.user.oid]
    if len(owned) >= MAX_DEVICES:
        raise ApiError(403, "too_many_devices", f"A user registers at most {MAX_DEVICES} devices.")
    device = await _add(provider, request, caller, jwk, texts)
    return JSONResponse(device.to_json(), status_code=201)


async def _allowed(provider: Provider, request: Request, caller: Caller) -> None:
    """Put the user action through the tenant's policies, on the session that the token came from."""
    session = await provider.store.session(str(bearer_claims(provider, request).get("sid", "")))
    client = provider.directory.clients.get(caller.client_id)
    if session is None or client is None:
        raise ApiError(401, "InvalidAuthenticationToken", "The session of the token is not known.")
    wanted = Wanted(caller.tenant, client, ENROLMENT_API, user_action=REGISTER_ACTION, interactive=False)
    question = await session_question(provider, request, wanted, session)
    outcome = await decide(provider, request, question, via="register_device")
    if isinstance(outcome, Deny):
        raise ApiError(403, str(outcome.reason), outcome.refusal.description)


def _read(body: object) -> tuple[str, dict[str, str]]:
    jwk = read_public_key(body.get("jwk")) if isinstance(body, dict) else None
    if not isinstance(body, dict) or jwk is None:
        raise ApiError(400, "malformed_request", "The body must have the member jwk, a public key of the curve P-256.")
    unknown = body.keys() - _TEXTS.keys() - {"jwk"}
    if unknown:
        raise ApiError(400, "malformed_request", "The members are jwk, displayName, operatingSystem, "
                                                 "operatingSystemVersion.")
    for name, longest in _TEXTS.items():
        text = body.get(name, "")
        if not isinstance(text, str) or len(text) > longest or not text.isprintable():
            raise ApiError(400, "malformed_request", f"{name} must be text of at most {longest} characters.")
    return jwk, {name: body[name] for name in _TEXTS if name in body}


async def _add(provider: Provider, request: Request, caller: Caller, jwk: str, texts: dict[str, str]) -> Device:
    device_id, now = str(uuid.uuid4()), provider.now()
    owner: ObjectKey = (caller.tenant.id, caller.user.oid)
    device = Device.model_validate({
        "id": device_id, "deviceId": device_id, "registeredOwner": caller.user.oid,
        "registrationDateTime": rfc3339(now), **texts,
    })
    entry = AuditEntry(
        "Register device", "Device", caller.tenant.id, acting(provider, owner),
        (AuditTarget(device_id, device.display_name, "Device"),), service="Device Registration Service",
    )
    # The key first: a device without an object proves nothing, an object without a key could never prove itself.
    await add_key(provider.database, DeviceKey(device_id, owner, jwk), now)
    try:
        await provider.commit(
            [Change(ObjectRef(caller.tenant.id, DEVICE, device_id), device)], [entry],
            correlation_id=correlation_of(request),
        )
    except ConflictError as error:
        await drop_key(provider.database, device_id)
        raise ApiError(error.conflict.status, error.conflict.rule, error.conflict.message) from None
    return device
