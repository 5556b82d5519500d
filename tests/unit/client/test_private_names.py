"""Names that must not reach a public resolver."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.profiles import values
from tunneld.client.data_plane import private_names_stay
from tunneld.client.identity import Identity
from tunneld.client.tenants import Profiles


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("public.example", True),
        ("corp.internal", False),
        ("portal.corp.internal", False),
        ("a.b.corp.internal", False),
        ("notcorp.internal", True),
        ("corp.internal.example", True),
    ],
)
async def test_only_names_outside_every_private_suffix_are_asked_for(host: str, asked: bool) -> None:
    """The suffix holds on label boundaries; what is private has no address."""
    seen: list[str] = []

    async def resolve(name: str) -> Sequence[str]:
        seen.append(name)
        return ["192.0.2.1"]

    guarded = private_names_stay(lambda: {"corp.internal", "contoso.internal"}, resolve)
    assert await guarded(host) == (["192.0.2.1"] if asked else [])
    assert seen == ([host] if asked else [])


def test_profiles_of_earlier_runs_keep_their_names_private(tmp_path: Path) -> None:
    """A tenant that was left before the restart is as private as the active one; a broken file says nothing."""
    profile: dict[str, Any] = values(private_dns={"suffixes": ["fabrikam.internal"]})
    (tmp_path / "one.json").write_text(json.dumps({"profile": json.dumps(profile), "etag": "x"}))
    (tmp_path / "two.json").write_text("{")
    profiles = Profiles(cast(Identity, None), tmp_path, now=lambda: 0.0)
    assert profiles.private_suffixes() == {"fabrikam.internal"}
    profiles.forget()
    assert profiles.private_suffixes() == frozenset()
