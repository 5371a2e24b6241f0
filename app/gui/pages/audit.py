"""Audit: is the log whole, what happened, one entry in full, how it is exported and kept, and the promises about privacy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

from PySide6.QtCore import QTimer, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFileDialog, QFrame, QHBoxLayout, QScrollArea, QStackedWidget, QVBoxLayout, QWidget

from app.control.contract import (
    AuditDetail,
    AuditEntry,
    AuditExport,
    AuditStatus,
    AuditVerdict,
    Done,
    Promise,
)
from app.control.contract import AuditPage as Answer
from app.core.errors import AppError
from app.core.events import GROUPS
from app.gui import entries
from app.gui import format as fmt
from app.gui.cells import Column
from app.gui.entry_detail import EntryDetail
from app.gui.fields import SearchField, Segmented
from app.gui.labels import Label
from app.gui.page import Page
from app.gui.session import Session
from app.gui.sheet import Sheet
from app.gui.sheets.confirm import ConfirmSheet
from app.gui.sheets.retention import RetentionSheet
from app.gui.state import Notice, State, closed
from app.gui.tables import SortedRows, Table
from app.gui.widgets import Button, Card, EmptyState, Glyph, clear_layout, row_of
from app.gui.words import tr

ROWS: Final = 100
TYPING_MS: Final = 250
STATUS_MS: Final = 5_000
WATCH_MS: Final = 300


@dataclass(frozen=True, slots=True)
class Strip:
    """The line that says whether the log is whole. below: what it rests on. held: there is a finding a person may go on from."""

    glyph: str
    ink: str
    fact: str
    below: str
    held: bool = False
    busy: bool = False


def strip(status: AuditStatus | None, now_us: int) -> Strip:
    """From what is known now; never green without a verification since the start."""
    if status is None:
        return Strip("minus-circle", "tx3", tr("Not read yet"), "")
    if status.verifying is not None:
        done, total = status.verifying
        share = 100 * done // total if total else 0
        fact = tr("Verifying, {share} %", share=share)
        return Strip("hourglass", "acctx", fact, tr("{done} of {total} entries", done=f"{done:,}", total=f"{total:,}"), busy=True)
    verdict = status.verdict
    finding = status.held or (verdict.findings[0] if verdict is not None and verdict.findings else None)
    if finding is not None and (status.held is not None or (verdict is not None and verdict.state == "tampered")):
        names = {
            "edited": tr("Edited at {n}"),
            "gap": tr("Gap before {n}"),
            "rewritten": tr("Rewritten up to {n}"),
            "cut": tr("Cut after {n}"),
            "rolled back": tr("Rolled back to {n}"),
            "unsigned prune": tr("Removed before {n} without a signature"),
            "forged": tr("Checkpoint at {n} forged"),
            "replaced": tr("Another log than before"),
            "ledger": tr("The ledger was changed"),
            "evidence": tr("Evidence up to {n} was changed"),
            "no key": tr("Signed with another key"),
        }
        fact = names.get(finding.kind, finding.kind[:1].upper() + finding.kind[1:]).format(n=f"{finding.seq:,}")
        return Strip("x-circle-fill", "eri", fact, f"{finding.sentence} {finding.advice}", held=status.held is not None)
    if status.trouble:
        return Strip("warning-fill", "wai", tr("Not signed"), status.trouble)
    if verdict is None:
        return Strip("minus-circle", "tx3", tr("Not verified since the start"), _rests_on(status, now_us))
    if finding is not None:
        return Strip("warning-fill", "wai", tr("Incomplete: {kind}", kind=finding.kind), f"{finding.sentence} {finding.advice}")
    fact = tr("Verified to entry {n} · head {head}", n=f"{verdict.seq:,}", head=entries.short_hash(verdict.head).replace(" ", ""))
    return Strip("check-circle-fill", "oki", fact, _rests_on(status, now_us))


def _rests_on(status: AuditStatus, now_us: int) -> str:
    parts = []
    if status.verdict is not None:
        when = fmt.moment(status.verdict.at_us, now_us)
        parts.append(tr("Recomputed {when} in {time}", when=when, time=fmt.duration(status.verdict.took_ms * 1000)))
    if status.anchored_us:
        parts.append(tr("anchored {ago} in {place}", ago=fmt.ago(status.anchored_us, now_us), place=status.place))
    waiting = status.seq - status.anchored
    parts.append(tr("{n} entries not anchored yet", n=f"{waiting:,}") if waiting > 0 else tr("every entry anchored"))
    parts.append(tr("last signed checkpoint {n}", n=f"{status.sealed:,}"))
    return " · ".join(parts)


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


def columns(now_us: list[int]) -> tuple[Column[AuditEntry], ...]:
    return (
        Column(tr("Entry"), entries.number_cell, sample="1,234,567", least=62),
        Column(tr("Time"), lambda entry: entries.time_cell(entry, now_us[0]), sample="18 Nov 14:32", least=90),
        Column(tr("Who"), entries.who_cell, sample="Gatehouse, keeper", least=100, low=1),
        Column(tr("What"), entries.what_cell, sample="Went on after a finding", least=120),
        Column(tr("Before → after"), entries.change_cell, least=160),
    )


class AuditPage(Page):
    NAME: ClassVar[str] = "audit"
    SCROLLS: ClassVar[bool] = False

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(tr("Audit"), session, parent)
        self._state: State = session.state
        self._now: list[int] = [0]
        self._status: AuditStatus | None = None
        self._strip: Strip | None = None
        self._next: int | None = None
        self._reading = False
        self._asking = False
        self._asked = 0
        self._read_seq = -1
        self._sheet: Sheet | None = None
        halves = QHBoxLayout()
        halves.setContentsMargins(0, 0, 0, 0)
        halves.setSpacing(0)
        self._main = QWidget(self)
        halves.addWidget(self._main, 1)
        self._detail = EntryDetail(self)
        self._detail.hide()
        self._detail.closed.connect(self._close_detail)
        self._detail.moved.connect(self._move)
        self._detail.copied.connect(self._on_copied)
        self._detail.followed.connect(self.wanted)
        halves.addWidget(self._detail)
        self._halves = halves
        self.column.addLayout(halves)
        self._build()
        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(TYPING_MS)
        self._typing.timeout.connect(self._read_anew)
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
        self._export = Button(tr("Export and verify"), glyph="file-text", parent=self._main)
        self._export.clicked.connect(self._choose_folder)
        self.title_row.addWidget(self._part)
        self.title_row.addWidget(self._export)
        head.addLayout(self.title_row)
        head.addWidget(self.banner)
        head.addWidget(self._build_strip())
        column.addLayout(head)
        self._parts = QStackedWidget(self._main)
        self._parts.addWidget(self._build_log())
        self._parts.addWidget(self._build_privacy())
        column.addWidget(self._parts, 1)
        self._foot = QFrame(self._main)
        self._foot.setProperty("role", "strip")
        low = QHBoxLayout(self._foot)
        low.setContentsMargins(24, 7, 24, 7)
        self._kept = Label("", "small", "tx2", self._foot)
        self._retention = Button(tr("Change retention"), "ghost", small=True, parent=self._foot)
        self._retention.clicked.connect(self._change_retention)
        low.addWidget(self._kept)
        low.addStretch(1)
        low.addWidget(self._retention)
        column.addWidget(self._foot)

    def _build_strip(self) -> QWidget:
        card = Card(pad=14, parent=self._main)
        self._mark = Glyph("minus-circle", 18, "tx3", card)
        self._fact = Label("", "heading", "tx", card).wrapped()
        self._below = Label("", "small", "tx2", card).wrapped()
        texts = QVBoxLayout()
        texts.setSpacing(2)
        texts.addWidget(self._fact)
        texts.addWidget(self._below)
        self._accept = Button(tr("Go on from here"), "dangerous", small=True, parent=card)
        self._accept.clicked.connect(self._ask_accept)
        self._copy = Button(tr("Copy head"), "ghost", glyph="copy", small=True, parent=card)
        self._copy.clicked.connect(self._copy_head)
        self._verify = Button(tr("Verify now"), small=True, parent=card)
        self._verify.clicked.connect(self.test)
        row = QHBoxLayout()
        row.setSpacing(12)
        row.addWidget(self._mark)
        row.addLayout(texts, 1)
        for button in (self._accept, self._copy, self._verify):
            row.addWidget(button)
        card.column.addLayout(row)
        self._strip_card = card
        return card

    def _build_log(self) -> QWidget:
        log = QWidget(self._parts)
        column = QVBoxLayout(log)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self._filter = SearchField(tr("who, what, host, key, entry number"), log)
        self._filter.changed.connect(self._on_typed)
        words = (tr("All"), tr("Changes"), tr("Access"), tr("Network"), tr("Gateway"), tr("Audit"), tr("Ledger"))
        self._group = Segmented(words, tr("What kind of entry"), log)
        self._group.chosen.connect(self._on_filter)
        self._who = Segmented((tr("Anyone"), tr("You"), tr("Gatehouse")), tr("Who"), log)
        self._who.chosen.connect(self._on_filter)
        self._bar = row_of(self._filter, self._group, self._who)
        self._bar.setContentsMargins(24, 0, 24, 12)
        column.addLayout(self._bar)
        self._rows: SortedRows[AuditEntry] = SortedRows(columns(self._now), entries.key, self)
        self._table = Table(self._rows, edge=24, parent=log)
        self._table.setAccessibleName(tr("Audit entries"))
        self._table.chosen.connect(self._on_chosen)
        self._table.opened.connect(self._on_opened)
        self._table.clicked.connect(self._on_clicked)
        self._table.verticalScrollBar().valueChanged.connect(self._on_scrolled)
        self._stack = QStackedWidget(log)
        surface = QFrame(self._stack)
        surface.setProperty("role", "surface")
        inside = QVBoxLayout(surface)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(self._table)
        self._none = EmptyState("file-text", tr("No entry"), "", (), log)
        self._stack.addWidget(surface)
        self._stack.addWidget(self._none)
        column.addWidget(self._stack, 1)
        return log

    def _build_privacy(self) -> QWidget:
        area = QScrollArea(self._parts)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        inner = QWidget(area)
        inner.setProperty("role", "scrolled")
        self._promises = QVBoxLayout(inner)
        self._promises.setContentsMargins(24, 4, 24, 20)
        self._promises.setSpacing(12)
        area.setWidget(inner)
        return area

    # -- drawing

    def refresh(self, state: State, now_us: int) -> None:
        came_back = state.streams != self._state.streams
        self._state = state
        self._now[0] = now_us
        snapshot = state.snapshot
        running = state.live and snapshot is not None and snapshot.state in ("running", "failing")
        if running and snapshot is not None and (came_back or snapshot.audit_seq != self._read_seq):
            self._read_seq = snapshot.audit_seq
            self._read_newest()
            self._ask_status()
        self._draw()

    def _draw(self) -> None:
        status = self._status
        view = strip(status, self._now[0])
        self.remark.setText(remark(status))
        self._kept.setText(kept(status))
        shut = closed(self._state)
        able = status is not None and shut is None
        for button in (self._export, self._retention, self._copy):
            button.setEnabled(able)
        self._verify.setEnabled(able and not view.busy and not self._state.is_busy("verify"))
        if view != self._strip:
            self._strip = view
            self._mark.set_glyph(view.glyph, view.ink)
            self._fact.setText(view.fact)
            self._below.setText(view.below)
            self._accept.setVisible(view.held)
            self._strip_card.setAccessibleName(f"{view.fact}. {view.below}")
        if self._rows.rowCount():
            self._stack.setCurrentIndex(0)
        else:
            words = (shut.fact, shut.sentence) if shut is not None else (tr("No entry"), tr("Nothing fits what is asked for."))
            self._none.set_words(*words)
            self._stack.setCurrentIndex(1)

    def set_narrow(self, narrow: bool) -> None:
        super().set_narrow(narrow)
        edge = 16 if narrow else 24
        self._head.setContentsMargins(edge, 16 if narrow else 20, edge, 12)
        self._bar.setContentsMargins(edge, 0, edge, 12)
        self._table.edge = edge
        self._place_detail()

    def _place_detail(self) -> None:
        """Beside the table, or over it where the window is narrow. What there is no room for above goes."""
        self._who.setVisible(not self.narrow and self._detail.isHidden())
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
            self._choose_folder()

    @Slot()
    def _choose_folder(self) -> None:
        self.export_into(QFileDialog.getExistingDirectory(self, tr("Where the export goes"), str(Path.home())))

    def export_into(self, folder: str) -> None:
        """A new folder in `folder`, named by the newest entry; "" when the person changed their mind."""
        if folder and self._status is not None:
            target = Path(folder) / f"gatehouse-audit-{self._status.seq}"
            self.session.order("export", lambda client: client.export_audit(target), self._on_exported)

    def _on_exported(self, made: AuditExport) -> None:
        fact = tr("{n} entries exported to {folder}.", n=f"{made.entries:,}", folder=Path(made.folder).name)
        check = tr("Check it anywhere: python verify.py") if made.signed else tr("It is not signed: see above.")
        self.session.notify(Notice(tone="ok" if made.signed else "wa", fact=fact, consequence=check))

    @Slot()
    def _change_retention(self) -> None:
        if self._status is not None:
            self._sheet = RetentionSheet(self.session, self._status, self._now[0], self._on_status, self.window())
            self._sheet.open()

    # -- entries

    @Slot(str)
    def _on_typed(self, _text: str) -> None:
        self._typing.start()

    @Slot(int)
    def _on_filter(self, _index: int) -> None:
        self._read_anew()

    @Slot()
    def _read_anew(self) -> None:
        self._rows.clear()
        self._next = None
        self._read_newest()

    def _read(self, before: int | None) -> None:
        self._asked += 1
        self._reading = True
        group = ("", *GROUPS)[self._group.index()]
        actor = ("", "person", "gateway")[self._who.index()]
        text = self._filter.text().strip()
        self.session.look(
            "audit",
            lambda client: client.audit(limit=ROWS, before=before, group=group, actor=actor, text=text),
            partial(self._on_entries, self._asked, before is None),
            self._on_read_failed,
        )

    def _read_newest(self) -> None:
        self._read(None)

    def _on_entries(self, asked: int, newest: bool, answer: Answer) -> None:
        if asked != self._asked:
            return  # another question was asked meanwhile
        self._reading = False
        if newest and self._rows.rowCount() and answer.entries and answer.entries[-1].seq > self._rows.row(0).seq + 1:
            self._rows.clear()  # so much came that there would be a hole
        first = not self._rows.rowCount()
        self._rows.merge(answer.entries)
        if first or not newest:
            self._next = answer.next
        self._draw()
        # A rare word: the engine looks through a stretch at a time.
        if self._next is not None and not answer.entries and self._rows.rowCount() < ROWS:
            self._read(self._next)

    def _on_read_failed(self, error: AppError) -> None:
        self._reading = False
        if error.code not in ("engine_absent", "vault_locked"):
            self.session.complain(error)

    @Slot(int)
    def _on_scrolled(self, value: int) -> None:
        if self._next is not None and not self._reading and value >= self._table.verticalScrollBar().maximum() - 40 * 32:
            self._read(self._next)

    # -- one entry

    def open_at(self, about: str) -> None:
        """Shows the entry with that number, however far down it lies."""
        self._part.choose(0)
        self._on_part(0)
        self.session.look("entry", lambda client: client.audit_entry(int(about)), self._on_asked_for, self._on_read_failed)

    def _on_asked_for(self, detail: AuditDetail) -> None:
        number = self._rows.number(entries.key(detail.entry))
        if number >= 0:
            self._table.selectRow(number)
            self._table.scrollTo(self._rows.index(number, 0))
        else:
            self._filter.line.setText(str(detail.entry.seq))
        self._show(detail.entry, detail)
        self._detail.show()
        self._place_detail()

    @Slot(str)
    def _on_chosen(self, key: str) -> None:
        if self._detail.isVisible():
            self._open(key)

    @Slot(str)
    def _on_opened(self, key: str) -> None:
        self._open(key)

    def _on_clicked(self, *_index: object) -> None:
        self._open(self._table.current_key())

    def _open(self, key: str) -> None:
        number = self._rows.number(key)
        if number < 0:
            return
        entry = self._rows.row(number)
        self._show(entry, None)
        self._detail.show()
        self._place_detail()
        self.session.look("entry", lambda client: client.audit_entry(entry.seq), self._on_detail, self._on_read_failed)

    def _on_detail(self, detail: AuditDetail) -> None:
        shown = self._detail.entry()
        if shown is not None and shown.seq == detail.entry.seq:
            self._show(detail.entry, detail)

    def _show(self, entry: AuditEntry, detail: AuditDetail | None) -> None:
        snapshot, verdict = self._state.snapshot, self._status.verdict if self._status is not None else None
        sound: bool | None = None
        if verdict is not None and (entry.seq <= verdict.seq or verdict.findings):
            sound = not verdict.findings or entry.seq < verdict.findings[0].seq
        self._detail.show_entry(entry, detail, "keyring" if snapshot is None else snapshot.vault.mode, sound)

    @Slot()
    def _close_detail(self) -> None:
        self._detail.hide()
        self._place_detail()
        self._table.setFocus()

    @Slot(int)
    def _move(self, step: int) -> None:
        shown = self._detail.entry()
        number = self._rows.number(entries.key(shown)) + step if shown is not None else -1
        if 0 <= number < self._rows.rowCount():
            self._table.selectRow(number)
            self._open(self._rows.key(number))

    @Slot(str)
    def _on_copied(self, text: str) -> None:
        self.wanted.emit("copy:" + text)

    def begin_filter(self) -> None:
        self._part.choose(0)
        self._on_part(0)
        self._filter.line.setFocus()

    # -- privacy

    @Slot(int)
    def _on_part(self, index: int) -> None:
        self._parts.setCurrentIndex(index)
        if index:
            self._close_detail()
            self.session.look("privacy", lambda client: client.privacy(), self._on_promises, self._on_read_failed)

    def _on_promises(self, promises: list[Promise]) -> None:
        clear_layout(self._promises)
        for promise in promises:
            self._promises.addWidget(_PromiseCard(promise, self._copy_check))
        if self._status is not None and self._status.worth:
            worth = tr("What the vault remembers of the log: {worth}", worth=self._status.worth)
            self._promises.addWidget(Label(worth, "small", "tx2").wrapped())
        self._promises.addStretch(1)

    def _copy_check(self, command: str) -> None:
        self.wanted.emit("copy:" + command)


class _PromiseCard(Card):
    """One promise, how it is kept just now, and the command that checks it."""

    def __init__(self, promise: Promise, copy: Callable[[str], None], parent: QWidget | None = None) -> None:
        super().__init__(pad=14, parent=parent)
        glyph, ink = ("check-circle-fill", "oki") if promise.kept else ("x-circle-fill", "eri")
        self.column.addLayout(row_of(Glyph(glyph, 16, ink, self), Label(tr(promise.title), "heading", "tx", self), None))
        self.column.addWidget(Label(promise.state, "body", "tx2", self).wrapped())
        command = Label(promise.check, "monosmall", "tx2", self).wrapped().selectable()
        button = Button(tr("Copy"), "ghost", glyph="copy", small=True, name=tr("Copy the command that checks it"), parent=self)
        button.clicked.connect(partial(copy, promise.check))
        line = QHBoxLayout()
        line.addWidget(command, 1)
        line.addWidget(button)
        self.column.addLayout(line)
        self.setAccessibleName(f"{promise.title}. {promise.state}")
