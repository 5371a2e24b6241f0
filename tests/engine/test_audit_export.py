"""The audit log on its way out: read step by step off the loop, ended with whoever asked, errors as its last word."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from app.control.contract import AuditExport, AuditExportEnd
from app.core import frames
from app.core.errors import AppError
from app.core.events import Who
from app.engine import audit_export
from app.store.exporting import Export
from tests.audit.book import NOW_US, Book, book

ME = Who(actor="person")


class Asker:
    """A connection that takes what comes as `take` says."""

    def __init__(self, take: Callable[[bytes], Awaitable[None]]) -> None:
        self.take = take
        self.taken = b""

    async def stream(self, status: int, headers: object, content_type: str) -> Asker:
        return self

    async def write(self, data: bytes) -> None:
        await self.take(data)
        self.taken += data

    async def end(self, data: bytes = b"") -> None:
        self.taken += data


def auditor(made: Book) -> Any:
    """What the answer needs of one."""

    async def begin(who: Who) -> Export:
        return Export(made.signer, NOW_US, "1.0")

    async def exported(export: Export) -> AuditExport:
        return AuditExport(entries=export.entries, upto=export.upto, size_bytes=export.size, signed=True)

    return SimpleNamespace(exporting=asyncio.Lock(), begin_export=begin, exported=exported)


async def at_once(data: bytes) -> None:
    return


async def never(data: bytes) -> None:
    await asyncio.Event().wait()


def last_word(asker: Asker) -> AuditExportEnd:
    parser = frames.Parser(3, frames.LAST_WORD_MAX)
    for _ in parser.feed(asker.taken):
        pass
    return msgspec.json.decode(parser.ended or b"", type=AuditExportEnd)


def test_a_reader_that_takes_nothing_is_let_go_and_the_next_one_is_served(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_export, "TAKEN_S", 0.05)

    async def story() -> None:
        with book(data_dir / "g.db") as made:
            auditing = auditor(made.filled())
            asking = [asyncio.ensure_future(audit_export.answer(auditing, made.store, Asker(never), ME)) for _ in range(8)]  # type: ignore[arg-type]
            for each in await asyncio.gather(*asking, return_exceptions=True):
                assert isinstance(each, ConnectionError)
            asker = Asker(at_once)
            await audit_export.answer(auditing, made.store, asker, ME)  # type: ignore[arg-type]
            end = last_word(asker)
            assert end.made is not None
            assert end.made.entries > 300

    asyncio.run(story())


def test_one_that_leaves_ends_the_look_at_the_database(data_dir: Path) -> None:
    async def story() -> None:
        with book(data_dir / "g.db") as made:
            auditing = auditor(made.filled())
            for _ in range(12):  # more than there are connections to read with
                asking = asyncio.ensure_future(audit_export.answer(auditing, made.store, Asker(never), ME))  # type: ignore[arg-type]
                await asyncio.sleep(0.01)
                asking.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asking
            made.append(1)
            assert made.verify().state == "intact"

    asyncio.run(story())


def test_an_error_half_way_is_the_last_word(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Export.pieces

    def broken(self: Export, connection: Any) -> Iterator[tuple[int, bytes]]:
        yield next(whole(self, connection))
        raise AppError("store_unavailable", "The disk reports an error.", "Check the disk.")

    monkeypatch.setattr(Export, "pieces", broken)

    async def story() -> None:
        with book(data_dir / "g.db") as made:
            asker = Asker(at_once)
            await audit_export.answer(auditor(made.filled()), made.store, asker, ME)  # type: ignore[arg-type]
            end = last_word(asker)
            assert end.made is None
            assert end.problem is not None
            assert end.problem.message == "The disk reports an error."

    asyncio.run(story())


@pytest.mark.parametrize("how", ["to the end", "an error of its own", "left half-way", "cancelled in a step"])
def test_steps_are_taken_off_the_loop_and_closed_there(how: str) -> None:
    seen: list[str] = []
    held = threading.Event()

    def steps() -> Iterator[int]:
        try:
            for number in range(5):
                assert threading.current_thread() is not threading.main_thread()
                if how == "an error of its own" and number == 2:
                    raise AppError("internal", "x")
                if how == "cancelled in a step" and number == 2:
                    seen.append("in a step")
                    held.wait(10)
                yield number + 1
        finally:
            seen.append("closed" if threading.current_thread() is not threading.main_thread() else "closed on the loop")

    async def taking() -> list[int]:
        taken = []
        walk = audit_export.off_the_loop(steps())
        try:
            async for value in walk:
                taken.append(value)
                if how == "left half-way" and value == 2:
                    break
        finally:
            await walk.aclose()  # type: ignore[attr-defined]  # an async generator
        return taken

    async def story() -> None:
        task = asyncio.ensure_future(taking())
        if how == "cancelled in a step":
            while not seen:
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0.01)
            assert not task.done(), "the step that runs is waited for"
            held.set()
            with pytest.raises(asyncio.CancelledError):
                await task
        elif how == "an error of its own":
            with pytest.raises(AppError):
                await task
        else:
            assert await task == ([1, 2, 3, 4, 5] if how == "to the end" else [1, 2])

    asyncio.run(story())
    assert seen[-1] == "closed"
