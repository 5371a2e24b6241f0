"""Prices a person set for a model of an account, or for all of an account's: contracts, and what the price file does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.core.records import OwnPrice
from app.store.tables import insert_into, select_from

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from app.store.statements import Statements

_FIELDS: Final = ("account", "model", "input", "output", "cached", "cache_write", "set_us")
_PUT: Final = insert_into("own_prices", _FIELDS).replace("INSERT", "INSERT OR REPLACE", 1)


def known(connection: Statements) -> list[OwnPrice]:
    """In the order of account and model."""
    found = connection.exec_driver_sql(select_from("own_prices", _FIELDS) + " ORDER BY account, model")
    return [OwnPrice(**dict(zip(_FIELDS, row, strict=True))) for row in found]


def put(connection: Connection, price: OwnPrice) -> None:
    connection.exec_driver_sql(_PUT, tuple(getattr(price, name) for name in _FIELDS))


def remove(connection: Connection, account: str, model: str) -> None:
    connection.exec_driver_sql("DELETE FROM own_prices WHERE account = ? AND model = ?", (account, model))
