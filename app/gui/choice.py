"""A choice of several in little room: a button that names the choice and opens a menu."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal, Slot
from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import QWidget

from app.gui.header import menu_text, styled_menu
from app.gui.widgets import Button
from app.gui.words import tr


class Choice(Button):
    """`chosen` when a person chose another; `choose` says nothing."""

    chosen = Signal(int)

    def __init__(self, names: Sequence[str], name: str, parent: QWidget | None = None) -> None:
        super().__init__(names[0], glyph="caret-down", small=True, trailing=True, parent=parent)
        self._names = tuple(names)
        self._name = name
        self._index = 0
        self.clicked.connect(self._open)
        self.choose(0)

    def index(self) -> int:
        return self._index

    def choose(self, index: int) -> None:
        self._index = index
        self.setText(menu_text(self._names[index]))
        self.setAccessibleName(tr("{what}: {chosen}", what=self._name, chosen=self._names[index]))
        self.setToolTip(self._name)

    @Slot()
    def _open(self) -> None:
        menu = styled_menu(self)
        menu.setLayoutDirection(self.window().layoutDirection())  # the button's own is turned for its arrow
        group = QActionGroup(menu)
        for number, name in enumerate(self._names):
            action = QAction(menu_text(name), menu)
            action.setCheckable(True)
            action.setChecked(number == self._index)
            action.setData(number)
            group.addAction(action)
            menu.addAction(action)
        group.triggered.connect(self._on_triggered)
        menu.popup(self.mapToGlobal(self.rect().bottomLeft()))

    @Slot(QAction)
    def _on_triggered(self, action: QAction) -> None:
        number = int(action.data())
        if number != self._index:
            self.choose(number)
            self.chosen.emit(number)
