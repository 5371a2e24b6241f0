"""Threads for work that may block, so that one slow name does not hold up another."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

_MOST: Final = 64
_IDLE_S: Final = 10.0


class Workers:
    """Started when needed, ended when idle for ten seconds. Beyond 64 pieces of work at once, work waits for its turn."""

    def __init__(self) -> None:
        self._work: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._threads = 0
        self._idle = 0

    def run(self, work: Callable[[], None]) -> None:
        """Do `work` on a thread. It reports its own errors; one that gets out ends that thread only."""
        with self._changed:
            self._work.append(work)
            if self._idle >= len(self._work):
                self._changed.notify()
            elif self._threads < _MOST:
                self._threads += 1
                threading.Thread(target=self._live, name="worker", daemon=True).start()

    def _live(self) -> None:
        try:
            while (work := self._next()) is not None:
                work()
        finally:
            with self._changed:
                self._threads -= 1

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            self._idle += 1
            try:
                while not self._work:
                    if not self._changed.wait(_IDLE_S) and not self._work:
                        return None
                return self._work.popleft()
            finally:
                self._idle -= 1
