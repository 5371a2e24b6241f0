"""Finding rows of the ledger: a page at a time, newest first, by any combination of filters, at any size.

A filter by client, provider, model or status is a set of `families`, whose newest rows lie side by side. Text is searched in the errors
of failed rows alone, `SEARCHED` of them at a time, so a rare text may give a short page with a place to go on from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, get_args

import msgspec

from app.core.errors import AppError
from app.core.ids import call_id_bytes, call_id_of
from app.core.records import Exchange, Outcome
from app.store import exchanges, families, ledger, words

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

SEARCHED: Final = 100_000
# More families than this happen only when somebody sends names at random; their rows are then read one by one, so many at a time.
MOST_FAMILIES: Final = 5_000
READ: Final = 50_000
_OUTCOMES: Final = get_args(Outcome)
_LOWEST: Final = bytes(16)
_HIGHEST: Final = b"\xff" * 17  # above every id, which have 16 bytes
_ID_LETTERS: Final = 26
_FAILED: Final = """
SELECT id FROM (
    SELECT id, message, error, client, account, model, status, outcome FROM exchanges INDEXED BY failures
    WHERE message <> '' AND id >= ? AND id < ? ORDER BY id {order} LIMIT ?
) WHERE {said} AND {kept} LIMIT ?"""
_SAID: Final = "(instr(lower(message), ?) OR error IN (SELECT value FROM json_each(?)))"
_NTH_FAILED: Final = """
SELECT id FROM exchanges INDEXED BY failures WHERE message <> '' AND id >= ? AND id < ? ORDER BY id {order} LIMIT 1 OFFSET ?"""

Columns = tuple[str, list[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Empty fields let everything through; of several names one must hold.

    since_us, until_us: from, to before. statuses: a status (`429`), a hundred of them (`4xx`) or an outcome (`cancelled`). outcomes:
    outcomes alone. text: in the errors of failed rows, or their code. id: a call id, or how one begins.
    """

    since_us: int | None = None
    until_us: int | None = None
    clients: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    text: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """rows: newest first. next: go on from here (as `before`, or as `after` when that was asked); None at the end."""

    rows: list[Exchange]
    next: str | None


def find(connection: Connection, wanted: Filter, limit: int, before: str | None = None, after: str | None = None) -> Found:
    """The `limit` newest rows opened before the row `before`; or with `after`, the `limit` oldest ones opened after that row.

    AppError body_invalid when a filter is not understood.
    """
    low, high = bounds(wanted, before, after)
    up = after is not None
    columns = kept(connection, wanted)
    family = None if columns is None else families.matching(connection, *columns, MOST_FAMILIES + 1)
    if low >= high or family == []:
        return Found(rows=[], next=None)
    if wanted.text:
        return _by_text(connection, wanted.text, columns, low, high, limit, up=up)
    if columns is None or family is None:
        ids = [row[0] for row in connection.exec_driver_sql(_plain(up=up), (low, high, limit))]
        ids.sort(reverse=True)
    elif len(family) > MOST_FAMILIES:
        return _one_by_one(connection, columns, low, high, limit, up=up)
    else:
        ids = (families.oldest if up else families.newest)(connection, family, low, high, limit)
    return Found(rows=ledger.several(connection, ids), next=_next(ids, limit, up=up))


def names(connection: Connection) -> tuple[list[str], list[str], list[str]]:
    """The clients, providers and models that there are rows of, to choose from."""
    columns = []
    for name in ("client", "account", "model"):
        query = f"SELECT DISTINCT text FROM families JOIN words ON words.id = {name} WHERE text <> '' ORDER BY text LIMIT 1000"  # noqa: S608 - our words alone
        columns.append([row[0] for row in connection.exec_driver_sql(query)])
    return columns[0], columns[1], columns[2]


def bounds(wanted: Filter, before: str | None, after: str | None) -> tuple[bytes, bytes]:
    """The ids that may be shown: from, to before."""
    low, high = _LOWEST, _HIGHEST
    if wanted.since_us is not None:
        low = max(low, at(wanted.since_us))
    if wanted.until_us is not None:
        high = min(high, at(wanted.until_us + 999))
    if wanted.id:
        first, last = _beginning(wanted.id)
        low, high = max(low, first), min(high, last + b"\0")
    if before is not None:
        high = min(high, ledger.key(before))
    if after is not None:
        low = max(low, ledger.key(after) + b"\0")
    return low, high


def at(at_us: int) -> bytes:
    """The smallest id of a row opened at that time or later. Ids count milliseconds, so a bound within one is taken outwards."""
    return (min(max(at_us, 0), exchanges.LATEST_US) // 1000 << 80).to_bytes(16)


def _beginning(text: str) -> tuple[bytes, bytes]:
    letters = text.strip().removeprefix("req_").upper()
    try:
        if len(letters) > _ID_LETTERS:
            raise ValueError
        padding = _ID_LETTERS - len(letters)
        highest = "Z" * padding if letters else "7" + "Z" * (padding - 1)
        return call_id_bytes("req_" + letters + "0" * padding), call_id_bytes("req_" + letters + highest)
    except ValueError as error:
        raise AppError("body_invalid", "That is not how the id of a request begins.", "Ids look like req_01J...", param="id") from error


def kept(connection: Connection, wanted: Filter) -> Columns | None:
    """What the columns of `families.COLUMNS` must be, and the values of it; None when anything will do."""
    conditions, values = [], list[int]()
    for name, texts in (
        ("client", wanted.clients),
        ("account", wanted.providers),
        ("model", wanted.models),
        ("outcome", wanted.outcomes),
    ):
        if texts:
            numbers = words.known(connection, texts)
            conditions.append(f"{name} IN ({', '.join('?' * len(numbers))})")
            values += numbers
    if wanted.statuses:
        conditions.append(_statuses(connection, wanted.statuses))
    return (" AND ".join(conditions), values) if conditions else None


def in_errors(connection: Connection, text: str) -> tuple[str, tuple[str, str]]:
    """A condition on rows that have a message: it or the code of the error contains the text; and its values."""
    lowered = _lower(text)
    return _SAID, (lowered, msgspec.json.encode(words.containing(connection, lowered)).decode())


def _statuses(connection: Connection, statuses: Sequence[str]) -> str:
    """A condition on families. Only numbers get into it."""
    conditions = []
    for text in statuses:
        if text in _OUTCOMES:
            numbers = words.known(connection, (text,))
            conditions.append(f"outcome = {numbers[0]:d}" if numbers else "0")
        elif len(text) == 3 and text.isascii() and text.isdecimal():
            conditions.append(f"status = {int(text):d}")
        elif len(text) == 3 and text[0] in "12345" and text[1:] == "xx":
            conditions.append(f"status BETWEEN {int(text[0]):d}00 AND {int(text[0]):d}99")
        else:
            raise AppError("body_invalid", f"A status is a number, 4xx, or one of {', '.join(_OUTCOMES)}.", param="status")
    return f"({' OR '.join(conditions)})"


def _by_text(connection: Connection, text: str, columns: Columns | None, low: bytes, high: bytes, limit: int, *, up: bool) -> Found:
    order = "ASC" if up else "DESC"
    said, texts = in_errors(connection, text)
    condition, values = ("1", []) if columns is None else columns
    query = _FAILED.format(order=order, said=said, kept=condition)
    found = connection.exec_driver_sql(query, (low, high, SEARCHED, *texts, *values, limit)).all()
    ids = sorted((row[0] for row in found), reverse=not up)
    if len(ids) == limit:
        return Found(rows=ledger.several(connection, ids), next=call_id_of(ids[-1]))
    last = connection.exec_driver_sql(_NTH_FAILED.format(order=order), (low, high, SEARCHED - 1)).scalar()
    return Found(rows=ledger.several(connection, ids), next=None if last is None else call_id_of(last))


def _one_by_one(connection: Connection, columns: Columns, low: bytes, high: bytes, limit: int, *, up: bool) -> Found:
    """The slow way: read `READ` rows and keep those that fit."""
    read = [row[0] for row in connection.exec_driver_sql(_plain(up=up), (low, high, READ))]
    ids = _those(connection, read, columns, up=up)
    if len(ids) >= limit:
        ids = ids[:limit]
        return Found(rows=ledger.several(connection, ids), next=call_id_of(ids[-1]))
    return Found(rows=ledger.several(connection, ids), next=call_id_of(read[-1]) if len(read) == READ else None)


def _those(connection: Connection, ids: Sequence[bytes], columns: Columns, *, up: bool) -> list[bytes]:
    """Of these rows the ones whose columns fit, in the order of asking."""
    condition, values = columns
    query = f"SELECT id FROM exchanges WHERE id IN (SELECT unhex(value) FROM json_each(?)) AND {condition}"  # noqa: S608 - our words; values are bound
    as_hex = msgspec.json.encode([identifier.hex() for identifier in ids]).decode()
    return sorted((row[0] for row in connection.exec_driver_sql(query, (as_hex, *values))), reverse=not up)


def _plain(*, up: bool) -> str:
    return f"SELECT id FROM exchanges WHERE id >= ? AND id < ? ORDER BY id {'ASC' if up else 'DESC'} LIMIT ?"  # noqa: S608 - our words alone


def _next(ids: Sequence[bytes], limit: int, *, up: bool) -> str | None:
    """ids: the newest first."""
    return call_id_of(ids[0] if up else ids[-1]) if len(ids) == limit else None


def _lower(text: str) -> str:
    """As SQLite lowers: the letters A to Z alone. What cannot be stored cannot be found either."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in text).encode(errors="replace").decode()
