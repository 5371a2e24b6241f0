"""Costs worked out later: the sums follow, the row keeps what was first written, and the digest still holds."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC
from pathlib import Path

import pytest

from app.core.records import Exchange, OwnPrice, Tokens
from app.store import daily, ledger, own_prices, repricing, rows_out, search
from app.store.database import Store
from app.store.rows_out import Form
from app.store.search import Filter
from tests.store.rows import NOW_US, opened, row
from tests.store.test_rollups import group


def reprice(store: Store, run: int, price: repricing.Price, *, unpriced_only: bool = False, most: int = 7) -> int:
    low, high = search.bounds(Filter(), None, None)
    changed, after = 0, b""
    while True:
        with store.write() as connection:
            step = repricing.step(connection, run, low, high, after, most, price, unpriced_only=unpriced_only)
        changed += step.changed
        if step.after is None:
            return changed
        after = step.after


def mixed() -> list[Exchange]:
    made = [row(n, at_us=NOW_US + n * 3_600_000_000) for n in range(30)]
    made += [row(n, cost_microusd=None, price="", at_us=NOW_US + n * 3_600_000_000) for n in range(30, 45)]
    made += [row(n, outcome="failed", cost_microusd=None, price="", tokens=Tokens()) for n in range(45, 50)]
    return sorted(made, key=lambda one: one.id)


def test_later_costs_show_everywhere_and_what_was_written_first_stays(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store:
        with store.write() as connection:
            ledger.record(connection, mixed())
        assert reprice(store, 1, lambda _: (7, "own 2026-11-23"), unpriced_only=True) == 15
        assert reprice(store, 2, lambda one: (0, "local") if one.cost_microusd == 7 else (one.cost_microusd or 0, one.price)) == 15
        assert reprice(store, 3, lambda _: None) == 0
        with store.read() as connection:
            shown = ledger.page(connection, 100)
            assert sum(one.price == "local" for one in shown) == 15
            assert ledger.one(connection, mixed()[-1].id) in shown
            assert ledger.verify(connection).finding == ""
            history = connection.exec_driver_sql("SELECT run, cost_microusd, before_microusd FROM repriced ORDER BY exchange, run").all()
            assert set(history) == {(1, 7, None), (2, 0, 7)}
            assert connection.exec_driver_sql("SELECT count(*) FROM exchanges WHERE cost_microusd IS NULL").scalar_one() == 20
            for by in ((), ("day", "model"), ("client",)):
                expected = group(shown, by, UTC)
                assert ledger.usage(connection, by, 0, NOW_US * 2, UTC) == sorted(expected, key=lambda one: one.key)
            assert daily.fits(connection, None)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_file_holds_every_row_once_with_its_latest_cost(data_dir: Path, form: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_out, "ROWS", 8)
    hostile = ["=cmd|' /C calc'!A0", "+1", "-2", "@x", "\tTab", " =1", 'quo"te, comma', "line\r\nfeed", "größe ☃", "plain"]
    made = [row(n, asked=text, message=text, model=text, client=text) for n, text in enumerate(hostile)] + mixed()[20:]
    with opened(data_dir / "g.db") as store:
        with store.write() as connection:
            ledger.record(connection, made)
        for changed in (False, True):
            if changed:
                reprice(store, 1, lambda _: (7, "own 2026-11-23"), unpriced_only=True)
            whole, count, after = rows_out.head(form), 0, None
            while True:
                with store.read() as connection:
                    body, some, after = rows_out.part(connection, form, Filter(), after)
                whole, count = whole + body, count + some
                if after is None:
                    break
            with store.read() as connection:
                expected = ledger.page(connection, 100)[::-1]
            assert count == len(expected) == len(made)
            if form == "csv":
                read = list(csv.DictReader(io.StringIO(whole.decode(), newline="")))
                for name in ("asked", "message", "model", "client"):
                    texts = [one[name].removeprefix("'") for one in read]
                    assert texts == [getattr(one, name) for one in expected]
                    assert not any(one[name].lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r")) for one in read)
                assert [one["cost_microusd"] for one in read] == [
                    "" if one.cost_microusd is None else str(one.cost_microusd) for one in expected
                ]
                assert read[0]["opened"].endswith("Z")
                assert set(read[0]) == set(rows_out.COLUMNS)
            else:
                lines = [json.loads(line) for line in whole.split(b"\n") if line]
                for line, one in zip(lines, expected, strict=True):
                    assert (line["id"], line["asked"], line["cost_microusd"], line["price"]) == (
                        one.id,
                        one.asked,
                        one.cost_microusd,
                        one.price,
                    )
                    assert (line["stream"], line["input"], line["opened_us"]) == (one.stream, one.tokens.input, one.opened_us)
                    assert set(line) == set(rows_out.COLUMNS)


def test_a_file_can_hold_a_part(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store:
        with store.write() as connection:
            ledger.record(connection, mixed())
        with store.read() as connection:
            wanted = Filter(statuses=("failed",), clients=("Cursor",), since_us=NOW_US, until_us=NOW_US + 46_500)
            body, count, after = rows_out.part(connection, "csv", wanted, None)
            assert (count, after, body.count(b"failed")) == (2, None, 2)
            assert rows_out.part(connection, "csv", Filter(since_us=NOW_US * 2), None) == (b"", 0, None)


def test_prices_of_ones_own_are_kept(data_dir: Path) -> None:
    price = OwnPrice(account="work", model="gpt-5", input="1.25", output="10", cached="0.125", set_us=NOW_US)
    with opened(data_dir / "g.db") as store:
        with store.write() as connection:
            own_prices.put(connection, OwnPrice(account="work", model="", input="0", output="0"))
            own_prices.put(connection, OwnPrice(account="work", model="gpt-5", input="9", output="9"))
            own_prices.put(connection, price)
        with store.first_look() as look:
            assert own_prices.known(look)[1] == price
        with store.write() as connection:
            own_prices.remove(connection, "work", "")
            assert own_prices.known(connection) == [price]
