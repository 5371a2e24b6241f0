"""Charts, painted: bars per hour, and the stretches of one request's time. The tables beside them are their text form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from app.control.contract import HourBar
from app.gui import theme
from app.gui.bars import Bars
from app.gui.words import tr

_LEFT: Final = 28
_TOP: Final = 8
_BOTTOM: Final = 18


def nice_top(value: int) -> int:
    """The end of an axis: even, so that its half is whole, and not much above `value`."""
    if value <= 2:
        return 2
    step = 1
    while True:
        for factor in (1, 2, 3, 4, 5, 6, 8):
            top = factor * step
            if top >= value and top % 2 == 0:
                return top
        step *= 10


class HourBars(Bars):
    """Requests per hour of the local day, answered and failed on top of each other. Arrow keys and the pointer read a bar out."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._hours: tuple[HourBar, ...] = ()
        self.setMinimumSize(QSize(240, 126))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(tr("Requests per hour"))

    def show_hours(self, hours: Sequence[HourBar]) -> None:
        hours = tuple(hours)
        if hours != self._hours:
            self._hours = hours
            self.setAccessibleDescription("; ".join(readout(hour) for hour in hours if hour.answered or hour.failed))
            self.update()

    def slots(self) -> int:
        """24, but 23 or 25 on the two days a year that are not that long."""
        return max(24, len(self._hours))

    def count(self) -> int:
        return len(self._hours)

    def bar_at(self, x: float) -> int:
        width = (self.width() - _LEFT) / self.slots()
        number = int((x - _LEFT) / width) if x >= _LEFT else -1
        return number if 0 <= number < len(self._hours) else -1

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(look.font("tick"))
        floor = self.height() - _BOTTOM + 0.5
        span = floor - _TOP
        top = nice_top(max((hour.answered + hour.failed for hour in self._hours), default=0))
        for part in (0, 1, 2):
            y = floor - span * part / 2
            painter.setPen(QPen(look.colour("grid"), 1))
            painter.drawLine(QPointF(_LEFT, y), QPointF(self.width(), y))
            painter.setPen(look.colour("tx3"))
            painter.drawText(
                QRectF(0, y - 8, _LEFT - 8, 16), int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter), str(top * part // 2)
            )
        slot = (self.width() - _LEFT) / self.slots()
        gap = slot * 0.23
        for number in range(self.slots()):
            x = _LEFT + number * slot
            hour = self._hours[number] if number < len(self._hours) else None
            if number % 3 == 0:
                name = hour.hour if hour is not None else number
                painter.setPen(look.colour("tx3"))
                painter.drawText(QRectF(x - 10, floor + 2, slot + 20, 16), int(Qt.AlignmentFlag.AlignCenter), f"{name:02}")
            if hour is not None:
                self._paint_bar(painter, QRectF(x + gap / 2, _TOP, slot - gap, span), hour, top)
            if number == self._at:
                painter.setPen(QPen(look.colour("acc"), 2 if self.hasFocus() else 1))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawRoundedRect(QRectF(x + 1, _TOP, slot - 2, span + 1), 3, 3)
        if self._hours:
            now_x = round(_LEFT + len(self._hours) * slot) - 0.5
            painter.setPen(QPen(look.colour("line2"), 1, Qt.PenStyle.DashLine))
            painter.drawLine(QPointF(now_x, _TOP - 4), QPointF(now_x, floor - 1))
            painter.setPen(look.colour("tx3"))
            word = tr("now")
            wide = painter.fontMetrics().horizontalAdvance(word)
            left = now_x + 5 if now_x + 5 + wide <= self.width() else now_x - 5 - wide
            painter.drawText(QRectF(left, _TOP - 5, wide + 2, 14), int(Qt.AlignmentFlag.AlignVCenter), word)

    def _paint_bar(self, painter: QPainter, area: QRectF, hour: HourBar, top: int) -> None:
        look = theme.current()
        total = hour.answered + hour.failed
        if not total:
            return
        height = max(2.0, area.height() * total / top)
        failed = min(height, max(3.0, area.height() * hour.failed / top)) if hour.failed else 0.0
        bar = QRectF(area.left(), area.bottom() - height, area.width(), height)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(look.colour("acc" if hour.answered else "eri"))
        painter.drawRoundedRect(bar, 2, 2)
        if hour.failed and hour.answered:
            painter.setBrush(look.colour("eri"))
            painter.drawRoundedRect(QRectF(bar.left(), bar.top(), bar.width(), failed), 1.5, 1.5)

    def pointed(self) -> None:
        if self._at < 0:
            QToolTip.hideText()
            return
        slot = (self.width() - _LEFT) / self.slots()
        place = self.mapToGlobal(QPointF(_LEFT + (self._at + 0.5) * slot, _TOP).toPoint())
        QToolTip.showText(place, readout(self._hours[self._at]), self)


def readout(hour: HourBar) -> str:
    """One bar in words: 14 to 15: 41 answered, 2 failed."""
    text = tr("{a:02} to {b:02}: {n} answered", a=hour.hour, b=(hour.hour + 1) % 24, n=hour.answered)
    return tr("{text}, {n} failed", text=text, n=hour.failed) if hour.failed else text


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a request's time."""

    words: str
    duration_us: int
    ink: str


class TimeBar(QWidget):
    """The stretches of one request, side by side to scale, with their names below."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._parts: tuple[Stretch, ...] = ()
        self.setFixedHeight(34)

    def show_parts(self, parts: Sequence[Stretch]) -> None:
        self._parts = tuple(parts)
        self.setAccessibleName(", ".join(part.words for part in parts))
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(look.font("tick"))
        total = sum(part.duration_us for part in self._parts)
        if not total:
            return
        room = self.width() - 2 * (len(self._parts) - 1)
        x = 0.0
        for number, part in enumerate(self._parts):
            width = max(3.0, room * part.duration_us / total)
            if number == len(self._parts) - 1:
                width = self.width() - x
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(look.colour(part.ink))
            painter.drawRoundedRect(QRectF(x, 2, width, 10), 2, 2)
            x += width + 2
        painter.setPen(look.colour("tx3"))
        painter.drawText(QRectF(0, 17, self.width(), 16), int(Qt.AlignmentFlag.AlignLeft), self._parts[0].words)
        if len(self._parts) > 1:
            painter.drawText(QRectF(0, 17, self.width(), 16), int(Qt.AlignmentFlag.AlignRight), self._parts[-1].words)
