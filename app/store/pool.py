"""Transactions: one connection that writes, behind a lock, and a pool of readers that can only read. The only runtime user of
SQLAlchemy.

Importing SQLAlchemy takes 150 to 200 ms, so `database` imports this module when the first transaction begins, not at start.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import sqlcipher3  # type: ignore[import-untyped]  # it ships no types
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from app.core.errors import AppError
from app.store import failures, words

READERS: Final = 4
WAIT_S: Final = 5.0


class Pool:
    def __init__(self, connect: Callable[[], sqlcipher3.Connection], options: Mapping[str, object]) -> None:
        """`connect` gives a new keyed connection in autocommit mode; `options` are what each connection carries for others to find."""

        def reader() -> sqlcipher3.Connection:
            connection = connect()
            connection.execute("PRAGMA query_only = ON")
            return connection

        self._lock: Final = threading.RLock()
        self._writer: Connection | None = None
        self._durable = True
        # Without an explicit pool such a URL gets one connection per thread. `hide_parameters`: no content in an exception's text.
        self._engine: Final = create_engine(
            "sqlite://",
            module=sqlcipher3,
            creator=reader,
            poolclass=QueuePool,
            pool_size=READERS + 1,
            max_overflow=0,
            pool_timeout=WAIT_S,
            hide_parameters=True,
            execution_options=dict(options),
        )
        event.listen(self._engine, "begin", _begin)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """See `Store.read`."""
        with _translated(), self._engine.connect() as connection:
            try:
                yield connection
            except BaseException as error:
                if _broke(error):
                    connection.invalidate()
                raise

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Connection]:
        """See `Store.write`."""
        with self._lock, _translated():
            writer = self._writer
            if writer is None:
                writer = self._writer = self._engine.connect().execution_options(writes=True)
                # To the driver itself: through SQLAlchemy it would come after BEGIN IMMEDIATE, which `query_only` refuses.
                writer.connection.cursor().execute("PRAGMA query_only = OFF")
                self._durable = True
            if durable is not self._durable:
                # Quick: it is on the disk with the next durable one.
                writer.connection.cursor().execute("PRAGMA synchronous = FULL" if durable else "PRAGMA synchronous = NORMAL")
                self._durable = durable
            try:
                with writer.begin():
                    yield writer
            except BaseException as error:
                words.forget(writer)
                if _broke(error):
                    self._writer = None
                    writer.invalidate()
                    writer.close()
                raise

    def close(self) -> None:
        with self._lock:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            self._engine.dispose()


def _begin(connection: Connection) -> None:
    # The driver is in autocommit mode and would begin nothing by itself. IMMEDIATE: a writer waits at the beginning, never half-way.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _broke(error: BaseException) -> bool:
    """Whether the connection must not be used again; also after an error of the driver's own cursors, which comes as it is."""
    return failures.breaks_connection(error.orig if isinstance(error, DBAPIError) else error)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        with failures.translated():
            yield
    except PoolTimeout as error:
        raise AppError(
            "store_unavailable", "Too many queries are waiting for the database.", "Try again in a moment.", retry_after_s=WAIT_S
        ) from error
    except SQLAlchemyError as error:
        raise failures.ours(error.orig if isinstance(error, DBAPIError) and error.orig else error) from error
