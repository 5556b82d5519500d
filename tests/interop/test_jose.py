"""A second and a third opinion: whatever our verifier accepts, PyJWT and npm's jose accept, with the same claims."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import jwt

from tests.support.attacks import attacks
from tests.support.foreign import needs_node
from tests.support.tokens import (
    AUDIENCE,
    BASE,
    CHANNEL,
    ISSUER,
    NOW,
    OTHER_TENANT,
    TENANT,
    claims,
    header,
    key_set,
    public_jwk,
    rsa_key,
    sign,
)
from tunneld.model.errors import TokenError
from tunneld.model.identity import VerifiedClaims
from tunneld.policy.compact_token import take_apart
from tunneld.policy.key_set import read_key_set
from tunneld.policy.tokens import Trust, verify

PUBLISHED = [public_jwk(), public_jwk("concrete", issuer=f"{BASE}/{OTHER_TENANT}/v2.0"), public_jwk("bare", issuer=...)]
GOOD = [
    sign(), sign(claims(aud=CHANNEL)), sign(claims(exp=NOW - 59)), sign(claims(nbf=NOW + 60, iat=NOW + 60)),
    sign(claims(name="Zoë", x=[1.5, {"y": None}])), sign(claims(groups=["g"] * 200)), sign(head=header(x5t="abc")),
    sign(head=header(kid="bare"), key=rsa_key("bare")), sign(claims(cnf=..., sid=..., acrs=["c1"])),
]


def ours(token: str) -> VerifiedClaims | None:
    keys = read_key_set(key_set(*PUBLISHED))
    try:
        parts = take_apart(token)
        return verify(parts, keys[parts.key_id], Trust(TENANT, ISSUER, {AUDIENCE, CHANNEL}), now=NOW)
    except (TokenError, KeyError):
        return None


def jose(tokens: list[str]) -> list[dict[str, Any]]:
    """Ask one node process about all of them."""
    folder = needs_node()
    settings = {"keys": PUBLISHED, "issuer": ISSUER, "audience": [AUDIENCE, CHANNEL], "now": NOW}
    lines = "".join(json.dumps({"token": token}) + "\n" for token in tokens)
    done = subprocess.run(
        ["node", str(folder / "verify.mjs"), json.dumps(settings)], input=lines, capture_output=True, text=True,
        timeout=50, check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_we_accept_two_others_accept() -> None:
    """The corpus and good tokens in one go: acceptance here implies acceptance there; of the corpus, none."""
    corpus = [attack.token for attack in attacks() if len(attack.token) < 1 << 16]
    tokens = [*GOOD, *corpus]
    opinions = jose(tokens)
    assert len(opinions) == len(tokens)
    for token, opinion in zip(tokens, opinions, strict=True):
        verified = ours(token)
        assert (verified is not None) == (token in GOOD)
        if verified is None:
            continue
        assert opinion == {
            "accepted": True, "oid": verified.oid, "aud": verified.audience, "exp": verified.expires_at,
        }
        second = jwt.decode(
            token, key=rsa_key(take_apart(token).key_id).public_key(), algorithms=["RS256"], issuer=ISSUER,
            audience=[AUDIENCE, CHANNEL], options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
        )
        assert (second["oid"], second["aud"], second["exp"]) == (verified.oid, verified.audience, verified.expires_at)
    # Their laxness is why ours has checks of its own in front: jose lets some of the corpus pass.
    assert 0 < sum(opinion["accepted"] for opinion in opinions[len(GOOD):]) < len(corpus) / 2
