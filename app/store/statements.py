"""What a function that only reads by plain SQL needs of a connection: SQLAlchemy's has it, and so has the driver's with `Direct`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Protocol

import sqlcipher3  # type: ignore[import-untyped]  # it ships no types

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


class Statements(Protocol):
    def exec_driver_sql(self, statement: str, parameters: tuple[Any, ...] = (), /) -> Iterable[Any]:
        """The rows of `statement`, each a sequence."""


class Insert:
    """An INSERT for any number of rows, several to a statement.

    The driver lets go of the interpreter's lock at each statement. One statement a row therefore wakes the event loop at each row and
    waits for it again, which cost a quarter of all CPU per request.
    """

    def __init__(self, table: str, columns: Sequence[str]) -> None:
        row = f"({', '.join('?' * len(columns))})"
        into = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "  # noqa: S608 - our own words alone
        self._statements: Final = tuple((size, into + ", ".join([row] * size)) for size in (256, 32, 8, 1))

    def run(self, connection: Connection, rows: Sequence[Sequence[object]]) -> None:
        start = 0
        for size, statement in self._statements:
            while len(rows) - start >= size:
                connection.exec_driver_sql(statement, tuple(chain.from_iterable(rows[start : start + size])))
                start += size


class Direct:
    """`Statements` on a connection of the driver."""

    def __init__(self, connection: sqlcipher3.Connection) -> None:
        self._connection: Final = connection

    def exec_driver_sql(self, statement: str, parameters: tuple[Any, ...] = (), /) -> Iterable[Any]:
        rows: Iterable[Any] = self._connection.execute(statement, parameters)
        return rows
