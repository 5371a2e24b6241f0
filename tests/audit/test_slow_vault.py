"""A vault that is slow or shut: what a person asks for meanwhile waits and is no finding, and what it was not told is told later."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app import verifier
from app.control import contract
from app.core import frames
from app.core.errors import AppError
from app.core.events import Who
from app.core.exports import KINDS
from app.engine import audit_export
from app.engine.auditing import Auditor
from app.engine.clients import Clients
from app.engine.marks import Marks
from app.engine.recorder import Recorder, StoreThreads
from app.store import audit, checkpoints, floors, settings
from app.store.journal import Journal
from app.system import sink
from app.verifier import Anchor
from tests.audit.book import KEY, Book, book

ME = Who(actor="person")
PATIENCE_S = 30.0


class SlowVault:
    """The keeper's side of the two items. Putting one of `slow` takes until `quick` is set; `asked`: an item that is being put so. While
    it is `shut`, nothing is put."""

    def __init__(self, *slow: str, items: dict[str, str] | None = None) -> None:
        self.items = items or {}
        self.slow = slow
        self.shut = False
        self.quick = asyncio.Event()
        self.asked: asyncio.Queue[str] = asyncio.Queue()

    async def ask(self, op: str, fields: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
        if op == "change":
            return {}, []  # a person wants it
        if op == "runs_sealed":
            return {}, []
        item = fields["item"]
        if op == "audit_get":
            return {"text": self.items.get(item)}, []
        assert op == "audit_put"
        if self.shut:
            raise AppError("vault_locked", "The vault is locked.")
        if item in self.slow:
            self.asked.put_nowait(item)
            await self.quick.wait()
        self.items[item] = fields["text"]
        return {}, []


@asynccontextmanager
async def auditor(made: Book, folder: Path, vault: SlowVault) -> Any:
    journal, _ = Journal.open(folder / "journal", KEY)
    threads = StoreThreads(made.store)
    recorder = Recorder(journal, threads, Clients(KEY), made.now, lambda rows: None, lambda: None)
    made.append(20)
    line: Any = vault
    auditing = Auditor(line, Marks(line, made.now), threads, recorder, made.now, lambda: None)
    running = asyncio.get_running_loop().create_task(auditing.run())
    try:
        yield auditing
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await recorder.stop()


def newest(made: Book) -> int:
    with made.store.read() as connection:
        return audit.newest(connection)


def run(story: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await story

    asyncio.run(bounded())


def test_a_prune_waits_until_the_vault_knows_of_the_first_signature(data_dir: Path) -> None:
    async def story() -> None:
        vault = SlowVault("audit-anchor")
        with book(data_dir / "g.db") as made:
            async with auditor(made, data_dir, vault) as auditing:
                await vault.asked.get()
                upto = (await auditing.prunable(0)).upto
                assert upto == 20
                pruning = asyncio.ensure_future(auditing.prune(upto, ME))
                verifying = asyncio.ensure_future(auditing.verify(ME))
                done, _ = await asyncio.wait((pruning, verifying), timeout=0.5)
                assert not done
                vault.quick.set()
                assert await pruning == 20
                assert (await verifying).state == "intact"

    run(story())


def test_what_is_checked_after_a_start_is_checked_when_somebody_asks_in_its_first_second(data_dir: Path) -> None:
    def claimed(made: Book) -> bool:
        with made.store.read() as connection:
            return checkpoints.newest_claim(connection, floors.LEDGER) is not None

    async def story() -> None:
        with book(data_dir / "g.db") as made:
            async with auditor(made, data_dir, SlowVault()) as auditing:
                assert (await auditing.verify(ME)).state == "intact"
                while not claimed(made):  # the first thing that is done beside the signing
                    await asyncio.sleep(0.05)

    run(story())


class Taker:
    """Somebody who asked for the log and takes all of it."""

    def __init__(self) -> None:
        self.taken = b""

    async def stream(self, status: int, headers: object, content_type: str) -> Taker:
        return self

    async def write(self, data: bytes) -> None:
        self.taken += data

    async def end(self, data: bytes = b"") -> None:
        self.taken += data


async def exported(auditing: Auditor, made: Book, folder: Path) -> contract.AuditExport:
    """What the last word says; the files are in `folder`."""
    taker, parser = Taker(), frames.Parser(3, frames.LAST_WORD_MAX)
    await audit_export.answer(auditing, made.store, taker, ME)  # type: ignore[arg-type]  # the connection
    with sink.new(folder, KINDS["audit"]) as files:
        for number, piece in parser.feed(taker.taken):
            files.write(number, piece)
        files.finish()
        files.keep()
    end = msgspec.json.decode(parser.ended or b"", type=contract.AuditExportEnd)
    assert end.made is not None
    return end.made


def test_exports_while_the_key_turns_are_signed_by_the_key_of_their_time(data_dir: Path) -> None:
    async def story() -> None:
        first = SlowVault()
        with book(data_dir / "g.db") as made:
            async with auditor(made, data_dir, first):
                while "audit-anchor" not in first.items:
                    await asyncio.sleep(0.01)
        second = SlowVault("audit-key", items=first.items)
        with book(data_dir / "g.db") as made:
            async with auditor(made, data_dir, second) as auditing:
                await second.asked.get()  # the turn begins: the vault is told of the key to come
                before = newest(made)
                exports = [asyncio.ensure_future(exported(auditing, made, data_dir / f"out-{number}")) for number in range(20)]
                while newest(made) == before:
                    await asyncio.sleep(0)
                second.quick.set()
                said = await asyncio.gather(*exports)
                assert all(each.signed for each in said)
                assert {verifier.check(folder, pin=said[0].fingerprint).state for folder in data_dir.glob("out-*")} == {"intact"}
                verdict = await auditing.verify(ME)
                assert (verdict.state, verdict.findings) == ("intact", ())

    run(story())


def test_a_verification_that_nobody_waits_for_any_more_is_not_under_way(data_dir: Path) -> None:
    async def story() -> None:
        vault = SlowVault("audit-anchor")
        with book(data_dir / "g.db") as made:
            async with auditor(made, data_dir, vault) as auditing:
                await vault.asked.get()
                verifying = asyncio.ensure_future(auditing.verify(ME))
                await asyncio.wait((verifying,), timeout=0.5)
                verifying.cancel()
                await asyncio.gather(verifying, return_exceptions=True)
                assert (await auditing.status("", "")).verifying is None
                vault.quick.set()

    run(story())


def test_a_prune_that_the_vault_was_not_told_of_is_told_at_the_end(data_dir: Path) -> None:
    async def story() -> None:
        vault = SlowVault()
        with book(data_dir / "g.db") as made:
            async with auditor(made, data_dir, vault) as auditing:
                while "audit-anchor" not in vault.items:
                    await asyncio.sleep(0.01)
                vault.shut = True
                with pytest.raises(AppError, match="vault_locked"):
                    await auditing.prune((await auditing.prunable(0)).upto, ME)
                vault.shut = False
                await auditing.stop()
                assert Anchor.of(vault.items["audit-anchor"]).seq == newest(made) == 21

    run(story())


def test_a_step_that_fails_in_a_way_nobody_foresaw_does_not_end_the_signing(data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        with book(data_dir / "g.db") as made:
            with made.store.write() as connection:
                settings.put(connection, "audit.keep_days", "many")
            async with auditor(made, data_dir, SlowVault()) as auditing:
                while not caplog.get_records("call"):
                    await asyncio.sleep(0.01)
                await auditing.choose(contract.AuditPolicy(on_failure="continue"), ME)
                sealed = 0
                while sealed < newest(made):
                    await asyncio.sleep(0.05)
                    with made.store.read() as connection:
                        record = checkpoints.newest(connection)
                    sealed = 0 if record is None else record.seq

    with caplog.at_level(logging.ERROR, logger="app.engine.auditing"):
        run(story())
