"""Add a provider: choose a kind, name it, give its address and key. The key leaves this window the moment Add is pressed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, QRectF, QSize, QSortFilterProxyModel, Qt, Slot
from PySide6.QtGui import QFontMetrics, QPainter
from PySide6.QtWidgets import QFrame, QHBoxLayout, QListView, QScrollArea, QStyledItemDelegate, QStyleOptionViewItem, QVBoxLayout, QWidget

from app.control.contract import Kind, NewProvider, ProviderView
from app.core.errors import AppError
from app.core.records import Destination
from app.core.secret import Secret
from app.gui import accounts, theme
from app.gui.fields import Field, SearchField, SecretField, SwitchRow
from app.gui.labels import Label
from app.gui.session import Session
from app.gui.sheet import Sheet
from app.gui.widgets import Button, Status, hairline, paint_tile, row_of
from app.gui.words import plural, tr

Index = QModelIndex | QPersistentModelIndex
_NO_INDEX: Final = QModelIndex()
_KIND: Final = int(Qt.ItemDataRole.UserRole) + 1

# Which field an error is about. What is not here is said in the foot.
_FIELD_OF: Final = {
    "name_invalid": "name",
    "name_taken": "name",
    "url_invalid": "url",
    "destination_refused": "url",
    "key_required": "key",
}


@dataclass(frozen=True, slots=True)
class Draft:
    """What is typed, without the key."""

    name: str
    base_url: str
    local: bool
    has_key: bool


@dataclass(frozen=True, slots=True)
class Check:
    """What is wrong with a draft, at which field, and where its destination is."""

    name: str = ""
    url: str = ""
    key: str = ""
    destination: str = ""

    @property
    def good(self) -> bool:
        return not (self.name or self.url or self.key)


def check(kind: Kind, draft: Draft, taken: Sequence[str]) -> Check:
    """What can be known before asking the engine, so that a slip does not cost a pasted key."""
    name = url = key = destination = ""
    if not draft.name:
        name = tr("Give it a name.")
    elif draft.name in taken:
        name = tr("There is already a provider called {name}.", name=draft.name)
    if not draft.base_url:
        url = tr("Give the address of its API.")
    else:
        try:
            place = Destination.of(draft.base_url, local=draft.local)
        except ValueError as error:
            url = str(error) if str(error).endswith(".") else tr("The address is not a URL.")
        else:
            destination = str(place)
    if kind.needs_key and not draft.has_key:
        key = tr("Paste the key.")
    return Check(name, url, key, destination)


def free_name(kind: Kind, taken: Sequence[str]) -> str:
    """The kind's own name, or with a number where that is taken."""
    number = 1
    while (name := kind.id if number == 1 else f"{kind.id}-{number}") in taken:
        number += 1
    return name


class AddProviderSheet(Sheet):
    def __init__(self, session: Session, parent: QWidget) -> None:
        words = accounts.where_a_key_goes(session.state.snapshot)
        super().__init__(tr("Add provider"), words, width=760, height=616, parent=parent)
        self._session = session
        self._kind: Kind | None = None
        self._named = ""
        self._waits = False
        self._gave_key = False
        body = self.fill()
        body.addWidget(hairline(self.frame))
        halves = QHBoxLayout()
        halves.setSpacing(0)
        halves.addWidget(self._build_side())
        halves.addWidget(self._build_form(), 1)
        body.addLayout(halves, 1)
        self.add_cancel()
        self._add = self.add_button(tr("Add"), "primary")
        self._add.clicked.connect(self._on_add)
        self._add.setEnabled(False)
        session.read_kinds(self._on_kinds, self._on_kinds_failed)

    def first(self) -> QWidget:
        return self._search.line

    def submit(self) -> None:
        if self._list.hasFocus() or self._search.line.hasFocus():
            self._name.line.setFocus()
        else:
            self._on_add()

    def forget(self) -> None:
        self._key.wipe()

    # -- the two halves

    def _build_side(self) -> QFrame:
        side = QFrame(self.frame)
        side.setProperty("role", "sheetside")
        theme.follow(side, lambda: side.setFixedWidth(theme.current().px(264)))
        column = QVBoxLayout(side)
        column.setContentsMargins(8, 12, 8, 8)
        column.setSpacing(8)
        self._search = SearchField(tr("Kinds, A to Z"), side)
        self._search.changed.connect(self._on_search)
        column.addWidget(self._search)
        self._kinds = _Kinds(side)
        self._found = QSortFilterProxyModel(side)
        self._found.setSourceModel(self._kinds)
        self._found.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self._list = QListView(side)
        self._list.setModel(self._found)
        self._list.setItemDelegate(_KindDelegate(self._list))
        self._list.setMouseTracking(True)
        self._list.setAccessibleName(tr("Kind of provider"))
        self._list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._list.selectionModel().currentChanged.connect(self._on_kind)
        self._nothing = Label(
            tr("No kind has this in its name. For a server of your own, look for “compatible”."), "small", "tx3", side
        ).wrapped()
        self._nothing.hide()
        column.addWidget(self._nothing)
        column.addWidget(self._list, 1)
        return side

    def _build_form(self) -> QScrollArea:
        area = QScrollArea(self.frame)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        form = QWidget(area)
        form.setProperty("role", "scrolled")
        column = QVBoxLayout(form)
        column.setContentsMargins(24, 16, 24, 16)
        column.setSpacing(14)
        self._waiting = Label(tr("Reading what can be added…"), "body", "tx3", form)
        column.addWidget(self._waiting)
        self._form = QWidget(form)
        fields = QVBoxLayout(self._form)
        fields.setContentsMargins(0, 0, 0, 0)
        fields.setSpacing(14)
        self._name = Field(tr("Name"), parent=self._form)
        self._url = Field(tr("Base URL"), mono=True, parent=self._form)
        self._key = SecretField(tr("API key"), parent=self._form)
        self._local = SwitchRow(
            tr("The server is on this machine or network"),
            tr("Then loopback and private addresses are allowed, and only those."),
            self._form,
        )
        for field in (self._name, self._url, self._key):
            fields.addWidget(field)
            field.edited.connect(self._on_edited)
        self._page = Button(tr("Open the page where keys are made"), "link", parent=self._form)
        self._page.clicked.connect(self._on_page)
        fields.addLayout(row_of(self._page, None))
        fields.addWidget(hairline(self._form))
        fields.addWidget(self._local)
        self._failure = Status("small", self._form)
        self._failure.hide()
        self._why = Label("", "small", "tx2", self._form).wrapped()
        self._why.hide()
        fields.addWidget(self._failure)
        fields.addWidget(self._why)
        self._local.toggled.connect(self._on_edited)
        self._form.hide()
        column.addWidget(self._form)
        column.addStretch(1)
        area.setWidget(form)
        return area

    # -- kinds

    def _on_kinds(self, kinds: list[Kind]) -> None:
        self._waiting.hide()
        self._form.show()
        self._kinds.show(sorted(kinds, key=lambda kind: kind.label.casefold()))
        self._search.line.setPlaceholderText(plural(len(kinds), "{n} kind", "{n} kinds, A to Z"))
        if kinds:
            self._list.setCurrentIndex(self._found.index(0, 0))

    def _on_kinds_failed(self, error: AppError) -> None:
        self._waiting.setText(error.sentence())
        self._waiting.set_ink("er")
        self._waiting.wrapped()

    @Slot(str)
    def _on_search(self, text: str) -> None:
        self._found.setFilterFixedString(text.strip())
        self._nothing.setVisible(not self._found.rowCount())
        if self._found.rowCount() and not self._list.currentIndex().isValid():
            self._list.setCurrentIndex(self._found.index(0, 0))

    @Slot(QModelIndex, QModelIndex)
    def _on_kind(self, current: QModelIndex, _previous: QModelIndex) -> None:
        kind = current.data(_KIND)
        if not isinstance(kind, Kind) or kind == self._kind:
            return
        self._kind = kind
        # A name the person typed stays; one that we proposed follows the kind.
        if not self._name.text() or self._name.text() == self._named:
            self._named = free_name(kind, self._taken())
            self._name.line.setText(self._named)
        self._url.line.setText(kind.base_url)
        self._url.line.setPlaceholderText("https://" if not kind.local else "http://127.0.0.1:")
        self._local.switch.setChecked(kind.local)
        self._key.label.setText(tr("API key") if kind.needs_key else tr("API key, if it wants one"))
        where = kind.key_url.removeprefix("https://")
        self._key.set_help(tr("Keys are made at {url}", url=where) if where else tr("Shown only while you look."))
        self._page.setVisible(bool(where))
        self._key.line.setPlaceholderText(kind.key_example)
        for field in (self._name, self._url, self._key):
            field.set_error("")
        self._add.setText(tr("Add {kind}", kind=kind.label))
        self._add.setEnabled(True)
        self._on_edited()

    # -- the form

    def _taken(self) -> tuple[str, ...]:
        snapshot = self._session.state.snapshot
        return tuple(view.account.name for view in snapshot.providers) if snapshot is not None else ()

    def _draft(self) -> Draft:
        return Draft(self._name.text(), self._url.text(), self._local.switch.isChecked(), bool(self._key.line.text().strip()))

    @Slot()
    def _on_edited(self) -> None:
        if self._kind is None:
            return
        found = check(self._kind, self._draft(), self._taken())
        name = self._name.text() or self._kind.id
        self._name.set_help(tr("Clients ask for its models as {name}/model.", name=name))
        if found.destination:
            self._url.set_help(tr("Adding this declares one destination: {place}", place=found.destination))
        else:
            self._url.set_help(tr("Where its API is. Nothing else will be contacted."))
        self.consequence.setText(tr("Writes 2 audit entries: provider added, key tested."))
        self._failure.hide()
        self._why.hide()

    @Slot()
    def _on_page(self) -> None:
        if self._kind is not None:
            self._session.open_link(self._kind.id)

    @Slot()
    def _on_add(self) -> None:
        if self._kind is None or self._waits:
            return
        found = check(self._kind, self._draft(), self._taken())
        if not found.good:
            self._show_errors({"name": found.name, "url": found.url, "key": found.key})
            return
        draft = self._draft()
        # Taken out of the field before anything else happens to it; from here on only the command holds it.
        key: Secret | None = self._key.take() if draft.has_key else None
        self._gave_key = draft.has_key
        self._wait(True)
        provider = NewProvider(name=draft.name, kind=self._kind.id, base_url=draft.base_url, local=draft.local)
        self._session.add_provider(provider, key, self._on_added, self._on_failed)

    def _on_added(self, _view: ProviderView) -> None:
        self.close_now()  # the engine tests the key by itself, and the session tells what comes of it

    def _on_failed(self, error: AppError) -> None:
        self._wait(False)
        field = _FIELD_OF.get(error.code)
        if field is not None:
            self._show_errors({field: error.sentence()})
        else:
            self._failure.show_state("x-circle-fill", error.message, "er")
            self._failure.show()
            self._why.setText(error.hint)
            self._why.setVisible(bool(error.hint))
        if self._gave_key and field != "key":
            self._key.set_help(tr("The field was emptied when you pressed Add: paste the key again."))

    def _show_errors(self, errors: dict[str, str]) -> None:
        fields = {"name": self._name, "url": self._url, "key": self._key}
        first = None
        for name, field in fields.items():
            field.set_error(errors.get(name, ""))
            if errors.get(name) and first is None:
                first = field
        if first is not None:
            first.line.setFocus()

    def _wait(self, waiting: bool) -> None:
        self._waits = waiting
        self._add.setEnabled(not waiting)
        self._form.setEnabled(not waiting)
        label = self._kind.label if self._kind is not None else ""
        self._add.setText(tr("Adding…") if waiting else tr("Add {kind}", kind=label))


class _Kinds(QAbstractListModel):
    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._kinds: list[Kind] = []

    def show(self, kinds: list[Kind]) -> None:
        self.beginResetModel()
        self._kinds = kinds
        self.endResetModel()

    def rowCount(self, parent: Index = _NO_INDEX) -> int:
        return 0 if parent.isValid() else len(self._kinds)

    def data(self, index: Index, role: int = int(Qt.ItemDataRole.DisplayRole)) -> object:
        kind = self._kinds[index.row()]
        if role == _KIND:
            return kind
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return kind.label
        return None


class _KindDelegate(QStyledItemDelegate):
    def sizeHint(self, _option: QStyleOptionViewItem, _index: Index) -> QSize:
        return QSize(100, theme.current().px(36))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        look = theme.current()
        rect = QRectF(option.rect)
        kind, view = index.data(_KIND), self.parent()
        if not isinstance(kind, Kind) or not isinstance(view, QListView):
            return
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if view.currentIndex() == index:
            painter.setPen(look.colour("acc") if view.hasFocus() else Qt.PenStyle.NoPen)
            painter.setBrush(look.colour("rowsel"))
            painter.drawRoundedRect(rect.adjusted(0.5, 0.5, -0.5, -0.5), 6, 6)
        mark = QRectF(rect.left() + 10, rect.center().y() - 11.5, 24, 24)
        paint_tile(painter, mark, accounts.letter(kind.label), "desktop" if kind.local else "")
        font = look.font("body")
        painter.setFont(font)
        painter.setPen(look.colour("tx"))
        area = rect.adjusted(42, 0, -8, 0)
        text = QFontMetrics(font).elidedText(kind.label, Qt.TextElideMode.ElideRight, int(area.width()))
        painter.drawText(area, int(Qt.AlignmentFlag.AlignVCenter), text)
        painter.restore()
