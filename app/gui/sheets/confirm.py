"""A question before something that cannot be undone, or a choice with a consequence."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QWidget

from app.gui.labels import Line, Run
from app.gui.sheet import Sheet


class ConfirmSheet(Sheet):
    """`run` is called when the person says yes. sentences: what happens, one each."""

    def __init__(self, title: str, sentences: tuple[str, ...], verb: str, run: Callable[[], None], parent: QWidget) -> None:
        super().__init__(title, width=480, parent=parent)
        self._run = run
        for sentence in sentences:
            self.body.addWidget(Line((Run(sentence, "tx2"),), parent=self.frame))  # whole, however long a name in it is
        self.body.setSpacing(8)
        cancel = self.add_cancel()
        self.yes = self.add_button(verb, "dangerous")
        self.yes.clicked.connect(self._on_yes)
        self._first = cancel

    def first(self) -> QWidget:
        """Cancel, so that Enter alone destroys nothing."""
        return self._first

    @Slot()
    def _on_yes(self) -> None:
        self.close_now()
        self._run()
