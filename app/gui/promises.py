"""The promises about privacy: how each is kept just now, and the command that checks it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from app.control.contract import Promise
from app.gui.labels import Label
from app.gui.widgets import Button, Card, Glyph, clear_layout, row_of
from app.gui.words import tr


class Promises(QScrollArea):
    """`copied` carries a command."""

    copied = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        inner = QWidget(self)
        inner.setProperty("role", "scrolled")
        self._column = QVBoxLayout(inner)
        self._column.setContentsMargins(24, 4, 24, 20)
        self._column.setSpacing(12)
        self.setWidget(inner)

    def count(self) -> int:
        return self._column.count()

    def show_promises(self, promises: Sequence[Promise], worth: str) -> None:
        """worth: of what the vault remembers, "" when that is not known yet."""
        clear_layout(self._column)
        for promise in promises:
            self._column.addWidget(_PromiseCard(promise, self))
        if worth:
            self._column.addWidget(Label(tr("What the vault remembers of the log: {worth}", worth=worth), "small", "tx2").wrapped())
        self._column.addStretch(1)


# Kept, not kept, not known: the mark, its ink, and what is said of it.
_SEEN: Final = {
    True: ("check-circle-fill", "oki", "kept"),
    False: ("x-circle-fill", "eri", "not kept"),
    None: ("minus-circle-fill", "tx3", "not known yet"),
}


class _PromiseCard(Card):
    """One promise, how it is kept just now, and the command that checks it."""

    def __init__(self, promise: Promise, parent: Promises) -> None:
        super().__init__(pad=14, parent=parent)
        glyph, ink, spoken = _SEEN[promise.kept]
        self.column.addLayout(row_of(Glyph(glyph, 16, ink, self), Label(tr(promise.title), "heading", "tx", self), None))
        self.column.addWidget(Label(promise.state, "body", "tx2", self).wrapped())
        command = Label(promise.check, "monosmall", "tx2", self).wrapped().selectable()
        button = Button(tr("Copy"), "ghost", glyph="copy", small=True, name=tr("Copy the command that checks it"), parent=self)
        button.clicked.connect(partial(parent.copied.emit, promise.check))
        line = QHBoxLayout()
        line.addWidget(command, 1)
        line.addWidget(button)
        self.column.addLayout(line)
        self.setAccessibleName(f"{promise.title}: {tr(spoken)}. {promise.state}")
