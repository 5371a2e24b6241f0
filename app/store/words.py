"""Texts that repeat, kept once: names of clients, accounts, models, hosts, codes. Rows hold their numbers.

A word is never changed and never removed while a row may name it, so a row keeps the name of a client or account that is gone.
Each connection remembers what it has looked up; a transaction that was undone makes it forget, because its numbers may be given
to other words.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_MOST_REMEMBERED: Final = 20_000
_ADD: Final = "INSERT INTO words (text) VALUES (?) ON CONFLICT DO NOTHING"
_NUMBERS: Final = "SELECT text, id FROM words WHERE text IN (SELECT value FROM json_each(?))"
_TEXTS: Final = "SELECT id, text FROM words WHERE id IN (SELECT value FROM json_each(?))"

K = TypeVar("K")
V = TypeVar("V")


def numbers(connection: Connection, texts: Iterable[str]) -> dict[str, int]:
    """The number of each text, made where there is none yet: needs a writing transaction. Holds at least the asked ones."""
    known: dict[str, int] = connection.info.setdefault("word_numbers", {})
    missing = list({text for text in texts if text not in known})
    if not missing:
        return known
    connection.exec_driver_sql(_ADD, [(text,) for text in missing])
    found: dict[str, int] = dict(connection.exec_driver_sql(_NUMBERS, (_json(missing),)).all())
    return _remembered(known, found)


def texts(connection: Connection, wanted: Iterable[int]) -> dict[int, str]:
    """The text of each number. Holds at least the asked ones; a number without a word (a damaged table) reads "?",
    and 0, which no word has, "": it stands in columns that came later."""
    known: dict[int, str] = connection.info.setdefault("word_texts", {})
    known[0] = ""
    missing = [number for number in set(wanted) if number not in known]
    if not missing:
        return known
    found: dict[int, str] = dict(connection.exec_driver_sql(_TEXTS, (_json(missing),)).all())
    return dict.fromkeys(missing, "?") | _remembered(known, found)


def known(connection: Connection, wanted: Iterable[str]) -> list[int]:
    """The numbers of those texts that have one. Needs no writing transaction."""
    storable = [text for text in wanted if not any("\ud800" <= letter <= "\udfff" for letter in text)]
    return [row[1] for row in connection.exec_driver_sql(_NUMBERS, (_json(storable),))]


def containing(connection: Connection, part: str) -> list[int]:
    """The numbers of the texts that contain `part`, given in small letters, whatever the case of A to Z there. Reads all texts."""
    return [row[0] for row in connection.exec_driver_sql("SELECT id FROM words WHERE instr(lower(text), ?)", (part,))]


def forget(connection: Connection) -> None:
    """Drop what the connection remembers: its transaction was undone."""
    if not connection.closed and not connection.invalidated:
        connection.info.clear()


def _remembered(known: dict[K, V], found: dict[K, V]) -> dict[K, V]:
    if len(known) + len(found) > _MOST_REMEMBERED:
        together = known | found
        known.clear()
        return together
    known.update(found)
    return known


def _json(values: list[Any]) -> str:
    return msgspec.json.encode(values).decode()
