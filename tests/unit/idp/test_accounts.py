"""What a guesser can measure at the password gate: nothing that tells an account from a name without one."""

from __future__ import annotations

import pytest

from tests.unit.policy.documents import HASH, document, link
from tunneld.idp import accounts
from tunneld.idp.accounts import PasswordGate
from tunneld.policy.passwords import check_password, hash_password, parse_hash


@pytest.mark.parametrize("name", ["nobody@{domain}", "nobody@elsewhere.example", "nobody", ""])
async def test_a_name_without_an_account_costs_as_much_as_one_with(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[tuple[int, int, int]] = []

    def check(password: str, encoded: str) -> bool:
        checked.append(parse_hash(encoded)[:3])
        return check_password(password, encoded)

    monkeypatch.setattr(accounts, "check_password", check)
    directory = link(document())
    upn = next(iter(directory.accounts))
    gate = PasswordGate()
    await gate.check(directory, upn, "wrong", 0)
    await gate.check(directory, name.format(domain=upn.partition("@")[2]), "wrong", 0)
    assert checked == [parse_hash(HASH)[:3]] * 2


async def test_each_tenant_has_its_own_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = {}
    monkeypatch.setattr(accounts, "check_password", lambda _, encoded: costs.setdefault(parse_hash(encoded)[:3], False))
    raw = document()
    cheap = hash_password("x", salt=bytes(16), cost=(2**3, 8, 1))
    raw["tenants"][0]["users"][0]["password_hash"] = cheap
    for user in raw["tenants"][0]["users"]:
        if "password_hash" in user:
            user["password_hash"] = cheap
    directory = link(raw)
    first = next(iter(directory.tenants.values()))
    await PasswordGate().check(directory, f"nobody@{first.domains[0]}", "wrong", 0)
    assert list(costs) == [(2**3, 8, 1)]


async def test_the_password_of_the_hash_that_stands_in_opens_nothing() -> None:
    raw = document()
    for user in raw["tenants"][0]["users"]:
        if "password_hash" in user:
            user["password_hash"] = hash_password("known", salt=bytes(16), cost=(2**3, 8, 1))
    directory = link(raw)
    domain = next(iter(directory.tenants.values())).domains[0]
    account, proof = await PasswordGate().check(directory, f"nobody@{domain}", "known", 0)
    assert account is None
    assert not proof.correct
