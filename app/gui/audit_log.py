"""The timeline of the audit log with its filters, and one entry in full beside it."""

from __future__ import annotations

from functools import partial
from typing import Final

from PySide6.QtCore import QTimer, Signal, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QStackedWidget, QVBoxLayout, QWidget

from app.control.contract import AuditDetail, AuditEntry, AuditVerdict, VaultMode
from app.control.contract import AuditPage as Answer
from app.core.errors import AppError
from app.core.events import GROUPS
from app.gui import entries, theme
from app.gui.cells import Column
from app.gui.choices import ChoiceButton, Entry
from app.gui.entry_detail import EntryDetail, Sound
from app.gui.fields import SearchField, Segmented
from app.gui.labels import set_look
from app.gui.session import Session
from app.gui.state import Closed
from app.gui.tables import SortedRows, Table
from app.gui.widgets import EmptyState, row_of
from app.gui.words import tr

ROWS: Final = 100
TYPING_MS: Final = 250
TIGHT: Final = 860  # below it the kinds of entries are a menu


def columns(now_us: list[int]) -> tuple[Column[AuditEntry], ...]:
    return (
        Column(tr("Entry"), entries.number_cell, sample="1,234,567", least=62),
        Column(tr("Time"), lambda entry: entries.time_cell(entry, now_us[0]), sample="18 Nov 14:32", least=90),
        Column(tr("Who"), entries.who_cell, sample="Gatehouse, keeper", least=100, low=1),
        Column(tr("What"), entries.what_cell, sample="Went on after a finding", least=120),
        Column(tr("Before → after"), entries.change_cell, least=160),
    )


class AuditLog(QWidget):
    """`copied` carries text for the clipboard, `followed` a page's name. `changed`: other rows are shown. `opened`: `detail`, which the
    page places, is to be seen."""

    copied = Signal(str)
    followed = Signal(str)
    changed = Signal()
    opened = Signal()

    def __init__(self, session: Session, detail: EntryDetail, now_us: list[int], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session: Final = session
        self._detail: Final = detail
        self._now: Final = now_us
        self._verdict: AuditVerdict | None = None
        self._open: tuple[AuditEntry, AuditDetail | None] | None = None
        self._mode: VaultMode = "keyring"
        self._next: int | None = None
        self._reading = False
        self._asked = 0
        detail.closed.connect(self.close_detail)
        detail.moved.connect(self._move)
        detail.copied.connect(self.copied)
        detail.followed.connect(self.followed)
        self._build()
        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(TYPING_MS)
        self._typing.timeout.connect(self._read_anew)

    def _build(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self.filter = SearchField(tr("who, what, host, key, entry number"), self)
        set_look(self.filter.line, "small", "false")  # as high as the menus beside it
        self.filter.changed.connect(self._on_typed)
        groups = (tr("Changes"), tr("Access"), tr("Network"), tr("Gateway"), tr("Audit"), tr("Ledger"))
        self.group = Segmented((tr("All"), *groups), tr("What kind of entry"), self)
        self.group.chosen.connect(self._on_group)
        self._kinds: dict[str, str] = {"": tr("all"), **dict(zip(GROUPS, groups, strict=True))}
        self._tight_group = ChoiceButton(tr("Kind"), self._kind_entries, tr("What kind of entry"), self)
        self._tight_group.chosen.connect(self._on_kind)
        self._people: dict[str, str] = {
            "": tr("anyone"), "person": tr("You"), "gateway": tr("Gatehouse"), "keeper": tr("Gatehouse, keeper"),
        }  # fmt: skip
        self._actor = ""
        self._who = ChoiceButton(tr("Who"), self._people_entries, parent=self)
        self._who.chosen.connect(self._on_who)
        self._show_choices()
        self._bar = row_of(self.filter, self.group, self._tight_group, self._who)
        self._bar.setContentsMargins(24, 0, 24, 12)
        column.addLayout(self._bar)
        self.rows: SortedRows[AuditEntry] = SortedRows(columns(self._now), entries.key, self)
        self._table = Table(self.rows, edge=24, parent=self)
        self._table.setAccessibleName(tr("Audit entries"))
        self._table.chosen.connect(self._on_chosen)
        self._table.opened.connect(self.open_entry)
        self._table.clicked.connect(self._on_clicked)
        self._table.verticalScrollBar().valueChanged.connect(self._on_scrolled)
        self._stack = QStackedWidget(self)
        surface = QFrame(self._stack)
        surface.setProperty("role", "surface")
        inside = QVBoxLayout(surface)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(self._table)
        self._none = EmptyState("file-text", tr("No entry"), "", (), self)
        self._stack.addWidget(surface)
        self._stack.addWidget(self._none)
        column.addWidget(self._stack, 1)

    def draw(self, shut: Closed | None, verdict: AuditVerdict | None, mode: VaultMode) -> None:
        """shut: why nothing can be read now. verdict: of the last verification. mode: of the vault."""
        newer, self._verdict, self._mode = verdict != self._verdict, verdict, mode
        if newer and self._open is not None and self._detail.isVisible():
            self._show(*self._open)
        if self.rows.rowCount():
            self._stack.setCurrentIndex(0)
            return
        words = (shut.fact, shut.sentence) if shut is not None else (tr("No entry"), tr("Nothing fits what is asked for."))
        self._none.set_words(*words)
        self._stack.setCurrentIndex(1)

    def set_narrow(self, narrow: bool) -> None:
        edge = 16 if narrow else 24
        self._bar.setContentsMargins(edge, 0, edge, 12)
        self._table.edge = edge

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        tight = self.width() < theme.current().px(TIGHT)
        self.group.setVisible(not tight)
        self._tight_group.setVisible(tight)

    # -- reading

    def read_newest(self) -> None:
        self._read(None)

    @Slot(str)
    def _on_typed(self, _text: str) -> None:
        self._typing.start()

    @Slot(int)
    def _on_group(self, index: int) -> None:
        """Both ways to choose say the same, whichever is seen."""
        self.group.choose(index)
        self._show_choices()
        self._read_anew()

    @Slot(str)
    def _on_kind(self, kind: str) -> None:
        self._on_group(list(self._kinds).index(kind))

    @Slot(str)
    def _on_who(self, actor: str) -> None:
        self._actor = actor
        self._show_choices()
        self._read_anew()

    def _kind_entries(self) -> list[Entry | None]:
        return list(self._kinds.items())

    def _people_entries(self) -> list[Entry | None]:
        return list(self._people.items())

    def _show_choices(self) -> None:
        kind, words = list(self._kinds.items())[self.group.index()]
        self._tight_group.show_choice(kind, words, marked=bool(kind))
        self._who.show_choice(self._actor, self._people[self._actor], marked=bool(self._actor))

    @Slot()
    def _read_anew(self) -> None:
        self.rows.clear()
        self._next = None
        self.read_newest()

    def _read(self, before: int | None) -> None:
        self._asked += 1
        self._reading = True
        group = ("", *GROUPS)[self.group.index()]
        actor = self._actor
        text = self.filter.text().strip()
        self.session.look(
            "audit",
            lambda client: client.audit(limit=ROWS, before=before, group=group, actor=actor, text=text),
            partial(self._on_entries, self._asked, before is None),
            self.on_read_failed,
        )

    def _on_entries(self, asked: int, newest: bool, answer: Answer) -> None:
        if asked != self._asked:
            return  # another question was asked meanwhile
        self._reading = False
        if newest and self.rows.rowCount() and answer.entries and answer.entries[-1].seq > self.rows.row(0).seq + 1:
            self.rows.clear()  # so much came that there would be a hole
        first = not self.rows.rowCount()
        self.rows.merge(answer.entries)
        if first or not newest:
            self._next = answer.next
        self.changed.emit()
        # A rare word: the engine looks through a stretch at a time.
        if self._next is not None and not answer.entries and self.rows.rowCount() < ROWS:
            self._read(self._next)

    def on_read_failed(self, error: AppError) -> None:
        self._reading = False
        if error.code not in ("engine_absent", "vault_locked"):
            self.session.complain(error)

    @Slot(int)
    def _on_scrolled(self, value: int) -> None:
        if self._next is not None and not self._reading and value >= self._table.verticalScrollBar().maximum() - 40 * 32:
            self._read(self._next)

    # -- one entry

    def open_at(self, seq: int) -> None:
        """Shows the entry with that number, however far down it lies."""
        self.session.look("entry", lambda client: client.audit_entry(seq), self._on_asked_for, self.on_read_failed)

    def _on_asked_for(self, detail: AuditDetail) -> None:
        number = self.rows.number(entries.key(detail.entry))
        if number >= 0:
            self._table.selectRow(number)
            self._table.scrollTo(self.rows.index(number, 0))
        else:
            self.filter.line.setText(str(detail.entry.seq))
        self._show(detail.entry, detail)
        self._detail.show()
        self.opened.emit()

    @Slot(str)
    def _on_chosen(self, key: str) -> None:
        if self._detail.isVisible():
            self.open_entry(key)

    def _on_clicked(self, *_index: object) -> None:
        self.open_entry(self._table.current_key())

    @Slot(str)
    def open_entry(self, key: str) -> None:
        number = self.rows.number(key)
        if number < 0:
            return
        entry = self.rows.row(number)
        self._show(entry, None)
        self._detail.show()
        self.opened.emit()
        self.session.look("entry", lambda client: client.audit_entry(entry.seq), self._on_detail, self.on_read_failed)

    def _on_detail(self, detail: AuditDetail) -> None:
        shown = self._detail.entry()
        if shown is not None and shown.seq == detail.entry.seq:
            self._show(detail.entry, detail)

    def _show(self, entry: AuditEntry, detail: AuditDetail | None) -> None:
        self._open = entry, detail
        verdict = self._verdict
        sound: Sound = "unread"
        if verdict is not None and verdict.state != "tampered" and entry.seq <= verdict.since:
            sound = "earlier"
        elif verdict is not None and (entry.seq <= verdict.seq or verdict.findings):
            sound = "matches" if verdict.state != "tampered" or entry.seq < verdict.findings[0].seq else "differs"
        self._detail.show_entry(entry, detail, self._mode, sound, self._now[0])

    @Slot()
    def close_detail(self) -> None:
        self._detail.hide()
        self._table.setFocus()

    @Slot(int)
    def _move(self, step: int) -> None:
        shown = self._detail.entry()
        number = self.rows.number(entries.key(shown)) + step if shown is not None else -1
        if 0 <= number < self.rows.rowCount():
            self._table.selectRow(number)
            self.open_entry(self.rows.key(number))
