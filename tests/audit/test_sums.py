"""Sums that do not follow from the rows are found, and so are sums of what retention took that are not those that were signed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.engine import Connection

from app.engine.verifying import EndedError
from app.store import floors, judging, ledger, sums, taken
from app.store.retention import DAY_US, Plan
from app.verifier import Verdict
from tests.audit.book import Book, book, kinds
from tests.audit.test_excuses import A_DAY, DAYS, STATES, after_a_restore, after_retention, filled, newest, retention_cut_off, tried
from tests.store.rows import NOW_US, row

SUMS = {
    "rollups higher": "UPDATE rollups SET requests = requests + 1 WHERE quarter = (SELECT {} FROM rollups)",
    "rollups lower": "UPDATE rollups SET cost_microusd = cost_microusd - 1 WHERE quarter = (SELECT {} FROM rollups)",
    "rollups less": "DELETE FROM rollups WHERE quarter = (SELECT {} FROM rollups)",
    "rollups more": "INSERT INTO rollups SELECT quarter + 1, client, account, kind, model, requests, failed, local, input, cached,"
    " cache_write, output, reasoning, cost_microusd, unpriced, estimated FROM rollups WHERE quarter = (SELECT {} FROM rollups) LIMIT 1",
    "rollups moved": "UPDATE rollups SET client = (SELECT id FROM words WHERE text = 'openai') WHERE quarter = (SELECT {} FROM rollups)"
    " AND client = (SELECT id FROM words WHERE text = 'Zed')",
    "rollups too large": "UPDATE rollups SET input = 9223372036854775807 WHERE quarter = (SELECT {} FROM rollups)",
    "days": "UPDATE daily SET input = input + 1 WHERE day = (SELECT {} FROM daily)",
    "days less": "DELETE FROM daily WHERE day = (SELECT {} FROM daily)",
    "families less": "DELETE FROM family_rows WHERE exchange = (SELECT {} FROM family_rows)",
    "families moved": "UPDATE family_rows SET family = (SELECT max(id) FROM families WHERE id <> family_rows.family)"
    " WHERE exchange = (SELECT {} FROM family_rows)",
    "families all": "DELETE FROM family_rows",
}


@pytest.mark.parametrize("place", ["min", "max"])
@pytest.mark.parametrize("what", SUMS)
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_sums_that_do_not_follow_from_the_rows_are_found(state: Callable[[Book], None], what: str, place: str, data_dir: Path) -> None:
    column = "day" if what.startswith("days") else "exchange" if what.startswith("families") else "quarter"
    with book(data_dir / "g.db") as made:
        state(made)
        made.sql(SUMS[what].replace("{}", f"{place}({column})"))
        verdict = made.verify()
        assert kinds(verdict) == ["sums"]
        assert verdict.findings[0].sentence


@pytest.mark.parametrize("state", [after_retention, retention_cut_off, after_a_restore], ids=lambda state: state.__name__)
def test_sums_of_what_was_taken_are_signed(state: Callable[[Book], None], data_dir: Path) -> None:
    """Both the sums that are shown and those of what was taken are changed alike, whole days too."""
    with book(data_dir / "g.db") as made:
        state(made)
        made.sql(
            "UPDATE taken SET requests = requests + 5 WHERE quarter = (SELECT min(quarter) FROM taken)",
            "UPDATE rollups SET requests = requests + 5 WHERE quarter = (SELECT min(quarter) FROM taken)",
            "UPDATE daily SET requests = requests + 5 WHERE day = (SELECT min(day) FROM daily)",
        )
        assert kinds(made.verify()) == ["sums"]


def test_a_name_in_sums_of_rows_that_went_is_signed(data_dir: Path) -> None:
    with book(data_dir / "g.db") as made:
        filled(made)
        with made.store.write() as connection:
            ledger.record(connection, [row(1, at_us=NOW_US - 20 * DAY_US, client="gone since")], at_us=NOW_US - 20 * DAY_US)
        made.retain(Plan(upto=newest(made), until_us=NOW_US * 2, reason="age"))
        assert made.verify().state == "intact"
        made.sql("UPDATE words SET text = 'nobody' WHERE text = 'gone since'")
        made.copy(made.path.with_name("stopped.db"))
        made.put_back(made.path.with_name("stopped.db"))
        assert kinds(made.verify()) == ["sums"]


def test_a_finding_names_the_client_and_the_day(data_dir: Path) -> None:
    with book(data_dir / "g.db") as made:
        filled(made).sql("UPDATE rollups SET requests = requests + 3 WHERE client = (SELECT id FROM words WHERE text = 'Zed')")
        (found,) = made.verify().findings
        assert "'Zed' on 2026-11-09" in found.sentence
        assert "requests too high by 3" in found.sentence


def test_from_a_point_on_sums_are_not_asked_about(data_dir: Path) -> None:
    with book(data_dir / "g.db") as made:
        filled(made).sql("UPDATE rollups SET requests = 7")
        with made.store.read() as connection:
            verdict = Verdict()
            sums.check(connection, judging.Scope(1, 1, lambda rows: None), verdict)
        assert verdict.findings == []


def test_a_check_of_sums_ends_when_it_is_told_to(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "_STEPS", 10)
    asked = []

    def told(rows: int) -> None:
        asked.append(rows)
        if len(asked) > 20:
            raise EndedError

    with book(data_dir / "g.db") as made:
        filled(made)
        for _ in range(2):
            with pytest.raises(EndedError), made.store.read() as connection:
                sums.check(connection, judging.Scope(0, 0, told), Verdict())
        assert set(asked) == {DAYS * A_DAY}
        assert made.verify().findings == []


@pytest.mark.parametrize("whole_batch", [False, True])
def test_while_rows_go_somebody_else_takes_none_out_of_turn_whose_sums_are_kept_as_if_they_had_gone(
    whole_batch: bool, data_dir: Path
) -> None:
    with book(data_dir / "g.db") as made:
        retention_cut_off(made)

        def act(connection: Connection) -> None:
            upto = floors.known(connection).upto
            batch = connection.exec_driver_sql("SELECT max(batch) FROM exchanges WHERE batch < ?", (upto,)).scalar_one()
            for (identifier,) in connection.exec_driver_sql("SELECT id FROM exchanges WHERE batch = ? ORDER BY id", (batch,)).all()[
                : 5 if whole_batch else 1
            ]:
                taken.take(connection, identifier, identifier)
                for table, column in (("family_rows", "exchange"), ("exchanges", "id")):
                    connection.exec_driver_sql(f"DELETE FROM {table} WHERE {column} = ?", (identifier,))

        verdict = tried(made, act)
        assert kinds(verdict) == ["ledger"]
        assert ("knows" if whole_batch else "not their turn") in verdict.findings[0].sentence
