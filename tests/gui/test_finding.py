"""The filter of Activity reaches what is not loaded."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from datetime import UTC

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from app.control.contract import ActivityNames, RowFilter
from app.core.ids import call_id
from app.core.records import Exchange
from app.gui import finding, spans
from app.gui import format as fmt
from app.gui.finding import Choice, counts_exactly, lets_through, question
from app.gui.pages.activity import ActivityPage
from app.gui.sheets.dates import DatesSheet
from app.store import exchanges, ledger, search
from app.store.search import Filter
from tests.gui.conftest import Wait
from tests.gui.desk import Desk, exchange
from tests.store.rows import NOW_US, any_row, opened
from tests.store.test_search import filters as ledger_filters

NAMES = ActivityNames(clients=("Claude Code", "Zed"), providers=("work", "claude"), models=("gpt-5", "gpt-5-mini", "claude-sonnet"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("req_01KAF", RowFilter(id="req_01KAF")),
        ("429", RowFilter(statuses=("429",))),
        ("5XX", RowFilter(statuses=("5xx",))),
        ("Failed", RowFilter(outcomes=("failed",))),
        ("zed gpt-5 2xx", RowFilter(clients=("Zed",), models=("gpt-5",), statuses=("2xx",))),
        ("zed unheard", RowFilter(text="zed unheard")),
        ("req_ullu", RowFilter(text="req_ullu")),
        ("zed", RowFilter(clients=("Zed",))),
        ("GPT-5", RowFilter(models=("gpt-5",))),
        ("gpt", RowFilter(models=("gpt-5", "gpt-5-mini"))),
        ("claude", RowFilter(providers=("claude",))),
        (" rate limit ", RowFilter(text="rate limit")),
        ("999", RowFilter(text="999")),
    ],
)
def test_what_is_typed_is_understood(text: str, expected: RowFilter) -> None:
    assert finding.wanted(text, NAMES) == expected


def test_parts_must_all_hold_and_what_cannot_be_is_known() -> None:
    over = spans.span("dates", NOW_US, UTC, (5_000, 9_000))
    asked = question(Choice(client="Zed", status="failed", text="gpt-5-mini 429"), over, NAMES)
    assert asked == RowFilter(
        since_us=5_000, until_us=9_000, clients=("Zed",), models=("gpt-5-mini",), statuses=("429",), outcomes=("failed",)
    )
    assert question(Choice(status="4xx", text="429"), over, NAMES) == question(Choice(status="429"), over, NAMES)
    assert question(Choice(client="Zed", text="claude code"), over, NAMES) is None
    assert question(Choice(model="gpt-5", text="gpt"), over, NAMES) == question(Choice(model="gpt-5"), over, NAMES)
    both = question(Choice(client="Zed", text="rate limit"), over, NAMES)
    assert both is not None
    assert (both.clients, both.text) == (("Zed",), "rate limit")
    assert not counts_exactly(both)
    assert counts_exactly(question(Choice(client="Zed"), over, NAMES))


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.lists(any_row(), max_size=12, unique_by=lambda made: made.id), ledger_filters, st.booleans())
def test_a_row_that_closes_is_let_through_as_the_ledger_would_find_it(
    tmp_path_factory: pytest.TempPathFactory, made: list[Exchange], wanted: Filter, by_id: bool
) -> None:
    if by_id and made:
        wanted = replace(wanted, id=made[0].id[:9].lower())
    made = [exchanges.bounded(one) for one in made]
    with opened(tmp_path_factory.mktemp("live") / "g.db") as store:
        with store.write() as connection:
            ledger.record(connection, made)
        with store.read() as connection:
            expected = {row.id for row in search.find(connection, wanted, 100).rows}
    only = RowFilter(**asdict(wanted))
    assert {row.id for row in made if lets_through(row, only)} == expected
    assert not any(lets_through(row, None) for row in made)


# -- the page


def activity(desk: Desk, wait: Wait, count: int = 400) -> ActivityPage:
    desk.server.rows = [
        exchange(
            n,
            message="a rare word" if n == 3 else "",
            outcome="failed" if n % 10 == 3 else "completed",
            status=429 if n % 10 == 3 else 200,
            client="Zed" if n % 2 else "Codex",
        )
        for n in range(count)
    ]
    desk.window.open_page("activity")
    page = desk.window.findChild(ActivityPage)
    assert page is not None
    wait(lambda: page._rows.rowCount() >= min(100, count))
    return page


def test_a_row_far_below_is_found_and_gone_again_with_the_filter(desk: Desk, wait: Wait) -> None:
    page = activity(desk, wait)
    loaded = page._rows.rowCount()
    assert loaded < 390
    page._filter.field.line.setText("rare word")
    wait(lambda: [row.id for row in page._rows.rows()] == [exchange(3).id])
    page._filter.field.line.setText("")
    wait(lambda: 100 <= page._rows.rowCount() <= loaded and exchange(3).id not in {row.id for row in page._rows.rows()})


def test_menus_search_the_whole_ledger_together_and_page_by_cursor(desk: Desk, wait: Wait) -> None:
    page = activity(desk, wait, count=1_500)
    page._filter.choose("client", "Zed")
    page._filter.choose("status", "429")
    wait(lambda: page._tail.settled and page._rows.rowCount() == 100)
    bar = page._table.verticalScrollBar()
    while page._tail.more:
        before = page._rows.rowCount()
        bar.setValue(bar.maximum())
        wait(lambda: page._rows.rowCount() > before or not page._tail.more)  # noqa: B023  it is run before the loop goes on
    assert [row.id for row in page._rows.rows()] == [exchange(n).id for n in reversed(range(1_500)) if n % 10 == 3]
    paths = [path for _, path, _ in desk.server.asked if "before=" in path and "client=Zed" in path]
    assert len(paths) == len(set(paths)) >= 1
    assert page._filter._menus["client"].accessibleName() == "Client: Zed"
    assert page._exported() == RowFilter(clients=("Zed",), statuses=("429",))


def test_rows_that_close_arrive_in_a_filtered_view_only_if_they_fit(desk: Desk, wait: Wait) -> None:
    page = activity(desk, wait, count=50)
    page._filter.choose("client", "Zed")
    wait(lambda: page._tail.settled and page._rows.rowCount() == 25)
    desk.server.push(row=exchange(900, client="Codex"))
    desk.server.push(row=exchange(901, client="Zed"))
    wait(lambda: page._rows.key(0) == exchange(901).id)
    assert page._rows.rowCount() == 26
    page.toggle_pause()
    desk.server.push(row=exchange(902, client="Codex"))
    desk.server.push(row=exchange(903, client="Zed"))
    wait(lambda: page._pause.text() == "Resume, 1 new")


def test_a_day_is_jumped_to_and_left_again(desk: Desk, wait: Wait) -> None:
    page = activity(desk, wait, count=30)
    long_ago = [exchange(-n * 86_400) for n in range(1, 300)]
    desk.server.rows += long_ago
    page._pick_dates()
    sheet = desk.window.findChild(DatesSheet)
    assert sheet is not None
    sheet.last_day.line.setText("2025-13-01")
    sheet.submit()
    assert sheet.last_day.is_wrong()
    said = sheet.last_day._below
    wait(lambda: said.height() >= said.heightForWidth(said.width()))
    assert sheet.first_day.line.y() == sheet.last_day.line.y()
    assert sheet.first_day.y() == sheet.last_day.y()
    day = fmt.local(long_ago[200].opened_us).date()
    sheet.last_day.line.setText(day.isoformat())
    sheet.submit()
    wait(lambda: page._tail.settled and page._rows.key(0) == long_ago[200].id)
    assert page._live.word() == "Past"
    desk.server.push(row=exchange(5_000))
    page._filter.choose_range("all")
    wait(lambda: page._tail.settled and page._rows.rowCount() >= 100)
    assert page._live.word() == "Live"


def test_bars_are_of_the_time_shown_and_lead_to_it(desk: Desk, wait: Wait) -> None:
    page = activity(desk, wait, count=90)
    page._filter.choose_range("dates", (exchange(0).opened_us, exchange(0).opened_us + 3_600_000_000))
    wait(lambda: sum(bar.requests for bar in page._strip.bars()) == 90)
    strip = page._strip
    assert len(strip.bars()) == 61
    assert strip.accessibleName().startswith("requests per minute, ")
    strip.setFocus(Qt.FocusReason.TabFocusReason)
    for _ in range(60):
        QTest.keyClick(strip, Qt.Key.Key_Left)
    first = strip.bars()[0]
    assert strip.accessibleDescription() == spans.readout(first)
    QTest.keyClick(strip, Qt.Key.Key_Return)
    wait(lambda: page._tail.settled and page._rows.rowCount() == first.requests)
    assert page._foot.text() == f"{first.requests} requests {page._over.words}"


def test_the_last_hour_is_shown_first_where_something_happened_in_it(desk: Desk, wait: Wait) -> None:
    now_us = time.time_ns() // 1000
    late = [exchange(n, id=call_id(now_us - n * 1000, n), opened_us=now_us - n * 1000) for n in range(3)]
    desk.server.rows = [exchange(1), *late]
    for row in late:
        desk.server.push(row=row)
    wait(lambda: len(desk.session.state.recent) == 3)
    desk.window.open_page("activity")
    page = desk.window.findChild(ActivityPage)
    assert page is not None
    wait(lambda: page._foot.text() == "3 requests in the last hour")
    assert page._filter._when.words() == "Last hour"
    desk.window.open_request(exchange(1).id)
    wait(page._inspector.isVisible)
    assert page._inspector.row() == exchange(1)
    assert page._filter.range == "all"
