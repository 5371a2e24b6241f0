"""The ledger: one row per exchange, whatever became of it.

`record` writes a batch in one transaction: the rows, their sums (`rollups`), and an audit entry `ledger.batch` with a digest of what
the rows say (`forms`), so that a row edited, added or taken away later is found by `verify`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import TYPE_CHECKING, Any, Final

import msgspec

from app.core.errors import AppError
from app.core.events import LedgerBatch
from app.core.ids import call_id_bytes, call_id_of
from app.core.records import Exchange, UsageRow
from app.core.unreadable import UNREADABLE
from app.store import audit, exchanges, families, floors, forms, rollups, taken, words
from app.store.floors import Floor
from app.store.forms import UnknownFormError
from app.store.rollups import today, today_by_account
from app.store.statements import Insert
from app.store.tables import select_from
from app.store.usage import usage
from app.verifier import BadInputError

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

ACTOR: Final = "gateway"
_NEWEST: Final = (1 << 63) - 1  # above every batch
_OLDEST: Final = -(1 << 63)  # below every batch
_STEP: Final = 500
_FIRST_ID: Final = "SELECT min(json_extract(CAST(body AS TEXT), '$.detail.first')) FROM audit WHERE kind = ? AND seq > ?"

_LOGGED: Final = "SELECT count(*) FROM audit WHERE kind = ? AND seq > ? AND seq <= ?"
_LOGGED_FROM: Final = f"{_LOGGED} AND json_extract(CAST(body AS TEXT), '$.detail.first') > ?"

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


@dataclass(frozen=True, slots=True)
class Pinned:
    """How the rows of old batches stand, for a record that is signed: how many rows batches up to `floor` have, and their digest; the
    digest of what retention took; and up to which batch it took them."""

    floor: int
    rows: int
    digest: str
    sums: str
    gone: int

    def said(self) -> dict[str, str | int]:
        """As a claim holds it (`store/floors.py`)."""
        return {"floor": self.floor, "rows": self.rows, "digest": self.digest, "sums": self.sums, "gone": self.gone}


def count(connection: Connection, after: int = 0) -> int:
    """How many rows `verify` reads. 0 where the records are not as they were signed."""
    try:
        low = _first_after(connection, floors.known(connection), after) if after else b""
    except BadInputError:
        return 0
    if low is None:
        return 0
    statement = "SELECT count(*) FROM exchanges WHERE id > ? AND batch >= ?" if after else "SELECT count(*) FROM exchanges"
    return int(connection.exec_driver_sql(statement, (low, after + 1) if after else ()).scalar_one())


def verify(connection: Connection, progress: Callable[[int], None] | None = None, after: int = 0, upto: int = _NEWEST) -> Verdict:
    """Read the whole ledger and hold every batch against its digest in the audit log (check that one first: `judging.verify`).

    Rows of batches up to the floor (`store/floors.py`) are held against the digest that was signed of them. While rows are going, those
    that go may be missing; a batch of which all are there must be as its digest says, and what is left of one that is not must fit the
    sums that were signed (`store/sums.py`).

    after, upto: only the batches after that audit entry, and up to that one, are looked at; of other rows nothing is said.
    """
    try:
        floor = floors.known(connection)
    except BadInputError:
        return Verdict(0, 0, "A signed record of the checkpoints is not where it was: what was said of old rows cannot be known.")
    low = _first_after(connection, floor, after) if after else b""
    try:
        reading = _Reading(connection, floor, whole=not after)
    except UnknownFormError as error:
        return Verdict(0, 0, f"The digest of the rows up to audit entry {floor.upto} {error}")
    rows = 0
    for batch, values in _everything(connection, upto, low=low, after=after) if low is not None else ():
        rows += 1
        if progress is not None and not rows % _STEP:
            progress(rows)
        if finding := reading.row(batch, values):
            return Verdict(rows - 1, reading.batches, finding)
    if progress is not None:
        progress(rows)
    return Verdict(rows, reading.batches, reading.end(max(floor.most, after), upto))


class _Reading:
    """The rows of a ledger in the order of their ids, held against what is said of them. Each step returns a finding, or ""."""

    def __init__(self, connection: Connection, floor: Floor, *, whole: bool) -> None:
        """whole: every row is read, so that what is said of old ones can be checked. UnknownFormError."""
        self._connection: Final = connection
        self._floor: Final = floor
        self._whole: Final = whole
        self._old: Final = forms.Hash(forms.form_of(floor.pinned[1]) if whole and floor.pinned is not None else forms.NEWEST)
        self._old_rows = 0
        self._waiting: Final = dict[int, _Batch]()  # that rows are still to come of
        self._oldest = b""  # the first of the rows that are going
        self.batches = 0

    def row(self, batch: int, values: list[Any]) -> str:
        floor = self._floor
        if batch > floor.most or batch <= 0:
            return self._of_batch(batch, values)
        identifier = call_id_bytes(values[0])
        if batch <= floor.gone and identifier < floor.gone_cut:
            return f"Row {values[0]} went with the retention of old rows and is there again."
        if batch > floor.upto or not self._whole:
            return ""  # it stayed in a batch whose other rows went, before that was written down
        if identifier >= floor.cut:
            self._old_rows += 1
            self._old.add(values)
        elif not self._oldest:
            self._oldest = identifier
        return self._of_going(batch, values) if floor.cut and batch > floor.before else ""

    def _of_batch(self, batch: int, values: list[Any]) -> str:
        if batch not in self._waiting and (finding := self._begin(batch, values)):
            return finding
        if not self._waiting[batch].fits(values):
            said = self._waiting[batch].said
            return f"The rows of audit entry {batch} ({said.first} to {said.last}) do not match their digest."
        if not self._waiting[batch].left:
            del self._waiting[batch]
            self.batches += 1
        return ""

    def _of_going(self, batch: int, values: list[Any]) -> str:
        """A row of a batch of which some may have gone: when all are there, they must be as the log says."""
        if batch not in self._waiting and (finding := self._begin(batch, values)):
            return finding
        here = self._waiting[batch]
        if here.left == 0:
            return f"Audit entry {batch} ({here.said.first} to {here.said.last}) has more rows than it had."
        if not here.fits(values):
            return f"The rows of audit entry {batch} ({here.said.first} to {here.said.last}) do not match their digest."
        return ""

    def _begin(self, batch: int, values: list[Any]) -> str:
        """The first row of a batch: look up what the log says of it."""
        said = _said(self._connection, batch)
        if said is None:
            return f"Row {values[0]} belongs to no batch of the audit log: it was added or moved."
        try:
            self._waiting[batch] = _Batch(said)
        except UnknownFormError as error:
            return f"The digest of the rows of audit entry {batch} {error}"
        return ""

    def _of_those_going(self) -> str:
        """Rows go in the order of their ids, so a batch that begins above one that is there must be there whole."""
        floor, oldest = self._floor, call_id_of(self._oldest)
        whole = [here for here in self._waiting.values() if here.said.first > oldest]
        for here in whole:
            if here.left:
                said = here.said
                return f"{here.left} of the {said.count} rows from {said.first} to {said.last} are missing, and it is not their turn to go."
        logged = self._connection.exec_driver_sql(_LOGGED_FROM, (LedgerBatch.KIND, floor.before, floor.upto, oldest)).scalar_one()
        if logged != len(whole):
            return f"The audit log knows {logged} batches of rows from {oldest} to audit entry {floor.upto}, the ledger holds {len(whole)}."
        return ""

    def end(self, first: int, upto: int) -> str:
        """first: above this entry every batch must be there whole."""
        waiting = {batch: here for batch, here in self._waiting.items() if batch > self._floor.most}
        if waiting:
            batch, here = min(waiting.items(), key=lambda item: item[0])
            said = here.said
            return f"{here.left} of the {said.count} rows of audit entry {batch} ({said.first} to {said.last}) are missing."
        old = (self._old_rows, self._old.text())
        if self._whole and upto >= self._floor.upto and self._floor.pinned is not None and old != self._floor.pinned:
            return f"The rows of the batches up to audit entry {self._floor.upto} are not those that were there when it was signed."
        if self._whole and self._oldest and (finding := self._of_those_going()):
            return finding
        logged = self._connection.exec_driver_sql(_LOGGED, (LedgerBatch.KIND, first, upto)).scalar_one()
        if logged != self.batches:
            return f"The audit log knows {logged} batches of rows, the ledger holds {self.batches}."
        return ""


class _Batch:
    """A batch of which rows are read. said: by the log. left: how many are still to come."""

    def __init__(self, said: LedgerBatch) -> None:
        """UnknownFormError."""
        self.said: Final = said
        self.left = said.count
        self._digest: Final = forms.Hash(forms.form_of(said.digest))

    def fits(self, values: list[Any]) -> bool:
        """Take another row; whether they may still be the ones the log knows."""
        self._digest.add(values)
        self.left -= 1
        return self.left != 0 or self._digest.text() == self.said.digest


def pinned(connection: Connection, upto: int = 0) -> Pinned:
    """How the rows of the batches up to audit entry `upto` stand, and of all up to where retention and prunes have come. Reads all of
    them. BadInputError when the records are not as they were signed."""
    floor = max(upto, floors.known(connection).most)
    rows, digest = digest_upto(connection, floor)
    return Pinned(floor, rows, digest, taken.digest(connection), floors.trimmed_upto(connection))


def as_found(connection: Connection) -> Pinned:
    """How every row stands, whatever was signed of it, for a person who goes on from there. Without sums."""
    floor, gone = audit.newest(connection), 0
    with suppress(BadInputError):
        gone = floors.trimmed_upto(connection)
    return Pinned(floor, *digest_upto(connection, floor), "", gone)


def digest_upto(connection: Connection, upto: int, low: bytes = b"") -> tuple[int, str]:
    """How many rows with an id of at least `low` belong to batches up to audit entry `upto`, and the digest of what they say, in the order
    of their ids."""
    digest, rows = forms.Hash(), 0
    below = (int.from_bytes(low) - 1).to_bytes(16) if low.strip(b"\0") else b""
    for _, values in _everything(connection, upto, low=below):
        digest.add(values)
        rows += 1
    return rows, digest.text()


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


def _first_after(connection: Connection, floor: Floor, after: int) -> bytes | None:
    """What is just below the id of the oldest row of the batches after that audit entry; None when there is no such batch."""
    first = connection.exec_driver_sql(_FIRST_ID, (LedgerBatch.KIND, max(after, floor.most))).scalar()
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


def key(identifier: str) -> bytes:
    """The 16 bytes of a call id. AppError body_invalid when it is none."""
    try:
        return call_id_bytes(identifier)
    except ValueError as error:
        raise AppError("body_invalid", "That is not the id of a request.", "Ids look like req_01J...", param="id") from error


__all__ = [
    "Pinned",
    "UsageRow",
    "Verdict",
    "as_found",
    "batch_of",
    "count",
    "digest_upto",
    "key",
    "one",
    "page",
    "pinned",
    "record",
    "several",
    "today",
    "today_by_account",
    "usage",
    "verify",
]
