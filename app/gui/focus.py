"""The ring around the button that has the keyboard: 2 px in the accent, 2 px away, only when the keyboard put it there."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import QEvent, QObject, QRectF, Qt
from PySide6.QtGui import QFocusEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from app.gui import theme

_SHOWN_FOR: Final = frozenset(
    {Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason, Qt.FocusReason.ShortcutFocusReason, Qt.FocusReason.PopupFocusReason}
)


def ring_on_focus(widget: QWidget, event: QFocusEvent) -> None:
    """Call it in `focusInEvent`. The ring ends by itself when the focus goes."""
    if event.reason() in _SHOWN_FOR and widget.parentWidget() is not None:
        FocusRing(widget)


class FocusRing(QWidget):
    """Stands beside the widget in its parent, so that it scrolls and moves with it."""

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget.parentWidget())
        self._widget = widget
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        widget.installEventFilter(self)
        self._follow()
        self.show()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        match event.type():
            case QEvent.Type.Move | QEvent.Type.Resize:
                self._follow()
            case QEvent.Type.FocusOut | QEvent.Type.Hide | QEvent.Type.MouseButtonPress:
                self._widget.removeEventFilter(self)
                self.hide()
                self.deleteLater()
        return super().eventFilter(watched, event)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(theme.current().colour("acc"), 2))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 8, 8)

    def _follow(self) -> None:
        self.setGeometry(self._widget.geometry().adjusted(-4, -4, 4, 4))
        self.raise_()
