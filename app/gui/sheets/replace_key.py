"""A new key for an account that is there."""

from __future__ import annotations

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QWidget

from app.control.contract import ProviderView
from app.core.errors import AppError
from app.gui import accounts
from app.gui.fields import SecretField
from app.gui.session import Session
from app.gui.sheet import Sheet
from app.gui.words import tr


class ReplaceKeySheet(Sheet):
    def __init__(self, view: ProviderView, session: Session, parent: QWidget) -> None:
        name = view.account.name
        adding = view.key_state == "missing"
        title = tr("Add the key of {name}", name=name) if adding else tr("Replace the key of {name}", name=name)
        super().__init__(title, accounts.where_a_key_goes(session.state.snapshot), width=520, parent=parent)
        self._name = name
        self._session = session
        hint = view.account.key_hint
        help_ = tr("The present one is {hint}. It will be forgotten.", hint=hint) if hint else tr("Shown only while you look.")
        self._field = SecretField(tr("API key"), help_=help_, parent=self.frame)
        self.body.addWidget(self._field)
        self.consequence.setText(tr("Writes 2 audit entries: key changed, key tested."))
        self.add_cancel()
        self._words = tr("Add key") if adding else tr("Replace key")
        self._replace = self.add_button(self._words, "primary")
        self._replace.clicked.connect(self._on_replace)

    def first(self) -> QWidget:
        return self._field.line

    def submit(self) -> None:
        self._on_replace()

    def forget(self) -> None:
        self._field.wipe()

    @Slot()
    def _on_replace(self) -> None:
        if not self._replace.isEnabled():
            return
        key = self._field.take()
        if not key:
            self._field.set_error(tr("Paste the key."))
            self.refit()
            return
        self._field.set_error("")
        self._replace.setEnabled(False)
        self._replace.setText(tr("Saving…"))
        self._session.replace_key(self._name, key, self._on_done, self._on_failed)

    def _on_done(self, _view: ProviderView) -> None:
        self.close_now()  # the engine tests the new key by itself, and the session tells what comes of it

    def _on_failed(self, error: AppError) -> None:
        self._replace.setEnabled(True)
        self._replace.setText(self._words)
        self._field.set_error(tr("{error} Paste the key again.", error=error.sentence()))
        self._field.line.setFocus()
        self.refit()
