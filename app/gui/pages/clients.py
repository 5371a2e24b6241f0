"""Clients: the programs that may ask, each with its own key, when it was last seen, and whether it is blocked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from functools import partial
from typing import ClassVar

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QVBoxLayout, QWidget

from app.core.records import Client
from app.gui import format as fmt
from app.gui.closed import ClosedCard
from app.gui.labels import Elided, Label
from app.gui.page import Page
from app.gui.session import Session
from app.gui.state import Closed, State, closed
from app.gui.theme import Tone
from app.gui.widgets import Button, Card, EmptyState, Pill, Tile
from app.gui.words import plural, tr


@dataclass(frozen=True, slots=True)
class CardView:
    """plain: identifiers are passed on as they are, which is not the usual choice."""

    name: str
    glyph: str
    word: str
    tone: Tone
    seen: str
    key: str
    added: str
    answers: str
    identifiers: str
    plain: bool
    blocked: bool


@dataclass(frozen=True, slots=True)
class View:
    remark: str
    can_act: bool
    can_add: bool
    cards: tuple[CardView, ...]
    closed: Closed | None


def present(state: State, now_us: int, zone: tzinfo | None = None) -> View:
    snapshot = state.snapshot
    clients = snapshot.clients if snapshot is not None else ()
    seen = sum(client.last_seen_us is not None for client in clients)
    remark = ""
    if clients:
        remark = tr("{clients}, {seen} seen", clients=plural(len(clients), "{n} client", "{n} clients"), seen=seen)
    return View(
        remark=remark,
        can_act=state.works,
        can_add=state.works and closed(state) is None,
        cards=tuple(_card(client, now_us, zone) for client in clients),
        closed=closed(state),
    )


def _card(client: Client, now_us: int, zone: tzinfo | None) -> CardView:
    tone: Tone = "ok"
    glyph, word = "check-circle-fill", tr("Connected")
    seen = tr("seen {ago}", ago=fmt.ago(client.last_seen_us, now_us, zone)) if client.last_seen_us is not None else ""
    if client.blocked:
        glyph, word, tone = "prohibit", tr("Blocked"), "er"
        seen = seen or tr("never seen")
    elif client.last_seen_us is None:
        glyph, word, tone = "hourglass", tr("Never seen"), "in"
        seen = tr("added {ago}", ago=fmt.ago(client.created_us, now_us, zone))
    return CardView(
        name=client.name,
        glyph=glyph,
        word=word,
        tone=tone,
        seen=seen,
        key=f"{client.prefix}…{client.last4}",
        added=fmt.moment(client.created_us, now_us, zone),
        answers=tr("Kept for 30 days, if it asks for it") if client.keeps_content else tr("Not kept"),
        identifiers={"pseudonym": tr("Replaced"), "remove": tr("Removed"), "pass": tr("Passed on")}[client.identifiers],
        plain=client.identifiers == "pass",
        blocked=client.blocked,
    )


class ClientsPage(Page):
    NAME: ClassVar[str] = "clients"

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(tr("Clients"), session, parent)
        self._view: View | None = None
        self._add = Button(tr("Add client"), "primary", glyph="plus", parent=self)
        self._add.clicked.connect(partial(self.wanted.emit, "add-client"))
        self.title_row.addWidget(self._add)
        self._cards: dict[str, _ClientCard] = {}
        self._grid_box = QWidget(self)
        self._grid = QGridLayout(self._grid_box)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(16)
        self.body.addWidget(self._grid_box)
        first = Button(tr("Add client"), "primary", small=True, parent=self)
        first.clicked.connect(partial(self.wanted.emit, "add-client"))
        copy = Button(tr("Copy base URL"), glyph="copy", small=True, parent=self)
        copy.clicked.connect(partial(self.wanted.emit, "copy-url"))
        self._first = first
        words = tr("No client yet"), tr("Any tool that takes a base URL works. Each gets a key of its own.")
        empty = EmptyState("terminal-window", *words, (first, copy), self)
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
        self._add.setVisible(bool(view.cards))
        self._first.setEnabled(view.can_add)
        self._empty_card.setVisible(not view.cards and view.closed is None)
        self._closed.show_closed(None if view.cards else view.closed)
        self._grid_box.setVisible(bool(view.cards))
        self._draw(view.cards, view.can_act)

    def set_narrow(self, narrow: bool) -> None:
        super().set_narrow(narrow)
        self._arrange()

    def _draw(self, cards: Sequence[CardView], can_act: bool) -> None:
        names = [card.name for card in cards]
        moved = names != list(self._cards)
        if moved:
            for name in [name for name in self._cards if name not in names]:
                gone = self._cards.pop(name)
                self._grid.removeWidget(gone)
                gone.hide()
                gone.deleteLater()
            self._cards = {name: self._cards.get(name) or _ClientCard(name, self) for name in names}
        for card in cards:
            self._cards[card.name].show_card(card, can_act)
        if moved:
            self._arrange()

    def _arrange(self) -> None:
        across = 2 if self.narrow else 3
        for number, card in enumerate(self._cards.values()):
            self._grid.addWidget(card, number // across, number % across)
        for column in range(3):
            self._grid.setColumnStretch(column, 1 if column < across else 0)


class _ClientCard(Card):
    def __init__(self, name: str, page: ClientsPage) -> None:
        super().__init__(spacing=0, parent=page)
        self._name = name
        self._page = page
        head = QHBoxLayout()
        head.setSpacing(12)
        head.addWidget(Tile("", "terminal-window", parent=self))
        titles = QVBoxLayout()
        titles.setSpacing(0)
        titles.addWidget(Elided(name, "card", "tx", self))
        self._key = Elided("", "monosmall", "tx3", self)
        titles.addWidget(self._key)
        head.addLayout(titles, 1)
        self.column.addLayout(head)
        self.column.addSpacing(12)
        state = QHBoxLayout()
        state.setSpacing(8)
        self._pill = Pill(self)
        self._seen = Elided("", "small", "tx2", self)
        state.addWidget(self._pill)
        state.addWidget(self._seen, 1)
        self.column.addLayout(state)
        self.column.addSpacing(10)
        facts = QGridLayout()
        facts.setHorizontalSpacing(12)
        facts.setVerticalSpacing(4)
        facts.setColumnStretch(1, 1)
        self._added, self._answers, self._identifiers = (Elided("", "small", "tx2", self) for _ in range(3))
        named = ((tr("Added"), self._added), (tr("Answers"), self._answers), (tr("Identifiers"), self._identifiers))
        for number, (caption, value) in enumerate(named):
            facts.addWidget(Label(caption, "small", "tx3", self), number, 0)
            facts.addWidget(value, number, 1)
        self.column.addLayout(facts)
        self.column.addSpacing(14)
        self._block = Button(tr("Block"), small=True, parent=self)
        self._block.clicked.connect(self._on_block)
        self._remove = Button(tr("Remove"), "ghost", small=True, parent=self)
        self._remove.setAccessibleName(tr("Remove {name}", name=name))
        self._remove.clicked.connect(partial(page.wanted.emit, f"remove-client:{name}"))
        self._settings = Button(tr("Settings"), small=True, parent=self)
        self._settings.setAccessibleName(tr("Settings of {name}", name=name))
        self._settings.clicked.connect(partial(page.wanted.emit, f"client-settings:{name}"))
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        buttons.addWidget(self._settings)
        buttons.addWidget(self._block)
        buttons.addWidget(self._remove)
        buttons.addStretch(1)
        self.column.addLayout(buttons)
        self._blocked = False

    def show_card(self, card: CardView, can_act: bool) -> None:
        self._blocked = card.blocked
        self._key.setText(card.key)
        self._pill.show_state(card.glyph, card.word, card.tone)
        self._seen.setText(card.seen)
        self._added.setText(card.added)
        self._answers.setText(card.answers)
        self._identifiers.setText(card.identifiers)
        self._identifiers.set_ink("wa" if card.plain else "tx2")
        self._settings.setEnabled(can_act)
        words = tr("Unblock") if card.blocked else tr("Block")
        self._block.setText(words)
        self._block.setAccessibleName(f"{words} {card.name}")
        self._block.setEnabled(can_act)  # also while it is done: else the keyboard would jump to the next button
        self._remove.setEnabled(can_act)

    @Slot()
    def _on_block(self) -> None:
        self._page.session.set_blocked(self._name, not self._blocked)
