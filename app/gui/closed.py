"""The card that stands for everything stored while it cannot be read, and says why."""

from __future__ import annotations

from PySide6.QtWidgets import QWidget

from app.gui.state import Closed
from app.gui.widgets import Card, EmptyState


class ClosedCard(Card):
    def __init__(self, parent: QWidget) -> None:
        super().__init__(pad=0, parent=parent)
        self._empty = EmptyState("hourglass", "", "", parent=self)
        self.column.addWidget(self._empty)
        self.setMinimumHeight(260)
        self.hide()

    def show_closed(self, closed: Closed | None) -> None:
        self.setVisible(closed is not None)
        if closed is not None:
            self._empty.set_glyph(closed.glyph)
            self._empty.set_words(closed.fact, closed.sentence)
