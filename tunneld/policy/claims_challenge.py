"""Claims challenges: how an API tells a client which claims its next token needs (Microsoft identity platform:
"Claims challenges, claims requests and client capabilities").

The challenge is the `claims` parameter of OpenID Connect Core §5.5 as base64. Whoever receives one may be lied to, so
what a challenge says is read strictly and said again in our own words; its text is never passed on.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from tunneld.policy.claims_request import MAX_CLAIMS, ClaimsRequest, parse_claims

CAPABLE = "cp1"  # the client capability "can handle claims challenges"

_MAX_CHALLENGE = MAX_CLAIMS * 4 // 3 + 4


def step_up_challenge(context: str) -> str:
    """Return the challenge for an authentication context."""
    claims = {"access_token": {"acrs": {"essential": True, "value": context}}}
    return base64.b64encode(json.dumps(claims, separators=(",", ":")).encode()).decode("ascii")


def read_challenge(text: str) -> ClaimsRequest | None:
    """Return what a challenge demands, None for one that is malformed or demands nothing that is known here.

    Padding is optional: services leave it out. Capabilities are the client's to name, never the challenger's.
    """
    if len(text) > _MAX_CHALLENGE or not text.isascii():
        return None
    try:
        decoded = base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    found = parse_claims(decoded)
    if found is None or not (found.contexts or found.not_before):
        return None
    return ClaimsRequest(contexts=found.contexts, not_before=found.not_before)


def claims_parameter(demand: ClaimsRequest) -> str:
    """Return the `claims` parameter with which a capable client asks for what `demand` says."""
    members: dict[str, Any] = {"xms_cc": {"values": [CAPABLE]}}
    if demand.contexts:
        one = {"value": demand.contexts[0]} if len(demand.contexts) == 1 else {"values": list(demand.contexts)}
        members["acrs"] = {"essential": True, **one}
    if demand.not_before:
        members["nbf"] = {"essential": True, "value": str(demand.not_before)}
    return json.dumps({"access_token": members}, separators=(",", ":"))
