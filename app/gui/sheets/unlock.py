"""The passphrase of a passphrase vault: typed to open it, or chosen for a data folder that has none yet."""

from __future__ import annotations

import hmac

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QWidget

from app.control.contract import VaultView
from app.core.errors import AppError
from app.gui.fields import SecretField
from app.gui.session import Session
from app.gui.sheet import Sheet
from app.gui.words import tr


class UnlockSheet(Sheet):
    """choosing: there is nothing to open yet; what is typed twice becomes the passphrase."""

    def __init__(self, session: Session, parent: QWidget, *, choosing: bool = False) -> None:
        title = tr("Choose a passphrase") if choosing else tr("Unlock the keys")
        words = tr("Keys and records are sealed by it, in files of the data folder.")
        if not choosing:
            words = tr("The keys are in a file that only your passphrase opens.")
        super().__init__(title, words, width=480, parent=parent)
        self._session = session
        self._verb = tr("Use it") if choosing else tr("Unlock")
        self._field = SecretField(tr("Passphrase"), help_=tr("It is not stored anywhere and cannot be recovered."), parent=self.frame)
        self._again = SecretField(tr("Once more"), parent=self.frame) if choosing else None
        self.body.addWidget(self._field)
        if self._again is not None:
            self.body.addWidget(self._again)
        self.consequence.setText(tr("Opening takes about a second on purpose."))
        self.add_cancel()
        self._unlock = self.add_button(self._verb, "primary")
        self._unlock.clicked.connect(self._on_unlock)

    def first(self) -> QWidget:
        return self._field.line

    def submit(self) -> None:
        """Enter. In the first of two fields it leads to the second."""
        if self._again is not None and self._field.line.hasFocus() and not self._again.line.text():
            self._again.line.setFocus()
        else:
            self._on_unlock()

    def forget(self) -> None:
        self._field.wipe()
        if self._again is not None:
            self._again.wipe()

    @Slot()
    def _on_unlock(self) -> None:
        if not self._unlock.isEnabled():
            return
        passphrase = self._field.take()
        again = self._again.take() if self._again is not None else passphrase
        if not passphrase:
            self._wrong(tr("Type the passphrase."))
        elif not hmac.compare_digest(passphrase.reveal().encode(), again.reveal().encode()):
            self._wrong(tr("The two are not the same. Type both again."))
        else:
            self._field.set_error("")
            self._wait(True)
            self._session.unlock(passphrase, self._on_unlocked, self._on_failed)

    def _on_unlocked(self, vault: VaultView) -> None:
        if vault.state == "ready":
            self.close_now()
            return
        self._wait(False)
        self._wrong(vault.message or tr("The keys are still locked."))

    def _on_failed(self, error: AppError) -> None:
        self._wait(False)
        self._wrong(error.sentence())

    def _wrong(self, words: str) -> None:
        self._field.set_error(words)
        self._field.line.setFocus()
        self.refit()

    def _wait(self, waiting: bool) -> None:
        self._unlock.setEnabled(not waiting)
        self._unlock.setText(tr("Opening…") if waiting else self._verb)
