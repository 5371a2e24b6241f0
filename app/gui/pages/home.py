"""Home: today's figures, what left this machine, the last requests, providers and clients; before the first request, the way there."""

from __future__ import annotations

from typing import ClassVar

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QGridLayout, QVBoxLayout, QWidget

from app.gui import theme
from app.gui.begin import Begin
from app.gui.cards import SIDE, ClientsCard, HostsCard, ProvidersCard, RequestsCard, TodayCard
from app.gui.closed import ClosedCard
from app.gui.overview import View, present
from app.gui.page import Page
from app.gui.session import Session
from app.gui.state import State
from app.gui.widgets import Button
from app.gui.words import tr


class HomePage(Page):
    """`row_opened` carries the id of a request to look at."""

    NAME: ClassVar[str] = "home"

    row_opened = Signal(str)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(tr("Home"), session, parent)
        self._view: View | None = None
        self._figures: _Figures | None = None
        self._send = Button(tr("Send test request"), glyph="paper-plane-tilt", parent=self)
        self._send.clicked.connect(session.echo)
        self.title_row.addWidget(self._send)
        self._begin = Begin(session, self)
        self._begin.wanted.connect(self.wanted)
        self._begin.hide()
        self.body.addWidget(self._begin)
        self._closed = ClosedCard(self)
        self.body.addWidget(self._closed)

    def refresh(self, state: State, now_us: int) -> None:
        view = present(state, now_us)
        if view == self._view:
            return
        self._view = view
        self.remark.setText(view.remark)
        self._send.setEnabled(view.can_send and not view.sending)
        self._send.setText(tr("Sending…") if view.sending else tr("Send test request"))
        self._closed.show_closed(view.closed if view.body == "closed" else None)
        self._begin.setVisible(view.body == "begin")
        if view.body == "begin":
            self._begin.show_view(view)
        elif view.body == "figures":
            self._shown_figures().show_view(view, now_us)
        if self._figures is not None:
            self._figures.setVisible(view.body == "figures")

    @Slot()
    def test(self) -> None:
        snapshot = self.session.state.snapshot
        for view in snapshot.providers if snapshot is not None else ():
            self.session.test_provider(view.account.name)

    @Slot(str)
    def _on_wanted(self, intent: str) -> None:
        if intent == "test-all":
            self.test()
        else:
            self.wanted.emit(intent)

    def _shown_figures(self) -> _Figures:
        """The cards, made when the first request is there to show."""
        if self._figures is None:
            self._figures = _Figures(self)
            self._figures.requests.opened.connect(self.row_opened)
            for card in (self._figures.requests, self._figures.providers, self._figures.clients):
                card.wanted.connect(self._on_wanted)
            self.body.addWidget(self._figures)
        return self._figures


class _Figures(QWidget):
    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(16)
        grid.setColumnStretch(0, 1)
        self.today = TodayCard(self)
        self.hosts = HostsCard(self)
        self.requests = RequestsCard(self)
        self.providers = ProvidersCard(self)
        self.clients = ClientsCard(self)
        grid.addWidget(self.today, 0, 0)
        grid.addWidget(self.hosts, 0, 1)
        top = Qt.AlignmentFlag.AlignTop
        grid.addWidget(self.requests, 1, 0, top)
        side = QWidget(self)
        theme.follow(side, lambda: side.setFixedWidth(theme.current().px(SIDE)))
        column = QVBoxLayout(side)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(16)
        column.addWidget(self.providers)
        column.addWidget(self.clients)
        grid.addWidget(side, 1, 1, top)

    def show_view(self, view: View, now_us: int) -> None:
        self.today.show_view(view)
        self.hosts.show_view(view)
        self.requests.show_view(view, now_us)
        self.providers.show_view(view)
        self.clients.show_view(view)


__all__ = ["HomePage", "View", "present"]
