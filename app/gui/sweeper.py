"""Python's cycle collector, kept on the window's thread.

By itself it runs on whichever thread happens to allocate, and what it finds may be widgets: Qt then deletes them on a thread that must
not touch them, and the process dies. So it is switched off, and a timer on the window's thread collects instead.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Final

from PySide6.QtCore import QObject, Qt, QTimer, Slot
from PySide6.QtGui import QGuiApplication

_EVERY_MS: Final = 5_000
# A full collection looks at every object, 65 ms with 20,000 requests loaded; the young ones, where most cycles die, take one. So it waits
# until the person looks at another program, but not for ever.
_FULL_EVERY: Final = 24
_FULL_AT_LAST: Final = 720


def _is_looked_at() -> bool:
    return QGuiApplication.applicationState() == Qt.ApplicationState.ApplicationActive


class Sweeper(QObject):
    """looked_at: whether a pause would be noticed."""

    def __init__(self, parent: QObject | None = None, looked_at: Callable[[], bool] = _is_looked_at) -> None:
        super().__init__(parent)
        self._looked_at = looked_at
        gc.disable()
        # What was loaded up to here stays for good and need not be looked at again.
        gc.freeze()
        self._rounds = 0
        self._timer = QTimer(self)
        self._timer.setInterval(_EVERY_MS)
        self._timer.timeout.connect(self.sweep)
        self._timer.start()

    @Slot()
    def sweep(self) -> None:
        self._rounds += 1
        full = self._rounds >= (_FULL_AT_LAST if self._looked_at() else _FULL_EVERY)
        gc.collect(2 if full else 1)
        if full:
            self._rounds = 0
