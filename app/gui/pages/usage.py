"""Usage: what requests cost over time, by model, client or provider, and the same as a file."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

from PySide6.QtCore import QTimer, Slot
from PySide6.QtWidgets import QFileDialog, QFrame, QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from app.control.client import ControlClient
from app.control.contract import ActivityNames, RowFilter, UsageRow
from app.core.errors import AppError
from app.gui import format as fmt
from app.gui import spending
from app.gui.cells import Cell, Column
from app.gui.fields import Segmented
from app.gui.header import menu_text, styled_menu
from app.gui.labels import Label, Run
from app.gui.labels import Line as TextLine
from app.gui.page import Page
from app.gui.session import Session
from app.gui.spending import DIMENSIONS, MEASURES, RANGES, Dimension, Line, Measure, Period, Range
from app.gui.stacked import StackedBars
from app.gui.state import State, closed
from app.gui.tables import Rows, Table
from app.gui.widgets import Button, Card, EmptyState, clear_layout
from app.gui.words import plural, tr

AGAIN_MS: Final = 4_000
PROGRESS_MS: Final = 150
_MOST_NAMES: Final = 30


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
        Column(
            tr("Share"),
            lambda line: Cell(_share(line), "tx" if line.share is not None else "tx3"),
            sample="under 1 % m",
            number=True,
            least=76,
        ),
    )


def _tokens(line: Line, value: int) -> Cell:
    return Cell(("~" if line.sums.estimated else "") + fmt.compact(value))


def _cached(line: Line) -> Cell:
    return Cell(f"{round(100 * line.sums.cached / line.sums.input)} %") if line.sums.cached else Cell(fmt.ABSENT, "tx3")


def _cost(line: Line) -> Cell:
    words, ink = spending.cost(line.sums)
    return Cell(words, ink, glyph="warning-fill", tone="wa") if line.sums.unpriced else Cell(words, ink)


def _share(line: Line) -> str:
    if line.share is None:
        return fmt.ABSENT
    return tr("under 1 %") if line.share < 10 else f"{round(line.share / 10)} %"


class UsagePage(Page):
    NAME: ClassVar[str] = "usage"

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(tr("Usage"), session, parent)
        self.remark.setText(tr("One row per request, failures included"))
        self._range: Range = "days"
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
        self._stop: threading.Event | None = None
        self._written = [0]
        self._build()
        self._again = QTimer(self)
        self._again.setSingleShot(True)
        self._again.setInterval(AGAIN_MS)
        self._again.timeout.connect(self._ask)
        self._progress = QTimer(self)
        self._progress.setInterval(PROGRESS_MS)
        self._progress.timeout.connect(self._show_progress)
        session.arrived.connect(self._on_arrived)

    # -- building

    def _build(self) -> None:
        self._export = Button(tr("Export"), glyph="file-text", parent=self)
        self._export.setToolTip(tr("CSV, or JSON lines where the name ends in .jsonl; never what was asked or answered"))
        self._export.clicked.connect(self._on_export)
        self.title_row.addWidget(self._export)
        choices = QHBoxLayout()
        choices.setSpacing(8)
        self._menus: dict[str, Button] = {}
        for name in ("range", *reversed(DIMENSIONS[:2]), DIMENSIONS[2]):
            button = Button(tr("all"), glyph="caret-down", trailing=True, parent=self)
            button.clicked.connect(partial(self._open_menu, name))
            self._menus[name] = button
            choices.addWidget(button)
        choices.addStretch(1)
        self._measures = Segmented((tr("Cost"), tr("Tokens"), tr("Requests")), tr("What the bars show"), self)
        self._measures.chosen.connect(self._on_measure)
        choices.addWidget(self._measures)
        self.body.addLayout(choices)

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
            self._tables[by] = table
            self._held.addWidget(table)
        self._below.column.addWidget(self._held)
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
        self._export.setEnabled(works or self._stop is not None)
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
        number, over, by = self._asked, spending.period(self._range, self._now_us), self._by
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

    def _filter(self) -> RowFilter:
        def names(dimension: str) -> tuple[str, ...]:
            return (self._only[dimension],) if dimension in self._only else ()

        return RowFilter(clients=names("client"), providers=names("provider"), models=names("model"))

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
        self._held.setFixedHeight(table.height())
        without = [line for line in view.lines if line.sums.unpriced]
        self._note.setText(
            tr("Set a price: gatehouse price set {what}", what=f"{without[0].provider or '…'} {without[0].name}") if without else ""
        )
        self._note.setVisible(bool(without))

    def _name_menus(self) -> None:
        self._menus["range"].setText(spending.period(self._range, self._now_us).words)
        for name, word in (("client", tr("Client")), ("provider", tr("Provider")), ("model", tr("Model"))):
            self._menus[name].setText(f"{word} {self._only.get(name) or tr('all')}")

    # -- choosing

    def _open_menu(self, name: str) -> None:
        button = self._menus[name]
        menu = styled_menu(self)
        entries: list[tuple[str, Callable[[], None]]]
        if name == "range":
            entries = [(spending.period(one, self._now_us).words, partial(self.choose_range, one)) for one in RANGES]
        else:
            known = (
                ()
                if self._names is None
                else {"client": self._names.clients, "provider": self._names.providers}.get(name, self._names.models)
            )
            entries = [(tr("all"), partial(self.choose_only, name, ""))]
            entries += [(one, partial(self.choose_only, name, one)) for one in known[:_MOST_NAMES]]
        for words, act in entries:
            menu.addAction(menu_text(words)).triggered.connect(act)
        menu.popup(button.mapToGlobal(button.rect().bottomLeft()))

    def choose_range(self, chosen: Range) -> None:
        self._range = chosen
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

    # -- the file

    @Slot()
    def _on_export(self) -> None:
        if self._stop is not None:
            self._stop.set()
            return
        name, _ = QFileDialog.getSaveFileName(
            self, tr("Export requests"), str(Path.home() / "usage.csv"), tr("CSV (*.csv);;JSON lines (*.jsonl)")
        )
        if name:
            self.export_to(Path(name))

    def export_to(self, target: Path) -> None:
        """Writes the requests of the time and filters shown, in another thread; the button then cancels."""
        stop = self._stop = threading.Event()
        written = self._written = [0]
        over, only = spending.period(self._range, self._now_us), self._filter()
        wanted = RowFilter(
            since_us=over.since_us, until_us=over.until_us, clients=only.clients, providers=only.providers, models=only.models
        )
        self._progress.start()
        self._show_progress()
        self.session.look("export", lambda client: write(client, target, wanted, stop, written), self._on_exported, self._on_export_failed)

    def _on_exported(self, rows: int) -> None:
        self._end_export(plural(rows, "{n} request written", "{n} requests written") if rows >= 0 else tr("Cancelled, nothing was kept"))

    def _on_export_failed(self, error: AppError) -> None:
        self._end_export("")
        self.session.complain(error)

    def _end_export(self, words: str) -> None:
        self._stop = None
        self._progress.stop()
        self._export.setText(tr("Export"))
        self.remark.setText(words or tr("One row per request, failures included"))

    @Slot()
    def _show_progress(self) -> None:
        self._export.setText(tr("Cancel"))
        self.remark.setText(tr("{n} requests so far", n=f"{self._written[0]:,}"))


def write(client: ControlClient, target: Path, wanted: RowFilter, stop: threading.Event, written: list[int]) -> int:
    """How many rows; -1 when it was cancelled. The file is the person's alone and gets its name when it is whole. AppError."""
    form = "jsonl" if target.suffix in (".jsonl", ".ndjson") else "csv"
    mark = b'{"id":"req_' if form == "jsonl" else b"\r\nreq_"
    part, tail = target.with_name(target.name + ".part"), b""
    try:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            for piece in client.export(form, wanted):
                if stop.is_set():
                    return -1
                file.write(piece)
                together = tail + piece
                written[0] += together.count(mark)
                tail = together[-(len(mark) - 1) :]
        part.replace(target)
        return written[0]
    except OSError as error:
        raise AppError("data_folder", f"{target.name} cannot be written: {error.strerror}.") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
