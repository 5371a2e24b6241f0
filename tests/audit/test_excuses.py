"""What went is excused only by what was signed: forged excuses are found, and what retention and prunes really do is not."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy.engine import Connection

from app import verifier
from app.core.errors import AppError
from app.core.events import AuditPruned, LedgerTrimmed, LedgerTrimming
from app.store import audit, floors, judging, ledger, repricing, retention, sealing, taken
from app.store.retention import DAY_US, Plan
from app.verifier import Verdict
from tests import exports
from tests.audit.book import Book, book, kinds
from tests.audit.test_export import exported, pin_of
from tests.audit.test_slow_vault import ME, SlowVault, auditor, run
from tests.store.rows import NOW_US, row

DAYS = 10
A_DAY = 12
CUT_US = NOW_US - 4 * DAY_US


def filled(made: Book) -> Book:
    """120 rows of ten days in batches of five, each sealed; and a claim of how the ledger stands."""
    made.begin()
    made.found_ledger()
    days = [
        row(number, at_us=NOW_US - day * DAY_US, client=("Cursor", "Zed")[number % 2], message="" if number % 5 else "x",
            outcome="completed" if number % 5 else "failed", cost_microusd=None if number % 7 == 3 else 100 + number)
        for day in range(DAYS - 1, -1, -1) for number in range(A_DAY)
    ]  # fmt: skip
    for start in range(0, len(days), 5):
        with made.store.write() as connection:
            ledger.record(connection, days[start : start + 5])
        made.seal()
    made.remember()
    return made


def plan(made: Book, cut_us: int = CUT_US) -> Plan:
    with made.store.read() as connection:
        found = retention.plan(connection, retention.Policy(keep_days=1, keep_bytes=0), cut_us + DAY_US)
    assert found is not None
    return found


def newest(made: Book) -> int:
    with made.store.read() as connection:
        return audit.newest(connection)


# -- how it stands when somebody comes


def as_recorded(made: Book) -> None:
    filled(made)


def after_retention(made: Book) -> None:
    filled(made).retain(plan(made))


def retention_cut_off(made: Book) -> None:
    filled(made).retain(plan(made), steps=3)


def after_a_prune(made: Book) -> None:
    filled(made).prune(18)


def pruned_while_cut_off(made: Book) -> None:
    filled(made).retain(plan(made), steps=3)
    made.prune(12)


def after_a_restore(made: Book) -> None:
    filled(made).retain(plan(made))
    made.sql("DELETE FROM audit WHERE seq = 20")
    made.restore()


STATES = (as_recorded, after_retention, retention_cut_off, after_a_prune, pruned_while_cut_off, after_a_restore)


# -- what they write to excuse it


def trimming(upto: int) -> Callable[[Connection], None]:
    return lambda c: void(audit.append(c, LedgerTrimming(upto=upto, until_us=NOW_US * 2, reason="age"), "gateway", NOW_US))


def trimmed(upto: int) -> Callable[[Connection], None]:
    def act(connection: Connection) -> None:
        rows, digest = ledger.digest_upto(connection, upto)
        event = LedgerTrimmed(upto=upto, until_us=NOW_US * 2, rows=9, old_rows=rows, old_digest=digest)
        audit.append(connection, event, "gateway", NOW_US)

    return act


def pruned(upto: int) -> Callable[[Connection], None]:
    def act(connection: Connection) -> None:
        rows, digest = ledger.digest_upto(connection, upto)
        head = connection.exec_driver_sql("SELECT hash FROM audit WHERE seq = ?", (upto,)).scalar() or b""
        audit.append(connection, AuditPruned(upto=upto, count=upto, head=head.hex(), rows=rows, digest=digest), "gateway", NOW_US)

    return act


def nothing(upto: int) -> Callable[[Connection], None]:
    return lambda c: None


def void(_: object) -> None: ...


EXCUSES = (nothing, trimming, trimmed, pruned)

# -- what they do to the rows

OLDEST = "id = (SELECT min(id) FROM exchanges)"
NEWEST = "id = (SELECT max(id) FROM exchanges)"
MIDDLE = "id = (SELECT id FROM exchanges ORDER BY id LIMIT 1 OFFSET (SELECT count(*) / 2 FROM exchanges))"
DONE = {
    "edited": "UPDATE exchanges SET cost_microusd = 999, message = 'y' WHERE {}",
    "deleted": "DELETE FROM exchanges WHERE {}",
    "added": "INSERT INTO exchanges SELECT CAST(substr(id, 1, 10) || x'000000000001' AS BLOB), {columns} FROM exchanges WHERE {}",
    "moved": "UPDATE exchanges SET batch = batch + 1000 WHERE {}",
}


def do(connection: Connection, what: str, where: str) -> None:
    names = [found[1] for found in connection.exec_driver_sql("PRAGMA table_info(exchanges)")][1:]
    connection.exec_driver_sql(DONE[what].replace("{columns}", ", ".join(names)).replace("{}", where))


class UndoneError(Exception):
    pass


def tried(made: Book, *acts: Callable[[Connection], object]) -> Verdict:
    """The verdict after these, which are undone again."""
    with suppress(UndoneError), made.store.write() as connection:
        for act in acts:
            act(connection)
        verdict, _ = judging.verify(connection, made.anchor, made.signer.public)
        raise UndoneError
    return verdict


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_what_nobody_did_to_it_is_intact(state: Callable[[Book], None], data_dir: Path) -> None:
    with book(data_dir / "g.db") as made:
        state(made)
        verdict = made.verify()
        assert (verdict.state, verdict.findings) == ("intact", [])


@pytest.mark.parametrize("what", DONE)
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_a_row_that_was_changed_is_found_whatever_somebody_writes_to_excuse_it(
    state: Callable[[Book], None], what: str, data_dir: Path
) -> None:
    with book(data_dir / "g.db") as made:
        state(made)
        end = newest(made)
        for place, where in (("oldest", OLDEST), ("middle", MIDDLE), ("newest", NEWEST)):
            for excuse in EXCUSES:
                for upto in (1, 10, end // 2, end, end + 1):
                    verdict = tried(made, lambda c, where=where: do(c, what, where), excuse(upto))
                    assert verdict.state == "tampered", (place, excuse, upto)
        assert made.verify().state == "intact"


@pytest.mark.parametrize("excuse", EXCUSES[1:], ids=lambda excuse: excuse.__name__)
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_a_forged_excuse_alone_is_found(
    state: Callable[[Book], None], excuse: Callable[[int], Callable[[Connection], None]], data_dir: Path
) -> None:
    with book(data_dir / "g.db") as made:
        state(made)
        made.edit(excuse(newest(made)))
        verdict = made.verify()
        assert kinds(verdict) == ["unsigned prune" if excuse is pruned else "ledger"]
        assert "no record" in verdict.findings[0].sentence


def test_an_excuse_that_was_forged_before_the_first_claim_excuses_nothing_beyond_the_signatures(data_dir: Path) -> None:
    """A log of an earlier version, whose entries count as far as a signature covers them."""
    with book(data_dir / "g.db") as made:
        made.filled()
        for excuse in EXCUSES:
            verdict = tried(made, lambda c: do(c, "edited", OLDEST), excuse(newest(made)))
            assert verdict.state == "tampered"


@pytest.mark.parametrize("lasting", ["UPDATE checkpoints SET lasting = 0", "DELETE FROM checkpoints WHERE lasting = 1 AND number > 0"])
def test_claims_that_are_hidden_are_missed(lasting: str, data_dir: Path) -> None:
    with book(data_dir / "g.db") as made:
        after_retention(made)
        made.sql(lasting)
        assert made.verify().state == "tampered"


# -- an export


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_an_export_shows_that_what_went_was_signed(state: Callable[[Book], None], data_dir: Path) -> None:
    with book(data_dir / "g.db") as made:
        state(made)
        made.seal()
        made.remember()
        assert verifier.check(exported(made, data_dir / "export"), pin=pin_of(made)).state == "intact"
        for number, excuse in enumerate(EXCUSES[1:]):
            with suppress(UndoneError), made.store.write() as connection:
                excuse(newest(made))(connection)
                exports.write_log(connection, data_dir / f"export-{number}", made.signer, NOW_US)
                raise UndoneError
            verdict = verifier.check(data_dir / f"export-{number}", pin=pin_of(made))
            assert kinds(verdict) == ["unsigned prune" if excuse is pruned else "ledger"]


# -- evidence does not go


@pytest.mark.parametrize("what", ["edited", "deleted", "added"])
def test_what_is_not_as_it_was_recorded_does_not_go(what: str, data_dir: Path) -> None:
    with book(data_dir / "g.db") as made:
        filled(made)
        going = plan(made)
        made.edit(lambda c: do(c, what, OLDEST))
        with pytest.raises(sealing.HeldError) as held:
            made.retain(going)
        assert held.value.kind == "ledger"


def test_sums_that_somebody_changed_are_not_signed(data_dir: Path) -> None:
    with book(data_dir / "g.db") as made:
        filled(made).retain(plan(made, CUT_US - 2 * DAY_US))
        made.sql("UPDATE taken SET requests = 1000")
        with pytest.raises(sealing.HeldError) as held:
            made.retain(plan(made))
        assert held.value.kind == "sums"


# -- and no false alarm


def test_after_a_restore_a_limit_of_size_still_holds(data_dir: Path) -> None:
    """What had gone before is not counted among what is there."""
    with book(data_dir / "g.db") as made:
        after_a_restore(made)
        with made.store.read() as connection:
            there = retention.held(connection)
            found = retention.plan(connection, retention.Policy(keep_days=0, keep_bytes=there.file_bytes * 8 // 10), NOW_US)
        assert found is not None
        made.retain(found)
        assert made.verify().findings == []
        with made.store.read() as connection:
            assert 0 < connection.exec_driver_sql("SELECT count(*) FROM exchanges").scalar_one() < 50


@pytest.mark.parametrize("steps", range(14))
def test_cut_off_at_each_step_and_gone_on_it_is_intact(steps: int, data_dir: Path) -> None:
    with book(data_dir / "g.db") as made:
        filled(made)
        wanted = plan(made)
        with made.store.read() as connection:
            expected = taken.digest(connection, wanted.upto, floors.before(wanted.until_us))
        made.retain(wanted, steps=steps)
        assert made.verify().findings == []
        with made.store.read() as connection:
            going = floors.unfinished(connection)
        assert going is not None
        again = plan(made, CUT_US - DAY_US)  # also when the person has chosen to keep more since
        assert (again.upto, again.until_us) == (wanted.upto, wanted.until_us)
        made.retain(again, steps=2)
        assert made.verify().findings == []
        made.retain(again)
        assert made.verify().findings == []
        with made.store.read() as connection:
            assert taken.digest(connection) == expected
            assert floors.unfinished(connection) is None


def test_steps_that_a_power_cut_undid_are_no_finding(data_dir: Path) -> None:
    with book(data_dir / "g.db") as made:
        filled(made)
        wanted = plan(made)
        made.retain(wanted, steps=1)
        made.copy(made.path.with_name("disk.db"))
        made.put_back(made.path.with_name("disk.db"))
        after: bytes | None = b""
        for _ in range(4):
            with made.store.write(durable=False) as connection:
                _, after = retention.remove(connection, wanted, after or b"", 9)
        assert made.verify().findings == []
        made.put_back(made.path.with_name("disk.db"))
        assert made.verify().findings == []
        made.retain(wanted)
        assert made.verify().findings == []


@pytest.mark.parametrize("steps", [0, 1, 2, None])
def test_a_row_that_was_opened_after_its_batch_was_written_stays_and_is_checked(steps: int | None, data_dir: Path) -> None:
    """The clock was set back meanwhile."""
    with book(data_dir / "g.db") as made:
        made.begin()
        made.found_ledger()
        ahead = [row(n, at_us=NOW_US - (9 if n % 2 else 1) * DAY_US) for n in range(6)]
        with made.store.write() as connection:
            ledger.record(connection, ahead, at_us=NOW_US - 9 * DAY_US)
            ledger.record(connection, [row(n, at_us=NOW_US) for n in range(6)])
        made.retain(plan(made), steps=steps, most=2)
        assert made.verify().findings == []
        with made.store.read() as connection:
            assert set(ahead[::2]) < set(ledger.page(connection, 100))
        kept = "id = (SELECT max(id) FROM exchanges WHERE batch = (SELECT min(batch) FROM exchanges))"
        for what in ("edited", "deleted", "added"):
            assert tried(made, lambda c, what=what: do(c, what, kept)).state == "tampered", what
        if steps is not None:
            made.retain(plan(made))
        assert made.verify().findings == []


def price(factor: int) -> Callable[[object], tuple[int, str]]:
    return lambda exchange: ((exchange.cost_microusd or 0) * factor + 1, "local" if factor % 2 else "own")  # type: ignore[attr-defined]


def reprice(made: Book, factor: int) -> None:
    with made.store.write() as connection:
        repricing.step(connection, newest_run(connection), b"", b"\xff" * 16, b"", 500, price(factor), unpriced_only=False)


def newest_run(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SELECT ifnull(max(run), 0) + 1 FROM repriced").scalar_one())


def test_costs_worked_out_again_go_with_their_rows(data_dir: Path) -> None:
    with book(data_dir / "g.db") as made:
        filled(made)
        for factor, cut in ((2, 8), (3, 6), (4, 4)):
            reprice(made, factor)
            assert made.verify().findings == []
            made.retain(plan(made, NOW_US - cut * DAY_US))
            assert made.verify().findings == []
        made.sql("UPDATE repriced SET cost_microusd = cost_microusd + 1 WHERE run = (SELECT max(run) FROM repriced)")
        assert kinds(made.verify()) == ["sums"]


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_what_really_happens_is_intact(seed: int, data_dir: Path) -> None:
    """Rows, late rows, retention, some of it cut off, prunes, re-pricing, turns and restores, whatever comes after what."""
    chance = random.Random(seed)
    with book(data_dir / "g.db") as made:
        if seed % 2:
            made.begin()
        else:
            filled(made)
        moment = NOW_US
        for step in range(40):
            act = chance.choice(["record", "record", "late", "retain", "cut", "prune", "reprice", "turn", "seal", "restore"])
            if act in ("record", "late"):
                moment += DAY_US // 3
                at_us = moment if act == "record" else moment - chance.randrange(6 * DAY_US)
                with made.store.write() as connection:
                    ledger.record(connection, [row(step * 100 + n, at_us=at_us + n * DAY_US // 9) for n in range(7)])
            elif act in ("retain", "cut"):
                with made.store.read() as connection:
                    found = retention.plan(connection, retention.Policy(keep_days=3, keep_bytes=0), moment + chance.randrange(DAY_US))
                if found is not None:
                    made.retain(found, steps=chance.randrange(4) if act == "cut" else None, most=3)
            elif act == "prune":
                made.seal()
                with made.store.read() as connection:
                    upto = connection.exec_driver_sql("SELECT min(seq) FROM checkpoints WHERE seq > 1 AND lasting = 0").scalar()
                    first = audit.span(connection)[1]
                if upto is not None and upto >= first and upto > restored(made):
                    made.prune(upto)
            elif act == "reprice":
                with made.store.read() as connection:
                    idle = floors.unfinished(connection) is None
                if idle:
                    reprice(made, chance.randrange(1, 9))
            elif act == "restore" and chance.random() < 0.3:
                made.sql("UPDATE rollups SET requests = requests + 1")
                made.restore()
            elif act == "turn":
                made.turn()
            else:
                made.seal()
            made.remember()
            verdict = made.verify()
            assert verdict.findings == [], (step, act)


def restored(made: Book) -> int:
    with made.store.read() as connection:
        from app.store import checkpoints

        opening = checkpoints.newest_of(connection, "restore")
        return 0 if opening is None else opening.base


def test_an_engine_signs_how_the_ledger_stands_and_a_person_can_go_on_from_what_was_found(data_dir: Path) -> None:
    async def story() -> None:
        vault = SlowVault()
        with book(data_dir / "g.db") as made:
            async with auditor(made, data_dir, vault) as auditing:
                while not standing(made).signed:
                    await asyncio.sleep(0.02)
                made.record(12)
                assert (await auditing.verify(ME)).state == "intact"
                await auditing.stop()
        with book(data_dir / "g.db") as made:
            made.edit(lambda c: do(c, "edited", OLDEST))
            made.sql("UPDATE rollups SET requests = 9", "DELETE FROM family_rows", "UPDATE daily SET requests = 1")
            async with auditor(made, data_dir, vault) as auditing:
                said = await auditing.verify(ME)
                assert [said.state, said.findings[0].kind] == ["tampered", "ledger"]
                with pytest.raises(AppError, match="cannot be signed now"):
                    await auditing.signed(lambda c, signer: None)
                await auditing.accept("ledger", ME)
                said = await auditing.verify(ME)
                assert (said.state, said.finding) == ("intact", "")
                made.record(3)
                made.edit(lambda c: do(c, "deleted", OLDEST))
                assert (await auditing.verify(ME)).findings[0].kind == "ledger"

    run(story())


def standing(made: Book) -> floors.Floor:
    with made.store.read() as connection:
        return floors.known(connection)
