"""While the log cannot be written: no change without its entry, and requests do what the person chose."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from app.core.errors import AppError
from app.core.events import ClientAdded, GatewayStarted
from app.core.records import Client
from app.engine.clients import Clients
from app.engine.recorder import Recorder, StoreThreads
from app.store import audit, cipher, clients, ledger
from app.store.journal import Journal
from tests.audit.book import KEY, NOW_US, book
from tests.store.rows import row

PATIENCE_S = 30.0


async def until(true: object) -> None:
    assert callable(true)
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("stops", [True, False])
def test_requests_stop_or_go_on_and_changes_are_refused(data_dir: Path, stops: bool) -> None:
    async def story() -> None:
        with book(data_dir / "g.db") as made:
            made.begin()
            journal, _ = Journal.open(data_dir / "journal", KEY)
            threads = StoreThreads(made.store)
            recorder = Recorder(journal, threads, Clients(KEY), made.now, lambda rows: None, lambda: None)
            recorder.stops_on_problem = stops
            task = asyncio.get_running_loop().create_task(recorder.run())

            def change() -> None:
                with made.store.change(ClientAdded(name="zed", key_hint=""), "person", NOW_US) as connection:
                    clients.add(connection, Client(name="zed", prefix="sk-gh-", last4="abcd", created_us=NOW_US), b"1" * 32)

            # Another program holds the database, as a backup of the whole disk may.
            with closing(cipher.connect(made.path, KEY)) as other:
                other.execute("BEGIN IMMEDIATE")
                recorder.note(GatewayStarted(version="1", port=1), "gateway")
                await until(lambda: recorder.problem)
                if stops:
                    with pytest.raises(AppError) as refused:
                        recorder.opened(row(1))
                    assert refused.value.code == "store_unavailable"
                else:
                    recorder.opened(row(1))
                    recorder.closed(row(1))
                with pytest.raises(AppError) as refused:
                    await threads.write(change)
                assert refused.value.code == "store_unavailable"
                other.execute("ROLLBACK")
            await until(lambda: not recorder.problem)
            await recorder.stop()
            task.cancel()
            with made.store.read() as connection:
                assert clients.all(connection) == []
                kinds = [entry.kind for entry in audit.page(connection, 10)]
                assert kinds == (["gateway.started"] if stops else kinds)
                assert "gateway.started" in kinds
                assert len(ledger.page(connection, 10)) == (0 if stops else 1)
            made.seal()
            made.remember()
            assert made.verify().state == "intact"

    asyncio.run(story())


def test_a_flood_is_the_first_and_then_one_entry(data_dir: Path) -> None:
    async def story() -> None:
        with book(data_dir / "g.db") as made:
            made.begin()
            journal, _ = Journal.open(data_dir / "journal", KEY)
            now = [NOW_US]
            recorder = Recorder(journal, StoreThreads(made.store), Clients(KEY), lambda: now[0], lambda rows: None, lambda: None)
            for number in range(20_000):
                now[0] += 10
                recorder.refused("key_unknown", "")
                recorder.turned_away("gateway", "origin_not_allowed")
                recorder.not_dialled(f"account-{number % 5000}", "https://169.254.169.254:80", "link-local")
            await recorder.stop()
            with made.store.read() as connection:
                entries = audit.page(connection, 100_000)
            assert len(entries) < 2_100
            said = [entry.body["detail"] for entry in entries if entry.kind == "key.refused"]
            assert [detail["count"] for detail in said] == [19_999, 1]  # type: ignore[call-overload,index]
            refused = [entry.body["detail"] for entry in entries if entry.kind == "egress.refused"]
            assert sum(detail["count"] for detail in refused) == 20_000  # type: ignore[call-overload,index]

    asyncio.run(story())
