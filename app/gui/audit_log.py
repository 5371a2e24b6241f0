"""The timeline of the audit log with its filters, and one entry in full beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from PySide6.QtCore import QTimer, Signal, Slot
from PySide6.QtWidgets import QAbstractItemView, QFrame, QStackedWidget, QVBoxLayout, QWidget

from app.control.client import ControlClient
from app.control.contract import AuditDetail, AuditEntry, AuditRun, AuditStatus, VaultMode
from app.control.contract import AuditPage as Answer
from app.core.errors import AppError
from app.core.events import LedgerBatch
from app.gui import audit_rows, entries
from app.gui.audit_bar import AuditBar
from app.gui.audit_rows import FOLDED, Item, high, low
from app.gui.entry_detail import EntryDetail, Sound
from app.gui.labels import Elided
from app.gui.session import Session
from app.gui.state import Closed
from app.gui.tables import SortedRows, Table
from app.gui.widgets import Button, EmptyState, row_of
from app.gui.words import tr

# anew: another question; newest: what came on top; older, newer: further down, and further up from a number
Why = Literal["anew", "newest", "older", "newer"]

BATCH: Final = LedgerBatch.KIND
ROWS: Final = 100
COUNTING_MS: Final = 400
_NEAR: Final = 40 * 32


@dataclass(frozen=True, slots=True)
class _Left:
    """The list that was left to look into a run: its lines, from where older ones go on, where it was scrolled, and what was chosen."""

    rows: tuple[Item, ...]
    next: int | None
    scrolled: int
    key: str


class AuditLog(QWidget):
    """`copied` carries text for the clipboard, `followed` a page's name. `changed`: other rows are shown. `opened`: `detail`, which the
    page places, is to be seen.

    What is in the field decides: a number shows the entries around that one, words those that have them, nothing the newest. Where
    nothing is searched for, batches that follow each other are one line; it opens into its entries.
    """

    copied = Signal(str)
    followed = Signal(str)
    changed = Signal()
    opened = Signal()

    def __init__(self, session: Session, detail: EntryDetail, now_us: list[int], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session: Final = session
        self._detail: Final = detail
        self._now: Final = now_us
        self._status: AuditStatus | None = None
        self._open: tuple[AuditEntry, AuditDetail | None] | None = None
        self._mode: VaultMode = "keyring"
        self._next: int | None = None
        self._reading = False
        self._asked = self._turn = 0
        self._number: int | None = None  # of the entry that was asked for
        self._missing = False
        self._before: tuple[str, str] | None = None  # the view and the actor from which a number led away
        self._inside: AuditRun | None = None
        self._left: _Left | None = None
        self._uncounted: set[int | None] = set()  # pages with runs that are being counted
        detail.closed.connect(self.close_detail)
        detail.moved.connect(self._move)
        detail.copied.connect(self.copied)
        detail.followed.connect(self.followed)
        self._build()
        self._counting = QTimer(self)
        self._counting.setSingleShot(True)
        self._counting.setInterval(COUNTING_MS)
        self._counting.timeout.connect(self._count_on)

    def _build(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self.bar = AuditBar(self)
        self.bar.typed.connect(self._search)
        self.bar.chosen.connect(self._on_chosen_view)
        column.addWidget(self.bar)
        self._trail = QWidget(self)
        back = Button(tr("Back to the log"), small=True, parent=self._trail)
        back.clicked.connect(self.leave_run)
        self._trail_words = Elided("", "small", "tx2", self._trail)
        self._trail_row = row_of(back, self._trail_words, spacing=12)
        self._trail_row.setStretch(1, 1)
        self._trail_row.setContentsMargins(24, 0, 24, 10)
        self._trail.setLayout(self._trail_row)
        self._trail.hide()
        column.addWidget(self._trail)
        self.rows: SortedRows[Item] = SortedRows(audit_rows.columns(self._now), audit_rows.key, self)
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
        self._all = Button(tr("Show everything"), small=True, parent=self)
        self._all.clicked.connect(self.show_everything)
        self._none = EmptyState("file-text", tr("No entry"), "", (self._all,), self)
        self._stack.addWidget(surface)
        self._stack.addWidget(self._none)
        column.addWidget(self._stack, 1)

    # -- drawing

    def draw(self, shut: Closed | None, status: AuditStatus | None, mode: VaultMode) -> None:
        """shut: why nothing can be read now. mode: of the vault."""
        newer = status is not None and (self._status is None or status.verdict != self._status.verdict)
        self._status, self._mode = status, mode
        if newer and self._open is not None and self._detail.isVisible():
            self._show(*self._open)
        self.bar.show_counts(status)
        if self.rows.rowCount() or (self._reading and shut is None):  # while it is asked, nothing is said to be missing
            self._stack.setCurrentIndex(0)
            return
        self._all.setVisible(shut is None and (bool(self.bar.view()) or self.bar.is_filtered()))
        if shut is not None:
            words = shut.fact, shut.sentence
        elif self._number is not None and self._missing:
            words = audit_rows.missing(self._number, status)
        else:
            words = audit_rows.empty(self.bar.view(), filtered=self.bar.is_filtered())
        self._none.set_words(*words)
        self._stack.setCurrentIndex(1)

    def set_narrow(self, narrow: bool) -> None:
        edge = 16 if narrow else 24
        self.bar.set_edge(edge)
        self._trail_row.setContentsMargins(edge, 0, edge, 10)
        self._table.edge = edge

    # -- what is wanted

    @Slot()
    def _search(self) -> None:
        number = audit_rows.wanted_number(self.bar.text())
        if number is None:
            self._leave_number()
            self._read_anew()
        else:
            self.open_at(number)

    @Slot()
    def _on_chosen_view(self) -> None:
        """The person chose another view: a number in the field no longer counts."""
        if self._number is not None:
            self.bar.set_text("")
        self._number, self._before, self._missing = None, None, False
        self._read_anew()

    @Slot()
    def show_everything(self) -> None:
        self.bar.set_text("")
        self.bar.show_choice("", "")
        self._on_chosen_view()

    # -- reading

    def read_newest(self) -> None:
        """What came since, on top. While a number or a run is looked at, nothing comes on top of that."""
        if self._number is None and self._inside is None:
            self._read("newest", None)

    def _read_anew(self) -> None:
        self._forget_run()
        self._begin()

    def _begin(self) -> None:
        self.rows.clear()
        self._next = None
        self._turn += 1
        self._uncounted.clear()
        # Half a page of newer entries stands over the one that is asked for.
        self._read("anew", None if self._number is None else self._number + ROWS // 2)

    def _read(self, why: Why, before: int | None) -> None:
        self._asked += 1
        self._reading = True
        self.session.look("audit", self._question(before), partial(self._on_page, self._asked, why, before), self.on_read_failed)

    def _question(self, before: int | None) -> Callable[[ControlClient], Answer]:
        view, actor, text = self.bar.view(), self.bar.actor, self.bar.text()
        if self._number is not None:
            return lambda client: client.audit(limit=ROWS, before=before)
        run = self._inside
        if run is not None:
            return lambda client: client.audit(limit=ROWS, before=before or run.upto + 1, group=view, actor=actor)
        titled, fold = audit_rows.kinds_called(text), view in FOLDED and not text
        return lambda client: client.audit(limit=ROWS, before=before, group=view, actor=actor, text=text, titled=titled, fold=fold)

    def _on_page(self, asked: int, why: Why, before: int | None, answer: Answer) -> None:
        if asked != self._asked:
            return  # another question was asked meanwhile
        self._reading = False
        found, following = self._of_the_run(answer)
        if why == "newest" and self.rows.rowCount() and found and min(map(low, found)) > high(self.rows.row(0)) + 1:
            self.rows.clear()  # so much came that there would be a hole
        first = not self.rows.rowCount()
        self._put(found, above=why == "newer")
        if first or why in ("anew", "older"):
            self._next = following
        self._await_counts(before, answer.runs)
        if why == "anew":
            self._point()
        self.changed.emit()
        # A rare word: the engine looks through a stretch at a time.
        if self._next is not None and not found and self.rows.rowCount() < ROWS:
            self._read("older", self._next)

    def _of_the_run(self, answer: Answer) -> tuple[tuple[Item, ...], int | None]:
        """What is shown of an answer: where a run is looked into, nothing older than it."""
        run = self._inside
        if run is None:
            return (*answer.entries, *answer.runs), answer.next
        inside = tuple(entry for entry in answer.entries if entry.seq >= run.first)
        ends = len(inside) < len(answer.entries) or (bool(inside) and inside[-1].seq == run.first)
        return inside, None if ends else answer.next

    def _put(self, items: Sequence[Item], *, above: bool) -> None:
        """above: they come over what the person looks at, which stays where it is."""
        key = self.rows.key(0) if above and self.rows.rowCount() else ""
        self.rows.merge(items)
        if key:
            self._table.pass_over(self.rows.number(key))

    def _point(self) -> None:
        """Selects what was asked for by its number; in a run, its first line, for the arrow keys."""
        number = self.rows.number(f"{self._number:020d}") if self._number is not None else 0 if self._inside is not None else -1
        if 0 <= number < self.rows.rowCount():
            self._table.selectRow(number)
            self._table.scrollTo(self.rows.index(number, 0), QAbstractItemView.ScrollHint.PositionAtCenter)

    def on_read_failed(self, error: AppError) -> None:
        self._reading = False
        if error.code not in ("engine_absent", "vault_locked"):
            self.session.complain(error)

    @Slot(int)
    def _on_scrolled(self, value: int) -> None:
        if self._reading:
            return
        if self._next is not None and value >= self._table.verticalScrollBar().maximum() - _NEAR:
            self._read("older", self._next)
        elif self._number is not None and value < _NEAR and self.rows.rowCount() and self._status is not None:
            top = high(self.rows.row(0))
            if top < self._status.seq:
                self._read("newer", top + ROWS + 1)

    # -- counts that take a while

    def _await_counts(self, before: int | None, runs: Sequence[AuditRun]) -> None:
        if any(run.requests is None for run in runs):
            self._uncounted.add(before)
            self._counting.start()

    @Slot()
    def _count_on(self) -> None:
        if self._uncounted and self._inside is None and self._number is None:
            before = self._uncounted.pop()
            self.session.look("audit-runs", self._question(before), partial(self._on_counted, self._turn, before), self.on_read_failed)

    def _on_counted(self, turn: int, before: int | None, answer: Answer) -> None:
        if turn == self._turn:
            self.rows.merge([run for run in answer.runs if self._is_shown(run)])
            self._await_counts(before, answer.runs)
            if self._uncounted:
                self._counting.start()

    def _is_shown(self, run: AuditRun) -> bool:
        number = self.rows.number(audit_rows.key(run))
        return number >= 0 and high(self.rows.row(number)) <= run.upto

    # -- a run

    def _look_into(self, run: AuditRun) -> None:
        bar = self._table.verticalScrollBar()
        self._left = _Left(tuple(self.rows.rows()), self._next, bar.value(), audit_rows.key(run))
        self._inside = run
        self._detail.hide()
        self._trail_words.setText(f"{entries.titles()[BATCH]}: {audit_rows.run_words(run, self._now[0])}")
        self._trail.show()
        self._table.setFocus()
        self._begin()

    @Slot()
    def leave_run(self) -> None:
        """Back to the list as it was left."""
        left = self._left
        self._forget_run()
        if left is None:
            return
        self._detail.hide()
        self._turn += 1
        self.rows.clear()
        self.rows.merge(left.rows)
        self._next = left.next
        self._table.selectRow(self.rows.number(left.key))
        self._table.verticalScrollBar().setValue(left.scrolled)
        self._table.setFocus()
        self.read_newest()

    def _forget_run(self) -> None:
        self._inside = self._left = None
        self._trail.hide()

    # -- one entry

    def open_at(self, seq: int) -> None:
        """Goes to the entry with that number, however far down it lies: among all entries, as it may be of any kind."""
        if self._number is None:
            self._before = self.bar.view(), self.bar.actor
        self._number, self._missing = seq, False
        self.bar.show_choice("", "")
        if audit_rows.wanted_number(self.bar.text()) != seq:
            self.bar.set_text(f"#{seq}")
        self.session.look("entry", lambda client: client.audit_entry(seq), self._on_asked_for, partial(self._on_no_entry, seq))

    def _on_asked_for(self, detail: AuditDetail) -> None:
        if detail.entry.seq == self._number:
            self._read_anew()
            self._show(detail.entry, detail)
            self._detail.show()
            self.opened.emit()

    def _on_no_entry(self, seq: int, error: AppError) -> None:
        if error.code != "unknown_name":
            self.on_read_failed(error)
        elif seq == self._number:
            self._asked += 1  # an answer that is under way is none to this question
            self._reading = False
            self._missing = True
            self._forget_run()
            self._detail.hide()
            self.rows.clear()
            self._next = None
            self.changed.emit()

    def _leave_number(self) -> None:
        """The field has another text: back to where the number led away from."""
        if self._number is not None and self._before is not None:
            self.bar.show_choice(*self._before)
        self._number, self._before, self._missing = None, None, False

    @Slot(str)
    def _on_chosen(self, key: str) -> None:
        if self._detail.isVisible() and isinstance(self._item(key), AuditEntry):
            self.open_entry(key)

    def _on_clicked(self, *_index: object) -> None:
        self.open_entry(self._table.current_key())

    @Slot(str)
    def open_entry(self, key: str) -> None:
        """An entry in full, or a run's entries."""
        item = self._item(key)
        if isinstance(item, AuditRun):
            self._look_into(item)
        elif item is not None:
            seq = item.seq
            self._show(item, None)
            self._detail.show()
            self.opened.emit()
            self.session.look("entry", lambda client: client.audit_entry(seq), self._on_detail, self.on_read_failed)

    def _item(self, key: str) -> Item | None:
        number = self.rows.number(key)
        return self.rows.row(number) if number >= 0 else None

    def _on_detail(self, detail: AuditDetail) -> None:
        shown = self._detail.entry()
        if shown is not None and shown.seq == detail.entry.seq:
            self._show(detail.entry, detail)

    def _show(self, entry: AuditEntry, detail: AuditDetail | None) -> None:
        self._open = entry, detail
        verdict = None if self._status is None else self._status.verdict
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

    def back(self) -> bool:
        """Esc: closes the entry, then leaves the run, then empties the field. False where there was nothing to leave."""
        if self._detail.isVisible():
            self.close_detail()
        elif self._inside is not None:
            self.leave_run()
        elif self.bar.text():
            self.bar.filter.line.setText("")
        else:
            return False
        return True

    @Slot(int)
    def _move(self, step: int) -> None:
        shown = self._detail.entry()
        number = self.rows.number(entries.key(shown)) + step if shown is not None else -1
        while 0 <= number < self.rows.rowCount() and not isinstance(self.rows.row(number), AuditEntry):
            number += step  # a run is not an entry
        if 0 <= number < self.rows.rowCount():
            self._table.selectRow(number)
            self.open_entry(self.rows.key(number))
