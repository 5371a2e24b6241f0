"""One encrypted file: opening it, and transactions on it.

SQLCipher with the raw key, through SQLAlchemy Core. One connection writes, behind a lock; readers come from a pool and can only
read. Every transaction is on the disk when it has returned (WAL, `synchronous=FULL`), so the journal may forget what it covered.

The file's first 16 bytes are the cipher's salt. Ours is made of a mark, four random bytes and a check value of the key, so that a
wrong key, a file that is not ours and a damaged one are told apart (the cipher itself gives one error for all three).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import sqlcipher3  # type: ignore[import-untyped]  # it ships no types
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

from app.core.errors import AppError
from app.core.events import Event
from app.store import audit, disk, failures, keycheck, migrations, words

MARK: Final = b"GHDB"
KEY_BYTES: Final = 32
BUSY_MS: Final = 5_000
READERS: Final = 4
WAL_KEPT_BYTES: Final = 16 << 20


class Store:
    """The open database. Any thread may call; none of it belongs on the event loop."""

    def __init__(self, path: Path, key: bytes) -> None:
        """Use `Store.open`."""
        self._path: Final = path
        self._key: Final = key
        self._lock: Final = threading.RLock()
        self._writer: Connection | None = None
        self._engine: Final = _engine(path, key)

    @staticmethod
    def open(path: Path, key: bytes, steps: Sequence[migrations.Migration] = migrations.ALL) -> Store:
        """Open the database at `path`, make it if there is none, bring its schema up to date.

        AppError: store_wrong_key; store_newer (the file is not touched); store_unavailable (damaged, held by another program, disk
        full); data_folder (the file or its folder cannot be used).
        """
        new = _prepare(path, key)
        if not new:
            version = _schema_version(path, key)
            if version > len(steps):
                raise AppError(
                    "store_newer",
                    f"The database was written by a newer Gatehouse (schema {version}, this one knows {len(steps)}).",
                    "Start the newer version, or put a backup back that fits this one. Nothing was changed.",
                )
            if 0 < version < len(steps):
                with failures.translated():
                    migrations.back_up(path, lambda target: _connect(target, key), version)
        store = Store(path, key)
        try:
            with store.write() as connection:
                migrations.run(connection, steps)
        except BaseException:
            store.close()
            raise
        return store

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one unchanging state until the block ends. AppError store_unavailable."""
        with failures.translated(), self._engine.connect() as connection:
            try:
                yield connection
            except SQLAlchemyError as error:
                if failures.breaks_connection(error):
                    connection.invalidate()
                raise

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """The writing connection in a transaction: on the disk when the block has ended, undone when it raises.

        AppError store_unavailable when the disk is full, read-only or held by another program; trying again later is right.
        """
        with self._lock, failures.translated():
            writer = self._writer
            if writer is None:
                writer = self._writer = _writer(self._engine)
            try:
                with writer.begin():
                    yield writer
            except BaseException as error:
                words.forget(writer)
                if isinstance(error, SQLAlchemyError) and failures.breaks_connection(error):
                    self._writer = None
                    writer.invalidate()
                    writer.close()
                raise

    @contextmanager
    def change(self, events: Event | Sequence[Event], actor: str, at_us: int) -> Iterator[Connection]:
        """Like `write`, and the audit entries of `events` are committed with what the block did, or neither is."""
        with self.write() as connection:
            yield connection
            for what in (events,) if isinstance(events, Event) else events:
                audit.append(connection, what, actor, at_us)

    def close(self) -> None:
        """Close every connection; the last one folds the write-ahead log into the file."""
        with self._lock:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            self._engine.dispose()

    def __repr__(self) -> str:
        return f"Store({self._path.name!r})"


def _prepare(path: Path, key: bytes) -> bool:
    """Whether the database is yet to be made; if so an empty file of the person's own is there now."""
    if len(key) != KEY_BYTES:
        raise ValueError("a database key has 32 bytes")
    try:
        if not path.exists():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        with path.open("rb") as file:
            head = file.read(keycheck.BYTES)
    except OSError as error:
        raise disk.refused(path, error) from error
    if not head:
        return True
    judgement = keycheck.judged(MARK, key, head)
    if judgement == "foreign":
        raise AppError(
            "store_unavailable",
            f"{path.name} is not a Gatehouse database, or its beginning is damaged.",
            "Put a backup back, or move the file away to begin with an empty one. It was not changed.",
        )
    if judgement == "wrong":
        raise AppError(
            "store_wrong_key",
            f"{path.name} was written under another master key.",
            "Restore the key that belongs to this data folder, or put the data folder back that belongs to this key. Nothing was changed.",
        )
    return False


def _schema_version(path: Path, key: bytes) -> int:
    """The schema's number, read without leaving a trace in the file."""
    with failures.translated():
        connection = _connect(path, key, read_only=True)
        try:
            return int(connection.execute("PRAGMA user_version").fetchone()[0])
        finally:
            connection.close()


def _connect(path: Path, key: bytes, *, read_only: bool = False) -> sqlcipher3.Connection:
    """A keyed connection with our settings; `read_only` ones do not even fold the write-ahead log into the file."""
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
    connection = sqlcipher3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1000)
    try:
        new = not read_only and path.stat().st_size == 0
        salt = keycheck.made(MARK, key, os.urandom(4)) if new else b""
        # PRAGMA key takes no bound parameter. This is the one place where a statement is put together, from bytes turned to hex, and
        # it goes to the driver directly: no log and no exception of SQLAlchemy can repeat it.
        connection.execute("PRAGMA cipher_log_level = NONE")
        connection.execute(f"PRAGMA key = \"x'{key.hex()}{salt.hex()}'\"")
        if read_only:
            return connection
        if new:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        for pragma in _PRAGMAS:
            connection.execute(pragma)
    except BaseException:
        connection.close()
        raise
    return connection


_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = FAST",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA cache_size = -2000",
    f"PRAGMA journal_size_limit = {WAL_KEPT_BYTES}",
)


def _engine(path: Path, key: bytes) -> Engine:
    # Without an explicit pool such a URL gets one connection per thread. `hide_parameters`: no row's content in an exception's text.
    engine = create_engine(
        "sqlite://",
        module=sqlcipher3,
        creator=lambda: _reader(path, key),
        poolclass=QueuePool,
        pool_size=READERS + 1,
        max_overflow=0,
        pool_timeout=BUSY_MS / 1000,
        hide_parameters=True,
    )
    event.listen(engine, "begin", _begin)
    return engine


def _reader(path: Path, key: bytes) -> sqlcipher3.Connection:
    connection = _connect(path, key)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _writer(engine: Engine) -> Connection:
    """The one connection that may write; it never goes back to the pool while that is in use."""
    connection = engine.connect().execution_options(writes=True)
    # To the driver itself: through SQLAlchemy it would come after BEGIN IMMEDIATE, which `query_only` refuses.
    connection.connection.cursor().execute("PRAGMA query_only = OFF")
    return connection


def _begin(connection: Connection) -> None:
    # The driver is in autocommit mode and would begin nothing by itself. IMMEDIATE: a writer waits at the beginning, never half-way.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
