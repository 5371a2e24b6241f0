"""The judgement of everything: the log against every signature and what the vault remembers, the ledger against the log, and then whatever
else in the database follows from the two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app import verifier
from app.core.events import CrashFound
from app.store import audit, checkpoints, ledger, states, sums, tags
from app.verifier import Anchor, Finding, Point, Verdict

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


@dataclass(frozen=True, slots=True)
class Scope:
    """What a check may build on: the chain and its signatures are good, and so are the rows of the ledger that were read.

    since: only what came after that entry is asked about, 0 for everything. sealed: the newest entry that a signature covers.
    told: to be called now and then, with how many rows were read in all.
    """

    since: int
    sealed: int
    told: Callable[[int], None]


Check = Callable[["Connection", Scope, Verdict], None]
"""Adds findings and notes to the verdict."""

_MOST_CRASHES: Final = 3
# What entries may be wrong about while every signature is good, so that it is known which entries bear one.
_FROM_ENTRIES: Final = frozenset({"ledger", "unsigned prune", "no anchor", "unsigned"})
CHECKS: Final[tuple[Check, ...]] = (states.check, sums.check)


def verify(
    connection: Connection,
    anchor: Anchor | None,
    key: bytes = b"",
    progress: Callable[[int, int], None] | None = None,
    after: Point | None = None,
) -> tuple[Verdict, ledger.Verdict]:
    """Read the whole log and ledger and hold them against every signature, what the vault remembers, and the key it signs with (`key`).

    The ledger is held against the log, so of a log that was tampered with nothing is said about it; the same goes for the checks that
    follow. progress: called with how many entries and rows were read. after: only what came after that point is read (`verified.point`).
    """
    told = progress or (lambda entries, rows: None)
    number, seq = (None, None) if after is None else (after.number, after.seq)
    verdict = verifier.judge(
        checkpoints.rows(connection, number),
        audit.links(connection, seq),
        anchor=anchor,
        key=key,
        after=after,
        progress=lambda entries: told(entries, 0),
    )
    if all(finding.kind in _FROM_ENTRIES for finding in verdict.findings):
        _tail(connection, verdict, anchor)
    if verdict.state == "tampered":
        return verdict, ledger.Verdict(0, 0)
    rows = ledger.verify(connection, lambda count: told(verdict.entries, count), seq or 0)
    if rows.finding:
        verdict.find("ledger", verdict.seq, rows.finding)
        return verdict, rows
    scope = Scope(seq or 0, verdict.sealed, lambda count: told(verdict.entries, count))
    for check in CHECKS:
        check(connection, scope, verdict)
    return verdict, rows


def _tail(connection: Connection, verdict: Verdict, anchor: Anchor | None) -> None:
    """What no signature covers yet must be of a run of this gateway; what was unsigned when a run died is named."""
    tagging = tags.of(connection)
    strange = None if tagging is None else tagging.strange(connection, verdict.sealed)
    if strange is not None:
        closed = anchor is not None and anchor.closed and strange > anchor.seq
        more = f" Gatehouse had stopped in an orderly way at entry {anchor.seq}." if anchor is not None and closed else ""
        verdict.findings.insert(0, Finding("appended", strange, tags.sentence(strange) + more))
        return
    for entry in audit.find(connection, _MOST_CRASHES, kinds=(CrashFound.KIND,))[0]:
        detail = entry.body.get("detail")
        signed, newest = (detail.get("signed"), detail.get("newest")) if isinstance(detail, dict) else (None, None)
        if isinstance(signed, int) and isinstance(newest, int) and newest > signed:
            verdict.notes.append(
                f"Entries {signed + 1} to {newest} were not signed when a run ended without saying so (entry {entry.seq}): until the next "
                "start their hashes and that run's tags alone protected them, and whether more had followed cannot be shown."
            )
