"""When a process that died is started again. Pure: the time arrives as an argument."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final


class BackOff:
    """delays_s: the pause before each start in a row; after the last one it is given up, or `goes_on` with that pause. A run of `steady_s`
    begins a new row."""

    def __init__(self, delays_s: Sequence[float], steady_s: float = 60.0, *, goes_on: bool = False) -> None:
        self._delays: Final = tuple(delays_s)
        self._steady: Final = steady_s
        self._goes_on: Final = goes_on
        self._started = 0.0
        self.in_a_row = 0

    def started(self, now_s: float) -> None:
        self._started = now_s

    def died(self, now_s: float) -> float | None:
        """How long to wait before the next start; None when it died too often in a row."""
        if now_s - self._started >= self._steady:
            self.in_a_row = 0
        self.in_a_row += 1
        if self.in_a_row <= len(self._delays):
            return self._delays[self.in_a_row - 1]
        return self._delays[-1] if self._goes_on else None

    def forgive(self) -> None:
        """A person asked for another start."""
        self.in_a_row = 0
