"""Signing what the audit log holds: checkpoints, turns of the key, prunes, and restores that a person confirmed.

Everything here runs in a writing transaction of the caller and needs the private key, which the vault keeps. `cryptography` is imported
when the first key is used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from app import verifier
from app.core import chain
from app.core.errors import AppError
from app.core.events import AuditPruned, AuditRestored, Who
from app.store import audit, checkpoints, states, tags
from app.verifier import Anchor, BadInputError, Record, Tree

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from app.store.ledger import Pinned

LOG_ID_BYTES: Final = 8


class Signer:
    """A private key and the epoch it signs in. Its `repr` tells nothing."""

    def __init__(self, private: bytes, epoch: int) -> None:
        """ValueError when `private` is no key."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - see above

        self._key: Final = Ed25519PrivateKey.from_private_bytes(private)
        self.private: Final = private
        self.public: Final = self._key.public_key().public_bytes_raw()
        self.epoch: Final = epoch

    @staticmethod
    def fresh(epoch: int) -> Signer:
        return Signer(os.urandom(32), epoch)

    def sign(self, domain: bytes, body: bytes) -> bytes:
        return self._key.sign(domain + body)

    def __repr__(self) -> str:
        return f"Signer(epoch={self.epoch})"


class HeldError(AppError):
    """The log does not fit what was signed of it, so nothing more is signed: a signature would cover what somebody changed."""

    def __init__(self, kind: str, seq: int, sentence: str) -> None:
        super().__init__("store_unavailable", sentence, "See the Audit page, or run: gatehouse audit verify")
        self.kind: Final = kind
        self.seq: Final = seq


@dataclass(frozen=True, slots=True)
class Prunable:
    """What a prune would take away. upto: the newest of these entries, 0 for none. kept: how many stay."""

    upto: int = 0
    count: int = 0
    first: int = 0
    first_us: int = 0
    last_us: int = 0
    size_bytes: int = 0
    rows: int = 0
    kept: int = 0


def genesis(connection: Connection, signer: Signer, at_us: int) -> Record:
    """The first record, over whatever the log already holds."""
    return _sign(connection, signer, "genesis", Tree(), at_us, log=os.urandom(LOG_ID_BYTES).hex(), key=signer.public.hex())


def checkpoint(connection: Connection, signer: Signer, at_us: int) -> Record:
    """A record over every entry so far. HeldError."""
    return _sign(connection, signer, "checkpoint", _tree(connection), at_us)


def turn(connection: Connection, signer: Signer, following: Signer, at_us: int) -> Record:
    """The next key, signed by the one in use. HeldError."""
    return _sign(connection, signer, "turn", _tree(connection), at_us, key=following.public.hex())


def claim(connection: Connection, signer: Signer, what: str, said: Mapping[str, str | int], at_us: int) -> Record:
    """A lasting record of what is believed only signed, over every entry so far. HeldError."""
    return _sign(connection, signer, "claim", _tree(connection), at_us, what=what, claim=dict(said))


def state(connection: Connection, signer: Signer, at_us: int) -> None:
    """Sign what is in force, as it is found, over a log that says nothing of it yet. HeldError."""
    if states.newest(connection) is None:
        claim(connection, signer, states.CLAIM, states.digests(connection), at_us)


def prunable(connection: Connection, before_us: int) -> Prunable:
    """The whole segments (up to a signed checkpoint) whose entries are all older than `before_us`."""
    start = checkpoints.beginning(connection)[1]
    total, first, size = audit.span(connection)
    upto = 0
    cut = connection.exec_driver_sql(_FIRST_AT, (before_us,)).scalar()
    limit = (cut - 1) if cut is not None else audit.newest(connection)
    found = connection.exec_driver_sql("SELECT max(seq) FROM checkpoints WHERE seq <= ? AND seq > ?", (limit, start)).scalar()
    if found is not None and total:
        upto = int(found)
    if upto < first or not total:
        return Prunable(kept=total)
    count = int(connection.exec_driver_sql("SELECT count(*) FROM audit WHERE seq <= ?", (upto,)).scalar_one())
    oldest, newest = audit.one(connection, first), audit.one(connection, upto)
    rows = int(connection.exec_driver_sql("SELECT count(*) FROM exchanges WHERE batch <= ?", (upto,)).scalar_one())
    return Prunable(
        upto=upto,
        count=count,
        first=first,
        first_us=oldest.at_us if oldest else 0,
        last_us=newest.at_us if newest else 0,
        size_bytes=round(size * count / total),
        rows=rows,
        kept=total - count,
    )


# Entries are in the order of their writing; the first that is not older ends what may go, even if the clock was set back later.
_FIRST_AT: Final = """
SELECT seq FROM audit WHERE CASE WHEN json_valid(CAST(body AS TEXT)) THEN json_extract(CAST(body AS TEXT), '$.at_us') END >= ?
ORDER BY seq LIMIT 1"""


def prune(
    connection: Connection,
    signer: Signer,
    upto: int,
    rows: Pinned,
    who: str | Who,
    at_us: int,
    more: Mapping[str, str | int] = MappingProxyType({}),
) -> AuditPruned:
    """Take away the entries up to `upto`, which is the place of a checkpoint, and say so, signed.

    rows: `ledger.pinned` of that entry, taken before, because it reads every such row; meanwhile no retention may have run.
    more: what else the record claims.
    The caller has verified the log in the same state (`judging.verify`): evidence is never pruned. HeldError.
    """
    start, base, head, edge = checkpoints.beginning(connection)
    if not base < upto <= audit.newest(connection):
        raise AppError("body_invalid", "There is nothing to prune up to that entry.")
    tree = Tree(base - start, edge)
    head = _grow(connection, tree, base, upto) or head
    covering = connection.exec_driver_sql("SELECT body, signature FROM checkpoints WHERE seq = ? ORDER BY number LIMIT 1", (upto,)).first()
    if covering is None:
        raise AppError("body_invalid", "Entries are pruned in whole signed segments, and none ends there.")
    if (record := Record.of(*covering)).root != tree.root() or record.head != head:
        raise HeldError("rewritten", upto, f"Entry {upto} is not the one that was signed.")
    count = int(connection.exec_driver_sql("SELECT count(*) FROM audit WHERE seq <= ?", (upto,)).scalar_one())
    event = AuditPruned(upto=upto, count=count, head=head.hex(), rows=rows.rows, digest=rows.digest)
    known = states.newest(connection)
    audit.append(connection, event, who, at_us, None if known is None else {"after": known, "before": known})
    said = [node.hex() for node in tree.edge()]
    fields: dict[str, Any] = {"base": upto, "base_head": head.hex(), "edge": said, "count": count, "claim": {**rows.said(), **more}}
    _sign(connection, signer, "prune", _tree(connection), at_us, **fields)
    connection.exec_driver_sql("DELETE FROM audit WHERE seq <= ?", (upto,))
    connection.exec_driver_sql("DELETE FROM checkpoints WHERE lasting = 0 AND seq <= ?", (upto,))
    return event


def restore(
    connection: Connection,
    signer: Signer,
    found: tuple[str, ...],
    anchor: Anchor | None,
    who: str | Who,
    at_us: int,
    rows: Pinned | None = None,
    more: Mapping[str, str | int] = MappingProxyType({}),
) -> Record:
    """Go on from the log as it is, under a new key: a person confirmed it. What was known before is written down, nothing is removed.

    `signer` is a new key whose epoch comes after every one that is known. rows: `ledger.pinned` of every row, as they are now. more: what
    else the record claims.
    """
    base, base_head = audit.newest_link(connection)
    aside = verifier.set_aside(audit.links(connection))
    known_seq, known_head = (anchor.seq, anchor.head.hex()) if anchor is not None else (0, "")
    event, as_found = AuditRestored(base=base, found=found, known_seq=known_seq, known_head=known_head), states.digests(connection)
    audit.append(connection, event, who, at_us, {"after": as_found, "before": as_found})
    newest = connection.exec_driver_sql("SELECT max(number) FROM checkpoints").scalar()
    number = max(-1 if newest is None else int(newest), -1 if anchor is None else anchor.number) + 1
    log = anchor.log if anchor is not None else os.urandom(LOG_ID_BYTES).hex()
    fields: dict[str, Any] = {
        "base": base,
        "base_head": base_head.hex(),
        "found": list(found),
        "key": signer.public.hex(),
        "aside": aside.hex(),
    }
    if claimed := {**(rows.said() if rows is not None else {}), **more}:
        fields["claim"] = claimed
    return _sign(connection, signer, "restore", Tree(), at_us, start=base, number=number, log=log, last=b"", **fields)


def anchor_of(connection: Connection, *, closing: bool = False) -> Anchor | None:
    """What the vault should remember of the log as it is now: its newest record and newest entry. closing: nothing is written any more."""
    record = checkpoints.newest(connection)
    if record is None:
        return None
    seq, head = audit.newest_link(connection)
    return Anchor(
        log=record.log, seq=seq, head=head, epoch=record.epoch, number=record.number, record=record.digest, at_us=record.at_us,
        closed=closing and seq == record.seq,
    )  # fmt: skip


def first_look(connection: Connection, anchor: Anchor | None) -> tuple[str, int, str] | None:
    """Whether the log is at least what the vault remembers, without reading it: kind, entry and sentence of a finding, or None."""
    if anchor is None:
        return None
    try:
        known, newest = checkpoints.one(connection, anchor.number), checkpoints.newest(connection)
    except BadInputError:
        return "forged", 0, "A record of the checkpoints cannot be read."
    seq = audit.newest(connection)
    if known is not None and known.digest != anchor.record:
        return "replaced", 0, f"Record {known.number} is not the one that the vault remembers: this is another log."
    if seq < anchor.seq or newest is None or newest.number < anchor.number:
        return "rolled back", seq, f"The vault remembers entry {anchor.seq}; the log ends at entry {seq}: an older state was put back."
    row = connection.exec_driver_sql("SELECT hash FROM audit WHERE seq = ?", (anchor.seq,)).first()
    if row is not None and row[0] != anchor.head:
        return "rewritten", anchor.seq, f"Entry {anchor.seq} is not the one the vault remembers: entries up to it were written anew."
    return None


def current_key(connection: Connection) -> tuple[bytes, int] | None:
    """The public key that signs now and its epoch, as the newest turn or beginning says; None when nothing was signed yet."""
    record = checkpoints.newest_of(connection, "turn", "restore", "genesis")
    if record is None:
        return None
    return record.key, record.epoch + (record.kind == "turn")


def _sign(
    connection: Connection,
    signer: Signer,
    kind: str,
    tree: Tree,
    at_us: int,
    *,
    start: int | None = None,
    number: int | None = None,
    log: str = "",
    last: bytes | None = None,
    **fields: Any,
) -> Record:
    """Grow `tree` to the newest entry, sign, and keep the record. HeldError when the entries have a hole."""
    newest = checkpoints.newest(connection) if number is None else None
    if start is None:
        start = checkpoints.beginning(connection)[0] if kind != "genesis" else 0
    seq, head = audit.newest_link(connection)
    if kind != "restore":
        _ours(connection, start + tree.size)
    _grow(connection, tree, start + tree.size, seq)
    if last is None:
        lasting = checkpoints.newest_lasting(connection)
        last = b"" if lasting is None else lasting.digest
    body = chain.canonical(
        {
            "kind": kind,
            "log": log or (newest.log if newest is not None else ""),
            "number": number if number is not None else newest.number + 1 if newest is not None else 0,
            "seq": seq,
            "head": head.hex(),
            "root": tree.root().hex(),
            "epoch": signer.epoch,
            "at_us": at_us,
            "last": last.hex(),
            **fields,
        }
    )
    record = Record.of(body, signer.sign(verifier.RECORD, body))
    checkpoints.add(connection, record, tree)
    return record


def _ours(connection: Connection, after: int) -> None:
    """HeldError when one of the entries after that one, which are about to be signed, is not of a run of this gateway."""
    tagging = tags.of(connection)
    strange = None if tagging is None else tagging.strange(connection, after)
    if strange is not None:
        raise HeldError("appended", strange, tags.sentence(strange))


def _tree(connection: Connection) -> Tree:
    """The tree at the newest record: as remembered, or built again from the entries. HeldError when these are not what was signed."""
    tree = checkpoints.edge(connection)
    if tree is not None:
        return tree
    newest = checkpoints.newest(connection)
    start, base, _, edge = checkpoints.beginning(connection)
    tree = Tree(base - start, edge)
    if newest is not None:
        _grow(connection, tree, base, newest.seq)
        if tree.root() != newest.root:
            raise HeldError("rewritten", newest.seq, f"The entries up to {newest.seq} are not those that were signed.")
    return tree


def _grow(connection: Connection, tree: Tree, after: int, upto: int) -> bytes:
    """Add the hashes of the entries after `after` up to `upto`; the last of them. HeldError when one is missing."""
    cursor = connection.connection.cursor()
    expected, digest = after, b""
    try:
        cursor.execute("SELECT seq, hash FROM audit WHERE seq > ? AND seq <= ? ORDER BY seq", (after, upto))
        while found := cursor.fetchmany(2_000):
            if found[-1][0] != expected + len(found) or any(type(row[1]) is not bytes or len(row[1]) != 32 for row in found):
                raise HeldError("gap", expected + 1, f"An entry after {expected} is missing or damaged.")
            tree.extend([row[1] for row in found])
            expected, digest = found[-1][0], found[-1][1]
    finally:
        cursor.close()
    if expected < upto:
        raise HeldError("gap", expected + 1, f"The entries after {expected} are missing.")
    return digest
