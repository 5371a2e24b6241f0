"""Stacked bars over time, painted. The table below them is their text form; pointer and arrow keys read one bar out."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.gui import spending, theme
from app.gui.bars import Bars
from app.gui.charts import nice_top
from app.gui.spending import Bar, Measure, Series
from app.gui.words import tr

_LEFT: Final = 58
_TOP: Final = 8
_BOTTOM: Final = 22
_CARD: Final = 222
_CENT: Final = 10_000
_LEAST: Final = 100  # the smallest sum that is told apart from nothing


def _factor(most: int, measure: Measure) -> int:
    """What the axis counts in: cents, or what is smaller where all bars together are less than a cent high."""
    factor = _CENT if measure == "cost" else 1
    while measure == "cost" and factor > _LEAST and most <= factor:
        factor //= 10
    return factor


class StackedBars(Bars):
    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bars: tuple[Bar, ...] = ()
        self._series: tuple[Series, ...] = ()
        self._measure: Measure = "cost"
        self.setMinimumSize(QSize(320, 214))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(tr("Usage over time"))

    def show_bars(self, bars: tuple[Bar, ...], series: tuple[Series, ...], measure: Measure) -> None:
        if (bars, series, measure) != (self._bars, self._series, self._measure):
            self._bars, self._series, self._measure = bars, series, measure
            self.point_at(min(self._at, len(bars) - 1))
            self.update()

    def count(self) -> int:
        return len(self._bars)

    def bar_at(self, x: float) -> int:
        number = int((x - _LEFT) / self._slot()) if x >= _LEFT and self._bars else -1
        return number if 0 <= number < len(self._bars) else -1

    def _slot(self) -> float:
        return (self.width() - _LEFT) / max(1, len(self._bars))

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(look.font("tick"))
        most = max((bar.total for bar in self._bars), default=0)
        factor = _factor(most, self._measure)
        top = nice_top(-(-most // factor)) * factor
        floor = self.height() - _BOTTOM + 0.5
        span = floor - _TOP
        right = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        for part in (0, 1, 2):
            y = floor - span * part / 2
            painter.setPen(QPen(look.colour("grid"), 1))
            painter.drawLine(QPointF(_LEFT, y), QPointF(self.width(), y))
            painter.setPen(look.colour("tx3"))
            painter.drawText(QRectF(0, y - 8, _LEFT - 8, 16), right, spending.words(top * part // 2, self._measure))
        slot = self._slot()
        step = max(1, round(34 / slot)) if self._bars else 1
        for number, bar in enumerate(self._bars):
            x = _LEFT + number * slot
            if number == self._at:
                painter.fillRect(QRectF(x, _TOP - 4, slot, span + 4), look.colour("hover"))
                if self.hasFocus():
                    painter.setPen(QPen(look.colour("acc"), 2))
                    painter.setBrush(Qt.BrushStyle.NoBrush)
                    painter.drawRoundedRect(QRectF(x + 1, _TOP - 3, slot - 2, span + 2), 3, 3)
            if number % step == 0:
                painter.setPen(look.colour("tx" if number == self._at else "tx3"))
                painter.drawText(QRectF(x - 12, floor + 4, slot + 24, 16), int(Qt.AlignmentFlag.AlignCenter), bar.label)
            gap = slot * 0.28
            y = floor
            painter.setPen(Qt.PenStyle.NoPen)
            for series, value in zip(self._series, bar.values, strict=True):
                if value:
                    height = max(1.0, span * value / top)
                    y -= height
                    # A hair of surface between the parts keeps them apart without colour.
                    painter.fillRect(QRectF(x + gap / 2, y, slot - gap, max(0.8, height - 1)), look.colour(series.ink))
        if 0 <= self._at < len(self._bars):
            self._paint_readout(painter, _LEFT + self._at * slot, slot)

    def _paint_readout(self, painter: QPainter, x: float, slot: float) -> None:
        look = theme.current()
        bar = self._bars[self._at]
        lines = [(one, value) for one, value in zip(self._series, bar.values, strict=True) if value]
        height = 30 + 18 * len(lines)
        left = x + slot + 10 if x + slot + 10 + _CARD <= self.width() else x - 10 - _CARD
        card = QRectF(left, _TOP + 12, _CARD, height)
        painter.setPen(QPen(look.colour("line2"), 1))
        painter.setBrush(look.colour("raised"))
        painter.drawRoundedRect(card, 8, 8)
        begin = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        end = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        line = QRectF(card.left() + 12, card.top() + 6, card.width() - 24, 18)
        painter.setFont(look.font("smallstrong"))
        painter.setPen(look.colour("tx"))
        painter.drawText(line, begin, bar.full)
        painter.drawText(line, end, spending.words(bar.total, self._measure))
        painter.setFont(look.font("small"))
        metrics = painter.fontMetrics()
        for series, value in lines:
            line.translate(0, 18)
            painter.fillRect(QRectF(line.left(), line.top() + 5, 8, 8), look.colour(series.ink))
            said = spending.words(value, self._measure)
            room = int(line.width() - 24 - metrics.horizontalAdvance(said))
            painter.setPen(look.colour("tx"))
            painter.drawText(line.adjusted(14, 0, 0, 0), begin, metrics.elidedText(series.name, Qt.TextElideMode.ElideMiddle, room))
            painter.setPen(look.colour("tx2"))
            painter.drawText(line, end, said)

    def pointed(self) -> None:
        shown = 0 <= self._at < len(self._bars)
        self.setAccessibleDescription(spending.readout(self._bars[self._at], self._series, self._measure) if shown else "")
