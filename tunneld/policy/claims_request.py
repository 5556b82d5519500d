"""Reading the `claims` parameter: what a client can do, and what an API told it to ask for (OpenID Connect Core §5.5).

Only members that mean something here are looked at, and those strictly: client capabilities, authentication contexts
and a time before which tokens are too old. All others are ignored, as the specification asks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tunneld.model.strict_json import unique_members

MAX_CLAIMS = 4096  # characters; a challenge with everything in it is under 300
MAX_VALUES = 8
MAX_CONTEXTS = 99  # c1 to c99

_CAPABILITY = re.compile(r"[A-Za-z0-9_]{1,32}")
_CONTEXT = re.compile(r"c[1-9][0-9]?")
_TIME = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class ClaimsRequest:
    """What a `claims` parameter asks for."""

    capabilities: tuple[str, ...] = ()  # xms_cc
    contexts: tuple[str, ...] = ()  # acrs: authentication contexts to satisfy
    not_before: int = 0  # nbf: tokens issued earlier are of no use to the API


def parse_claims(text: str) -> ClaimsRequest | None:
    """Return what a `claims` parameter asks for, None when it is malformed."""
    if not text:
        return ClaimsRequest()
    try:
        document = json.loads(text, object_pairs_hook=unique_members) if len(text) <= MAX_CLAIMS else None
    except (ValueError, RecursionError):
        return None
    wanted = document.get("access_token", {}) if isinstance(document, dict) else None
    if not isinstance(wanted, dict):
        return None
    capabilities = _values(wanted.get("xms_cc"), _CAPABILITY, MAX_VALUES)
    contexts = _values(wanted.get("acrs"), _CONTEXT, MAX_CONTEXTS)
    times = _values(wanted.get("nbf"), _TIME, 1)
    if capabilities is None or contexts is None or times is None:
        return None
    return ClaimsRequest(capabilities, contexts, int(times[0]) if times else 0)


def _values(claim: object, form: re.Pattern[str], most: int) -> tuple[str, ...] | None:
    """Return the `value` or `values` of one claim, each once; None when they are not of the form."""
    if claim is None:
        return ()
    if not isinstance(claim, dict) or ("value" in claim and "values" in claim):
        return None
    values = [claim["value"]] if "value" in claim else claim.get("values", [])
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) > most:
        return None
    if not all(isinstance(value, str) and form.fullmatch(value) for value in values):
        return None
    return tuple(dict.fromkeys(values))
