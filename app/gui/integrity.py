"""Whether the audit log is whole, in one line: what was found, what it rests on, and what can be done about it."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.control.contract import AuditStatus
from app.gui import entries
from app.gui import format as fmt
from app.gui.labels import Label
from app.gui.widgets import Button, Card, Glyph
from app.gui.words import plural, tr


@dataclass(frozen=True, slots=True)
class Strip:
    """The line that says whether the log is whole. below: what it rests on. held: there is a finding a person may go on from."""

    glyph: str
    ink: str
    fact: str
    below: str
    held: bool = False
    busy: bool = False


def strip(status: AuditStatus | None, now_us: int) -> Strip:
    """From what is known now; never green without a verification since the start."""
    if status is None:
        return Strip("minus-circle", "tx3", tr("Not read yet"), "")
    if status.verifying is not None:
        done, total = status.verifying
        share = 100 * done // total if total else 0
        fact = tr("Verifying, {share} %", share=share)
        return Strip("hourglass", "acctx", fact, tr("{done} of {total} entries", done=f"{done:,}", total=f"{total:,}"), busy=True)
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


def _rests_on(status: AuditStatus, now_us: int) -> str:
    parts = []
    if status.verdict is not None:
        when = fmt.moment(status.verdict.at_us, now_us)
        parts.append(tr("Recomputed {when} in {time}", when=when, time=fmt.duration(status.verdict.took_ms * 1000)))
    if status.anchored_us:
        parts.append(tr("anchored {ago} in {place}", ago=fmt.ago(status.anchored_us, now_us), place=status.place))
    waiting = status.seq - status.anchored
    parts.append(
        plural(waiting, "{n} entry not anchored yet", "{n} entries not anchored yet") if waiting > 0 else tr("every entry anchored")
    )
    parts.append(tr("last signed checkpoint {n}", n=f"{status.sealed:,}"))
    return " · ".join(parts)


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
        # Not disabled meanwhile: the keyboard would jump to whatever comes next.
        self._busy = view.busy or busy
        self.verifying.setText(tr("Verifying…") if self._busy else tr("Verify now"))
        if view != self._strip:
            self._strip = view
            self._mark.set_glyph(view.glyph, view.ink)
            self._fact.setText(view.fact)
            self._below.setText(view.below)
            self.accepting.setVisible(view.held)
            self.setAccessibleName(f"{view.fact}. {view.below}")

    @Slot()
    def _on_verify(self) -> None:
        if not self._busy:
            self.verify.emit()
