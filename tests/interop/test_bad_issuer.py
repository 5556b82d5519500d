"""npm's oauth2-mock-server as a badly behaved provider: genuine signatures over forged claims, all refused."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

from tests.support.foreign import needs_node
from tunneld.model.errors import TokenError
from tunneld.policy.compact_token import take_apart
from tunneld.policy.federation.compiled import Protocol, TrustedProvider
from tunneld.policy.federation.openid import take_apart_id_token, verify_id_token
from tunneld.policy.federation.vouched import FederationError
from tunneld.policy.key_set import read_key_set
from tunneld.policy.tokens import Trust, verify

ISSUER = "https://id.other.example"
TENANT = "11111111-1111-4111-8111-111111111111"
TRUSTED = TrustedProvider("p", "t", "Other", Protocol.OPENID, ISSUER, client_id="fabrikam")


def forgeries(now: int) -> dict[str, dict[str, Any]]:
    good = {"iss": ISSUER, "aud": "fabrikam", "sub": "s", "nonce": "n", "iat": now, "exp": now + 300, "email": "a@b.c"}
    plain = {"drop": ["scope"]}
    return {
        "good": {"payload": good, **plain},
        "wrong audience": {"payload": good | {"aud": "x"}, **plain},
        "wrong issuer": {"payload": good | {"iss": "https://evil.example"}, **plain},
        "wrong nonce": {"payload": good | {"nonce": "x"}, **plain},
        "expired": {"payload": good | {"iat": now - 500, "exp": now - 400}, **plain},
        "never expires": {"payload": good | {"exp": now + 10**9}, **plain},
        "kid of nobody": {"payload": good, "header": {"kid": "../../mock"}, **plain},
        "typ of an event": {"payload": good, "header": {"typ": "secevent+jwt"}, **plain},
        "critical": {"payload": good, "header": {"x5u": "https://evil.example"}, **plain},
        "an access token": {"payload": good | {"scp": "user_impersonation"}, **plain},
        "our tenant's claims": {"payload": good | {"ver": "2.0", "tid": TENANT, "oid": TENANT, "acct": 0,
                                                   "scp": "user_impersonation", "azp": TENANT, "uti": "u"}, **plain},
    }


def test_a_badly_behaved_issuer_gets_nobody_in() -> None:
    """One good token is believed by the federation; no forgery is, and none of them is a token of ours."""
    folder, now = needs_node(), int(time.time())
    asked = forgeries(now)
    lines = "".join(json.dumps(each) + "\n" for each in asked.values())
    done = subprocess.run(
        ["node", "bad_issuer.mjs", json.dumps({"issuer": ISSUER})], cwd=folder, input=lines, capture_output=True,
        text=True, timeout=50, check=True,
    )
    first, *rest = [json.loads(line) for line in done.stdout.splitlines()]
    published = [{**key, "use": "sig"} for key in first["keys"]]
    keys = read_key_set(json.dumps({"keys": published}).encode())
    believed = []
    for name, answer in zip(asked, rest, strict=True):
        try:
            parts = take_apart_id_token(answer["token"])
            verify_id_token(parts, keys[parts.key_id], TRUSTED, nonce="n", now=now)
            believed.append(name)
        except (FederationError, KeyError):
            pass
        try:
            ours = take_apart(answer["token"])
            verify(ours, keys[ours.key_id], Trust(TENANT, f"https://idp.test/{TENANT}/v2.0", {TENANT}), now=now)
            raise AssertionError(name)
        except (TokenError, KeyError):
            pass
    assert believed == ["good"]
