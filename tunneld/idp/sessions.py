"""The home session: made at a sign-in, carried by a cookie in a browser or by a header from the daemon."""

from __future__ import annotations

import secrets

from starlette.requests import Request
from starlette.responses import Response

from tunneld.idp.evidence import HOME, record_device, record_method
from tunneld.idp.provider import Provider
from tunneld.idp.sealing import new_id
from tunneld.idp.store import Session
from tunneld.policy.devices import device_facts
from tunneld.policy.directory import ObjectKey
from tunneld.policy.facts import MethodUse
from tunneld.policy.guests.passcode import SESSION_S as PASSCODE_SESSION_S
from tunneld.policy.sign_in import SessionProof

# `__Host-` binds a cookie to this host, https and the whole path (RFC 6265bis §4.1.3.2).
SESSION_COOKIE = "__Host-tunneld-session"
CSRF_COOKIE = "__Host-tunneld-csrf"
DEVICE_COOKIE = "__Host-tunneld-device"
CREDENTIAL_HEADER = "x-session-credential"
DEVICE_S = 900  # a device that proved itself waits this long for its user to sign in


async def start_session(provider: Provider, request: Request, account: ObjectKey, method: str) -> Session:
    """Record a sign-in that just happened, by `method`. It never continues an older session: its id is new."""
    now = provider.now()
    lifetime = provider.settings.lifetimes.session
    if method == "email":  # a mailed passcode is good for a day, whatever else lives longer
        lifetime = min(lifetime, PASSCODE_SESSION_S)
    session = Session(new_id(), account, now, now + lifetime)
    await provider.store.add_session(session)
    await record_method(provider.database, session.id, HOME, MethodUse(method, now))
    device_id = waiting_device(provider, request, account)
    if device_id is not None:
        await record_device(provider.database, session.id, device_id, now)
    return session


async def find_session(provider: Provider, request: Request) -> Session | None:
    """Return the live session that a request carries. A session credential outranks a cookie."""
    credential = request.headers.get(CREDENTIAL_HEADER)
    if credential is not None:
        session_id = provider.seal.open("session-credential", credential)
    else:
        session_id = provider.seal.open("session-cookie", request.cookies.get(SESSION_COOKIE, ""))
    session = await provider.store.session(session_id) if session_id else None
    if session is None or session.revoked or provider.now() >= session.expires_at:
        return None
    return session


def credential_of(provider: Provider, session: Session) -> str:
    """Return the opaque form of a session for the daemon, which has no cookie jar."""
    return provider.seal.seal("session-credential", session.id)


def proof_of(provider: Provider, session: Session) -> SessionProof:
    """Return what a session proves."""
    return SessionProof(session.authenticated_at, session.revoked, provider.settings.lifetimes.session)


def set_session(provider: Provider, response: Response, session: Session, *, persistent: bool = False) -> None:
    """Let a browser carry the session until it is closed, or for as long as the session lives."""
    age = max(session.expires_at - provider.now(), 0) if persistent else None
    response.set_cookie(
        SESSION_COOKIE, provider.seal.seal("session-cookie", session.id), path="/", secure=True, httponly=True,
        samesite="lax", max_age=age,
    )


def clear_session(response: Response) -> None:
    """Make a browser forget its session."""
    response.delete_cookie(SESSION_COOKIE, path="/", secure=True, httponly=True, samesite="lax")


def csrf_pair(provider: Provider, request: Request) -> tuple[str, str]:
    """Return (cookie value, form value) of a signed double-submit token; a live cookie is kept for other tabs."""
    nonce = request.cookies.get(CSRF_COOKIE, "")
    if not (16 <= len(nonce) <= 64 and nonce.isascii()):
        nonce = secrets.token_urlsafe(24)
    return nonce, provider.seal.seal("csrf", nonce)


def set_csrf(response: Response, nonce: str) -> None:
    """Give a browser its half of the token."""
    response.set_cookie(CSRF_COOKIE, nonce, path="/", secure=True, httponly=True, samesite="lax")


def csrf_holds(provider: Provider, request: Request, value: str) -> bool:
    """Tell whether a form came from a page that this browser was shown."""
    nonce = request.cookies.get(CSRF_COOKIE, "")
    return bool(nonce) and provider.seal.open("csrf", value) == nonce


def set_device(provider: Provider, response: Response, device_id: str) -> None:
    """Let a browser say, for the length of a sign-in, which device has just proved itself in it."""
    value = provider.seal.seal("device-cookie", f"{device_id}~{provider.now()}")
    response.set_cookie(
        DEVICE_COOKIE, value, path="/", secure=True, httponly=True, samesite="lax", max_age=DEVICE_S
    )


def waiting_device(provider: Provider, request: Request, account: ObjectKey | None) -> str | None:
    """Return the device that proved itself in this browser a moment ago, if the account's tenant knows it."""
    opened = provider.seal.open("device-cookie", request.cookies.get(DEVICE_COOKIE, ""))
    device_id, _, at = (opened or "~0").partition("~")
    if account is None or provider.now() - int(at) >= DEVICE_S:
        return None
    return device_id if device_facts(provider.directory, account[0], device_id) is not None else None
