"""Whether the audit log is whole, in one line: what was found, what it rests on, and what can be done about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from PySide6.QtCore import QRectF, Qt, Signal, Slot
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.control.contract import AuditStatus
from app.gui import entries, theme
from app.gui import format as fmt
from app.gui.labels import Label
from app.gui.widgets import Button, Card, Glyph
from app.gui.words import plural, tr

_BAR: Final = 4


@dataclass(frozen=True, slots=True)
class Strip:
    """The line that says whether the log is whole. below: what it rests on. held: there is a finding a person may go on from. share: of
    what is to be read, how much was; None when nothing is being read."""

    glyph: str
    ink: str
    fact: str
    below: str
    held: bool = False
    share: float | None = None


def strip(status: AuditStatus | None, now_us: int) -> Strip:
    """From what is known now; never green without a verification since the start."""
    if status is None:
        return Strip("minus-circle", "tx3", tr("Not read yet"), "")
    if status.verifying is not None:
        return _verifying(status.verifying, status.verifying_rows)
    verdict = status.verdict
    finding = status.held or (verdict.findings[0] if verdict is not None and verdict.findings else None)
    if finding is not None and (status.held is not None or (verdict is not None and verdict.state == "tampered")):
        names = {
            "edited": tr("Edited at {n}"),
            "gap": tr("Gap before {n}"),
            "rewritten": tr("Rewritten up to {n}"),
            "cut": tr("Cut after {n}"),
            "rolled back": tr("Rolled back to {n}"),
            "unsigned prune": tr("Removed before {n} without a signature"),
            "forged": tr("Checkpoint at {n} forged"),
            "replaced": tr("Another log than before"),
            "ledger": tr("The ledger was changed"),
            "evidence": tr("Evidence up to {n} was changed"),
            "no key": tr("Signed with another key"),
        }
        fact = names.get(finding.kind, finding.kind[:1].upper() + finding.kind[1:]).format(n=f"{finding.seq:,}")
        return Strip("x-circle-fill", "eri", fact, f"{finding.sentence} {finding.advice}", held=status.held is not None)
    if status.trouble and status.starting:
        return Strip("hourglass", "tx2", tr("The log is being opened"), tr("Its key is asked for and held against the log."))
    if status.trouble:
        return Strip("warning-fill", "wai", tr("Not signed"), status.trouble)
    if verdict is None:
        return Strip("minus-circle", "tx3", tr("Not verified since the start"), _rests_on(status, now_us))
    if finding is not None:
        return Strip("warning-fill", "wai", tr("Incomplete: {kind}", kind=finding.kind), f"{finding.sentence} {finding.advice}")
    fact = tr("Verified to entry {n} · head {head}", n=f"{verdict.seq:,}", head=entries.short_hash(verdict.head).replace(" ", ""))
    return Strip("check-circle-fill", "oki", fact, _rests_on(status, now_us))


def _verifying(entries: tuple[int, int], rows: tuple[int, int] | None) -> Strip:
    """How far it is: over entries and rows together."""
    (done, total), (done_rows, total_rows) = entries, rows or (0, 0)
    all_done, everything = done + done_rows, total + total_rows
    words = {"done": f"{done:,}", "total": f"{total:,}", "rows": f"{done_rows:,}", "all": f"{total_rows:,}"}
    below = (
        tr("{done} of {total} entries", done=words["done"], total=words["total"])
        if rows is None
        else tr("{done} of {total} entries, {rows} of {all} rows of the ledger", **words)
    )
    fact = tr("Verifying, {share} %", share=100 * all_done // everything if everything else 0)
    return Strip("hourglass", "acctx", fact, below, share=all_done / everything if everything else 0.0)


def _rests_on(status: AuditStatus, now_us: int) -> str:
    parts = []
    verdict = status.verdict
    if verdict is not None:
        words = {"when": fmt.moment(verdict.at_us, now_us), "time": fmt.duration(verdict.took_ms * 1000)}
        parts.append(
            tr("Entries after {n} and their rows recomputed {when} in {time}", n=f"{verdict.since:,}", **words)
            if verdict.since
            else tr("Recomputed {when} in {time}", **words)
        )
    if status.full_us and (verdict is None or verdict.since):
        when = fmt.moment(status.full_us, now_us)
        parts.append(tr("everything up to entry {n} last recomputed {when}", n=f"{status.full_seq:,}", when=when))
    if status.anchored_us:
        parts.append(tr("anchored {ago} in {place}", ago=fmt.ago(status.anchored_us, now_us), place=status.place))
    waiting = status.seq - status.anchored
    parts.append(
        plural(waiting, "{n} entry not anchored yet", "{n} entries not anchored yet") if waiting > 0 else tr("every entry anchored")
    )
    parts.append(tr("last signed checkpoint {n}", n=f"{status.sealed:,}"))
    return " · ".join(parts)


class Share(QWidget):
    """How much of something is done, as a bar. What it says is said in words beside it, so it is not read aloud."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._share = 0.0
        self.setFixedHeight(_BAR + 4)

    def show_share(self, share: float) -> None:
        """0 to 1."""
        if share != self._share:
            self._share = share
            self.update()

    def share(self) -> float:
        return self._share

    def paintEvent(self, _event: QPaintEvent) -> None:
        look, painter = theme.current(), QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        track = QRectF(0, 4, self.width(), _BAR)
        painter.setBrush(look.colour("grid"))
        painter.drawRoundedRect(track, _BAR / 2, _BAR / 2)
        filled = max(_BAR, track.width() * min(1.0, self._share))
        left = track.right() - filled if self.layoutDirection() == Qt.LayoutDirection.RightToLeft else 0
        painter.setBrush(look.colour("acc"))
        painter.drawRoundedRect(QRectF(left, 4, filled, _BAR), _BAR / 2, _BAR / 2)


class IntegrityStrip(Card):
    """`verify`, `accept` and `copy` were asked for."""

    verify = Signal()
    accept = Signal()
    copy = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(pad=14, parent=parent)
        self._strip: Strip | None = None
        self._busy = False
        self._mark = Glyph("minus-circle", 18, "tx3", self)
        self._fact = Label("", "heading", "tx", self).wrapped()
        self._below = Label("", "small", "tx2", self).wrapped()
        texts = QVBoxLayout()
        texts.setSpacing(2)
        texts.addWidget(self._fact)
        texts.addWidget(self._below)
        self.bar = Share(self)
        self.bar.hide()
        texts.addWidget(self.bar)
        self.accepting = Button(tr("Go on from here"), "dangerous", small=True, parent=self)
        self.accepting.clicked.connect(self.accept)
        self.copying = Button(tr("Copy head"), "ghost", glyph="copy", small=True, parent=self)
        self.copying.clicked.connect(self.copy)
        self.verifying = Button(tr("Verify now"), small=True, parent=self)
        self.verifying.clicked.connect(self._on_verify)
        row = QHBoxLayout()
        row.setSpacing(12)
        row.addWidget(self._mark)
        row.addLayout(texts, 1)
        for button in (self.accepting, self.copying, self.verifying):
            row.addWidget(button)
        self.column.addLayout(row)

    def show_strip(self, view: Strip, *, able: bool, busy: bool) -> None:
        """able: the engine can be asked. busy: it was asked to verify already."""
        self.copying.setEnabled(able)
        self.verifying.setEnabled(able)
        # Not disabled meanwhile: the keyboard would jump to whatever comes next. A check of the engine's own gives way to a person.
        self._busy = busy
        self.verifying.setText(tr("Verifying…") if self._busy else tr("Verify now"))
        if view != self._strip:
            self._strip = view
            self._mark.set_glyph(view.glyph, view.ink)
            self._fact.setText(view.fact)
            self._below.setText(view.below)
            self.accepting.setVisible(view.held)
            self.bar.setVisible(view.share is not None)
            self.bar.show_share(view.share or 0.0)
            self.setAccessibleName(f"{view.fact}. {view.below}")

    @Slot()
    def _on_verify(self) -> None:
        if not self._busy:
            self.verify.emit()
