"""Statements made of column names, and the columns that more than one module names. `migrations` makes the tables.

Texts that repeat are integers into `words`. Times are microseconds since 1970 UTC; `quarter` numbers the quarters of an hour since then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

ROLLUP_KEY: Final = ("quarter", "client", "account", "kind", "model")
ROLLUP_SUMS: Final = (
    "requests", "failed", "local", "input", "cached", "cache_write", "output", "reasoning", "cost_microusd", "unpriced", "estimated",
)  # fmt: skip


def insert_into(table: str, columns: Sequence[str]) -> str:
    """The statement that inserts one row. Names are ours alone; values are always bound."""
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608


def select_from(table: str, columns: Sequence[str]) -> str:
    """The statement that reads these columns, to be ended by the caller."""
    return f"SELECT {', '.join(columns)} FROM {table}"  # noqa: S608
