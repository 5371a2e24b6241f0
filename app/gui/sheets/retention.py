"""How long the audit log is kept: the choice, and what would go by it, before anything does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QWidget

from app.control.contract import AuditPolicy, AuditPrunable, AuditStatus
from app.core.errors import AppError
from app.gui import format as fmt
from app.gui.fields import Segmented
from app.gui.labels import Label
from app.gui.session import Session
from app.gui.sheet import Sheet
from app.gui.words import tr

DAYS: Final = (30, 90, 365, 1095, 0)


def preview(found: AuditPrunable, now_us: int) -> str:
    """What would go, in a sentence."""
    if not found.upto:
        return tr("Nothing would go now: no whole signed segment is that old.")
    return tr(
        "{count} entries ({first} to {upto}, {from_} to {to}, about {size}) would go now; {kept} stay. A signed record says that they "
        "were removed. They cannot be brought back.",
        count=f"{found.count:,}",
        first=f"{found.first:,}",
        upto=f"{found.upto:,}",
        from_=fmt.moment(found.first_us, now_us),
        to=fmt.moment(found.last_us, now_us),
        size=fmt.size(found.size_bytes),
        kept=f"{found.kept:,}",
    )


class RetentionSheet(Sheet):
    """`saved` is called with the new status."""

    def __init__(self, session: Session, status: AuditStatus, now_us: int, saved: Callable[[AuditStatus], None], parent: QWidget) -> None:
        super().__init__(
            tr("Retention"),
            tr("What is older is removed once a day, in whole segments that a checkpoint signed."),
            width=520,
            parent=parent,
        )
        self._session = session
        self._saved = saved
        self._now_us = now_us
        self._asked = 0
        names = (tr("30 days"), tr("90 days"), tr("1 year"), tr("3 years"), tr("For ever"))
        self.body.addWidget(Label(tr("Keep entries for"), "small", "tx2", self.frame))
        self.choice = Segmented(names, tr("Keep entries for"), self.frame)
        self.choice.choose(DAYS.index(status.keep_days) if status.keep_days in DAYS else 2)
        self.choice.chosen.connect(self._on_chosen)
        self.body.addWidget(self.choice)
        self.what = Label("", "body", "tx2", self.frame).wrapped()
        self.body.addWidget(self.what)
        self.body.addWidget(Label(tr("While the log cannot be written, requests"), "small", "tx2", self.frame))
        self.failing = Segmented((tr("Stop"), tr("Go on")), tr("While the log cannot be written, requests"), self.frame)
        self.failing.choose(int(status.on_failure == "continue"))
        self.body.addWidget(self.failing)
        why = tr("Changes are refused in either case. Going on means that requests wait in the journal until the log can be written again.")
        self.body.addWidget(Label(why, "small", "tx3", self.frame).wrapped())
        self.add_cancel()
        self.save = self.add_button(tr("Save"), "primary")
        self.save.clicked.connect(self._on_save)
        self._shown = (self.choice.index() if status.keep_days in DAYS else -1, self.failing.index())
        self._on_chosen(self.choice.index())

    @Slot(int)
    def _on_chosen(self, index: int) -> None:
        self._asked += 1
        days, asked = DAYS[index], self._asked
        if not days:
            self.what.setText(tr("Nothing is ever removed."))
            return
        self.what.setText(tr("Counting what would go…"))

        found = partial(self._on_found, asked)
        self._session.look("prunable", lambda client: client.audit_prunable(days), found, self._on_failed)

    def _on_found(self, asked: int, found: AuditPrunable) -> None:
        if asked == self._asked:  # not the answer for a choice before this one
            self.what.setText(preview(found, self._now_us))
            self.refit()

    def _on_failed(self, error: AppError) -> None:
        self.what.setText(error.sentence())

    @Slot()
    def _on_save(self) -> None:
        """What the person left as it was shown is not asked for: what the engine says of itself is no person's wish."""
        days, failing = self.choice.index(), self.failing.index()
        policy = AuditPolicy(
            keep_days=None if days == self._shown[0] else DAYS[days],
            on_failure=None if failing == self._shown[1] else "continue" if failing else "stop",
        )
        self.close_now()
        self._session.order("audit-policy", lambda client: client.set_audit_policy(policy), self._saved)
