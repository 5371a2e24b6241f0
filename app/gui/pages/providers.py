"""Providers: each account with where its key is, what its last test said, and what it did today."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QHBoxLayout, QWidget

from app.control.contract import ProviderView, VaultMode
from app.gui import accounts
from app.gui import format as fmt
from app.gui.cells import Cell, Column
from app.gui.closed import ClosedCard
from app.gui.header import menu_text, styled_menu
from app.gui.page import Page
from app.gui.session import Session
from app.gui.state import Closed, State, closed
from app.gui.tables import Rows, Table
from app.gui.widgets import Button, Card, CardHead, EmptyState
from app.gui.words import plural, tr


@dataclass(frozen=True, slots=True)
class Row:
    """An account as its line shows it. testing: a test is under way. keyless: it needs a key and has none."""

    name: str
    label: str
    host: str
    local: bool
    key: accounts.Words
    test: accounts.Words
    models: str
    today: str
    testing: bool
    keyless: bool


@dataclass(frozen=True, slots=True)
class View:
    remark: str
    can_add: bool
    can_act: bool
    cloud: tuple[Row, ...]
    local: tuple[Row, ...]
    closed: Closed | None


def present(state: State, now_us: int) -> View:
    snapshot = state.snapshot
    views = snapshot.providers if snapshot is not None else ()
    mode = snapshot.vault.mode if snapshot is not None else "keyring"
    rows = tuple(_row(state, view, mode, now_us) for view in views)
    open_ = state.works and snapshot is not None and snapshot.state in ("running", "failing")
    return View(
        remark=accounts.keys_words(state),
        can_add=open_,
        can_act=state.works,
        cloud=tuple(row for row in rows if not row.local),
        local=tuple(row for row in rows if row.local),
        closed=closed(state),
    )


def _row(state: State, view: ProviderView, mode: VaultMode, now_us: int) -> Row:
    account = view.account
    return Row(
        name=account.name,
        label=accounts.title(view),
        host=accounts.host_words(view),
        local=account.local,
        key=accounts.key_words(view, mode),
        test=accounts.test_words(state, view, now_us),
        models=fmt.ABSENT if account.tested_us is None else fmt.count(len(account.models)),
        today=fmt.count(view.today),
        testing=state.is_busy("test", account.name),
        keyless=view.key_state == "missing",
    )


def _name_cell(row: Row) -> Cell:
    letter, tile = ("", "desktop") if row.local else (accounts.letter(row.label), "")
    return Cell(row.label, strong=True, letter=letter, tile=tile, second=row.host, second_mono=True, spoken=f"{row.label}, {row.host}")


def _key_cell(row: Row) -> Cell:
    words = row.key
    if not words.detail:
        return Cell(words.word, words.tone if words.tone.startswith("tx") else "tx2", glyph=words.glyph, tone=words.tone)
    return Cell(words.word, glyph=words.glyph, tone=words.tone, second=words.detail, second_mono="…" in words.detail)


def _test_cell(row: Row) -> Cell:
    return Cell(row.test.word, glyph=row.test.glyph, tone=row.test.tone, second=row.test.detail)


def _models_cell(row: Row) -> Cell:
    return Cell(row.models, "tx3" if row.models == fmt.ABSENT else "tx")


def _nothing(_row: Row) -> Cell:
    return Cell()


def columns(title: str) -> tuple[Column[Row], ...]:
    return (
        Column(title, _name_cell, least=200),
        Column(tr("Key"), _key_cell, least=170),
        Column(tr("Last test"), _test_cell, least=176),
        Column(tr("Models"), _models_cell, sample="1,000", number=True, least=64, low=1),
        Column(tr("Today"), lambda row: Cell(row.today), sample="10,000", number=True, least=64),
        Column("", _nothing, sample="Testing… mmmm", least=148),
    )


class ProvidersPage(Page):
    NAME: ClassVar[str] = "providers"

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(tr("Providers"), session, parent)
        self._view: View | None = None
        self._add = Button(tr("Add provider"), "primary", glyph="plus", parent=self)
        self._add.clicked.connect(partial(self.wanted.emit, "add-provider"))
        self.title_row.addWidget(self._add)
        self._cloud = _Block(tr("Cloud providers"), tr("Each is asked only when a client names one of its models."), tr("Provider"), self)
        self._local = _Block(
            tr("On this machine"),
            tr("Marked as local: only loopback and private addresses."),
            tr("Server"),
            self,
        )
        self._blocks = (self._cloud, self._local)
        for block in self._blocks:
            self.body.addWidget(block)
        first = Button(tr("Add provider"), "primary", small=True, parent=self)
        first.clicked.connect(partial(self.wanted.emit, "add-provider"))
        self._first = first
        empty = EmptyState("hard-drives", tr("No provider yet"), tr("Add a key, or use a model server on this machine."), (first,), self)
        self._empty_card = Card(pad=0, parent=self)
        self._empty_card.setMinimumHeight(260)
        self._empty_card.column.addWidget(empty)
        self.body.addWidget(self._empty_card)
        self._closed = ClosedCard(self)
        self.body.addWidget(self._closed)

    def refresh(self, state: State, now_us: int) -> None:
        view = present(state, now_us)
        if view == self._view:
            return
        self._view = view
        self.remark.setText(view.remark)
        self._add.setEnabled(view.can_add)
        self._first.setEnabled(view.can_add)
        none = not view.cloud and not view.local
        # One primary button in a view: in the empty state it is the one in the middle.
        self._add.setVisible(not none)
        self._empty_card.setVisible(none and view.closed is None)
        self._closed.show_closed(view.closed if none else None)
        self._cloud.show_rows(view.cloud, view.can_act)
        self._local.show_rows(view.local, view.can_act)

    @Slot()
    def test(self) -> None:
        """F5: the chosen account, or all of them."""
        for block in self._blocks:
            if block.table.hasFocus() and block.table.current_key():
                self.session.test_provider(block.table.current_key())
                return
        if self._view is not None:
            for row in self._view.cloud + self._view.local:
                self.session.test_provider(row.name)


class _Block(Card):
    """A card with the table of one sort of provider."""

    def __init__(self, title: str, remark: str, first_column: str, page: ProvidersPage) -> None:
        super().__init__(pad=0, spacing=0, parent=page)
        self._page = page
        self.column.setContentsMargins(1, 0, 1, 1)
        self.column.addWidget(CardHead(title, remark, self))
        self._rows: Rows[Row] = Rows(columns(first_column), lambda row: row.name, self)
        self.table = Table(self._rows, row_height=56, dense="body", gap=8, parent=self)
        self.table.setAccessibleName(title)
        self.table.opened.connect(self._on_opened)
        self.table.fit()
        self.column.addWidget(self.table)

    def show_rows(self, rows: Sequence[Row], can_act: bool) -> None:
        self._rows.show(rows)
        self.setVisible(bool(rows))
        last = len(self._rows.columns) - 1
        for number, row in enumerate(rows):
            index = self._rows.index(number, last)
            actions = self.table.indexWidget(index)
            if not isinstance(actions, _Actions):
                actions = _Actions(row.name, self._page, self)
                self.table.setIndexWidget(index, actions)
            actions.show_row(row, can_act)

    @Slot(str)
    def _on_opened(self, name: str) -> None:
        number = self._rows.number(name)
        if number >= 0:
            actions = self.table.indexWidget(self._rows.index(number, len(self._rows.columns) - 1))
            if isinstance(actions, _Actions):
                actions.open_menu()


class _Actions(QWidget):
    """Test, and the rest behind a menu, at the end of a row."""

    def __init__(self, name: str, page: ProvidersPage, parent: QWidget) -> None:
        super().__init__(parent)
        self._name = name
        self._page = page
        self._row: Row | None = None
        layout = QHBoxLayout(self)
        layout.setContentsMargins(8, 0, 16, 1)
        layout.setSpacing(4)
        layout.addStretch(1)
        self._key = Button(tr("Add key"), "soft", small=True, parent=self)
        self._key.clicked.connect(partial(self._want, "replace-key"))
        self._test = Button(tr("Test"), small=True, parent=self)
        self._test.setAccessibleName(tr("Test {name}", name=name))
        self._test.clicked.connect(self._on_test)
        self._more = Button(kind="ghost", glyph="dots-three", small=True, name=tr("More for {name}", name=name), parent=self)
        self._more.clicked.connect(self.open_menu)
        for button in (self._key, self._test, self._more):
            layout.addWidget(button, 0, Qt.AlignmentFlag.AlignVCenter)

    def show_row(self, row: Row, can_act: bool) -> None:
        self._row = row
        self._key.setVisible(row.keyless)
        self._test.setVisible(not row.keyless)
        self._test.setText(tr("Testing…") if row.testing else tr("Test"))
        for button in (self._key, self._more):
            button.setEnabled(can_act)
        self._test.setEnabled(can_act and not row.testing)

    @Slot()
    def open_menu(self) -> None:
        row = self._row
        if row is None or not self._more.isEnabled():
            return
        menu = styled_menu(self)
        if row.models not in (fmt.ABSENT, "0"):
            number = int(row.models.replace(",", ""))
            menu.addAction(menu_text(plural(number, "Show {n} model…", "Show {n} models…"))).triggered.connect(
                partial(self._want, "models")
            )
        words = tr("Add key…") if not row.key.detail or row.keyless else tr("Replace key…")
        menu.addAction(words).triggered.connect(partial(self._want, "replace-key"))
        menu.addSeparator()
        menu.addAction(tr("Remove…")).triggered.connect(partial(self._want, "remove-provider"))
        corner = self._more.mapToGlobal(self._more.rect().bottomRight())
        corner.setX(corner.x() - menu.sizeHint().width())
        menu.popup(corner)

    @Slot()
    def _on_test(self) -> None:
        self._page.session.test_provider(self._name)

    def _want(self, intent: str, _checked: bool = False) -> None:
        self._page.wanted.emit(f"{intent}:{self._name}")
