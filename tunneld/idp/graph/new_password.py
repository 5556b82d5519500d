"""A password that an administrator sets: hashed off the loop before the object is judged, and never kept."""

from __future__ import annotations

import asyncio
import secrets

from tunneld.idp.answers import ApiError
from tunneld.idp.graph.resource import Json
from tunneld.policy.passwords import hash_password

LONGEST = 256  # what the product accepts
SHORTEST = 8
_AT_ONCE = asyncio.Semaphore(1)  # a hash takes a core for a moment, and 16 MiB


async def take_password(body: Json) -> Json:
    """Replace `passwordProfile` by the hash that is stored (Microsoft Graph reference: passwordProfile).

    `forceChangePasswordNextSignIn` is accepted and has no effect: there is no page to change a password on.
    """
    if "passwordProfile" not in body:
        return body
    profile = body["passwordProfile"]
    password = profile.get("password") if isinstance(profile, dict) else None
    if not isinstance(password, str) or not SHORTEST <= len(password) <= LONGEST:
        message = f"passwordProfile.password: {SHORTEST} to {LONGEST} characters are needed."
        raise ApiError(400, "BadRequest", message, target="passwordProfile.password")
    try:
        password.encode()
    except UnicodeEncodeError:
        message = "passwordProfile.password: not Unicode text."
        raise ApiError(400, "BadRequest", message, target="passwordProfile.password") from None
    async with _AT_ONCE:
        hashed = await asyncio.to_thread(hash_password, password, salt=secrets.token_bytes(16))
    rest = {name: value for name, value in body.items() if name != "passwordProfile"}
    return {**rest, "passwordHash": hashed}
