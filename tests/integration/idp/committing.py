"""A program that commits pairs of objects until it is killed: python committing.py SETTINGS.json START."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.integration.idp.storage_world import pair_commit
from tunneld.idp.provider import Provider
from tunneld.idp.settings import IdpSettings


async def main(settings: IdpSettings) -> None:
    provider = await Provider.open(settings, "https://idp.test")
    number = int(sys.argv[2])
    while True:
        number += 1
        await pair_commit(provider, number)
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


asyncio.run(main(IdpSettings.model_validate_json(Path(sys.argv[1]).read_text())))
