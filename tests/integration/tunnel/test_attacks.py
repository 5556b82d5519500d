"""The whole corpus of tokens against a running edge over real sockets: each refused with its reason, none a failure."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.integration.tunnel.test_foreign import LibraryClient, library_client
from tests.support.attacks import attacks, smuggled
from tests.support.tokens import NOW, claims, sign
from tests.support.tunnel_world import tunnel_world
from tunneld.edge import tenant

LONGEST = 12_000  # what a header field may hold; longer ones end the connection, which has tests of its own


async def _refused(client: LibraryClient, *fields: tuple[str, str]) -> tuple[int | None, str | None]:
    stream = await client.request("files.example:80", *fields)
    await client.until(lambda: stream in client.ended or stream in client.resets)
    return client.status.get(stream), client.reason(stream) if stream in client.fields else None


async def test_the_corpus_meets_a_running_edge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """403 and the reason of each attack in `proxy-status`; the connection goes on, and a good token works."""
    monkeypatch.setattr(tenant, "time", SimpleNamespace(time=lambda: NOW))
    wrong = []
    async with tunnel_world(tmp_path) as world, library_client(world) as client:
        tried = 0
        for attack in attacks():
            if not 0 < len(attack.token) <= LONGEST or not attack.token.isprintable() or not attack.token.isascii():
                continue
            if attack.token != attack.token.strip() or "concrete" in attack.name:  # fields are trimmed; one key here
                continue
            tried += 1
            status, reason = await _refused(client, ("proxy-authorization", f"Bearer {attack.token}"))
            if (status, reason) != (403, attack.reason):
                wrong.append((attack.name, status, reason))
        assert not wrong
        assert tried > 250
        unbound = sign(claims(cnf=...))
        for header in smuggled(unbound):
            fields = [(name.decode().replace("authorization", "proxy-authorization"), value.decode())
                      for name, value in header.fields]
            status, _ = await _refused(client, *fields)
            assert status != 200, header.name
        assert client.terminated is None
        stream = await client.request("files.example:80", ("proxy-authorization", f"Bearer {unbound}"))
        await client.until(lambda: stream in client.status)
        assert client.status[stream] == 200
        await world.origin.accept()
