"""The tables that queries are composed over, by name. `migrations` makes all tables; a test holds the two against each other.

Texts that repeat are integers into `words`. Times are microseconds since 1970 UTC; `quarter` numbers the quarters of an hour since then.
Statements that never vary are plain SQL beside the function that runs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Column, Integer, LargeBinary, MetaData, Table

_meta: Final = MetaData()


def insert_into(table: str, columns: Sequence[str]) -> str:
    """The statement that inserts one row. Names are ours alone; values are always bound."""
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608


def select_from(table: str, columns: Sequence[str]) -> str:
    """The statement that reads these columns, to be ended by the caller."""
    return f"SELECT {', '.join(columns)} FROM {table}"  # noqa: S608


audit: Final = Table("audit", _meta, Column("seq", Integer, primary_key=True), Column("body", LargeBinary), Column("hash", LargeBinary))

ROLLUP_KEY: Final = ("quarter", "client", "account", "kind", "model")
ROLLUP_SUMS: Final = (
    "requests", "failed", "local", "input", "cached", "cache_write", "output", "reasoning", "cost_microusd", "unpriced", "estimated",
)  # fmt: skip
rollups: Final = Table("rollups", _meta, *(Column(name, Integer) for name in (*ROLLUP_KEY, *ROLLUP_SUMS)))
