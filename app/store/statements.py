"""What a function that only reads by plain SQL needs of a connection: SQLAlchemy's has it, and so has the driver's with `Direct`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Protocol

import sqlcipher3  # type: ignore[import-untyped]  # it ships no types


class Statements(Protocol):
    def exec_driver_sql(self, statement: str, parameters: tuple[Any, ...] = (), /) -> Iterable[Any]:
        """The rows of `statement`, each a sequence."""


class Direct:
    """`Statements` on a connection of the driver."""

    def __init__(self, connection: sqlcipher3.Connection) -> None:
        self._connection: Final = connection

    def exec_driver_sql(self, statement: str, parameters: tuple[Any, ...] = (), /) -> Iterable[Any]:
        rows: Iterable[Any] = self._connection.execute(statement, parameters)
        return rows
