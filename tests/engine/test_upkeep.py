"""The daily work on the ledger goes on, whatever happened the day before."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.core.errors import AppError
from app.engine import upkeep
from app.engine.upkeep import Upkeep


class BrokenThreads:
    """The store's threads, with something wrong each time they are asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.again = asyncio.Event()

    def _fail(self) -> Any:
        self.asked += 1
        if self.asked > 2:
            self.again.set()
        raise [RuntimeError("nobody thought of this"), AppError("store_unavailable", "The disk is full.")][self.asked % 2]

    async def read(self, _work: object) -> Any:
        return self._fail()

    async def write(self, _work: object) -> Any:
        return self._fail()


def test_a_day_that_fails_is_followed_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "FIRST_S", 0.0)
    monkeypatch.setattr(upkeep, "EVERY_S", 0.0)

    async def story() -> None:
        threads = BrokenThreads()
        running = asyncio.ensure_future(Upkeep(threads, None, lambda: 0).run())  # type: ignore[arg-type]  # what is asked of it fails
        async with asyncio.timeout(30):
            await threads.again.wait()
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(story())
