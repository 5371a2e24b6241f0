"""Activity: the live tail of requests, older ones as one scrolls, a filter over what is loaded, and one request in full."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Final

from PySide6.QtCore import QPoint, Qt, QTimer, Slot
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from app.control.client import ControlClient
from app.control.contract import ActivityPage as Answer
from app.core.errors import AppError
from app.core.records import Exchange
from app.gui import exchanges, finding
from app.gui import format as fmt
from app.gui.cells import Column
from app.gui.fields import SearchField
from app.gui.inspector import Inspector
from app.gui.labels import Label
from app.gui.page import Page
from app.gui.session import Session
from app.gui.state import State, closed
from app.gui.tables import FilteredRows, SortedRows, Table
from app.gui.widgets import Button, EmptyState, Status
from app.gui.words import plural, tr

PAGE: Final = 100
TYPING_MS: Final = 250
# Past this many rows the oldest are let go; scrolling reads them again.
MOST: Final = 20_000


@dataclass(frozen=True, slots=True)
class View:
    remark: str
    live: str
    live_glyph: str
    live_tone: str
    pause: str
    foot: str
    empty: tuple[str, str] | None
    can_send: bool
    filtered_out: int


def present(state: State, loaded: int, shown: int, waiting: int, paused: bool, more: bool) -> View:
    """loaded, shown: rows held, and rows the filter lets through. waiting: rows that arrived during a pause. more: older ones exist."""
    snapshot = state.snapshot
    today = snapshot.today.requests if snapshot is not None else 0
    if paused:
        live, glyph, tone = tr("Paused"), "pause", "wa"
    elif state.live:
        live, glyph, tone = tr("Live"), "record-fill", "ok"
    else:
        live, glyph, tone = tr("Not connected"), "minus-circle", "tx3"
    pause = tr("Pause")
    if paused:
        pause = plural(waiting, "Resume, {n} new", "Resume, {n} new") if waiting else tr("Resume")
    foot = plural(loaded, "{n} request", "{n} requests")
    if shown != loaded:
        foot = tr("{shown} of {loaded} loaded", shown=f"{shown:,}", loaded=f"{loaded:,}")
    elif more:
        foot = tr("{loaded} loaded, older ones as you scroll", loaded=f"{loaded:,}")
    return View(
        remark=tr("{n} today", n=f"{today:,}") if snapshot is not None else "",
        live=live,
        live_glyph=glyph,
        live_tone=tone,
        pause=pause,
        foot=foot,
        empty=_empty(state, loaded),
        can_send=state.works and snapshot is not None and snapshot.state == "running" and not state.is_busy("echo"),
        filtered_out=loaded if loaded and not shown else 0,
    )


def _empty(state: State, loaded: int) -> tuple[str, str] | None:
    if loaded:
        return None
    shut = closed(state)
    if shut is not None:
        return shut.fact, shut.sentence
    if not state.live or state.snapshot is None:
        return tr("Not connected"), tr("The gateway is not answering. Nothing is lost meanwhile.")
    since = fmt.clock(state.snapshot.started_us)[:5]
    return tr("Waiting for the first request"), tr("Listening on {address} since {time}.", address=state.address, time=since)


def columns(now_us: list[int]) -> tuple[Column[Exchange], ...]:
    """now_us: a list of one, the present moment, which decides whether a time shows its day."""
    return (
        Column(tr("Time"), lambda row: exchanges.time_cell(row, now_us[0]), sample="18 Nov 14:32", least=86),
        Column(tr("Client"), exchanges.client_cell, sample="Claude Code", least=86),
        Column(tr("Asked → served"), exchanges.asked_cell, least=150),
        Column(tr("Provider"), exchanges.provider_cell, sample="gatehouse m", least=70, low=2),
        Column(tr("Status"), exchanges.code_cell, sample="499 mm", least=62),
        Column(tr("In / out"), exchanges.tokens_cell, sample="12.4k / 1.1k", number=True, least=84, low=1),
        Column(tr("Cost"), exchanges.cost_cell, sample="Unpriced", number=True, least=56),
        Column(tr("TTFT, s"), exchanges.first_byte_cell, sample="0.004", number=True, least=50),
        Column(tr("Took, s"), exchanges.took_seconds_cell, sample="0.004", number=True, least=64),
    )


class ActivityPage(Page):
    NAME: ClassVar[str] = "activity"
    SCROLLS: ClassVar[bool] = False
    FILTERS: ClassVar[bool] = True

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(tr("Activity"), session, parent)
        self._view: View | None = None
        self._state: State = session.state
        self._now: list[int] = [0]
        self._paused = False
        self._held: dict[str, Exchange] = {}
        self._next: str | None = None
        self._more = False
        self._reading = False
        # _solid: the newest row below which none is missing. _unbroken: the stream since which that is kept up.
        self._solid = ""
        self._unbroken = self._asked_in = -1
        self._read_once = False
        self._wanted_row = ""
        self._searched = False
        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(TYPING_MS)
        self._typing.timeout.connect(self._find)
        halves = QHBoxLayout()
        halves.setContentsMargins(0, 0, 0, 0)
        halves.setSpacing(0)
        self._main = QWidget(self)
        halves.addWidget(self._main, 1)
        self._inspector = Inspector(self)
        self._inspector.hide()
        self._inspector.closed.connect(self._close_inspector)
        self._inspector.moved.connect(self._move)
        self._inspector.copied.connect(self._on_copied)
        halves.addWidget(self._inspector)
        self._halves = halves
        self.column.addLayout(halves)
        self._build_main()
        session.arrived.connect(self._on_arrived)

    # -- building

    def _build_main(self) -> None:
        column = QVBoxLayout(self._main)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        head = QVBoxLayout()
        head.setContentsMargins(24, 20, 24, 12)
        head.setSpacing(12)
        self._head = head
        self._live = Status("smallstrong", self._main)
        self._pause = Button(tr("Pause"), glyph="pause", parent=self._main)
        self._pause.setToolTip(tr("Space"))
        self._pause.clicked.connect(self.toggle_pause)
        self.title_row.addWidget(self._live)
        self.title_row.addSpacing(4)
        self.title_row.addWidget(self._pause)
        head.addLayout(self.title_row)
        head.addWidget(self.banner)
        self._filter = SearchField(tr("client, model, status, request id"), self._main)
        self._filter.changed.connect(self._on_filter)
        head.addWidget(self._filter)
        column.addLayout(head)
        line = QFrame(self._main)
        line.setProperty("role", "hairline")
        line.setFixedHeight(1)
        column.addWidget(line)

        self._rows: SortedRows[Exchange] = SortedRows(columns(self._now), lambda row: row.id, self)
        self._found = FilteredRows(self._rows, exchanges.haystack, self)
        self._table = Table(self._rows, filtered=self._found, edge=24, parent=self._main)
        self._table.setAccessibleName(tr("Requests"))
        self._table.chosen.connect(self._on_chosen)
        self._table.opened.connect(self._on_opened)
        self._table.clicked.connect(self._on_clicked)
        self._table.verticalScrollBar().valueChanged.connect(self._on_scrolled)
        send = Button(tr("Send test request"), glyph="paper-plane-tilt", small=True, parent=self._main)
        send.clicked.connect(self.session.echo)
        self._send = send
        clear = Button(tr("Clear filter"), small=True, parent=self._main)
        clear.clicked.connect(partial(self._filter.line.setText, ""))
        self._waiting = EmptyState("activity", "", "", (send,), self._main)
        self._none = EmptyState("funnel", tr("No request matches"), "", (clear,), self._main)
        self._stack = QStackedWidget(self._main)
        surface = QFrame(self._stack)
        surface.setProperty("role", "surface")
        inside = QVBoxLayout(surface)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(self._table)
        for part in (surface, self._waiting, self._none):
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
        low.addWidget(Label(tr("Prompts and answers are not stored"), "small", "tx3", foot))
        column.addWidget(foot)

    # -- drawing

    def refresh(self, state: State, now_us: int) -> None:
        if state.streams != self._state.streams:
            self._read_once = False  # what closed while nothing was heard is read again from the top
        self._state = state
        self._now[0] = now_us
        if not self._read_once and state.live and state.snapshot is not None and state.snapshot.state == "running":
            self._read_newest()
        self._draw()

    def _draw(self) -> None:
        view = present(self._state, self._rows.rowCount(), self._found.rowCount(), len(self._held), paused=self._paused, more=self._more)
        if view == self._view:
            return
        self._view = view
        self.remark.setText(view.remark)
        self._live.show_state(view.live_glyph, view.live, view.live_tone)
        self._pause.setText(view.pause)
        self._pause.set_glyph("play" if self._paused else "pause")
        self._foot.setText(view.foot)
        self._send.setEnabled(view.can_send)
        if view.empty is not None:
            self._waiting.set_words(*view.empty)
            self._stack.setCurrentWidget(self._waiting)
        elif view.filtered_out:
            hidden = plural(
                view.filtered_out, "{n} loaded request is hidden by the filter.", "{n} loaded requests are hidden by the filter."
            )
            self._none.set_words(tr("No request matches"), hidden)
            self._stack.setCurrentWidget(self._none)
        else:
            self._stack.setCurrentIndex(0)

    def set_narrow(self, narrow: bool) -> None:
        super().set_narrow(narrow)
        edge = 16 if narrow else 24
        self._head.setContentsMargins(edge, 16 if narrow else 20, edge, 12)
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

    @Slot(object)
    def _on_arrived(self, rows: tuple[Exchange, ...]) -> None:
        if self._paused:
            self._held |= {row.id: row for row in rows}
        else:
            self._put(rows)
            if self._unbroken == self.session.state.streams and self._rows.rowCount():
                self._solid = self._rows.key(0)
        self._draw()

    def _put(self, rows: tuple[Exchange, ...]) -> None:
        """New rows go where their time puts them; what the person looks at stays where it is."""
        bar = self._table.verticalScrollBar()
        top = self._table.indexAt(QPoint(4, 1))
        anchor = self._found.mapToSource(top).row() if bar.value() > 0 and top.isValid() else -1
        key = self._rows.key(anchor) if anchor >= 0 else ""
        offset = self._table.visualRect(top).top() if key else 0
        # Rows older than the oldest loaded one would leave a gap that no scrolling fills; they come with their page.
        if self._more and self._rows.rowCount():
            oldest = self._rows.key(self._rows.rowCount() - 1)
            rows = tuple(row for row in rows if row.id >= oldest)
        self._rows.merge(rows)
        if self._rows.rowCount() > MOST and bar.value() == 0:
            self._rows.cut(MOST // 2)
            self._next = self._rows.key(self._rows.rowCount() - 1)
            self._more = True
        if key:
            index = self._found.mapFromSource(self._rows.index(self._rows.number(key), 0))
            if index.isValid():
                bar.setValue(bar.value() + self._table.visualRect(index).top() - offset)

    def _read_newest(self) -> None:
        if not self._reading:
            self._reading = True
            self._read_once = True
            self._asked_in = self.session.state.streams
            self.session.read_activity(PAGE, None, self._on_newest, self._on_read_failed)

    def _on_newest(self, answer: Answer) -> None:
        # Held against the newest row below which nothing is missing: what arrived since the silence may already stand above the hole.
        overlap = self._solid and (answer.next is None or answer.rows[-1].id <= self._solid)
        if not overlap:
            # The first page, or so much came meanwhile that there is a hole below it: begin anew from here.
            self._rows.clear()
        else:
            answer = Answer(rows=answer.rows, next=self._next if self._more else None)
        self._on_older(answer)
        self._unbroken = self._asked_in
        self._solid = self._rows.key(0) if self._rows.rowCount() else ""

    def _read_older(self) -> None:
        if not self._reading and self._more:
            self._reading = True
            self.session.read_activity(PAGE, self._next, self._on_older, self._on_read_failed)

    def _on_older(self, answer: Answer) -> None:
        self._reading = False
        self._more = answer.next is not None
        self._next = answer.next
        self._rows.merge(answer.rows)
        self._open_wanted()
        self._draw()
        # A filter that lets few rows through leaves the table without a scroll bar, and so without a way to ask for more.
        if self._more and not self._filter.text() and self._table.verticalScrollBar().maximum() == 0 and self.isVisible():
            self._read_older()

    def _on_read_failed(self, error: AppError) -> None:
        self._reading = False
        if not self._rows.rowCount():
            self._read_once = False
        if error.code not in ("engine_absent", "vault_locked"):
            self.session.complain(error)

    @Slot(int)
    def _on_scrolled(self, value: int) -> None:
        if self._more and value >= self._table.verticalScrollBar().maximum() - 40 * 32:
            self._read_older()

    # -- pause, filter, find

    @Slot()
    def toggle_pause(self) -> None:
        self._paused = not self._paused
        if not self._paused:
            held, self._held = tuple(self._held.values()), {}
            self._put(held)
        self._draw()

    def begin_filter(self) -> None:
        self._filter.line.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self._filter.line.selectAll()

    @Slot(str)
    def _on_filter(self, text: str) -> None:
        self._found.set_filter(text)
        self._typing.start()
        self._draw()

    @Slot()
    def _find(self) -> None:
        """Asks the whole ledger for what the filter says: what is loaded may be a small part of it."""
        text = self._filter.text()
        if text:

            def ask(client: ControlClient) -> Answer:
                return client.activity(limit=PAGE, only=finding.wanted(text, client.activity_names()))

            self.session.look("search", ask, partial(self._on_searched, text), self._on_search_failed)
        elif self._searched and not self._reading:
            # What was found lies apart from what is loaded: begin anew, or there would be holes between them.
            self._searched = False
            self._rows.clear()
            self._read_newest()

    def _on_searched(self, text: str, answer: Answer) -> None:
        if text == self._filter.text() and answer.rows:
            self._searched = True
            self._rows.merge(answer.rows)
            self._draw()

    def _on_search_failed(self, error: AppError) -> None:
        if error.code not in ("engine_absent", "vault_locked", "body_invalid"):
            self.session.complain(error)

    # -- one request

    def open_row(self, identifier: str) -> None:
        """Shows the request with this id, reading the newest page first if it must."""
        self._wanted_row = identifier
        self._open_wanted()

    def _open_wanted(self) -> None:
        number = self._rows.number(self._wanted_row) if self._wanted_row else -1
        if number < 0:
            return
        self._wanted_row = ""
        self._filter.line.setText("")
        index = self._found.mapFromSource(self._rows.index(number, 0))
        self._table.setCurrentIndex(index)
        self._table.scrollTo(index)
        self._table.setFocus()
        self._open(self._rows.row(number))

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
        self._inspector.show_row(row)
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
        if 0 <= row < self._found.rowCount():
            index = self._found.index(row, 0)
            self._table.setCurrentIndex(index)
            self._table.scrollTo(index)

    @Slot(str)
    def _on_copied(self, text: str) -> None:
        self.wanted.emit("copy:" + text)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self._inspector.isVisible():
            self._close_inspector()
        elif event.key() == Qt.Key.Key_Escape and self._filter.text():
            self._filter.line.setText("")
        elif event.key() == Qt.Key.Key_Space:
            self.toggle_pause()
        else:
            super().keyPressEvent(event)
