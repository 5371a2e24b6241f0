"""Ctrl K: every page and command by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, QRectF, QSize, Qt, Slot
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPen
from PySide6.QtWidgets import QFrame, QLineEdit, QListView, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from app.gui import icons, theme
from app.gui.labels import Label
from app.gui.sheet import Sheet
from app.gui.widgets import Glyph, hairline, row_of
from app.gui.words import tr

Index = QModelIndex | QPersistentModelIndex
_NO_INDEX: Final = QModelIndex()
_ITEM: Final = int(Qt.ItemDataRole.UserRole) + 1


@dataclass(frozen=True, slots=True)
class Command:
    """group: the caption it stands under. words, then muted where it leads; keys: its shortcut."""

    group: str
    glyph: str
    words: str
    where: str
    keys: str
    run: Callable[[], None]


def matching(commands: Sequence[Command], text: str) -> list[Command | str]:
    """The commands whose words contain every word of `text`, with the captions of the groups they stand in."""
    words = text.casefold().split()
    found: list[Command | str] = []
    group = ""
    for command in commands:
        searched = f"{command.words} {command.where}".casefold()
        if all(word in searched for word in words):
            if command.group != group:
                group = command.group
                found.append(group)
            found.append(command)
    return found


class Palette(Sheet):
    def __init__(self, commands: Sequence[Command], parent: QWidget) -> None:
        super().__init__(tr("Find"), width=600, parent=parent)
        self._commands = tuple(commands)
        for part in (self.title, self.explanation, self.consequence):
            part.hide()
        self.head.setContentsMargins(0, 0, 0, 0)
        body = self.fill()
        self._line = QLineEdit(self.frame)
        self._line.setProperty("bare", "true")
        self._line.setPlaceholderText(tr("Page, command, request, client"))
        self._line.setAccessibleName(tr("Find a page or command"))
        self._line.textChanged.connect(self._on_text)
        self._line.installEventFilter(self)
        esc = Label("Esc", "caption", "tx3", self.frame)
        row = row_of(Glyph("magnifying-glass", 18, "tx2", self.frame), self._line, esc)
        row.setStretch(1, 1)
        row.setContentsMargins(16, 8, 16, 8)
        body.addLayout(row)
        body.addWidget(hairline(self.frame))
        self._model = _Found(self)
        self._list = _List(self.frame)
        self._list.setModel(self._model)
        self._list.setItemDelegate(_Delegate(self._list))
        self._list.clicked.connect(self._on_clicked)
        body.addWidget(self._list)
        self._nothing = Label(tr("No page, command, request or client has this in its name."), "body", "tx3", self.frame)
        self._nothing.setMargin(16)
        self._nothing.hide()
        body.addWidget(self._nothing)
        self.foot.setContentsMargins(16, 7, 16, 7)
        self.foot.addWidget(Label(tr("Searches names on this machine only"), "small", "tx3", self.frame))
        self.foot.addStretch(1)
        self.foot.addWidget(Label(tr("↑ ↓ to move, Enter to run"), "small", "tx3", self.frame))
        self._on_text("")

    def first(self) -> QLineEdit:
        return self._line

    def found(self) -> list[Command | str]:
        return self._model.items

    def submit(self) -> None:
        item = self._list.currentIndex().data(_ITEM)
        if isinstance(item, Command):
            self.close_now()
            item.run()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            self._move(-1 if event.key() == Qt.Key.Key_Up else 1)
            event.accept()
            return
        super().keyPressEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if not self.frame.geometry().contains(event.position().toPoint()):
            self.dismiss()
        event.accept()

    def _move(self, step: int) -> None:
        row = self._list.currentIndex().row()
        for _ in self._model.items:
            row = (row + step) % len(self._model.items)
            if isinstance(self._model.items[row], Command):
                self._list.setCurrentIndex(self._model.index(row))
                return

    @Slot(str)
    def _on_text(self, text: str) -> None:
        self._model.show(matching(self._commands, text))
        self._list.setVisible(bool(self._model.items))
        self._nothing.setVisible(not self._model.items)
        if self._model.items:
            self._list.setCurrentIndex(self._model.index(1))
        look = theme.current()
        height = sum(look.px(34 if isinstance(item, Command) else 28) for item in self._model.items)
        self._list.setFixedHeight(min(height + 12, look.px(440)))
        self.refit()

    @Slot(QModelIndex)
    def _on_clicked(self, index: QModelIndex) -> None:
        if isinstance(index.data(_ITEM), Command):
            self._list.setCurrentIndex(index)
            self.submit()


class _Found(QAbstractListModel):
    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.items: list[Command | str] = []

    def show(self, items: list[Command | str]) -> None:
        self.beginResetModel()
        self.items = items
        self.endResetModel()

    def rowCount(self, parent: Index = _NO_INDEX) -> int:
        return 0 if parent.isValid() else len(self.items)

    def flags(self, index: Index) -> Qt.ItemFlag:
        if isinstance(self.items[index.row()], Command):
            return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        return Qt.ItemFlag.NoItemFlags

    def data(self, index: Index, role: int = int(Qt.ItemDataRole.DisplayRole)) -> object:
        item = self.items[index.row()]
        if role == _ITEM:
            return item
        if role == Qt.ItemDataRole.DisplayRole:
            return item.words if isinstance(item, Command) else item
        return None


class _List(QListView):
    def __init__(self, parent: QFrame) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setViewportMargins(6, 2, 6, 6)


class _Delegate(QStyledItemDelegate):
    def sizeHint(self, _option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(100, theme.current().px(34 if isinstance(index.data(_ITEM), Command) else 28))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        look = theme.current()
        rect = QRectF(option.rect)
        view = self.parent()
        item = index.data(_ITEM)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        middle = int(Qt.AlignmentFlag.AlignVCenter)
        if not isinstance(item, Command):
            painter.setFont(look.font("caption"))
            painter.setPen(look.colour("tx3"))
            painter.drawText(rect.adjusted(10, 6, 0, 0), middle, str(item))
            painter.restore()
            return
        on = isinstance(view, QListView) and view.currentIndex() == index
        if on:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(look.colour("acc"))
            painter.drawRoundedRect(rect, 6, 6)
        ink = look.colour("onacc" if on else "tx")
        icons.paint(painter, QRectF(rect.left() + 10, rect.top(), 16, rect.height()), item.glyph, look.colour("onacc" if on else "tx2"), 16)
        painter.setFont(look.font("body"))
        painter.setPen(ink)
        wide = painter.fontMetrics().horizontalAdvance(item.words)
        painter.drawText(rect.adjusted(34, 0, -10, 0), middle, item.words)
        painter.setFont(look.font("small"))
        painter.setPen(look.colour("onacc" if on else "tx3"))
        painter.drawText(rect.adjusted(34 + wide + 8, 0, -10, 0), middle, item.where)
        if item.keys:
            painter.setFont(look.font("caption"))
            width = painter.fontMetrics().horizontalAdvance(item.keys) + 10
            box = QRectF(rect.right() - 10 - width, rect.center().y() - 9, width, 18)
            painter.setPen(QPen(look.colour("line"), 1))
            painter.setBrush(look.colour("surface" if on else "sunken"))
            painter.drawRoundedRect(box, 4, 4)
            painter.setPen(look.colour("tx3"))
            painter.drawText(box, int(Qt.AlignmentFlag.AlignCenter), item.keys)
        painter.restore()
