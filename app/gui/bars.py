"""What every chart of bars shares: one bar at a time is read out, under the pointer or with the arrow keys."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QFocusEvent, QKeyEvent, QMouseEvent
from PySide6.QtWidgets import QWidget


class Bars(QWidget):
    """A chart says how many bars there are (`count`), which one is at an x (`bar_at`), and what is shown of the one that is pointed at
    (`pointed`). `_at` is that one, -1 for none. mirrored: the first bar is on the right."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._at = -1
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)

    def count(self) -> int:
        raise NotImplementedError

    def bar_at(self, x: float) -> int:
        """The bar under `x`, or -1."""
        raise NotImplementedError

    def pointed(self) -> None:
        """Another bar, or none, is pointed at now."""
        raise NotImplementedError

    def mirrored(self) -> bool:
        return False

    def point_at(self, number: int) -> None:
        if number != self._at:
            self._at = number
            self.update()
            self.pointed()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self.point_at(self.bar_at(event.position().x()))

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self.point_at(-1)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.point_at(-1)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        steps = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}
        last = self.count() - 1
        if event.key() in steps and last >= 0:
            step = steps[Qt.Key(event.key())] * (-1 if self.mirrored() else 1)
            self.point_at(last if self._at < 0 else max(0, min(last, self._at + step)))
        else:
            super().keyPressEvent(event)
