"""The ledger: one row per exchange, whatever became of it.

`record` writes a batch in one transaction: the rows, their sums (`rollups`), and an audit entry `ledger.batch` with a digest of what
the rows say (`forms`), so that a row edited, added or taken away later is found by `verify`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from app.core.errors import AppError
from app.core.events import AuditPruned, LedgerBatch, LedgerTrimmed, LedgerTrimming
from app.core.ids import call_id_bytes, call_id_of
from app.core.records import Exchange, UsageRow
from app.core.unreadable import UNREADABLE
from app.store import audit, exchanges, families, forms, rollups, words
from app.store.forms import UnknownFormError
from app.store.rollups import today, today_by_account
from app.store.statements import Insert
from app.store.tables import select_from
from app.store.usage import usage

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

D = TypeVar("D")
ACTOR: Final = "gateway"
_NEWEST: Final = (1 << 63) - 1  # above every batch
_OLDEST: Final = -(1 << 63)  # below every batch
_STEP: Final = 500
_FIRST_ID: Final = "SELECT min(json_extract(CAST(body AS TEXT), '$.detail.first')) FROM audit WHERE kind = ? AND seq > ?"

_COLUMNS: Final = ("id", "batch", *(name.removeprefix("tokens.") for name in exchanges.FIELDS[1:]))
_NAMES: Final = slice(1, 1 + len(exchanges.NAMES))
_REST: Final = slice(_NAMES.stop, None)
_STREAM: Final = exchanges.FIELDS.index("stream")
_ESTIMATED: Final = exchanges.FIELDS.index("tokens.estimated")
_INSERT: Final = Insert("exchanges", _COLUMNS)
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
    batch = LedgerBatch(count=len(ordered), first=ordered[0].id, last=ordered[-1].id, digest=forms.digest(values))
    if at_us is None:
        at_us = max(row.closed_us or row.opened_us for row in ordered)
    seq = audit.append(connection, batch, ACTOR, at_us)
    numbers = words.numbers(connection, {text for row in values for text in row[_NAMES]})
    bound = [
        (identifier, seq, *[numbers[text] for text in row[_NAMES]], *row[_REST])
        for identifier, row in zip(sorted(fresh), values, strict=True)
    ]
    _INSERT.run(connection, bound)
    families.add(connection, sorted(fresh), ordered, numbers)
    rollups.add(connection, ordered, numbers, zone)
    return len(ordered)


def page(connection: Connection, limit: int, before: str | None = None) -> list[Exchange]:
    """At most `limit` rows, the one opened last first; `before`: only rows opened before that call id. AppError body_invalid."""
    if before is None:
        found = connection.exec_driver_sql(f"{_SELECT} ORDER BY id DESC LIMIT ?", (limit,)).all()
    else:
        found = connection.exec_driver_sql(f"{_SELECT} WHERE id < ? ORDER BY id DESC LIMIT ?", (key(before), limit)).all()
    return _shown(connection, found)


def one(connection: Connection, identifier: str) -> Exchange | None:
    """The row with that call id, or None. AppError body_invalid when it is no call id."""
    found = connection.exec_driver_sql(f"{_SELECT} WHERE id = ?", (key(identifier),)).all()
    return next(iter(_shown(connection, found)), None)


def batch_of(connection: Connection, identifier: str) -> int | None:
    """The number of the audit entry that holds the digest of this row's batch, or None. AppError body_invalid."""
    found = connection.exec_driver_sql("SELECT batch FROM exchanges WHERE id = ?", (key(identifier),)).scalar()
    return None if found is None else int(found)


def several(connection: Connection, identifiers: Sequence[bytes]) -> list[Exchange]:
    """The rows with these ids, the one opened last first."""
    as_hex = _line([identifier.hex() for identifier in identifiers]).decode()
    return _shown(connection, connection.exec_driver_sql(_SEVERAL, (as_hex,)).all())


@dataclass(frozen=True, slots=True)
class Verdict:
    """rows, batches: how many were read and matched. finding: the first thing wrong, in one sentence, or "" when intact."""

    rows: int
    batches: int
    finding: str = ""


def count(connection: Connection, after: int = 0) -> int:
    """How many rows `verify` reads."""
    low = _first_after(connection, after) if after else b""
    if low is None:
        return 0
    statement = "SELECT count(*) FROM exchanges WHERE id > ? AND batch >= ?" if after else "SELECT count(*) FROM exchanges"
    return int(connection.exec_driver_sql(statement, (low, after + 1) if after else ()).scalar_one())


def verify(connection: Connection, progress: Callable[[int], None] | None = None, after: int = 0) -> Verdict:
    """Read the whole ledger and hold every batch against its digest in the audit log (check that one first: `judging.verify`).

    Rows whose batches' entries were pruned are held against the digest that the prune, or a later retention, wrote down. Rows that
    retention is just taking away are not held against anything; ones that it has taken must be gone.

    after: only the batches after that audit entry are looked at; of rows before it nothing is said.
    """
    known = _known_gone(connection)
    low = _first_after(connection, after) if after else b""
    try:
        upto, old, old_rows = known.pruned, forms.Hash(forms.NEWEST if after or known.old is None else forms.form_of(known.old[1])), 0
    except UnknownFormError as error:
        return Verdict(0, 0, f"The digest of the rows up to audit entry {known.pruned} {error}")
    waiting: dict[int, tuple[int, LedgerBatch, forms.Hash]] = {}  # by batch: rows still to come, what the log says, the hash so far
    rows = batches = 0
    for batch, values in _everything(connection, low=low, after=after) if low is not None else ():
        rows += 1
        if progress is not None and not rows % _STEP:
            progress(rows)
        if 0 < batch <= upto:
            old_rows += 1
            old.add(values)
            continue
        if 0 < batch <= known.gone:
            return Verdict(rows - 1, batches, f"Row {values[0]} went with the retention of old rows and is there again.")
        if 0 < batch <= known.going:
            continue
        if batch not in waiting:
            said = _said(connection, batch)
            if said is None:
                return Verdict(rows - 1, batches, f"Row {values[0]} belongs to no batch of the audit log: it was added or moved.")
            try:
                waiting[batch] = (said.count, said, forms.Hash(forms.form_of(said.digest)))
            except UnknownFormError as error:
                return Verdict(rows - 1, batches, f"The digest of the rows of audit entry {batch} {error}")
        left, said, digest = waiting[batch]
        digest.add(values)
        if left > 1:
            waiting[batch] = (left - 1, said, digest)
            continue
        del waiting[batch]
        batches += 1
        if digest.text() != said.digest:
            return Verdict(rows, batches, f"The rows of audit entry {batch} ({said.first} to {said.last}) do not match their digest.")
    if waiting:
        batch, (left, said, _) = min(waiting.items())
        return Verdict(rows, batches, f"{left} of the {said.count} rows of audit entry {batch} ({said.first} to {said.last}) are missing.")
    if progress is not None:
        progress(rows)
    if not after and known.old is not None and (old_rows, old.text()) != known.old:
        return Verdict(rows, batches, f"The rows of the batches up to audit entry {upto} are not those that were there when it was pruned.")
    first = max(upto, known.going, known.gone, after)
    logged = connection.exec_driver_sql("SELECT count(*) FROM audit WHERE kind = ? AND seq > ?", (LedgerBatch.KIND, first)).scalar_one()
    if logged != batches:
        return Verdict(rows, batches, f"The audit log knows {logged} batches of rows, the ledger holds {batches}.")
    return Verdict(rows, batches)


def pruned_upto(connection: Connection) -> int:
    """The newest audit entry that was pruned, 0 for none."""
    found = _detail(connection, AuditPruned.KIND, _Prune)
    return 0 if found is None else found[1].detail.upto


def trimmed_upto(connection: Connection) -> int:
    """The newest batch (an audit entry) whose rows went with retention, 0 for none."""
    found = _detail(connection, LedgerTrimmed.KIND, _Trimmed)
    return 0 if found is None else found[1].detail.upto


@dataclass(frozen=True, slots=True)
class _Gone:
    """pruned: batches whose audit entries are gone. old: how many rows of these there must be, and their digest; None when that cannot
    be said. gone, going: batches up to which rows have gone, and are going."""

    pruned: int
    old: tuple[int, str] | None
    gone: int
    going: int


def _known_gone(connection: Connection) -> _Gone:
    prune = _detail(connection, AuditPruned.KIND, _Prune)
    trimmed = _detail(connection, LedgerTrimmed.KIND, _Trimmed)
    trimming = _detail(connection, LedgerTrimming.KIND, _Trimming)
    going = trimming is not None and (trimmed is None or trimming[0] > trimmed[0])
    old: tuple[int, str] | None = None
    if prune is not None and not going:
        later = trimmed is not None and trimmed[0] > prune[0]
        old = (
            (trimmed[1].detail.old_rows, trimmed[1].detail.old_digest)
            if trimmed is not None and later
            else (prune[1].detail.rows, prune[1].detail.digest)
        )
    return _Gone(
        pruned=0 if prune is None else prune[1].detail.upto,
        old=old,
        gone=0 if trimmed is None else trimmed[1].detail.upto,
        going=trimming[1].detail.upto if trimming is not None and going else 0,
    )


def digest_upto(connection: Connection, upto: int) -> tuple[int, str]:
    """How many rows belong to batches up to audit entry `upto`, and the digest of what they say, in the order of their ids."""
    digest, rows = forms.Hash(), 0
    for _, values in _everything(connection, upto):
        digest.add(values)
        rows += 1
    return rows, digest.text()


def _detail(connection: Connection, kind: str, shape: type[D]) -> tuple[int, D] | None:
    """The newest entry of that kind, and its number."""
    row = connection.exec_driver_sql("SELECT seq, body FROM audit WHERE kind = ? ORDER BY seq DESC LIMIT 1", (kind,)).first()
    try:
        return None if row is None else (row[0], msgspec.json.decode(row[1], type=shape))
    except UNREADABLE:
        return None


def _fresh(connection: Connection, rows: Iterable[Exchange]) -> dict[bytes, Exchange]:
    fresh: dict[bytes, Exchange] = {}
    for row in rows:
        fresh.setdefault(call_id_bytes(row.id), row)
    for (identifier,) in connection.exec_driver_sql(_KNOWN, (_line([identifier.hex() for identifier in fresh]).decode(),)).all():
        del fresh[identifier]
    return fresh


def _flat(connection: Connection, found: Sequence[Sequence[Any]]) -> Iterator[list[Any]]:
    """Rows of `_SELECT` as flat rows."""
    first, last = 2, 2 + len(exchanges.NAMES)
    texts = words.texts(connection, {number for row in found for number in row[first:last]})
    for row in found:
        values = [call_id_of(row[0]), *[texts[number] for number in row[first:last]], *row[last:]]
        values[_STREAM], values[_ESTIMATED] = bool(values[_STREAM]), bool(values[_ESTIMATED])
        yield values


def _shown(connection: Connection, found: Sequence[Sequence[Any]]) -> list[Exchange]:
    """Rows of `_SELECT` as exchanges, with the costs that were worked out later."""
    from app.store import repricing  # noqa: PLC0415  (it reads the ledger)

    later = repricing.newest(connection, [row[0] for row in found]) if found else {}
    shown = [exchanges.of_flat(values) for values in _flat(connection, found)]
    for place, row in enumerate(found) if later else ():
        if row[0] in later:
            cost, price = later[row[0]]
            shown[place] = replace(shown[place], cost_microusd=cost, price=price)
    return shown


def _everything(connection: Connection, upto: int = _NEWEST, *, low: bytes = b"", after: int = 0) -> Iterator[tuple[int, list[Any]]]:
    """Every flat row of the batches up to `upto` with its batch, in the order of ids, some hundred in memory at a time; or only those
    with an id above `low` of the batches after `after`."""
    least = after + 1 if after else _OLDEST
    statement = f"{_SELECT} WHERE id > ? AND batch <= ? AND batch >= ? ORDER BY id LIMIT {_STEP}"
    while found := connection.exec_driver_sql(statement, (low, upto, least)).all():
        yield from zip((row[1] for row in found), _flat(connection, found), strict=True)
        low = found[-1][0]


def _first_after(connection: Connection, after: int) -> bytes | None:
    """What is just below the id of the oldest row of the batches after that audit entry; None when there is no such batch."""
    known = _known_gone(connection)
    floor = max(after, known.pruned, known.gone, known.going)
    first = connection.exec_driver_sql(_FIRST_ID, (LedgerBatch.KIND, floor)).scalar()
    try:
        return None if first is None else (max(int.from_bytes(call_id_bytes(first)), 1) - 1).to_bytes(16)
    except (ValueError, TypeError):  # somebody made it into something else, and the log was not judged yet
        return b""


def _said(connection: Connection, seq: int) -> LedgerBatch | None:
    body = connection.exec_driver_sql("SELECT body FROM audit WHERE seq = ? AND kind = ?", (seq, LedgerBatch.KIND)).scalar()
    try:
        return None if body is None else msgspec.json.decode(body, type=_Entry).detail
    except UNREADABLE:
        return None


class _Entry(msgspec.Struct):
    detail: LedgerBatch


class _Prune(msgspec.Struct):
    detail: AuditPruned


class _Trimming(msgspec.Struct):
    detail: LedgerTrimming


class _Trimmed(msgspec.Struct):
    detail: LedgerTrimmed


def key(identifier: str) -> bytes:
    """The 16 bytes of a call id. AppError body_invalid when it is none."""
    try:
        return call_id_bytes(identifier)
    except ValueError as error:
        raise AppError("body_invalid", "That is not the id of a request.", "Ids look like req_01J...", param="id") from error


__all__ = [
    "UsageRow",
    "Verdict",
    "batch_of",
    "count",
    "digest_upto",
    "key",
    "one",
    "page",
    "pruned_upto",
    "record",
    "several",
    "today",
    "today_by_account",
    "trimmed_upto",
    "usage",
    "verify",
]
