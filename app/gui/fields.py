"""What a person types into and switches: a labelled field with help and error, a secret's field, a switch, a choice of few."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import QAction, QFocusEvent, QIcon, QPainter, QPaintEvent
from PySide6.QtWidgets import QAbstractButton, QButtonGroup, QFrame, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from app.core.secret import Secret
from app.gui import icons, theme
from app.gui.focus import ring_on_focus
from app.gui.labels import Label, set_look
from app.gui.widgets import Button, Glyph, row_of
from app.gui.words import tr


class Field(QWidget):
    """A label, a line to type into, and below it help, or what is wrong in words."""

    edited = Signal()

    def __init__(self, label: str, *, mono: bool = False, help_: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        self.label = Label(label, "smallstrong", "tx", self)
        self.line = QLineEdit(self)
        self.label.setBuddy(self.line)
        self.line.setAccessibleName(label)
        if mono:
            self.line.setProperty("mono", "true")
        self._help = help_
        self._help_ink = "tx3"
        self._mark = Glyph("x-circle-fill", 14, "eri", self)
        self._below = Label(help_, "small", "tx3", self).wrapped().selectable()
        self._mark.hide()
        below = row_of(self._mark, spacing=5)
        below.setAlignment(self._mark, Qt.AlignmentFlag.AlignTop)
        below.addWidget(self._below, 1)
        column.addWidget(self.label)
        column.addWidget(self.line)
        column.addLayout(below)
        self._below.setVisible(bool(help_))
        self.line.textEdited.connect(self._on_edited)

    def text(self) -> str:
        return self.line.text().strip()

    def set_help(self, text: str) -> None:
        self._help = text
        if not self.is_wrong():
            self._show_below(text, "tx3")

    def is_wrong(self) -> bool:
        return bool(self._mark.isVisibleTo(self))

    def set_error(self, words: str) -> None:
        """`words` in red below the field and a red border; "" takes both away."""
        set_look(self.line, "wrong", "true" if words else "false")
        self._mark.setVisible(bool(words))
        self._show_below(words or self._help, "er" if words else "tx3")
        self.line.setAccessibleDescription(words)

    def _show_below(self, text: str, ink: str) -> None:
        self._below.setText(text)
        self._below.set_ink(ink)
        self._below.setVisible(bool(text))

    @Slot()
    def _on_edited(self) -> None:
        if self.is_wrong():
            self.set_error("")
        self.edited.emit()


def side_by_side(*fields: Field) -> QHBoxLayout:
    """Fields in one row. Where what is below one of them takes more lines, the others stay level with it."""
    row = row_of(*fields, spacing=16)
    for field in fields:
        row.setAlignment(field, Qt.AlignmentFlag.AlignTop)
    return row


class SecretField(Field):
    """A field for a key or passphrase: hidden unless the person looks, and emptied the moment its text is taken."""

    def __init__(self, label: str, *, help_: str = "", parent: QWidget | None = None) -> None:
        super().__init__(label, mono=True, help_=help_, parent=parent)
        self.line.setEchoMode(QLineEdit.EchoMode.Password)
        # No prediction, no dictionary, no clipboard of the input method may learn it.
        self.line.setInputMethodHints(
            Qt.InputMethodHint.ImhSensitiveData | Qt.InputMethodHint.ImhNoPredictiveText | Qt.InputMethodHint.ImhHiddenText
        )
        self._look = QAction(self)
        self._look.setCheckable(True)
        self._look.toggled.connect(self._on_look)
        self.line.addAction(self._look, QLineEdit.ActionPosition.TrailingPosition)
        theme.follow(self, lambda: self._on_look(self._look.isChecked()))

    def take(self) -> Secret:
        """The secret, once: the field is empty afterwards and cannot be undone back into."""
        text = self.line.text().strip()
        self.wipe()
        return Secret(text)

    def wipe(self) -> None:
        self.line.clear()
        # setText, unlike clear, also drops the undo history, which would hold the secret.
        self.line.setText("")
        self._look.setChecked(False)

    @Slot(bool)
    def _on_look(self, seen: bool) -> None:
        self.line.setEchoMode(QLineEdit.EchoMode.Normal if seen else QLineEdit.EchoMode.Password)
        self._look.setIcon(QIcon(icons.pixmap("eye-slash" if seen else "eye", 16, theme.current().colour("tx3"))))
        self._look.setText(tr("Hide the key") if seen else tr("Show the key"))


class SearchField(QWidget):
    """A small field with a magnifying glass."""

    changed = Signal(str)

    def __init__(self, placeholder: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.line = QLineEdit(self)
        self.line.setProperty("small", "true")
        self.line.setProperty("search", "true")
        self.line.setPlaceholderText(placeholder)
        self.line.setAccessibleName(placeholder)
        self.line.setClearButtonEnabled(False)
        mark = QAction(placeholder, self)
        theme.follow(self, lambda: mark.setIcon(QIcon(icons.pixmap("magnifying-glass", 14, theme.current().colour("tx3")))))
        self.line.addAction(mark, QLineEdit.ActionPosition.LeadingPosition)
        layout.addWidget(self.line)
        self.line.textChanged.connect(self.changed)

    def text(self) -> str:
        return self.line.text()


class Switch(QAbstractButton):
    """On or off, saved at once."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setCheckable(True)
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setFixedSize(34, 26)

    def sizeHint(self) -> QSize:
        return QSize(34, 26)

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        on = self.isChecked()
        painter.setBrush(look.colour("dis" if not self.isEnabled() else "acc" if on else "ctl"))
        track = QRectF(0, 3, 34, 20)
        painter.drawRoundedRect(track, 10, 10)
        painter.setBrush(look.colour("onacc") if on else look.colour("surface") if look.scheme == "light" else look.colour("tx"))
        right = on != (self.layoutDirection() == Qt.LayoutDirection.RightToLeft)
        painter.drawEllipse(QRectF(16 if right else 2, 5, 16, 16))

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        ring_on_focus(self, event)


class SwitchRow(QWidget):
    """A switch with what it means beside it."""

    toggled = Signal(bool)

    def __init__(self, words: str, help_: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(10)
        self.switch = Switch(words, self)
        column = QVBoxLayout()
        column.setSpacing(0)
        column.addWidget(Label(words, "body", "tx", self))
        column.addWidget(Label(help_, "small", "tx3", self).wrapped())
        layout.addWidget(self.switch, 0, Qt.AlignmentFlag.AlignTop)
        layout.addLayout(column, 1)
        self.switch.toggled.connect(self.toggled)


class Segmented(QFrame):
    """A choice of few, side by side."""

    chosen = Signal(int)

    def __init__(self, names: Sequence[str], name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "segmented")
        self.setAccessibleName(name)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(1, 1, 1, 1)
        layout.setSpacing(0)
        self._group = QButtonGroup(self)
        for index, text in enumerate(names):
            button = Button(text, "choice", small=True, parent=self)
            button.setCheckable(True)
            self._group.addButton(button, index)
            layout.addWidget(button)
        self._group.button(0).setChecked(True)
        self._group.idClicked.connect(self.chosen)

    def index(self) -> int:
        return self._group.checkedId()

    def set_names(self, names: Sequence[str]) -> None:
        """Other words for the same choices."""
        for index, text in enumerate(names):
            self._group.button(index).setText(text)

    def choose(self, index: int) -> None:
        self._group.button(index).setChecked(True)
