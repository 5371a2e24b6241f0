"""Rows keep their place: the fewest changes, one row per key, the newest first."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication

from app.gui import exchanges, inspector
from app.gui.cells import Cell, Column
from app.gui.tables import CELL, KEY, Rows, SortedRows, Table
from tests.gui.desk import exchange

Pair = tuple[str, str]
COLUMNS: tuple[Column[Pair], ...] = (Column("Key", lambda row: Cell(row[0])), Column("Value", lambda row: Cell(row[1], spoken="aloud")))


def rows_of(pairs: list[Pair]) -> Rows[Pair]:
    rows: Rows[Pair] = Rows(COLUMNS, lambda row: row[0])
    rows.show(pairs)
    return rows


pairs = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.text("xyz", max_size=2)), unique_by=lambda pair: pair[0], max_size=8)


@given(old=pairs, new=pairs)
def test_whatever_was_shown_the_new_rows_are_shown_exactly(old: list[Pair], new: list[Pair]) -> None:
    rows = rows_of(old)
    rows.show(new)
    assert list(rows.rows()) == new
    assert [rows.index(number, 0).data(KEY) for number in range(rows.rowCount())] == [key for key, _ in new]


def test_a_changed_row_is_changed_in_its_place() -> None:
    rows = rows_of([("a", "1"), ("b", "2"), ("c", "3")])
    resets: list[bool] = []
    changed: list[int] = []
    inserted: list[tuple[int, int]] = []
    rows.modelReset.connect(lambda: resets.append(True))
    rows.dataChanged.connect(lambda top, _bottom: changed.append(top.row()))
    rows.rowsInserted.connect(lambda _parent, first, last: inserted.append((first, last)))
    rows.show([("n", "0"), ("a", "1"), ("b", "9"), ("c", "3")])
    assert (resets, changed, inserted) == ([], [2], [(0, 0)])


def test_a_cell_has_text_to_show_and_text_to_speak() -> None:
    rows = rows_of([("a", "1")])
    assert rows.index(0, 1).data() == "1"
    assert rows.index(0, 1).data(Qt.ItemDataRole.AccessibleTextRole) == "aloud"
    assert isinstance(rows.index(0, 0).data(CELL), Cell)
    assert rows.headerData(0, Qt.Orientation.Horizontal) == "Key"
    assert rows.index(5, 0).data() is None


numbers = st.lists(st.integers(1, 60), max_size=12)


@settings(max_examples=200)
@given(batches=st.lists(numbers, max_size=6))
def test_rows_that_arrive_in_any_order_end_up_newest_first_and_once(batches: list[list[int]]) -> None:
    rows: SortedRows[Pair] = SortedRows(COLUMNS, lambda row: row[0])
    seen: dict[str, str] = {}
    for turn, batch in enumerate(batches):
        arrived = [(f"{number:03}", str(turn)) for number in batch]
        fresh = len({key for key, _ in arrived} - seen.keys())
        assert rows.merge(arrived) == fresh
        seen |= dict(arrived)
    assert [key for key, _ in rows.rows()] == sorted(seen, reverse=True)
    assert dict(rows.rows()) == seen


def test_the_oldest_rows_can_be_let_go() -> None:
    rows: SortedRows[Pair] = SortedRows(COLUMNS, lambda row: row[0])
    rows.merge([(f"{number:03}", "") for number in range(10)])
    rows.cut(4)
    assert [key for key, _ in rows.rows()] == ["009", "008", "007", "006"]
    rows.clear()
    assert rows.rowCount() == 0


def test_columns_of_little_value_go_where_there_is_no_room(application: QApplication) -> None:
    rows: Rows[Pair] = Rows(
        (
            Column("A", lambda row: Cell(row[0]), least=100),
            Column("B", lambda row: Cell(row[1]), sample="m" * 20, low=1),
            Column("C", lambda row: Cell(row[1]), sample="m" * 20, low=2),
            Column("D", lambda row: Cell(row[1]), sample="m" * 5),
        ),
        lambda row: row[0],
    )
    table = Table(rows)
    hidden = []
    for width in (1200, 500, 300, 150):
        table.resize(width, 100)
        table.show()
        application.processEvents()
        hidden.append([table.isColumnHidden(number) for number in range(4)])
        if width > 150:
            assert sum(table.columnWidth(number) for number in range(4)) <= table.viewport().width()
    assert hidden[0] == [False] * 4
    assert hidden[1] == [False, False, True, False]
    assert hidden[2] == hidden[3] == [False, True, True, False]
    table.hide()


def test_every_kind_of_cell_can_be_painted_in_any_width(application: QApplication) -> None:
    cells = (
        Cell("plain"),
        Cell("strong", strong=True, letter="A", second="host.example", second_mono=True),
        Cell("mono", mono=True, tile="desktop", second="x" * 300),
        Cell("x" * 300, lead="lead → ", glyph="check-circle-fill", tone="ok"),
        Cell("", lead="only lead"),
        Cell("\u202eevil <b>text</b>\n\tline", glyph="x-circle-fill", tone="er", tip="<img src=x>"),
    )
    rows: Rows[int] = Rows((Column("T", lambda number: cells[number]), Column("N", lambda number: cells[number], number=True)), str)
    rows.show(range(len(cells)))
    for direction in (Qt.LayoutDirection.LeftToRight, Qt.LayoutDirection.RightToLeft):
        for width in (40, 120, 600):
            table = Table(rows, row_height=56)
            table.setLayoutDirection(direction)
            table.resize(width, 400)
            table.selectRow(1)
            table.render(QImage(table.size(), QImage.Format.Format_ARGB32))


def test_what_was_asked_for_stands_before_what_was_served_only_where_they_differ() -> None:
    assert exchanges.asked_cell(exchange(asked="openai/gpt-5")).lead == "openai/"
    assert exchanges.asked_cell(exchange(asked="gpt-5")).lead == ""
    assert exchanges.asked_cell(exchange(asked="default")).lead == "default → "
    refused = exchanges.asked_cell(exchange(asked="nope", account="", model="", outcome="refused"))
    assert (refused.text, refused.lead) == ("nope", "")
    assert exchanges.asked_cell(exchange(asked="", account="", model="")).text == "–"


def test_each_outcome_has_an_icon_and_a_word() -> None:
    words = {
        outcome: exchanges.verdict(exchange(outcome=outcome, status=status, error=error, attempts=attempts))
        for outcome, status, error, attempts in (
            ("completed", 200, "", 1),
            ("failed", 429, "provider_error", 1),
            ("refused", 401, "key_unknown", 0),
            ("cancelled", 499, "", 1),
            ("interrupted", 0, "", 1),
        )
    }
    assert {outcome: seen.word for outcome, seen in words.items()} == {
        "completed": "200",
        "failed": "429, limited",
        "refused": "401, bad key",
        "cancelled": "Cancelled",
        "interrupted": "Interrupted",
    }
    assert len({seen.glyph for seen in words.values()}) == 5
    assert exchanges.verdict(exchange(attempts=2)).word == "200, 2nd try"
    assert exchanges.verdict(exchange(attempts=4)).sentence == "Answered on 4th try"


def test_what_gatehouse_ended_is_not_said_to_be_the_clients_doing() -> None:
    cut = exchange(outcome="interrupted", status=200, error="draining", message="Gatehouse was stopped before this request was finished.")
    found_later = exchange(outcome="interrupted", status=0, error="", message="")
    unsent = exchange(outcome="interrupted", status=503, error="draining", account="", model="", attempts=0)
    stuck = exchange(outcome="interrupted", status=0, error="engine_stuck", message="The engine did not answer.")
    assert exchanges.verdict(cut).sentence == "Interrupted: Gatehouse was stopped"
    assert exchanges.verdict(stuck).sentence == "Interrupted: Gatehouse stood still over this request"
    assert inspector.present(stuck).message == "The engine did not answer."
    assert exchanges.verdict(found_later).sentence == "Interrupted: Gatehouse ended before this was finished"
    assert inspector.present(cut).message == cut.message
    last = "".join(run.text for run in inspector.present(unsent).steps[-1].runs)
    assert last == "Gatehouse was stopped before any provider was asked"


def test_scrolling_moves_what_is_painted_and_paints_only_what_comes_into_sight(application: QApplication) -> None:
    painted: list[int] = []

    def cell(number: int) -> Cell:
        painted.append(number)
        return Cell(str(number))

    rows: Rows[int] = Rows((Column("N", cell),), str)
    rows.show(range(200))
    table = Table(rows)
    table.resize(300, 400)
    table.show()
    application.processEvents()
    painted.clear()
    table.verticalScrollBar().setValue(64)
    application.processEvents()
    table.hide()
    assert painted
    assert min(painted) >= 10
