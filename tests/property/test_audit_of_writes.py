"""However writes go, each leaves exactly one audit record that says how it went, and what is stored is in force."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from tests.integration.idp.world import ALEX, BOB, CONTOSO, STAFF, directory
from tunneld.idp.audit_log import audits
from tunneld.idp.changes import Actor, AuditEntry, AuditTarget, ConflictError
from tunneld.idp.database import Database
from tunneld.idp.directory_source import Loaded
from tunneld.idp.live_directory import LiveDirectory
from tunneld.idp.records import Records
from tunneld.policy.directory_document import read_directory
from tunneld.policy.directory_links import link_directory
from tunneld.policy.kinds import KINDS
from tunneld.policy.objects import Change, ObjectRef
from tunneld.policy.views import fingerprint_of, view

BASE = link_directory(read_directory(json.dumps(directory()), where="d"), {}, where="d")
WHO = Actor("user", CONTOSO, BOB, "bob@contoso.example")

members = st.lists(st.sampled_from([ALEX, BOB, STAFF, "99999999-0000-4000-8000-000000000001"]), max_size=2, unique=True)
names = st.sampled_from(["alex@contoso.example", "robert@contoso.example", "x@elsewhere.example"])
writes = st.lists(
    st.one_of(
        st.tuples(st.just("group"), st.just(STAFF), st.fixed_dictionaries({"members": members})),
        st.tuples(st.just("user"), st.just(BOB), st.fixed_dictionaries({"userPrincipalName": names})),
        st.tuples(st.just("user"), st.just(BOB), st.none()),
        st.tuples(st.just("stale"), st.just(BOB), st.none()),
    ),
    max_size=6,
)


@settings(max_examples=25, deadline=None)
@given(writes)
def test_every_write_has_its_one_record(attempts: list[tuple[str, str, dict[str, Any] | None]]) -> None:
    with tempfile.TemporaryDirectory() as directory_name:
        asyncio.run(_attempt(Path(directory_name), attempts))


async def _attempt(root: Path, attempts: list[tuple[str, str, dict[str, Any] | None]]) -> None:
    database = await Database.open(f"sqlite:///{root / 'state.sqlite'}")
    records = Records.open(root, database, lambda: 1_800_000_000.5)
    live = LiveDirectory(Loaded(BASE, {}, {}, ()), database, records, lambda: 1_800_000_000.5)
    await live.open()
    results = []
    for number, (kind, key, body) in enumerate(attempts):
        before = live.current.directory
        ref = ObjectRef(CONTOSO, "user" if kind == "stale" else kind, key)
        shown = view(before, CONTOSO, ref.kind, key)
        value = None
        if body is not None:
            known = shown.stored() if shown else {"id": key, "displayName": "Bob"}
            value = KINDS[ref.kind].model.model_validate({**known, **body})
        entry = AuditEntry(f"Write {number}", "Test", CONTOSO, WHO, (AuditTarget(key, key, "Other"),))
        seen = "f" * 32 if kind == "stale" else fingerprint_of(before, ref)
        try:
            await live.commit([Change(ref, value)], [entry], correlation_id="", expected={ref: seen})
            results.append("success")
        except ConflictError:
            results.append("failure")
            assert live.current.directory is before
    async with database.connect() as connection:
        rows = (await connection.execute(select(audits))).all()
    assert {row.activity: row.result for row in rows} == {f"Write {n}": one for n, one in enumerate(results)}
    assert len(rows) == len(attempts)
    assert all(json.loads(row.body)["resultReason"] for row in rows if row.result == "failure")
    lines = (root / "audit.jsonl").read_text().splitlines()
    assert len(lines) == len(attempts)
    again = LiveDirectory(Loaded(BASE, {}, {}, ()), database, records, lambda: 1_800_000_001.0)
    await again.open()
    assert again.current.directory.tenants[CONTOSO] == live.current.directory.tenants[CONTOSO]
    await records.close()
    await database.close()
