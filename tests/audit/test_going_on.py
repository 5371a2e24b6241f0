"""Verifying from where the last verification ended: less is read, nothing that came after is missed, and nothing is found that is not."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy.engine import Connection

from app.core.events import ClientAdded
from app.engine import auditing, verifying
from app.engine.verifying import EndedError, Reading
from app.store import audit, checkpoints, ledger, sealing, verified
from app.store.retention import Plan
from app.store.sealing import Signer
from app.store.verified import Looked, Told, Verified
from app.verifier import Anchor
from tests.audit.book import NOW_US, Book, book, rehash
from tests.audit.test_slow_vault import ME, SlowVault, auditor, newest, run
from tests.store.rows import rows

WEEK_US = 7 * 86_400_000_000
DAY_US = 86_400_000_000


def look(made: Book, known: Verified | None, told: Callable[[Told], None] = lambda so_far: None) -> Looked:
    with made.store.read() as connection:
        return verified.look(connection, made.anchor, made.signer.public, known, told)


def remembered(made: Book, known: Verified | None = None) -> Verified:
    """What the vault keeps after a verification that found nothing; by way of its text."""
    looked = look(made, known)
    assert (looked.verdict.state, looked.verdict.findings) == ("intact", [])
    assert made.anchor is not None
    kept = looked.remembered(known, made.now())
    assert kept is not None
    again = verified.of(verified.text(made.anchor, kept))
    assert again == kept
    assert Anchor.of(verified.text(made.anchor, kept)) == made.anchor
    return again


def more(made: Book) -> None:
    """90 entries and 23 rows after the point, under two keys: up to entry 398, of which 397 are signed."""
    made.record(23)
    made.append(50, "later")
    made.seal()
    made.turn()
    made.append(40, "last")
    made.seal()
    made.remember()
    made.append(2, "unsigned")


def test_only_what_came_after_is_read(data_dir: Path) -> None:
    with book(data_dir / "g.db") as made:
        known = remembered(made.filled())
        assert (look(made, known).since, known.full_seq) == (304, 304)
        more(made)
        told: list[Told] = []
        looked = look(made, known, told.append)
        assert (looked.verdict.state, looked.verdict.seq, looked.verdict.entries, looked.since) == ("intact", 397, 93, 304)
        assert (looked.rows.rows, looked.rows.batches) == (23, 1)
        assert (told[0], told[-1]) == (Told(0, 93, 0, 23), Told(93, 93, 23, 23))
        assert told == sorted(told, key=lambda so_far: (so_far.entries, so_far.rows))
        further = remembered(made, known)
        assert (further.full_us, further.full_seq) == (known.full_us, 304)
        assert look(made, further).verdict.entries == 2
        assert (look(made, None).verdict.entries, look(made, None).rows.rows) == (397, 63)


def edit(made: Book) -> None:
    made.sql("UPDATE audit SET body = CAST(replace(CAST(body AS TEXT), 'person', 'nobody') AS BLOB) WHERE seq = 350")


def edit_the_unsigned(made: Book) -> None:
    made.sql("UPDATE audit SET body = CAST(replace(CAST(body AS TEXT), 'person', 'nobody') AS BLOB) WHERE seq = 397")


def delete(made: Book) -> None:
    made.sql("DELETE FROM audit WHERE seq = 350")


def delete_the_first(made: Book) -> None:
    made.sql("DELETE FROM audit WHERE seq = 305")


def restamp(made: Book) -> None:
    made.edit(lambda connection: rehash(connection, 340, lambda seq, body: body.replace(b"later-", b"sooner-") if seq == 340 else body))


def cut_tail(made: Book) -> None:
    made.sql("DELETE FROM audit WHERE seq > 390")


def cut_to_the_point(made: Book) -> None:
    made.sql("DELETE FROM audit WHERE seq > 304", "DELETE FROM checkpoints WHERE seq > 304", "DELETE FROM tree_edge")


def cut_before_the_point(made: Book) -> None:
    made.sql("DELETE FROM audit WHERE seq > 250", "DELETE FROM checkpoints WHERE seq > 250", "DELETE FROM tree_edge")


def forge_a_checkpoint(made: Book) -> None:
    made.sql("UPDATE checkpoints SET signature = zeroblob(64) WHERE seq = 355")


def drop_a_checkpoint(made: Book) -> None:
    made.sql("DELETE FROM checkpoints WHERE seq = 355 AND lasting = 0")


def prune_unsigned(made: Book) -> None:
    made.sql("DELETE FROM audit WHERE seq <= 340")


def open_a_log_of_ones_own(made: Book) -> None:
    with made.store.write() as connection:
        sealing.restore(connection, Signer.fresh(9), (), made.anchor, "person", made.now())


def change_the_record_of_the_point(made: Book) -> None:
    """And everything after it, under a key of one's own."""

    def act(connection: Connection) -> None:
        thief = Signer.fresh(made.signer.epoch)
        connection.exec_driver_sql("DELETE FROM checkpoints WHERE seq >= 304")
        connection.exec_driver_sql("DELETE FROM tree_edge")
        sealing.checkpoint(connection, thief, made.now())

    made.edit(act)


def edit_a_row(made: Book) -> None:
    made.sql("UPDATE exchanges SET cost_microusd = 1 WHERE id = (SELECT max(id) FROM exchanges)")


def delete_a_row(made: Book) -> None:
    made.sql("DELETE FROM exchanges WHERE id = (SELECT max(id) FROM exchanges)")


def move_a_row(made: Book) -> None:
    made.sql("UPDATE exchanges SET batch = 396 WHERE id = (SELECT max(id) FROM exchanges)")


def delete_every_new_row(made: Book) -> None:
    made.sql("DELETE FROM exchanges WHERE batch > 304")


AFTER = {
    edit: "edited", edit_the_unsigned: "edited", delete: "gap", delete_the_first: "gap", restamp: "rewritten", cut_tail: "cut",
    cut_to_the_point: "rolled back", cut_before_the_point: "rolled back", forge_a_checkpoint: "forged",
    drop_a_checkpoint: "missing checkpoints", prune_unsigned: "gap", open_a_log_of_ones_own: "unconfirmed",
    change_the_record_of_the_point: "forged", edit_a_row: "ledger", delete_a_row: "ledger", move_a_row: "ledger",
    delete_every_new_row: "ledger",
}  # fmt: skip


@pytest.mark.parametrize("attack", AFTER, ids=lambda attack: attack.__name__)
def test_what_is_done_after_the_point_is_found_from_there_and_by_reading_everything(attack: Callable[[Book], None], data_dir: Path) -> None:
    with book(data_dir / "g.db") as made:
        known = remembered(made.filled())
        more(made)
        assert (made.verify().state, look(made, known).verdict.state) == ("intact", "intact")
        attack(made)
        assert made.verify().state == "tampered"
        looked = look(made, known)
        assert looked.verdict.state == "tampered", looked
        assert looked.verdict.findings[0].kind == AFTER[attack], looked.verdict.findings
        assert all(finding.sentence and finding.advice for finding in looked.verdict.findings)


BEFORE = {
    "an entry": "UPDATE audit SET body = CAST(replace(CAST(body AS TEXT), 'person', 'nobody') AS BLOB) WHERE seq = 150",
    "a row": "UPDATE exchanges SET cost_microusd = 1 WHERE id = (SELECT min(id) FROM exchanges)",
    "a row is gone": "DELETE FROM exchanges WHERE id = (SELECT min(id) FROM exchanges)",
}


@pytest.mark.parametrize("what", BEFORE)
def test_what_is_done_before_the_point_is_found_only_by_reading_everything(what: str, data_dir: Path) -> None:
    """The stated limit, so that nobody claims more; the page says when everything was last read."""
    with book(data_dir / "g.db") as made:
        known = remembered(made.filled())
        more(made)
        made.sql(BEFORE[what])
        assert look(made, known).verdict.state == "intact"
        assert look(made, None).verdict.state == "tampered"


def lasting_of_their_own(made: Book) -> None:
    """A turn that nobody made, before the point and after the lasting record that it names."""
    with made.store.read() as connection:
        record = checkpoints.newest(connection)
        before = checkpoints.newest_lasting(connection)
    assert record is not None
    assert before is not None
    body = json.loads(before.body) | {"number": before.number, "seq": before.seq, "key": Signer.fresh(9).public.hex()}
    text = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    made.edit(lambda c: c.exec_driver_sql("UPDATE checkpoints SET body = ? WHERE number = ?", (text, before.number)))


@pytest.mark.parametrize(
    "act",
    [
        lambda made: made.sql("DELETE FROM checkpoints WHERE number = (SELECT max(number) FROM checkpoints)"),
        lambda made: made.sql("UPDATE checkpoints SET body = x'7b7d' WHERE number = (SELECT max(number) FROM checkpoints)"),
        lambda made: made.sql("DELETE FROM checkpoints WHERE lasting = 1"),
        lambda made: made.sql("UPDATE checkpoints SET lasting = 1"),
        lambda made: made.sql("UPDATE checkpoints SET lasting = 0"),
        lambda made: made.sql("UPDATE checkpoints SET number = number + 1 WHERE number = (SELECT max(number) FROM checkpoints)"),
        lasting_of_their_own,
    ],
)  # fmt: skip
def test_records_that_are_not_what_the_vault_knows_are_no_place_to_go_on_from(act: Callable[[Book], None], data_dir: Path) -> None:
    with book(data_dir / "g.db") as made:
        known = remembered(made.filled())
        act(made)
        looked = look(made, known)
        assert looked.since == 0
        assert looked.verdict.state == made.verify().state


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", "{", '{"verified":7}', '{"verified":{"number":"x"}}', '{"verified":null}', "\ud800"]
)
def test_a_vault_that_does_not_say_it_means_that_everything_is_read(text: str) -> None:
    assert verified.of(text) is None
    assert verified.of(None) is None


def going_on(made: Book, known: Verified, *, since: int | None = None) -> Verified:
    """From the point and from the beginning: both intact. Returns the next point."""
    looked, whole = look(made, known), look(made, None)
    assert (looked.verdict.state, looked.verdict.findings) == ("intact", [])
    assert (whole.verdict.state, whole.verdict.findings) == ("intact", [])
    assert (looked.verdict.seq, looked.verdict.head, looked.verdict.key) == (whole.verdict.seq, whole.verdict.head, whole.verdict.key)
    assert since is None or looked.since == since
    return remembered(made, known)


def test_turns_prunes_and_restores_are_gone_on_from_without_a_false_alarm(data_dir: Path) -> None:
    with book(data_dir / "g.db") as made:
        known = remembered(made.filled())
        more(made)
        made.prune(150)  # before the point
        known = going_on(made, known, since=304)
        assert look(made, known).since == newest(made)  # the prune's own record is a point, too
        made.turn()
        known = going_on(made, known)  # the turn's, likewise
        made.append(3)
        made.seal()
        made.record(5)
        made.append(10)
        made.seal()
        made.remember()
        with made.store.read() as connection:
            upto = connection.exec_driver_sql("SELECT max(seq) FROM checkpoints WHERE seq < ?", (newest(made) - 5,)).scalar_one()
        older = known
        made.prune(upto)  # beyond the point
        known = going_on(made, older)
        made.append(4)
        made.seal()
        made.remember()
        known = going_on(made, known)
        made.append(2)
        made.sql("DELETE FROM tree_edge", f"UPDATE audit SET body = x'7b7d' WHERE seq = {newest(made)}")
        assert look(made, known).verdict.state == "tampered"
        made.restore()
        assert look(made, known).since == 0  # a person went on from a finding: everything is read once
        known = going_on(made, known)
        made.append(5)
        made.seal()
        made.turn()
        made.remember()
        known = going_on(made, known)
        assert look(made, known).since > 0


def test_old_rows_that_go_are_no_finding_before_and_after_the_point(data_dir: Path) -> None:
    with book(data_dir / "g.db") as made:
        made.filled()
        for _ in range(4):
            made.record(10)
            made.append(5)
        made.seal()
        known = remembered(made)
        made.record(10)
        made.seal()
        made.remember()
        late = going_on(made, known)
        for upto in (5, newest(made) - 1):
            plan = Plan(upto=upto, until_us=NOW_US * 2, reason="age")
            made.retain(plan, steps=0)
            for point in (known, late):
                going_on(made, point)
            made.retain(plan, steps=1)
            for point in (known, late):
                going_on(made, point)
            made.retain(plan)
            for point in (known, late):
                going_on(made, point)


def test_rows_that_were_opened_long_before_the_point_and_written_after_it_are_read(data_dir: Path) -> None:
    """As an answer that streamed for an hour, or one that waited in the journal through a crash."""
    with book(data_dir / "g.db") as made:
        made.begin()
        early, late = rows(40)[:20], rows(40)[20:]
        with made.store.write() as connection:
            ledger.record(connection, late, at_us=made.now())
        made.seal()
        made.remember()
        known = remembered(made)
        with made.store.write() as connection:
            ledger.record(connection, [*early[::2], *rows(45)[40:]], at_us=made.now())
            ledger.record(connection, early[1::2], at_us=made.now())
        assert look(made, known).rows == ledger.Verdict(rows=25, batches=2)
        for row in (early[0], early[1], early[-1]):
            made.sql(f"UPDATE exchanges SET status = status + 1 WHERE id = x'{ledger.key(row.id).hex()}'")
            assert look(made, known).verdict.findings[0].kind == "ledger"
            made.sql(f"UPDATE exchanges SET status = status - 1 WHERE id = x'{ledger.key(row.id).hex()}'")
        assert look(made, known).verdict.state == "intact"


def test_the_work_of_going_on_does_not_grow_with_what_was_there(data_dir: Path) -> None:
    """Counted in steps of the database, for logs of n, 2n and 4n before the point."""
    steps = []
    for times in (1, 2, 4):
        with book(data_dir / f"g{times}.db") as made:
            made.begin()
            for _ in range(times * 3):
                made.record(1_000)
                made.append(500)
            made.seal()
            made.remember()
            known = remembered(made)
            made.record(10)
            made.append(5)
            counted = [0]

            def tick(counted: list[int] = counted) -> int:
                counted[0] += 1
                return 0

            with made.store.read() as connection:
                raw = connection.connection.driver_connection
                assert raw is not None
                raw.set_progress_handler(tick, 100)
                try:
                    looked = verified.look(connection, made.anchor, made.signer.public, known, lambda so_far: None)
                finally:
                    raw.set_progress_handler(None, 0)
            assert (looked.verdict.state, looked.rows.rows) == ("intact", 10)
            steps.append(counted[0])
    assert steps[2] < 2 * steps[0] + 50, steps


# -- as the engine does it


async def checked(vault: SlowVault, made: Book, folder: Path) -> tuple[int, int]:
    """A start, its check, and an end: after which entry was read, and how many entries."""
    async with auditor(made, folder, vault) as auditing_:
        while (status := await auditing_.status("", "")).verdict is None:
            await asyncio.sleep(0.01)
        assert status.verdict.state == "intact"
        assert (status.full_seq > 0, status.full_us > 0) == (True, True)
        await auditing_.stop()
        return status.verdict.since, status.verdict.entries


def test_a_start_goes_on_from_where_the_last_one_ended_and_once_a_week_reads_everything(data_dir: Path) -> None:
    async def story() -> None:
        vault, clock_us = SlowVault(), NOW_US

        async def start(after_us: int = 60_000_000) -> tuple[int, int]:
            nonlocal clock_us
            with book(data_dir / "g.db") as made:  # `auditor` appends 20 entries each time
                made.at_us = clock_us + after_us
                found = await checked(vault, made, data_dir)
                clock_us = made.at_us
            return found

        def full_seq() -> int:
            said = verified.of(vault.items["audit-anchor"])
            assert said is not None
            return said.full_seq

        assert [await start() for _ in range(3)] == [(0, 20), (20, 20), (40, 20)]
        assert full_seq() == 20
        assert (await start(WEEK_US), full_seq()) == ((0, 80), 80)
        assert (await start(), full_seq()) == ((80, 20), 80)
        # The clock went back by a year: that is no reason to believe the vault for as long.
        assert (await start(-365 * 86_400_000_000), full_seq()) == ((0, 120), 120)

    run(story())


def test_a_clock_that_is_put_back_while_it_runs_does_not_put_off_the_reading_of_everything(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "WATCH_S", 0.01)

    async def story() -> None:
        with book(data_dir / "g.db") as made:
            async with auditor(made, data_dir, SlowVault()) as auditing_:
                while (status := await auditing_.status("", "")).verdict is None:
                    await asyncio.sleep(0.01)
                made.at_us -= 365 * 86_400_000_000  # by a year
                while (later := await auditing_.status("", "")).full_us > made.at_us + DAY_US:
                    await asyncio.sleep(0.01)
                assert (status.verdict.since, later.verdict.since if later.verdict else -1) == (0, 0)

    run(story())


def test_a_person_who_asks_has_everything_read_and_ends_what_nobody_waits_for(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "LONGEST_REST_S", 600.0)
    monkeypatch.setattr(verifying, "QUIET_SHARE", 1e-9)  # the check after the start would take for ever
    resting, ended = threading.Event(), threading.Event()
    real = verifying.time.sleep

    def sleep(seconds: float) -> None:
        """As long as that, or until the reading was ended."""
        if seconds > 1:
            resting.set()
            ended.wait(20)
        else:
            real(seconds)

    monkeypatch.setattr(verifying.time, "sleep", sleep)
    end = Reading.end

    def ending(self: Reading) -> None:
        end(self)
        ended.set()

    monkeypatch.setattr(Reading, "end", ending)

    async def story() -> None:
        with book(data_dir / "g.db") as made:
            async with auditor(made, data_dir, SlowVault()) as auditing_:
                while not resting.is_set():
                    await asyncio.sleep(0.01)
                status = await auditing_.status("", "")
                assert (status.verifying, status.verifying_rows, status.verdict) == ((0, 20), (0, 0), None)
                said = await auditing_.verify(ME)
                assert (said.state, said.since, said.entries >= 20) == ("intact", 0, True)
                assert (await auditing_.status("", "")).verifying is None
                assert (await auditing_.verify(ME)).since == 0  # again everything

    run(story())


def test_the_end_does_not_wait_for_a_check_and_signing_does_not_either(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading: list[Reading] = []

    def told(self: Reading, so_far: Told) -> None:
        reading.append(self)
        while not self._ended:
            threading.Event().wait(0.01)
        raise EndedError

    monkeypatch.setattr(Reading, "told", told)

    async def story() -> None:
        with book(data_dir / "g.db") as made:
            async with auditor(made, data_dir, SlowVault()) as auditing_:
                while not reading:
                    await asyncio.sleep(0.01)
                before = newest(made)
                made.edit(lambda c: audit.append(c, ClientAdded(name="zed", key_hint=""), "person", made.now()))
                await auditing_._threads.write(lambda: None)  # something was written
                while True:
                    with made.store.read() as connection:
                        record = checkpoints.newest(connection)
                    if record is not None and record.seq > before:
                        break
                    await asyncio.sleep(0.05)
                await auditing_.stop()
            assert reading[-1]._ended

    run(story())


def test_what_is_quiet_works_a_fifth_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now, rested = [0.0], [0.0]
    monkeypatch.setattr(verifying.time, "monotonic", lambda: now[0])

    def sleep(seconds: float) -> None:
        now[0] += seconds
        rested[0] += seconds

    monkeypatch.setattr(verifying.time, "sleep", sleep)
    quiet = Reading(quiet=True)
    for _ in range(100):
        now[0] += 0.05
        quiet.told(Told())
    assert rested[0] / now[0] == pytest.approx(1 - verifying.QUIET_SHARE)
    hasty, before = Reading(quiet=False), rested[0]
    for _ in range(100):
        now[0] += 0.05
        hasty.told(Told())
    assert rested[0] - before == pytest.approx(100 * verifying.BREATH_S)
    hasty.end()
    with pytest.raises(EndedError):
        hasty.told(Told())


def test_a_prune_of_its_own_is_not_repeated_at_every_start(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pruned: list[int] = []
    real = auditing.Auditor.prune

    async def prune(self: auditing.Auditor, upto: int, who: object) -> int:
        pruned.append(upto)
        return await real(self, upto, who)  # type: ignore[arg-type]

    monkeypatch.setattr(auditing.Auditor, "prune", prune)

    async def story() -> None:
        vault = SlowVault()
        with book(data_dir / "g.db") as made:
            await checked(vault, made, data_dir)
        for start in range(3):
            with book(data_dir / "g.db") as made:
                made.at_us += 400 * 86_400_000_000 + start * 3_600_000_000
                async with auditor(made, data_dir, vault) as auditing_:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(4):
                            while (status := await auditing_.status("", "")).verdict is None or not pruned:
                                await asyncio.sleep(0.05)
                            await asyncio.sleep(0.5)
                    assert status.held is None
                    await auditing_.stop()
        assert len(pruned) == 1

    run(story())
