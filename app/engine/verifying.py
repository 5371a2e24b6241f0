"""A verification under way: how far it is, how much of the machine it may take, and its end before its time."""

from __future__ import annotations

import time
from typing import Final

from app.core.errors import AppError
from app.store.verified import Told

# Of the time of one core: what nobody waits for leaves most of it to requests; what a person waits for, a breath for the event loop.
QUIET_SHARE: Final = 0.2
BREATH_S: Final = 0.0005
LONGEST_REST_S: Final = 0.5


class EndedError(AppError):
    """The verification was ended before it had read everything; nothing is said about the log."""

    def __init__(self) -> None:
        super().__init__("store_unavailable", "The verification was ended: another one begins, or Gatehouse stops.", retry_after_s=1)


class Reading:
    """`told` is called by the thread that reads, the rest by the event loop. quiet: nobody waits for it."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet: Final = quiet
        self.so_far: Told | None = None
        self._ended = False
        self._worked_since = time.monotonic()

    def end(self) -> None:
        """The thread that reads stops within a step, and raises `EndedError`."""
        self._ended = True

    def told(self, so_far: Told) -> None:
        if self._ended:
            raise EndedError
        self.so_far = so_far
        worked = time.monotonic() - self._worked_since
        rest = min(LONGEST_REST_S, worked * (1 - QUIET_SHARE) / QUIET_SHARE) if self.quiet else 0.0
        time.sleep(max(BREATH_S, rest))
        self._worked_since = time.monotonic()
