"""What retention took before that was kept: an upgraded database verifies, and is covered from its first claim on."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.engine import Connection

from app.core.events import LedgerTrimmed, LedgerTrimming
from app.store import audit, families, floors, judging, ledger, migrations, repricing, sealing, taken
from app.store.database import Store
from app.store.retention import DAY_US, Plan
from tests.audit.book import Book, kinds
from tests.store.rows import KEY, NOW_US, opened, row

STEP = next(number for number, step in enumerate(migrations.ALL) if step.name == "what retention took")


def earlier(path: Path) -> Book:
    """A database of before that step, under a book that works on it as that version did."""
    with opened(path, KEY, migrations.ALL[:STEP]):
        pass
    made = Book.__new__(Book)
    made.path, made.key, made.at_us, made.anchor = path, KEY, NOW_US, None
    made.signer = sealing.Signer.fresh(0)
    made.store = Store.open(path, KEY, migrations.ALL[:STEP])
    made.begin()
    for day in range(9, -1, -1):
        with made.store.write() as connection:
            ledger.record(connection, [row(n, at_us=NOW_US - day * DAY_US, cost_microusd=None if n == 3 else n) for n in range(12)])
        made.seal()
    with made.store.write() as connection:
        repricing.step(connection, 1, b"", b"\xff" * 16, b"", 500, lambda was: ((was.cost_microusd or 0) + 7, "local"), unpriced_only=False)
    return made


def go(connection: Connection, upto: int, most: int) -> None:
    """Rows as they went then."""
    wanted = ", ".join(families.COLUMNS)
    found = connection.exec_driver_sql(f"SELECT id, {wanted} FROM exchanges WHERE batch <= ? ORDER BY id LIMIT ?", (upto, most)).all()
    for identifier, *key in found:
        families.remove(connection, [tuple(key)], identifier, identifier)
        connection.exec_driver_sql("DELETE FROM repriced WHERE exchange = ?", (identifier,))
        connection.exec_driver_sql("DELETE FROM exchanges WHERE id = ?", (identifier,))


def trim(made: Book, *, cut_off: bool) -> None:
    """Without a claim, and signed over with the next checkpoint."""
    until_us = NOW_US - 5 * DAY_US
    with made.store.write() as connection:
        audit.append(connection, LedgerTrimming(upto=4, until_us=until_us, reason="age"), "gateway", NOW_US)
        go(connection, 4, 17 if cut_off else 100)
        if not cut_off:
            said = LedgerTrimmed(upto=4, until_us=until_us, rows=48, old_rows=0, old_digest="")
            audit.append(connection, said, "gateway", NOW_US)


def upgrade(made: Book) -> None:
    made.store.close()
    made.store = Store.open(made.path, KEY)


@pytest.mark.parametrize("what", ["nothing", "trimmed", "cut off"])
def test_an_upgraded_database_verifies_and_is_covered_from_its_first_claim_on(what: str, data_dir: Path) -> None:
    made = earlier(data_dir / "g.db")
    if what != "nothing":
        trim(made, cut_off=what == "cut off")
    made.seal()
    made.remember()
    upgrade(made)
    assert made.verify().findings == []
    made.found_ledger()
    made.append(3)
    made.seal()
    made.remember()
    assert made.verify().findings == []
    with made.store.read() as connection:
        gone, known = connection.exec_driver_sql("SELECT ifnull(sum(requests), 0), count(*) FROM taken").one()
        assert gone == {"nothing": 0, "trimmed": 48, "cut off": 17}[what]
        assert known == len(connection.exec_driver_sql("SELECT * FROM taken WHERE requests > 0").all())
        going = floors.unfinished(connection)
    assert (going is not None) == (what == "cut off")
    if going is not None:
        made.retain(Plan.of(going))
        assert made.verify().findings == []
        with made.store.read() as connection:
            assert connection.exec_driver_sql("SELECT sum(requests) FROM taken").scalar_one() == 48
    assert len([note for note in made.verify().notes if "as they were found then" in note]) == (what != "nothing")
    made.sql("UPDATE taken SET output = output + 1", "UPDATE rollups SET output = output + 1") if what != "nothing" else made.sql(
        "UPDATE rollups SET output = output + 1"
    )
    assert kinds(made.verify()) == ["sums"]
    made.store.close()


def test_an_entry_that_was_forged_before_the_upgrade_excuses_nothing_when_nothing_was_signed_over_it(data_dir: Path) -> None:
    made = earlier(data_dir / "g.db")
    trim(made, cut_off=False)  # the rows went, and nothing was signed over what tells of it
    upgrade(made)
    assert kinds(made.verify()) == ["ledger"]
    made.store.close()


def test_the_step_counts_as_the_code_counts(data_dir: Path) -> None:
    """The frozen statement and the one in use, on rows of every kind, re-priced twice."""
    made = earlier(data_dir / "g.db")
    with made.store.write() as connection:
        ledger.record(
            connection,
            [
                row(n, outcome=outcome, model=model, cost_microusd=cost, price=price, at_us=NOW_US + n * DAY_US)
                for n, (outcome, model, cost, price) in enumerate(
                    (outcome, model, cost, price)
                    for outcome in ("completed", "failed", "refused", "interrupted", "cancelled")
                    for model in ("", "m") for cost in (None, 0, 5) for price in ("", "local", "list")
                )
            ],
        )  # fmt: skip
        repricing.step(connection, 9, b"", b"\xff" * 16, b"", 500, lambda was: ((was.cost_microusd or 0) + 1, "list"), unpriced_only=True)
    upgrade(made)
    with made.store.write() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM taken").scalar_one() == 0
        taken.count(connection)
        assert connection.exec_driver_sql("SELECT count(*) FROM taken").scalar_one() == 0
    with made.store.read() as connection:
        verdict, _ = judging.verify(connection, None)
    assert [finding.kind for finding in verdict.findings] == []
    made.store.close()
