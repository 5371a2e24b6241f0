"""The passphrase of a passphrase vault."""

from __future__ import annotations

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QWidget

from app.control.contract import VaultView
from app.core.errors import AppError
from app.gui.fields import SecretField
from app.gui.session import Session
from app.gui.sheet import Sheet
from app.gui.words import tr


class UnlockSheet(Sheet):
    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(tr("Unlock the keys"), tr("The keys are in a file that only your passphrase opens."), width=480, parent=parent)
        self._session = session
        self._field = SecretField(tr("Passphrase"), help_=tr("It is not stored anywhere and cannot be recovered."), parent=self.frame)
        self.body.addWidget(self._field)
        self.consequence.setText(tr("Opening takes about a second on purpose."))
        self.add_cancel()
        self._unlock = self.add_button(tr("Unlock"), "primary")
        self._unlock.clicked.connect(self._on_unlock)

    def first(self) -> QWidget:
        return self._field.line

    def submit(self) -> None:
        self._on_unlock()

    def forget(self) -> None:
        self._field.wipe()

    @Slot()
    def _on_unlock(self) -> None:
        if not self._unlock.isEnabled():
            return
        passphrase = self._field.take()
        if not passphrase:
            self._field.set_error(tr("Type the passphrase."))
            self.refit()
            return
        self._field.set_error("")
        self._wait(True)
        self._session.unlock(passphrase, self._on_unlocked, self._on_failed)

    def _on_unlocked(self, vault: VaultView) -> None:
        if vault.state == "ready":
            self.close_now()
            return
        self._wait(False)
        self._field.set_error(vault.message or tr("The keys are still locked."))
        self.refit()

    def _on_failed(self, error: AppError) -> None:
        self._wait(False)
        self._field.set_error(error.sentence())
        self._field.line.setFocus()
        self.refit()

    def _wait(self, waiting: bool) -> None:
        self._unlock.setEnabled(not waiting)
        self._unlock.setText(tr("Opening…") if waiting else tr("Unlock"))
