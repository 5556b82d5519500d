"""The one database: an SQLite file by default, PostgreSQL by URL. Every part declares its tables on `schema`.

A column of an existing table never changes: state written by an older version must still open.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from tunneld.model.errors import DocumentError

schema = MetaData()

_CONNECTIONS = 8  # PostgreSQL's; a server's default allows 100 for all of its clients


class Database:
    """One engine. What a block of `connect` or `transaction` returned from is on the disk.

    SQLite has one connection, so that writers queue here instead of meeting "database is locked": never open a
    second block inside one.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._is_file = engine.dialect.name == "sqlite"

    @classmethod
    async def open(cls, url: str) -> Database:
        """Open or create the database at an SQLAlchemy URL. Raises DocumentError when it is unusable."""
        parsed = _parsed(url)
        where = parsed.render_as_string(hide_password=True)
        # Each call to the driver is a hop to its thread and back: no BEGIN, COMMIT and ROLLBACK around one statement.
        options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None}
        if parsed.get_backend_name() == "sqlite":
            if parsed.database:
                _make_private(parsed.database)
            options |= {"pool_size": 1, "max_overflow": 0, "pool_timeout": 30}
        else:
            # A server may restart under us; a ping is cheaper than a refused sign-in.
            options |= {"pool_size": _CONNECTIONS, "max_overflow": 0, "pool_timeout": 30, "pool_pre_ping": True}
        try:
            engine = create_async_engine(parsed, **options)
        except ImportError:
            raise DocumentError(where, "", "the driver is missing", "pip install 'tunneld[postgresql]'") from None
        if parsed.get_backend_name() == "sqlite":
            event.listen(engine.sync_engine, "connect", _durable)
        try:
            async with engine.connect() as connection:
                await connection.run_sync(schema.create_all)
        except (SQLAlchemyError, OSError) as error:
            await engine.dispose()
            raise DocumentError(where, "", _first_line(error), "the state database") from None
        return cls(engine)

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection on which every statement is a transaction of its own."""
        async with self._engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection whose statements take effect together at the end of the block, or not at all."""
        async with self._engine.connect() as connection:
            if self._is_file:
                # The write lock at once: one that is taken later may fail after others have written.
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                await connection.execution_options(isolation_level="READ COMMITTED")
            yield connection
            await connection.commit()


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise DocumentError("settings", "database", "not an SQLAlchemy URL", "for example postgresql://…") from None
    drivers = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
    driver = drivers.get(parsed.get_backend_name())
    if driver is None:
        raise DocumentError("settings", "database", f"not a {' or '.join(drivers)} URL")
    return parsed.set(drivername=driver)


def _first_line(error: Exception) -> str:
    return (str(error.__cause__ or error).splitlines() or [type(error).__name__])[0]


def _make_private(path: str) -> None:
    """Make the file ourselves: SQLite would give it the umask's mode, and its journals take the file's."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        Path(path).chmod(0o600)
    except OSError as error:
        raise DocumentError(path, "", str(error.strerror), "the state database") from None


def _durable(connection: Any, _record: object) -> None:  # the driver's own connection type
    cursor = connection.cursor()
    # A journal that survives kill -9 and loss of power: FULL syncs the log at each commit (sqlite.org/pragma.html).
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA busy_timeout=5000")
    cursor.close()
