"""Runs of batches: what a line says is what the entries under it say, whatever lies between, and however many there are."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import pytest

from app.core.events import ClientAdded as Added
from app.core.events import Event, LedgerBatch, LedgerTrimmed
from app.core.records import AuditEntry, AuditRun
from app.store import audit, audit_runs
from app.store.audit_runs import BLOCK, Counts
from app.store.database import Store
from tests.store.rows import NOW_US, opened

BATCH = LedgerBatch.KIND


def batch(count: int) -> LedgerBatch:
    return LedgerBatch(count=count, first="req_" + "0" * 26, last="req_" + "1" * 26, digest="ab" * 32)


def fill(store: Store, events: Sequence[tuple[Event, str]]) -> None:
    with store.write() as connection:
        audit.append_all(connection, [(event, actor, NOW_US + number) for number, (event, actor) in enumerate(events)])


def mixed(count: int, seed: int = 1) -> list[tuple[Event, str]]:
    """Mostly batches, in runs of any length, as a busy log has them."""
    chance = random.Random(seed)
    made: list[tuple[Event, str]] = []
    while len(made) < count:
        made += [(batch(chance.randint(1, 200)), "gateway")] * chance.choice((0, 1, 2, 40))
        made.append((Added(name=f"c{len(made)}", key_hint="…ab"), chance.choice(("person", "gateway"))))
    return made[:count]


def brute(entries: Sequence[AuditEntry], kinds: Sequence[str] = (), actor: str = "") -> list[int | tuple[int, int, int | None, int | None]]:
    """The list as it should be, newest first: a number, or a run's first, last, entries and requests."""
    shown: list[int | tuple[int, int, int | None, int | None]] = []
    fitting = [one for one in entries if (not kinds or one.kind in kinds) and actor in ("", one.actor)]
    for is_batch, group in groupby(fitting, key=lambda one: one.kind == BATCH):
        members = list(group)
        if is_batch:
            requests = sum(int(str(one.body["detail"]["count"])) for one in members)  # type: ignore[index]
            shown.append((members[-1].seq, members[0].seq, len(members), requests))
        else:
            shown += [one.seq for one in members]
    return shown


def listed(store: Store, limit: int, kinds: Sequence[str] = (), actor: str = "") -> list[int | tuple[int, int, int | None, int | None]]:
    """All pages, one after the other."""
    counts, before, shown = Counts(), None, list[AuditEntry | AuditRun]()
    with store.read() as connection:
        while True:
            entries, runs, before = audit_runs.page(connection, counts, limit, before, kinds=kinds, actor=actor)
            assert len(entries) <= limit
            shown += sorted((*entries, *runs), key=lambda one: one.seq if isinstance(one, AuditEntry) else one.upto, reverse=True)
            if before is None:
                break
    return [one.seq if isinstance(one, AuditEntry) else (one.first, one.upto, one.entries, one.requests) for one in shown]


@pytest.mark.parametrize("limit", [1, 3, 1000])
@pytest.mark.parametrize(("kinds", "actor"), [((), ""), ((), "person"), ((), "gateway"), ((BATCH, "ledger.trimmed"), ""), ((), "nobody")])
def test_the_list_is_the_log_with_its_batches_folded(data_dir: Path, limit: int, kinds: tuple[str, ...], actor: str) -> None:
    with opened(data_dir / "audit.db") as store:
        fill(store, [*mixed(300), (LedgerTrimmed(upto=1, until_us=2, rows=3, old_rows=0, old_digest=""), "gateway"), (batch(3), "gateway")])
        with store.read() as connection:
            entries = audit.page(connection, 1000)
        assert listed(store, limit, kinds, actor) == brute(entries, kinds, actor)


def test_a_log_of_batches_alone_is_one_line_and_an_empty_one_is_none(data_dir: Path) -> None:
    with opened(data_dir / "audit.db") as store:
        assert listed(store, 10) == []
        fill(store, [(batch(2), "gateway")] * 7)
        assert listed(store, 10) == [(1, 7, 7, 14)]
        with store.read() as connection:
            ((run,)) = audit_runs.page(connection, Counts(), 10)[1]
        assert (run.first_us, run.last_us) == (NOW_US, NOW_US + 6)


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        ("UPDATE audit SET body = CAST('{]' AS BLOB) WHERE seq = 5", [(6, 9, 4, 8), 5, (1, 4, 4, 8)]),  # unreadable: never folded away
        (
            "UPDATE audit SET body = CAST(replace(CAST(body AS TEXT), '.batch', '.b') AS BLOB) WHERE seq = 5",
            [(6, 9, 4, 8), 5, (1, 4, 4, 8)],
        ),
        ("DELETE FROM audit WHERE seq = 5", [(1, 9, 8, 16)]),  # counted as what is there, not from the numbers
        ("DELETE FROM audit WHERE seq < 5", [(5, 9, 5, 10)]),  # pruned
    ],
)
def test_what_somebody_did_to_an_entry_is_not_folded_away(data_dir: Path, statement: str, shown: list[object]) -> None:
    with opened(data_dir / "audit.db") as store:
        fill(store, [(batch(2), "gateway")] * 9)
        with store.write() as connection:
            connection.exec_driver_sql(statement)
        assert listed(store, 10) == shown


def test_a_long_run_is_counted_in_steps_and_then_at_once(data_dir: Path) -> None:
    total = 3 * BLOCK + 100
    with opened(data_dir / "audit.db") as store:
        fill(store, [(batch(2), "gateway")] * total)
        counts, asked = Counts(), 0
        with store.read() as connection:
            while True:
                asked += 1
                ((run,)) = audit_runs.page(connection, counts, 10, budget=BLOCK)[1]
                if run.entries is not None:
                    break
                assert run.requests is None
                assert asked < 6
            assert (run.entries, run.requests) == (total, 2 * total)
            assert counts.of(connection, 1, total, 1) == ((total, 2 * total), 1)  # all of it is known now
        fill(store, [(batch(5), "gateway")] * 3)
        with store.read() as connection:
            ((run,)) = audit_runs.page(connection, counts, 10, budget=2 * BLOCK)[1]
            assert (run.entries, run.requests) == (total + 3, 2 * total + 15)


def test_many_runs_that_are_shorter_than_a_block_are_all_counted_in_the_end(data_dir: Path) -> None:
    with opened(data_dir / "audit.db") as store:
        for number in range(20):
            fill(store, [*[(batch(1), "gateway")] * 50, (Added(name=f"c{number}", key_hint="…"), "person")])
        counts = Counts()
        with store.read() as connection:
            asked = [audit_runs.page(connection, counts, 100, budget=120)[1] for _ in range(8)]
        counted = [sum(run.requests == 50 for run in runs) for runs in asked]
        assert counted == [3, 6, 9, 12, 15, 18, 20, 20]


def test_the_others_are_found_in_the_index_and_not_by_walking_through_the_flood(data_dir: Path) -> None:
    """Counted in steps of SQLite's machine: twice the batches are hardly more work."""
    steps: list[int] = []
    with opened(data_dir / "audit.db") as store:
        for _ in range(2):
            fill(store, [*[(batch(2), "gateway")] * 4_000, (Added(name=f"c{len(steps)}", key_hint="…"), "person")])
            with store.read() as connection:
                ticks: list[int] = []
                driver = connection.connection.driver_connection
                assert driver is not None
                driver.set_progress_handler(lambda ticks=ticks: ticks.append(1) and None, 100)
                audit_runs._others(connection, 100, 1 << 62, (), "")
                driver.set_progress_handler(None, 0)
            steps.append(len(ticks))
    assert steps[1] <= steps[0] + 5


def test_words_find_what_an_entry_is_called(data_dir: Path) -> None:
    with opened(data_dir / "audit.db") as store:
        fill(store, [(Added(name="codex", key_hint="…ab"), "person"), (batch(2), "gateway")])
        with store.read() as connection:
            assert [one.seq for one in audit.find(connection, 10, text="client added")[0]] == []
            assert [one.seq for one in audit.find(connection, 10, text="client added", titled=("client.added",))[0]] == [1]
            assert [one.seq for one in audit.find(connection, 10, text="codex", titled=(BATCH,))[0]] == [2, 1]
