"""The rows of the ledger as a file for somebody else: CSV and JSON lines, the oldest first, some thousand at a time.

SQLite puts the numbers of a line together and texts that repeat are written once for all rows that share them, because a million rows
through objects of Python take ten times as long. In CSV a text that a spreadsheet would run as a formula gets an apostrophe before it.
Costs are those worked out last.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from app.core.ids import call_id_of
from app.store import exchanges, search, words
from app.store.search import Filter

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

Form = Literal["csv", "jsonl"]
FORMS: Final[tuple[Form, ...]] = ("csv", "jsonl")
ROWS: Final = 10_000
_FORMULAS: Final = tuple("=+-@\t\r\n")
_TEXTS: Final = ("message", "dropped")
_NUMBERS_AT: Final = 1 + len(exchanges.NAMES) + len(_TEXTS)
_FLAGS: Final = ("stream", "estimated")
_NUMBERS: Final = (
    "stream", "opened_us", "closed_us", "duration_us", "first_byte_us", "status", "attempts", "cost_microusd", "connection", "bytes_out",
    "bytes_in", "removed_headers", "input", "cached", "cache_write", "output", "reasoning", "estimated",
)  # fmt: skip
# `opened`: UTC, for a person.
COLUMNS: Final = ("id", *exchanges.NAMES, *_TEXTS, "opened", *_NUMBERS)
_OPENED: Final = "strftime('%Y-%m-%dT%H:%M:%SZ', opened_us / 1000000, 'unixepoch')"
_LATER: Final = """
LEFT JOIN (SELECT exchange, cost_microusd AS later_cost, price AS later_price, max(run) FROM repriced
    WHERE exchange >= ?1 AND exchange < ?2 GROUP BY exchange) ON exchange = id"""


def head(form: Form) -> bytes:
    return ",".join(COLUMNS).encode() + b"\r\n" if form == "csv" else b""


def part(connection: Connection, form: Form, wanted: Filter, after: str | None) -> tuple[bytes, int, str | None]:
    """The next lines, after the row `after`; how many; and where to go on, None at the end. AppError body_invalid."""
    low, high = search.bounds(wanted, None, after)
    if low >= high:
        return b"", 0, None
    kept = search.kept(connection, wanted)
    condition, values = ("1", list[object]()) if kept is None else (kept[0], list[object](kept[1]))
    if wanted.text:
        said, searched = search.in_errors(connection, wanted.text)
        condition, values = f"{condition} AND message <> '' AND {said}", [*values, *searched]
    later = connection.exec_driver_sql("SELECT 1 FROM repriced LIMIT 1").first() is not None
    cursor = connection.connection.cursor()
    try:
        cursor.execute(_statement(form, condition, later=later), (low, high, ROWS, *values))
        found = cursor.fetchall()
    finally:
        cursor.close()
    keys = {row[1:_NUMBERS_AT] for row in found}
    texts = words.texts(connection, {number for key in keys for number in key[: len(exchanges.NAMES)]})
    write = _csv if form == "csv" else _json
    middles = {key: write(key, texts) for key in keys}
    lines = [f"{call_id_of(row[0])}{middles[row[1:_NUMBERS_AT]]}{row[_NUMBERS_AT]}" for row in found]
    between, end, start = ("\r\n", "\r\n", "") if form == "csv" else ('\n{"id":"', "\n", '{"id":"')
    body = (start + between.join(lines) + end).encode() if lines else b""
    return body, len(lines), call_id_of(found[-1][0]) if len(found) == ROWS else None


def _statement(form: Form, condition: str, *, later: bool) -> str:
    cost, price = ("cost_microusd", "price")
    if later:
        cost, price = ("iif(exchange IS NULL, cost_microusd, later_cost)", "iif(exchange IS NULL, price, later_price)")
    source = {"cost_microusd": cost}
    if form == "csv":
        given = [_OPENED, *(source.get(name, name) for name in _NUMBERS)]
        numbers = f"format('{','.join(['%s'] * len(given))}', {', '.join(given)})"
    else:
        flags = {name: f"iif({name}, 'true', 'false')" for name in _FLAGS}
        given = [flags.get(name, f"ifnull({source.get(name, name)}, 'null')") for name in _NUMBERS]
        shape = ",".join(f'"{name}":%s' for name in _NUMBERS)
        numbers = f"""format('"opened":"%s",{shape}}}', {", ".join([_OPENED, *given])})"""
    columns = ", ".join(("id", *(price if name == "price" else name for name in exchanges.NAMES), *_TEXTS, numbers))
    joined = _LATER if later else ""
    return f"SELECT {columns} FROM exchanges {joined} WHERE id >= ?1 AND id < ?2 AND ?3 > 0 AND {condition} ORDER BY id LIMIT ?3"  # noqa: S608 - our words; values are bound


def _csv(key: Sequence[Any], texts: Mapping[int, str]) -> str:
    line = io.StringIO()
    cells = [*(texts[number] for number in key[: len(exchanges.NAMES)]), *key[len(exchanges.NAMES) :]]
    csv.writer(line, lineterminator="\r\n").writerow([_harmless(cell) for cell in cells])
    return f",{line.getvalue().removesuffix(chr(13) + chr(10))},"


def _harmless(text: str) -> str:
    """A spreadsheet takes such a beginning for a formula, also behind blanks; with an apostrophe it is a text."""
    return "'" + text if text.lstrip(" \u00a0\ufeff").startswith(_FORMULAS) else text


def _json(key: Sequence[Any], texts: Mapping[int, str]) -> str:
    encode: Callable[[object], bytes] = msgspec.json.encode
    cells = [*(texts[number] for number in key[: len(exchanges.NAMES)]), *key[len(exchanges.NAMES) :]]
    named = zip((*exchanges.NAMES, *_TEXTS), cells, strict=True)
    return '",' + ",".join(f'"{name}":{encode(cell).decode()}' for name, cell in named) + ","
