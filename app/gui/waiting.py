"""What waits for the person: in words, and as the card of the Network page. The keeper says it, and not the engine, which may be what it
is about."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.gui import format as fmt
from app.gui import theme
from app.gui.labels import Label, Line, Run
from app.gui.state import Waiting
from app.gui.widgets import Button, Card, CardHead, Glyph, clear_layout, hairline
from app.gui.words import plural, tr

_SETTINGS: Final = {
    "audit.keep_days": "Days for which the audit log is kept (0: for ever)",
    "audit.on_failure": "Requests while the audit log cannot be written",
    "ledger.keep_days": "Days for which recorded requests are kept (0: for ever)",
    "ledger.keep_bytes": "Bytes up to which recorded requests are kept (0: any size)",
    "vault.forget_on_lock": "Keys are forgotten when the keyring locks",
    "client.identifiers": "Identifiers in requests of {subject}",
    "client.content": "Answers are kept for {subject}",
}


def title(one: Waiting) -> str:
    """What it is, with everything that makes it another one."""
    match one.what:
        case "destination":
            return tr("{name} to {place}", name=one.subject, place=one.value)
        case "unlock":
            return tr("The system asks you to open its keyring")
        case "audit.prune":
            return tr("Remove the audit log's entries up to {n}, for good", n=one.value)
        case "audit.accept":
            return tr("Go on with the audit log although something was found: {finding}", finding=one.value)
    name = tr(_SETTINGS[one.what], subject=one.subject) if one.what in _SETTINGS else f"{one.what} {one.subject}"
    return tr("{setting}: {value}", setting=name, value=one.value)


def state(one: Waiting) -> str:
    """Why it waits, and how it is meanwhile."""
    match one.kind:
        case "held":
            said = tr("Declared by the engine; nobody here asked for it. Nothing was looked up and nothing was sent.")
        case "setting":
            said = tr("Found in the database; nobody here asked for it. Meanwhile it is: {value}.", value=one.used)
        case _:
            said = tr("A program asked for it past this window and the command line. Nothing was changed.")
    return said if one.asked else f"{said} {tr('Nobody asks for it any more.')}"


def after(one: Waiting) -> str:
    """What confirming does."""
    match one.kind:
        case "held":
            return tr("Requests for {name} go there at once, with its key.", name=one.subject)
        case "setting":
            return tr("It counts at once.")
        case _:
            return tr("The program may ask once more within two minutes.")


class WaitingCard(Card):
    """Hidden while nothing waits. answered(number, yes): a button was pressed."""

    answered = Signal(int, bool)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(pad=0, spacing=0, parent=parent)
        self._shown: tuple[tuple[Waiting, ...], int] | None = None
        self._buttons: dict[tuple[int, bool], Button] = {}  # by number and answer, in the order in which they stand
        self.column.setContentsMargins(1, 0, 1, 6)
        self.column.addWidget(CardHead(tr("Waiting for you"), tr("Nothing of it is done before you say so."), self))
        self._rows = QVBoxLayout()
        self._rows.setSpacing(0)
        self.column.addLayout(self._rows)
        self.hide()
        theme.follow(self, self._draw)

    def show_waiting(self, waiting: Sequence[Waiting], unlisted: int) -> None:
        if self._shown != (tuple(waiting), unlisted):
            self._shown = (tuple(waiting), unlisted)
            self._draw()
        self.setVisible(bool(waiting or unlisted))

    def _draw(self) -> None:
        if self._shown is None:
            return
        waiting, unlisted = self._shown
        at = next((each for each, button in self._buttons.items() if button.hasFocus()), None)
        before = list(self._buttons)
        self._buttons = {}
        clear_layout(self._rows)
        for one in waiting:
            self._rows.addWidget(hairline(self))
            self._rows.addWidget(self._row(one))
        if unlisted:
            words = plural(
                unlisted,
                "One more was refused without being listed: something floods the keeper.",
                "{n} more were refused without being listed: something floods the keeper.",
            )
            self._rows.addWidget(hairline(self))
            label = Label(words, "small", "er", self).wrapped()
            label.setContentsMargins(16, 8, 16, 6)
            self._rows.addWidget(label)
        self._put_in_order()
        if at is not None:
            self._give_keyboard_back(at, before.index(at))

    def _put_in_order(self) -> None:
        """Rows come and go; with Tab they are reached where they are read, which is after what Tab reaches before the card."""
        last = self.previousInFocusChain()
        while last is not None and last is not self and not last.focusPolicy() & Qt.FocusPolicy.TabFocus:
            last = last.previousInFocusChain()
        for button in self._buttons.values():
            if last is not None:
                QWidget.setTabOrder(last, button)
            last = button

    def _give_keyboard_back(self, at: tuple[int, bool], place: int) -> None:
        """To the same button of the same row; where that is gone, to refusing what stands in its place now."""
        button = self._buttons.get(at)
        if button is None and self._buttons:
            buttons = list(self._buttons.values())
            button = buttons[min(place - place % 2, len(buttons) - 2)]
        if button is not None:
            if (row := button.parentWidget()) is not None:
                row.show()  # a layout does it later, and what is hidden is given no keyboard
            button.setFocus(Qt.FocusReason.TabFocusReason)

    def _row(self, one: Waiting) -> QWidget:
        made = QWidget(self)
        made.setAccessibleName(f"{title(one)}. {state(one)}")
        row = QHBoxLayout(made)
        row.setContentsMargins(16, 8, 12, 8)
        row.setSpacing(10)
        row.addWidget(Glyph("warning-fill", 15, "wai", made), 0, Qt.AlignmentFlag.AlignTop)
        texts = QVBoxLayout()
        texts.setSpacing(2)
        # Lines, which break anywhere: a host is shown to its end, and pushes no button off the page.
        texts.addWidget(Line((Run(title(one)),), "mono" if one.what == "destination" else "smallstrong", made))
        since = tr("Since {time}.", time=fmt.clock(one.at_us))
        texts.addWidget(Line((Run(f"{state(one)} {since}", "tx2"),), "small", made))
        row.addLayout(texts, 1)
        for words, yes in ((tr("Refuse"), False), (tr("Confirm…"), True)):
            button = Button(words, small=True, parent=made)
            button.setAccessibleDescription(title(one))
            button.clicked.connect(partial(self.answered.emit, one.number, yes))
            row.addWidget(button, 0, Qt.AlignmentFlag.AlignTop)
            self._buttons[one.number, yes] = button
        return made
