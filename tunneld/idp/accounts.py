"""Checking passwords without stopping the loop, and without telling guessers anything."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from tunneld.idp.answers import RequestError
from tunneld.policy.directory import Directory, ObjectKey
from tunneld.policy.lock_out import Attempts
from tunneld.policy.passwords import check_password, hash_password
from tunneld.policy.refusals import refusal
from tunneld.policy.sign_in import PasswordProof

AT_ONCE = 2  # scrypt takes 16 MiB and a core for tens of milliseconds each
MAX_WAITING = 64  # then "try again later": a queue of seconds helps nobody
MAX_ACCOUNTS = 10_000  # accounts with recent misses; the oldest are forgotten
MAX_PASSWORD = 1024

# Checked where no account of the directory has a password: there is nothing to enumerate then, but a core to be busy.
_NOBODY = hash_password("nobody", salt=bytes(16))


class PasswordGate:
    """Judges typed passwords, with a lock-out per account."""

    def __init__(self) -> None:
        self._attempts: OrderedDict[str, Attempts] = OrderedDict()
        self._room = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def check(
        self, directory: Directory, upn: str, password: str, now: int
    ) -> tuple[ObjectKey | None, PasswordProof]:
        """Return the home account that `upn` names, if any, and what the password proves."""
        name = upn.strip().lower()
        account = directory.account(name)
        user = directory.user(account) if account else None
        return account, await self.judge(directory, name, password, user.password_hash if user else None, now)

    async def judge(
        self, directory: Directory, name: str, password: str, encoded: str | None, now: int
    ) -> PasswordProof:
        """Return what a password proves for `name`, whose hash is `encoded`; None costs the same and proves nothing."""
        if self._attempts.get(name, Attempts()).locked(now):
            return PasswordProof(correct=False, locked=True)
        correct = await self._verify(password, encoded or _decoy(directory, name)) and encoded is not None
        if correct:
            self._attempts.pop(name, None)
        else:
            # Read again: others may have missed while this one was being checked.
            self._attempts[name] = self._attempts.get(name, Attempts()).after_miss(now)
            self._attempts.move_to_end(name)
            if len(self._attempts) > MAX_ACCOUNTS:
                self._attempts.popitem(last=False)
        return PasswordProof(correct=correct, locked=False)

    async def _verify(self, password: str, encoded: str) -> bool:
        if len(password) > MAX_PASSWORD or self._waiting >= MAX_WAITING:
            raise RequestError(refusal(90033))
        self._waiting += 1
        try:
            async with self._room:
                return await asyncio.to_thread(check_password, password, encoded)
        finally:
            self._waiting -= 1


def _decoy(directory: Directory, name: str) -> str:
    """Return what is checked where there is no such account, so that the answer takes as long as for one there is.

    A hash carries its own cost, so it must be one of the directory's: of the tenant that the name's domain belongs to,
    else of any. Whose it is does not matter, because the outcome is not used.
    """
    realm = directory.home_realm(name)
    for tenant in (*([realm] if realm else []), *directory.tenants.values()):
        for user in tenant.users.values():
            if user.password_hash is not None:
                return user.password_hash
    return _NOBODY
