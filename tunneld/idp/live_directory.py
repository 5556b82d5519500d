"""The directory in force: the files with the stored objects over them, replaced as a whole by one assignment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog
from pydantic import ValidationError

from tunneld.idp.changes import AuditEntry, ConflictError
from tunneld.idp.database import Database
from tunneld.idp.directory_source import Loaded
from tunneld.idp.object_rows import StoredObject, advance, read_objects, revision, write_objects
from tunneld.idp.records import Records
from tunneld.policy.directory import Directory
from tunneld.policy.kinds import KINDS
from tunneld.policy.objects import Change, Conflict, ObjectRef
from tunneld.policy.overlay import change_directory, put_objects
from tunneld.policy.views import fingerprint_of

_log = structlog.get_logger("idp")


@dataclass(frozen=True, slots=True)
class Misfit:
    """A stored object that cannot be put in force over the files as they are now. Its row is kept."""

    ref: ObjectRef
    problem: str


class _OvertakenError(Exception):
    """Another process wrote to the database."""


class LiveDirectory:
    """Holds `current`. Writers queue at one lock, and the check runs inside it.

    `current` follows the database even when a write was cut off between its commit and the assignment: whoever comes
    next sees that the end is unknown and reads the rows again.
    """

    def __init__(self, base: Loaded, database: Database, records: Records, clock: Callable[[], float]) -> None:
        self._base = base
        self._database = database
        self._records = records
        self._clock = clock
        self._lock = asyncio.Lock()
        self._revision = -1
        self._stored: dict[ObjectRef, Change] = {}
        self._certain = False
        self.current = base
        self.misfits: tuple[Misfit, ...] = ()

    async def open(self) -> None:
        """Read the stored objects and put them in force."""
        async with self._lock:
            await self._read_again()

    async def take(self, base: Loaded) -> None:
        """Put new files in force, the stored objects over them."""
        async with self._lock:
            self._lay(base, self._stored.values())

    async def follow(self) -> bool:
        """Read the rows again when they are not the ones in force; tell whether that was so."""
        async with self._lock:
            if self._certain and await revision(self._database) == self._revision:
                return False
            await self._read_again()
            return True

    async def commit(
        self, changes: Sequence[Change], audits: Sequence[AuditEntry], *, correlation_id: str,
        expected: Mapping[ObjectRef, str] | None = None,
    ) -> None:
        """Check `changes` together and store them with their audit records, or store only that it failed.

        `expected` holds fingerprints that objects must still have, "" for absent ones. Raises ConflictError.
        """
        async with self._lock:
            if not self._certain:
                await self._read_again()
            outcome = _checked(self.current.directory, changes, expected or {})
            if isinstance(outcome, Directory):
                try:
                    await self._store(changes, audits, correlation_id)
                except _OvertakenError:
                    await self._read_again()
                    outcome = Conflict(
                        "concurrentChange", "The directory was changed by somebody else at the same moment.",
                        "Read the object again and repeat the change.", status=409,
                    )
                else:
                    # Nothing may be awaited from the end of the transaction to here.
                    self.current = replace(self.current, directory=outcome)
                    self._stored |= {change.ref: change for change in changes}
                    self._certain = True
                    return
            failed = [replace(entry, result="failure", reason=outcome.message) for entry in audits]
            await self._records.store_audits(failed, correlation_id)
        raise ConflictError(outcome)

    async def _store(self, changes: Sequence[Change], audits: Sequence[AuditEntry], correlation_id: str) -> None:
        now = self._clock()
        self._certain = not changes
        lines = self._records.prepare(audits, now, correlation_id)
        async with self._database.transaction() as connection:
            if changes:
                if not await advance(connection, self._revision):
                    raise _OvertakenError
                await write_objects(connection, changes, int(now))
            await lines.insert(connection)
        if changes:
            self._revision += 1
        lines.export()

    async def _read_again(self) -> None:
        number, rows = await read_objects(self._database)
        unreadable, changes = _parsed(rows)
        self._revision = number
        self._stored = {change.ref: change for change in changes}
        self._lay(self._base, changes)
        self.misfits = (*unreadable, *self.misfits)
        for misfit in unreadable:
            _log.warning("stored_object_misfit", ref=_name(misfit.ref), problem=misfit.problem)
        self._certain = True

    def _lay(self, base: Loaded, changes: Iterable[Change]) -> None:
        directory, misfits = lay_over(base.directory, list(changes))
        self._base = base
        self.current = replace(base, directory=directory)
        self.misfits = misfits
        for misfit in misfits:
            _log.warning("stored_object_misfit", ref=_name(misfit.ref), problem=misfit.problem)


def lay_over(base: Directory, changes: Sequence[Change]) -> tuple[Directory, tuple[Misfit, ...]]:
    """Return the directory with stored objects over it, and which of them no longer fit.

    An object that contradicts the new files stays in force: taking a policy out of force without being asked would
    open what it closed. Only one that cannot be compiled at all is left out.
    """
    misfits = [Misfit(change.ref, "the tenant is not in the directory document")
               for change in changes if change.ref.tenant_id not in base.tenants]
    known = [change for change in changes if change.ref.tenant_id in base.tenants]
    try:
        directory = put_objects(base, known)
    except _UNFIT:
        directory = base
        for change in known:
            try:
                directory = put_objects(directory, [change])
            except _UNFIT as error:
                misfits.append(Misfit(change.ref, f"{type(error).__name__}: {error}"))
    for change in known:
        if change.value is None:
            continue
        conflict = KINDS[change.ref.kind].check(directory, change.ref.tenant_id, change.value)
        if conflict is not None:
            misfits.append(Misfit(change.ref, conflict.message))
    return directory, tuple(misfits)


# What compiling an object may meet when what it names has left the files.
_UNFIT = (LookupError, TypeError, ValueError, AttributeError, AssertionError)


def _checked(
    directory: Directory, changes: Sequence[Change], expected: Mapping[ObjectRef, str]
) -> Directory | Conflict:
    for ref, wanted in expected.items():
        if fingerprint_of(directory, ref) != wanted:
            return Conflict(
                "preconditionFailed", "The object is no longer what it was when it was read.",
                "Read it again and repeat the change.", status=412,
            )
    for change in changes:
        if change.ref.tenant_id not in directory.tenants:
            return Conflict("unknownTenant", "There is no such tenant.", "Name one of the directory.", status=404)
    return change_directory(directory, changes)


def _parsed(rows: Iterable[StoredObject]) -> tuple[list[Misfit], list[Change]]:
    misfits, changes = [], []
    for row in rows:
        kind = KINDS.get(row.ref.kind)
        if kind is None:
            misfits.append(Misfit(row.ref, "there is no such kind of object"))
            continue
        try:
            value = None if row.body is None else kind.model.model_validate_json(row.body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            misfits.append(Misfit(row.ref, first["msg"]))
            continue
        changes.append(Change(row.ref, value))
    return misfits, changes


def _name(ref: ObjectRef) -> str:
    return f"{ref.tenant_id}/{ref.kind}/{ref.id}"
