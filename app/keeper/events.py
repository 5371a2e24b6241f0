"""One queue, one thread that decides. Whatever happens elsewhere (a child's end, a message, a signal) becomes an event here."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

Event = Callable[[], None]

# A signal ends this wait on POSIX; on Windows it does not, so it must be short there.
_WAIT_MAX_S: Final = 0.5 if os.name == "nt" else 60.0


class Events:
    """`post` is for any thread and for signal handlers; everything else is for the one thread that is in `run`."""

    def __init__(self) -> None:
        self._queue: Final[SimpleQueue[Event]] = SimpleQueue()
        self._timers: Final[dict[str, tuple[float, Event]]] = {}
        self._stopped = False

    def post(self, event: Event) -> None:
        """`event` runs on the deciding thread, in the order of posting."""
        self._queue.put(event)

    def after(self, name: str, delay_s: float, event: Event) -> None:
        """`event` runs once, later. One timer for each name: the newest."""
        self._timers[name] = (time.monotonic() + delay_s, event)

    def cancel(self, name: str) -> None:
        self._timers.pop(name, None)

    def stop(self) -> None:
        self._stopped = True

    def run(self) -> None:
        """Until an event calls `stop`."""
        while not self._stopped:
            now = time.monotonic()
            due = [name for name, (when, _) in self._timers.items() if when <= now]
            for name in due:
                self._timers.pop(name)[1]()
            if due:
                continue
            next_s = min((when for when, _ in self._timers.values()), default=now + _WAIT_MAX_S) - now
            try:
                event = self._queue.get(timeout=max(0.0, min(next_s, _WAIT_MAX_S)))
            except Empty:
                continue
            event()
