"""Client programs and the digests of their keys. The keys themselves are nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from app.core.errors import AppError
from app.core.records import Client, Identifiers
from app.store import responses
from app.store.statements import Statements

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_ALL: Final = """
SELECT name, digest, prefix, last4, created_us, blocked, last_seen_us, keeps_content, identifiers, id
FROM clients ORDER BY created_us, name"""
_ADD: Final = """
INSERT INTO clients (name, digest, prefix, last4, created_us, blocked, last_seen_us, id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING"""


def all(connection: Statements) -> list[tuple[Client, bytes]]:  # noqa: A001  (read as `clients.all`)
    """Every client with the digest of its key, oldest first."""
    return [
        (
            Client(
                name=name,
                prefix=prefix,
                last4=last4,
                created_us=created_us,
                blocked=bool(blocked),
                last_seen_us=last_seen_us,
                keeps_content=bool(keeps_content),
                identifiers=identifiers,
                id=identifier,
            ),
            digest,
        )
        for (
            name, digest, prefix, last4, created_us, blocked, last_seen_us, keeps_content, identifiers, identifier,
        ) in connection.exec_driver_sql(_ALL)
    ]  # fmt: skip


def add(connection: Connection, client: Client, digest: bytes) -> None:
    """Write a new client. AppError name_taken."""
    values = (
        client.name,
        digest,
        client.prefix,
        client.last4,
        client.created_us,
        client.blocked,
        client.last_seen_us,
        client.id,
    )
    if not connection.exec_driver_sql(_ADD, values).rowcount:
        raise AppError("name_taken", f"There is a client called {client.name} already.", "Choose another name.")


def set_blocked(connection: Connection, name: str, blocked: bool) -> None:
    """AppError unknown_name."""
    _found(connection.exec_driver_sql("UPDATE clients SET blocked = ? WHERE name = ?", (blocked, name)).rowcount, name)


def set_keeps_content(connection: Connection, name: str, keeps: bool, *, forget: bool = True) -> None:
    """Whether answers may be kept for it; those that were go with the permission, if `forget`. AppError unknown_name."""
    _found(connection.exec_driver_sql("UPDATE clients SET keeps_content = ? WHERE name = ?", (keeps, name)).rowcount, name)
    if not keeps and forget:
        responses.forget(connection, name)


def set_identifiers(connection: Connection, name: str, choice: Identifiers) -> None:
    """What becomes of identifiers in its requests. AppError unknown_name."""
    _found(connection.exec_driver_sql("UPDATE clients SET identifiers = ? WHERE name = ?", (choice, name)).rowcount, name)


def remove(connection: Connection, name: str) -> None:
    """Forget the client; its key opens nothing any more and its ledger rows keep its name. AppError unknown_name."""
    _found(connection.exec_driver_sql("DELETE FROM clients WHERE name = ?", (name,)).rowcount, name)
    responses.forget(connection, name)


def touch(connection: Connection, seen: Mapping[str, int]) -> None:
    """Note when clients were last seen (`name -> us`). A client that is gone by now is left out."""
    if seen:
        connection.exec_driver_sql("UPDATE clients SET last_seen_us = ? WHERE name = ?", [(at, name) for name, at in seen.items()])


def _found(count: int, name: str) -> None:
    if not count:
        raise AppError("unknown_name", f"There is no client called {name}.")
