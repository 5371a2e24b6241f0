"""What a person chose, by name. Values are text; whoever owns a setting knows its form and its default."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.store.statements import Statements

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


def get(connection: Connection, name: str, default: str) -> str:
    value = connection.exec_driver_sql("SELECT value FROM settings WHERE name = ?", (name,)).scalar()
    return default if value is None else str(value)


def put(connection: Connection, name: str, value: str) -> None:
    connection.exec_driver_sql(
        "INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (name, value)
    )


def all(connection: Statements) -> dict[str, str]:  # noqa: A001  (read as `settings.all`)
    return {str(name): str(value) for name, value in connection.exec_driver_sql("SELECT name, value FROM settings")}


def remove(connection: Connection, name: str) -> None:
    connection.exec_driver_sql("DELETE FROM settings WHERE name = ?", (name,))
