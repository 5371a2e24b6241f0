"""Old rows go, their sums stay, the log says so, and a ledger that was cut otherwise is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.core.records import Exchange
from app.store import audit, checkpoints, judging, ledger, retention, sealing, search, taken
from app.store.database import Store
from app.store.retention import Plan, Policy
from app.store.sealing import Signer
from app.store.search import Filter
from tests.store.rows import NOW_US, opened, row

DAY_US = retention.DAY_US
SIGNER = Signer.fresh(0)


def fill(store: Store, days: int, a_day: int = 12) -> list[Exchange]:
    """Rows of so many days up to now, in batches of five."""
    made = [
        row(number, at_us=NOW_US - day * DAY_US, message="" if number % 5 else "x", outcome="completed" if number % 5 else "failed")
        for day in range(days - 1, -1, -1)
        for number in range(a_day)
    ]
    for start in range(0, len(made), 5):
        with store.write() as connection:
            ledger.record(connection, made[start : start + 5])
    return made


def sign(store: Store) -> None:
    with store.write() as connection:
        if checkpoints.newest(connection) is None:
            sealing.genesis(connection, SIGNER, NOW_US)
        else:
            sealing.checkpoint(connection, SIGNER, NOW_US)


def run(store: Store, policy: Policy, *, step: int = 7, stop_after: int | None = None) -> Plan | None:
    """What the engine does; stop_after: dies after so many steps."""
    with store.read() as connection:
        plan = retention.plan(connection, policy, NOW_US + DAY_US)
    if plan is None:
        return None
    sign(store)
    with store.read() as connection:
        weighed = retention.weigh(connection, plan)
    with store.write() as connection:
        retention.begin(connection, SIGNER, plan, weighed, "person", NOW_US)
    rows, after, steps = 0, b"", 0
    while True:
        if stop_after is not None and steps >= stop_after:
            return plan
        with store.write() as connection:
            gone, following = retention.remove(connection, plan, after, step)
        rows += gone
        steps += 1
        if following is None:
            break
        after = following
    with store.read() as connection:
        sums = taken.digest(connection)
    with store.write() as connection:
        retention.finish(connection, SIGNER, plan, weighed, rows, sums, "person", NOW_US)
    return plan


def finding(store: Store) -> str:
    with store.read() as connection:
        verdict, _ = judging.verify(connection, None)
    return verdict.findings[0].sentence if verdict.findings else ""


def test_old_rows_go_and_their_sums_stay(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store:
        made = fill(store, 10)
        with store.read() as connection:
            before = ledger.usage(connection, ("day", "client", "model"), 0, NOW_US * 2)
        assert run(store, Policy(keep_days=4, keep_bytes=0)) is not None
        with store.read() as connection:
            kept = ledger.page(connection, 1000)
            assert ledger.usage(connection, ("day", "client", "model"), 0, NOW_US * 2) == before
            # Whole batches: at most one batch more stays than was asked for.
            assert [one for one in made if one.opened_us >= NOW_US - 3 * DAY_US][::-1] == kept[:48]
            assert 48 <= len(kept) <= 52
            assert search.find(connection, Filter(clients=("Cursor",)), 1000).rows == kept
            assert all(one in kept for one in search.find(connection, Filter(text="x"), 1000).rows)
            assert connection.exec_driver_sql("SELECT count(*) FROM family_rows").scalar_one() == len(kept)
            kinds = [entry.kind for entry in audit.page(connection, 2)]
            assert kinds == ["ledger.trimmed", "ledger.trimming"]
        assert finding(store) == ""
        assert run(store, Policy(keep_days=4, keep_bytes=0)) is None  # nothing more to do, nothing more in the log


def test_a_run_that_was_killed_is_gone_on_with(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store:
        fill(store, 10)
        run(store, Policy(keep_days=4, keep_bytes=0), stop_after=3)
        assert finding(store) == ""
        with store.write() as connection:
            ledger.record(connection, [row(500)])
        # Even when the person has meanwhile chosen to keep everything, for the log says that they were going.
        assert run(store, Policy(keep_days=0, keep_bytes=0)) is not None
        assert finding(store) == ""
        with store.read() as connection:
            assert len(ledger.page(connection, 1000)) <= 53


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("DELETE FROM exchanges WHERE id = (SELECT max(id) FROM exchanges)", "missing"),
        ("DELETE FROM exchanges WHERE batch = (SELECT min(batch) FROM exchanges)", "batches of rows"),
        ("UPDATE exchanges SET batch = 1 WHERE id = (SELECT max(id) FROM exchanges)", "missing"),
        (
            "UPDATE exchanges SET batch = 1, id = CAST(x'0001' || substr(id, 3) AS BLOB) WHERE id = (SELECT max(id) FROM exchanges)",
            "is there again",
        ),
        ("UPDATE exchanges SET cost_microusd = 1 WHERE id = (SELECT min(id) FROM exchanges)", "do not match"),
    ],
)
def test_what_retention_did_not_take_is_still_checked(data_dir: Path, sql: str, said: str) -> None:
    with opened(data_dir / "g.db") as store:
        fill(store, 10)
        run(store, Policy(keep_days=4, keep_bytes=0))
        with store.write() as connection:
            connection.exec_driver_sql(sql)
        assert said in finding(store)


def test_rows_of_pruned_entries_go_too_and_what_is_left_of_them_is_checked(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store:
        fill(store, 10)
        with store.write() as connection:
            sealing.genesis(connection, SIGNER, NOW_US)
            upto = audit.newest(connection)
            rows = ledger.pinned(connection, upto)
            ledger.record(connection, [row(700)])  # what comes meanwhile belongs to a later batch
        with store.write() as connection:
            sealing.prune(connection, SIGNER, upto, rows, "gateway", NOW_US)
        assert finding(store) == ""
        run(store, Policy(keep_days=4, keep_bytes=0))
        assert finding(store) == ""
        with store.read() as connection:
            assert len(ledger.page(connection, 1000)) == 49
        with store.write() as connection:
            connection.exec_driver_sql("UPDATE exchanges SET input = 1 WHERE id = (SELECT min(id) FROM exchanges)")
        assert "not those that were there" in finding(store)


def test_a_limit_of_size_holds_and_gives_the_space_back(data_dir: Path) -> None:
    path = data_dir / "g.db"
    with opened(path) as store:
        for start in range(0, 12_000, 1_000):
            with store.write() as connection:
                ledger.record(connection, [row(n, at_us=NOW_US - 20 * DAY_US + n * 60_000_000) for n in range(start, start + 1_000)])
        with store.read() as connection:
            before = retention.held(connection)
        wanted = Policy(keep_days=0, keep_bytes=before.file_bytes * 6 // 10)
        plan = run(store, wanted, step=300)
        assert plan is not None
        assert plan.reason == "size"
        left = 1
        while left:
            with store.write() as connection:
                left = retention.give_back(connection, 50)
        with store.read() as connection:
            after = retention.held(connection)
            assert after.file_bytes <= wanted.keep_bytes
            assert after.free_bytes == 0
            assert after.oldest_us is not None
            assert before.oldest_us is not None
            assert after.oldest_us > before.oldest_us
        assert finding(store) == ""
    assert path.stat().st_size <= wanted.keep_bytes


def test_a_batch_written_while_the_clock_was_ahead_holds_back_what_follows(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store:
        for at_us in (NOW_US - 9 * DAY_US, NOW_US + 400 * DAY_US, NOW_US - 8 * DAY_US, NOW_US):
            with store.write() as connection:
                ledger.record(connection, [row(1, at_us=at_us)])
        run(store, Policy(keep_days=4, keep_bytes=0))
        with store.read() as connection:
            assert len(ledger.page(connection, 10)) == 3
        assert finding(store) == ""


def test_the_policy_is_kept(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store:
        with store.read() as connection:
            assert retention.policy(connection) == Policy()
            assert retention.plan(connection, Policy(keep_days=1), NOW_US) is None  # an empty ledger
        with store.write() as connection:
            retention.choose(connection, Policy(keep_days=90, keep_bytes=0))
        with store.read() as connection:
            assert retention.policy(connection) == Policy(keep_days=90, keep_bytes=0)


def test_rows_that_stay_between_rows_that_go_stay_everywhere(data_dir: Path) -> None:
    """Rows written late, as after a crash, lie by their time among older ones, but belong to a batch that stays."""
    with opened(data_dir / "g.db") as store:
        made = fill(store, 10)
        late = [row(50 + day, at_us=NOW_US - day * DAY_US) for day in range(5, 9)]
        with store.write() as connection:
            ledger.record(connection, late)
        run(store, Policy(keep_days=4, keep_bytes=0))
        with store.read() as connection:
            kept = ledger.page(connection, 1000)
            assert set(late) < set(kept)
            assert made[0] not in kept
            assert search.find(connection, Filter(clients=("Cursor",)), 1000).rows == kept
            assert connection.exec_driver_sql("SELECT count(*) FROM family_rows").scalar_one() == len(kept)
        assert finding(store) == ""


def test_steps_that_wait_for_no_disk_are_whole_and_folding_makes_the_log_small(data_dir: Path) -> None:
    path = data_dir / "g.db"
    with opened(path) as store:
        fill(store, 10)
        with store.write(durable=False) as connection:
            ledger.record(connection, [row(900)])
        with pytest.raises(ZeroDivisionError), store.write(durable=False) as connection:
            ledger.record(connection, [row(901)])
            raise ZeroDivisionError
        with store.read() as connection:
            pass
        assert store.fold() == 0
        with store.write() as connection:
            assert connection.connection.cursor().execute("PRAGMA synchronous").fetchone()[0] == 2
            ledger.record(connection, [row(902)])
        with store.read() as connection:
            ids = {one.id for one in ledger.page(connection, 1000)}
            assert {row(900).id, row(902).id} <= ids
            assert row(901).id not in ids
        sign(store)
        assert finding(store) == ""
