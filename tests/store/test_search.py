"""Finding rows: every filter gives what reading all rows would give, in pages without gap or repeat."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core.errors import AppError
from app.core.ids import call_id
from app.core.records import Exchange
from app.store import exchanges, ledger, migrations, search
from app.store.database import Store
from app.store.search import Filter
from tests.store.rows import KEY, NOW_US, any_row, opened, row, rows

DAY_US = 86_400_000_000
EACH = settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))

filters = st.builds(
    Filter,
    since_us=st.none() | st.integers(NOW_US, NOW_US + 4 * DAY_US),
    until_us=st.none() | st.integers(NOW_US, NOW_US + 4 * DAY_US),
    clients=st.lists(st.sampled_from(["Cursor", "Zed", "größe ☃", "nobody", "\ud800"]), max_size=2).map(tuple),
    providers=st.lists(st.sampled_from(["Zed", "=cmd()", ""]), max_size=2).map(tuple),
    models=st.lists(st.sampled_from(["a/b", "Cursor", "' OR 1=1 --"]), max_size=2).map(tuple),
    statuses=st.lists(st.sampled_from(["401", "4xx", "2xx", "failed", "cancelled", "completed", "000"]), max_size=2).map(tuple),
    outcomes=st.lists(st.sampled_from(["completed", "failed", "cancelled", "teapot"]), max_size=2).map(tuple),
    text=st.sampled_from(["", "", "a", "É", "%", "0", "openai"]),
)


def fits(one: Exchange, wanted: Filter) -> bool:
    """The same filter the plain way. Times are compared as ids hold them, in milliseconds."""
    return (
        (wanted.since_us is None or one.opened_us // 1000 >= wanted.since_us // 1000)
        and (wanted.until_us is None or one.opened_us // 1000 < (wanted.until_us + 999) // 1000)
        and (not wanted.clients or one.client in wanted.clients)
        and (not wanted.providers or one.account in wanted.providers)
        and (not wanted.models or one.model in wanted.models)
        and (not wanted.statuses or any(_status(one, status) for status in wanted.statuses))
        and (not wanted.outcomes or one.outcome in wanted.outcomes)
        and (not wanted.text or (one.message != "" and (_lower(wanted.text) in _lower(one.message) or wanted.text in one.error)))
    )


def _lower(text: str) -> str:
    return "".join(letter.lower() if letter.isascii() else letter for letter in text)


def _status(one: Exchange, status: str) -> bool:
    return status in (one.outcome, f"{one.status:03}") or (status.endswith("xx") and one.status // 100 == int(status[0]))


def pages(store: Store, wanted: Filter, limit: int, *, up: bool = False) -> list[Exchange]:
    """Every page in turn, joined, newest first."""
    seen: list[Exchange] = []
    at: str | None = call_id(0, 0) if up else None
    with store.read() as connection:
        for _ in range(1000):
            found = search.find(connection, wanted, limit, after=at) if up else search.find(connection, wanted, limit, before=at)
            seen = found.rows + seen if up else seen + found.rows
            at = found.next
            if at is None:
                return seen
    raise AssertionError("the pages do not end")


@EACH
@given(st.lists(any_row(), max_size=40, unique_by=lambda made: made.id), filters, st.integers(1, 7))
def test_a_filter_gives_the_rows_that_reading_all_of_them_gives(
    tmp_path_factory: pytest.TempPathFactory, made: list[Exchange], wanted: Filter, limit: int
) -> None:
    with opened(tmp_path_factory.mktemp("search") / "g.db") as store:
        for half in (made[::2], made[1::2]):
            with store.write() as connection:
                ledger.record(connection, half)
        expected = sorted((one for one in map(exchanges.bounded, made) if fits(one, wanted)), key=lambda one: one.id, reverse=True)
        assert pages(store, wanted, limit) == expected
        assert pages(store, wanted, limit, up=True) == expected


@pytest.mark.parametrize("limit", [1, 3, 50])
def test_many_failures_are_searched_a_part_at_a_time(data_dir: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(search, "SEARCHED", 7)
    made = [row(n, outcome="failed", error="provider_error", message=f"number {n}.", status=500 + n % 2) for n in range(60)]
    with opened(data_dir / "g.db") as store:
        with store.write() as connection:
            ledger.record(connection, made)
        expected = [one for one in made if "3" in one.message][::-1]
        assert pages(store, Filter(text="3"), limit) == expected
        assert pages(store, Filter(text="3"), limit, up=True) == expected
        odd = [one for one in expected if one.status == 501]
        assert pages(store, Filter(text="3", statuses=("501",)), limit) == odd
        assert pages(store, Filter(text="PROVIDER_ERR"), limit) == made[::-1]
        assert pages(store, Filter(text="never said"), limit) == []


def test_names_sent_at_random_do_not_break_a_filter(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MOST_FAMILIES", 10)
    monkeypatch.setattr(search, "READ", 9)
    made = [row(n, model=f"m{n}", client="Zed" if n % 5 else "Cursor") for n in range(60)]
    with opened(data_dir / "g.db") as store:
        with store.write() as connection:
            ledger.record(connection, made)
        for up in (False, True):
            assert pages(store, Filter(clients=("Zed",)), 4, up=up) == [one for one in made if one.client == "Zed"][::-1]


def test_an_id_is_found_by_how_it_begins(data_dir: Path) -> None:
    made = rows(20)
    with opened(data_dir / "g.db") as store:
        with store.write() as connection:
            ledger.record(connection, made)
        with store.read() as connection:

            def found(text: str) -> Sequence[Exchange]:
                return search.find(connection, Filter(id=text), 100).rows

            assert found(made[3].id) == [made[3]]
            assert found(made[3].id[:-1]) == [made[3]]
            assert (
                found(f" {made[3].id.removeprefix('req_').lower()[:14]}") == [one for one in made if one.id[:18] == made[3].id[:18]][::-1]
            )
            assert len(found("req_")) == 20
            for bad in ("req_!", "not an id", "req_" + "0" * 27, "8", "U", "%"):
                with pytest.raises(AppError, match="body_invalid"):
                    found(bad)
            for status in ("", "teapot", "99", "٤٢٩", "0 OR 1", "xxx"):
                with pytest.raises(AppError, match="body_invalid"):
                    search.find(connection, Filter(statuses=(status,)), 1)


def test_names_to_choose_from_are_those_of_rows(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store:
        with store.write() as connection:
            ledger.record(connection, [row(1), row(2, client="Zed", model="a"), row(3, client="", account="", model="")])
        with store.read() as connection:
            assert search.names(connection) == (["Cursor", "Zed"], ["work"], ["a", "gpt-5"])


def test_a_ledger_of_before_can_be_searched_after_the_migration(data_dir: Path) -> None:
    """The tables that came with the step are filled from the rows, equal to those that recording fills."""
    made = [
        row(n, client=f"c{n % 3}", outcome="failed" if n % 4 == 0 else "completed", message="x" if n % 4 == 0 else "") for n in range(50)
    ]
    place = next(number for number, step in enumerate(migrations.ALL) if step.name.startswith("families"))
    step = migrations.ALL[place]
    contents = []
    for name in ("old.db", "new.db"):
        with opened(data_dir / name, KEY) as store:
            with store.write() as connection:
                ledger.record(connection, made)
                if name == "old.db":
                    for table in ("families", "family_rows", "daily", "day_spans"):
                        connection.exec_driver_sql(f"DROP TABLE {table}")
                    connection.exec_driver_sql("DROP INDEX failures")
                    step.apply(connection.connection.driver_connection)
            with store.write() as connection:
                ledger.record(connection, [row(100, client="c1")])
            with store.read() as connection:
                assert (
                    len(search.find(connection, Filter(clients=("c1",)), 100).rows) == len([one for one in made if one.client == "c1"]) + 1
                )
                contents.append(
                    [
                        sorted(connection.exec_driver_sql(f"SELECT {columns} FROM {table}").all())
                        for table, columns in (
                            (
                                "family_rows JOIN families ON family = families.id",
                                "exchange, client, account, model, status, outcome, error",
                            ),
                            ("daily", "*"),
                        )
                    ]
                )
    assert contents[0] == contents[1]
