"""The audit timeline: changes first, a flood of batches as one line that opens, and an entry by its number."""

from __future__ import annotations

from typing import Any, cast

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from app.control.contract import AuditEntry, AuditRun
from app.gui import audit_rows
from app.gui import format as fmt
from app.gui.audit_log import AuditLog
from app.gui.pages.audit import AuditPage
from tests.gui.conftest import Wait
from tests.gui.desk import MINUTE_US, START_US, Desk
from tests.gui.test_audit_page import entry, status

NOW_US = START_US + 100 * MINUTE_US
TOTAL = 400


def made() -> list[AuditEntry]:
    """Entry 1 and every hundredth are changes, 350 is a refusal, all others batches of four requests."""
    shown = []
    for number in range(1, TOTAL + 1):
        if number == 1 or number % 100 == 0:
            shown.append(entry(number))
        elif number == 350:
            shown.append(entry(number, "egress.refused", "keeper", destination="169.254.169.254:80", reason="metadata"))
        else:
            shown.append(entry(number, "ledger.batch", "gateway", count=4))
    return shown


@pytest.fixture
def page(desk: Desk, wait: Wait) -> AuditPage:
    desk.server.entries = made()
    desk.server.audit_status = status(
        entries=TOTAL, seq=TOTAL, groups={"changes": 5, "access": 0, "network": 1, "gateway": 0, "audit": 0, "ledger": 394}
    )
    desk.window.activateWindow()
    desk.window.open_page("audit")
    shown = cast(AuditPage, desk.window.page())
    wait(lambda: shown._log.rows.rowCount() and shown._status is not None)
    return shown


def lines(log: AuditLog) -> list[str]:
    """What stands in the table, as it is read aloud: number, kind, and for a run its words."""
    found = []
    for row in log.rows.rows():
        if isinstance(row, AuditRun):
            found.append(f"{row.first}-{row.upto} {row.requests}/{row.entries}")
        else:
            found.append(str(row.seq))
    return found


FOLDED = ["400", "351-399 196/49", "350", "301-349 196/49", "300", "201-299 396/99", "200", "101-199 396/99", "100", "2-99 392/98", "1"]


def everything(page: AuditPage, wait: Wait) -> None:
    page._log.bar._on_menu("")
    wait(lambda: lines(page._log) == FOLDED)


def press(desk: Desk, key: Qt.Key) -> None:
    QTest.keyClick(desk.window.focusWidget() or desk.window, key)


def type_in(page: AuditPage, text: str) -> None:
    line = page._log.bar.filter.line
    line.setFocus()
    line.selectAll()
    QTest.keyClicks(line, text)


def test_it_begins_with_the_changes_and_every_view_says_how_many_it_has(page: AuditPage) -> None:
    assert lines(page._log) == ["400", "300", "200", "100", "1"]
    words = [page._log.bar.views._group.button(index).text() for index in range(7)]
    assert words == ["Changes 5", "Access 0", "Network 1", "Gateway 0", "Audit 0", "Ledger 394", "Everything 400"]


def test_batches_that_follow_each_other_are_one_line_that_says_what_it_holds(page: AuditPage, wait: Wait) -> None:
    everything(page, wait)
    run = cast(AuditRun, page._log.rows.row(1))
    words = audit_rows.run_words(run, NOW_US)
    assert words == f"196 requests in 49 entries, {fmt.between(run.first_us, run.last_us, NOW_US)}"
    assert audit_rows.change_cell(run, NOW_US).aloud() == f"{words}. Enter shows them."
    assert audit_rows.number_cell(run).aloud() == "351 to 399"


def test_a_run_opens_into_its_entries_and_esc_leads_back_to_the_same_place(page: AuditPage, desk: Desk, wait: Wait) -> None:
    everything(page, wait)
    log = page._log
    log._table.selectRow(9)
    log._table.setFocus()
    press(desk, Qt.Key.Key_Return)
    wait(lambda: lines(log) == [str(number) for number in range(99, 1, -1)])
    assert log._trail.isVisible()
    assert "392 requests in 98 entries" in log._trail_words.text()
    assert log._table.current_key() == f"{99:020d}"
    press(desk, Qt.Key.Key_Down)
    press(desk, Qt.Key.Key_Return)
    wait(lambda: page._detail.isVisible() and page._detail._number.text() == "entry 98")
    press(desk, Qt.Key.Key_Escape)
    assert not page._detail.isVisible()
    press(desk, Qt.Key.Key_Escape)
    wait(lambda: lines(log) == FOLDED)
    assert not log._trail.isVisible()
    assert log._table.current_key() == audit_rows.key(log.rows.row(9))


def test_a_long_run_is_read_page_by_page_to_its_end_and_no_further(page: AuditPage, desk: Desk, wait: Wait) -> None:
    desk.server.entries = [entry(1), *(entry(number, "ledger.batch", "gateway", count=1) for number in range(2, 252)), entry(252)]
    page._log.bar._on_menu("")
    wait(lambda: lines(page._log) == ["252", "2-251 250/250", "1"])
    page._log.open_entry(page._log.rows.key(1))
    bar = page._log._table.verticalScrollBar()

    def at_the_end() -> bool:
        bar.setValue(bar.maximum())
        return page._log.rows.rowCount() == 250

    wait(at_the_end)
    assert lines(page._log)[-1] == "2"
    assert page._log._next is None


def test_what_is_still_counted_is_said_and_then_filled_in(page: AuditPage, desk: Desk, wait: Wait) -> None:
    desk.server.counting = 7
    page._log.bar._on_menu("")
    wait(lambda: page._log.rows.rowCount() == len(FOLDED))
    first = cast(AuditRun, page._log.rows.row(1))
    assert audit_rows.run_words(first, NOW_US).startswith("entries 351 to 399, ")
    wait(lambda: lines(page._log) == FOLDED)
    assert not page._log._uncounted


def test_a_run_that_grows_stays_one_line_and_keeps_the_choice(page: AuditPage, desk: Desk, wait: Wait) -> None:
    desk.server.entries.append(entry(401, "ledger.batch", "gateway", count=2))
    page._log.bar._on_menu("")
    wait(lambda: lines(page._log)[:1] == ["401-401 2/1"])
    page._log._table.selectRow(0)
    desk.server.entries += [entry(number, "ledger.batch", "gateway", count=2) for number in (402, 403)]
    page._log.read_newest()
    wait(lambda: lines(page._log)[:1] == ["401-403 6/3"])
    assert lines(page._log)[1:] == FOLDED
    assert page._log._table.current_key() == f"{401:020d}"


def test_words_show_the_entries_themselves_and_find_what_they_are_called(page: AuditPage, wait: Wait) -> None:
    page._log.bar._on_menu("")
    type_in(page, "169.254")
    wait(lambda: lines(page._log) == ["350"])
    type_in(page, "connection ref")
    wait(lambda: lines(page._log) == ["350"])
    type_in(page, "requests recorded")
    wait(lambda: lines(page._log)[:1] == ["399"] and page._log.rows.rowCount() == 100)
    type_in(page, "nothing has these")
    wait(lambda: page._log._stack.currentIndex() == 1)
    assert page._log._none.sentence.text() == "Nothing fits what is asked for."


@pytest.mark.parametrize(("typed", "number"), [("5", 5), ("#5", 5), ("398", 398), ("#1", 1), ("400", 400)])
def test_a_number_goes_to_that_entry_and_selects_it(page: AuditPage, desk: Desk, wait: Wait, typed: str, number: int) -> None:
    type_in(page, typed)
    wait(lambda: page._detail.isVisible() and page._log._table.current_key() == f"{number:020d}")
    log = page._log
    assert page._detail._number.text() == f"entry {number}"
    assert log.bar.view() == ""  # it may be of any kind, and the page says so
    shown = [int(line) for line in lines(log)]
    assert shown == list(range(shown[0], shown[-1] - 1, -1))  # among its neighbours, not folded
    at = log._table.visualRect(log.rows.index(log.rows.number(f"{number:020d}"), 0))
    assert log._table.viewport().rect().contains(at.center())
    press(desk, Qt.Key.Key_Escape)  # the entry
    log.bar.filter.line.setText("")
    wait(lambda: lines(log) == ["400", "300", "200", "100", "1"])
    assert log.bar.view() == "changes"


def test_from_a_number_one_scrolls_both_ways(page: AuditPage, wait: Wait) -> None:
    type_in(page, "150")
    wait(lambda: page._log._table.current_key() == f"{150:020d}")
    bar = page._log._table.verticalScrollBar()

    def scrolled(to: int) -> int:
        bar.setValue(to)
        return page._log.rows.rowCount()

    wait(lambda: scrolled(0) and lines(page._log)[:1] == ["400"])
    wait(lambda: scrolled(bar.maximum()) == TOTAL)
    assert lines(page._log) == [str(number) for number in range(TOTAL, 0, -1)]


def test_what_comes_over_a_number_moves_nothing(page: AuditPage, wait: Wait) -> None:
    type_in(page, "150")
    log = page._log
    wait(lambda: log._table.current_key() == f"{150:020d}")
    before = log._table.visualRect(log.rows.index(log.rows.number(f"{150:020d}"), 0)).top()
    count = log.rows.rowCount()
    log._read("newer", audit_rows.high(log.rows.row(0)) + 101)
    wait(lambda: log.rows.rowCount() > count)
    assert log._table.visualRect(log.rows.index(log.rows.number(f"{150:020d}"), 0)).top() == before


@pytest.mark.parametrize("typed", ["99999", "#0", "1,000"])
def test_a_number_that_is_none_is_said(page: AuditPage, wait: Wait, typed: str) -> None:
    type_in(page, typed)
    log = page._log
    wait(lambda: log._stack.currentIndex() == 1)
    assert log._none.fact.text() == f"There is no entry {int(typed.replace(',', '').strip('#')):,}"
    assert "entries 1 to 400" in log._none.sentence.text()
    assert not page._detail.isVisible()
    log._all.click()
    wait(lambda: lines(log) == FOLDED)
    assert log.bar.text() == ""


def test_another_view_takes_the_number_out_of_the_field(page: AuditPage, wait: Wait) -> None:
    type_in(page, "150")
    wait(lambda: page._log._table.current_key() == f"{150:020d}")
    page._log.bar._on_menu("network")
    wait(lambda: lines(page._log) == ["350"])
    assert page._log.bar.text() == ""


def test_a_request_leads_to_its_entry_which_is_marked(page: AuditPage, desk: Desk, wait: Wait) -> None:
    desk.window.open_page("home")
    desk.window.do("audit:42")
    wait(lambda: page._log._table.current_key() == f"{42:020d}" and page._detail.isVisible())
    assert page._log.bar.text() == "#42"
    assert page._detail._number.text() == "entry 42"


@pytest.mark.parametrize(
    ("typed", "number"),
    [("12,408", 12408), (" 7 ", 7), ("# 7", 7), ("5xx", None), ("1.5", None), ("", None), ("#", None), ("9" * 19, None)],
)
def test_what_is_a_number(typed: str, number: int | None) -> None:
    assert audit_rows.wanted_number(typed) == number


def test_ctrl_f_and_an_empty_log_say_what_is_so(page: AuditPage, desk: Desk, wait: Wait) -> None:
    QTest.keyClick(desk.window, Qt.Key.Key_F, Qt.KeyboardModifier.ControlModifier)
    assert desk.window.page() is page
    assert page._log.bar.filter.line.hasFocus()
    desk.server.entries = []
    page._log.bar._on_menu("changes")
    wait(lambda: page._log._stack.currentIndex() == 1)
    assert page._log._none.fact.text() == "No change yet"
    assert audit_rows.empty("", filtered=False)[0] == "No entry yet"
    del wait


def test_up_and_down_in_an_entry_pass_over_runs(page: AuditPage, wait: Wait) -> None:
    everything(page, wait)
    log: Any = page._log
    log.open_entry(f"{400:020d}")
    log._move(1)
    wait(lambda: page._detail._number.text() == "entry 350")
    log._move(-1)
    wait(lambda: page._detail._number.text() == "entry 400")
