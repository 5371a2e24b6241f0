"""Audit: whether the log is whole, what happened, how it is exported and kept, and the promises about privacy."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import ClassVar, Final

from PySide6.QtCore import Qt, QTimer, Slot
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from app.control.contract import (
    AuditExport,
    AuditStatus,
    AuditVerdict,
    Done,
    Promise,
)
from app.core.errors import AppError
from app.core.exports import KINDS
from app.gui import format as fmt
from app.gui.audit_log import AuditLog
from app.gui.entry_detail import EntryDetail
from app.gui.exporting import LogButton, give_log
from app.gui.fields import Segmented
from app.gui.integrity import IntegrityStrip, strip
from app.gui.labels import Label
from app.gui.page import Page
from app.gui.promises import Promises
from app.gui.session import Session
from app.gui.sheet import Sheet
from app.gui.sheets.confirm import ConfirmSheet
from app.gui.sheets.retention import RetentionSheet
from app.gui.state import Notice, State, closed
from app.gui.widgets import Button
from app.gui.words import tr

STATUS_MS: Final = 5_000
WATCH_MS: Final = 300


def remark(status: AuditStatus | None) -> str:
    return "" if status is None else tr("{n} entries · {size}", n=f"{status.entries:,}", size=fmt.size(status.size_bytes))


def kept(status: AuditStatus | None) -> str:
    if status is None:
        return ""
    if not status.keep_days:
        return tr("Kept for ever")
    years = {365: tr("1 year"), 1095: tr("3 years")}
    return tr(
        "Kept for {time}, then pruned in whole signed segments", time=years.get(status.keep_days) or tr("{n} days", n=status.keep_days)
    )


class AuditPage(Page):
    NAME: ClassVar[str] = "audit"
    SCROLLS: ClassVar[bool] = False
    FILTERS: ClassVar[bool] = True

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(tr("Audit"), session, parent)
        self._state: State = session.state
        self._now: list[int] = [0]
        self._status: AuditStatus | None = None
        self._asking = False
        self._read_seq = -1
        self._exporting_to = ""
        self._sheet: Sheet | None = None
        halves = QHBoxLayout()
        halves.setContentsMargins(0, 0, 0, 0)
        halves.setSpacing(0)
        self._main = QWidget(self)
        halves.addWidget(self._main, 1)
        self._detail = EntryDetail(self)
        self._detail.hide()
        halves.addWidget(self._detail)
        self._halves = halves
        self.column.addLayout(halves)
        self._build()
        self._watch = QTimer(self)
        self._watch.timeout.connect(self._ask_status)
        self._watch.start(STATUS_MS)

    # -- building

    def _build(self) -> None:
        column = QVBoxLayout(self._main)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self._head = head = QVBoxLayout()
        head.setContentsMargins(24, 20, 24, 12)
        head.setSpacing(12)
        self._part = Segmented((tr("Log"), tr("Data privacy")), tr("Part of the page"), self._main)
        self._part.chosen.connect(self._on_part)
        self._export = LogButton(self.session, self.export_into, self._main)
        self._export.said.connect(self._on_export_said)
        self._export.made.connect(self._on_exported)
        self.title_row.addWidget(self._part)
        self.title_row.addWidget(self._export)
        head.addLayout(self.title_row)
        self._strip = IntegrityStrip(self._main)
        self._strip.verify.connect(self.test)
        self._strip.accept.connect(self._ask_accept)
        self._strip.copy.connect(self._copy_head)
        head.addWidget(self._strip)
        column.addLayout(head)
        self._parts = QStackedWidget(self._main)
        self._log = AuditLog(self.session, self._detail, self._now, self._parts)
        self._log.changed.connect(self._draw)
        self._log.opened.connect(self._place_detail)
        self._log.copied.connect(self._on_copied)
        self._log.followed.connect(self.wanted)
        self._promises = Promises(self._parts)
        self._promises.copied.connect(self._on_copied)
        self._parts.addWidget(self._log)
        self._parts.addWidget(self._promises)
        column.addWidget(self._parts, 1)
        self._foot = QFrame(self._main)
        self._foot.setProperty("role", "strip")
        self._low = low = QHBoxLayout(self._foot)
        low.setContentsMargins(24, 7, 24, 7)
        self._kept = Label("", "small", "tx2", self._foot)
        self._retention = Button(tr("Change retention"), "ghost", small=True, parent=self._foot)
        self._retention.clicked.connect(self._change_retention)
        low.addWidget(self._kept)
        low.addStretch(1)
        low.addWidget(self._retention)
        column.addWidget(self._foot)

    # -- drawing

    def refresh(self, state: State, now_us: int) -> None:
        came_back = state.streams != self._state.streams
        self._state = state
        self._now[0] = now_us
        snapshot = state.snapshot
        running = state.live and snapshot is not None and snapshot.state in ("running", "failing")
        if running and snapshot is not None and (came_back or snapshot.audit_seq != self._read_seq):
            self._read_seq = snapshot.audit_seq
            self._log.read_newest()
            self._ask_status()
        self._draw()

    @Slot()
    def _draw(self) -> None:
        status, snapshot = self._status, self._state.snapshot
        if not self._export.is_writing():
            self.remark.setText(remark(status))
        self._kept.setText(kept(status))
        shut = closed(self._state)
        able = status is not None and shut is None
        self._export.setEnabled(able or self._export.is_writing())
        self._retention.setEnabled(able)
        self._strip.show_strip(strip(status, self._now[0]), able=able, busy=self._state.is_busy("verify"))
        self._log.draw(shut, status, "keyring" if snapshot is None else snapshot.vault.mode)

    def set_narrow(self, narrow: bool) -> None:
        super().set_narrow(narrow)
        edge = 16 if narrow else 24
        self._head.setContentsMargins(edge, 16 if narrow else 20, edge, 12)
        self._low.setContentsMargins(edge, 7, edge, 7)
        self._log.set_narrow(narrow)
        self._place_detail()

    @Slot()
    def _place_detail(self) -> None:
        """Beside the table, or over it where the window is narrow."""
        if self.narrow:
            self._halves.removeWidget(self._detail)
            width = self._detail.width()
            self._detail.setGeometry(self.width() - width, 0, width, self.height())
            self._detail.raise_()
        elif self._halves.indexOf(self._detail) < 0:
            self._halves.addWidget(self._detail)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self.narrow:
            self._place_detail()

    # -- how the log stands

    @Slot()
    def _ask_status(self) -> None:
        if not self._asking and self.isVisible() and self._state.live:
            self._asking = True
            self.session.look("audit-status", lambda client: client.audit_status(), self._on_status, self._on_status_failed)

    def _on_status(self, status: AuditStatus) -> None:
        self._asking = False
        self._status = status
        self._watch.setInterval(WATCH_MS if status.verifying is not None or self._state.is_busy("verify") else STATUS_MS)
        self._draw()

    def _on_status_failed(self, _error: AppError) -> None:
        self._asking = False  # the banner says what is wrong; the timer asks again

    @Slot()
    def test(self) -> None:
        """Verify now: the button, and F5."""
        self._watch.setInterval(WATCH_MS)
        self.session.order("verify", lambda client: client.verify_audit(), self._on_verified)
        self._draw()

    def _on_verified(self, verdict: AuditVerdict) -> None:
        self._ask_status()
        if verdict.state == "intact":
            fact = tr("Intact: {n} entries and {rows} requests.", n=f"{verdict.entries:,}", rows=f"{verdict.rows:,}")
            self.session.notify(Notice(tone="ok", fact=fact))

    @Slot()
    def _copy_head(self) -> None:
        if self._status is not None:
            self.wanted.emit(f"copy:{self._status.seq} {self._status.head}\n{self._status.fingerprint}")

    @Slot()
    def _ask_accept(self) -> None:
        held = self._status.held if self._status is not None else None
        if held is None:
            return
        sentences = (
            held.sentence,
            held.advice,
            tr("Export the log first. Going on opens a new beginning under a new key."),
            tr("Nothing is removed, and what was found stays written down."),
        )
        run = partial(self.session.order, "accept", lambda client: client.accept_audit(held.kind), self._on_accepted)
        sheet = ConfirmSheet(tr("Go on from the log as it is?"), sentences, tr("Go on"), run, self.window())
        sheet.open(sheet.first())

    def _on_accepted(self, done: Done) -> None:
        self.session.notify(Notice(tone="ok", fact=done.message))
        self._ask_status()

    # -- export and retention

    def export(self) -> None:
        if self._export.isEnabled():
            self._export.choose()

    def export_into(self, folder: str) -> None:
        """A new folder in `folder`, named by the newest entry; "" when the person changed their mind."""
        if folder and self._status is not None:
            self._exporting_to = f"{KINDS['audit'].prefix}{self._status.seq}"
            self._export.put("audit", Path(folder) / self._exporting_to, give_log)

    @Slot(str)
    def _on_export_said(self, words: str) -> None:
        self.remark.setText(words or remark(self._status))

    @Slot(object)
    def _on_exported(self, made: AuditExport) -> None:
        fact = tr("{n} entries exported to {folder}.", n=f"{made.entries:,}", folder=self._exporting_to)
        command = f'python -I verify.py --key "{made.fingerprint}"'
        check = tr("Check it anywhere: {command}", command=command) if made.signed else tr("It is not signed: see above.")
        self.session.notify(Notice(tone="ok" if made.signed else "wa", fact=fact, consequence=check))

    @Slot()
    def _change_retention(self) -> None:
        if self._status is not None:
            self._sheet = RetentionSheet(self.session, self._status, self._now[0], self._on_status, self.window())
            self._sheet.open()

    def open_at(self, about: str) -> None:
        """Shows the entry with that number, however far down it lies."""
        self._part.choose(0)
        self._on_part(0)
        self._log.open_at(int(about))

    def begin_filter(self) -> None:
        self._part.choose(0)
        self._on_part(0)
        self._log.bar.filter.line.setFocus()
        self._log.bar.filter.line.selectAll()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() != Qt.Key.Key_Escape or self._part.index() or not self._log.back():
            super().keyPressEvent(event)

    # -- privacy

    @Slot(int)
    def _on_part(self, index: int) -> None:
        self._parts.setCurrentIndex(index)
        if index:
            self._log.close_detail()
            self.session.look("privacy", lambda client: client.privacy(), self._on_promises, self._log.on_read_failed)

    def _on_promises(self, promises: list[Promise]) -> None:
        self._promises.show_promises(promises, "" if self._status is None else self._status.worth)

    @Slot(str)
    def _on_copied(self, text: str) -> None:
        self.wanted.emit("copy:" + text)
