"""The daily work on the ledger goes on, whatever happened the day before."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.core.errors import AppError
from app.core.events import Who
from app.engine import upkeep
from app.engine.recorder import StoreThreads
from app.engine.upkeep import Upkeep
from app.store import ledger, retention
from app.store.retention import DAY_US, Policy
from tests.audit.book import Book, book
from tests.store.rows import NOW_US, row


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
        running = asyncio.ensure_future(Upkeep(threads, None, lambda: 0, threads.write).run())  # type: ignore[arg-type]  # what is asked of it fails
        async with asyncio.timeout(30):
            await threads.again.wait()
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(story())


def test_while_nothing_can_be_signed_no_row_goes_and_it_says_why(data_dir: Path) -> None:
    """And once it can be signed, what is due goes; what was begun is ended before costs are worked out again."""

    async def story() -> None:
        with book(data_dir / "g.db") as made:
            made.begin()
            made.found_ledger()
            for day in range(9, -1, -1):
                with made.store.write() as connection:
                    ledger.record(connection, [row(n, at_us=NOW_US - day * DAY_US) for n in range(5)])
            made.edit(lambda c: retention.choose(c, Policy(keep_days=5, keep_bytes=0)))
            held = AppError("store_unavailable", "The audit log cannot be signed now: the vault is locked.")
            open_ = False

            async def signed(work: Any) -> None:
                if not open_:
                    raise held
                made.edit(lambda c: work(c, made.signer))
                made.remember()

            accounts: Any = SimpleNamespace(set_prices=lambda prices: None, cost=lambda *_: None)
            working = Upkeep(StoreThreads(made.store), accounts, lambda: NOW_US, signed)
            await working._once()
            assert "the vault is locked" in working.trouble
            assert count(made) == 50
            assert made.verify().findings == []
            open_ = True
            with made.store.read() as connection:
                plan = retention.plan(connection, Policy(keep_days=5, keep_bytes=0), NOW_US)
            assert plan is not None
            made.retain(plan, steps=1, most=3)
            assert count(made) == 47
            assert (await working.reprice(0, NOW_US * 2, Who(actor="person"), unpriced_only=False)).looked_at == count(made) < 47
            assert made.verify().findings == []
            await working._once()
            assert (working.trouble, made.verify().findings) == ("", [])
            made.sql("UPDATE checkpoints SET lasting = 0")
            await working._once()
            assert "cannot be read" in working.trouble
            with pytest.raises(AppError, match="cannot be read"):
                await working.reprice(0, NOW_US, Who(actor="person"), unpriced_only=False)

    asyncio.run(story())


def count(made: Book) -> int:
    with made.store.read() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM exchanges").scalar_one())
