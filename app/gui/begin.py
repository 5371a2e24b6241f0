"""Before the first request: the steps that lead to it, a terminal's way, and what will stand here."""

from __future__ import annotations

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from app.gui.labels import Label, Line, Run
from app.gui.overview import Step, View
from app.gui.session import Session
from app.gui.widgets import Button, Card, EmptyState, Glyph, Tile, hairline, row_of
from app.gui.words import tr


class Begin(QWidget):
    """`wanted` carries what a button asks for."""

    wanted = Signal(str)

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self._session = session
        self._snippet = ""
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(16)

        steps = Card(pad=0, spacing=0, parent=self)
        self._title = Label("", "card", "tx", steps)
        head = row_of(self._title)
        head.setContentsMargins(20, 16, 20, 16)
        steps.column.addLayout(head)
        self._steps = [StepRow(self) for _ in range(3)]
        for step in self._steps:
            steps.column.addWidget(hairline(steps))
            steps.column.addWidget(step)
            step.wanted.connect(self.wanted)
        column.addWidget(steps)

        terminal = Card(spacing=10, parent=self)
        copy = Button(tr("Copy"), "ghost", glyph="copy", small=True, parent=terminal)
        copy.clicked.connect(self._copy_snippet)
        what = Label(tr("GATEHOUSE_KEY is the key of a client."), "small", "tx3", terminal)
        terminal.column.addLayout(row_of(Label(tr("Or from a terminal"), "heading", parent=terminal), what, None, copy))
        code = QFrame(terminal)
        code.setProperty("role", "code")
        inside = QHBoxLayout(code)
        inside.setContentsMargins(12, 8, 12, 8)
        self._code = Line((), "mono", code)
        inside.addWidget(self._code)
        terminal.column.addWidget(code)
        column.addWidget(terminal)

        send = Button(tr("Send test request"), glyph="paper-plane-tilt", small=True, parent=self)
        send.clicked.connect(self._session.echo)
        self._send = send
        quiet = Card(pad=0, parent=self)
        quiet.column.addWidget(
            EmptyState(
                "activity",
                tr("No requests yet"),
                tr("They appear here as they happen, with the model, the cost and the route."),
                (send,),
                quiet,
            )
        )
        left = Card(pad=0, parent=self)
        self._left = EmptyState("globe", tr("0 connections today"), "", (), left)
        left.column.addWidget(self._left)
        for card in (quiet, left):
            card.setMinimumHeight(212)
        row = row_of(quiet, left, spacing=16)
        row.setStretch(0, 1)
        row.setStretch(1, 1)
        column.addLayout(row)

    def show_view(self, view: View) -> None:
        todo = sum(not step.done for step in view.steps if step.number)
        titles = {0: tr("Ready for the first request"), 1: tr("One step to your first request")}
        self._title.setText(titles.get(todo, tr("Two steps to your first request")))
        first = next((step.number for step in view.steps if step.number and not step.done), 0)
        for row, step in zip(self._steps, view.steps, strict=True):
            row.show_step(step, primary=step.number == first)
        self._code.set_runs((Run(view.snippet, mono=True),))
        self._snippet = view.snippet
        self._send.setEnabled(view.can_send and not view.sending)
        if view.hosts:
            hosts = ", ".join(line.host for line in view.hosts[:3])
            self._left.set_words(view.hosts_verdict.word, tr("Contacted today: {hosts}.", hosts=hosts))
        else:
            self._left.set_words(view.hosts_verdict.word, view.hosts_none)

    @Slot()
    def _copy_snippet(self) -> None:
        self.wanted.emit("copy:" + self._snippet)


class StepRow(QWidget):
    wanted = Signal(str)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._step: Step | None = None
        self._primary = False
        self._intent = ""
        row = QHBoxLayout(self)
        row.setContentsMargins(20, 12, 20, 12)
        row.setSpacing(12)
        self._done = Glyph("check-circle-fill", 20, "oki", self)
        self._number = Tile("", edge=20, round_=True, parent=self)
        row.addWidget(self._done)
        row.addWidget(self._number)
        text = QVBoxLayout()
        text.setSpacing(0)
        self._fact = Label("", "strong", "tx", self)
        self._detail = Label("", "small", "tx3", self).wrapped()
        text.addWidget(self._fact)
        text.addWidget(self._detail)
        row.addLayout(text, 1)
        self._row = row
        self._button: Button | None = None
        self.setMinimumHeight(64)

    def show_step(self, step: Step, *, primary: bool) -> None:
        if step == self._step and primary == self._primary:
            return
        self._step, self._primary = step, primary
        self._done.setVisible(step.done)
        self._number.setVisible(not step.done)
        self._number.show_mark(str(step.number) if step.number else "", "" if step.number else "hourglass")
        self._fact.setText(step.fact)
        self._fact.set_ink("tx2" if step.done else "tx")
        self._detail.setText(step.detail)
        if self._button is not None:
            self._row.removeWidget(self._button)
            self._button.deleteLater()
            self._button = None
        if step.button is not None:
            self._intent, words = step.button
            self._button = Button(words, "primary" if primary else "default", small=True, parent=self)
            self._button.clicked.connect(self._on_button)
            self._row.addWidget(self._button)

    @Slot()
    def _on_button(self) -> None:
        self.wanted.emit(self._intent)
