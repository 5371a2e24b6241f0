"""Requests as a file: chosen where, written in another thread while the rows are counted, cancelled by the same button."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from PySide6.QtCore import QTimer, Signal, Slot
from PySide6.QtWidgets import QFileDialog, QWidget

from app.control.client import ControlClient
from app.control.contract import RowFilter
from app.core.errors import AppError
from app.gui.session import Session
from app.gui.widgets import Button
from app.gui.words import plural, tr

PROGRESS_MS: Final = 150


class ExportButton(Button):
    """Export; while a file is written, Cancel. wanted: the rows that are shown. `said` carries how far it is, and how it ended."""

    said = Signal(str)

    def __init__(self, session: Session, wanted: Callable[[], RowFilter], name: str, parent: QWidget) -> None:
        super().__init__(tr("Export"), glyph="file-text", parent=parent)
        self.setToolTip(tr("CSV, or JSON lines where the name ends in .jsonl; never what was asked or answered"))
        self._session = session
        self._wanted = wanted
        self._name = name
        self._stop: threading.Event | None = None
        self._written = [0]
        self._progress = QTimer(self)
        self._progress.setInterval(PROGRESS_MS)
        self._progress.timeout.connect(self._show_progress)
        self.clicked.connect(self.choose)

    def is_writing(self) -> bool:
        return self._stop is not None

    @Slot()
    def choose(self) -> None:
        """Asks where the file goes; or cancels the one that is being written."""
        if self._stop is not None:
            self._stop.set()
            return
        start = str(Path.home() / f"{self._name}.csv")
        name, _ = QFileDialog.getSaveFileName(self, tr("Export requests"), start, tr("CSV (*.csv);;JSON lines (*.jsonl)"))
        if name:
            self.export_to(Path(name))

    def export_to(self, target: Path) -> None:
        stop = self._stop = threading.Event()
        written = self._written = [0]
        wanted = self._wanted()
        self._progress.start()
        self._show_progress()
        self._session.look("export", lambda client: write(client, target, wanted, stop, written), self._on_written, self._on_failed)

    def _on_written(self, rows: int) -> None:
        self._end(plural(rows, "{n} request written", "{n} requests written") if rows >= 0 else tr("Cancelled, nothing was kept"))

    def _on_failed(self, error: AppError) -> None:
        self._end("")
        self._session.complain(error)

    def _end(self, words: str) -> None:
        self._stop = None
        self._progress.stop()
        self.setText(tr("Export"))
        self.said.emit(words)

    @Slot()
    def _show_progress(self) -> None:
        self.setText(tr("Cancel"))
        self.said.emit(tr("{n} requests so far", n=f"{self._written[0]:,}"))


def write(client: ControlClient, target: Path, wanted: RowFilter, stop: threading.Event, written: list[int]) -> int:
    """How many rows; -1 when it was cancelled. The file is the person's alone and gets its name when it is whole. AppError."""
    form = "jsonl" if target.suffix in (".jsonl", ".ndjson") else "csv"
    mark = b'{"id":"req_' if form == "jsonl" else b"\r\nreq_"
    part, tail = target.with_name(target.name + ".part"), b""
    try:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            for piece in client.export(form, wanted):
                if stop.is_set():
                    return -1
                file.write(piece)
                together = tail + piece
                written[0] += together.count(mark)
                tail = together[-(len(mark) - 1) :]
        part.replace(target)
        return written[0]
    except OSError as error:
        raise AppError("data_folder", f"{target.name} cannot be written: {error.strerror}.") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
