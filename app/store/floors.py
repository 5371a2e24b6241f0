"""Up to where rows of the ledger are no longer held against the digest of their batch, and against what they are held instead.

Rows go with retention, and the audit entries of old batches go with a prune. What then must still be there is believed only from a signed
record: the `prune` record, a confirmed restore, and the claims `trimming` (rows are going), `trimmed` (they have gone) and `ledger` (how
it stood when a log that knew no such claims was first opened). Each says all of it anew, so the newest one alone counts:

    floor                 batches up to this audit entry are meant
    rows, digest          of the rows of these batches that must be there (in `trimming` and `trimmed`: old_rows, old_digest)
    sums                  the digest of what retention took (`store/taken.py`); in `trimming` as it will be at the end
    gone                  in a restore: batches up to this entry had gone with retention
    before                in `trimming`: batches above this entry were whole when it began, the rows of these go in the order of their ids
    upto, until_us        in `trimming` and `trimmed`: rows of batches up to the entry, opened before that time, go and have gone

The entries `audit.pruned`, `ledger.trimming` and `ledger.trimmed` tell a person of it and excuse nothing. Only in a log in which no such
claim was signed yet they count as they did before, if a signature covers them: nothing that was not written here is ever signed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from app.core.events import AuditPruned, LedgerTrimmed, LedgerTrimming
from app.core.unreadable import UNREADABLE
from app.store import checkpoints, exchanges
from app.verifier import BadInputError, Record

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

TRIMMING: Final = "trimming"
TRIMMED: Final = "trimmed"
LEDGER: Final = "ledger"
_CLAIMS: Final = frozenset({TRIMMING, TRIMMED, LEDGER})
_ENTRY: Final = "SELECT seq, body FROM audit WHERE kind = ? AND seq <= ? ORDER BY seq DESC LIMIT 1"

D = TypeVar("D")


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """upto: batches up to this entry are held against `pinned`: how many rows of them there must be, and their digest; None where
    nothing says so. Of these, rows with an id below `cut` are going, and are not among the pinned; b"" when none are. before: batches
    above this entry were whole when that began.

    gone: rows of batches up to this entry with an id below `gone_cut` must be gone. sums: the digest of what retention took, with what
    is still going; "" where nothing says so. signed: a claim says it.
    """

    upto: int = 0
    pinned: tuple[int, str] | None = None
    cut: bytes = b""
    before: int = 0
    gone: int = 0
    gone_cut: bytes = b""
    sums: str = ""
    signed: bool = False

    @property
    def most(self) -> int:
        """Above this entry every batch is held against its own digest."""
        return max(self.upto, self.gone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Going:
    """What retention began: rows of batches up to audit entry `upto`, opened before `until_us`."""

    upto: int
    until_us: int
    reason: str


class _Pinned(msgspec.Struct):
    floor: int
    rows: int
    digest: str
    sums: str
    gone: int = 0


class _Trim(msgspec.Struct):
    floor: int
    old_rows: int
    old_digest: str
    sums: str
    upto: int
    until_us: int
    before: int = 0
    reason: str = ""


class _Prune(msgspec.Struct):
    detail: AuditPruned


class _Trimming(msgspec.Struct):
    detail: LedgerTrimming


class _Trimmed(msgspec.Struct):
    detail: LedgerTrimmed


def before(at_us: int) -> bytes:
    """The least id of a row opened at that time."""
    return (min(max(at_us, 0), exchanges.LATEST_US) // 1000 << 80).to_bytes(16)


def known(connection: Connection) -> Floor:
    """What the newest record says. BadInputError when the records are not as they were signed."""
    for record in checkpoints.chained(connection):
        if record.kind in ("prune", "restore") and record.claim:
            said = _claim(record, _Pinned)
            return Floor(upto=said.floor, pinned=(said.rows, said.digest), sums=said.sums, signed=True)
        if record.what == LEDGER:
            said = _claim(record, _Pinned)
            return Floor(upto=said.floor, pinned=(said.rows, said.digest), sums=said.sums, signed=True)
        if record.what in (TRIMMING, TRIMMED):
            trim = _claim(record, _Trim)
            cut, pinned = before(trim.until_us), (trim.old_rows, trim.old_digest)
            if record.what == TRIMMING:
                return Floor(upto=trim.floor, pinned=pinned, cut=cut, before=trim.before, sums=trim.sums, signed=True)
            return Floor(upto=trim.floor, pinned=pinned, gone=trim.upto, gone_cut=cut, sums=trim.sums, signed=True)
    return _by_entries(connection)


def unfinished(connection: Connection) -> Going | None:
    """What an earlier run of retention began and did not end."""
    for record in checkpoints.chained(connection):
        if record.what == TRIMMED:
            return None
        if record.what == TRIMMING:
            trim = _claim(record, _Trim)
            return Going(upto=trim.upto, until_us=trim.until_us, reason=trim.reason)
        if record.kind == "restore" and record.claim:
            return None
    _, trimmed, trimming = _entries(connection)
    if trimming is None or (trimmed is not None and trimmed[0] > trimming[0]):
        return None
    said = trimming[1].detail
    return Going(upto=said.upto, until_us=said.until_us, reason=said.reason)


def trimmed_upto(connection: Connection) -> int:
    """The newest batch (an audit entry) whose rows went with retention, as far as it was signed; 0 for none."""
    for record in checkpoints.chained(connection):
        if record.what == TRIMMED:
            return _claim(record, _Trim).upto
        if record.kind == "restore" and record.claim:
            return _claim(record, _Pinned).gone
    _, trimmed, _ = _entries(connection)
    return 0 if trimmed is None else trimmed[1].detail.upto


def _claim(record: Record, shape: type[D]) -> D:
    try:
        return msgspec.convert(record.claim, shape)
    except UNREADABLE as error:
        raise BadInputError("a claim that is none") from error


def _by_entries(connection: Connection) -> Floor:
    """What the entries say that a signature covers, in a log without such claims."""
    prune, trimmed, trimming = _entries(connection)
    pruned = 0 if prune is None else prune[1].detail.upto
    if trimming is not None and (trimmed is None or trimming[0] > trimmed[0]):
        going = trimming[1].detail
        upto = max(going.upto, pruned)
        return Floor(upto=upto, cut=before(going.until_us), before=upto)
    if trimmed is None:
        return Floor() if prune is None else Floor(upto=pruned, pinned=(prune[1].detail.rows, prune[1].detail.digest))
    gone, pinned = trimmed[1].detail, None
    if prune is not None and trimmed[0] > prune[0]:
        pinned = (gone.old_rows, gone.old_digest)
    elif prune is not None:
        pinned = (prune[1].detail.rows, prune[1].detail.digest)
    return Floor(upto=pruned, pinned=pinned, gone=gone.upto, gone_cut=before(gone.until_us))


def _entries(connection: Connection) -> tuple[tuple[int, _Prune] | None, tuple[int, _Trimmed] | None, tuple[int, _Trimming] | None]:
    newest = checkpoints.newest(connection)
    sealed = 0 if newest is None else newest.seq
    return (
        _newest(connection, AuditPruned.KIND, sealed, _Prune),
        _newest(connection, LedgerTrimmed.KIND, sealed, _Trimmed),
        _newest(connection, LedgerTrimming.KIND, sealed, _Trimming),
    )


def _newest(connection: Connection, kind: str, sealed: int, shape: type[D]) -> tuple[int, D] | None:
    """The newest entry of that kind up to `sealed`, and its number."""
    row = connection.exec_driver_sql(_ENTRY, (kind, sealed)).first()
    try:
        return None if row is None else (row[0], msgspec.json.decode(row[1], type=shape))
    except UNREADABLE:
        return None
