"""Checks an audit log of Gatehouse. This one file is enough: it needs Python 3.11, `cryptography`, and nothing of Gatehouse.

    python -I verify.py [FOLDER] [--key FINGERPRINT] [--json]

FOLDER is an export (by default the folder this file lies in). FINGERPRINT is the log's, as its owner reads it off the Audit page; without
it the best answer is "incomplete": whole under the key it names, and nobody has said whose key that is. With -I nothing is imported from
the folder, whatever lies there and whatever the environment says; without it this file takes the folder off Python's path itself.

Exit codes: 0 intact, 1 tampered, 2 incomplete (something is missing that a full answer needs), 3 bad input (this is no export).

What is checked:

    entries      hash = SHA-256("gatehouse-audit-v1" 00 | previous hash | number, 8 bytes | length, 4 bytes | canonical JSON)
    checkpoints  records signed with Ed25519 over "gatehouse-audit-record-v1" 00 | canonical JSON; each holds the number and hash of the
                 newest entry and the root of the Merkle tree (RFC 6962, section 2.1) over the hashes of all entries. Kinds:
                   genesis     the first key, signed by itself
                   checkpoint
                   turn        the next key, signed by the one before, which is dropped then: the epoch ratchet
                   prune       what was taken away at the beginning: its last number and hash, and the tree's edge there
                   restore     a person went on from a log that did not fit what was known of it: a new key and a new beginning, and a
                               digest of all entries before it, as they were found
                   claim       something else that is believed only signed, by name (`what`): what retention takes from the ledger, or
                               the digest of what stood in the database
    what went    an entry `audit.pruned`, `ledger.trimming` or `ledger.trimmed` tells that entries or rows went; the record that was signed
                 with it must say the same, and no such record is without its entry
    manifest     the export's files with their sizes and digests, signed by the newest key; what else lies there is named, and not checked

Hostile input must end in a verdict, never in a crash, and never in "intact".
"""

import sys

if __name__ == "__main__":
    # What lies beside this file is a stranger's, and so is the current folder: nothing is imported from there, and nothing was before
    # this line. (`from __future__` would have been. `os` is there already: the interpreter needs it for itself.)
    import os

    _strange = [os.path.realpath(os.path.dirname(__file__)), os.path.dirname(os.path.realpath(__file__))]  # noqa: PTH120 - no pathlib yet
    try:  # noqa: SIM105 - no contextlib yet
        _strange.append(os.path.realpath(os.curdir))
    except OSError:
        pass  # the current folder is gone, and nothing can be in it
    _strange = [os.path.normcase(folder) for folder in _strange]
    _kept = [entry for entry in sys.path if os.path.isabs(entry)]  # noqa: PTH117 - likewise
    sys.path[:] = [entry for entry in _kept if os.path.normcase(os.path.realpath(entry)) not in _strange]

import argparse
import hashlib
import json
import os
import re
import stat
import struct
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

ENTRY: Final = b"gatehouse-audit-v1\0"
RECORD: Final = b"gatehouse-audit-record-v1\0"
EXPORT: Final = b"gatehouse-audit-export-v1\0"
GENESIS: Final = b"\0" * 32
ENTRIES_FILE: Final = "entries.jsonl"
RECORDS_FILE: Final = "checkpoints.jsonl"
MANIFEST_FILE: Final = "manifest.json"
LASTING: Final = frozenset({"genesis", "turn", "prune", "restore", "claim"})

State = Literal["intact", "tampered", "incomplete", "bad input"]
EXIT_CODES: Final[dict[State, int]] = {"intact": 0, "tampered": 1, "incomplete": 2, "bad input": 3}
Progress = Callable[[int], None]

_AT_ONCE: Final = 2_000
_RECORDS_AT_ONCE: Final = 200
_LONGEST_LINE: Final = 64 << 20
_MOST_NAMES: Final = 10_000
_NAMED: Final = 20
_LONGEST_NAME: Final = 80
_NOTHING: Final = hashlib.sha256(b"").digest()
_sha256: Final = hashlib.sha256


class BadInputError(Exception):
    """This is not what it should be, and nothing can be said about it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. kind: see `ADVICE`. seq: the entry from which on it is so, or the last good one for what is missing."""

    kind: str
    seq: int
    sentence: str

    @property
    def advice(self) -> str:
        return ADVICE[self.kind]


_COMPARE: Final = "Export the log before anything else, and compare it with an older export or a backup."
ADVICE: Final[dict[str, str]] = {
    "edited": f"Somebody with the database's key changed it. {_COMPARE}",
    "gap": f"Somebody with the database's key removed entries. {_COMPARE}",
    "unsigned prune": f"Entries at the beginning went without a signed record of it. {_COMPARE}",
    "rewritten": f"Somebody with the database's key wrote these entries anew, with fitting hashes. {_COMPARE}",
    "cut": f"The newest entries are missing, while what was signed over them is still there. {_COMPARE}",
    "rolled back": (
        "If you put an older copy or a backup back, confirm it as a restore. If you did not, somebody else did: export the log and look."
    ),
    "replaced": "This is not the log that was here before. Look for the right database; do not confirm this one unless you know why.",
    "forged": f"A checkpoint is not signed by the key of its time: somebody without that key made it. {_COMPARE}",
    "missing checkpoints": f"Somebody with the database's key removed them. {_COMPARE}",
    "unconfirmed": "A restore is in the log that this machine's vault knows nothing of. Confirm it only if it was yours.",
    "evidence": f"Somebody with the database's key changed what an earlier finding was about. {_COMPARE}",
    "ledger": "Somebody with the database's key changed rows of the ledger. Compare them with an older export or a backup.",
    "appended": f"No run of this gateway wrote them: somebody with the database's key did. Nothing was signed over them. {_COMPARE}",
    "schema": "Somebody with the database's key changed how the database is built. Copy it away as it is, then put a backup back.",
    "state": "Somebody with the database's key changed what is in force, and no entry says so. Look at it, and set it as you want it.",
    "sums": "Somebody with the database's key changed sums that the Usage page shows. Compare them with an older export or a backup.",
    "connections": "Somebody with the database's key changed what is recorded of connections. Compare it with an older report or a backup.",
    "damaged": "A failing disk does that, or somebody without the database's key. Copy the file away as it is, then put a backup back.",
    "no key": (
        "The vault does not hold the key that signs this log. Put the vault back that you had; if it is the one you had, somebody without "
        f"it signed this log anew. {_COMPARE}"
    ),
    "no anchor": "The vault does not say how far the log had come, so entries missing at its end would not show.",
    "unsigned": "Nothing is signed here yet.",
    "no pin": 'Read the fingerprint off the Audit page of the log\'s owner, or ask them for it, and give it: --key "FINGERPRINT".',
    "another key": "The log is whole under another key than the one you gave. Ask its owner.",
    "missing file": "Copy the whole folder again. A link, a pipe or a device in place of a file is not followed.",
    "short file": "The file ends early. Copy the whole folder again.",
    "changed file": "The file is not the one that was exported. Export again where the log is, and compare.",
    "unreadable": "The line is not what an export writes. Export again where the log is, and compare.",
}
_INCOMPLETE: Final = frozenset({"no anchor", "unsigned", "no pin", "missing file", "short file"})


@dataclass(slots=True)
class Verdict:
    """What came of it. seq, head: number and hash of the last entry that is good. sealed: up to where a signature covers the entries.

    first: number of the first entry; 0 when there is none. set_aside: the last entry before a confirmed restore, or 0. fingerprint:
    of the log's first key. number: of the newest record. notes: what is not wrong but should be known.
    """

    entries: int = 0
    first: int = 0
    seq: int = 0
    head: bytes = GENESIS
    sealed: int = 0
    records: int = 0
    number: int = -1
    epochs: int = 0
    set_aside: int = 0
    log: str = ""
    fingerprint: str = ""
    key: bytes = b""
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def state(self) -> State:
        if any(finding.kind not in _INCOMPLETE for finding in self.findings):
            return "tampered"
        return "incomplete" if self.findings else "intact"

    def find(self, kind: str, seq: int, sentence: str) -> None:
        self.findings.append(Finding(kind, seq, sentence))


# -- hashes


def link(prev: bytes, seq: int, body: bytes) -> bytes:
    """The hash of entry `seq`."""
    return _sha256(ENTRY + prev + struct.pack(">QI", seq, len(body)) + body).digest()


class Tree:
    """A Merkle tree (RFC 6962, 2.1) that only grows, known by its right edge: one complete subtree for each bit of its size."""

    def __init__(self, size: int = 0, edge: Sequence[bytes] = ()) -> None:
        """`edge`: the subtrees' hashes, largest first, as `edge()` gave them. ValueError when they cannot belong to `size` leaves."""
        if size < 0 or len(edge) != size.bit_count() or any(len(node) != 32 for node in edge):
            raise ValueError("no edge of a tree of that size")
        self.size = size
        places = [level for level in range(size.bit_length()) if size >> level & 1]
        self._levels: dict[int, bytes] = dict(zip(reversed(places), edge, strict=True))

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add leaves in order."""
        sha256, level = _sha256, 0
        nodes = [sha256(b"\0" + leaf).digest() for leaf in leaves]
        self.size += len(nodes)
        while nodes:
            waiting = self._levels.pop(level, None)
            if waiting is not None:
                nodes.insert(0, waiting)
            if len(nodes) & 1:
                self._levels[level] = nodes.pop()
            nodes = [sha256(b"\1" + left + right).digest() for left, right in zip(nodes[::2], nodes[1::2], strict=True)]
            level += 1

    def edge(self) -> list[bytes]:
        return [self._levels[level] for level in sorted(self._levels, reverse=True)]

    def root(self) -> bytes:
        result = b""
        for level in sorted(self._levels):
            node = self._levels[level]
            result = _sha256(b"\1" + node + result).digest() if result else node
        return result or _NOTHING


def fingerprint(key: bytes) -> str:
    """How a person compares a public key: 32 hexadecimal digits in groups of four."""
    digits = _sha256(key).hexdigest()[:32]
    return " ".join(digits[place : place + 4] for place in range(0, 32, 4))


# -- records


@dataclass(frozen=True, slots=True)
class Record:
    """A checkpoint as it was signed. base: the entry after which the log begins for this record (prune, restore), with its hash."""

    body: bytes
    signature: bytes
    kind: str
    log: str
    number: int
    seq: int
    head: bytes
    root: bytes
    epoch: int
    at_us: int
    last: bytes
    key: bytes = b""
    base: int = 0
    base_head: bytes = GENESIS
    edge: tuple[bytes, ...] = ()
    found: tuple[str, ...] = ()
    aside: bytes = b""
    what: str = ""
    claim: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> bytes:
        return _sha256(RECORD + self.body).digest()

    @staticmethod
    def of(body: bytes, signature: bytes) -> "Record":
        """BadInputError when the bytes are not a record."""
        said = _object(body)
        try:
            kind = _text(said, "kind", 16)
            key = base_head = aside = b""
            base, edge, found = 0, tuple[bytes, ...](), tuple[str, ...]()
            what, claim = "", dict[str, Any]()
            if kind in ("genesis", "turn", "restore"):
                key = _hash(said, "key")
            if kind in ("prune", "restore"):
                base, base_head = _number(said, "base"), bytes.fromhex(_text(said, "base_head", 4096))
            if kind == "prune":
                edge = tuple(_hash({"node": node}, "node") for node in _list(said, "edge", 64))
            if kind == "restore":
                found = tuple(str(text)[:500] for text in _list(said, "found", 100))
                aside = _hash(said, "aside")
            if kind == "claim":
                what = _text(said, "what", 32)
            if kind == "claim" or "claim" in said:
                claim = _claim(said)
            if kind not in LASTING and kind != "checkpoint":
                raise BadInputError(f"there are no records of the kind {kind!r}")
            return Record(
                body=bytes(body),
                signature=bytes(signature),
                kind=kind,
                log=_text(said, "log", 64),
                number=_number(said, "number"),
                seq=_number(said, "seq"),
                head=bytes.fromhex(_text(said, "head", 4096)),
                root=_hash(said, "root"),
                epoch=_number(said, "epoch"),
                at_us=_number(said, "at_us"),
                last=bytes.fromhex(_text(said, "last", 64)),
                key=key,
                base=base,
                base_head=base_head or GENESIS,
                edge=edge,
                found=found,
                aside=aside,
                what=what,
                claim=claim,
            )
        except (ValueError, TypeError) as error:
            raise BadInputError("a record that is none") from error


@dataclass(frozen=True, slots=True)
class Point:
    """A record up to which everything was verified before, so that judging may go on after it.

    number, seq, head: of the record, of the entry it was signed over. key, epoch, last: what the record after it must be signed with and
    say. It must come from a place that whoever may have changed the log cannot write to.
    """

    log: str
    number: int
    seq: int
    head: bytes
    key: bytes
    epoch: int
    last: bytes


@dataclass(frozen=True, slots=True)
class Anchor:
    """What the vault remembers of the log, so that an older copy or another log is noticed. closed: that run ended in an orderly way, and
    `seq` was its last entry."""

    log: str
    seq: int
    head: bytes
    epoch: int
    number: int
    record: bytes
    at_us: int
    closed: bool = False

    def text(self) -> str:
        return json.dumps(
            {
                "v": 1,
                "log": self.log,
                "seq": self.seq,
                "head": self.head.hex(),
                "epoch": self.epoch,
                "number": self.number,
                "record": self.record.hex(),
                "at_us": self.at_us,
                "closed": self.closed,
            },
            separators=(",", ":"),
        )

    @staticmethod
    def of(text: str) -> "Anchor":
        """BadInputError when the text is no anchor."""
        said = _object(text.encode("utf-8", "surrogatepass"), strict=False)
        try:
            return Anchor(
                log=_text(said, "log", 64),
                seq=_number(said, "seq"),
                head=bytes.fromhex(_text(said, "head", 4096)),
                epoch=_number(said, "epoch"),
                number=_number(said, "number"),
                record=_hash(said, "record"),
                at_us=_number(said, "at_us"),
                closed=said.get("closed") is True,
            )
        except (ValueError, TypeError) as error:
            raise BadInputError("an anchor that is none") from error


def canonical(value: Mapping[str, object]) -> bytes:
    """The one encoding of a JSON object: keys sorted, no blanks, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")


def signed_by(key: bytes, domain: bytes, body: bytes, signature: bytes) -> bool:
    """Whether `signature` is that of the Ed25519 key over `domain` and `body`."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - 20 ms that only a check needs
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - likewise

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, domain + body)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


# -- the judgement


@dataclass(slots=True)
class _Section:
    """The records of one beginning (genesis or restore) and what they say about the entries after it.

    start: the entry before the tree's first leaf. aside: the digest of the entries up to it, b"" when there are none. base, base_head,
    edge: where the entries begin now. wanted: (number of an entry, its hash, the root there, the record's number), in order. rooted: the
    whole tree is known; after a `Point` it is not, and the hashes of the chain, which are signed too, say the same.

    excuses: the records that say that something went, by the entry that tells the same. excused_after: every entry after this one that
    tells that rows went has its record; -1 in a log of a version that signed none.
    """

    start: int
    base: int
    base_head: bytes
    aside: bytes = b""
    edge: tuple[bytes, ...] = ()
    wanted: list[tuple[int, bytes, bytes, int]] = field(default_factory=list)
    rooted: bool = True
    excuses: dict[int, "Record"] = field(default_factory=dict)
    excused_after: int = -1


def judge(
    records: Iterable[tuple[bytes, bytes]],
    entries: Iterable[tuple[Any, Any, Any]],
    *,
    anchor: Anchor | None = None,
    key: bytes = b"",
    pin: str = "",
    after: Point | None = None,
    progress: Progress | None = None,
) -> Verdict:
    """Hold `(number, body, hash)` entries against `(body, signature)` records and what else is known.

    anchor: what the vault remembers; without it, what is missing at the end with its checkpoints cannot be seen. key: the public key with
    which the vault signs now; without it, a log that was pruned beyond the anchor might be anybody's. pin: the fingerprint the log must
    have. after: only the records and entries after that point are given. progress: called with the number of entries read, every some
    milliseconds, also while it is still 0 because signatures are checked.
    """
    verdict = Verdict()
    read = _read(records, verdict)
    section = _section(read, verdict, progress) if after is None else _going_on(after, read, verdict, progress)
    signed = bool(read) or after is not None
    if anchor is not None:
        _hold_against(anchor, read, verdict, -1 if after is None else after.number)
    if pin and "".join(pin.split()).lower() != verdict.fingerprint.replace(" ", ""):
        verdict.find("another key", 0, f"The log's fingerprint is {verdict.fingerprint or 'not there'}, not {pin[:64]}.")
    _walk(section, entries, verdict, anchor, progress)
    if key and signed and not verdict.findings and verdict.key != key:
        verdict.find("no key", verdict.sealed, "This log is signed with another key than the one that the vault holds.")
    if signed and not verdict.findings and verdict.set_aside:
        verdict.notes.append(f"Entries up to {verdict.set_aside} were set aside when a restore was confirmed; what follows is whole.")
    if not signed and not verdict.findings:
        verdict.find("unsigned", 0, "No checkpoint was signed yet.")
    verdict.findings.sort(key=lambda finding: _RANK.get(finding.kind, 5))
    return verdict


# What explains the most comes first.
_RANK: Final = {"replaced": 0, "forged": 1, "evidence": 2, "edited": 2, "gap": 2, "unsigned prune": 2, "rewritten": 3, "cut": 4}


def _read(records: Iterable[tuple[bytes, bytes]], verdict: Verdict) -> list[Record]:
    """The records. One that is none is a finding, unless a person went on from it by a restore."""
    read: list[Record] = []
    bad = 0
    for body, signature in records:
        try:
            record = Record.of(body, signature)
        except (BadInputError, TypeError):
            bad = bad or len(read) + 1
            continue
        bad = 0 if record.kind == "restore" else bad
        read.append(record)
    if bad:
        verdict.find("forged", read[-1].seq if read else 0, f"Record {bad} of the checkpoints cannot be read.")
    return read


def _section(read: list[Record], verdict: Verdict, progress: Progress | None) -> _Section:
    """Check every signature and the order of the records since the last beginning. Nothing after the first finding is to be trusted."""
    verdict.records = len(read)
    first = max((place for place, record in enumerate(read) if record.kind == "restore"), default=0)
    if not read:
        return _Section(0, 0, GENESIS)
    opening = read[first]
    section = _Section(opening.base, opening.base, opening.base_head, opening.aside)
    verdict.log, verdict.fingerprint = opening.log, fingerprint(opening.key)
    at = Point(opening.log, opening.number - 1, 0, b"", opening.key, opening.epoch, opening.last)
    _follow(at, read[first:], section, verdict, progress)
    return section


def _going_on(after: Point, read: list[Record], verdict: Verdict, progress: Progress | None) -> _Section:
    """As `_section`, of the records after a point."""
    section = _Section(0, after.seq, after.head, rooted=False)
    verdict.records, verdict.log = len(read), after.log
    verdict.sealed, verdict.number = after.seq, after.number
    _follow(after, read, section, verdict, progress)
    return section


def _follow(at: Point, records: list[Record], section: _Section, verdict: Verdict, progress: Progress | None) -> None:
    """Check that each record is signed, and follows from the one before it; the first, where a log opens, from what it says itself."""
    log, key, epoch, number, seq, last = at.log, at.key, at.epoch, at.number, at.seq, at.last
    missing = 0  # the newest record that is not there and must have been dropped by a prune to come
    for place, record in enumerate(records):
        if progress is not None and not place % _RECORDS_AT_ONCE:
            progress(0)
        if (record.kind in ("genesis", "restore")) != (place == 0 and section.rooted):
            verdict.find("forged", record.seq, f"Record {record.number} opens a log where none can begin.")
        elif not signed_by(key, RECORD, record.body, record.signature):
            verdict.find("forged", record.seq, f"The checkpoint at entry {record.seq} is not signed by the key of epoch {epoch}.")
        elif (record.log, record.epoch, record.last) != (log, epoch, last) or record.number <= number or record.seq < seq:
            verdict.find("forged", record.seq, f"Record {record.number} of the checkpoints does not follow the one before it.")
        elif record.kind == "prune" and not (section.base if section.rooted else 0) <= record.base <= record.seq:
            verdict.find("forged", record.seq, f"Record {record.number} prunes what is not there.")
        else:
            missing = record.number - 1 if record.number != number + 1 else missing
            number, seq = record.number, record.seq
            if record.kind == "prune" and record.base >= section.base:
                section.base, section.base_head, section.edge, section.aside = record.base, record.base_head, record.edge, b""
            if record.kind == "prune":
                missing = 0
            elif record.kind == "turn":
                key, epoch = record.key, epoch + 1
            if record.kind in LASTING:
                last = record.digest
            _note_excuse(section, record)
            section.wanted.append((record.seq, record.head, record.root if section.rooted else b"", record.number))
            verdict.sealed, verdict.number = record.seq, record.number
            continue
        break
    verdict.key, verdict.epochs = key, epoch
    if missing and not verdict.findings:
        sentence = f"Checkpoints before record {missing + 1} are missing, and no signed record says that they were pruned."
        verdict.find("missing checkpoints", seq, sentence)


# The entries that tell that something went, and the record that must have been signed with each.
_EXCUSES: Final = {"audit.pruned": "prune", "ledger.trimming": "trimming", "ledger.trimmed": "trimmed"}
_TOLD: Final = (b'"audit.pruned"', b'"ledger.trimm')


def _note_excuse(section: _Section, record: Record) -> None:
    if record.kind == "prune" or record.what in ("trimming", "trimmed"):
        section.excuses[record.seq] = record
    if section.excused_after < 0 and record.what in ("trimming", "trimmed"):
        section.excused_after = record.seq - 1
    elif section.excused_after < 0 and (record.what == "ledger" or (record.claim and record.kind in ("prune", "restore"))):
        section.excused_after = record.seq


def _excused(batch: list[tuple[Any, Any, Any]], verdict: Verdict, section: _Section) -> None:
    """An entry that tells that something went is believed only with its record, which was signed with it; and the other way round."""
    told = b"\n".join([body for _, body, _ in batch])  # one search in all of them takes a fifth of the time
    if not any(kind in told for kind in _TOLD):
        return
    for seq, body, _ in batch:
        if not any(kind in body for kind in _TOLD):
            continue
        try:
            said = json.loads(body)
            wanted, detail = _EXCUSES.get(said["kind"]), said["detail"]
        except (ValueError, TypeError, KeyError, RecursionError):
            continue  # it tells nothing that anybody reads
        if wanted is None or (wanted != "prune" and not 0 <= section.excused_after < seq):
            continue
        record = section.excuses.pop(seq, None)
        if record is None or wanted not in (record.kind, record.what) or not isinstance(detail, dict) or not _says(record, detail):
            what = "entries" if wanted == "prune" else "rows of the ledger"
            sentence = f"Entry {seq} tells that {what} went, and no record that was signed with it says so."
            verdict.find("unsigned prune" if wanted == "prune" else "ledger", seq, sentence)
            return


def _says(record: Record, detail: Mapping[str, Any]) -> bool:
    """Whether the record says nothing else than the entry does."""
    said = dict(record.claim) | ({"upto": record.base, "head": record.base_head.hex()} if record.kind == "prune" else {})
    return all(detail[name] == value for name, value in said.items() if name in detail)


def _unexcused(verdict: Verdict, section: _Section) -> None:
    """Records of what went whose entry tells something else."""
    for seq, record in section.excuses.items():
        if section.base < seq <= verdict.seq and not verdict.findings:
            what = record.what or record.kind
            verdict.find("forged", seq, f"Record {record.number} ({what}) was signed at entry {seq}, which tells of something else.")


def _hold_against(anchor: Anchor, read: list[Record], verdict: Verdict, before: int) -> None:
    """Is this the log the vault knows, and is it at least as long? before: the record before the first of `read`, -1 for none."""
    known = next((record for record in read if record.number == anchor.number), None)
    newest = read[-1].number if read else before
    if known is not None and known.digest != anchor.record:
        verdict.find("replaced", 0, f"Record {known.number} is not the one that the vault remembers: this is another log.")
    elif (read or before >= 0) and verdict.log != anchor.log:
        verdict.find("replaced", 0, "This is another log than the one that the vault remembers.")
    elif newest < anchor.number:
        at = read[-1].seq if read else verdict.sealed
        verdict.find("rolled back", at, f"The vault remembers entry {anchor.seq}; the newest checkpoint here is that of entry {at}.")
    for record in read:
        if record.kind == "restore" and record.number > anchor.number:
            verdict.find("unconfirmed", record.seq, f"A restore after entry {record.base} is not known to the vault.")


def _walk(
    section: _Section, entries: Iterable[tuple[Any, Any, Any]], verdict: Verdict, anchor: Anchor | None, progress: Progress | None
) -> None:
    """Read every entry once. Entries before a confirmed restore are counted and set aside."""
    verdict.set_aside = section.start
    verdict.seq, verdict.head = section.base, section.base_head
    try:
        tree = Tree(section.base - section.start, section.edge) if section.rooted else Tree()
    except ValueError:
        verdict.find("forged", section.base, f"The record that pruned up to entry {section.base} holds no edge of a tree.")
        tree = Tree()
    wanted = [need for need in section.wanted if need[0] >= section.base]
    if anchor is not None and anchor.seq >= section.base and not any(finding.kind == "replaced" for finding in verdict.findings):
        wanted.append((anchor.seq, anchor.head, b"", -1))
    wanted.sort()
    place = _settle(wanted, 0, section.base, [section.base_head], verdict, tree)
    rows = iter(entries)
    if section.start:
        rows = _after(rows, section, verdict)
    done = 0
    while batch := list(islice(rows, _AT_ONCE)):
        whole = _chain(batch, verdict, section)
        if place >= 0:
            place = _settle(wanted, place, verdict.seq - len(whole), whole, verdict, tree, leaves=True)
        if not verdict.findings:
            _excused(batch, verdict, section)
        done += len(batch)
        if progress is not None:
            progress(done)
        if len(whole) < len(batch):
            return
    _unexcused(verdict, section)
    if place >= 0:
        _ends(wanted[place:], anchor, verdict)


def _after(rows: Iterator[tuple[Any, Any, Any]], section: _Section, verdict: Verdict) -> Iterator[tuple[Any, Any, Any]]:
    """Skip what a restore set aside: evidence is not judged again, but it must be what was found then."""
    digest, follow = _sha256(), list[tuple[Any, Any, Any]]()
    for row in rows:
        if type(row[0]) is not int or row[0] > section.start:
            follow.append(row)
            break
        digest.update(_as_found(*row))
        verdict.entries += 1
        verdict.first = verdict.first or row[0]
    if section.aside and digest.digest() != section.aside:
        sentence = f"The entries up to {section.start}, set aside at a restore, are not those that were found then."
        verdict.find("evidence", section.start, sentence)
    yield from follow
    yield from rows


def set_aside(rows: Iterable[tuple[Any, Any, Any]]) -> bytes:
    """The digest of entries whatever somebody made of them."""
    digest = _sha256()
    for row in rows:
        digest.update(_as_found(*row))
    return digest.digest()


def _as_found(seq: object, body: object, said: object) -> bytes:
    """An entry as the bytes that an export keeps of it, without a doubt where each part ends."""
    number, raw, was = exported(seq, body, said)
    return b"%d %d %d " % (number, len(raw), len(was)) + raw + was


def exported(seq: object, body: object, said: object) -> tuple[int, bytes, bytes]:
    """The number, body and hash that an export keeps of an entry which somebody may have made into something else."""
    raw = body if isinstance(body, bytes) else str(body).encode("utf-8", "replace")
    return seq if type(seq) is int else 0, raw, said if isinstance(said, bytes) else b""


def _chain(batch: list[tuple[Any, Any, Any]], verdict: Verdict, section: _Section) -> list[bytes]:
    """The hashes of the entries of `batch` up to the first that does not follow."""
    seq, head = verdict.seq, verdict.head
    hashes: list[bytes] = []
    pack, sha256, entry = struct.Struct(">QI").pack, _sha256, ENTRY
    add = hashes.append
    for row_seq, body, said in batch:
        try:
            if row_seq != seq + 1:
                _missing(row_seq, seq, section, verdict)
                break
            digest = sha256(entry + head + pack(row_seq, len(body)) + body).digest()
        except (TypeError, struct.error):  # not even bytes any more
            digest = b""
        if digest != said or not digest:
            verdict.find("edited", seq + 1, f"Entry {seq + 1} does not match its hash: it, or one before it, was changed.")
            break
        seq, head = row_seq, digest
        add(digest)
    if hashes:
        verdict.first = verdict.first or verdict.seq + 1
    verdict.entries += len(hashes)
    verdict.seq, verdict.head = seq, head
    return hashes


def _missing(row_seq: object, seq: int, section: _Section, verdict: Verdict) -> None:
    said = row_seq if type(row_seq) is int else seq + 1
    if seq == section.base and said > seq + 1 and section.rooted:
        sentence = f"Entries {seq + 1} to {said - 1} are missing at the beginning, and no signed record says that they were pruned."
        verdict.find("unsigned prune", said, sentence)
    else:
        verdict.find("gap", said, f"Entry {said} does not follow entry {seq}: at least one entry is missing.")


def _settle(
    wanted: list[tuple[int, bytes, bytes, int]],
    place: int,
    before: int,
    hashes: list[bytes],
    verdict: Verdict,
    tree: Tree,
    *,
    leaves: bool = False,
) -> int:
    """Hold what records say against entries that were just read; the next record's place, or -1 after a finding.

    `hashes` are those of the entries after `before`; with `leaves` False it is the hash of entry `before` itself, already in the tree.
    """
    newest = before + len(hashes) if leaves else before
    taken = 0
    while place < len(wanted) and wanted[place][0] <= newest:
        seq, head, root, number = wanted[place]
        if leaves and seq - before > taken:
            tree.extend(hashes[taken : seq - before])
            taken = seq - before
        actual = hashes[seq - before - 1] if leaves else hashes[0]
        # The root above entries that were already pruned is not known for records before the prune at the same place: the edge gives it.
        if actual != head or (root and tree.root() != root):
            by = "the vault remembers" if number < 0 else f"record {number} was signed over"
            verdict.find("rewritten", seq, f"Entry {seq} is not the one that {by}: entries up to it were written anew.")
            return -1
        place += 1
    if leaves:
        tree.extend(hashes[taken:])
    return place


def _ends(left: list[tuple[int, bytes, bytes, int]], anchor: Anchor | None, verdict: Verdict) -> None:
    """Nothing may be left that speaks of entries after the last one."""
    signed = max((seq for seq, _, _, number in left if number >= 0), default=0)
    if signed:
        verdict.find("cut", verdict.seq, f"The log ends at entry {verdict.seq}, but entry {signed} was signed: the end was cut off.")
    elif anchor is not None and anchor.seq > verdict.seq and not any(finding.kind in _RANK for finding in verdict.findings):
        verdict.findings = [finding for finding in verdict.findings if finding.kind != "rolled back"]
        sentence = f"The vault remembers entry {anchor.seq}; the log ends at entry {verdict.seq}: an older state was put back."
        verdict.find("rolled back", verdict.seq, sentence)


# -- an export

_ENTRY_LINE: Final = re.compile(rb'\{"body":(\{.*\}),"hash":"([0-9a-f]{64})","seq":(0|[1-9][0-9]{0,18})\}\n')
_RAW_LINE: Final = re.compile(rb'\{"hash":"((?:[0-9a-f]{2})*+)","raw":"((?:[0-9a-f]{2})*+)","seq":(0|-?[1-9][0-9]{0,18})\}\n')
_SIGNED_LINE: Final = re.compile(rb'\{"body":(\{.*\}),"signature":"((?:[0-9a-f]{128})?)"\}\n')


def check(folder: Path, *, pin: str = "", progress: Progress | None = None) -> Verdict:
    """The verdict on an export; without a `pin` at best "incomplete". BadInputError when it is none."""
    # 1. what was exported, and whether that is here, by its size
    body, signature = _manifest(folder)
    said = _object(body)
    files = said.get("files")
    if said.get("kind") != "export" or not isinstance(files, dict) or not {ENTRIES_FILE, RECORDS_FILE} <= set(files):
        raise BadInputError(f"{MANIFEST_FILE} does not describe an export.")
    damage = [finding for name in sorted(files) if (finding := _size(folder, name, files[name])) is not None]
    others = _others(folder, {*files, MANIFEST_FILE})
    if any(finding.kind == "changed file" for finding in damage):
        return Verdict(findings=damage, notes=others)  # what somebody made larger may have no end
    # 2. the log itself, as far as it is here
    lines = _Lines()
    records = lines.of(folder / RECORDS_FILE, _record_line)
    entries = lines.of(folder / ENTRIES_FILE, _entry_line)
    verdict = judge(records, entries, pin=pin, progress=progress)
    verdict.notes += others
    if damage:
        # What the end of a file would have said is missing; the rest must still fit.
        verdict.findings = [finding for finding in verdict.findings if finding.kind not in ("cut", "unsigned", "evidence")]
    if any(RECORDS_FILE in finding.sentence for finding in damage):
        verdict.findings = damage  # without what was signed nothing more can be said
        return verdict
    verdict.findings += [*damage, *lines.findings]
    # 3. the seal over all of it
    if not signature:
        verdict.find("unsigned", verdict.seq, "The export itself is not signed.")
    elif not verdict.key or not signed_by(verdict.key, EXPORT, body, signature):
        verdict.find("forged", verdict.seq, f"{MANIFEST_FILE} is not signed by the newest key of this log.")
    for name, is_so in (("seq", verdict.seq), ("head", verdict.head.hex()), ("number", verdict.number), ("log", verdict.log)):
        if not verdict.findings and (said.get(name) != is_so or type(said.get(name)) is not type(is_so)):
            verdict.find("changed file", verdict.seq, f"{MANIFEST_FILE} says something else about {name!r} than the log.")
    if verdict.state != "tampered":
        verdict.findings += [finding for name in sorted(files) if (finding := _content(folder, name, files[name])) is not None]
    if not pin and verdict.state != "tampered":
        verdict.find("no pin", verdict.seq, "What is here is whole under the key it names, but whose key that is nobody has said.")
    return verdict


def _manifest(folder: Path) -> tuple[bytes, bytes]:
    try:
        with _regular(folder / MANIFEST_FILE) as file:
            text = file.read(1 << 20)
    except (OSError, ValueError) as error:
        raise BadInputError(f"There is no {MANIFEST_FILE} that can be read.") from error
    found = _SIGNED_LINE.fullmatch(text)
    if found is None:
        raise BadInputError(f"{MANIFEST_FILE} is not what an export writes.")
    return found[1], bytes.fromhex(found[2].decode("ascii"))


def _regular(path: Path) -> BinaryIO:
    """OSError for what is no file: reading a pipe or a device might never end, and a link leads out of the folder."""
    _must_be_plain(path.lstat(), path)
    file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        _must_be_plain(os.fstat(file), path)
        return os.fdopen(file, "rb")
    except OSError:
        os.close(file)
        raise


def _must_be_plain(info: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(info.st_mode):
        raise FileNotFoundError(path.name)


def _size(folder: Path, name: object, said: object) -> Finding | None:
    """Is the file of the export here, and as large as it was? Reads nothing of it."""
    if (
        not isinstance(name, str)
        or not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name)
        or name.startswith(".")
        or not isinstance(said, dict)
        or type(said.get("bytes")) is not int
    ):
        raise BadInputError(f"{MANIFEST_FILE} names a file that no export has.")
    try:
        with _regular(folder / name) as file:
            size = os.fstat(file.fileno()).st_size
    except OSError:
        return Finding("missing file", 0, f"{name} is missing, or is no ordinary file.")
    if size < said["bytes"]:
        return Finding("short file", 0, f"{name} has {size} of its {said['bytes']} bytes.")
    if size > said["bytes"]:
        return Finding("changed file", 0, f"{name} has {size} bytes instead of {said['bytes']}, so it was not read.")
    return None


def _content(folder: Path, name: str, said: Mapping[str, Any]) -> Finding | None:
    """Is the file, which has its size or less, the one that was exported? Reads it whole."""
    digest, left = _sha256(), said["bytes"]
    try:
        with _regular(folder / name) as file:
            while part := file.read(1 << 20):
                digest.update(part)
                left -= len(part)
    except OSError:
        return None  # said already
    if left > 0 or digest.hexdigest() == said.get("sha256"):
        return None  # a file that is short was said already
    return Finding("changed file", 0, f"{name} is not the file that was exported.")


def _others(folder: Path, known: Container[str]) -> list[str]:
    """What lies in the folder beside what was exported, as one note that is safe to print: whoever gave the folder chose these names."""
    with os.scandir(folder) as found:
        names = sorted(ascii(entry.name)[:_LONGEST_NAME] for entry in islice(found, _MOST_NAMES) if entry.name not in known)
    if not names:
        return []
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [f"Not part of what was exported, and not checked: {', '.join(names[:_NAMED])}{more}."]


class _Lines:
    """The lines of an export's files. What is no line of ours ends its file and is a finding."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def of(self, path: Path, parsed: Callable[[bytes], Any]) -> Iterator[Any]:
        try:
            file = _regular(path)
        except OSError:
            return
        with file:
            number = 0
            while line := file.readline(_LONGEST_LINE):
                number += 1
                found = parsed(line)
                if found is None:
                    kind = "unreadable" if line.endswith(b"\n") else "short file"
                    self.findings.append(Finding(kind, 0, f"Line {number} of {path.name} cannot be read."))
                    return
                yield found


def _entry_line(line: bytes) -> tuple[int, bytes, bytes] | None:
    if (found := _ENTRY_LINE.fullmatch(line)) is not None:
        return int(found[3]), found[1], bytes.fromhex(found[2].decode("ascii"))
    if (found := _RAW_LINE.fullmatch(line)) is not None:  # an entry that somebody made into something else
        return int(found[3]), bytes.fromhex(found[2].decode("ascii")), bytes.fromhex(found[1].decode("ascii"))
    return None


def _record_line(line: bytes) -> tuple[bytes, bytes] | None:
    found = _SIGNED_LINE.fullmatch(line)
    return None if found is None else (found[1], bytes.fromhex(found[2].decode("ascii")))


# -- JSON from strangers


def _object(body: bytes, *, strict: bool = True) -> dict[str, Any]:
    """BadInputError unless `body` is a JSON object, and, if asked, in the one encoding we write."""
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_no_constant, parse_float=_no_constant)
        if isinstance(value, dict) and (not strict or canonical(value) == body):
            return value
    except (ValueError, RecursionError, AttributeError):
        pass
    raise BadInputError("This is not JSON as it is written here.")


def _no_constant(text: str) -> None:
    raise ValueError(text[:20])


def _text(said: Mapping[str, Any], name: str, longest: int) -> str:
    value = said.get(name)
    if not isinstance(value, str) or len(value) > longest:
        raise ValueError(name)
    return value


def _number(said: Mapping[str, Any], name: str) -> int:
    value = said.get(name)
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError(name)
    return value


def _hash(said: Mapping[str, Any], name: str) -> bytes:
    value = bytes.fromhex(_text(said, name, 64))
    if len(value) != 32:
        raise ValueError(name)
    return value


def _claim(said: Mapping[str, Any]) -> dict[str, Any]:
    """What a record claims: a flat object of texts, whole numbers and truths."""
    value = said.get("claim")
    if not isinstance(value, dict) or len(value) > 64 or not all(isinstance(item, str | int) for item in value.values()):
        raise ValueError("claim")
    return value


def _list(said: Mapping[str, Any], name: str, longest: int) -> list[Any]:
    value = said.get(name)
    if not isinstance(value, list) or len(value) > longest:
        raise ValueError(name)
    return value


# -- as a command

_NO_PACKAGE: Final = (
    'No signature can be checked, because this Python has no package "cryptography". One that was installed for the user alone is not '
    "seen with -I: install it into an environment (python -m venv) and use the Python there."
)


def words(verdict: Verdict) -> str:
    """The verdict for a person."""
    lines = []
    if verdict.state == "intact":
        span = f"entries {verdict.first} to {verdict.seq}" if verdict.entries else "no entries"
        lines.append(f"Intact: {span}, head {verdict.head.hex()[:16]}, {verdict.records} signed records, {verdict.epochs + 1} keys.")
    else:
        lines.append(f"{verdict.state.capitalize()}: entries up to {verdict.seq} were read and follow from one another.")
    for finding in verdict.findings:
        lines += [f"  {finding.kind}: {finding.sentence}", f"    {finding.advice}"]
    lines += [f"  {note}" for note in verdict.notes]
    if verdict.fingerprint:
        lines.append(f"Fingerprint: {verdict.fingerprint}  (compare it with the one on the owner's Audit page)")
    return "\n".join(lines)


def fields(verdict: Verdict) -> dict[str, object]:
    """The verdict as JSON."""
    found = [{"kind": f.kind, "seq": f.seq, "sentence": f.sentence, "advice": f.advice} for f in verdict.findings]
    return {
        "state": verdict.state,
        "entries": verdict.entries,
        "first": verdict.first,
        "seq": verdict.seq,
        "head": verdict.head.hex(),
        "sealed": verdict.sealed,
        "records": verdict.records,
        "fingerprint": verdict.fingerprint,
        "findings": found,
        "notes": verdict.notes,
    }


def run(folder: Path, *, pin: str = "", as_json: bool = False, progress: Progress | None = None) -> int:
    """Check, print, and give the exit code. Whatever the input is, this ends in one of the four."""
    try:
        verdict = check(folder, pin=pin, progress=progress)
    except BadInputError as error:
        return _no_verdict("bad input", str(error), as_json=as_json)
    except (OSError, ValueError, MemoryError, RecursionError) as error:
        return _no_verdict("bad input", f"It cannot be read ({type(error).__name__}).", as_json=as_json)
    except ImportError:
        return _no_verdict("incomplete", _NO_PACKAGE, as_json=as_json)
    sys.stdout.write((json.dumps(fields(verdict), indent=2) if as_json else words(verdict)) + "\n")
    return EXIT_CODES[verdict.state]


def _no_verdict(state: State, sentence: str, *, as_json: bool) -> int:
    sys.stdout.write((json.dumps({"state": state, "sentence": sentence}) if as_json else f"{state.capitalize()}: {sentence}") + "\n")
    return EXIT_CODES[state]


def _progress(done: int) -> None:
    if done % 100_000 < _AT_ONCE:
        sys.stderr.write(f"\r{done:,} entries\r")
        sys.stderr.flush()


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Checks an exported audit log of Gatehouse.", epilog="Exit codes: 0, 1, 2, 3 as above.")
    parser.add_argument("folder", nargs="?", default=str(Path(__file__).resolve().parent), help="the export (default: beside this file)")
    parser.add_argument("--key", default="", metavar="FINGERPRINT", help="the fingerprint the log must have")
    parser.add_argument("--json", action="store_true")
    try:
        options = parser.parse_args(arguments)
    except SystemExit as stop:
        return EXIT_CODES["bad input"] if stop.code else 0
    return run(Path(options.folder), pin=options.key, as_json=options.json, progress=_progress if sys.stderr.isatty() else None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
