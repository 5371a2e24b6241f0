"""Usage: what requests cost over time, by model, client or provider, and the same as a file."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Final

import msgspec
from PySide6.QtCore import QModelIndex, QTimer, Slot
from PySide6.QtWidgets import QFrame, QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from app.control.client import ControlClient
from app.control.contract import ActivityNames, RowFilter, UsageRow
from app.core.errors import AppError
from app.gui import choices, spending, theme
from app.gui import format as fmt
from app.gui.cells import Cell, Column
from app.gui.choices import ChoiceButton, Entry
from app.gui.exporting import RequestsButton
from app.gui.fields import Segmented
from app.gui.labels import Label, Run
from app.gui.labels import Line as TextLine
from app.gui.page import Page
from app.gui.session import Session
from app.gui.spending import DIMENSIONS, MEASURES, RANGES, TIMES, Dimension, Line, Measure, Period, Range, Time
from app.gui.stacked import StackedBars
from app.gui.state import State, closed
from app.gui.tables import Rows, Table
from app.gui.widgets import Card, EmptyState, clear_layout
from app.gui.words import tr

AGAIN_MS: Final = 4_000


def columns(by: Dimension) -> tuple[Column[Line], ...]:
    names = {"model": tr("Model"), "client": tr("Client"), "provider": tr("Provider")}
    found: list[Column[Line]] = [Column(names[by], lambda line: Cell(line.name, glyph="record-fill", tone=line.ink), least=170)]
    if by == "model":
        found.append(Column(tr("Provider"), lambda line: Cell(line.provider or fmt.ABSENT), sample="anthropic mm", least=80, low=2))
    return (
        *found,
        Column(tr("Requests"), lambda line: Cell(fmt.count(line.sums.requests)), sample="1,234,567", number=True, least=70),
        Column(tr("Tokens in"), lambda line: _tokens(line, line.sums.input), sample="~123.4M", number=True, least=66, low=1),
        Column(tr("Cached"), _cached, sample="100 %", number=True, least=54, low=3),
        Column(tr("Tokens out"), lambda line: _tokens(line, line.sums.output), sample="~123.4M", number=True, least=70, low=1),
        Column(tr("Cost"), _cost, sample="$24.86 + 12 unpriced", number=True, least=70),
        Column(tr("Share"), partial(_share_cell, by), sample="mmmmmm under 1 %", number=True, least=150),
    )


def _tokens(line: Line, value: int) -> Cell:
    return Cell(("~" if line.sums.estimated else "") + fmt.compact(value))


def _cached(line: Line) -> Cell:
    return Cell(f"{round(100 * line.sums.cached / line.sums.input)} %") if line.sums.cached else Cell(fmt.ABSENT, "tx3")


def _cost(line: Line) -> Cell:
    words, ink = spending.cost(line.sums)
    return Cell(words, ink, glyph="warning-fill", tone="wa") if line.sums.unpriced else Cell(words, ink)


def _share_cell(by: Dimension, line: Line) -> Cell:
    if can_price(by, line):
        return Cell(tr("Set a price"), "acctx", spoken=tr("Set a price for {model}", model=line.name))
    if line.share is None:
        return Cell(fmt.ABSENT, "tx3")
    return Cell(tr("under 1 %") if line.share < 10 else f"{round(line.share / 10)} %", tone=line.ink, share=line.share)


def can_price(by: Dimension, line: Line) -> bool:
    """A line without a price that names a model of an account."""
    return bool(by == "model" and line.sums.unpriced and line.provider and line.sums.key[0])


class UsagePage(Page):
    NAME: ClassVar[str] = "usage"

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(tr("Usage"), session, parent)
        self.remark.setText(tr("One row per request, failures included"))
        self._range: Range = "days"
        self._time: Time | None = None
        self._by: Dimension = "model"
        self._measure: Measure = "cost"
        self._only: dict[str, str] = {}
        self._names: ActivityNames | None = None
        self._rows: list[UsageRow] | None = None
        self._over: Period | None = None
        self._now_us = 0
        self._asked = 0
        self._read = 0
        self._view: spending.View | None = None
        self._build()
        self._again = QTimer(self)
        self._again.setSingleShot(True)
        self._again.setInterval(AGAIN_MS)
        self._again.timeout.connect(self._ask)
        session.arrived.connect(self._on_arrived)
        session.recounted.connect(self._ask)

    # -- building

    def _build(self) -> None:
        self._export = RequestsButton(self.session, self._exported, "usage", self)
        self._export.said.connect(self._on_export_said)
        self.title_row.addWidget(self._export)
        menus = QHBoxLayout()
        menus.setSpacing(8)
        self._when = ChoiceButton("", self._ranges, tr("Time"), self)
        self._when.chosen.connect(self.choose_range)
        menus.addWidget(self._when)
        self._cut = ChoiceButton("", lambda: list(spending.times(self._range)), tr("Bars"), self)
        self._cut.chosen.connect(self.choose_time)
        menus.addWidget(self._cut)
        self._menus: dict[str, ChoiceButton] = {}
        for name, caption in (("client", tr("Client")), ("provider", tr("Provider")), ("model", tr("Model"))):
            menu = ChoiceButton(caption, partial(self._choices, name), parent=self)
            menu.chosen.connect(partial(self.choose_only, name))
            self._menus[name] = menu
            menus.addWidget(menu)
        menus.addStretch(1)
        self._measures = Segmented((tr("Cost"), tr("Tokens"), tr("Requests")), tr("What the bars show"), self)
        self._measures.chosen.connect(self._on_measure)
        menus.addWidget(self._measures)
        self.body.addLayout(menus)

        self._stack = QStackedWidget(self)
        shown = QWidget(self._stack)
        column = QVBoxLayout(shown)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(16)
        self._figures = Card(0, 0, shown)
        self._figure_row = QHBoxLayout()
        self._figure_row.setContentsMargins(16, 14, 16, 14)
        self._figure_row.setSpacing(16)
        self._figures.column.addLayout(self._figure_row)
        rule = QFrame(self._figures)
        rule.setProperty("role", "hairline")
        rule.setFixedHeight(1)
        self._figures.column.addWidget(rule)
        inside = QVBoxLayout()
        inside.setContentsMargins(16, 12, 16, 8)
        head = QHBoxLayout()
        self._chart_title = Label("", "heading", "tx", shown)
        self._legend = TextLine((), "small", shown)
        head.addWidget(self._chart_title)
        head.addStretch(1)
        head.addWidget(self._legend)
        inside.addLayout(head)
        self._bars = StackedBars(shown)
        inside.addWidget(self._bars)
        self._figures.column.addLayout(inside)
        column.addWidget(self._figures)

        self._below = Card(0, 0, shown)
        top = QHBoxLayout()
        top.setContentsMargins(12, 8, 16, 8)
        self._groups = Segmented((tr("Model"), tr("Client"), tr("Provider")), tr("What the rows are"), shown)
        self._groups.chosen.connect(self._on_group)
        top.addWidget(self._groups)
        top.addStretch(1)
        self._note = Label("", "small", "tx3", shown)
        top.addWidget(self._note)
        self._below.column.addLayout(top)
        self._tables: dict[Dimension, Table] = {}
        self._held = QStackedWidget(shown)
        for by in DIMENSIONS:
            table = Table(Rows(columns(by), lambda line: line.key, self), parent=self._held)
            table.setAccessibleName(tr("Usage, summed"))
            table.fit()
            table.opened.connect(self._on_line)
            table.clicked.connect(self._on_cell)
            self._tables[by] = table
            self._held.addWidget(table)
        self._below.column.addWidget(self._held)
        theme.follow(self._held, self._fit_held)
        column.addWidget(self._below)
        column.addStretch(1)
        self._empty = EmptyState("activity", tr("Reading…"), "", (), self._stack)
        self._stack.addWidget(shown)
        self._stack.addWidget(self._empty)
        self._stack.setCurrentWidget(self._empty)
        self.body.addWidget(self._stack)

    # -- reading

    def refresh(self, state: State, now_us: int) -> None:
        self._now_us = now_us
        works = state.works and state.snapshot is not None and state.snapshot.state == "running"
        self._export.setEnabled(works or self._export.is_writing())
        shut = closed(state)
        if shut is not None:
            self._empty.set_words(shut.fact, shut.sentence)
            self._stack.setCurrentWidget(self._empty)
            self._rows = None
        elif works and self._rows is None and self._read == self._asked:
            self._ask()
        self._name_menus()

    def test(self) -> None:
        self._ask()

    @Slot(object)
    def _on_arrived(self, _rows: object) -> None:
        if self.isVisible() and not self._again.isActive():
            self._again.start()

    @Slot()
    def _ask(self) -> None:
        self._asked += 1
        number, over, by = self._asked, self._period(), self._by
        only = self._filter()

        def ask(client: ControlClient) -> tuple[list[UsageRow], ActivityNames]:
            dimensions = spending.dimensions(over.time, by)
            return client.usage(dimensions, since_us=over.since_us, until_us=over.until_us, only=only), client.activity_names()

        self.session.look("usage", ask, partial(self._on_read, number, over), partial(self._on_failed, number))

    def _on_read(self, number: int, over: Period, answer: tuple[list[UsageRow], ActivityNames]) -> None:
        if number != self._asked:
            return  # another question was asked meanwhile
        self._read = number
        self._rows, self._names = answer
        self._over = over
        self._draw()

    def _on_failed(self, number: int, error: AppError) -> None:
        self._read = max(self._read, number)
        if error.code not in ("engine_absent", "vault_locked"):
            self.session.complain(error)

    def _period(self) -> Period:
        return spending.period(self._range, self._now_us, time=self._time)

    def _filter(self) -> RowFilter:
        def names(dimension: str) -> tuple[str, ...]:
            return (self._only[dimension],) if dimension in self._only else ()

        return RowFilter(clients=names("client"), providers=names("provider"), models=names("model"))

    def _exported(self) -> RowFilter:
        """The requests of the time and filters shown."""
        over = self._period()
        return msgspec.structs.replace(self._filter(), since_us=over.since_us, until_us=over.until_us)

    # -- drawing

    def _draw(self) -> None:
        rows, over = self._rows, self._over
        if rows is None or over is None:
            return
        if not rows:
            self._empty.set_words(tr("No request in this time"), tr("Choose a longer time, or fewer filters."))
            self._stack.setCurrentWidget(self._empty)
            self._view = None
            return
        self._stack.setCurrentIndex(0)
        view = spending.present(rows, over, self._measure)
        if view == self._view:
            return
        self._view = view
        times = {"hour": tr("per hour"), "day": tr("per day"), "month": tr("per month")}
        named = {"cost": tr("Cost"), "tokens": tr("Tokens"), "requests": tr("Requests")}
        self._chart_title.setText(f"{named[self._measure]} {times[over.time]}")
        self._legend.set_runs([run for one in view.series for run in (Run("■ ", one.ink), Run(f"{one.name}   ", "tx2"))])
        self._bars.show_bars(view.bars, view.series, view.measure)
        clear_layout(self._figure_row)
        for caption, value, below, ink in view.figures:
            block = QWidget(self._figures)
            lines = QVBoxLayout(block)
            lines.setContentsMargins(0, 0, 0, 0)
            lines.setSpacing(2)
            lines.addWidget(Label(caption, "small", "tx2", block))
            lines.addWidget(Label(value, "title", "tx", block))
            lines.addWidget(Label(below, "small", ink, block))
            block.setAccessibleName(f"{caption}: {value}. {below}")
            self._figure_row.addWidget(block, 1)
        table = self._tables[self._by]
        table.rows().show(view.lines)
        self._held.setCurrentWidget(table)
        self._fit_held()
        hidden = self._by != "model" and any(line.sums.unpriced for line in view.lines)
        self._note.setText(tr("Prices are set by model.") if hidden else "")
        self._note.setVisible(hidden)

    def _fit_held(self) -> None:
        self._held.setFixedHeight(self._tables[self._by].height())

    def _name_menus(self) -> None:
        over = self._period()
        self._when.show_choice(self._range, over.words)
        self._cut.show_choice(over.time, dict(spending.times(self._range))[over.time])
        for name, menu in self._menus.items():
            only = self._only.get(name, "")
            menu.show_choice(only, only or tr("all"), marked=bool(only))

    # -- prices

    @Slot(str)
    def _on_line(self, key: str) -> None:
        """Enter, or a double click, on a line without a price."""
        lines = self._view.lines if self._view is not None else ()
        line = next((line for line in lines if line.key == key), None)
        if line is not None and can_price(self._by, line):
            self.wanted.emit(f"set-price:{line.provider}/{line.name}")

    @Slot(QModelIndex)
    def _on_cell(self, index: QModelIndex) -> None:
        if index.column() == self._tables[self._by].model().columnCount() - 1:
            self._on_line(self._tables[self._by].current_key())

    # -- choosing

    def _ranges(self) -> list[Entry | None]:
        return [(one, spending.period(one, self._now_us).words) for one in RANGES]

    def _choices(self, name: str) -> list[Entry | None]:
        known = self._names
        there = () if known is None else {"client": known.clients, "provider": known.providers}.get(name, known.models)
        return choices.names(there, self._only.get(name, ""))

    @Slot(str)
    def choose_range(self, chosen: str) -> None:
        self._range = next(one for one in RANGES if one == chosen)
        self._name_menus()
        self._ask()

    @Slot(str)
    def choose_time(self, chosen: str) -> None:
        self._time = next(time for time in TIMES[self._range] if time == chosen)
        self._name_menus()
        self._ask()

    def choose_only(self, dimension: str, name: str) -> None:
        """ "" for all."""
        self._only.pop(dimension, None)
        if name:
            self._only[dimension] = name
        self._name_menus()
        self._ask()

    @Slot(int)
    def _on_measure(self, index: int) -> None:
        self._measure = MEASURES[index]
        self._draw()

    @Slot(int)
    def _on_group(self, index: int) -> None:
        self._by = DIMENSIONS[index]
        self._ask()

    def export(self) -> None:
        self._export.choose()

    @Slot(str)
    def _on_export_said(self, words: str) -> None:
        self.remark.setText(words or tr("One row per request, failures included"))
