"""The live tail: which rows of the ledger are loaded. It decides and holds them; asking and drawing are the page's.

Loaded is one stretch without a hole: the newest rows that fit the question, and older ones a page at a time. Rows that close meanwhile
are put in where they fit; during a pause, and while the newest rows are asked for, they are held.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from app.control.contract import ActivityPage as Answer
from app.control.contract import RowFilter
from app.core.records import Exchange
from app.gui.finding import lets_through
from app.gui.tables import SortedRows

# Past this many rows the oldest are let go; scrolling reads them again.
MOST: Final = 20_000


class Tail:
    """question: what is shown fits it; None: nothing can. turn: rises with each new question, so that late answers are known as such.
    asked_in: the event stream in which the newest rows were last asked for."""

    def __init__(self, rows: SortedRows[Exchange]) -> None:
        self.rows: Final = rows
        self.question: RowFilter | None = RowFilter()
        self.turn = 0
        self.next: str | None = None
        self.reading = False
        self.paused = False
        self._held: dict[str, Exchange] = {}
        self._meanwhile: dict[str, Exchange] = {}
        self._fresh = True
        self._pending = False
        # _solid: the newest row below which none is missing. _unbroken: the stream since which that is kept up.
        self._solid = ""
        self._unbroken = -1
        self.asked_in = -1

    def __len__(self) -> int:
        return self.rows.rowCount()

    @property
    def more(self) -> bool:
        """Older rows can be asked for."""
        return self.next is not None

    @property
    def waiting(self) -> int:
        """How many rows a pause holds back."""
        return len(self._held)

    @property
    def settled(self) -> bool:
        """What is loaded answers the present question."""
        return not self._fresh

    # -- asking

    def begin(self, stream: int) -> int:
        """Another question is asked, on that event stream; its turn. What is loaded stays in sight until the answer is here."""
        self.turn += 1
        self._fresh = True
        return self.again(stream)

    def again(self, stream: int) -> int:
        """The same question once more, after a silence in which rows may have closed unheard."""
        self.reading = self._pending = True
        self.asked_in = stream
        return self.turn

    def take_newest(self, question: RowFilter | None, answer: Answer) -> None:
        """The newest rows that fit."""
        self.reading = self._pending = False
        # Held against the newest row below which nothing is missing: what arrived since the silence may already stand above the hole.
        if self._fresh or not (self._solid and (answer.next is None or answer.next <= self._solid)):
            self.rows.clear()
            self._held.clear()
            self.next = answer.next
        self._fresh = False
        self.question = question
        self.rows.merge(answer.rows)
        self._unbroken = self.asked_in
        self._solid = self.rows.key(0) if self.rows.rowCount() else ""
        self._take_meanwhile()

    def take_older(self, answer: Answer) -> None:
        self.reading = False
        self.next = answer.next
        self.rows.merge(answer.rows)

    def fail(self) -> None:
        """The answer did not come."""
        self.reading = False
        if self._pending and not self._fresh:
            self._pending = False
            self._take_meanwhile()

    # -- what closes

    def take_arrived(self, arrived: Iterable[Exchange], stream: int, *, at_top: bool = False) -> None:
        """Rows that closed. at_top: nobody looks at what is below, so the oldest may go when there are too many."""
        rows = tuple(arrived)
        if self._fresh or self._pending:
            self._meanwhile |= {row.id: row for row in rows}
            return
        rows = tuple(row for row in rows if lets_through(row, self.question))
        if self.paused:
            self._held |= {row.id: row for row in rows}
            return
        self._put(rows, at_top=at_top)
        if self._unbroken == stream and self.rows.rowCount():
            self._solid = self.rows.key(0)

    def toggle_pause(self) -> None:
        self.paused = not self.paused
        if not self.paused:
            held, self._held = tuple(self._held.values()), {}
            self._put(held, at_top=False)

    def forget_before(self, since_us: int) -> None:
        """The span moved on: what is older no longer belongs to it."""
        number = self.rows.rowCount()
        while number and self.rows.row(number - 1).opened_us < since_us:
            number -= 1
        if number < self.rows.rowCount():
            self.rows.cut(number)
            self.next = None

    def _take_meanwhile(self) -> None:
        meanwhile, self._meanwhile = tuple(self._meanwhile.values()), {}
        self.take_arrived(meanwhile, self.asked_in)

    def _put(self, rows: Sequence[Exchange], *, at_top: bool) -> None:
        # Rows older than what was read would leave a gap that no scrolling fills; they come with their page.
        if self.next is not None:
            rows = [row for row in rows if row.id >= self.next]
        self.rows.merge(rows)
        if at_top and self.rows.rowCount() > MOST:
            self.rows.cut(MOST // 2)
            self.next = self.rows.key(self.rows.rowCount() - 1)
