"""The sidebar: the pages that exist, grouped, with what needs a look; below 1100 px a rail of icons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PySide6.QtCore import QAbstractListModel, QEvent, QModelIndex, QPersistentModelIndex, QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import QFocusEvent, QMouseEvent, QPainter, QPen
from PySide6.QtWidgets import QFrame, QHBoxLayout, QListView, QStyledItemDelegate, QStyleOptionViewItem, QVBoxLayout, QWidget

from app.gui import icons, theme
from app.gui.labels import Label
from app.gui.state import State
from app.gui.widgets import Glyph
from app.gui.words import plural, tr

WIDE: Final = 200
RAIL: Final = 56
_ENTRY: Final = int(Qt.ItemDataRole.UserRole) + 1

Index = QModelIndex | QPersistentModelIndex
_NO_INDEX: Final = QModelIndex()


@dataclass(frozen=True, slots=True)
class Entry:
    """A page, or, with page "", the caption of a group."""

    page: str
    title: str
    glyph: str = ""


@dataclass(frozen=True, slots=True)
class Badge:
    """How many things on a page need a look, and why."""

    glyph: str
    count: int
    words: str


@dataclass(frozen=True, slots=True)
class Footer:
    glyph: str
    words: str
    ink: str
    icon_ink: str
    version: str


def badges(state: State) -> dict[str, Badge]:
    snapshot = state.snapshot
    if snapshot is None:
        return {}
    locked = sum(view.key_state == "unknown" for view in snapshot.providers)
    broken = sum(view.key_state == "missing" or view.account.test_ok is False for view in snapshot.providers)
    if locked:
        return {"providers": Badge("lock-key-fill", locked, plural(locked, "{n} key is locked", "{n} keys are locked"))}
    if broken:
        return {"providers": Badge("warning-fill", broken, plural(broken, "{n} needs attention", "{n} need attention"))}
    return {}


def footer(state: State) -> Footer:
    snapshot = state.snapshot
    version = tr("Version {version}", version=state.boot.version or (snapshot.version if snapshot else "–"))
    if snapshot is None or snapshot.vault.state == "starting" or (snapshot.state == "starting" and not snapshot.audit_seq):
        return Footer("hourglass", tr("Keys: not known yet"), "tx3", "tx3", version)
    vault = snapshot.vault
    place = tr("Passphrase vault") if vault.mode == "passphrase" else vault.place or tr("Keyring")
    if vault.mode == "session" and vault.state == "ready":
        return Footer("warning-fill", tr("This session only"), "wa", "wai", version)
    if vault.state == "ready":
        # A file sealed by a passphrase is not a keyring, and is marked as such.
        if vault.mode == "passphrase":
            return Footer("lock-key-open", tr("{place}, unlocked", place=place), "wa", "wai", version)
        return Footer("lock-key-open", tr("{place}, unlocked", place=place), "tx2", "oki", version)
    words = {
        "locked": tr("{place}, locked", place=place),
        "absent": tr("No keyring"),
        "empty": tr("Master key missing"),
        "denied": tr("{place}, refused", place=place),
    }
    return Footer("lock-key-fill" if vault.state == "locked" else "warning-fill", words[vault.state], "wa", "wai", version)


class _Entries(QAbstractListModel):
    def __init__(self, entries: Sequence[Entry], parent: QWidget) -> None:
        super().__init__(parent)
        self.entries = tuple(entries)
        self.badges: dict[str, Badge] = {}
        self.rail = False

    def rowCount(self, parent: Index = _NO_INDEX) -> int:
        return 0 if parent.isValid() else len(self.entries)

    def flags(self, index: Index) -> Qt.ItemFlag:
        if not index.isValid() or not self.entries[index.row()].page:
            return Qt.ItemFlag.NoItemFlags
        return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable

    def data(self, index: Index, role: int = int(Qt.ItemDataRole.DisplayRole)) -> object:
        entry = self.entries[index.row()]
        if role == _ENTRY:
            return entry
        badge = self.badges.get(entry.page)
        spoken = f"{entry.title}, {badge.words}" if badge else entry.title
        if role == Qt.ItemDataRole.DisplayRole:
            return entry.title
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return spoken
        if role == Qt.ItemDataRole.ToolTipRole:
            return spoken if self.rail else badge.words if badge else None
        return None


class _Delegate(QStyledItemDelegate):
    def __init__(self, model: _Entries, view: QListView) -> None:
        super().__init__(view)
        self._model = model
        self._view = view

    def sizeHint(self, _option: QStyleOptionViewItem, index: Index) -> QSize:
        look = theme.current()
        entry = self._model.entries[index.row()]
        if entry.page:
            return QSize(40, look.px(33))
        return QSize(40, 16 if self._model.rail else look.px(32))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        look = theme.current()
        entry = self._model.entries[index.row()]
        rect = QRectF(option.rect)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if not entry.page:
            if not self._model.rail:
                painter.setFont(look.font("caption"))
                painter.setPen(look.colour("tx3"))
                painter.drawText(rect.adjusted(8, 12, -8, -4), _READING, entry.title)
            painter.restore()
            return
        box = rect.adjusted(0, 0, 0, -1)
        on = index == self._view.currentIndex()
        if on or index.row() == self._view.property("hovered"):
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(look.colour("select" if on else "hover"))
            painter.drawRoundedRect(box, 6, 6)
        if on and self._view.hasFocus() and self._view.property("keyboard"):
            painter.setPen(QPen(look.colour("acc"), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(box.adjusted(1, 1, -1, -1), 6, 6)
        ink = look.colour("tx" if on else "tx2")
        badge = self._model.badges.get(entry.page)
        rail = self._model.rail
        direction = self._view.layoutDirection()
        place = box if rail else _mirrored(direction, box, QRectF(box.left() + 8, box.top(), 18, box.height()))
        icons.paint(painter, place, entry.glyph, look.colour("acctx") if on else ink, 18)
        if rail:
            if badge:
                icons.paint(painter, QRectF(box.center().x() + 1, box.top() + 3, 12, 12), badge.glyph, look.colour("wai"), 12)
            painter.restore()
            return
        painter.setFont(look.font("button"))
        painter.setPen(ink)
        painter.drawText(box.adjusted(36, 0, -36, 0), _READING, entry.title)
        if badge:
            painter.setFont(look.font("caption"))
            painter.setPen(look.colour("wa"))
            text = str(badge.count)
            width = painter.fontMetrics().horizontalAdvance(text)
            right = box.right() - 8
            number = _mirrored(direction, box, QRectF(right - width, box.top(), width + 1, box.height()))
            painter.drawText(number, int(Qt.AlignmentFlag.AlignCenter), text)
            mark = _mirrored(direction, box, QRectF(right - width - 15, box.top(), 12, box.height()))
            icons.paint(painter, mark, badge.glyph, look.colour("wai"), 12)
        painter.restore()


# The painter mirrors AlignLeft by itself where one reads from the right.
_READING: Final = int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft)


def _mirrored(direction: Qt.LayoutDirection, within: QRectF, place: QRectF) -> QRectF:
    if direction == Qt.LayoutDirection.LeftToRight:
        return place
    return QRectF(within.left() + within.right() - place.right(), place.top(), place.width(), place.height())


class _List(QListView):
    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setMouseTracking(True)
        self.setProperty("hovered", -1)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName(tr("Pages"))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        super().mouseMoveEvent(event)
        index = self.indexAt(event.position().toPoint())
        self._hover(index.row() if index.isValid() else -1)

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._hover(-1)

    def focusInEvent(self, event: QFocusEvent) -> None:
        self.setProperty("keyboard", event.reason() in (Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason))
        super().focusInEvent(event)

    def _hover(self, row: int) -> None:
        if self.property("hovered") != row:
            self.setProperty("hovered", row)
            self.viewport().update()


class Sidebar(QFrame):
    """`chosen` carries the page that was picked."""

    chosen = Signal(str)

    def __init__(self, entries: Sequence[Entry], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "sidebar")
        self._rail = False
        self._footer: Footer | None = None
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 1, 0)
        whole.setSpacing(0)
        brand = QHBoxLayout()
        brand.setContentsMargins(16, 14, 16, 14)
        brand.setSpacing(10)
        self._mark = Label("", "body", "tx", self)
        self._mark.setFixedSize(24, 24)
        self._name = Label(tr("Gatehouse"), "card", "tx", self)
        brand.addWidget(self._mark)
        brand.addWidget(self._name, 1)
        whole.addLayout(brand)

        self._model = _Entries(entries, self)
        self._list = _List(self)
        self._list.setModel(self._model)
        self._list.setItemDelegate(_Delegate(self._model, self._list))
        self._list.selectionModel().currentChanged.connect(self._on_current)
        shell = QHBoxLayout()
        shell.setContentsMargins(8, 0, 8, 0)
        shell.addWidget(self._list)
        whole.addLayout(shell, 1)

        self._foot = QFrame(self)
        foot = QVBoxLayout(self._foot)
        foot.setContentsMargins(16, 10, 12, 10)
        foot.setSpacing(0)
        line = QFrame(self)
        line.setProperty("role", "hairline")
        line.setFixedHeight(1)
        whole.addWidget(line)
        self._foot_line = line
        self._keys_mark = Glyph("hourglass", 14, "tx3", self._foot)
        self._keys = Label("", "caption", "tx2", self._foot).wrapped()
        keys = QHBoxLayout()
        keys.setSpacing(5)
        keys.addWidget(self._keys_mark, 0, Qt.AlignmentFlag.AlignTop)
        keys.addWidget(self._keys, 1)
        foot.addLayout(keys)
        self._version = Label("", "caption", "tx3", self._foot)
        foot.addWidget(self._version)
        whole.addWidget(self._foot)
        self.set_rail(False)

    def set_mark(self) -> None:
        """Draws the program's mark; after the first paint, because SVG takes a moment to load."""
        self._mark.setPixmap(icons.application_icon().pixmap(QSize(24, 24)))

    def set_rail(self, rail: bool) -> None:
        self._rail = rail
        self._model.rail = rail
        self._name.setHidden(rail)
        for part in (self._foot, self._foot_line):
            part.setHidden(rail)
        self.setFixedWidth(RAIL if rail else theme.current().px(WIDE))
        self._list.doItemsLayout()

    def select(self, page: str) -> None:
        for row, entry in enumerate(self._model.entries):
            if entry.page == page:
                self._list.setCurrentIndex(self._model.index(row))

    def show_state(self, state: State) -> None:
        now = badges(state)
        if now != self._model.badges:
            self._model.badges = now
            self._list.viewport().update()
        view = footer(state)
        if view != self._footer:
            self._footer = view
            self._keys_mark.set_glyph(view.glyph, view.icon_ink)
            self._keys.setText(view.words)
            self._keys.set_ink(view.ink)
            self._version.setText(view.version)

    @Slot(QModelIndex, QModelIndex)
    def _on_current(self, current: QModelIndex, _previous: QModelIndex) -> None:
        entry = current.data(_ENTRY)
        if isinstance(entry, Entry) and entry.page:
            self.chosen.emit(entry.page)
