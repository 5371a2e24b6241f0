"""Usage: bars, rows and figures are of one sum; what has no price is said; the file is whole or not there."""

from __future__ import annotations

import stat
import time
from datetime import UTC, timedelta, timezone
from pathlib import Path
from typing import Any, cast

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from app.core.records import UsageRow
from app.gui import exporting, spending, stacked
from app.gui import format as fmt
from app.gui.pages import usage as page
from app.gui.sheets.set_price import SetPriceSheet
from app.gui.spending import DIMENSIONS, MEASURES, RANGES
from tests.gui.conftest import Wait
from tests.gui.desk import Desk, exchange

NOW_US = 1_795_432_000_000_000  # 2026-11-23, a little after eleven UTC


def summed(*key: str, **changes: int) -> UsageRow:
    zero = dict.fromkeys(
        ("requests", "failed", "input", "cached", "cache_write", "output", "reasoning", "cost_microusd", "unpriced", "estimated"), 0
    )
    return UsageRow(key=key, **(zero | {"requests": 1} | changes))


ROWS = [
    summed(day, model, "work", cost_microusd=1_000 * (number + 1), input=10 * number, output=number, unpriced=int(model == "m7"))
    for day in ("2026-11-01", "2026-11-20", "2026-11-23")
    for number, model in enumerate(f"m{n}" for n in range(9))
]


@pytest.mark.parametrize("measure", MEASURES)
def test_bars_rows_and_figures_are_of_one_sum(measure: spending.Measure) -> None:
    view = spending.present(ROWS, spending.period("days", NOW_US, UTC), measure)
    whole = sum(spending.amount(row, measure) for row in ROWS)
    assert sum(bar.total for bar in view.bars) == whole
    assert sum(spending.amount(line.sums, measure) for line in view.lines) == whole
    assert len(view.series) == len(spending.INKS) + 1
    assert [one.ink for one in view.series][-1] == spending.OTHER
    assert len(view.bars) == 30
    assert view.bars[-4].full == "Fri 20 November"
    assert sum(line.share or 0 for line in view.lines) == pytest.approx(1000, abs=9)


@pytest.mark.parametrize(("most", "factor"), [(0, 100), (90, 100), (1_500, 1_000), (9_999, 1_000), (20_000, 10_000), (5_000_000, 10_000)])
def test_an_axis_of_costs_counts_in_what_can_be_seen(most: int, factor: int) -> None:
    assert stacked._factor(most, "cost") == factor
    assert stacked._factor(most, "tokens") == 1


def test_what_has_no_price_is_never_nothing() -> None:
    assert spending.cost(summed("m", unpriced=2)) == ("Unpriced", "wa")
    assert spending.cost(summed("m", unpriced=2, cost_microusd=2_500_000)) == ("$2.50 + 2 unpriced", "wa")
    assert spending.cost(summed("m", local=1)) == ("Local", "tx3")
    assert spending.cost(summed("m")) == ("$0", "tx")
    view = spending.present(ROWS, spending.period("days", NOW_US, UTC), "cost")
    assert view.figures[-1] == ("Unpriced", "3", "no price for m7", "wa")


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=9))])
@pytest.mark.parametrize("chosen", RANGES)
def test_a_period_is_whole_local_days_and_knows_every_bucket(chosen: spending.Range, zone: Any) -> None:
    over = spending.period(chosen, NOW_US, zone)
    assert over.since_us < NOW_US < over.until_us
    assert len(over.buckets) == len(set(over.buckets)) == {"today": 24, "week": 7, "month": 23, "days": 30, "year": 12}[chosen]
    assert list(over.buckets) == sorted(over.buckets)
    assert spending.present([], over, "cost").bars[0].total == 0


def test_the_page_shows_regroups_and_reads_out(desk: Desk, wait: Wait) -> None:
    desk.server.usage = ROWS
    desk.window.open_page("usage")
    shown = cast("page.UsagePage", desk.window.findChild(page.UsagePage))
    wait(lambda: shown._view is not None)
    table = shown._tables["model"]
    assert table.model().rowCount() == 9
    shown._bars.setFocus()
    QTest.keyClick(shown._bars, Qt.Key.Key_Left)
    assert shown._bars.accessibleDescription()
    shown._measures._group.button(2).click()
    assert shown._view is not None
    assert shown._view.measure == "requests"
    desk.server.usage = [summed("2026-11-23", "Zed", cost_microusd=5)]
    asked = len(desk.server.asked)
    shown._groups._group.button(DIMENSIONS.index("client")).click()
    wait(lambda: shown._view is not None and len(shown._view.lines) == 1)
    assert any("by=day%2Cclient" in path or "by=day,client" in path for _, path in [one[:2] for one in desk.server.asked[asked:]])
    shown.choose_only("client", "Zed")
    wait(lambda: any("client=Zed" in one[1] for one in desk.server.asked[asked:]))
    desk.server.usage = []
    shown.choose_range("week")
    wait(lambda: shown._stack.currentWidget() is shown._empty)


def test_requests_are_exported_by_the_writer_and_say_how_many(desk: Desk, wait: Wait, tmp_path: Path) -> None:
    desk.server.rows, desk.server.usage = [exchange(number) for number in range(30)], ROWS
    desk.window.open_page("usage")
    shown = cast("page.UsagePage", desk.window.findChild(page.UsagePage))
    wait(lambda: shown._view is not None)
    said: list[str] = []
    shown._export.said.connect(said.append)
    shown._export.export_to(tmp_path / "usage.csv")
    assert shown._export.is_writing()
    wait(lambda: not shown._export.is_writing())
    assert said[-1] == "30 requests written"
    assert (tmp_path / "usage.csv").read_bytes().count(b"\r\nreq_") == 30
    assert stat.S_IMODE((tmp_path / "usage.csv").stat().st_mode) == 0o600
    shown._export.export_to(tmp_path / "usage.csv")
    wait(lambda: desk.session.state.wrong is not None)
    assert desk.session.state.wrong is not None
    assert desk.session.state.wrong.fact == "usage.csv exists already."
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["usage.csv"]


def test_an_export_that_is_cancelled_or_breaks_off_leaves_nothing(desk: Desk, wait: Wait, tmp_path: Path) -> None:
    desk.server.usage = ROWS
    desk.window.open_page("usage")
    shown = cast("page.UsagePage", desk.window.findChild(page.UsagePage))
    wait(lambda: shown._view is not None)
    said: list[str] = []
    shown._export.said.connect(said.append)
    desk.server.delays_s["/v0/export"] = 0.5
    shown._export.export_to(tmp_path / "usage.csv")
    shown._export.click()
    wait(lambda: not shown._export.is_writing())
    assert said[-1] == "Cancelled, nothing was kept"
    desk.server.answer("/v0/export", 503, b'{"code":"store_unavailable","message":"The disk is full.","hint":""}')
    shown._export.export_to(tmp_path / "usage.csv")
    wait(lambda: desk.session.state.wrong is not None)
    assert desk.session.state.wrong is not None
    assert desk.session.state.wrong.fact == "The disk is full."
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == []


def test_a_name_without_an_ending_gets_the_one_of_what_is_in_it(tmp_path: Path) -> None:
    assert [exporting.named(tmp_path / name, form).name for name, form in (("a.jsonl", "csv"), ("a", "csv"), ("a.txt", "jsonl"))] == [
        "a.jsonl",
        "a.csv",
        "a.txt.jsonl",
    ]


@pytest.mark.parametrize(
    ("chosen", "cut", "count"), [("week", "hour", 168), ("week", "day", 7), ("year", "month", 12), ("year", "day", 358)]
)
def test_a_range_is_cut_as_chosen_and_still_sums_to_the_same(chosen: spending.Range, cut: spending.Time, count: int) -> None:
    over = spending.period(chosen, NOW_US, UTC, cut)
    assert (over.time, len(over.buckets)) == (cut, count)
    rows = [summed(over.buckets[place], "m", "work", cost_microusd=7) for place in (0, count // 2, count - 1)]
    view = spending.present(rows, over, "cost")
    assert sum(bar.total for bar in view.bars) == 21
    assert len({bar.full for bar in view.bars}) == count
    other = spending.period("days", NOW_US, UTC, "hour")
    assert other.time == "day"  # hours are summed over two weeks at most


def test_an_unpriced_line_opens_the_sheet_for_its_price_by_key_and_by_click(desk: Desk, wait: Wait) -> None:
    today = fmt.local(time.time_ns() // 1000).date().isoformat()
    desk.server.usage = [summed(today, "m1", "work", cost_microusd=9), summed(today, "mistral/medium", "other", unpriced=3)]
    desk.window.open_page("usage")
    shown = desk.window.findChild(page.UsagePage)
    assert shown is not None
    wait(lambda: shown._view is not None)
    table = shown._tables["model"]
    last = table.model().columnCount() - 1
    assert table.model().index(1, last).data() == "Set a price"
    table.selectRow(0)
    QTest.keyClick(table, Qt.Key.Key_Return)
    assert desk.window.sheet() is None
    table.selectRow(1)
    QTest.keyClick(table, Qt.Key.Key_Return)
    sheet = desk.window.sheet()
    assert isinstance(sheet, SetPriceSheet)
    assert "mistral/medium of other" in sheet.explanation.text()
    sheet.close_now()
    QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=table.visualRect(table.model().index(1, last)).center())
    assert isinstance(desk.window.sheet(), SetPriceSheet)
    shown.choose_range("week")
    shown.choose_time("hour")
    wait(lambda: any("by=hour,model" in path for _, path, _ in desk.server.asked))
