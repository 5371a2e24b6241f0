"""What the control channel is told of the audit log: how it stands, one entry in full, a verdict. Read in a reader's transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from app import verifier
from app.control import contract
from app.core import wishes
from app.core.errors import AppError
from app.core.events import GROUPS, audited
from app.store import audit, checkpoints, sealing, settings
from app.store.verified import Looked, Told, Verified
from app.verifier import Anchor, BadInputError, Finding

Connection = Any  # the store's; SQL is its alone
# What the vault's memory of the log is worth, by where it is.
WORTH: Final = {
    "keyring": "It is apart from the data folder: an older copy of the folder put back is noticed.",
    "passphrase": (
        "It is in vault.json, sealed, but in the same folder as the log: an older copy of the database is noticed, an older copy of the "
        "whole folder is not. Note the head now and then, or keep exports elsewhere."
    ),
    "session": "It ends with this session, as the log does: it shows changes made while Gatehouse runs, and nothing after.",
}


@dataclass(frozen=True, slots=True)
class Known:
    """What only the auditor knows. epoch: of the key that signs. anchored, verified: what the vault remembers. progress: of a
    verification."""

    epoch: int
    anchored: int
    anchored_us: int
    trouble: str
    starting: bool
    held: Finding | None
    verdict: contract.AuditVerdict | None
    progress: Told | None
    verified: Verified | None


def status(connection: Connection, known: Known, place: str, mode: str) -> contract.AuditStatus:
    """`place`, `mode`: of the vault."""
    entries, first, size = audit.span(connection)
    seq, head = audit.newest_link(connection)
    try:
        record = checkpoints.newest(connection)
    except BadInputError:
        record = None
    kinds = audited()
    groups: dict[str, int] = dict.fromkeys(GROUPS, 0)
    for kind, count in audit.counts(connection).items():
        if kind in kinds:
            groups[kinds[kind].GROUP] += count
    return contract.AuditStatus(
        entries=entries,
        first=first,
        seq=seq,
        head=head.hex(),
        size_bytes=size,
        sealed=0 if record is None else record.seq,
        sealed_us=0 if record is None else record.at_us,
        epoch=known.epoch,
        fingerprint=fingerprint(connection),
        anchored=known.anchored,
        anchored_us=known.anchored_us,
        place=place,
        worth=WORTH.get(mode, ""),
        trouble=known.trouble,
        starting=known.starting and bool(known.trouble),
        held=None if known.held is None else finding(known.held),
        verdict=known.verdict,
        verifying=None if known.progress is None else (known.progress.entries, known.progress.all_entries),
        verifying_rows=None if known.progress is None else (known.progress.rows, known.progress.all_rows),
        full_us=0 if known.verified is None else known.verified.full_us,
        full_seq=0 if known.verified is None else known.verified.full_seq,
        keep_days=int(settings.get(connection, "audit.keep_days", wishes.default("audit.keep_days"))),
        on_failure="continue" if settings.get(connection, "audit.on_failure", wishes.default("audit.on_failure")) == "continue" else "stop",
        groups=groups,
    )


def fingerprint(connection: Connection) -> str:
    """Of the log's first key, as a person compares it; "" while there is none that can be read."""
    try:
        opening = checkpoints.newest_of(connection, "restore", "genesis")
    except BadInputError:
        return ""
    return "" if opening is None else verifier.fingerprint(opening.key)


def entry(connection: Connection, seq: int) -> contract.AuditDetail:
    """AppError unknown_name."""
    found = audit.one(connection, seq)
    if found is None:
        raise AppError("unknown_name", f"There is no entry {seq}.")
    before, after = audit.neighbours(connection, seq)
    try:
        record = checkpoints.sealing(connection, seq)
    except BadInputError:
        record = None
    return contract.AuditDetail(
        entry=found,
        previous=before,
        following=after,
        sealed_by=0 if record is None else record.seq,
        sealed_us=0 if record is None else record.at_us,
        sealed_epoch=0 if record is None else record.epoch,
    )


def prunable(connection: Connection, before_us: int) -> contract.AuditPrunable:
    """What a prune of the entries older than that would take away."""
    found = sealing.prunable(connection, before_us)
    return contract.AuditPrunable(
        upto=found.upto,
        count=found.count,
        first=found.first,
        first_us=found.first_us,
        last_us=found.last_us,
        size_bytes=found.size_bytes,
        rows=found.rows,
        kept=found.kept,
    )


def finding(found: Finding) -> contract.AuditFinding:
    return contract.AuditFinding(kind=found.kind, seq=found.seq, sentence=found.sentence, advice=found.advice)


def verdict(looked: Looked, anchor: Anchor | None, at_us: int, took_ms: int) -> contract.AuditVerdict:
    found = looked.verdict
    return contract.AuditVerdict(
        intact=found.state == "intact",
        state="intact" if found.state == "intact" else "incomplete" if found.state == "incomplete" else "tampered",
        entries=found.entries,
        first=found.first,
        seq=found.seq,
        head=found.head.hex(),
        finding=found.findings[0].sentence if found.findings else "",
        findings=tuple(map(finding, found.findings)),
        notes=tuple(found.notes),
        sealed=found.sealed,
        anchored=0 if anchor is None else anchor.seq,
        rows=looked.rows.rows,
        batches=looked.rows.batches,
        since=looked.since,
        at_us=at_us,
        took_ms=took_ms,
    )
