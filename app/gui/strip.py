"""The strip of bars above Activity: how many requests, and how many of them failed, in each stretch of the time that is shown.

Pointer and arrow keys read a bar out; a click, or Enter, goes to its time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from app.gui import theme
from app.gui.bars import Bars
from app.gui.spans import Bar, readout

_TOP: Final = 3
_BELOW: Final = 18
_HEIGHT: Final = 36
_WIDEST: Final = 40.0
_APART: Final = 12
_READ_ALOUD: Final = 24


class Strip(Bars):
    """`opened` carries the bar that was picked. Bars whose rows are in the table below are dark, the others light."""

    opened = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bars: tuple[Bar, ...] = ()
        self._title, self._edges = "", ("", "")
        self._loaded_us = 0
        theme.follow(self, lambda: self.setFixedHeight(_TOP + _HEIGHT + theme.current().px(_BELOW)))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_bars(self, bars: Sequence[Bar], title: str, edges: tuple[str, str]) -> None:
        shown = (tuple(bars), title, edges)
        if shown != (self._bars, self._title, self._edges):
            same = len(shown[0]) == len(self._bars)
            self._bars, self._title, self._edges = shown
            self._at = self._at if same else -1
            self.setAccessibleName(title)
            busy = [readout(bar) for bar in self._bars if bar.requests]
            self.setAccessibleDescription("; ".join(busy[-_READ_ALOUD:]))
            self.update()

    def show_loaded(self, since_us: int) -> None:
        """Rows opened since then are in the table."""
        if since_us != self._loaded_us:
            self._loaded_us = since_us
            self.update()

    def bars(self) -> tuple[Bar, ...]:
        return self._bars

    def count(self) -> int:
        return len(self._bars)

    def mirrored(self) -> bool:
        return self.layoutDirection() == Qt.LayoutDirection.RightToLeft

    def bar_at(self, x: float) -> int:
        number = int(self._from_begin(x) / self._slot()) if self._bars and 0 <= x < self.width() else -1
        return number if 0 <= number < len(self._bars) else -1

    def sizeHint(self) -> QSize:
        return QSize(320, self.height())

    def _slot(self) -> float:
        return min(_WIDEST, self.width() / max(1, len(self._bars)))

    def _from_begin(self, x: float) -> float:
        return self.width() - x if self.mirrored() else x

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        slot, floor = self._slot(), _TOP + _HEIGHT
        wide = slot * len(self._bars)
        mirrored = self.mirrored()
        painter.fillRect(QRectF(self.width() - wide if mirrored else 0, floor, wide, 1), look.colour("line2"))
        top = max((bar.requests for bar in self._bars), default=0) or 1
        gap = min(4.0, slot * 0.3)
        for number, bar in enumerate(self._bars):
            left = number * slot
            if mirrored:
                left = self.width() - left - slot
            box = QRectF(left + gap / 2, _TOP, slot - gap, _HEIGHT)
            if bar.requests:
                self._paint_bar(painter, box, bar, top)
            if number == self._at:
                painter.setPen(QPen(look.colour("acc"), 2 if self.hasFocus() else 1))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawRoundedRect(QRectF(left, 1, slot, floor - 1), 2, 2)
        painter.setFont(look.font("tick"))
        painter.setPen(look.colour("tx3"))
        words = (self._edges[0], self._title, self._edges[1])
        side = max(painter.fontMetrics().horizontalAdvance(edge) for edge in self._edges) + _APART
        room = painter.fontMetrics().horizontalAdvance(self._title) + 2.0 * side  # few bars are narrower than what is said of them
        below = QRectF(0, floor + 3, max(wide, room), look.px(_BELOW) - 3)
        if mirrored:
            below.moveRight(self.width())
        begin, middle, end = (Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignHCenter, Qt.AlignmentFlag.AlignRight)
        if mirrored:
            begin, end = end, begin
        for word, where in zip(words, (begin, middle, end), strict=True):
            painter.drawText(below, int(where | Qt.AlignmentFlag.AlignTop), word)

    def _paint_bar(self, painter: QPainter, box: QRectF, bar: Bar, top: int) -> None:
        look = theme.current()
        height = max(3.0, box.height() * bar.requests / top)
        whole = QRectF(box.left(), box.bottom() - height, box.width(), height)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(look.colour("acc" if self._loaded_us and bar.until_us > self._loaded_us else "c2"))
        if bar.failed == bar.requests:
            painter.setBrush(look.colour("eri"))
        painter.drawRoundedRect(whole, 1.5, 1.5)
        if 0 < bar.failed < bar.requests:
            painter.setBrush(look.colour("eri"))
            painter.drawRoundedRect(
                QRectF(whole.left(), whole.top(), whole.width(), max(2.5, height * bar.failed / bar.requests)), 1.5, 1.5
            )

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._open(self.bar_at(event.position().x()))

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        if event.reason() in (Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason) and self._bars:
            self.point_at(len(self._bars) - 1)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self._at >= 0:
            self._open(self._at)
        else:
            super().keyPressEvent(event)

    def _open(self, number: int) -> None:
        if 0 <= number < len(self._bars) and self._bars[number].requests:
            QToolTip.hideText()
            self.opened.emit(self._bars[number])

    def pointed(self) -> None:
        if not 0 <= self._at < len(self._bars):
            QToolTip.hideText()
            return
        said = readout(self._bars[self._at])
        self.setAccessibleDescription(said)
        x = self._from_begin((self._at + 0.5) * self._slot())
        QToolTip.showText(self.mapToGlobal(QPointF(x, _TOP).toPoint()), said, self)
