"""Answers of the Responses API that a client may ask for again, continue from, or delete.

An answer belongs to the client that made it. One that a provider keeps itself is only a line that says where it is (`kept_by`); one that
was translated is kept here, with what was asked, and only for clients for which the person allowed that. The file is encrypted like all
the rest. Answers go after `KEPT_DAYS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

KEPT_DAYS: Final = 30
_DAY_US: Final = 86_400_000_000
_STEP: Final = 200


_PUT: Final = "INSERT OR REPLACE INTO responses (id, client, created_us, account, input, body) VALUES (?, ?, ?, ?, ?, ?)"
_GET: Final = "SELECT id, client, created_us, account, input, body FROM responses WHERE id = ? AND client = ?"
_OLDER: Final = "SELECT 1 FROM responses WHERE created_us < ? LIMIT 1"
_OLD: Final = "DELETE FROM responses WHERE id IN (SELECT id FROM responses WHERE created_us < ? ORDER BY created_us LIMIT ?)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """input and body are empty where the provider keeps the answer."""

    id: str
    client: str
    created_us: int
    account: str
    input: bytes = b""
    body: bytes = b""

    @property
    def elsewhere(self) -> bool:
        return not self.body


def put(connection: Connection, stored: Stored) -> None:
    """Keep one answer, and let go of some that are too old."""
    values = (stored.id, stored.client, stored.created_us, stored.account, stored.input, stored.body)
    connection.exec_driver_sql(_PUT, values)
    connection.exec_driver_sql(_OLD, (stored.created_us - KEPT_DAYS * _DAY_US, _STEP))


def let_go(connection: Connection, now_us: int) -> bool:
    """Let go of some that are too old; whether there are more of them."""
    cut = now_us - KEPT_DAYS * _DAY_US
    connection.exec_driver_sql(_OLD, (cut, _STEP))
    return connection.exec_driver_sql(_OLDER, (cut,)).first() is not None


def get(connection: Connection, identifier: str, client: str) -> Stored | None:
    """The answer, if this client made it."""
    row = connection.exec_driver_sql(_GET, (identifier, client)).first()
    if row is None:
        return None
    return Stored(id=row[0], client=row[1], created_us=row[2], account=row[3], input=bytes(row[4]), body=bytes(row[5]))


def remove(connection: Connection, identifier: str, client: str) -> bool:
    """Whether there was such an answer of this client."""
    return bool(connection.exec_driver_sql("DELETE FROM responses WHERE id = ? AND client = ?", (identifier, client)).rowcount)


def forget(connection: Connection, client: str) -> int:
    """Everything kept for a client: when it is removed, or the person no longer allows it. Returns how many."""
    return int(connection.exec_driver_sql("DELETE FROM responses WHERE client = ?", (client,)).rowcount)
