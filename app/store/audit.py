"""The audit log: a hash chain of canonical entries (`core.chain`), appended in the transaction of what they tell.

The body that is hashed is `{"actor", "at_us", "detail", "kind", "subject"}`, and `"origin"` where it is known from where the actor acted
(`events.Who`). Nothing here updates or deletes an entry; `sealing` prunes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from app.core import chain
from app.core.errors import AppError
from app.core.events import Event, Who
from app.core.records import AuditEntry
from app.store import tags
from app.store.statements import Statements

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

Actor = str | Who
SEARCHED: Final = 200_000
ACTED_BY: Final = "json_valid(CAST(body AS TEXT)) AND json_extract(CAST(body AS TEXT), '$.actor') = ?"
_AT_ONCE: Final = 1_000
_INSERT: Final = "INSERT INTO audit (seq, body, hash) VALUES (?, ?, ?)"
_INSERT_TAGGED: Final = "INSERT INTO audit (seq, body, hash, tag) VALUES (?, ?, ?, ?)"
_LEAST: Final = -(1 << 63)  # the least number there can be: somebody may have made some up
_LAST: Final = "SELECT seq, body, hash FROM audit WHERE kind = ? ORDER BY seq DESC LIMIT 1"
_HEAD: Final = "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1"


def append(connection: Connection, event: Event, actor: str | Who, at_us: int, state: Mapping[str, object] | None = None) -> int:
    """Add one entry; returns its number. state: what is in force before and after it (`states`)."""
    return append_all(connection, [(event, actor, at_us)], state)


def append_all(connection: Connection, entries: Iterable[tuple[Event, str | Who, int]], state: Mapping[str, object] | None = None) -> int:
    """Add `(event, actor, at_us)` entries in order; returns the number of the newest entry.

    AppError internal when an entry cannot be written down exactly: then the transaction it belongs to must not commit either.
    """
    seq, head = newest_link(connection)
    tagging = tags.of(connection)
    rows = []
    for event, actor, at_us in entries:
        body = _body(event, actor, at_us, state)
        seq += 1
        head = chain.link(head, seq, body)
        rows.append((seq, body, head) if tagging is None else (seq, body, head, tagging.of(head)))
    if rows:
        connection.exec_driver_sql(_INSERT if tagging is None else _INSERT_TAGGED, rows)
    return seq


def newest(connection: Connection) -> int:
    """The number of the newest entry, 0 when there is none."""
    return newest_link(connection)[0]


def newest_link(connection: Connection) -> tuple[int, bytes]:
    """Number and hash of the newest entry: where the chain goes on."""
    row = connection.exec_driver_sql(_HEAD).first()
    return (0, chain.GENESIS) if row is None else (int(row[0]), bytes(row[1]))


def newest_number(connection: Statements) -> int:
    """`newest` for a plain connection."""
    return next((int(row[0]) for row in connection.exec_driver_sql(_HEAD)), 0)


def page(connection: Connection, limit: int, before: int | None = None) -> list[AuditEntry]:
    """At most `limit` entries, newest first; `before`: only entries with a smaller number."""
    return find(connection, limit, before)[0]


def find(
    connection: Connection,
    limit: int,
    before: int | None = None,
    *,
    kinds: Sequence[str] = (),
    actor: str = "",
    text: str = "",
    titled: Sequence[str] = (),
) -> tuple[list[AuditEntry], int | None]:
    """Entries that fit, newest first, and the `before` with which to go on; None when there are no older ones.

    kinds: any of these. actor: exactly. text: in what was written down, case ignored; or the number of an entry. titled: kinds that fit
    the text, too, because what they are called on screen has it. At most `SEARCHED` entries are read, so a rare word may give an empty
    page with a place to go on from.
    """
    wanted, values = [], list[object]()
    if kinds:
        wanted.append(f"kind IN ({', '.join('?' * len(kinds))})")
        values += kinds
    if actor:
        wanted.append(ACTED_BY)
        values.append(actor)
    if text:
        wanted.append(f"(instr(lower(CAST(body AS TEXT)), ?) OR seq = ? OR kind IN ({', '.join('?' * len(titled))}))")
        values += [text.lower(), int(text) if text.isdecimal() and len(text) < 19 else -1, *titled]
    upper = (1 << 63) - 1 if before is None else before - 1
    newest = connection.exec_driver_sql("SELECT seq FROM audit WHERE seq <= ? ORDER BY seq DESC LIMIT 1", (upper,)).scalar()
    if newest is None:
        return [], None
    lower = newest - SEARCHED if wanted else -(1 << 63)
    statement = f"SELECT seq, body, hash FROM audit WHERE {' AND '.join(['seq <= ? AND seq > ?', *wanted])} ORDER BY seq DESC LIMIT ?"  # noqa: S608 - our words; values are bound
    entries = [_entry(*row) for row in connection.exec_driver_sql(statement, (newest, lower, *values, limit))]
    if len(entries) == limit:
        return entries, entries[-1].seq
    older = wanted and connection.exec_driver_sql("SELECT 1 FROM audit WHERE seq <= ? LIMIT 1", (lower,)).first() is not None
    return entries, lower + 1 if older else None


def since(connection: Connection, kinds: Sequence[str], at_us: int) -> list[AuditEntry]:
    """All entries of these kinds since then, newest first, however much else the log holds."""
    found, before = list[AuditEntry](), None
    while True:
        entries, before = find(connection, SEARCHED, before, kinds=kinds)
        found += [entry for entry in entries if entry.at_us >= at_us]
        if before is None or all(older.at_us < at_us for older in page(connection, 1, before)):
            return found


def one(connection: Connection, seq: int) -> AuditEntry | None:
    row = connection.exec_driver_sql("SELECT seq, body, hash FROM audit WHERE seq = ?", (seq,)).first()
    return None if row is None else _entry(*row)


def oldest(connection: Connection) -> AuditEntry | None:
    """The first entry that is still there."""
    row = connection.exec_driver_sql("SELECT seq, body, hash FROM audit ORDER BY seq LIMIT 1").first()
    return None if row is None else _entry(*row)


def neighbours(connection: Connection, seq: int) -> tuple[str, str]:
    """The hashes of the entries before and after, "" where there is none."""
    found = {row[0]: row[1] for row in connection.exec_driver_sql("SELECT seq, hash FROM audit WHERE seq IN (?, ?)", (seq - 1, seq + 1))}
    return tuple(found[near].hex() if isinstance(found.get(near), bytes) else "" for near in (seq - 1, seq + 1))  # type: ignore[return-value]  # two


def count(connection: Connection, after: int | None = None) -> int:
    """How many entries there are, or how many after that number."""
    statement = "SELECT count(*) FROM audit WHERE seq >= ?"
    return int(connection.exec_driver_sql(statement, (_LEAST if after is None else after + 1,)).scalar_one())


def counts(connection: Connection) -> dict[str, int]:
    """How many entries of each kind there are. Reads the index of kinds alone."""
    return {str(kind): int(count) for kind, count in connection.exec_driver_sql("SELECT kind, count(*) FROM audit GROUP BY kind")}


def span(connection: Connection) -> tuple[int, int, int]:
    """How many entries there are, the number of the oldest, and about how many bytes they take."""
    first = connection.exec_driver_sql("SELECT min(seq) FROM audit").scalar()
    if first is None:
        return 0, 0, 0
    number = int(connection.exec_driver_sql("SELECT count(*) FROM audit").scalar_one())
    sample = "SELECT avg(length(body) + length(hash) + 16) FROM (SELECT body, hash FROM audit ORDER BY seq DESC LIMIT 1000)"
    return number, int(first), round(number * float(connection.exec_driver_sql(sample).scalar_one()))


def last(connection: Statements, kinds: Sequence[str]) -> AuditEntry | None:
    """The newest entry of one of `kinds`; None when there is none. Cheap however long the log is."""
    found = [row for kind in kinds for row in connection.exec_driver_sql(_LAST, (kind,))]
    return _entry(*max(found, key=lambda row: int(row[0]))) if found else None


def verify(connection: Connection) -> chain.Verdict:
    """Read the whole log and check that every entry follows from the one before. Stops at the first finding.

    The chain alone, of a log that was never pruned; `judging.verify` holds it against what was signed, too.
    """
    return chain.verify(links(connection))


def links(connection: Connection, after: int | None = None) -> Iterator[tuple[int, bytes, bytes]]:
    """Number, body and hash of every entry in order, as they lie there, whatever somebody made of them; or of those after that number."""
    # The driver's own cursor: a million rows through Core's result objects take twice as long.
    cursor = connection.connection.cursor()
    try:
        cursor.execute("SELECT seq, body, hash FROM audit WHERE seq >= ? ORDER BY seq", (_LEAST if after is None else after + 1,))
        while rows := cursor.fetchmany(_AT_ONCE):
            yield from rows
    finally:
        cursor.close()


def _body(event: Event, actor: str | Who, at_us: int, state: Mapping[str, object] | None) -> bytes:
    if not event.AUDITED:
        raise ValueError(f"{event.KIND} is not an audited event")
    body: dict[str, object] = {"at_us": at_us, "detail": event.detail(), "kind": event.KIND, "subject": event.subject()}
    if state is not None:
        body["state"] = state
    if isinstance(actor, Who):
        body["actor"] = actor.actor
        if origin := actor.origin():
            body["origin"] = origin
    else:
        body["actor"] = actor
    try:
        return chain.canonical(body)
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
