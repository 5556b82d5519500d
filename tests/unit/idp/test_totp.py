"""One-time codes against the published examples, and what is kept at rest."""

from __future__ import annotations

import base64
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tunneld.idp.ceremonies import MAX_NONCES, NONCE_S, UsedNonces
from tunneld.idp.sealing import Seal
from tunneld.idp.totp import CodeGate, code_at, key_uri, matching_step, qr_code
from tunneld.idp.vault import lock, unlock
from tunneld.policy.lock_out import THRESHOLD

SEED = b"12345678901234567890"


@pytest.mark.parametrize(
    ("at", "code"),
    [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"), (2000000000, "279037")],
)
def test_examples_of_the_rfc(at: int, code: str) -> None:
    """RFC 6238 appendix B, the last six digits; a step early and late is taken, two are not."""
    assert code_at(SEED, at // 30) == code
    for late, found in ((-60, None), (-30, at // 30), (0, at // 30), (30, at // 30), (60, None)):
        assert matching_step(SEED, f" {code[:3]} {code[3:]}", at // 30 * 30 + late) == found


ARABIC_DIGITS = "\u0662\u0668\u0667\u0660\u0668\u0662"


@pytest.mark.parametrize("typed", ["", "28708", "2870820", "28708x", ARABIC_DIGITS, "287082\n1"])
def test_what_is_no_code(typed: str) -> None:
    """Six ASCII digits and nothing else."""
    assert matching_step(SEED, typed, 59) is None


def test_key_uri_and_picture() -> None:
    """What an app reads; names cannot break out of the URI, and the picture has nothing that a policy forbids."""
    uri = key_uri(SEED, issuer="Fabrikam & Sons/?", account="alex@contoso.example")
    parts = urlsplit(uri)
    assert (parts.scheme, parts.netloc) == ("otpauth", "totp")
    assert unquote(parts.path) == "/Fabrikam & Sons/?:alex@contoso.example"
    query = parse_qs(parts.query)
    assert query["secret"] == [base64.b32encode(SEED).decode()]
    assert query["issuer"] == ["Fabrikam & Sons/?"]
    picture = qr_code(uri)
    assert picture.startswith("<svg ")
    assert not any(word in picture for word in ("style=", "<script", "href", " on"))


def test_vault_binds_a_secret_to_what_it_belongs_to() -> None:
    """Another purpose, another server or a changed byte yields nothing."""
    seal = Seal(bytes(32))
    text = lock(seal, "seed 1", SEED)
    assert unlock(seal, "seed 1", text) == SEED
    assert text != lock(seal, "seed 1", SEED)
    flipped = text[:-2] + ("A" if text[-2] != "A" else "B") + text[-1]
    wrongs = [("seed 2", text), *(("seed 1", wrong) for wrong in (flipped, "", "é", "A" * 9999))]
    for belonging, wrong in wrongs:
        assert unlock(seal, belonging, wrong) is None
    assert unlock(Seal(bytes([1]) * 32), "seed 1", text) is None


def test_gate_locks_one_person_and_forgets_after_success() -> None:
    """Ten misses lock; somebody else is not touched; being right starts anew."""
    gate, mine, theirs = CodeGate(), ("t", "a"), ("t", "b")
    for _ in range(THRESHOLD):
        assert not gate.locked(mine, 0)
        gate.missed(mine, 0)
    assert gate.locked(mine, 0)
    assert not gate.locked(theirs, 0)
    gate.passed(mine)
    assert not gate.locked(mine, 0)


def test_nonces_are_used_once_and_remembered_within_a_limit() -> None:
    """A full memory refuses rather than forgets; time makes room."""
    nonces = UsedNonces()
    assert nonces.use("a", 0)
    assert not nonces.use("a", NONCE_S - 1)
    assert all(nonces.use(str(number), 0) for number in range(MAX_NONCES - 1))
    assert not nonces.use("b", 0)
    assert nonces.use("b", NONCE_S)
