"""Verifying from where the last verification ended, and what the vault remembers of that so that nobody with the database alone can say it.

The vault keeps it beside its anchor: a signed record up to which everything was found intact, by its digest, and when all of the log and
the ledger was last read in one go. What lies before that record is not read again until the next time that everything is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final

import msgspec

from app.store import audit, checkpoints, judging, ledger
from app.verifier import LASTING, Anchor, BadInputError, Point, Record, Verdict

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_FIELD: Final = "verified"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """number, record: the newest record, and its digest, up to which it was found intact. full_us, full_seq: when everything was last
    read and found intact, and the newest entry then."""

    number: int
    record: str
    full_us: int
    full_seq: int


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of a verification. since: the entry after which was read, 0 for all. upto: what may be remembered if it is intact."""

    verdict: Verdict
    rows: ledger.Verdict
    since: int
    upto: Record | None

    def remembered(self, before: Verified | None, at_us: int) -> Verified | None:
        """What the vault is to remember of it, when it was intact."""
        if self.upto is None:
            return before
        full_us, full_seq = (before.full_us, before.full_seq) if self.since and before is not None else (at_us, self.verdict.seq)
        return Verified(number=self.upto.number, record=self.upto.digest.hex(), full_us=full_us, full_seq=full_seq)


@dataclass(frozen=True, slots=True)
class Told:
    """How far a verification is: entries and rows read, and how many there are to read."""

    entries: int = 0
    all_entries: int = 0
    rows: int = 0
    all_rows: int = 0


def text(anchor: Anchor, verified: Verified | None) -> str:
    """What the vault keeps."""
    if verified is None:
        return anchor.text()
    return json.dumps(json.loads(anchor.text()) | {_FIELD: asdict(verified)}, separators=(",", ":"))


def of(kept: str | None) -> Verified | None:
    """None when the vault says nothing of it: then everything is to be read."""
    try:
        return None if kept is None else msgspec.convert(json.loads(kept)[_FIELD], Verified)
    except (ValueError, TypeError, KeyError, msgspec.ValidationError):
        return None


def point(connection: Connection, verified: Verified | None) -> Point | None:
    """Where to go on; None when everything is to be read, because the log holds that record no more or a person went on from a finding.

    Nothing but the digest that the vault gave is believed: the record names the lasting one before it by its digest, and so on back to
    the one that holds the key.
    """
    if verified is None:
        return None
    try:
        record = checkpoints.one(connection, verified.number)
        if record is None or record.digest.hex() != verified.record:
            return None
        restored = checkpoints.newest_of(connection, "restore")
        if restored is not None and restored.number > record.number:
            return None
        wanted = last = record.digest if record.kind in LASTING else record.last
        for lasting in checkpoints.lasting(connection, record.number):
            if lasting.digest != wanted:
                return None
            if lasting.key:
                turned = record.kind == "turn"  # then it is this one, and the next record is the first of another epoch
                return Point(record.log, record.number, record.seq, record.head, lasting.key, record.epoch + turned, last)
            wanted = lasting.last
    except BadInputError:
        pass
    return None


def look(connection: Connection, anchor: Anchor | None, key: bytes, verified: Verified | None, told: Callable[[Told], None]) -> Looked:
    """Read the log and the ledger, all of it or from where `verified` says, and judge. One unchanging read.

    told: called with how far it is every some milliseconds, at the beginning, and at the end.
    """
    after = point(connection, verified)
    since = 0 if after is None else after.seq
    so_far = Told(all_entries=audit.count(connection, since or None), all_rows=ledger.count(connection, since))
    told(so_far)

    def progress(entries: int, rows: int) -> None:
        told(replace(so_far, entries=min(entries, so_far.all_entries), rows=min(rows, so_far.all_rows)))

    verdict, rows = judging.verify(connection, anchor, key, progress, after)
    try:
        record = checkpoints.one(connection, verdict.number)
    except BadInputError:
        record = None
    return Looked(verdict, rows, since, record)
