"""Whether the engine still answers while it computes. Pure: time and what was seen arrive as arguments.

At each tick of the keeper one look. An engine that computed since the look before is asked; its event loop answers, or nobody does. It
stands still when one question stays unanswered for `silent_s`, all looks in that time were on time, it computed in each span between two
of them, and `computed_s` altogether. So these are left alone: an engine that idles (it is not even asked), one that was stopped or waits
for the disk (it computes nothing), and any at all while the keeper itself was late (a sleep of the machine, a keeper that was stopped, a
machine with too much to do): a late look begins the count anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.system.effort import Effort


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds. tick_s: between two looks. late_s: how much more it may be. computed_s: the longest honest piece of work of the loop is
    below 2 s; so much more is none, however little of it a busy machine did in how long a time. share: of a span, below which the engine
    waits rather than computes. pauses_s: before the starts after such ends in a row; the last one stays. steady_s: a run of so long
    begins a new row."""

    tick_s: float = 5.0
    late_s: float = 1.5
    silent_s: float = 20.0
    computed_s: float = 10.0
    share: float = 0.05
    pauses_s: tuple[float, ...] = (0, 2, 5, 15, 30, 60)
    steady_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Standstill:
    """silent_s: unanswered for so long. cpu_s: computed meanwhile."""

    silent_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Question:
    """The engine is to be asked; it answers with the number."""

    number: int


@dataclass(frozen=True, slots=True)
class _Look:
    at_s: float
    cpu_s: float


class Watchdog:
    """Over one engine, from when it said that it is ready. `answered` is for any thread."""

    def __init__(self, patience: Patience) -> None:
        self._patience: Final = patience
        self._asked = 0
        self._heard = 0
        self._before: _Look | None = None
        self._since: _Look | None = None

    @property
    def waits(self) -> bool:
        """A question is open."""
        return self._heard != self._asked

    def answered(self, number: object) -> None:
        """The engine's answer to the question of this number."""
        if number == self._asked:
            self._heard = self._asked

    def look(self, at_s: float, effort: Effort | None, *, hearing: bool) -> Question | Standstill | None:
        """at_s: of a clock that nobody sets and that does not sleep. hearing: the keeper is in the middle of what the engine said
        before, so that an answer may wait behind it."""
        patience, before = self._patience, self._before
        if effort is None:
            self._before = self._since = None
            return None
        now = self._before = _Look(at_s, effort.cpu_s)
        if before is None:
            self._since = now
            return None
        span = now.at_s - before.at_s
        computes = not effort.waits and now.cpu_s - before.cpu_s >= patience.share * span
        late = hearing or not 0 <= span <= patience.tick_s + patience.late_s
        if not self.waits:
            if not computes:
                return None
            self._since = now
            self._asked += 1
            return Question(self._asked)
        if late or not computes or self._since is None:
            self._since = now
            return None
        silent_s, cpu_s = now.at_s - self._since.at_s, now.cpu_s - self._since.cpu_s
        if silent_s < patience.silent_s or cpu_s < patience.computed_s:
            return None
        return Standstill(silent_s, cpu_s)
