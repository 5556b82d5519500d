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
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from tunneld.model.errors import DocumentError

schema = MetaData()

_CONNECTIONS = 8  # PostgreSQL's; a server's default allows 100 for all of its clients


# SQLSTATE classes of a server that cannot be reached, is out of space, is being stopped or cannot use its disk
# (PostgreSQL, appendix A); 25006 is a stand-by that may not write.
_AWAY = ("08", "53", "57", "58", "25006")
_WRONG_STATEMENT = 1  # SQLITE_ERROR: a defect of ours that SQLite's driver calls operational too


class DatabaseAwayError(SQLAlchemyError):
    """The database cannot be used at the moment: it is stopped, full or locked. Whoever comes later may succeed."""


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
            event.listen(engine.sync_engine, "invalidate", _let_go)
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
        """Give a connection on which every statement is a transaction of its own. Raises DatabaseAwayError."""
        async with _reached(self._engine) as connection:
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection whose statements take effect together at the end of the block, or not at all.

        Raises DatabaseAwayError, also when the end is unknown because the connection broke at the commit.
        """
        async with _reached(self._engine) as connection:
            if self._is_file:
                # The write lock at once: one that is taken later may fail after others have written.
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                await connection.execution_options(isolation_level="READ COMMITTED")
            yield connection
            await connection.commit()


@asynccontextmanager
async def _reached(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Give a connection; that there is none, or that it breaks, is one error whatever the driver calls it."""
    connected = False
    try:
        async with engine.connect() as connection:
            connected = True
            yield connection
    except Exception as error:
        # Before there is a connection nothing is the caller's fault: OSError, a driver's own class, SQLAlchemy's.
        if connected and not _is_away(error):
            raise
        raise DatabaseAwayError(_first_line(error)) from error


def _is_away(error: Exception) -> bool:
    if not isinstance(error, DBAPIError):
        return isinstance(error, OSError)  # a connection that broke in the middle of a statement
    state = str(getattr(error.orig, "sqlstate", None) or "")
    wrong = getattr(error.orig, "sqlite_errorcode", None) == _WRONG_STATEMENT
    operational = isinstance(error, OperationalError | InterfaceError) and not wrong
    return operational or error.connection_invalidated or state.startswith(_AWAY)


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


def _let_go(connection: Any, _record: object, _error: object) -> None:  # the driver's own connection type
    """Roll back before a connection is closed of which a caller was cancelled.

    SQLite keeps a closed connection, and its lock, while a cursor of it lives (sqlite.org/c3ref/close.html); the one
    in the cancelled call lives until the collector comes by.
    """
    connection.run_async(lambda driver: driver.rollback())


def _durable(connection: Any, _record: object) -> None:  # the driver's own connection type
    cursor = connection.cursor()
    # A journal that survives kill -9 and loss of power: FULL syncs the log at each commit (sqlite.org/pragma.html).
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA busy_timeout=5000")
    cursor.close()
