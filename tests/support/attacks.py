"""Tokens that must be refused, as data: what an attacker, a careless issuer or a broken clock could send.

Each row is a name, the token, the reason expected, and the class of the attack: A1 to A22 of the list in
`docs/tokens.md`. What is no token by itself (headers A21, the authorization server's A18, A22) has rows of its own.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding

from tests.support.tokens import (
    AUDIENCE,
    BASE,
    ISSUER,
    NOW,
    OTHER_TENANT,
    TENANT,
    claims,
    encode,
    header,
    rsa_key,
    sign,
)
from tunneld.model.reasons import Reason


class Attack(NamedTuple):
    """One token and why it is refused."""

    name: str
    token: str
    reason: Reason
    kind: str = ""  # A1 … A20


def attacks() -> Iterator[Attack]:
    """Return the whole corpus of tokens."""
    for kind, groups in GROUPS.items():
        for group in groups:
            for attack in group():
                yield attack._replace(kind=_kinds_apart(attack, kind))


def _kinds_apart(attack: Attack, kind: str) -> str:
    """Some generators yield rows of two classes side by side."""
    if kind == "A9" and "concrete issuer" in attack.name:
        return "A10"
    return "A19" if kind == "A12" and ("app-only" in attack.name or "idtyp" in attack.name) else kind


class Header(NamedTuple):
    """One request whose authorization is smuggled (A21): its header fields as (name, value) bytes."""

    name: str
    fields: tuple[tuple[bytes, bytes], ...]


def smuggled(token: str) -> Iterator[Header]:
    """Return the ways to say a good token so that two parsers read two things."""
    good, other = token.encode(), b"e30.e30.e30"
    yield Header("two fields", ((b"authorization", b"Bearer " + good), (b"authorization", b"Bearer " + other)))
    yield Header("two fields, the good one last",
                 ((b"authorization", b"Bearer " + other), (b"authorization", b"Bearer " + good)))
    yield Header("comma joined", ((b"authorization", b"Bearer " + good + b", Bearer " + other),))
    yield Header("lower-case scheme", ((b"authorization", b"bearer " + good),))
    yield Header("upper-case scheme", ((b"authorization", b"BEARER " + good),))
    yield Header("tab after the scheme", ((b"authorization", b"Bearer\t" + good),))
    yield Header("two spaces", ((b"authorization", b"Bearer  " + good),))
    yield Header("no scheme", ((b"authorization", good),))
    yield Header("another scheme", ((b"authorization", b"Basic " + good),))
    yield Header("scheme with parameters", ((b"authorization", b'Bearer realm="x", ' + good),))
    yield Header("token as a parameter", ((b"authorization", b'Bearer token="' + good + b'"'),))
    yield Header("in a forwarded field", ((b"x-forwarded-authorization", b"Bearer " + good),))
    yield Header("in X-Forwarded-Access-Token", ((b"x-forwarded-access-token", good),))
    yield Header("in a cookie", ((b"cookie", b"access_token=" + good),))
    yield Header("nothing after the scheme", ((b"authorization", b"Bearer "),))
    yield Header("only a space", ((b"authorization", b" "),))


def _head(name: str, reason: Reason, **changes: Any) -> Attack:
    return Attack(name, sign(head=header(**changes)), reason)


def _claim(name: str, reason: Reason, **changes: Any) -> Attack:
    return Attack(name, sign(claims(**changes)), reason)


def _algorithms() -> Iterator[Attack]:
    others = ("none", "None", "nOnE", "NONE", "", "rs256", "RS384", "RS512", "PS256", "ES256", "HS256")
    for alg in (*others, None, 1, ["RS256"]):
        yield _head(f"alg {alg!r} with a genuine signature", Reason.TOKEN_ALGORITHM, alg=alg)
    yield _head("alg missing", Reason.TOKEN_ALGORITHM, alg=...)
    body = f"{encode(header(alg='none'))}.{encode(claims())}"
    yield Attack("alg none, empty signature", f"{body}.", Reason.TOKEN_MALFORMED)
    yield Attack("alg none, no third segment", body, Reason.TOKEN_MALFORMED)
    good = sign()
    yield Attack("signature removed", good.rsplit(".", 1)[0] + ".", Reason.TOKEN_MALFORMED)
    yield Attack("signature of zeros", good.rsplit(".", 1)[0] + "." + encode(bytes(256)), Reason.TOKEN_SIGNATURE)
    yield Attack("signature of ones", good.rsplit(".", 1)[0] + "." + encode(b"\xff" * 256), Reason.TOKEN_SIGNATURE)
    yield Attack("signature too short", good.rsplit(".", 1)[0] + "." + encode(bytes(32)), Reason.TOKEN_SIGNATURE)


def _key_confusion() -> Iterator[Attack]:
    public = rsa_key().public_key()
    spellings = {
        "PEM": public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        "PKCS #1 PEM": public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1),
        "DER": public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        "modulus": public.public_numbers().n.to_bytes(256),
    }
    for alg in ("HS256", "RS256"):
        for name, secret in spellings.items():
            body = f"{encode(header(alg=alg))}.{encode(claims())}"
            mac = hmac.digest(secret, body.encode(), hashlib.sha256)
            reason = Reason.TOKEN_ALGORITHM if alg == "HS256" else Reason.TOKEN_SIGNATURE
            yield Attack(f"{alg} keyed with the public key as {name}", f"{body}.{encode(mac)}", reason)


def _foreign_keys() -> Iterator[Attack]:
    stranger = rsa_key("stranger")
    numbers = stranger.public_key().public_numbers()
    jwk = {"kty": "RSA", "n": encode(numbers.n.to_bytes(256)), "e": "AQAB"}
    for name, value in {
        "jwk": jwk, "jku": "https://evil.test/keys", "x5u": "https://evil.test/cert", "x5c": ["MIIB"],
    }.items():
        token = sign(head=header(**{name: value}), key=stranger)
        yield Attack(f"{name} of the sender", token, Reason.TOKEN_MALFORMED)
        yield _head(f"{name} beside a genuine signature", Reason.TOKEN_MALFORMED, **{name: value})
    yield Attack("signed by a stranger under a known kid", sign(key=stranger), Reason.TOKEN_SIGNATURE)


def _other_signatures() -> Iterator[Attack]:
    curve = ec.generate_private_key(ec.SECP256R1())
    body = f"{encode(header())}.{encode(claims())}"
    signature = curve.sign(body.encode(), ec.ECDSA(hashes.SHA256()))
    yield Attack("ECDSA signature under RS256", f"{body}.{encode(signature)}", Reason.TOKEN_SIGNATURE)
    pss = rsa_key().sign(body.encode(), padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    yield Attack("PSS signature under RS256", f"{body}.{encode(pss)}", Reason.TOKEN_SIGNATURE)
    sha1 = rsa_key().sign(body.encode(), padding.PKCS1v15(), hashes.SHA512())
    yield Attack("SHA-512 signature under RS256", f"{body}.{encode(sha1)}", Reason.TOKEN_SIGNATURE)


def _key_ids() -> Iterator[Attack]:
    for kid in ("../../etc/passwd", "' OR 1=1 --", "first\u0000", "First", "first ", "k" * 257, "", "unknown"):
        reason = Reason.TOKEN_MALFORMED if "\0" in kid else Reason.TOKEN_KEY_UNKNOWN
        yield _head(f"kid {kid[:20]!r}", reason, kid=kid)
    for other in (["first"], {"kid": "first"}, 1, None, True):
        yield _head(f"kid is {other!r}", Reason.TOKEN_KEY_UNKNOWN, kid=other)
    yield _head("kid missing", Reason.TOKEN_KEY_UNKNOWN, kid=...)


def _critical() -> Iterator[Attack]:
    for crit in (["b64"], ["exp"], [], "b64"):
        yield _head(f"crit {crit!r}", Reason.TOKEN_MALFORMED, crit=crit)
    yield _head("b64 false", Reason.TOKEN_MALFORMED, b64=False)
    yield _head("b64 false with crit", Reason.TOKEN_MALFORMED, b64=False, crit=["b64"])
    yield _head("zip", Reason.TOKEN_MALFORMED, zip="DEF")
    yield _head("enc", Reason.TOKEN_MALFORMED, enc="A256GCM")
    yield _head("p2c bomb", Reason.TOKEN_MALFORMED, p2c=2**31)
    yield _head("cty of a nested token", Reason.TOKEN_MALFORMED, cty="JWT")
    yield _head("x5t is a list", Reason.TOKEN_MALFORMED, x5t=["a"])


def _serializations() -> Iterator[Attack]:
    good = sign()
    head, payload, signature = good.split(".")
    yield Attack("five parts, as encrypted", f"{good}.{payload}.{signature}", Reason.TOKEN_MALFORMED)
    flattened = json.dumps({"protected": head, "payload": payload, "signature": signature})
    yield Attack("flattened JSON serialization", flattened, Reason.TOKEN_MALFORMED)
    general = json.dumps({"payload": payload, "signatures": [{"protected": head, "signature": signature}]})
    yield Attack("general JSON serialization", general, Reason.TOKEN_MALFORMED)
    yield Attack("nested: a token as payload", sign(good.encode()), Reason.TOKEN_MALFORMED)
    yield Attack("payload is a list", sign(b"[]"), Reason.TOKEN_MALFORMED)
    yield Attack("payload is text", sign(b'"x"'), Reason.TOKEN_MALFORMED)
    yield Attack("header is a list", sign(head=b"[]"), Reason.TOKEN_MALFORMED)
    yield Attack("payload is empty", f"{head}..{signature}", Reason.TOKEN_MALFORMED)
    yield Attack("two dots", "..", Reason.TOKEN_MALFORMED)
    yield Attack("nothing", "", Reason.TOKEN_MISSING)


def _issuers() -> Iterator[Attack]:
    for issuer in (
        "https://login.test.evil.test/" + TENANT + "/v2.0", ISSUER + "/", ISSUER[:-1], ISSUER.upper(),
        ISSUER.replace("https", "http"), ISSUER.replace("login", "l\u043egin"), "", None, [ISSUER],
        f"{BASE}/common/v2.0",
        {"iss": ISSUER}, 1, f"{BASE}/{{tenantid}}/v2.0", ISSUER + "\u200b", f"evil {ISSUER}",
    ):
        yield _claim(f"iss {issuer!r}", Reason.TOKEN_ISSUER, iss=issuer)
    yield _claim("iss missing", Reason.TOKEN_ISSUER, iss=...)
    yield _claim("ver 1.0", Reason.TOKEN_TYPE, ver="1.0")
    yield _claim("ver is a number", Reason.TOKEN_TYPE, ver=2.0)
    yield _claim("ver missing", Reason.TOKEN_TYPE, ver=...)
    concrete = Attack("key of another concrete issuer", sign(head=header(kid="concrete"), key=rsa_key("concrete")),
                      Reason.TOKEN_ISSUER)
    yield concrete


def _tenants() -> Iterator[Attack]:
    other = f"{BASE}/{OTHER_TENANT}/v2.0"
    yield _claim("another tenant's token", Reason.TOKEN_TENANT, tid=OTHER_TENANT, iss=other)
    yield _claim("our iss, another tid", Reason.TOKEN_TENANT, tid=OTHER_TENANT)
    yield _claim("our tid, another iss", Reason.TOKEN_ISSUER, iss=other)
    yield _claim("another tid, a stranger's iss", Reason.TOKEN_ISSUER, tid=OTHER_TENANT, iss="https://evil.test/v2.0")
    for tid in ("common", TENANT.upper()[:-1] + "A", "", None, [TENANT], 1):
        yield _claim(f"tid {tid!r}", Reason.TOKEN_ISSUER, tid=tid)
    yield _claim("tid missing", Reason.TOKEN_ISSUER, tid=...)


def _audiences() -> Iterator[Attack]:
    for audience in (
        "aaaaaaaa-0000-4000-8000-000000000009", AUDIENCE[:-1], AUDIENCE + "0", AUDIENCE.upper(), f"api://{AUDIENCE}",
        [AUDIENCE], [AUDIENCE, "x"], {}, None, "", 1, f" {AUDIENCE}",
    ):
        yield _claim(f"aud {audience!r}", Reason.TOKEN_AUDIENCE, aud=audience)
    yield _claim("aud missing", Reason.TOKEN_AUDIENCE, aud=...)


def _other_kinds() -> Iterator[Attack]:
    for name, value in {"nonce": "n", "c_hash": "c", "at_hash": "a", "events": {}}.items():
        yield _claim(f"{name}: an ID token, event or logout token", Reason.TOKEN_TYPE, **{name: value})
    for typ in ("secevent+jwt", "logout+jwt", "at+jwt", "jwt", "JWT ", "JOSE", None, ["JWT"], 1):
        yield _head(f"typ {typ!r}", Reason.TOKEN_TYPE, typ=typ)
    yield _head("typ missing", Reason.TOKEN_TYPE, typ=...)
    yield _claim("no scp: an app-only token", Reason.TOKEN_TYPE, scp=..., roles=["Task.Read"])
    yield _claim("idtyp app", Reason.TOKEN_TYPE, idtyp="app")
    yield _claim("idtyp app with scp", Reason.TOKEN_TYPE, idtyp="app", scp="user_impersonation")
    yield _claim("no azp", Reason.TOKEN_TYPE, azp=...)
    yield _claim("azp is a list", Reason.TOKEN_TYPE, azp=[])
    for scp in ("", [], None, 1):
        yield _claim(f"scp {scp!r}", Reason.TOKEN_TYPE, scp=scp)


def _times() -> Iterator[Attack]:
    yield _claim("expired", Reason.TOKEN_EXPIRED, exp=NOW - 60)
    yield _claim("expired long ago", Reason.TOKEN_EXPIRED, iat=1, nbf=1, exp=3600)
    yield _claim("exp 0", Reason.TOKEN_EXPIRED, exp=0)
    yield _claim("nbf ahead", Reason.TOKEN_NOT_YET_VALID, nbf=NOW + 61)
    yield _claim("iat ahead", Reason.TOKEN_NOT_YET_VALID, iat=NOW + 61)
    yield _claim("lives 28 hours and a second", Reason.TOKEN_LIFETIME, exp=NOW - 60 + 28 * 3600 + 1)
    yield _claim("issued a month ago", Reason.TOKEN_LIFETIME, iat=NOW - 30 * 86400)
    yield _claim("exp before nbf", Reason.TOKEN_LIFETIME, nbf=NOW + 30, exp=NOW + 30, iat=NOW)
    for name in ("iat", "nbf", "exp"):
        yield _claim(f"{name} missing", Reason.TOKEN_MALFORMED, **{name: ...})
        for value in (str(NOW + 60), NOW + 0.5, float(NOW), True, False, None, [], {}, -1, 1 << 40):
            yield _claim(f"{name} {value!r}", Reason.TOKEN_MALFORMED, **{name: value})
    for literal in ("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e9", "9" * 21, "9" * 5000, "0x10", "01"):
        text = json.dumps(claims()).replace(f'"exp": {NOW + 3600}', f'"exp": {literal}')
        yield Attack(f"exp {literal[:30]}", sign(text.encode()), Reason.TOKEN_MALFORMED)


def _duplicates() -> Iterator[Attack]:
    good = json.dumps(claims())
    for member in ('"aud":"x"', '"exp":1', '"iss":"https://evil.test"', '"sub":"admin"', '"cnf":{}'):
        last, first = f"{{{member},{good[1:]}", f"{good[:-1]},{member}}}"
        yield Attack(f"duplicate {member}, ours last", sign(last.encode()), Reason.TOKEN_MALFORMED)
        yield Attack(f"duplicate {member}, ours first", sign(first.encode()), Reason.TOKEN_MALFORMED)
    yield Attack("duplicate by escape", sign(f'{good[:-1]},"\\u0061ud":"x"}}'.encode()), Reason.TOKEN_MALFORMED)
    nested = json.dumps(claims(cnf={})).replace('"cnf": {}', '"cnf": {"jkt":"a","jkt":"b"}')
    yield Attack("duplicate in a nested object", sign(nested.encode()), Reason.TOKEN_MALFORMED)
    twice = b'{"alg":"none","alg":"RS256","kid":"first","typ":"JWT"}'
    yield Attack("duplicate alg in the header", sign(head=twice), Reason.TOKEN_MALFORMED)


def _encodings() -> Iterator[Attack]:
    good = json.dumps(claims())
    for name, data in {
        "UTF-16": good.encode("utf-16"),
        "UTF-16 without mark": good.encode("utf-16-le"),
        "UTF-32": good.encode("utf-32"),
        "byte order mark": b"\xef\xbb\xbf" + good.encode(),
        "overlong slash": good.encode().replace(b"pairwise-subject", b"\xc0\xaf"),
        "surrogate bytes": good.encode().replace(b"pairwise-subject", b"\xed\xa0\x80"),
        "truncated sequence": good.encode().replace(b"pairwise-subject", b"\xe2\x82"),
        "Latin-1": good.encode().replace(b"pairwise-subject", b"\xe9"),
        "escaped lone surrogate": good.encode().replace(b"pairwise-subject", b"\\ud800"),
        "escaped NUL": good.encode().replace(b"pairwise-subject", b"a\\u0000b"),
        "NUL in a name": good.encode().replace(b'"sub"', b'"su\\u0000b"'),
        "raw NUL": good.encode().replace(b"pairwise-subject", b"a\x00b"),
        "raw control character": good.encode().replace(b"pairwise-subject", b"a\nb"),
        "trailing comma": good.encode()[:-1] + b",}",
        "trailing garbage": good.encode() + b"{}",
        "single quotes": good.replace('"', "'").encode(),
        "comment": b"/* */" + good.encode(),
        "empty": b" ",
    }.items():
        yield Attack(f"payload: {name}", sign(data), Reason.TOKEN_MALFORMED)


def _base64() -> Iterator[Attack]:
    good = sign()
    head, payload, signature = good.split(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet[(alphabet.index(signature[-1]) + 1) % 64]
    for name, token in {
        "padded signature": f"{good}==",
        "padded payload": f"{head}.{payload}=.{signature}",
        "space before": f" {good}",
        "space after": f"{good} ",
        "newline after": f"{good}\n",
        "newline inside": f"{head}.{payload[:10]}\n{payload[10:]}.{signature}",
        "standard alphabet": f"{head}.{payload}.{signature[:-4]}+/+/",
        "full-width letters": good.replace("e", "\uff45", 1),
        "impossible length": f"{head}.{payload}.{signature[:-1]}",
        "tab": f"{head}\t.{payload}.{signature}",
        "comma joined": f"{good},{good}",
    }.items():
        yield Attack(f"base64: {name}", token, Reason.TOKEN_MALFORMED)
    # 256 bytes leave 4 unused bits in the last character: 16 spellings of one signature, of which one is canonical.
    twin = f"{head}.{payload}.{signature[:-1]}{last}"
    yield Attack("base64: non-canonical last character", twin, Reason.TOKEN_MALFORMED)
    yield Attack("base64: one character too many", f"{head}.{payload}.{signature}AAA", Reason.TOKEN_MALFORMED)


def _bombs() -> Iterator[Attack]:
    deep = b'{"a":' * 1200 + b"1" + b"}" * 1200
    yield Attack("1,200 objects deep", sign(deep), Reason.TOKEN_MALFORMED)
    yield Attack("3,000 lists deep", sign(b'{"a":' + b"[" * 3000 + b"]" * 3000 + b"}"), Reason.TOKEN_MALFORMED)
    yield _claim("nine levels deep", Reason.TOKEN_MALFORMED, x={"a": [[[[[[[[]]]]]]]]})
    yield Attack("header of 2 KiB", sign(head=header(x5t="t" * 2048)), Reason.TOKEN_MALFORMED)
    yield _claim("12 KiB and more", Reason.TOKEN_TOO_LARGE, pad="x" * 12 * 1024)
    yield Attack("a megabyte of dots", "." * (1 << 20), Reason.TOKEN_TOO_LARGE)
    yield _claim("a text of 257 characters", Reason.TOKEN_MALFORMED, sub="s" * 257)
    yield _claim("1,001 groups", Reason.TOKEN_MALFORMED, groups=["g"] * 1001)


def _swaps() -> Iterator[Attack]:
    head, _, signature = sign().split(".")
    stranger = "bbbbbbbb-0000-4000-8000-000000000002"
    for name, value in {"acct": 0, "idp": ISSUER, "oid": stranger, "exp": NOW + 7200}.items():
        edited = encode(claims(**{name: value}))
        yield Attack(f"{name} edited after signing", f"{head}.{edited}.{signature}", Reason.TOKEN_SIGNATURE)
    _, payload, _ = sign().split(".")
    other = encode(header(x5t="t"))
    yield Attack("header exchanged after signing", f"{other}.{payload}.{signature}", Reason.TOKEN_SIGNATURE)


def _weak_keys() -> Iterator[Attack]:
    """Keys that a verifier must not know: the key set has them, the reader leaves them out."""
    for name in ("weak", "small-exponent", "ec"):
        yield _head(f"a key that is too weak: {name}", Reason.TOKEN_KEY_UNKNOWN, kid=name)


def _claim_types() -> Iterator[Attack]:
    for name in ("oid", "sub", "uti", "sid"):
        for value in ("", None, 1, [], {}):
            yield _claim(f"{name} {value!r}", Reason.TOKEN_MALFORMED, **{name: value})
    for name in ("oid", "sub", "uti"):
        yield _claim(f"{name} missing", Reason.TOKEN_MALFORMED, **{name: ...})
    yield _claim("oid is no GUID", Reason.TOKEN_MALFORMED, oid="admin")
    for name in ("groups", "acrs", "xms_cc"):
        for value in ("text", None, {}, [1], [None], [["x"]], ["x" * 257]):
            yield _claim(f"{name} {str(value)[:20]}", Reason.TOKEN_MALFORMED, **{name: value})
    for value in (2, -1, "1", True, 1.0, []):
        yield _claim(f"acct {value!r}", Reason.TOKEN_MALFORMED, acct=value)
    thumbprint = "J" * 43
    unreadable = ({"jkt": 1}, {"jkt": ""}, {"jkt": thumbprint[1:]}, {"jkt": thumbprint, "x": 1}, {"x5t": thumbprint})
    for value in (*unreadable, {}, [], "x"):
        yield _claim(f"cnf {value!r}", Reason.TOKEN_BINDING, cnf=value)


# Which generators yield which class of the list.
GROUPS: dict[str, tuple[Callable[[], Iterator[Attack]], ...]] = {
    "A1": (_algorithms,),
    "A2": (_key_confusion,),
    "A3": (_other_signatures,),
    "A4": (_foreign_keys,),
    "A5": (_key_ids,),
    "A6": (_critical,),
    "A7": (_serializations,),
    "A8": (_weak_keys,),
    "A9": (_issuers,),
    "A10": (_tenants,),
    "A11": (_audiences,),
    "A12": (_other_kinds,),
    "A13": (_times,),
    "A14": (_duplicates,),
    "A15": (_encodings,),
    "A16": (_base64,),
    "A17": (_bombs, _claim_types),
    "A20": (_swaps,),
}
