"""A sheet: a question or form over the window, with the window dimmed behind it. The keyboard stays inside; Esc leaves."""

from __future__ import annotations

import shiboken6
from PySide6.QtCore import QEvent, QObject, Qt, Signal, Slot
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QAbstractButton, QFrame, QGraphicsDropShadowEffect, QHBoxLayout, QVBoxLayout, QWidget

from app.gui import theme
from app.gui.labels import Label
from app.gui.widgets import Button, ButtonKind
from app.gui.words import tr


class Sheet(QWidget):
    """Fill `body`, add buttons to the foot with `add_button`, then `open()`. `closed` comes once, when it is gone."""

    closed = Signal()

    def __init__(self, title: str, explanation: str = "", *, width: int = 520, height: int = 0, parent: QWidget) -> None:
        super().__init__(parent)
        self._width, self._height = width, height
        self._returns_to: QWidget | None = None
        self._open = self._gone = False
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # not by a click: what is typed next would go nowhere
        self.setAccessibleName(title)
        self.frame = QFrame(self)
        self.frame.setProperty("role", "sheet")
        shadow = QGraphicsDropShadowEffect(self.frame)
        shadow.setBlurRadius(32)
        shadow.setOffset(0, 12)
        theme.follow(self, lambda: shadow.setColor(theme.current().colour("shadow")))
        self.frame.setGraphicsEffect(shadow)

        whole = QVBoxLayout(self.frame)
        whole.setContentsMargins(1, 1, 1, 1)
        whole.setSpacing(0)
        self.head = head = QVBoxLayout()
        head.setContentsMargins(24, 20, 24, 16)
        head.setSpacing(2)
        self.title = Label(title, "card", "tx", self.frame)
        self.explanation = Label(explanation, "body", "tx2", self.frame).wrapped()
        self.explanation.setVisible(bool(explanation))
        head.addWidget(self.title)
        head.addWidget(self.explanation)
        whole.addLayout(head)
        self.body = QVBoxLayout()
        self.body.setContentsMargins(24, 0, 24, 20)
        self.body.setSpacing(14)
        whole.addLayout(self.body, 1)
        self._foot = QFrame(self.frame)
        self._foot.setProperty("role", "sheetfoot")
        self.foot = QHBoxLayout(self._foot)
        self.foot.setContentsMargins(24, 12, 24, 12)
        self.foot.setSpacing(8)
        self.consequence = Label("", "small", "tx3", self._foot).wrapped()
        self.foot.addWidget(self.consequence, 1)
        whole.addWidget(self._foot)
        parent.installEventFilter(self)
        self.frame.installEventFilter(self)
        self.hide()

    def add_button(self, text: str, kind: ButtonKind = "default") -> Button:
        button = Button(text, kind, parent=self._foot)
        self.foot.addWidget(button)
        return button

    def add_cancel(self, text: str = "") -> Button:
        button = self.add_button(text or tr("Cancel"))
        button.clicked.connect(self.dismiss)
        return button

    def fill(self) -> QVBoxLayout:
        """The body without margins, for a sheet with its own columns."""
        self.body.setContentsMargins(0, 0, 0, 0)
        self.body.setSpacing(0)
        return self.body

    def open(self, first: QWidget | None = None) -> None:
        """Shows the sheet, in place of one that is open, and gives the keyboard to `first`."""
        window = self.parentWidget()
        before = sheet_over(window) if window is not None else None
        if before is not None and before is not self:
            before.close_now()
        self._open = True
        self._returns_to = window.focusWidget() if window is not None else None
        self._place()
        self.show()
        self.raise_()
        (first or self).setFocus(Qt.FocusReason.PopupFocusReason)

    def is_open(self) -> bool:
        return self._open

    @Slot()
    def dismiss(self) -> None:
        """Closes the sheet. A sheet with something to lose may refuse."""
        if self.may_close():
            self.close_now()

    def may_close(self) -> bool:
        return True

    def close_now(self) -> None:
        if self._gone:
            return
        self._gone, self._open = True, False
        self.forget()
        self.frame.removeEventFilter(self)
        parent = self.parentWidget()
        if parent is not None:
            parent.removeEventFilter(self)
        self.hide()
        if self._returns_to is not None and shiboken6.isValid(self._returns_to):
            self._returns_to.setFocus(Qt.FocusReason.PopupFocusReason)
        self._returns_to = None
        self.closed.emit()
        self.deleteLater()

    def forget(self) -> None:
        """Called before the sheet goes: a sheet that holds a secret lets go of it here."""

    def submit(self) -> None:
        """Enter was pressed, on no button."""

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.dismiss()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            # A button that has the keyboard is what Enter is for: on Cancel it must not do what was asked about.
            at = self.window().focusWidget()
            if isinstance(at, QAbstractButton) and self.isAncestorOf(at):
                at.click()
            else:
                self.submit()
        event.accept()  # nothing typed here reaches the page behind

    def mousePressEvent(self, event: QMouseEvent) -> None:
        event.accept()

    def focusNextPrevChild(self, forward: bool) -> bool:
        """Tab goes round inside the sheet."""
        stops = [
            widget
            for widget in self.findChildren(QWidget)
            if widget.focusPolicy() & Qt.FocusPolicy.TabFocus and widget.isVisible() and widget.isEnabled()
        ]
        if not stops:
            return True
        at = self.window().focusWidget()
        index = stops.index(at) if at in stops else -1 if forward else 0
        stops[(index + (1 if forward else -1)) % len(stops)].setFocus(
            Qt.FocusReason.TabFocusReason if forward else Qt.FocusReason.BacktabFocusReason
        )
        return True

    def paintEvent(self, _event: QPaintEvent) -> None:
        QPainter(self).fillRect(self.rect(), theme.current().colour("scrim"))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize and watched is self.parentWidget():
            self._place()
        elif event.type() == QEvent.Type.LayoutRequest and watched is self.frame:
            self.refit()  # what the body needs is known only now that its own parts have told it
        return super().eventFilter(watched, event)

    def refit(self) -> None:
        """The body changed its height: place the sheet anew."""
        if self.isVisible():
            self._place()

    def _place(self) -> None:
        window = self.parentWidget()
        if window is None:
            return
        self.setGeometry(window.rect())
        look = theme.current()
        width = min(look.px(self._width), self.width() - 32)
        layout = self.frame.layout()
        wanted = look.px(self._height)
        if layout is not None and not wanted:
            layout.activate()
            wanted = layout.totalHeightForWidth(width) if layout.hasHeightForWidth() else layout.totalSizeHint().height()
        height = min(wanted, self.height() - 32)
        top = max(16, min((self.height() - height) // 2, 96))
        self.frame.setGeometry((self.width() - width) // 2, top, width, height)


def sheet_over(window: QWidget) -> Sheet | None:
    """The sheet that is open over `window`, whoever opened it. There is at most one: `Sheet.open` closes the one before."""
    found = window.findChildren(Sheet, options=Qt.FindChildOption.FindDirectChildrenOnly)
    return next((sheet for sheet in found if sheet.is_open()), None)
