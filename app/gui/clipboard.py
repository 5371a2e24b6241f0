"""Copying. A secret leaves the clipboard after 30 s, if it is still there, and asks clipboard histories not to keep it."""

from __future__ import annotations

import hashlib
from typing import Final

from PySide6.QtCore import QMimeData, QObject, QTimer, Slot
from PySide6.QtGui import QGuiApplication

SECRET_STAYS_MS: Final = 30_000

# What clipboard managers look for: KDE's Klipper, macOS (nspasteboard.org), Windows' clipboard history.
_MARKS: Final = {
    "x-kde-passwordManagerHint": b"secret",
    "application/x-nspasteboard-concealed-type": b"",
    'application/x-qt-windows-mime;value="ExcludeClipboardContentFromMonitorProcessing"': b"\0\0\0\0",
}


class Clipboard(QObject):
    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._digest = b""
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(SECRET_STAYS_MS)
        self._timer.timeout.connect(self.forget)

    def copy(self, text: str) -> None:
        self._timer.stop()
        self._digest = b""
        QGuiApplication.clipboard().setText(text)

    def copy_secret(self, text: str) -> None:
        data = QMimeData()
        data.setText(text)
        for kind, mark in _MARKS.items():
            data.setData(kind, mark)
        QGuiApplication.clipboard().setMimeData(data)
        # Only a digest is kept to recognise it by, so that the secret does not live on in this object.
        self._digest = hashlib.sha256(text.encode()).digest()
        self._timer.start()

    @Slot()
    def forget(self) -> None:
        """Empties the clipboard if it still holds the secret; what the person copied since stays."""
        self._timer.stop()
        clipboard = QGuiApplication.clipboard()
        if self._digest and hashlib.sha256(clipboard.text().encode()).digest() == self._digest:
            clipboard.clear()
        self._digest = b""
