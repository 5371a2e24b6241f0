"""Tables: immutable rows under keys, and the view with the look of the product."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from PySide6.QtCore import QAbstractTableModel, QEvent, QModelIndex, QRectF, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPainterPath, QRegion, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from app.gui import theme
from app.gui.cells import Cell, CellDelegate, Column, Index
from app.gui.theme import Type

CELL: Final = int(Qt.ItemDataRole.UserRole) + 1
KEY: Final = int(Qt.ItemDataRole.UserRole) + 2
_NO_INDEX: Final = QModelIndex()

R = TypeVar("R")


class Rows(QAbstractTableModel, Generic[R]):
    """Rows under a key each. `show` brings it to new rows with the fewest changes, so selection and scroll position stay."""

    def __init__(self, columns: Sequence[Column[R]], key: Callable[[R], str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.columns = tuple(columns)
        self._key = key
        self._rows: list[R] = []

    def rowCount(self, parent: Index = _NO_INDEX) -> int:
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = _NO_INDEX) -> int:
        return 0 if parent.isValid() else len(self.columns)

    def data(self, index: Index, role: int = int(Qt.ItemDataRole.DisplayRole)) -> Any:
        if not index.isValid() or not 0 <= index.row() < len(self._rows):
            return None
        row = self._rows[index.row()]
        if role == KEY:
            return self._key(row)
        if role not in _CELL_ROLES:
            return None
        column = self.columns[index.column()]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(column)
        cell = column.cell(row)
        if role == CELL:
            return cell
        if role == Qt.ItemDataRole.DisplayRole:
            return cell.text
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return cell.aloud()
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = int(Qt.ItemDataRole.DisplayRole)) -> Any:
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(self.columns):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self.columns[section].title
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(self.columns[section])
        return None

    def row(self, number: int) -> R:
        return self._rows[number]

    def rows(self) -> Sequence[R]:
        return self._rows

    def key(self, number: int) -> str:
        return self._key(self._rows[number])

    def number(self, key: str) -> int:
        """The row with `key`, or -1."""
        return next((number for number, row in enumerate(self._rows) if self._key(row) == key), -1)

    def show(self, rows: Sequence[R]) -> None:
        old = [self._key(row) for row in self._rows]
        new = [self._key(row) for row in rows]
        if old == new:
            self._update(rows)
            return
        kept = set(old) & set(new)
        if [key for key in old if key in kept] != [key for key in new if key in kept]:
            self.beginResetModel()
            self._rows = list(rows)
            self.endResetModel()
            return
        for number in range(len(old) - 1, -1, -1):
            if old[number] not in kept:
                self.beginRemoveRows(_NO_INDEX, number, number)
                del self._rows[number]
                self.endRemoveRows()
        number = 0
        while number < len(rows):
            if number < len(self._rows) and self.key(number) == new[number]:
                number += 1
                continue
            end = number
            while end < len(rows) and new[end] not in kept:
                end += 1
            self.beginInsertRows(_NO_INDEX, number, end - 1)
            self._rows[number:number] = rows[number:end]
            self.endInsertRows()
            number = end
        self._update(rows)

    def _update(self, rows: Sequence[R]) -> None:
        for number, row in enumerate(rows):
            if row != self._rows[number]:
                self._rows[number] = row
                self.dataChanged.emit(self.index(number, 0), self.index(number, len(self.columns) - 1))


class SortedRows(Rows[R]):
    """Rows in falling order of their keys (the newest first, as ids sort by time): what arrives is put in its place."""

    def merge(self, arrived: Sequence[R]) -> int:
        """Puts rows in; one whose key is there replaces it. Returns how many were new."""
        fresh: dict[str, R] = {self._key(row): row for row in arrived}
        for key in [key for key in fresh if self.number(key) >= 0]:
            number, row = self.number(key), fresh.pop(key)
            if row != self._rows[number]:
                self._rows[number] = row
                self.dataChanged.emit(self.index(number, 0), self.index(number, len(self.columns) - 1))
        ordered = sorted(fresh.items(), key=lambda item: item[0], reverse=True)
        if ordered and (not self._rows or ordered[-1][0] > self.key(0)):
            self._insert(0, [row for _key, row in ordered])
        elif ordered and ordered[0][0] < self.key(len(self._rows) - 1):
            self._insert(len(self._rows), [row for _key, row in ordered])
        else:
            for key, row in ordered:
                self._insert(self._place(key), [row])
        return len(ordered)

    def number(self, key: str) -> int:
        number = self._place(key)
        return number if number < len(self._rows) and self.key(number) == key else -1

    def cut(self, length: int) -> None:
        """Forgets all rows past the first `length`."""
        if len(self._rows) > length:
            self.beginRemoveRows(_NO_INDEX, length, len(self._rows) - 1)
            del self._rows[length:]
            self.endRemoveRows()

    def clear(self) -> None:
        self.beginResetModel()
        self._rows.clear()
        self.endResetModel()

    def _place(self, key: str) -> int:
        return bisect_left(self._rows, _Falling(key), key=self._falling)

    def _falling(self, row: R) -> _Falling:
        return _Falling(self._key(row))

    def _insert(self, at: int, rows: list[R]) -> None:
        self.beginInsertRows(_NO_INDEX, at, at + len(rows) - 1)
        self._rows[at:at] = rows
        self.endInsertRows()


@dataclass(frozen=True, slots=True)
class _Falling:
    key: str

    def __lt__(self, other: _Falling) -> bool:
        return self.key > other.key


class Table(QTableView):
    """A table with the look of the product. edge: space left and right of a row; gap: half the space between columns."""

    opened = Signal(str)
    chosen = Signal(str)
    hover_changed = Signal(int)

    def __init__(
        self,
        rows: Rows[Any],
        *,
        row_height: int = 32,
        edge: int = 16,
        gap: int = 6,
        dense: Type = "small",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._rows = rows
        self._row_height = row_height
        self._hovered = -1
        self._fits = False
        self._edge, self.gap = edge, gap
        self.dense: Type = dense
        self.mirrored = self.layoutDirection() == Qt.LayoutDirection.RightToLeft
        self.setModel(rows)
        self.setHorizontalHeader(Header(self))
        self.setItemDelegate(CellDelegate(self, self))
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setMouseTracking(True)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTabKeyNavigation(False)
        self.verticalHeader().hide()
        head = self.horizontalHeader()
        head.setHighlightSections(False)
        head.setSectionsClickable(False)
        head.setMinimumSectionSize(24)
        head.setStretchLastSection(False)
        self._set_metrics()
        self.doubleClicked.connect(self._on_double)

    @property
    def edge(self) -> int:
        return self._edge

    @edge.setter
    def edge(self, edge: int) -> None:
        if edge != self._edge:
            self._edge = edge
            self._share_out()
            self.viewport().update()

    def rows(self) -> Rows[Any]:
        return self._rows

    def cell(self, index: Index) -> Cell:
        """What stands at `index` of the model shown."""
        return self._rows.columns[index.column()].cell(self._rows.row(index.row()))

    def column(self, number: int) -> Column[Any]:
        return self._rows.columns[number]

    def is_last(self, number: int) -> bool:
        return number == len(self._rows.columns) - 1

    def hovered_row(self) -> int:
        return self._hovered

    def has_line_below(self, row: int) -> bool:
        return not self._fits or row < self._rows.rowCount() - 1

    def fit(self) -> None:
        """The table is exactly as high as its rows, and what holds it scrolls."""
        self._fits = True
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        model = self.model()
        for signal in (model.rowsInserted, model.rowsRemoved, model.modelReset):
            signal.connect(self._refit)
        self._refit()

    def pass_over(self, rows: int) -> None:
        """So many rows came in above: what is seen stays where it is."""
        self.updateGeometries()
        bar = self.verticalScrollBar()
        bar.setValue(bar.value() + rows * self.verticalHeader().defaultSectionSize())

    def current_key(self) -> str:
        index = self.currentIndex()
        return str(index.data(KEY)) if index.isValid() and self.selectionModel().isSelected(index) else ""

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        # Only an opaque viewport is moved when it scrolls; any other is painted anew, a screenful at each step. The style sheet has just
        # made it a transparent one.
        self.viewport().setAutoFillBackground(True)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.current_key():
            self.opened.emit(self.current_key())
            event.accept()
        elif event.key() in (Qt.Key.Key_Escape, Qt.Key.Key_Space):
            event.ignore()
        else:
            super().keyPressEvent(event)

    def currentChanged(self, current: Index, previous: Index) -> None:
        super().currentChanged(current, previous)
        if current.isValid():
            self.chosen.emit(str(current.data(KEY)))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        super().mouseMoveEvent(event)
        self._hover(self.rowAt(int(event.position().y())))

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._hover(-1)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._share_out()
        if self._fits:
            # It stands at the foot of a card: its lower corners follow the card's.
            path = QPainterPath()
            path.addRoundedRect(QRectF(0, -20, self.width(), self.height() + 20), 9, 9)
            self.setMask(QRegion(path.toFillPolygon().toPolygon()))

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.LayoutDirectionChange:
            self.mirrored = self.layoutDirection() == Qt.LayoutDirection.RightToLeft
        if event.type() == QEvent.Type.FontChange:
            self._set_metrics()
            self._share_out()
            if self._fits:
                self._refit()

    def _hover(self, row: int) -> None:
        if row != self._hovered:
            self._hovered = row
            self.viewport().update()
            self.hover_changed.emit(row)

    def _on_double(self, index: QModelIndex) -> None:
        self.opened.emit(str(index.data(KEY)))

    def _set_metrics(self) -> None:
        look, rows, bar = theme.current(), self.verticalHeader(), self.verticalScrollBar()
        before, height = rows.defaultSectionSize(), look.px(self._row_height)
        top = bar.value()
        rows.setMinimumSectionSize(height)  # first: no row may be lower than it
        rows.setDefaultSectionSize(height)
        self.horizontalHeader().setFixedHeight(look.px(28))
        if top and height != before:  # the row at the top stays there
            self.updateGeometries()
            bar.setValue(top * height // before)

    def _refit(self) -> None:
        height = self.horizontalHeader().height() + self.model().rowCount() * self.verticalHeader().defaultSectionSize()
        self.setFixedHeight(height)

    def _share_out(self) -> None:
        """Columns with a sample get what it needs; the others share the rest. Where that is too little, low-value columns go."""
        look = theme.current()
        body, head = look.metrics(self.dense), look.metrics("caption")
        columns = self._rows.columns
        last = len(columns) - 1
        needs: dict[int, int] = {}
        free: dict[int, int] = {}
        for number, column in enumerate(columns):
            if not column.sample:
                free[number] = look.px(column.least)
                continue
            pads = (self.edge if number == 0 else self.gap) + (self.edge if number == last else self.gap)
            needed = max(body.horizontalAdvance(column.sample), head.horizontalAdvance(column.title) + 6) + pads + 2
            needs[number] = max(needed, look.px(column.least))
        room = self.viewport().width()
        going = sorted((number for number in needs if columns[number].low), key=lambda number: columns[number].low)
        while going and room - sum(needs.values()) < sum(free.values()):
            del needs[going.pop()]
        if sum(needs.values()) + sum(free.values()) > room:
            free = dict.fromkeys(free, look.px(60))
        rest = max(0, room - sum(needs.values()) - sum(free.values()))
        widths = needs | {number: least + rest // len(free) for number, least in free.items()}
        for number in range(len(columns)):
            self.setColumnHidden(number, number not in widths)
            if number in widths:
                self.setColumnWidth(number, widths[number])


class Header(QHeaderView):
    """A header whose titles stand exactly over the cells' text."""

    def __init__(self, table: Table) -> None:
        super().__init__(Qt.Orientation.Horizontal, table)
        self._table = table

    def paintSection(self, painter: QPainter, rect: Any, logical: int) -> None:
        look = theme.current()
        painter.fillRect(rect, look.colour("sunken"))
        painter.fillRect(QRectF(rect.left(), rect.bottom(), rect.width(), 1), look.colour("line"))
        columns = self._table.rows().columns
        column = columns[logical]
        left = self._table.edge if logical == 0 else self._table.gap
        right = self._table.edge if logical == len(columns) - 1 else self._table.gap
        painter.setFont(look.font("caption"))
        painter.setPen(look.colour("tx3"))
        if self.layoutDirection() == Qt.LayoutDirection.RightToLeft:
            left, right = right, left
        painter.drawText(QRectF(rect).adjusted(left, 0, -right, -1), int(_alignment(column)), column.title)


_CELL_ROLES: Final = frozenset(
    {CELL, int(Qt.ItemDataRole.DisplayRole), int(Qt.ItemDataRole.AccessibleTextRole), int(Qt.ItemDataRole.TextAlignmentRole)}
)


def _alignment(column: Column[Any]) -> Qt.AlignmentFlag:
    side = Qt.AlignmentFlag.AlignRight if column.number else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter
