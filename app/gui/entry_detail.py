"""One entry of the audit log in full: what changed, its place in the chain, and what that proves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QFrame, QGridLayout, QScrollArea, QVBoxLayout, QWidget

from app.control.contract import AuditDetail, AuditEntry, VaultMode
from app.gui import entries, theme
from app.gui import format as fmt
from app.gui.labels import Label, Line, Run
from app.gui.widgets import Button, Status, hairline, row_of
from app.gui.words import tr

WIDTH = 288  # as the inspector of a request
# Of an entry: not read yet; read before the start and not since; read since, and as it was hashed or not.
Sound = Literal["unread", "earlier", "matches", "differs"]


def _states() -> dict[Sound, tuple[str, str, str]]:
    """Glyph, word and tone of each."""
    return {
        "unread": ("minus-circle", tr("Not verified yet"), "tx3"),
        "earlier": ("check-circle-fill", tr("Verified before the start"), "tx3"),
        "matches": ("check-circle-fill", tr("Matches"), "ok"),
        "differs": ("x-circle-fill", tr("Does not match"), "er"),
    }


def seal(detail: AuditDetail) -> str:
    if not detail.sealed_by:
        return tr("no checkpoint yet; the next is at most 60 s away")
    return tr(
        "checkpoint at {n}, {time}, epoch {epoch}", n=f"{detail.sealed_by:,}", time=fmt.clock(detail.sealed_us), epoch=detail.sealed_epoch
    )


def proves(mode: VaultMode) -> str:
    """What a person may conclude from it, and what not."""
    sure = {
        "keyring": tr("When all of the log is verified, it shows if anybody changed or removed an entry before the head in your keyring."),
        "passphrase": tr(
            "When all of the log is verified, it shows if anybody changed or removed an entry, unless they put back an older copy of the "
            "whole data folder, with the sealed vault file in it."
        ),
        "session": tr("When all of the log is verified, it shows if anybody changed or removed an entry since this session began."),
    }[mode]
    return f"{sure} {tr('Whoever holds your unlocked vault could still add entries.')}"


class EntryDetail(QFrame):
    """`closed`; `moved`: the entry before (1) or after (-1) in the list is wanted; `copied` carries text; `followed` a page's name."""

    closed = Signal()
    moved = Signal(int)
    copied = Signal(str)
    followed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "inspector")
        theme.follow(self, lambda: self.setFixedWidth(theme.current().px(WIDTH)))
        self._entry: AuditEntry | None = None
        whole = QVBoxLayout(self)
        whole.setContentsMargins(1, 0, 0, 0)
        whole.setSpacing(0)
        head = QVBoxLayout()
        head.setContentsMargins(16, 12, 10, 12)
        head.setSpacing(2)
        self._number = Label("", "mono", "tx2", self)
        up = Button(kind="ghost", glyph="caret-up", small=True, name=tr("Newer entry"), parent=self)
        down = Button(kind="ghost", glyph="caret-down", small=True, name=tr("Older entry"), parent=self)
        close = Button(kind="ghost", glyph="x", small=True, name=tr("Close"), parent=self)
        up.clicked.connect(self._on_up)
        down.clicked.connect(self._on_down)
        close.clicked.connect(self.closed)
        head.addLayout(row_of(self._number, None, up, down, close, spacing=4))
        self._title = Label("", "card", "tx", self).wrapped()
        self._subtitle = Label("", "small", "tx3", self).wrapped()
        head.addWidget(self._title)
        head.addWidget(self._subtitle)
        whole.addLayout(head)
        whole.addWidget(hairline(self))
        area = QScrollArea(self)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area = area
        whole.addWidget(area, 1)
        whole.addWidget(hairline(self))
        copy = Button(tr("Copy entry"), glyph="copy", small=True, parent=self)
        copy.clicked.connect(self._on_copy)
        self._follow = Button("", small=True, parent=self)
        self._follow.clicked.connect(self._on_follow)
        foot = row_of(copy, self._follow, None)
        foot.setContentsMargins(16, 12, 16, 12)
        whole.addLayout(foot)

    def entry(self) -> AuditEntry | None:
        return self._entry

    def show_entry(self, entry: AuditEntry, detail: AuditDetail | None, mode: VaultMode, sound: Sound, now_us: int) -> None:
        """detail: once it was read. sound: what the last verification says of it."""
        self._entry = entry
        self._number.setText(tr("entry {n}", n=f"{entry.seq:,}"))
        self._title.setText(entries.title(entry))
        when = f"{fmt.day(entry.at_us, now_us)} {fmt.clock_exact(entry.at_us)}" if entry.at_us else fmt.ABSENT
        self._subtitle.setText(f"{when} · {entries.who(entry)}, {entries.origin(entry)}")
        page = entries.page_of(entry)
        names = {"clients": tr("Show in Clients"), "providers": tr("Show in Providers"), "activity": tr("Show in Activity")}
        self._follow.setVisible(bool(page))
        self._follow.setText(names.get(page, ""))
        self._area.setWidget(self._build(entry, detail, mode, sound))
        self.setAccessibleName(tr("Entry {n}: {title}", n=entry.seq, title=entries.title(entry)))

    def _build(self, entry: AuditEntry, detail: AuditDetail | None, mode: VaultMode, sound: Sound) -> QWidget:
        inner = QWidget(self._area)
        inner.setProperty("role", "scrolled")
        column = QVBoxLayout(inner)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        changed = _section(column)
        changed.addWidget(Label(tr("What changed"), "heading", parent=inner))
        changed.addWidget(_Difference(entries.difference(entry), inner))
        column.addWidget(hairline(inner))
        chain = _section(column)
        verdict = Status("small", inner)
        verdict.show_state(*_states()[sound])
        chain.addLayout(row_of(Label(tr("Chain"), "heading", parent=inner), None, verdict))
        grid = QGridLayout()
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(1, 1)
        facts = [
            (tr("Previous"), entries.short_hash(detail.previous) if detail else "…"),
            (tr("This"), entries.short_hash(entry.hash)),
            (tr("Next"), entries.short_hash(detail.following) if detail else "…"),
        ]
        for number, (name, value) in enumerate(facts):
            grid.addWidget(Label(name, "small", "tx3", inner), number, 0)
            grid.addWidget(Label(value, "mono", "tx", inner).selectable(), number, 1)
        grid.addWidget(Label(tr("Sealed by"), "small", "tx3", inner), 3, 0, Qt.AlignmentFlag.AlignTop)
        grid.addWidget(Label(seal(detail) if detail else "…", "small", "tx", inner).wrapped(), 3, 1)
        chain.addLayout(grid)
        column.addWidget(hairline(inner))
        proof = _section(column)
        proof.addWidget(Label(tr("What this proves"), "heading", parent=inner))
        proof.addWidget(Label(proves(mode), "small", "tx2", inner).wrapped())
        column.addStretch(1)
        return inner

    @Slot()
    def _on_up(self) -> None:
        self.moved.emit(-1)

    @Slot()
    def _on_down(self) -> None:
        self.moved.emit(1)

    @Slot()
    def _on_copy(self) -> None:
        if self._entry is not None:
            self.copied.emit(json.dumps({"seq": self._entry.seq, "hash": self._entry.hash, "body": self._entry.body}, indent=2))

    @Slot()
    def _on_follow(self) -> None:
        if self._entry is not None:
            self.followed.emit(entries.page_of(self._entry))


class _Difference(QFrame):
    """Lines as in a comparison of files: what was before, what is after, and what is the same."""

    def __init__(self, lines: Sequence[tuple[str, str]], parent: QWidget) -> None:
        super().__init__(parent)
        self.setProperty("role", "code")
        column = QVBoxLayout(self)
        column.setContentsMargins(1, 6, 1, 6)
        column.setSpacing(0)
        for sign, words in lines:
            block = QFrame(self)
            block.setProperty("difference", {"-": "before", "+": "after"}.get(sign, "same"))
            inside = QVBoxLayout(block)
            inside.setContentsMargins(8, 3, 8, 3)
            # A digest has no place to break at: a label would push everything else out of sight.
            line = Line((Run(f"{sign} {words}", {"-": "er", "+": "ok"}.get(sign, "tx2")),), "monosmall", block)
            line.setAccessibleName({"-": tr("before"), "+": tr("after")}.get(sign, "") + f" {words}")
            inside.addWidget(line)
            column.addWidget(block)


def _section(column: QVBoxLayout) -> QVBoxLayout:
    box = QVBoxLayout()
    box.setContentsMargins(16, 12, 16, 14)
    box.setSpacing(6)
    column.addLayout(box)
    return box
