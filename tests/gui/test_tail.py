"""What is loaded has no hole, whatever comes in which order; a pause and a question under way hold rows back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PySide6.QtWidgets import QApplication

from app.control.contract import ActivityPage, RowFilter
from app.core.records import Exchange
from app.gui import tail as module
from app.gui.cells import Cell, Column
from app.gui.tables import SortedRows
from app.gui.tail import Tail
from tests.gui.desk import exchange

PAGE = 10


def fresh() -> Tail:
    return Tail(SortedRows((Column("A", lambda row: Cell(row.id)),), lambda row: row.id))


def ids(tail: Tail) -> list[str]:
    return [row.id for row in tail.rows.rows()]


def page(ledger: list[Exchange], before: str | None = None) -> ActivityPage:
    fitting = [row for row in reversed(ledger) if before is None or row.id < before]
    return ActivityPage(rows=tuple(fitting[:PAGE]), next=fitting[PAGE - 1].id if len(fitting) > PAGE else None)


def loaded(count: int = 30) -> tuple[Tail, list[Exchange]]:
    tail, ledger = fresh(), [exchange(n) for n in range(count)]
    tail.begin(1)
    tail.take_newest(RowFilter(), page(ledger))
    return tail, ledger


def test_what_closes_while_a_question_is_under_way_is_not_lost(application: QApplication) -> None:
    tail, _ledger = loaded()
    tail.begin(1)
    assert not tail.settled
    assert len(tail) == PAGE
    tail.take_arrived([exchange(50, client="Zed"), exchange(51)], 1)
    tail.take_newest(RowFilter(clients=("Zed",)), ActivityPage(rows=()))
    assert ids(tail) == [exchange(50).id]
    assert tail.settled


def test_a_pause_holds_what_fits_and_lets_it_in_afterwards(application: QApplication) -> None:
    tail, _ = loaded()
    tail.toggle_pause()
    tail.take_arrived([exchange(50), exchange(51), exchange(51)], 1)
    assert (len(tail), tail.waiting) == (PAGE, 2)
    tail.toggle_pause()
    assert (len(tail), tail.waiting) == (PAGE + 2, 0)


def test_a_late_row_older_than_what_was_read_comes_with_its_page(application: QApplication) -> None:
    tail, ledger = loaded()
    tail.take_arrived([exchange(5)], 1)
    assert exchange(5).id not in ids(tail)
    while tail.next is not None:
        tail.take_older(page(ledger, tail.next))
    assert ids(tail) == [row.id for row in reversed(ledger)]


def test_what_no_longer_belongs_to_the_span_goes(application: QApplication) -> None:
    tail, _ = loaded()
    tail.forget_before(exchange(25).opened_us)
    assert ids(tail) == [exchange(n).id for n in (29, 28, 27, 26, 25)]
    assert not tail.more


def test_too_many_rows_are_let_go_below_where_nobody_looks(application: QApplication, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 20)
    tail, _ledger = loaded(12)
    tail.take_arrived([exchange(n) for n in range(100, 120)], 1)
    assert len(tail) == 30
    tail.take_arrived([exchange(130)], 1, at_top=True)
    assert len(tail) == 10
    assert tail.next == ids(tail)[-1]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(["close", "close", "unheard", "reconnect", "answer", "fail", "scroll", "pause"]), max_size=40))
def test_whatever_happens_loaded_rows_have_no_hole_once_all_is_answered(application: QApplication, steps: list[str]) -> None:
    tail, ledger = loaded(25)
    stream, number, asked = 1, 100, False
    for step in [*steps, "reconnect", "answer"]:
        match step:
            case "close" | "unheard":
                ledger.append(exchange(number))
                number += 1
                if step == "close":
                    tail.take_arrived([ledger[-1]], stream)
                else:
                    stream += 1
            case "reconnect":
                stream += 1
                tail.again(stream)
                asked = True
            case "answer" | "fail" if asked:
                asked = False
                if step == "answer":
                    tail.take_newest(RowFilter(), page(ledger))
                else:
                    tail.fail()
            case "scroll" if tail.next is not None and not tail.reading:
                tail.take_older(page(ledger, tail.next))
            case "pause":
                tail.toggle_pause()
    if tail.paused:
        tail.toggle_pause()
    shown = ids(tail)
    assert shown == [row.id for row in reversed(ledger)][: len(shown)]
    assert tail.more == (len(shown) < len(ledger))
