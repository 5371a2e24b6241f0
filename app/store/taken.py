"""The sums of rows that went with retention, in the shape of `rollups`: what is there and what was taken together are the rollups.

Kept in the transaction that removes the rows. The digest, form 1: SHA-256 over one line per sum that is not all zero, each a JSON array of
the quarter, the texts of client, account, kind and model, and the sums in the order of `tables.ROLLUP_SUMS` (no blanks, UTF-8) and a line
feed, in the order of the lines' first five fields.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from app.store import days, words
from app.store.rollups import FAILED
from app.store.tables import ROLLUP_KEY, ROLLUP_SUMS, insert_into, select_from

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_FORM: Final = "1:"
NOTHING: Final = _FORM + hashlib.sha256().hexdigest()  # the digest where nothing was taken
_LATER: Final = "LEFT JOIN repriced l ON l.exchange = e.id AND l.run = (SELECT max(run) FROM repriced WHERE exchange = e.id)"
_NAMES: Final = ", ".join(f"'{outcome}'" for outcome in sorted(FAILED))
_KEY: Final = ", ".join(ROLLUP_KEY)
_ALL: Final = select_from("taken", ROLLUP_KEY + ROLLUP_SUMS)
_PLACES: Final = ", ".join(str(place + 1) for place in range(len(ROLLUP_KEY)))
_line: Final = msgspec.json.Encoder().encode


def _sums(where: str, *, repriced: bool, sign: str = "") -> str:
    """The statement of the sums of rows by `tables.ROLLUP_KEY`, as `rollups.add` and `repricing` count them. where: of rows `e`."""
    cost, price, join = ("e.cost_microusd", "e.price", "")
    if repriced:
        cost = "CASE WHEN l.exchange IS NULL THEN e.cost_microusd ELSE l.cost_microusd END"
        price = "CASE WHEN l.exchange IS NULL THEN e.price ELSE l.price END"
        join = _LATER
    failed = f"e.outcome IN (SELECT id FROM words WHERE text IN ({_NAMES}))"  # noqa: S608 - our words alone
    of = {name: f"ifnull(e.{name}, 0)" for name in ROLLUP_SUMS} | {
        "requests": "1",
        "failed": failed,
        "local": f"{price} IN (SELECT id FROM words WHERE text = 'local')",  # noqa: S608 - our words alone
        "cost_microusd": f"ifnull({cost}, 0)",
        "unpriced": f"{cost} IS NULL AND e.model NOT IN (SELECT id FROM words WHERE text = '') AND NOT {failed}",  # noqa: S608 - likewise
    }
    sums = ", ".join(f"{sign}sum({of[name]}) AS {name}" for name in ROLLUP_SUMS)
    return (
        f"SELECT e.opened_us / {days.QUARTER_US} AS quarter, e.client, e.account, e.kind, e.model, {sums} "  # noqa: S608 - our words alone
        f"FROM exchanges e {join} WHERE {where} GROUP BY {_PLACES}"
    )


def rows_sums(connection: Connection, where: str = "true", *, sign: str = "") -> str:
    """The statement of the sums of the rows `e` for which `where` (our own words, with places for values) holds, newest costs counted."""
    later = connection.exec_driver_sql("SELECT 1 FROM repriced LIMIT 1").first() is not None
    return _sums(where, repriced=later, sign=sign)


def take(connection: Connection, first: bytes, last: bytes) -> None:
    """Keep the sums of the rows from `first` to `last`, which are about to be removed. Needs a writing transaction."""
    into = f"INSERT INTO taken ({_KEY}, {', '.join(ROLLUP_SUMS)})"
    added = ", ".join(f"{name} = {name} + excluded.{name}" for name in ROLLUP_SUMS)
    found = rows_sums(connection, "e.id BETWEEN ? AND ?")
    connection.exec_driver_sql(f"{into} SELECT * FROM ({found}) WHERE true ON CONFLICT DO UPDATE SET {added}", (first, last))  # noqa: S608 - our words


def digest(connection: Connection, upto: int = 0, cut: bytes = b"") -> str:
    """The digest of what was taken, or of what it will be when the rows of batches up to `upto` with an id below `cut` went, too."""
    sums = {tuple(row[:5]): list(row[5:]) for row in connection.exec_driver_sql(_ALL)}
    if cut:
        for row in connection.exec_driver_sql(rows_sums(connection, "e.id < ? AND e.batch <= ?"), (cut, upto)):
            total = sums.get(tuple(row[:5]))
            sums[tuple(row[:5])] = list(row[5:]) if total is None else [a + b for a, b in zip(total, row[5:], strict=True)]
    texts = words.texts(connection, {number for key in sums for number in key[1:]})
    lines = sorted((key[0], *(texts[number] for number in key[1:]), *total) for key, total in sums.items() if any(total))
    said = hashlib.sha256()
    for line in lines:
        said.update(_line(line) + b"\n")
    return _FORM + said.hexdigest()


def count(connection: Connection) -> None:
    """Take what the rollups say beyond the rows that are there for what was taken: a person goes on from the database as it is.
    Needs a writing transaction; some seconds for a million rows."""
    connection.exec_driver_sql("DELETE FROM taken")
    rest: list[tuple[Any, ...]] = []
    found = difference(rows_sums(connection, sign="-"), select_from("rollups", ROLLUP_KEY + ROLLUP_SUMS))
    rest += [tuple(row) for row in connection.exec_driver_sql(found)]
    if rest:
        connection.exec_driver_sql(insert_into("taken", ROLLUP_KEY + ROLLUP_SUMS), rest)


def difference(*statements: str, keys: tuple[str, ...] = ROLLUP_KEY) -> str:
    """The statement of what these statements, of keys and then `tables.ROLLUP_SUMS`, come to together where that is not zero."""
    sums = [f"sum({name})" for name in ROLLUP_SUMS]
    some = " UNION ALL ".join(f"SELECT * FROM ({statement})" for statement in statements)  # noqa: S608 - our words
    return f"SELECT {', '.join([*keys, *sums])} FROM ({some}) GROUP BY {', '.join(keys)} HAVING {' OR '.join(sums)}"  # noqa: S608 - our words
