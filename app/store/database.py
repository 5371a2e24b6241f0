"""The encrypted database: opening it, and transactions on it.

SQLCipher with the raw key, through SQLAlchemy (`pool`). One connection writes; readers see one state and can only read. A transaction
is on the disk when it has returned (WAL, `synchronous=FULL`), so the journal may forget what it covered; `durable=False` is for steps of
long work that may be taken again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.core.errors import AppError
from app.core.events import Event, Who
from app.store import audit, cipher, failures, migrations, states, tags
from app.store.statements import Direct, Statements

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from app.store.pool import Pool


class Store:
    """The open database. Any thread may call; none of it belongs on the event loop."""

    def __init__(self, path: Path, key: bytes, tagging: tags.Tags | None = None) -> None:
        """Use `Store.open`."""
        self._path: Final = path
        self._key: Final = key
        self._lock: Final = threading.Lock()
        self._tags: Final = tagging
        self._pool: Pool | None = None

    @staticmethod
    def open(path: Path, key: bytes, steps: Sequence[migrations.Migration] = migrations.ALL, tagging: tags.Tags | None = None) -> Store:
        """Open the database at `path`, make it if there is none, bring its schema up to date.

        tagging: what tags the entries of the audit log, and must be on those that no signature covers; None for a store that only reads,
        or whose log nobody signs.

        AppError: store_wrong_key; store_newer (the file is not touched); store_unavailable (damaged, held by another program, disk
        full); data_folder (the file or its folder cannot be used).
        """
        new = cipher.prepare(path, key)
        with failures.translated():
            version = 0 if new else _version(path, key)
            if version > len(steps):
                raise AppError(
                    "store_newer",
                    f"The database was written by a newer Gatehouse (schema {version}, this one knows {len(steps)}).",
                    "Start the newer version, or put a backup back that fits this one. Nothing was changed.",
                )
            if 0 < version < len(steps):
                migrations.back_up(path, lambda target: cipher.connect(target, key), version)
            if version < len(steps):
                with closing(cipher.connect(path, key)) as connection:
                    migrations.run(connection, steps)
        return Store(path, key, tagging)

    @contextmanager
    def first_look(self) -> Iterator[Statements]:
        """A plain read-only connection for what the start needs, so that the first answer does not wait for SQLAlchemy's import.

        Good for `accounts.all`, `clients.all` and `audit.last`. AppError store_unavailable.
        """
        with failures.translated(), closing(cipher.connect(self._path, self._key, read_only=True)) as connection:
            yield Direct(connection)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one unchanging state until the block ends. AppError store_unavailable."""
        with self._ready().read() as connection:
            yield connection

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Connection]:
        """The writing connection in a transaction: on the disk when the block has ended, undone when it raises.

        Not durable: whole or not at all, and in its order, but after a power cut perhaps not at all until a durable one followed.
        AppError store_unavailable when the disk is full, read-only or held by another program; trying again later is right.
        """
        with self._ready().write(durable=durable) as connection:
            yield connection

    def fold(self) -> int:
        """Fold the write-ahead log into the file as far as readers allow; how many pages are left in it. Nobody waits for this.

        AppError store_unavailable.
        """
        with failures.translated(), closing(cipher.connect(self._path, self._key)) as connection:
            _, pages, folded = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            return int(pages) - int(folded)

    @contextmanager
    def change(self, events: Event | Sequence[Event], actor: str | Who, at_us: int) -> Iterator[Connection]:
        """Like `write`, and the audit entries of `events` are committed with what the block did, or neither is. The last one says
        what was in force before and after (`states`). ValueError for an event that is no change."""
        said = (events,) if isinstance(events, Event) else tuple(events)
        if any(event.GROUP != "changes" for event in said):
            raise ValueError("only a change says what is in force")
        with self.write() as connection:
            before = states.digests(connection)
            yield connection
            for what in said[:-1]:
                audit.append(connection, what, actor, at_us, {"after": before, "before": before})
            if said:
                audit.append(connection, said[-1], actor, at_us, {"after": states.digests(connection), "before": before})

    def close(self) -> None:
        """Close every connection; the last one folds the write-ahead log into the file."""
        with self._lock:
            if self._pool is not None:
                self._pool.close()
                self._pool = None

    def _ready(self) -> Pool:
        with self._lock:
            if self._pool is None:
                from app.store.pool import Pool  # noqa: PLC0415  (150 to 200 ms that the start has no need of)

                self._pool = Pool(lambda: cipher.connect(self._path, self._key), tags.options(self._tags))
            return self._pool

    def __repr__(self) -> str:
        return f"Store({self._path.name!r})"


def _version(path: Path, key: bytes) -> int:
    """The schema's number, read without leaving a trace in the file."""
    with closing(cipher.connect(path, key, read_only=True)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
