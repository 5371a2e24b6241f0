"""What Gatehouse does for one client: whether its answers are kept, and what becomes of identifiers in its requests."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QWidget

from app.control.client import ControlClient
from app.core.records import Client, Identifiers
from app.gui.fields import Segmented, SwitchRow
from app.gui.labels import Label
from app.gui.session import Session
from app.gui.sheet import Sheet
from app.gui.words import plural, tr

CHOICES: Final[tuple[Identifiers, ...]] = ("pseudonym", "remove", "pass")


def explained(chosen: Identifiers) -> str:
    """What a choice does, in a sentence."""
    return {
        "pseudonym": tr("Providers get a stand-in instead, the same each time for this client, and nothing of what it stands for."),
        "remove": tr("Providers get none of them."),
        "pass": tr("Providers get them as the client sent them: they may say who you are and on which machine."),
    }[chosen]


def consequence(client: Client, *, keeps: bool, identifiers: Identifiers) -> str:
    """What saving does."""
    changes = (client.keeps_content != keeps) + (client.identifiers != identifiers)
    if not changes:
        return tr("Nothing is changed.")
    written = plural(changes, "Writes {n} entry to the audit log.", "Writes {n} entries to the audit log.")
    return f"{tr('Answers that were kept are deleted.')} {written}" if client.keeps_content and not keeps else written


class ClientSettingsSheet(Sheet):
    def __init__(self, client: Client, session: Session, parent: QWidget) -> None:
        super().__init__(tr("Settings of {name}", name=client.name), width=520, parent=parent)
        self._client = client
        self._session = session
        self.keeps = SwitchRow(
            tr("Keep answers for 30 days"),
            tr("Only answers of the Responses API that the client asks to be kept, encrypted, so that it can go on from them."),
            self.frame,
        )
        self.keeps.switch.setChecked(client.keeps_content)
        self.keeps.toggled.connect(self._draw)
        self.body.addWidget(self.keeps)
        name = tr("Identifiers of you and your machine in its requests are")
        self.body.addWidget(Label(name, "small", "tx2", self.frame))
        self.identifiers = Segmented((tr("Replaced"), tr("Removed"), tr("Passed on")), name, self.frame)
        self.identifiers.choose(CHOICES.index(client.identifiers))
        self.identifiers.chosen.connect(self._draw)
        self.body.addWidget(self.identifiers, 0, Qt.AlignmentFlag.AlignLeft)
        self.what = Label("", "small", "tx3", self.frame).wrapped()
        self.body.addWidget(self.what)
        self.add_cancel()
        self.save = self.add_button(tr("Save"), "primary")
        self.save.clicked.connect(self.submit)
        self._draw()

    def first(self) -> QWidget:
        return self.keeps.switch

    @Slot()
    def _draw(self) -> None:
        chosen = CHOICES[self.identifiers.index()]
        self.what.setText(explained(chosen))
        self.consequence.setText(consequence(self._client, keeps=self.keeps.switch.isChecked(), identifiers=chosen))
        self.refit()

    @Slot()
    def submit(self) -> None:
        client, keeps, chosen = self._client, self.keeps.switch.isChecked(), CHOICES[self.identifiers.index()]
        self.close_now()

        def change(control: ControlClient) -> None:
            if keeps != client.keeps_content:
                control.keep_content(client.name, keeps=keeps)
            if chosen != client.identifiers:
                control.choose_identifiers(client.name, chosen)

        if (keeps, chosen) != (client.keeps_content, client.identifiers):
            self._session.order(f"settings {client.name}", change, _shown)


def _shown(_nothing: None) -> None:
    """The next snapshot has it."""
