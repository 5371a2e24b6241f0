"""A field that opens a menu to choose from: its caption, then what is chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from PySide6.QtCore import QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import QAction, QFocusEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QAbstractButton, QSizePolicy, QWidget

from app.gui import icons, theme
from app.gui.focus import ring_on_focus
from app.gui.header import menu_text, styled_menu
from app.gui.words import tr

# A menu of hundreds of names helps nobody; the field beside it finds them all.
MOST: Final = 30
_EDGE: Final = 10
_GAP: Final = 4
_CARET: Final = 12
_BEFORE_CARET: Final = 6

# A value and the words for it.
Entry = tuple[str, str]


class ChoiceButton(QAbstractButton):
    """`chosen` carries the value that was picked. entries: asked when the menu opens; None is a line between them.

    What is not the usual choice stands out, so that a filter is never overlooked.
    """

    chosen = Signal(str)

    def __init__(self, caption: str, entries: Callable[[], Sequence[Entry | None]], name: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._caption = caption
        self._entries = entries
        self._name = name or caption
        self._value, self._words, self._marked = "", "", False
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.clicked.connect(self.open_menu)

    def show_choice(self, value: str, words: str, *, marked: bool = False) -> None:
        """marked: it is not the usual choice."""
        if (value, words, marked) != (self._value, self._words, self._marked):
            self._value, self._words, self._marked = value, words, marked
            self.setAccessibleName(f"{self._name}: {words}")
            self.setToolTip(words if self.sizeHint().width() > self.width() else "")
            self.updateGeometry()
            self.update()

    def words(self) -> str:
        return self._words

    @Slot()
    def open_menu(self) -> None:
        menu = styled_menu(self)
        menu.setAccessibleName(self._name)
        for entry in self._entries():
            if entry is None:
                menu.addSeparator()
                continue
            value, words = entry
            action = QAction(menu_text(words), menu)
            if value == self._value:
                action.setIcon(icons.icon("check", 16, "acctx"))
            action.triggered.connect(partial(self.chosen.emit, value))
            menu.addAction(action)
        menu.popup(self.mapToGlobal(self.rect().bottomLeft()))

    def sizeHint(self) -> QSize:
        return QSize(self._fixed_width() + theme.current().metrics("button").horizontalAdvance(self._words) + 2, theme.current().px(32))

    def minimumSizeHint(self) -> QSize:
        words = theme.current().metrics("button").horizontalAdvance(self._words)
        return QSize(self._fixed_width() + min(words, 34) + 2, theme.current().px(32))

    def _fixed_width(self) -> int:
        caption = theme.current().metrics("body").horizontalAdvance(self._caption) + _GAP if self._caption else 0
        return _EDGE + caption + _BEFORE_CARET + _CARET + _EDGE

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        ring_on_focus(self, event)

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        back = "accbg" if self._marked else "select" if self.isDown() else "hover" if self.underMouse() else "surface"
        painter.setPen(look.colour("accln" if self._marked else "line2"))
        painter.setBrush(look.colour(back))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 6, 6)
        x = float(_EDGE)
        middle = int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft)
        if self._caption:
            width = look.metrics("body").horizontalAdvance(self._caption)
            painter.setFont(look.font("body"))
            painter.setPen(look.colour("tx2"))
            painter.drawText(self._placed(x, width + 1), middle, self._caption)
            x += width + _GAP
        room = self.width() - x - _BEFORE_CARET - _CARET - _EDGE
        painter.setFont(look.font("button"))
        painter.setPen(look.colour("acctx" if self._marked else "tx"))
        words = look.metrics("button").elidedText(self._words, Qt.TextElideMode.ElideRight, int(room))
        painter.drawText(self._placed(x, room), middle, words)
        caret = self._placed(self.width() - _EDGE - _CARET, _CARET)
        icons.paint(painter, caret, "caret-down", look.colour("acctx" if self._marked else "tx2"), _CARET)

    def _placed(self, x: float, width: float) -> QRectF:
        if self.layoutDirection() == Qt.LayoutDirection.RightToLeft:
            x = self.width() - x - width
        return QRectF(x, 0, width, self.height())


def names(known: Sequence[str], chosen: str) -> list[Entry | None]:
    """Entries for a filter by name: all, the one that is chosen, and the others that there are."""
    shown = list(known[:MOST])
    if chosen and chosen not in shown:
        shown.insert(0, chosen)
    entries: list[Entry | None] = [("", tr("all"))]
    if shown:
        entries.append(None)
    return entries + [(name, name) for name in shown]
