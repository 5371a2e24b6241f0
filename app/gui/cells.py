"""What a table's cell shows, as a value, and the one delegate that paints it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Generic, Protocol, TypeVar

from PySide6.QtCore import QEvent, QModelIndex, QPersistentModelIndex, QRect, QRectF, Qt
from PySide6.QtGui import QHelpEvent, QPainter
from PySide6.QtWidgets import QAbstractItemView, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QToolTip, QWidget

from app.gui import icons, theme
from app.gui.labels import plain_tip
from app.gui.theme import Type
from app.gui.widgets import paint_tile

Index = QModelIndex | QPersistentModelIndex

R = TypeVar("R")

_SELECTED: Final = QStyle.StateFlag.State_Selected
_LEFT: Final = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter) | int(Qt.TextFlag.TextSingleLine)
_RIGHT: Final = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter) | int(Qt.TextFlag.TextSingleLine)
_TONES: Final = {"ok": ("ok", "oki"), "wa": ("wa", "wai"), "er": ("er", "eri")} | {
    ink: ("tx", ink) for ink in ("acc", "c2", "c3", "c4", "c5", "c6")
}
_TILE: Final = 32
_GLYPH: Final = 14
_PERCENT: Final = 72


@dataclass(frozen=True, slots=True)
class Cell:
    """What one cell shows. lead: muted words before the text. second: a second line. letter, tile: the mark before two lines.

    glyph: an icon before the text in `tone` (ok, wa, er, or an ink). spoken: what is read aloud where the text is not enough. share: a bar
    before the text, in thousandths.
    """

    text: str = ""
    ink: str = "tx"
    lead: str = ""
    glyph: str = ""
    tone: str = ""
    second: str = ""
    second_mono: bool = False
    strong: bool = False
    mono: bool = False
    letter: str = ""
    tile: str = ""
    tip: str = ""
    spoken: str = ""
    share: int | None = None

    def aloud(self) -> str:
        return self.spoken or " ".join(part for part in (self.lead, self.text, self.second) if part)


@dataclass(frozen=True, slots=True)
class Column(Generic[R]):
    """sample: the widest usual text, from which the width comes; "" makes the column take what is left, but `least` at the least.

    low: where there is too little room, the column with the highest goes first; 0 never goes.
    """

    title: str
    cell: Callable[[R], Cell]
    sample: str = ""
    number: bool = False
    low: int = 0
    least: int = 0


class CellView(Protocol):
    """What the delegate asks of its table. edge: space left and right of a row; gap: half the space between columns. mirrored: one reads
    from the right."""

    edge: int
    gap: int
    dense: Type
    mirrored: bool

    def cell(self, index: Index) -> Cell: ...

    def column(self, number: int) -> Column[object]: ...

    def is_last(self, number: int) -> bool: ...

    def hovered_row(self) -> int: ...

    def has_line_below(self, row: int) -> bool: ...


class CellDelegate(QStyledItemDelegate):
    """Paints a `Cell`: row fill, hairline, icon or tile, one or two lines.

    A screen has some 200 cells and scrolling paints them all, so fonts, colours and shortened texts come from caches, and the cell comes
    straight from the row instead of through Qt's variants.
    """

    def __init__(self, view: CellView, parent: QWidget) -> None:
        super().__init__(parent)
        self._view = view

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        look, view, rect, row = theme.current(), self._view, option.rect, index.row()
        if option.state & _SELECTED:
            painter.fillRect(rect, look.colour("rowsel"))
        elif row == view.hovered_row():
            painter.fillRect(rect, look.colour("hover"))
        if view.has_line_below(row):
            painter.fillRect(QRect(rect.left(), rect.bottom(), rect.width(), 1), look.colour("line"))
        _Brush(painter, rect, view, index.column()).paint(view.cell(index))

    def helpEvent(self, event: QHelpEvent, view: QAbstractItemView, option: QStyleOptionViewItem, index: Index) -> bool:
        """The cell's own remark, or the whole of what had to be shortened."""
        if event.type() != QEvent.Type.ToolTip or not index.isValid():
            return super().helpEvent(event, view, option, index)
        cell = self._view.cell(index)
        metrics = theme.current().metrics("body")
        room = option.rect.width() - 2 * self._view.gap - (_TILE + 12 if cell.letter or cell.tile else 0)
        shortened = max(metrics.horizontalAdvance(cell.lead + cell.text), metrics.horizontalAdvance(cell.second)) > room
        text = cell.tip or (cell.lead + cell.text + ("\n" + cell.second if cell.second else "") if shortened else "")
        QToolTip.showText(event.globalPos(), plain_tip(text), view)
        return True


class _Brush:
    """Paints one cell. Places are counted from the reading side, and mirrored where one reads from the right; the painter mirrors
    the alignment of a text by itself."""

    def __init__(self, painter: QPainter, rect: QRect, view: CellView, number: int) -> None:
        self._painter = painter
        self._rect = rect
        self._dense: Type = view.dense
        self._number = view.column(number).number
        self._mirrored = view.mirrored
        self._start = view.edge if number == 0 else view.gap
        self._end = rect.width() - (view.edge if view.is_last(number) else view.gap)

    def paint(self, cell: Cell) -> None:
        top, height = self._rect.top(), self._rect.height() - 1
        if cell.letter or cell.tile:
            mark = self._place(self._start, top + (height - _TILE) // 2, _TILE, _TILE)
            paint_tile(self._painter, QRectF(mark), cell.letter, cell.tile)
            self._start += _TILE + 12
        if not cell.second:
            self._line(cell, top, height)
            return
        half = theme.current().px(18)
        first = top + (height - 2 * half) // 2
        self._line(cell, first, half)
        self._text(self._start, self._end, first + half, half, cell.second, "monosmall" if cell.second_mono else "small", "tx3")

    def _line(self, cell: Cell, top: int, height: int) -> None:
        look = theme.current()
        start, ink = self._start, cell.ink
        if cell.glyph:
            ink, icon_ink = _TONES.get(cell.tone, (cell.tone or ink, cell.tone or ink))
            icons.paint(self._painter, QRectF(self._place(start, top, _GLYPH, height)), cell.glyph, look.colour(icon_ink), _GLYPH)
            start += _GLYPH + 5
        role: Type = "strong" if cell.strong else "mono" if cell.mono else "small" if cell.second else self._dense
        if cell.share is not None:
            self._bar(cell.share, cell.tone or "acc", top + height / 2)
        if cell.lead:
            metrics = look.metrics(role)
            width = metrics.horizontalAdvance(cell.lead)
            # The name that was served matters more than the one that was asked for, so the lead gives way first.
            spare = self._end - start - metrics.horizontalAdvance(cell.text)
            if spare >= min(width, 40):
                lead = min(width, spare)
                self._text(start, start + lead, top, height, cell.lead, role, "tx3", number=False)
                start += lead
        self._text(start, self._end, top, height, cell.text, role, ink)

    def _bar(self, share: int, ink: str, middle: float) -> None:
        """A track as long as the cell leaves beside a percentage, and as much of it filled."""
        look = theme.current()
        length = self._end - self._start - look.px(_PERCENT)
        if length < 16:
            return
        track = QRectF(self._place(self._start, int(middle) - 2, length, 5))
        filled = max(3.0, length * share / 1000)
        painter = self._painter
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(look.colour("grid"))
        painter.drawRoundedRect(track, 2.5, 2.5)
        painter.setBrush(look.colour(ink))
        painter.drawRoundedRect(QRectF(track.right() - filled if self._mirrored else track.left(), track.top(), filled, 5), 2.5, 2.5)
        painter.restore()

    def _text(self, start: int, end: int, top: int, height: int, text: str, role: Type, ink: str, *, number: bool | None = None) -> None:
        look = theme.current()
        painter = self._painter
        painter.setFont(look.font(role))
        painter.setPen(look.colour(ink))
        at_end = self._number if number is None else number
        shown = _shortened(text, role, end - start, look.generation)
        painter.drawText(self._place(start, top, end - start, height), _RIGHT if at_end else _LEFT, shown)

    def _place(self, start: int, top: int, width: int, height: int) -> QRect:
        left = self._rect.left()
        if self._mirrored:
            return QRect(left + self._rect.width() - start - width, top, width, height)
        return QRect(left + start, top, width, height)


@lru_cache(maxsize=8192)
def _shortened(text: str, role: Type, width: int, _generation: int) -> str:
    """`text` with … where it does not fit. generation: another for each theme and text size, so that the cache forgets."""
    return theme.current().metrics(role).elidedText(text, Qt.TextElideMode.ElideRight, width + 1)
