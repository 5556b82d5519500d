"""Mail as files: every message that would be sent is written to a directory beside the state, and nothing leaves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

from tunneld.idp.provider import Provider, make_private
from tunneld.idp.sealing import new_id
from tunneld.journal.files import write_atomic
from tunneld.policy.directory import Tenant

NAME = "outbox"
_numbers = count()


@dataclass(frozen=True, slots=True)
class Letter:
    """One message of plain text. Addresses and names were checked to be one line each."""

    tenant: Tenant
    to: str
    subject: str
    text: str
    to_name: str = ""
    copy_to: tuple[tuple[str, str], ...] = ()  # (name, address)
    language: str = "en-US"


def outbox_of(provider: Provider) -> Path:
    """Return the directory of the messages; it need not exist yet."""
    return provider.settings.state.parent / NAME


async def post(provider: Provider, letter: Letter) -> None:
    """Write a message into the outbox as `<milliseconds>-<number>-<random>.eml` (RFC 5322), for its owner alone.

    The number keeps the order of messages of one millisecond.
    """
    message = compose(letter, urlsplit(provider.base_url).hostname or "localhost", provider.clock())
    path = outbox_of(provider) / f"{int(provider.clock() * 1000):014d}-{next(_numbers):06d}-{new_id()}.eml"
    await asyncio.to_thread(_write, path, bytes(message))


def compose(letter: Letter, host: str, now: float) -> EmailMessage:
    """Return a letter as a message. The library folds and encodes, and refuses what would begin another header."""
    message = EmailMessage(policy=SMTP)
    sender = " ".join(letter.tenant.display_name.split())
    message["From"] = Address(f"{sender} (tunneld lab)", "invitations", host)
    message["To"] = _address(letter.to_name, letter.to)
    if letter.copy_to:
        message["Cc"] = tuple(_address(name, address) for name, address in letter.copy_to)
    message["Subject"] = letter.subject
    message["Date"] = formatdate(now)
    message["Message-ID"] = f"<{new_id()}@{host}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5: nobody's out-of-office reply should come back
    message.set_content(letter.text)
    message["Content-Language"] = letter.language
    return message


def _address(name: str, address: str) -> Address:
    local, _, domain = address.rpartition("@")
    return Address(name, local, domain)


def _write(path: Path, content: bytes) -> None:
    make_private(path.parent)
    write_atomic(path, content, mode=0o600)
