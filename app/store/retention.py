"""Letting old rows of the ledger go, by age and by size. Their sums stay: rollups, whole days and hosts are never touched.

Whole batches go, the oldest first, in steps of some milliseconds each, so that recording hardly waits. Before the first step the audit
log says up to which batch rows are going (`LedgerTrimming`), after the last one that they have gone (`LedgerTrimmed`), each with a signed
claim in the same transaction: `ledger.verify` knows by these what may be missing (`store/floors.py`), so while nothing can be signed
nothing goes. What goes was held against its digests just before, and its sums are kept (`store/taken.py`).

A run that was cut off is gone on with by the next one, so a step need not be on the disk before the next: a power cut brings some rows
back, their sums leave what was taken, and the log says that they are going.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from app.core import wishes
from app.core.events import LedgerBatch, LedgerTrimmed, LedgerTrimming
from app.core.ids import call_id_of, call_id_time_us
from app.store import audit, families, floors, ledger, sealing, settings, taken
from app.store.sealing import HeldError, Signer

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

DAY_US: Final = 86_400_000_000
# Under a limit of size a little more goes, so that the next row does not start the next run.
_ROOM: Final = 0.05
_DAYS: Final = "ledger.keep_days"
_BYTES: Final = "ledger.keep_bytes"
_BATCHES: Final = """
SELECT seq, json_extract(CAST(body AS TEXT), '$.at_us'), json_extract(CAST(body AS TEXT), '$.detail.count') FROM audit
WHERE kind = ? AND seq > ? AND json_type(CAST(body AS TEXT), '$.at_us') = 'integer'
AND json_type(CAST(body AS TEXT), '$.detail.count') = 'integer' ORDER BY seq"""
_OLDEST: Final = f"SELECT id, batch, {', '.join(families.COLUMNS)} FROM exchanges WHERE id > ? AND id < ? ORDER BY id LIMIT ?"  # noqa: S608 - our words alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """keep_days, keep_bytes: 0 for no limit. Bytes are those of the database that are in use."""

    keep_days: int = int(wishes.default("ledger.keep_days"))
    keep_bytes: int = int(wishes.default("ledger.keep_bytes"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What there is: bytes of the file, those of them that are free, and when the oldest row was opened, None without rows."""

    file_bytes: int
    free_bytes: int
    oldest_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to go: rows of batches up to audit entry `upto`, all of them opened before `until_us`. reason: age or size."""

    upto: int
    until_us: int
    reason: str

    @staticmethod
    def of(going: floors.Going) -> Plan:
        return Plan(upto=going.upto, until_us=going.until_us, reason=going.reason)


@dataclass(frozen=True, slots=True)
class Weighed:
    """What a plan comes to. floor: rows of batches up to this entry go, for the entries of old ones were pruned. stay: how many rows of
    these stay, because they were opened later, and their digest. before: as in `floors.Floor`. sums: the digest of what will have been
    taken. wrong: kind and sentence of a finding, for what is not as it was recorded does not go."""

    floor: int
    stay: tuple[int, str]
    before: int
    sums: str
    wrong: tuple[str, str] | None


def policy(connection: Connection) -> Policy:
    known = Policy()
    return Policy(
        keep_days=int(settings.get(connection, _DAYS, str(known.keep_days))),
        keep_bytes=int(settings.get(connection, _BYTES, str(known.keep_bytes))),
    )


def while_undecided(wanted: Policy, undecided: Collection[str]) -> Policy:
    """What goes while a person is asked about these settings: by them nothing."""
    return Policy(
        keep_days=0 if _DAYS in undecided else wanted.keep_days,
        keep_bytes=0 if _BYTES in undecided else wanted.keep_bytes,
    )


def choose(connection: Connection, chosen: Policy) -> None:
    settings.put(connection, _DAYS, str(chosen.keep_days))
    settings.put(connection, _BYTES, str(chosen.keep_bytes))


def held(connection: Connection) -> Held:
    pages, free, size = (
        int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()) for name in ("page_count", "freelist_count", "page_size")
    )
    oldest = connection.exec_driver_sql("SELECT id FROM exchanges ORDER BY id LIMIT 1").scalar()
    return Held(file_bytes=pages * size, free_bytes=free * size, oldest_us=None if oldest is None else call_id_time_us(call_id_of(oldest)))


def plan(connection: Connection, wanted: Policy, now_us: int) -> Plan | None:
    """What `wanted` lets go now; None when that is nothing. Reads the audit entries of the batches that go, and no row."""
    going = floors.unfinished(connection)
    gone = floors.trimmed_upto(connection)
    plans: list[Plan | None] = [None if going is None else Plan.of(going)]
    if wanted.keep_days:
        plans.append(_by_age(connection, gone, now_us - wanted.keep_days * DAY_US))
    there = held(connection)
    used = there.file_bytes - there.free_bytes
    if wanted.keep_bytes and used > wanted.keep_bytes:
        plans.append(_by_size(connection, gone, 1 - wanted.keep_bytes * (1 - _ROOM) / used))
    found = max((one for one in plans if one is not None), key=lambda one: (one.upto, one.until_us), default=None)
    if found is None or (going is None and _some(connection, found) is None):
        return None
    return found


def weigh(connection: Connection, what: Plan, told: Callable[[int], None] | None = None) -> Weighed:
    """Read what goes and hold it against its digests. told: called every some milliseconds. BadInputError when the records are not as they
    were signed."""
    known = floors.known(connection)
    floor = max(what.upto, known.most)
    wrong = None
    if finding := ledger.verify(connection, told, upto=floor).finding:
        wrong = ("ledger", finding)
    elif known.sums and taken.digest(connection, known.upto, known.cut) != known.sums:
        wrong = ("sums", "The sums of what retention took are not those that were signed.")
    cut = floors.before(what.until_us)
    # Gone on with over the same batches, those that were whole at the beginning still go in the order of their ids.
    before = known.before if known.cut and floor == known.upto else known.most
    return Weighed(floor, ledger.digest_upto(connection, floor, cut), before, taken.digest(connection, floor, cut), wrong)


def begin(connection: Connection, signer: Signer, what: Plan, weighed: Weighed, actor: audit.Actor, at_us: int) -> None:
    """Say in the audit log what is going, signed. Needs a writing transaction. HeldError."""
    if weighed.wrong is not None:
        raise HeldError(weighed.wrong[0], audit.newest(connection), weighed.wrong[1])
    audit.append(connection, LedgerTrimming(upto=what.upto, until_us=what.until_us, reason=what.reason), actor, at_us)
    said: dict[str, Any] = {"upto": what.upto, "until_us": what.until_us, "reason": what.reason, "before": weighed.before}
    sealing.claim(connection, signer, floors.TRIMMING, said | _said(weighed), at_us)


def remove(connection: Connection, what: Plan, after: bytes, most: int) -> tuple[int, bytes | None]:
    """One step: look at the next `most` rows after that id and remove those that go. How many, and where to go on; None at the end."""
    upto, gone = floors.known(connection).upto, 0
    found = connection.exec_driver_sql(_OLDEST, (after, floors.before(what.until_us), most)).all()
    # Rows side by side go together: 500 of them in 0.5 ms, one by one in 9.
    for goes, some in groupby(found, lambda row: bool(row[1] <= upto)):
        if goes:
            rows = list(some)
            first, last = rows[0][0], rows[-1][0]
            families.remove(connection, {tuple(row[2:]) for row in rows}, first, last)
            taken.take(connection, first, last)
            connection.exec_driver_sql("DELETE FROM repriced WHERE exchange BETWEEN ? AND ?", (first, last))
            connection.exec_driver_sql("DELETE FROM exchanges WHERE id BETWEEN ? AND ?", (first, last))
            gone += len(rows)
    return gone, found[-1][0] if len(found) == most else None


def finish(
    connection: Connection, signer: Signer, what: Plan, weighed: Weighed, rows: int, sums: str, actor: audit.Actor, at_us: int
) -> None:
    """Say in the audit log that they have gone, signed: `rows` in this run. sums: `taken.digest` now. Needs a writing transaction.
    HeldError."""
    if sums != weighed.sums:
        raise HeldError("sums", audit.newest(connection), "The sums of what retention took are not those of the rows that went.")
    old_rows, old_digest = weighed.stay
    event = LedgerTrimmed(upto=what.upto, until_us=what.until_us, rows=rows, old_rows=old_rows, old_digest=old_digest)
    audit.append(connection, event, actor, at_us)
    said = {"upto": what.upto, "until_us": what.until_us, "rows": rows}
    sealing.claim(connection, signer, floors.TRIMMED, said | _said(weighed), at_us)


def _said(weighed: Weighed) -> dict[str, Any]:
    return {"floor": weighed.floor, "old_rows": weighed.stay[0], "old_digest": weighed.stay[1], "sums": weighed.sums}


def give_back(connection: Connection, pages: int) -> int:
    """Give at most so many free pages back to the disk; how many are left to give."""
    # The driver's cursor, read to its end: the pragma frees a page with every step.
    cursor = connection.connection.cursor()
    cursor.execute(f"PRAGMA incremental_vacuum({pages:d})")
    cursor.fetchall()
    cursor.close()
    return int(connection.exec_driver_sql("PRAGMA freelist_count").scalar_one())


def _by_age(connection: Connection, gone: int, cut_us: int) -> Plan | None:
    """Up to before the first batch that is too young. In order: one written while the clock was wrong holds back those after it."""
    upto = 0
    for seq, at_us, _ in connection.exec_driver_sql(_BATCHES, (LedgerBatch.KIND, gone)):
        if at_us >= cut_us:
            break
        upto = seq
    return Plan(upto=upto or gone, until_us=cut_us, reason="age")


def _by_size(connection: Connection, gone: int, share: float) -> Plan | None:
    batches = connection.exec_driver_sql(_BATCHES, (LedgerBatch.KIND, gone)).all()
    wanted = sum(count for _, _, count in batches) * share
    latest_us = 0
    for seq, at_us, count in batches[:-1]:
        latest_us = max(latest_us, at_us)
        wanted -= count
        if wanted <= 0:
            return Plan(upto=seq, until_us=latest_us + 1_000, reason="size")
    return None


def _some(connection: Connection, what: Plan) -> bytes | None:
    """A row that goes."""
    upto = max(what.upto, floors.known(connection).most)
    found: bytes | None = connection.exec_driver_sql(
        "SELECT id FROM exchanges WHERE id < ? AND batch <= ? ORDER BY id LIMIT 1", (floors.before(what.until_us), upto)
    ).scalar()
    return found
