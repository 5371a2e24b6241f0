"""The cards of Home, each drawing its part of the view."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.core.records import Exchange
from app.gui import accounts, exchanges, theme
from app.gui.cells import Column
from app.gui.charts import HourBars
from app.gui.labels import Elided, Label
from app.gui.overview import HostLine, Metric, ProviderLine, View
from app.gui.tables import Rows, Table
from app.gui.widgets import Button, Card, CardHead, Status, Tile, clear_layout, hairline, row_of
from app.gui.words import tr

SIDE = 288


class TodayCard(Card):
    """Three figures, and the requests of each hour."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(spacing=8, parent=parent)
        head = row_of(Label(tr("Today"), "heading", parent=self), None, spacing=12)
        head.addLayout(row_of(_Swatch("acc", self), Label(tr("Answered"), "small", "tx2", self), spacing=6))
        head.addLayout(row_of(_Swatch("eri", self), Label(tr("Failed"), "small", "tx2", self), spacing=6))
        self.column.addLayout(head)
        self.column.addSpacing(4)
        self._metrics = [_MetricBlock(self) for _ in range(3)]
        self.column.addLayout(row_of(*self._metrics, None, spacing=32))
        self.column.addSpacing(4)
        self.column.addWidget(Label(tr("Requests per hour"), "caption", "tx3", self))
        self._bars = HourBars(self)
        self.column.addWidget(self._bars, 1)

    def show_view(self, view: View) -> None:
        for block, metric in zip(self._metrics, view.metrics, strict=True):
            block.show_metric(metric)
        self._bars.show_hours(view.hours)


class HostsCard(Card):
    """What left this machine today, and what can be said about it."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(spacing=10, parent=parent)
        theme.follow(self, lambda: self.setFixedWidth(theme.current().px(SIDE)))
        self._lines: Sequence[HostLine] | None = None
        self.column.addWidget(Label(tr("Left this machine today"), "heading", parent=self))
        self._rows = QVBoxLayout()
        self._rows.setSpacing(10)
        self.column.addLayout(self._rows)
        self._none = Label("", "small", "tx2", self)
        self.column.addWidget(self._none.wrapped())
        self.column.addStretch(1)
        self.column.addWidget(hairline(self))
        self._stayed = Status(parent=self)
        self._verdict = Status(parent=self)
        self.column.addWidget(self._verdict)
        self.column.addWidget(self._stayed)

    def show_view(self, view: View) -> None:
        self._none.setText(view.hosts_none)
        self._verdict.show_state(view.hosts_verdict.glyph, view.hosts_verdict.word, view.hosts_verdict.tone)
        self._stayed.show_state("desktop", view.stayed, "tx3")
        self._stayed.setVisible(bool(view.stayed))
        if view.hosts == self._lines:
            return
        self._lines = view.hosts
        clear_layout(self._rows)
        for line in view.hosts:
            self._rows.addWidget(_HostRow(line, self))
        self._none.setVisible(not view.hosts)


class RequestsCard(Card):
    """The last requests. `opened` carries the id of one to look at."""

    opened = Signal(str)
    wanted = Signal(str)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(pad=0, spacing=0, parent=parent)
        self._now: list[int] = [0]
        self.column.setContentsMargins(1, 0, 1, 1)
        head = CardHead(tr("Last requests"), parent=self)
        more = Button(tr("Open Activity"), "ghost", glyph="caret-right", small=True, trailing=True, parent=head)
        more.clicked.connect(partial(self.wanted.emit, "activity"))
        head.row.addWidget(more)
        self.column.addWidget(head)
        self._rows: Rows[Exchange] = Rows(columns(self._now), lambda row: row.id, self)
        self.table = Table(self._rows, parent=self)
        self.table.setAccessibleName(tr("Last requests"))
        self.table.opened.connect(self.opened)
        self.table.clicked.connect(self._on_clicked)
        self.table.fit()
        self.column.addWidget(self.table)

    def show_view(self, view: View, now_us: int) -> None:
        self._now[0] = now_us
        self._rows.show(view.rows)

    def _on_clicked(self) -> None:
        key = self.table.current_key()
        if key:
            self.table.clearSelection()
            self.opened.emit(key)


class ProvidersCard(Card):
    """A line per provider. `wanted` carries what a button asks for."""

    wanted = Signal(str)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(pad=0, spacing=0, parent=parent)
        self._lines: Sequence[ProviderLine] | None = None
        head = CardHead(tr("Providers"), parent=self)
        self._test_all = Button(tr("Test all"), "ghost", small=True, parent=head)
        self._test_all.clicked.connect(partial(self.wanted.emit, "test-all"))
        head.row.addWidget(self._test_all)
        self.column.addWidget(head)
        self._rows = QVBoxLayout()
        self._rows.setSpacing(0)
        self.column.addLayout(self._rows)
        self._offer = _Offer(tr("No provider yet. Add a key, or a model server on this machine."), tr("Add provider"), self)
        self._offer.button.clicked.connect(partial(self.wanted.emit, "add-provider"))
        self.column.addWidget(self._offer)

    def show_view(self, view: View) -> None:
        self._test_all.setEnabled(view.can_act)
        if view.providers == self._lines:
            return
        self._lines = view.providers
        clear_layout(self._rows)
        for line in view.providers[:8]:
            self._rows.addWidget(hairline(self))
            self._rows.addWidget(_ProviderRow(line, self))
        self._offer.setVisible(not view.providers)
        self._test_all.setVisible(bool(view.providers))


class ClientsCard(Card):
    """How many clients there are and which were seen last."""

    wanted = Signal(str)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(pad=0, spacing=0, parent=parent)
        head = CardHead(tr("Clients"), parent=self)
        self._count = Button("", "link", parent=head)
        self._count.clicked.connect(partial(self.wanted.emit, "clients"))
        head.row.addWidget(self._count)
        head.row.setContentsMargins(16, 0, 14, 0)
        self.column.addWidget(head)
        self._seen = Label("", "small", "tx2", self).wrapped()
        self._seen.setContentsMargins(16, 0, 16, 16)
        self.column.addWidget(self._seen)
        self._offer = _Offer(tr("No client yet. Each program that asks gets a key of its own."), tr("Add client"), self)
        self._offer.button.clicked.connect(partial(self.wanted.emit, "add-client"))
        self.column.addWidget(self._offer)

    def show_view(self, view: View) -> None:
        self._count.setText(view.clients_count)
        self._count.setVisible(bool(view.clients_count))
        self._seen.setText(view.clients)
        self._seen.setVisible(bool(view.clients))
        self._offer.setVisible(not view.clients)


class _MetricBlock(QWidget):
    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        self._value = Label("", "metric", "tx", self)
        self._unit = Label("", "unit", "tx2", self)
        self._unit.setContentsMargins(2, 0, 0, 4)
        self._caption = Elided("", "small", "tx3", self)
        row = row_of(self._value, self._unit, None, spacing=0)
        row.setAlignment(self._unit, Qt.AlignmentFlag.AlignBottom)
        column.addLayout(row)
        column.addWidget(self._caption)

    def show_metric(self, metric: Metric) -> None:
        self._value.setText(metric.value)
        self._unit.setText(metric.unit)
        self._unit.setVisible(bool(metric.unit))
        self._caption.setText(metric.caption)
        self.setAccessibleName(f"{metric.value}{metric.unit} {metric.caption}")


class _HostRow(QWidget):
    def __init__(self, line: HostLine, parent: QWidget) -> None:
        super().__init__(parent)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        host = Elided(line.host, "mono", "tx", self, mode=Qt.TextElideMode.ElideMiddle)
        first = row_of(host, Label(line.out, "small", "tx2", self))
        first.setStretch(0, 1)
        contacts = Elided(line.contacts, "small", "tx3", self)
        second = row_of(contacts, Label(line.back, "small", "tx3", self))
        second.setStretch(0, 1)
        column.addLayout(first)
        column.addLayout(second)
        self.setAccessibleName(f"{line.host}, {line.contacts}, {line.out}, {line.back}")


class _ProviderRow(QWidget):
    def __init__(self, line: ProviderLine, parent: QWidget) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 0, 16, 0)
        row.setSpacing(8)
        theme.follow(self, lambda: self.setFixedHeight(theme.current().px(36)))
        row.addWidget(Tile("" if line.local else accounts.letter(line.label), "desktop" if line.local else "", 24, parent=self))
        row.addWidget(Elided(line.label, "body", "tx", self), 1)
        state = Status(parent=self)
        state.show_state(line.words.glyph, line.words.word, line.words.tone)
        state.set_tip(line.words.detail)
        row.addWidget(state)
        took = Label(line.took, "small", "tx3", self)
        took.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        theme.follow(took, lambda: took.setMinimumWidth(theme.current().px(52)))
        took.setVisible(bool(line.took))
        row.addWidget(took)
        self.setAccessibleName(f"{line.label}: {line.words.word} {line.took}")


class _Offer(QWidget):
    """A sentence and a button, where a card has no rows yet."""

    def __init__(self, words: str, verb: str, parent: QWidget) -> None:
        super().__init__(parent)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 0, 16, 16)
        column.setSpacing(10)
        column.addWidget(Label(words, "small", "tx2", self).wrapped())
        self.button = Button(verb, "soft", small=True, parent=self)
        column.addWidget(self.button, 0, Qt.AlignmentFlag.AlignLeft)


class _Swatch(QWidget):
    """A small square in a series' colour, for a legend."""

    def __init__(self, ink: str, parent: QWidget) -> None:
        super().__init__(parent)
        self._ink = ink
        self.setFixedSize(8, 8)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.current().colour(self._ink))
        painter.drawRoundedRect(QRectF(self.rect()), 2, 2)


def columns(now_us: list[int]) -> tuple[Column[Exchange], ...]:
    """now_us: a list of one, the present moment, which decides whether a time shows its day."""
    return (
        Column(tr("Time"), lambda row: exchanges.time_cell(row, now_us[0]), sample="14:32:07", least=80),
        Column(tr("Client"), exchanges.client_cell, sample="Claude Code", least=86, low=1),
        Column(tr("Asked → served"), exchanges.asked_cell, least=130),
        Column(tr("Status"), exchanges.status_cell, sample="529, overloaded mm", least=108),
        Column(tr("Tokens in / out"), exchanges.tokens_cell, sample="12.4k / 1.1k", number=True, low=3),
        Column(tr("Cost"), exchanges.cost_cell, sample="<$0.00001", number=True, least=56),
        Column(tr("Took"), exchanges.took_cell, sample="240 ms", number=True, least=62, low=2),
    )
