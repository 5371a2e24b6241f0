"""Python's cycle collector, kept on the window's thread.

By itself it runs on whichever thread happens to allocate, and what it finds may be widgets: Qt then deletes them on a thread that must
not touch them, and the process dies. So it is switched off, and a timer on the window's thread collects instead.
"""

from __future__ import annotations

import gc
from typing import Final

from PySide6.QtCore import QObject, QTimer, Slot

_EVERY_MS: Final = 5_000
# A full collection looks at every object, some tens of milliseconds; the young ones, where most cycles die, take one.
_FULL_EVERY: Final = 24


class Sweeper(QObject):
    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
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
        gc.collect(2 if self._rounds % _FULL_EVERY == 0 else 1)
