"""Asked once: what closing the window means."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QWidget

from app.gui.labels import Label
from app.gui.sheet import Sheet
from app.gui.words import tr


class ClosingSheet(Sheet):
    """`chosen(keep)` is called with True to keep the gateway running behind the tray icon."""

    def __init__(self, chosen: Callable[[bool], None], parent: QWidget) -> None:
        super().__init__(tr("Keep the gateway running?"), width=520, parent=parent)
        self._chosen = chosen
        self.body.setSpacing(8)
        for sentence in (
            tr("Clients can go on asking while the window is closed. The icon in the tray brings it back; or start Gatehouse again."),
            tr("Quitting stops the gateway: clients get no answer until it is started again."),
        ):
            self.body.addWidget(Label(sentence, "body", "tx2", self.frame).wrapped())
        self.consequence.setText(tr("Asked once. Ctrl Q always quits."))
        stop = self.add_button(tr("Quit"))
        stop.clicked.connect(self._on_quit)
        self._keep = self.add_button(tr("Keep running"), "primary")
        self._keep.clicked.connect(self._on_keep)

    def first(self) -> QWidget:
        return self._keep

    @Slot()
    def _on_keep(self) -> None:
        self.close_now()
        self._chosen(True)

    @Slot()
    def _on_quit(self) -> None:
        self.close_now()
        self._chosen(False)
