"""Activity: requests as they close and as far back as one scrolls, what is wanted of them, and one of them in full."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Final

from PySide6.QtCore import QPoint, Qt, Slot
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from app.control.client import ControlClient
from app.control.contract import ActivityNames, ActivityRow, RowFilter
from app.control.contract import ActivityPage as Answer
from app.core.errors import AppError
from app.core.records import Exchange
from app.gui import finding, spans
from app.gui.counting import Counting, Counts
from app.gui.exporting import RequestsButton
from app.gui.filterbar import FilterBar
from app.gui.inspector import Inspector
from app.gui.labels import Label
from app.gui.page import Page
from app.gui.requests import Shown, View, columns, present
from app.gui.session import Session
from app.gui.sheets.dates import DatesSheet
from app.gui.spans import Bar, Span
from app.gui.state import State, content_words
from app.gui.strip import Strip
from app.gui.tables import SortedRows, Table
from app.gui.tail import Tail
from app.gui.widgets import Button, EmptyState, Status
from app.gui.words import tr

PAGE: Final = 100
# An answer without rows that could go on is asked on so often by itself; then scrolling asks.
MOST_EMPTY: Final = 20


class ActivityPage(Page):
    NAME: ClassVar[str] = "activity"
    SCROLLS: ClassVar[bool] = False
    FILTERS: ClassVar[bool] = True

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(tr("Activity"), session, parent)
        self._view: View | None = None
        self._state: State = session.state
        self._now: list[int] = [0]
        self._begun = False
        self._over: Span = spans.span("all", 0)
        self._drawn: tuple[Span, Counts, int] | None = None
        self._emptied = 0
        self._wanted_row = ""
        self._counting = Counting(session, self)
        self._counting.counted.connect(self._on_counted)
        halves = QHBoxLayout()
        halves.setContentsMargins(0, 0, 0, 0)
        halves.setSpacing(0)
        self._main = QWidget(self)
        halves.addWidget(self._main, 1)
        self._inspector = Inspector(self)
        self._inspector.hide()
        self._inspector.closed.connect(self._close_inspector)
        self._inspector.moved.connect(self._move)
        self._inspector.wanted.connect(self._on_inspector)
        halves.addWidget(self._inspector)
        self._halves = halves
        self.column.addLayout(halves)
        self._build_main()
        session.arrived.connect(self._on_arrived)
        session.recounted.connect(self._ask)

    # -- building

    def _build_main(self) -> None:
        column = QVBoxLayout(self._main)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        head = QVBoxLayout()
        head.setContentsMargins(24, 20, 24, 8)
        head.setSpacing(12)
        self._head = head
        self._live = Status("smallstrong", self._main)
        self._pause = Button(tr("Pause"), glyph="pause", parent=self._main)
        self._pause.setToolTip(tr("Space"))
        self._pause.clicked.connect(self.toggle_pause)
        self._export = RequestsButton(self.session, self._exported, "activity", self._main)
        self._export.said.connect(self._on_export_said)
        self.title_row.addWidget(self._live)
        self.title_row.addSpacing(4)
        self.title_row.addWidget(self._pause)
        self.title_row.addWidget(self._export)
        head.addLayout(self.title_row)
        self._filter = FilterBar(self._main)
        self._filter.changed.connect(self._ask)
        self._filter.picking.connect(self._pick_dates)
        head.addWidget(self._filter)
        self._strip = Strip(self._main)
        self._strip.opened.connect(self._on_bar)
        head.addWidget(self._strip)
        column.addLayout(head)
        line = QFrame(self._main)
        line.setProperty("role", "hairline")
        line.setFixedHeight(1)
        column.addWidget(line)

        self._rows: SortedRows[Exchange] = SortedRows(columns(self._now), lambda row: row.id, self)
        self._tail = Tail(self._rows)
        self._table = Table(self._rows, edge=24, parent=self._main)
        self._table.setAccessibleName(tr("Requests"))
        self._table.chosen.connect(self._on_chosen)
        self._table.opened.connect(self._on_opened)
        self._table.clicked.connect(self._on_clicked)
        self._table.verticalScrollBar().valueChanged.connect(self._on_scrolled)
        self._send = Button(tr("Send test request"), glyph="paper-plane-tilt", small=True, parent=self._main)
        self._send.clicked.connect(self.session.echo)
        self._clear = Button(tr("Show everything"), small=True, parent=self._main)
        self._clear.clicked.connect(self._filter.clear)
        self._none = EmptyState("activity", "", "", (self._send, self._clear), self._main)
        self._stack = QStackedWidget(self._main)
        surface = QFrame(self._stack)
        surface.setProperty("role", "surface")
        inside = QVBoxLayout(surface)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(self._table)
        for part in (surface, self._none):
            self._stack.addWidget(part)
        column.addWidget(self._stack, 1)
        foot = QFrame(self._main)
        foot.setProperty("role", "strip")
        low = QHBoxLayout(foot)
        low.setContentsMargins(24, 7, 24, 7)
        self._low = low
        self._foot = Label("", "small", "tx2", foot)
        low.addWidget(self._foot)
        low.addStretch(1)
        self._content = Label("", "small", "tx3", foot)
        low.addWidget(self._content)
        column.addWidget(foot)

    # -- drawing

    def refresh(self, state: State, now_us: int) -> None:
        self._state = state
        self._content.setText(content_words(state.snapshot))
        self._now[0] = now_us
        if state.live and state.snapshot is not None and state.snapshot.state == "running":
            if not self._begun:
                self._begin()
            elif self._tail.reading:
                pass
            elif not self._tail.settled:
                self._ask()
            elif self._tail.asked_in != state.streams:
                # What closed while nothing was heard is read again from the top.
                self._read_newest(self._tail.again(state.streams))
        self._slide()
        self._draw()

    def _begin(self) -> None:
        """The last hour, where something happened in it; else everything."""
        if not self._state.recent_read:
            return
        self._begun = True
        newest = self._state.recent[0].opened_us if self._state.recent else 0
        hour = spans.span("hour", self._now[0])
        self._filter.range = "hour" if newest >= (hour.since_us or 0) else "all"
        self._ask()

    def _slide(self) -> None:
        """A span that ends now moves on with the clock."""
        over = self._filter.span(self._now[0])
        if over.since_us != self._over.since_us and over.chosen == self._over.chosen and over.chosen != "dates":
            if over.since_us is not None and self._tail.settled:
                self._tail.forget_before(over.since_us)
            self._count_soon()
        self._over = over
        self._filter.show_span(over)
        self._draw_bars()

    def _draw(self) -> None:
        tail, over = self._tail, self._over
        shown = Shown(
            loaded=len(tail),
            more=tail.more,
            settled=self._begun and tail.settled,
            total=self._counting.total,
            exact=finding.counts_exactly(tail.question),
            plain=self._filter.is_plain() and over.chosen == "all",
            waiting=tail.waiting,
            paused=tail.paused,
            words=over.words,
        )
        self._strip.show_loaded(self._rows.row(len(tail) - 1).opened_us if len(tail) else 0)
        view = present(self._state, shown, live=over.live)
        if view == self._view:
            return
        self._view = view
        if not self._export.is_writing():
            self.remark.setText(view.remark)
        self._live.show_state(view.live_glyph, view.live, view.live_tone)
        self._pause.setText(view.pause)
        self._pause.set_glyph("play" if tail.paused else "pause")
        self._foot.setText(view.foot)
        self._send.setEnabled(view.can_send)
        self._send.setVisible(not view.can_clear)
        self._clear.setVisible(view.can_clear)
        if view.empty is not None:
            self._none.set_glyph("funnel" if view.can_clear else "activity")
            self._none.set_words(*view.empty)
        self._stack.setCurrentIndex(0 if view.empty is None else 1)

    def _draw_bars(self) -> None:
        if not self._counting.is_of(self._over):
            return  # the bars of the last question stay until this one's are counted
        drawn = (self._over, self._counting.counts, self._now[0] // spans.MINUTE_US)
        if drawn == self._drawn:
            return
        self._drawn = drawn
        bars = spans.bars(self._over, self._counting.counts, self._now[0])
        self._strip.show_bars(bars, spans.title(self._over, bars), spans.edges(bars, self._over, self._now[0]))
        self._strip.setVisible(bool(bars))

    def set_narrow(self, narrow: bool) -> None:
        super().set_narrow(narrow)
        edge = 16 if narrow else 24
        self._head.setContentsMargins(edge, 16 if narrow else 20, edge, 8)
        self._table.edge = edge
        self._low.setContentsMargins(edge, 7, edge, 7)
        self._place_inspector()

    def _place_inspector(self) -> None:
        """Beside the table, or over it where the window is narrow."""
        if self.narrow:
            self._halves.removeWidget(self._inspector)
            width = self._inspector.width()
            self._inspector.setGeometry(self.width() - width, 0, width, self.height())
            self._inspector.raise_()
        elif self._halves.indexOf(self._inspector) < 0:
            self._halves.addWidget(self._inspector)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self.narrow:
            self._place_inspector()

    # -- rows

    @Slot()
    def _ask(self) -> None:
        """Another question: what is loaded is replaced by its answer."""
        if self._begun:
            self._over = self._filter.span(self._now[0])
            self._filter.show_span(self._over)
            self._read_newest(self._tail.begin(self._state.streams))
            self._draw()

    def _read_newest(self, turn: int) -> None:
        choice, over = self._filter.choice(), self._over

        def ask(client: ControlClient) -> tuple[ActivityNames, RowFilter | None, Answer]:
            names = client.activity_names()
            question = finding.question(choice, over, names)
            return names, question, Answer(rows=()) if question is None else client.activity(limit=PAGE, only=question)

        self.session.look("activity", ask, partial(self._on_newest, turn), partial(self._on_failed, turn))

    def _on_newest(self, turn: int, answer: tuple[ActivityNames, RowFilter | None, Answer]) -> None:
        if turn != self._tail.turn:
            return  # another question was asked meanwhile
        names, question, page = answer
        anew = not self._tail.settled
        self._filter.set_names(names)
        self._tail.take_newest(question, page)
        if anew:
            self._emptied = 0
            self._counting.forget()
            self._table.verticalScrollBar().setValue(0)
        self._counting.ask(self._over, question, self._now[0])
        self._after_rows()

    def _read_older(self) -> None:
        tail, before = self._tail, self._tail.next
        question = tail.question
        if tail.reading or not tail.settled or before is None or question is None:
            return
        tail.reading = True
        turn = tail.turn
        self.session.look(
            "activity",
            lambda client: client.activity(limit=PAGE, before=before, only=question),
            partial(self._on_older, turn),
            partial(self._on_failed, turn),
        )

    def _on_older(self, turn: int, answer: Answer) -> None:
        if turn == self._tail.turn:
            self._emptied = 0 if answer.rows else self._emptied + 1
            self._tail.take_older(answer)
            self._after_rows()

    def _after_rows(self) -> None:
        self._open_wanted()
        self._draw()
        # A filter that lets few rows through leaves the table without a scroll bar, and so without a way to ask for more.
        high = len(self._tail) * self._table.verticalHeader().defaultSectionSize()
        if self.isVisible() and self._emptied < MOST_EMPTY and high <= self._table.viewport().height():
            self._read_older()

    def _on_failed(self, turn: int, error: AppError) -> None:
        if turn != self._tail.turn:
            return
        self._tail.fail()
        if error.code in ("engine_absent", "vault_locked"):
            return  # the banner says so, and the next refresh asks again
        self.session.complain(error)
        if not self._tail.settled:
            self._tail.take_newest(None, Answer(rows=()))
            self._draw()

    @Slot(int)
    def _on_scrolled(self, value: int) -> None:
        if value >= self._table.verticalScrollBar().maximum() - 40 * 32:
            self._emptied = 0
            self._read_older()

    @Slot(object)
    def _on_arrived(self, rows: tuple[Exchange, ...]) -> None:
        """New rows go where their time puts them; what the person looks at stays where it is."""
        bar = self._table.verticalScrollBar()
        top = self._table.indexAt(QPoint(4, 1))
        key = self._rows.key(top.row()) if bar.value() > 0 and top.isValid() else ""
        offset = self._table.visualRect(top).top() if key else 0
        self._tail.take_arrived(rows, self.session.state.streams, at_top=not key)
        number = self._rows.number(key) if key else -1
        if number >= 0:
            bar.setValue(bar.value() + self._table.visualRect(self._rows.index(number, 0)).top() - offset)
        self._count_soon()
        self._draw()

    # -- bars

    def _count_soon(self) -> None:
        if self.isVisible() and self._tail.settled:
            self._counting.ask_soon(self._over, self._now[0])

    @Slot()
    def _on_counted(self) -> None:
        self._draw_bars()
        self._draw()

    @Slot(object)
    def _on_bar(self, bar: Bar) -> None:
        self._filter.choose_range("dates", (bar.since_us, bar.until_us))

    # -- time, pause, filter, file

    @Slot()
    def _pick_dates(self) -> None:
        sheet = DatesSheet(self._now[0], self._filter.dates, self._on_dates, self.window())
        sheet.open(sheet.first())

    def _on_dates(self, since_us: int | None, until_us: int | None) -> None:
        self._filter.choose_range("all" if since_us is None and until_us is None else "dates", (since_us, until_us))

    @Slot()
    def toggle_pause(self) -> None:
        self._tail.toggle_pause()
        self._draw()

    def begin_filter(self) -> None:
        self._filter.begin()

    def export(self) -> None:
        self._export.choose()

    def _exported(self) -> RowFilter:
        """What is shown, whether it is loaded or not."""
        return self._tail.question or RowFilter(since_us=0, until_us=0)

    @Slot(str)
    def _on_export_said(self, words: str) -> None:
        self.remark.setText(words or (self._view.remark if self._view is not None else ""))

    # -- one request

    def open_at(self, about: str) -> None:
        """Shows the request with this id, of whatever time it is."""
        self._wanted_row = about
        self._open_wanted()

    def _open_wanted(self) -> None:
        number = self._rows.number(self._wanted_row) if self._wanted_row else -1
        if number >= 0:
            self._wanted_row = ""
            index = self._rows.index(number, 0)
            self._table.setCurrentIndex(index)
            self._table.scrollTo(index)
            self._table.setFocus()
            self._open(self._rows.row(number))
        elif self._wanted_row and self._begun and self._tail.settled:
            self._look_further()

    def _look_further(self) -> None:
        """It is not among what is loaded: perhaps the filter hides it, or it lies further down and is found by its id."""
        if self._filter.field.text() == self._wanted_row:
            self._wanted_row = ""
        elif self._filter.is_plain() and self._over.chosen == "all":
            self._filter.field.line.setText(self._wanted_row)
        else:
            self._filter.clear()

    @Slot(str)
    def _on_chosen(self, key: str) -> None:
        if self._inspector.isVisible():
            self._on_opened(key)

    @Slot()
    def _on_clicked(self) -> None:
        self._on_opened(self._table.current_key())

    @Slot(str)
    def _on_opened(self, key: str) -> None:
        number = self._rows.number(key)
        if number >= 0:
            self._open(self._rows.row(number))

    def _open(self, row: Exchange) -> None:
        self._inspector.show_row(row, self._state)
        self._place_inspector()
        self._inspector.show()

    @Slot()
    def _close_inspector(self) -> None:
        self._inspector.hide()
        self._table.clearSelection()
        self._table.setFocus()

    @Slot(int)
    def _move(self, step: int) -> None:
        row = self._table.currentIndex().row() + step
        if 0 <= row < self._rows.rowCount():
            index = self._rows.index(row, 0)
            self._table.setCurrentIndex(index)
            self._table.scrollTo(index)

    @Slot(str)
    def _on_inspector(self, intent: str) -> None:
        """`audit-of:ID` needs the number of the entry first; everything else is the window's."""
        verb, _, about = intent.partition(":")
        if verb == "audit-of":
            self.session.look("place", lambda client: client.activity_row(about), self._on_place, self.session.complain)
        else:
            self.wanted.emit(intent)

    def _on_place(self, found: ActivityRow) -> None:
        self.wanted.emit(f"audit:{found.batch if found.refusal is None else found.refusal}")

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self._inspector.isVisible():
            self._close_inspector()
        elif event.key() == Qt.Key.Key_Escape and self._filter.field.text():
            self._filter.clear_text()
        elif event.key() == Qt.Key.Key_Space:
            self.toggle_pause()
        else:
            super().keyPressEvent(event)
