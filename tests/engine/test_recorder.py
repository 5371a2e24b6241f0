"""What the recorder does while nothing can be recorded: nothing that was spent is forgotten, and it goes on by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from app.core.errors import AppError
from app.engine.clients import Clients
from app.engine.recorder import REFUSED_ROWS_BURST, Recorder, StoreThreads
from app.store import cipher, ledger
from app.store.database import Store
from app.store.journal import Journal
from tests.disks import fill
from tests.store.rows import KEY, NOW_US, row

PATIENCE_S = 30.0


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0.05)


@asynccontextmanager
async def recording(database: Path, journal_folder: Path, said: list[str]) -> AsyncIterator[Recorder]:
    """A recorder at work; `said`: each change of its problem."""
    journal, _ = Journal.open(journal_folder, KEY)
    threads = StoreThreads(Store.open(database, KEY))
    recorder = Recorder(journal, threads, Clients(KEY), lambda: NOW_US, lambda rows: None, lambda: said.append(recorder.problem))
    task = asyncio.get_running_loop().create_task(recorder.run())
    try:
        yield recorder
    finally:
        await recorder.stop()
        task.cancel()
        threads.close()


def test_rows_that_the_journal_could_not_take_are_in_the_ledger_all_the_same(tmp_path: Path, small_disk: Path) -> None:
    """They went to a provider and cost something, also when their last byte did not go to the client."""
    said: list[str] = []
    refused: list[AppError] = []

    async def story() -> None:
        async with recording(tmp_path / "g.db", small_disk / "journal", said) as recorder:
            for number in range(50):
                recorder.opened(row(number))
            filler = fill(small_disk)
            for number in range(50):
                try:
                    recorder.closed(row(number))
                except AppError as error:
                    refused.append(error)
            with pytest.raises(AppError, match="The disk is full"):
                recorder.opened(row(60))
            filler.unlink()
            await until(lambda: not recorder.problem)
            recorder.opened(row(70))
            recorder.closed(row(70))

    asyncio.run(story())
    assert len(refused) > 30
    assert {(error.code, error.retry_after_s) for error in refused} == {("store_unavailable", 5)}
    assert [bool(problem) for problem in said] == [True, False]
    store = Store.open(tmp_path / "g.db", KEY)
    with store.read() as connection:
        kept = ledger.page(connection, 100)
        assert [(one.id, one.cost_microusd) for one in kept] == [
            (one.id, one.cost_microusd) for one in (row(70), *map(row, range(49, -1, -1)))
        ]
        assert sum(one.outcome == "completed" for one in kept) == len(kept) - len(refused)
        assert {(one.outcome, one.status, one.stream) for one in kept if one.error == "store_unavailable"} == {
            ("failed", 200, True),
            ("failed", 503, False),
        }
    store.close()


def test_the_journal_is_kept_up_while_the_database_takes_nothing(tmp_path: Path, small_disk: Path) -> None:
    """A person may have chosen that requests go on then: the journal alone has them."""
    said: list[str] = []

    async def story() -> None:
        async with recording(tmp_path / "g.db", small_disk / "journal", said) as recorder:
            with closing(cipher.connect(tmp_path / "g.db", KEY)) as another:
                another.execute("BEGIN IMMEDIATE")
                recorder.opened(row(1))
                recorder.closed(row(1))
                await until(lambda: recorder.problem)
                recorder.stops_on_problem = False
                filler = fill(small_disk)
                with pytest.raises(AppError, match="The disk is full"):
                    for number in range(2, 10_000):
                        recorder.opened(row(number))
                filler.unlink()
                await until(lambda: recorder.problem.startswith("Another program holds the database."))
                another.execute("ROLLBACK")
            await until(lambda: not recorder.problem)

    asyncio.run(story())
    assert [problem.partition(".")[0] for problem in said] == [
        "Another program holds the database",
        "The disk is full, so nothing more can be recorded",
        "Another program holds the database",
        "",
    ]


def test_a_client_that_asks_again_and_again_meanwhile_does_not_fill_memory_or_disk(tmp_path: Path, small_disk: Path) -> None:
    async def story() -> None:
        async with recording(tmp_path / "g.db", small_disk / "journal", []) as recorder:
            assert all(recorder.may_record_refusal("zed") for _ in range(10_000))
            filler = fill(small_disk)
            with pytest.raises(AppError):
                for number in range(10_000):
                    recorder.opened(row(number))
            assert sum(recorder.may_record_refusal("zed") for _ in range(10_000)) == REFUSED_ROWS_BURST
            filler.unlink()
            await until(lambda: not recorder.problem)
            assert recorder.may_record_refusal("zed")

    asyncio.run(story())
