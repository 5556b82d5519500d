"""Personal accounts: the tenant that all of them share, as far as guests need it.

In the product these are Microsoft accounts of a consumer service. Here an account is an address with a password that
its owner chose on a page, after the one-time code of an invitation proved the address. It has no profile and no
applications: it exists so that redemption with a personal account can be seen.
"""

from __future__ import annotations

import asyncio
import secrets

from sqlalchemy import Column, Integer, String, Table, insert, select
from sqlalchemy.exc import IntegrityError

from tunneld.idp.database import schema
from tunneld.idp.provider import Provider
from tunneld.idp.sealing import new_id
from tunneld.policy.passwords import hash_password

MIN_PASSWORD = 8  # NIST SP 800-63B §5.1.1.2
MAX_PASSWORD = 256

_accounts = Table(
    "personal_accounts", schema,
    Column("address", String(254), primary_key=True),
    Column("subject", String(64), nullable=False),
    Column("password_hash", String(512), nullable=False),
    Column("created_at", Integer, nullable=False),
)


async def personal_account(provider: Provider, address: str) -> tuple[str, str] | None:
    """Return (subject, password hash) of the account of an address, None when there is none."""
    async with provider.database.connect() as connection:
        row = (await connection.execute(select(_accounts).where(_accounts.c.address == address))).first()
    return (str(row.subject), str(row.password_hash)) if row is not None else None


async def create_personal_account(provider: Provider, address: str, password: str) -> bool:
    """Make the account of an address; False when there is one already."""
    encoded = await asyncio.to_thread(hash_password, password, salt=secrets.token_bytes(16))
    values = {"address": address, "subject": new_id(), "password_hash": encoded, "created_at": provider.now()}
    try:
        async with provider.database.connect() as connection:
            await connection.execute(insert(_accounts).values(**values))
    except IntegrityError:
        return False
    return True
