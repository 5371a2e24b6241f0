"""Work on large texts off the event loop, so that one client's body does not hold up everybody else's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from app.engine import working
from app.wire.body import LARGE

T = TypeVar("T")
_WORKERS: Final = 2  # what several decode at once is in memory at once


class Apart:
    """Threads that are made when the first large text comes. Nothing waits in their own queue, where what nobody waits for any more would
    stay in memory, counted by nobody."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None
        self._places: Final = asyncio.Semaphore(_WORKERS)

    async def run(self, size: int, work: Callable[[], T]) -> T:
        """What `work` returns: done here when it is about `size` bytes of text or fewer than `LARGE`, else on a thread. Cancelled while
        it waits, the work goes on to its end and its result is dropped."""
        if size <= LARGE:
            return work()
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_WORKERS, "large bodies")
        loop = asyncio.get_running_loop()
        await self._places.acquire()
        done = self._threads.submit(working.apart(work))
        done.add_done_callback(lambda _: self._free(loop))
        return await asyncio.wrap_future(done)

    def _free(self, loop: asyncio.AbstractEventLoop) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended before the work
            loop.call_soon_threadsafe(self._places.release)
