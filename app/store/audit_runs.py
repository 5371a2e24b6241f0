"""The audit log with its flood folded: a run of batches, of which there are several a second under load, is one line.

A line says how many entries the run has and how many requests they hold. Bodies lie encrypted, so that a million of them take seconds to
read: what was read is kept as sums of pieces, and a question reads at most `BUDGET` entries that are in none yet.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from app.core.events import LedgerBatch
from app.core.records import AuditEntry, AuditRun
from app.store import audit

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

BLOCK: Final = 4_096
BUDGET: Final = 60_000
_PIECES: Final = 20_000
_BATCH: Final = LedgerBatch.KIND
_NEWEST: Final = (1 << 63) - 1

# Everything else, unreadable entries too, in parts of the index of kinds; the plus keeps SQLite from walking the whole table instead.
_OTHERS: Final = """
SELECT seq FROM audit WHERE kind < ? AND +seq < ?
UNION ALL SELECT seq FROM audit WHERE kind > ? AND +seq < ?
UNION ALL SELECT seq FROM audit WHERE kind IS NULL AND +seq < ?"""
_ENDS: Final = """
SELECT (SELECT min(seq) FROM audit WHERE kind = ? AND seq > ? AND seq < ?),
       (SELECT max(seq) FROM audit WHERE kind = ? AND seq > ? AND seq < ?)"""
# `detail` of a batch begins with its count, as keys are in order in a canonical body; reading it as JSON takes twice as long.
_SUM: Final = """
SELECT count(*), coalesce(sum(CAST(CAST(substr(body, instr(body, ?) + ?, 12) AS TEXT) AS INTEGER)), 0)
FROM audit WHERE kind = ? AND seq BETWEEN ? AND ?"""
_COUNT_AT: Final = b'"detail":{"count":'


class Counts:
    """Sums over batches, remembered by piece: a block, or the part of one that a run has. One per open store; entries never change.
    May be used from several threads: at worst a piece is read twice."""

    def __init__(self) -> None:
        self._lock: Final = threading.Lock()
        self._pieces: Final[dict[tuple[int, int], tuple[int, int]]] = {}

    def of(self, connection: Connection, first: int, upto: int, budget: int) -> tuple[tuple[int, int] | None, int]:
        """Entries and requests of the batches numbered `first` to `upto`, None while that takes more than `budget` entries to read;
        and what is left of the budget. What was read meanwhile is remembered."""
        entries = requests = 0
        at = first
        while at <= upto:
            last = min(upto, at - at % BLOCK + BLOCK - 1)
            found = self._pieces.get((at, last))
            if found is None:
                if budget <= 0:
                    return None, 0
                budget -= last - at + 1
                row = connection.exec_driver_sql(_SUM, (_COUNT_AT, len(_COUNT_AT), _BATCH, at, last)).one()
                found = int(row[0]), int(row[1])
                self._remember((at, last), found)
            entries, requests = entries + found[0], requests + found[1]
            at = last + 1
        return (entries, requests), budget

    def _remember(self, piece: tuple[int, int], found: tuple[int, int]) -> None:
        """The end of a run that still grows leaves a piece each time; the oldest go."""
        with self._lock:
            self._pieces[piece] = found
            if len(self._pieces) > _PIECES:
                del self._pieces[next(iter(self._pieces))]


def page(
    connection: Connection,
    counts: Counts,
    limit: int,
    before: int | None = None,
    *,
    kinds: Sequence[str] = (),
    actor: str = "",
    budget: int = BUDGET,
) -> tuple[list[AuditEntry], list[AuditRun], int | None]:
    """At most `limit` entries that fit and are no batches, the runs of batches before, between and after them, both newest first, and
    the `before` with which to go on; None when there are no older ones. kinds, actor: as `audit.find` has them.

    A run is what follows each other in this list; where `kinds` or `actor` leave others out, those may lie between. Only the gateway
    records batches, so `actor` takes all of them or none.
    """
    top = _NEWEST if before is None else before
    others = _others(connection, limit, top, kinds, actor)
    following = others[-1].seq if len(others) == limit else None
    runs: list[AuditRun] = []
    if (not kinds or _BATCH in kinds) and actor in ("", "gateway"):
        marks = [top, *(entry.seq for entry in others), *(() if following is not None else (0,))]
        for upper, lower in pairwise(marks):
            if upper - lower > 1 and (run := _run(connection, lower, upper)) is not None:
                counted, budget = counts.of(connection, run.first, run.upto, budget)
                entries, requests = counted or (None, None)
                runs.append(replace(run, entries=entries, requests=requests))
    return others, runs, following


def _others(connection: Connection, limit: int, before: int, kinds: Sequence[str], actor: str) -> list[AuditEntry]:
    values: list[object]
    if kinds:
        named = [kind for kind in kinds if kind != _BATCH]
        chosen = f"SELECT seq FROM audit WHERE kind IN ({', '.join('?' * len(named))}) AND +seq < ?"  # noqa: S608 - marks; values are bound
        values = [*named, before]
    else:
        chosen, values = _OTHERS, [_BATCH, before, _BATCH, before, before]
    if actor:
        chosen = f"SELECT seq FROM audit WHERE seq IN ({chosen}) AND {audit.ACTED_BY}"  # noqa: S608 - our words; values are bound
        values.append(actor)
    statement = f"SELECT seq FROM ({chosen}) ORDER BY +seq DESC LIMIT ?"  # noqa: S608 - our words; values are bound
    numbers = [int(row[0]) for row in connection.exec_driver_sql(statement, (*values, limit))]
    return [entry for number in numbers if (entry := audit.one(connection, number)) is not None]


def _run(connection: Connection, lower: int, upper: int) -> AuditRun | None:
    """The batches between two numbers, which are not in it."""
    first, upto = connection.exec_driver_sql(_ENDS, (_BATCH, lower, upper, _BATCH, lower, upper)).one()
    oldest, newest = (None, None) if first is None else (audit.one(connection, first), audit.one(connection, upto))
    if oldest is None or newest is None:
        return None
    return AuditRun(first=oldest.seq, upto=newest.seq, first_us=oldest.at_us, last_us=newest.at_us)
