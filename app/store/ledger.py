"""The ledger: one row per exchange, whatever became of it.

`record` writes a batch in one transaction: the rows, their sums (`rollups`), and an audit entry `ledger.batch` with a digest of what
the rows say, so that a row edited, added or taken away later is found by `verify`.

The digest, form 1: SHA-256 over one line per row, in the order of ids, each a JSON array of the fields in the order of
`exchanges.FIELDS` (no blanks, UTF-8) and a line feed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import TYPE_CHECKING, Any, Final

import msgspec

from app.core.errors import AppError
from app.core.events import AuditPruned, LedgerBatch
from app.core.ids import call_id_bytes, call_id_of
from app.core.records import Exchange, UsageRow
from app.store import audit, exchanges, families, rollups, words
from app.store.rollups import today, today_by_account
from app.store.tables import insert_into, select_from
from app.store.usage import usage

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

ACTOR: Final = "gateway"
_FORM: Final = "1:"

_COLUMNS: Final = ("id", "batch", *(name.removeprefix("tokens.") for name in exchanges.FIELDS[1:]))
_NAMES: Final = slice(1, 1 + len(exchanges.NAMES))
_REST: Final = slice(_NAMES.stop, None)
_STREAM: Final = exchanges.FIELDS.index("stream")
_ESTIMATED: Final = exchanges.FIELDS.index("tokens.estimated")
_INSERT: Final = insert_into("exchanges", _COLUMNS)
_SELECT: Final = select_from("exchanges", _COLUMNS)
_SEVERAL: Final = f"{_SELECT} WHERE id IN (SELECT unhex(value) FROM json_each(?)) ORDER BY id DESC"  # noqa: S608 - our words alone
_KNOWN: Final = "SELECT id FROM exchanges WHERE id IN (SELECT unhex(value) FROM json_each(?))"

_line: Final = msgspec.json.Encoder().encode


def record(connection: Connection, rows: Sequence[Exchange], at_us: int | None = None, zone: tzinfo | None = None) -> int:
    """Write the rows that are not in the ledger yet; returns how many. Needs a writing transaction.

    A row is known by its id: recording it again, as after a crash, changes nothing, and of two in one batch the first counts.
    `at_us`: the time of the audit entry; by default the latest time in the rows. zone: by whose days the sums of whole days are kept;
    this machine's by default.
    """
    fresh = _fresh(connection, rows)
    if not fresh:
        return 0
    ordered = [exchanges.bounded(fresh[identifier]) for identifier in sorted(fresh)]
    values = [exchanges.flat(row) for row in ordered]
    batch = LedgerBatch(count=len(ordered), first=ordered[0].id, last=ordered[-1].id, digest=_digest(values))
    if at_us is None:
        at_us = max(row.closed_us or row.opened_us for row in ordered)
    seq = audit.append(connection, batch, ACTOR, at_us)
    numbers = words.numbers(connection, {text for row in values for text in row[_NAMES]})
    connection.exec_driver_sql(
        _INSERT,
        [
            (identifier, seq, *[numbers[text] for text in row[_NAMES]], *row[_REST])
            for identifier, row in zip(sorted(fresh), values, strict=True)
        ],
    )
    families.add(connection, sorted(fresh), ordered, numbers)
    rollups.add(connection, ordered, numbers, zone)
    return len(ordered)


def page(connection: Connection, limit: int, before: str | None = None) -> list[Exchange]:
    """At most `limit` rows, the one opened last first; `before`: only rows opened before that call id. AppError body_invalid."""
    if before is None:
        found = connection.exec_driver_sql(f"{_SELECT} ORDER BY id DESC LIMIT ?", (limit,)).all()
    else:
        found = connection.exec_driver_sql(f"{_SELECT} WHERE id < ? ORDER BY id DESC LIMIT ?", (key(before), limit)).all()
    return [exchanges.of_flat(values) for values in _flat(connection, found)]


def one(connection: Connection, identifier: str) -> Exchange | None:
    """The row with that call id, or None. AppError body_invalid when it is no call id."""
    found = connection.exec_driver_sql(f"{_SELECT} WHERE id = ?", (key(identifier),)).all()
    return next(map(exchanges.of_flat, _flat(connection, found)), None)


def several(connection: Connection, identifiers: Sequence[bytes]) -> list[Exchange]:
    """The rows with these ids, the one opened last first."""
    as_hex = _line([identifier.hex() for identifier in identifiers]).decode()
    found = connection.exec_driver_sql(_SEVERAL, (as_hex,)).all()
    return [exchanges.of_flat(values) for values in _flat(connection, found)]


@dataclass(frozen=True, slots=True)
class Verdict:
    """rows, batches: how many were read and matched. finding: the first thing wrong, in one sentence, or "" when intact."""

    rows: int
    batches: int
    finding: str = ""


def verify(connection: Connection, progress: Callable[[int], None] | None = None) -> Verdict:
    """Read the whole ledger and hold every batch against its digest in the audit log (check that one first: `checkpoints.verify`).

    Rows whose batches' entries were pruned are held against the digest that the prune wrote down.
    """
    pruned = _pruned(connection)
    upto, old, old_rows = pruned.upto if pruned is not None else 0, hashlib.sha256(), 0
    waiting: dict[int, tuple[int, LedgerBatch, Any]] = {}  # by batch: rows still to come, what the log says, the hash so far
    rows = batches = 0
    for batch, values in _everything(connection):
        rows += 1
        if progress is not None and not rows % 2_000:
            progress(rows)
        if 0 < batch <= upto:
            old_rows += 1
            old.update(_line(values) + b"\n")
            continue
        if batch not in waiting:
            said = _said(connection, batch)
            if said is None:
                return Verdict(rows - 1, batches, f"Row {values[0]} belongs to no batch of the audit log: it was added or moved.")
            waiting[batch] = (said.count, said, hashlib.sha256())
        left, said, digest = waiting[batch]
        digest.update(_line(values) + b"\n")
        if left > 1:
            waiting[batch] = (left - 1, said, digest)
            continue
        del waiting[batch]
        batches += 1
        if _FORM + digest.hexdigest() != said.digest:
            return Verdict(rows, batches, f"The rows of audit entry {batch} ({said.first} to {said.last}) do not match their digest.")
    if waiting:
        batch, (left, said, _) = min(waiting.items())
        return Verdict(rows, batches, f"{left} of the {said.count} rows of audit entry {batch} ({said.first} to {said.last}) are missing.")
    if pruned is not None and (old_rows, _FORM + old.hexdigest()) != (pruned.rows, pruned.digest):
        return Verdict(rows, batches, f"The rows of the batches up to audit entry {upto} are not those that were there when it was pruned.")
    logged = connection.exec_driver_sql("SELECT count(*) FROM audit WHERE kind = ? AND seq > ?", (LedgerBatch.KIND, upto)).scalar_one()
    if logged != batches:
        return Verdict(rows, batches, f"The audit log knows {logged} batches of rows, the ledger holds {batches}.")
    return Verdict(rows, batches)


def digest_upto(connection: Connection, upto: int) -> tuple[int, str]:
    """How many rows belong to batches up to audit entry `upto`, and the digest of what they say, in the order of their ids."""
    digest, rows = hashlib.sha256(), 0
    for batch, values in _everything(connection):
        if batch <= upto:
            digest.update(_line(values) + b"\n")
            rows += 1
    return rows, _FORM + digest.hexdigest()


def _pruned(connection: Connection) -> AuditPruned | None:
    """What the newest prune wrote down."""
    row = connection.exec_driver_sql("SELECT body FROM audit WHERE kind = ? ORDER BY seq DESC LIMIT 1", (AuditPruned.KIND,)).scalar()
    try:
        return None if row is None else msgspec.json.decode(row, type=_Prune).detail
    except msgspec.DecodeError:
        return None


def _fresh(connection: Connection, rows: Iterable[Exchange]) -> dict[bytes, Exchange]:
    fresh: dict[bytes, Exchange] = {}
    for row in rows:
        fresh.setdefault(call_id_bytes(row.id), row)
    for (identifier,) in connection.exec_driver_sql(_KNOWN, (_line([identifier.hex() for identifier in fresh]).decode(),)).all():
        del fresh[identifier]
    return fresh


def _digest(rows: Iterable[tuple[Any, ...]]) -> str:
    lines = [_line(row) for row in rows]
    lines.append(b"")
    return _FORM + hashlib.sha256(b"\n".join(lines)).hexdigest()


def _flat(connection: Connection, found: Sequence[Sequence[Any]]) -> Iterator[list[Any]]:
    """Rows of `_SELECT` as flat rows."""
    first, last = 2, 2 + len(exchanges.NAMES)
    texts = words.texts(connection, {number for row in found for number in row[first:last]})
    for row in found:
        values = [call_id_of(row[0]), *[texts[number] for number in row[first:last]], *row[last:]]
        values[_STREAM], values[_ESTIMATED] = bool(values[_STREAM]), bool(values[_ESTIMATED])
        yield values


def _everything(connection: Connection) -> Iterator[tuple[int, list[Any]]]:
    """Every flat row with its batch, in the order of ids, a thousand in memory at a time."""
    after = b""
    while found := connection.exec_driver_sql(f"{_SELECT} WHERE id > ? ORDER BY id LIMIT 1000", (after,)).all():
        yield from zip((row[1] for row in found), _flat(connection, found), strict=True)
        after = found[-1][0]


def _said(connection: Connection, seq: int) -> LedgerBatch | None:
    body = connection.exec_driver_sql("SELECT body FROM audit WHERE seq = ? AND kind = ?", (seq, LedgerBatch.KIND)).scalar()
    try:
        return None if body is None else msgspec.json.decode(body, type=_Entry).detail
    except msgspec.DecodeError:
        return None


class _Entry(msgspec.Struct):
    detail: LedgerBatch


class _Prune(msgspec.Struct):
    detail: AuditPruned


def key(identifier: str) -> bytes:
    """The 16 bytes of a call id. AppError body_invalid when it is none."""
    try:
        return call_id_bytes(identifier)
    except ValueError as error:
        raise AppError("body_invalid", "That is not the id of a request.", "Ids look like req_01J...", param="id") from error


__all__ = ["UsageRow", "Verdict", "digest_upto", "key", "one", "page", "record", "several", "today", "today_by_account", "usage", "verify"]
