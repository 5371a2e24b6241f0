"""Try to leak: every process really tries, and each result appears as it happens."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QApplication, QWidget

from app.control.client import ControlClient
from app.control.contract import LeakAttempt
from app.core.errors import AppError
from app.gui import leaving
from app.gui.cells import Cell, Column
from app.gui.labels import Label
from app.gui.session import Session
from app.gui.sheet import Sheet
from app.gui.tables import Rows, Table
from app.gui.tasks import Post
from app.gui.widgets import Status
from app.gui.words import tr


def columns() -> tuple[Column[LeakAttempt], ...]:
    return (
        Column(tr("Attempt"), lambda row: Cell(row.name), least=190),
        Column(tr("From"), lambda row: Cell(row.process, "tx2"), sample="window mm"),
        Column(tr("To"), lambda row: Cell(row.to, mono=True), sample="[2001:db8::1]:443 mmm"),
        Column(tr("Result"), _result, least=210),
        Column(
            tr("After"),
            lambda row: Cell(f"{row.after_us / 1000:.1f} ms" if row.after_us >= 50 else tr("< 0.1 ms"), "tx2"),
            sample="1,000.0 ms",
            number=True,
        ),
    )


def _result(row: LeakAttempt) -> Cell:
    glyph, words, tone = leaving.leak(row)
    return Cell(words, tone, glyph=glyph, tone=tone, tip=row.detail)


class LeakSheet(Sheet):
    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(
            tr("Try to leak"),
            tr(
                "Every process really tries to reach addresses it must not. "
                "The last row must succeed, otherwise “all stopped” would prove nothing."
            ),
            width=840,
            height=640,
            parent=parent,
        )
        self.found: list[LeakAttempt] = []
        self._rows: Rows[LeakAttempt] = Rows(columns(), lambda row: f"{row.process} {row.name}", self)
        self._table = Table(self._rows, row_height=28, edge=24, parent=self.frame)
        self._table.setAccessibleName(tr("Attempts"))
        body = self.fill()
        body.addWidget(self._table, 1)
        note = Label(
            tr(
                "192.0.2.1, 2001:db8:: and .invalid are reserved and belong to nobody. If a layer were missing, a packet to such an "
                "address would leave. The result is written to the audit log."
            ),
            "small", "tx3", self.frame,
        ).wrapped()  # fmt: skip
        note.setContentsMargins(24, 10, 24, 12)
        body.addWidget(note)
        self._state = Status("smallstrong", self.frame)
        self.foot.insertWidget(0, self._state, 1)
        self.consequence.hide()
        self._copy = self.add_button(tr("Copy result"))
        self._copy.setEnabled(False)
        self._copy.clicked.connect(self._on_copy)
        self.add_cancel(tr("Close"))
        self._show()
        session.look("leaks", partial(self._ask, Post.office()), self._on_done, self._on_failed)

    def _ask(self, post: Post, client: ControlClient) -> int:
        """In a worker thread; each line goes to the window's thread."""
        count = 0
        for attempt in client.try_to_leak():
            count += 1
            post.send(self._take, attempt)
        return count

    def _take(self, attempt: LeakAttempt) -> None:
        self.found.append(attempt)
        self._rows.show(tuple(self.found))
        self._table.scrollToBottom()
        self._show()

    def _show(self, *, done: bool = False) -> None:
        stopped = sum(1 for each in self.found if each.good and not each.must_pass)
        out = sum(1 for each in self.found if not each.good)
        words = tr("{stopped} stopped, {out} got out", stopped=stopped, out=out)
        if not done:
            self._state.show_state("hourglass", tr("{words} so far", words=words), "tx2")
            return
        proved = not out and any(each.must_pass and each.good for each in self.found)
        self._state.show_state("check-circle-fill" if proved else "x-circle-fill", words, "ok" if proved else "er")

    def _on_done(self, _number: int) -> None:
        self._copy.setEnabled(True)
        self._show(done=True)

    def _on_failed(self, error: AppError) -> None:
        self._state.show_state("x-circle-fill", error.sentence(), "er")

    @Slot()
    def _on_copy(self) -> None:
        lines = [f"{each.name}\t{each.process}\t{each.to}\t{leaving.leak(each)[1]}\t{each.after_us / 1000:.1f} ms" for each in self.found]
        QApplication.clipboard().setText("\n".join(lines))
