"""The audit log: a hash chain of canonical entries (`core.chain`), appended in the transaction of what they tell.

The body that is hashed is `{"actor", "at_us", "detail", "kind", "subject"}`. Nothing here updates or deletes an entry.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from app.core import chain
from app.core.errors import AppError
from app.core.events import Event
from app.core.records import AuditEntry
from app.store.statements import Statements

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_AT_ONCE: Final = 1_000
_LAST: Final = "SELECT seq, body, hash FROM audit WHERE kind = ? ORDER BY seq DESC LIMIT 1"
_HEAD: Final = "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1"


def append(connection: Connection, event: Event, actor: str, at_us: int) -> int:
    """Add one entry; returns its number."""
    return append_all(connection, [(event, actor, at_us)])


def append_all(connection: Connection, entries: Iterable[tuple[Event, str, int]]) -> int:
    """Add `(event, actor, at_us)` entries in order; returns the number of the newest entry.

    AppError internal when an entry cannot be written down exactly: then the transaction it belongs to must not commit either.
    """
    seq, head = newest_link(connection)
    rows = []
    for event, actor, at_us in entries:
        body = _body(event, actor, at_us)
        seq += 1
        head = chain.link(head, seq, body)
        rows.append((seq, body, head))
    if rows:
        connection.exec_driver_sql("INSERT INTO audit (seq, body, hash) VALUES (?, ?, ?)", rows)
    return seq


def newest(connection: Connection) -> int:
    """The number of the newest entry, 0 when there is none."""
    return newest_link(connection)[0]


def newest_link(connection: Connection) -> tuple[int, bytes]:
    """Number and hash of the newest entry: where the chain goes on."""
    row = connection.exec_driver_sql(_HEAD).first()
    return (0, chain.GENESIS) if row is None else (int(row[0]), bytes(row[1]))


def page(connection: Connection, limit: int, before: int | None = None) -> list[AuditEntry]:
    """At most `limit` entries, newest first; `before`: only entries with a smaller number."""
    if before is None:
        found = connection.exec_driver_sql("SELECT seq, body, hash FROM audit ORDER BY seq DESC LIMIT ?", (limit,))
    else:
        found = connection.exec_driver_sql("SELECT seq, body, hash FROM audit WHERE seq < ? ORDER BY seq DESC LIMIT ?", (before, limit))
    return [_entry(*row) for row in found]


def last(connection: Statements, kinds: Sequence[str]) -> AuditEntry | None:
    """The newest entry of one of `kinds`; None when there is none. Cheap however long the log is."""
    found = [row for kind in kinds for row in connection.exec_driver_sql(_LAST, (kind,))]
    return _entry(*max(found, key=lambda row: int(row[0]))) if found else None


def verify(connection: Connection) -> chain.Verdict:
    """Read the whole log and check that every entry follows from the one before. Stops at the first finding."""
    return chain.verify(_links(connection))


def _links(connection: Connection) -> Iterator[tuple[int, bytes, bytes]]:
    # The driver's own cursor: a million rows through Core's result objects take twice as long.
    cursor = connection.connection.cursor()
    try:
        cursor.execute("SELECT seq, body, hash FROM audit ORDER BY seq")
        while rows := cursor.fetchmany(_AT_ONCE):
            yield from rows
    finally:
        cursor.close()


def _body(event: Event, actor: str, at_us: int) -> bytes:
    if not event.AUDITED:
        raise ValueError(f"{event.KIND} is not an audited event")
    try:
        return chain.canonical({"actor": actor, "at_us": at_us, "detail": event.detail(), "kind": event.KIND, "subject": event.subject()})
    except (ValueError, TypeError) as error:
        raise AppError("internal", f"The audit entry {event.KIND} could not be written down, so nothing was changed.") from error


def _entry(seq: int, body: object, digest: object) -> AuditEntry:
    """An entry as shown. One whose body is not what we write (somebody edited it) is shown as kind "unreadable", not hidden."""
    shown: dict[str, Any] = {}
    try:
        decoded = json.loads(body) if isinstance(body, bytes) else None
        shown = decoded if isinstance(decoded, dict) else {}
    except (ValueError, RecursionError):
        pass
    at_us, kind = shown.get("at_us"), shown.get("kind")
    return AuditEntry(
        seq=seq,
        at_us=at_us if isinstance(at_us, int) else 0,
        kind=kind if isinstance(kind, str) else "unreadable",
        actor=str(shown.get("actor", "")),
        subject=str(shown.get("subject", "")),
        body=shown,
        hash=digest.hex() if isinstance(digest, bytes) else "",
    )
