"""What changed, told to every window, `--follow` and test that listens. Nothing is computed while nobody does.

A listener gets rows as they close and a fresh snapshot at most four times a second. One that reads slowly loses rows (it is told to
read the page again by the snapshot's newer `seq`), never the others' time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Final

from app.control.contract import EventLine, Snapshot
from app.core.records import Exchange

SNAPSHOT_S: Final = 0.25
BEAT_S: Final = 5.0
MOST_ROWS: Final = 2_000


class _Listener:
    def __init__(self) -> None:
        self.rows: deque[Exchange] = deque(maxlen=MOST_ROWS)
        self.stale = True
        self.wake = asyncio.Event()


class Bus:
    """`snapshot` builds the current one; it is awaited on the loop."""

    def __init__(self, snapshot: Callable[[], Awaitable[Snapshot]]) -> None:
        self._snapshot: Final = snapshot
        self._listeners: Final[set[_Listener]] = set()
        self.seq = 1

    def changed(self) -> None:
        """Something the snapshot shows is different now."""
        self.seq += 1
        for listener in self._listeners:
            listener.stale = True
            listener.wake.set()

    def closed(self, rows: Iterable[Exchange]) -> None:
        self.seq += 1
        for listener in self._listeners:
            listener.rows.extend(rows)
            listener.stale = True
            listener.wake.set()

    async def lines(self) -> AsyncIterator[EventLine]:
        """First a snapshot, then changes; an empty line every `BEAT_S` seconds of silence."""
        listener = _Listener()
        self._listeners.add(listener)
        try:
            while True:
                if listener.rows or listener.stale:
                    listener.wake.clear()
                    rows = list(listener.rows)
                    listener.rows.clear()
                    for row in rows:
                        yield EventLine(seq=self.seq, kind="exchange.closed", row=row)
                    if listener.stale:
                        listener.stale = False
                        yield EventLine(seq=self.seq, kind="snapshot", snapshot=await self._snapshot())
                    await asyncio.sleep(SNAPSHOT_S)
                    continue
                try:
                    async with asyncio.timeout(BEAT_S):
                        await listener.wake.wait()
                except TimeoutError:
                    yield EventLine(seq=self.seq, kind="beat")
        finally:
            self._listeners.discard(listener)
