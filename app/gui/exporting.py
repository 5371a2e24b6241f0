"""What leaves the window as files: chosen where, given piece by piece to the keeper's writer while it is read, cancelled by the same
button.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from PySide6.QtCore import QTimer, Signal, Slot
from PySide6.QtWidgets import QFileDialog, QWidget

from app.control import report
from app.control.client import ControlClient
from app.control.contract import AuditExport, NetworkReport, RowFilter
from app.core.errors import AppError
from app.core.exports import KINDS, Name
from app.gui.session import Session
from app.gui.widgets import Button
from app.gui.words import plural, tr
from app.gui.writing import Writing

PROGRESS_MS: Final = 150


class StoppedError(Exception):
    """The person clicked Cancel."""


class Progress:
    """count: how many lines were given so far. stop: set when the person wants no more of it."""

    def __init__(self) -> None:
        self.count = 0
        self.stop: Final = threading.Event()

    def check(self) -> None:
        if self.stop.is_set():
            raise StoppedError


Give = Callable[[ControlClient, Writing, Progress], object]


# No "new folder", no rename: this process could not.
_CHANGES_NOTHING: Final = QFileDialog.Option.ReadOnly


class ExportButton(Button):
    """Export; while files are written, Cancel. `said` carries how far it is, and how it ended; `made` what `give` returned."""

    said = Signal(str)
    made = Signal(object)

    def __init__(self, text: str, session: Session, so_far: Callable[[int], str], parent: QWidget) -> None:
        super().__init__(text, glyph="file-text", parent=parent)
        self._text = text
        self._session = session
        self._so_far = so_far
        self._now: Progress | None = None
        self._progress = QTimer(self)
        self._progress.setInterval(PROGRESS_MS)
        self._progress.timeout.connect(self._show_progress)
        self.clicked.connect(self.choose)

    def is_writing(self) -> bool:
        return self._now is not None

    @Slot()
    def choose(self) -> None:
        """Asks where it goes; or cancels the one that is being written."""
        if self._now is not None:
            self._now.stop.set()
        else:
            self.ask()

    def ask(self) -> None:
        raise NotImplementedError

    def put(self, kind: Name, target: Path, give: Give) -> None:
        """Has `target` written; one at a time."""
        if self._now is not None:
            return
        now = self._now = Progress()
        self._progress.start()
        self._show_progress()
        self._session.write(kind, target, lambda client, writing: _given(give, client, writing, now), self._on_made, self._on_failed)

    def _on_made(self, made: object) -> None:
        self._end(tr("Cancelled, nothing was kept") if made is None else "")
        if made is not None:
            self.made.emit(made)

    def _on_failed(self, error: AppError) -> None:
        self._end("")
        self._session.complain(error)

    def _end(self, words: str) -> None:
        self._now = None
        self._progress.stop()
        self.setText(self._text)
        self.said.emit(words)

    @Slot()
    def _show_progress(self) -> None:
        self.setText(tr("Cancel"))
        if self._now is not None:
            self.said.emit(self._so_far(self._now.count))


def _given(give: Give, client: ControlClient, writing: Writing, now: Progress) -> object:
    """None when the person stopped it; then it is not ended, and so nothing is kept."""
    try:
        made = give(client, writing, now)
        now.check()
    except StoppedError:
        return None
    writing.end()
    return made


class RequestsButton(ExportButton):
    """wanted: the rows that are shown. name: what the file is called unless the person says otherwise."""

    def __init__(self, session: Session, wanted: Callable[[], RowFilter], name: str, parent: QWidget) -> None:
        super().__init__(tr("Export"), session, lambda n: tr("{n} requests so far", n=f"{n:,}"), parent)
        self.setToolTip(tr("CSV, or JSON lines where the name ends in .jsonl; never what was asked or answered"))
        self._wanted = wanted
        self._name = name
        self.made.connect(self._on_written)

    def ask(self) -> None:
        start = str(Path.home() / f"{self._name}.csv")
        kinds, options = tr("CSV (*.csv);;JSON lines (*.jsonl)"), QFileDialog.Option.DontConfirmOverwrite  # nothing is overwritten
        name, kind = QFileDialog.getSaveFileName(self, tr("Export requests"), start, kinds, options=options | _CHANGES_NOTHING)
        if name:
            self.export_to(named(Path(name), "jsonl" if "jsonl" in kind else "csv"))

    def export_to(self, target: Path) -> None:
        wanted, form = self._wanted(), "csv" if target.suffix == ".csv" else "jsonl"
        self.put("requests", target, lambda client, writing, now: give_rows(client, writing, now, form, wanted))

    @Slot(object)
    def _on_written(self, rows: int) -> None:
        self.said.emit(plural(rows, "{n} request written", "{n} requests written"))


class LogButton(ExportButton):
    """into: what is done with the folder that was chosen, "" for none."""

    def __init__(self, session: Session, into: Callable[[str], None], parent: QWidget) -> None:
        super().__init__(tr("Export and verify"), session, lambda n: tr("{n} entries so far", n=f"{n:,}"), parent)
        self._into = into

    def ask(self) -> None:
        self._into(ask_folder(self, tr("Where the export goes")))


def ask_folder(parent: QWidget, title: str) -> str:
    """One that the person chose, "" for none."""
    options = QFileDialog.Option.ShowDirsOnly | _CHANGES_NOTHING
    return QFileDialog.getExistingDirectory(parent, title, str(Path.home()), options)


def named(target: Path, form: str) -> Path:
    """With an ending that says what is in it, as every export of requests has."""
    return target if KINDS["requests"].fits(target.name) else target.with_name(f"{target.name}.{form}")


def give_rows(client: ControlClient, writing: Writing, now: Progress, form: str, wanted: RowFilter) -> int:
    """How many. AppError, StoppedError."""
    mark, tail = b'{"id":"req_' if form == "jsonl" else b"\r\nreq_", b""
    for piece in client.export(form, wanted):
        now.check()
        writing.send(0, piece)
        # Each row begins with its id; the end of the last piece may hold the beginning of a mark.
        together = tail + piece
        now.count += together.count(mark)
        tail = together[-(len(mark) - 1) :]
    return now.count


def give_log(client: ControlClient, writing: Writing, now: Progress) -> AuditExport:
    """AppError, StoppedError."""

    def take(number: int, piece: bytes) -> None:
        now.check()
        writing.send(number, piece)
        now.count += 0 if number else piece.count(b"\n")

    return client.export_audit(take)


def give_report(client: ControlClient, writing: Writing) -> NetworkReport:
    """AppError."""
    made = client.network_report()
    for number, content in enumerate(report.pieces(made)):
        writing.send(number, content)
    writing.end()
    return made
