"""How many requests there are in the time that Activity shows: asked again soon after rows closed, and drawn as bars."""

from __future__ import annotations

from functools import partial
from typing import Final

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from app.control.client import ControlClient
from app.control.contract import RowFilter
from app.core.errors import AppError
from app.gui import spans
from app.gui.session import Session
from app.gui.spans import Span

SOON_MS: Final = 1_500
Counts = dict[str, tuple[int, int]]


class Counting(QObject):
    """`counted`: there are others. total: of any status and any words, by the sums; None while it is not known."""

    counted = Signal()

    def __init__(self, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._over: Span | None = None
        self._only = RowFilter()
        self._now_us = 0
        self._turn = 0
        self._counted: Span | None = None
        self.counts: Counts = {}
        self.total: int | None = None
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(SOON_MS)
        self._soon.timeout.connect(self._ask)

    def ask(self, over: Span, question: RowFilter | None, now_us: int) -> None:
        """Counts that span now. question: its clients, providers and models count."""
        named = RowFilter() if question is None else question
        self._over, self._now_us = over, now_us
        self._only = RowFilter(clients=named.clients, providers=named.providers, models=named.models)
        self._ask()

    def ask_soon(self, over: Span, now_us: int) -> None:
        """Once more, in a moment."""
        self._over, self._now_us = over, now_us
        if not self._soon.isActive():
            self._soon.start()

    def forget(self) -> None:
        self._turn += 1
        self._soon.stop()
        self._counted, self.counts, self.total = None, {}, None

    def is_of(self, over: Span) -> bool:
        """Whether what was counted belongs to this span, perhaps a little earlier."""
        counted = self._counted
        same = counted is not None and (counted.chosen, counted.unit) == (over.chosen, over.unit)
        return same and (over.chosen != "dates" or counted == over)

    @Slot()
    def _ask(self) -> None:
        over, only = self._over, self._only
        if over is None:
            return
        self._turn += 1
        since_us, until_us = spans.ask_from(over, self._now_us)

        def ask(client: ControlClient) -> Counts:
            if over.unit == "minute":
                minutes = client.activity_minutes(since_us, until_us, only)
                return {spans.minute_key(minute.at_us): (minute.requests, minute.failed) for minute in minutes}
            rows = client.usage((over.unit,), since_us=since_us, until_us=until_us, only=only)
            return {row.key[0]: (row.requests, row.failed) for row in rows}

        self._session.look("counts", ask, partial(self._on_counts, self._turn, over), self._on_failed)

    def _on_counts(self, turn: int, over: Span, counts: Counts) -> None:
        if turn == self._turn:
            self._counted, self.counts = over, counts
            self.total = sum(requests for requests, _ in counts.values())
            self.counted.emit()

    def _on_failed(self, error: AppError) -> None:
        if error.code not in ("engine_absent", "vault_locked"):
            self._session.complain(error)
