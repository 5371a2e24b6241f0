"""Families of rows: those alike in everything the ledger is filtered by (client, account, model, status, outcome, error).

There are some hundred families however many rows there are, so a filter is a set of families, and the newest rows of each lie side by
side in `family_rows`. One index serves every combination of filters, at about 30 bytes a row.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from app.core.records import Exchange
from app.store.statements import Insert

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

COLUMNS: Final = ("client", "account", "model", "status", "outcome", "error")
_MOST_REMEMBERED: Final = 20_000
_PLACES: Final = ", ".join("?" * len(COLUMNS))
_ADD: Final = f"INSERT INTO families ({', '.join(COLUMNS)}) VALUES ({_PLACES}) ON CONFLICT DO NOTHING"  # noqa: S608 - our words alone
_NUMBER: Final = f"SELECT id FROM families WHERE {' AND '.join(f'{name} = ?' for name in COLUMNS)}"  # noqa: S608 - our words alone
_ADD_ROWS: Final = Insert("family_rows", ("family", "exchange"))
_NEWEST: Final = """
SELECT value, (SELECT max(exchange) FROM family_rows WHERE family = value AND exchange >= ? AND exchange < ?) AS newest
FROM json_each(?) WHERE newest IS NOT NULL ORDER BY newest DESC LIMIT ?"""
_OLDEST: Final = """
SELECT value, (SELECT min(exchange) FROM family_rows WHERE family = value AND exchange >= ? AND exchange < ?) AS oldest
FROM json_each(?) WHERE oldest IS NOT NULL ORDER BY oldest LIMIT ?"""
_DOWN: Final = "SELECT exchange FROM family_rows WHERE family = ? AND exchange >= ? AND exchange < ? ORDER BY exchange DESC LIMIT ?"
_UP: Final = "SELECT exchange FROM family_rows WHERE family = ? AND exchange >= ? AND exchange < ? ORDER BY exchange LIMIT ?"

_ALL_FAMILIES: Final = f"INSERT INTO families ({', '.join(COLUMNS)}) SELECT DISTINCT {', '.join(COLUMNS)} FROM exchanges"  # noqa: S608 - our words alone
_ALL_ROWS: Final = f"INSERT INTO family_rows SELECT f.id, e.id FROM exchanges e JOIN families f USING ({', '.join(COLUMNS)}) ORDER BY 1, 2"  # noqa: S608 - our words alone


def add(connection: Connection, identifiers: Sequence[bytes], rows: Iterable[Exchange], numbers: Mapping[str, int]) -> None:
    """Put rows that are being recorded into their families. `numbers`: the words' numbers."""
    known: dict[tuple[int, ...], int] = connection.info.setdefault("families", {})
    if len(known) > _MOST_REMEMBERED:
        known.clear()
    placed = []
    for identifier, row in zip(identifiers, rows, strict=True):
        key = (numbers[row.client], numbers[row.account], numbers[row.model], row.status, numbers[row.outcome], numbers[row.error])
        family = known.get(key)
        if family is None:
            connection.exec_driver_sql(_ADD, key)
            family = known[key] = int(connection.exec_driver_sql(_NUMBER, key).scalar_one())
        placed.append((family, identifier))
    _ADD_ROWS.run(connection, placed)


def matching(connection: Connection, condition: str, values: Sequence[int], most: int) -> list[int]:
    """At most that many of the families for which a condition on `COLUMNS` holds. condition: our own words alone."""
    found = connection.exec_driver_sql(f"SELECT id FROM families WHERE {condition} LIMIT ?", (*values, most))  # noqa: S608 - see above
    return [row[0] for row in found]


def between(connection: Connection, condition: str, values: Sequence[int], low: bytes, high: bytes) -> list[int]:
    """Those of `matching` that have a row with low <= id < high."""
    query = f"""SELECT id FROM families WHERE {condition}
        AND EXISTS (SELECT 1 FROM family_rows WHERE family = families.id AND exchange >= ? AND exchange < ?)"""  # noqa: S608 - see above
    return [row[0] for row in connection.exec_driver_sql(query, (*values, low, high))]


def newest(connection: Connection, families: Sequence[int], low: bytes, high: bytes, limit: int) -> list[bytes]:
    """The ids of the last `limit` rows of these families with low <= id < high, the newest first."""
    best: list[bytes] = []  # a heap, the oldest on top
    for family, last in connection.exec_driver_sql(_NEWEST, (low, high, _json(families), limit)).all():
        if len(best) == limit and last <= best[0]:
            break
        floor = best[0] if len(best) == limit else low
        for (identifier,) in connection.exec_driver_sql(_DOWN, (family, floor, high, limit)).all():
            if len(best) < limit:
                heapq.heappush(best, identifier)
            elif identifier > best[0]:
                heapq.heapreplace(best, identifier)
    return sorted(best, reverse=True)


def oldest(connection: Connection, families: Sequence[int], low: bytes, high: bytes, limit: int) -> list[bytes]:
    """The ids of the first `limit` rows of these families with low <= id < high, the newest of them first."""
    found: set[bytes] = set()
    ceiling = high
    for family, first in connection.exec_driver_sql(_OLDEST, (low, high, _json(families), limit)).all():
        if first >= ceiling:
            break
        found.update(row[0] for row in connection.exec_driver_sql(_UP, (family, low, ceiling, limit)))
        if len(found) >= limit:
            kept = heapq.nsmallest(limit, found)
            found, ceiling = set(kept), kept[-1]
    return sorted(heapq.nsmallest(limit, found), reverse=True)


def remove(connection: Connection, keys: Iterable[tuple[Any, ...]], first: bytes, last: bytes) -> None:
    """Take every row from `first` to `last` out of its family. keys: the values of `COLUMNS` that occur among them."""
    for key in keys:
        family = connection.exec_driver_sql(_NUMBER, key).scalar_one()
        connection.exec_driver_sql("DELETE FROM family_rows WHERE family = ? AND exchange BETWEEN ? AND ?", (family, first, last))


def count(connection: Connection) -> None:
    """Put every row into its family anew. Needs a writing transaction; some seconds for a million rows."""
    connection.info.pop("families", None)
    for statement in ("DELETE FROM family_rows", "DELETE FROM families", _ALL_FAMILIES, _ALL_ROWS):
        connection.exec_driver_sql(statement)


def _json(numbers: Sequence[int]) -> str:
    return msgspec.json.encode(numbers).decode()
