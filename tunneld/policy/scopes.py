"""Reading a `scope` parameter (RFC 6749 §3.3): the OpenID scopes, and at most one audience."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tunneld.policy.directory import DIRECTORY_API

OPENID_SCOPES = frozenset({"openid", "profile", "email", "offline_access"})
MAX_SCOPE = 2048  # a dozen GUID scopes; the whole form is bounded at 64 KiB anyway

_GUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_RESOURCE = re.compile(rf"(?:api://)?({_GUID})/([A-Za-z][A-Za-z0-9_.]*|\.default)")


@dataclass(frozen=True, slots=True)
class ScopeRequest:
    """What a client asked for: `openid` scopes and one audience (the directory API when it named none)."""

    text: str
    openid: frozenset[str]
    audience: str


def parse_scope(text: str) -> ScopeRequest | str:
    """Return the request, or the sentence that says what is wrong with it."""
    if len(text) > MAX_SCOPE:
        return "The scope is too long."
    words = text.split(" ")
    if not text or "" in words:
        return "The scope is empty or has stray spaces."
    openid = frozenset(word for word in words if word in OPENID_SCOPES)
    audiences = set()
    for word in words:
        if word in openid:
            continue
        match = _RESOURCE.fullmatch(word)
        if match is None:
            return f"The scope {word[:80]!r} is not valid."
        audiences.add(match[1].lower())
    if len(audiences) > 1:
        return "The scopes name more than one resource; a token has one audience."
    return ScopeRequest(text, openid, audiences.pop() if audiences else DIRECTORY_API)
