"""Lines to read and copy, exactly as they are: the gateway's log, the names of an account's models."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import Slot
from PySide6.QtGui import QTextCursor
from PySide6.QtWidgets import QPlainTextEdit, QWidget

from app.gui.sheet import Sheet
from app.gui.words import tr


class TextSheet(Sheet):
    """show: the line that is to be in the middle at first, counted from 0."""

    def __init__(
        self, title: str, explanation: str, lines: Sequence[str], copy: Callable[[str], None], parent: QWidget, *, show: int = 0
    ) -> None:
        super().__init__(title, explanation, width=760, height=520, parent=parent)
        self._copy = copy
        self._text = QPlainTextEdit(self.frame)
        self._text.setReadOnly(True)
        self._text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self._text.setAccessibleName(title)
        self._text.setPlainText("\n".join(lines))
        self.body.addWidget(self._text, 1)
        button = self.add_button(tr("Copy"))
        button.clicked.connect(self._on_copy)
        self._close = self.add_cancel(tr("Close"))
        self._line = show

    def open(self, first: QWidget | None = None) -> None:
        super().open(first)
        self._text.setTextCursor(QTextCursor(self._text.document().findBlockByNumber(self._line)))
        self._text.centerCursor()

    def first(self) -> QWidget:
        return self._close

    @Slot()
    def _on_copy(self) -> None:
        self._copy(self._text.toPlainText())
