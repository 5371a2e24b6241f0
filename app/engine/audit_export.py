"""The audit log on its way to whoever asked for it: read in one unchanging look, one piece ahead of what was taken.

The stream is one of `core.frames`. Its last word is a `contract.AuditExportEnd`: what was exported, or why it ended early. Reading has a
thread of its own, because it lasts as long as the reader takes; one that takes nothing for a minute is let go, and one export goes
at a time, because each holds a look at the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Final, TypeVar

import msgspec

from app.control import contract
from app.core import frames
from app.core.errors import AppError
from app.core.events import Who
from app.engine.auditing import Auditor
from app.engine.web import Incoming, Stream
from app.store.database import Store
from app.store.exporting import Export

CONTENT_TYPE: Final = "application/octet-stream"
TAKEN_S: Final = 60.0
_encode: Final = msgspec.json.Encoder().encode
T = TypeVar("T")


async def answer(auditor: Auditor, store: Store, request: Incoming, who: Who) -> Stream:
    """AppError before anything is sent; after that it is the last word."""
    async with auditor.exporting:
        export = await auditor.begin_export(who)
        stream = await request.stream(200, (), CONTENT_TYPE)
        try:
            async for number, piece in off_the_loop(_read(store, export)):
                for part in frames.cut(piece):
                    await _taken(stream, frames.frame(number, part))
            end = contract.AuditExportEnd(made=await auditor.exported(export))
        except AppError as error:
            end = contract.AuditExportEnd(problem=contract.Problem(code=error.code, message=error.message, hint=error.hint))
        await stream.end(frames.frame(frames.END, _encode(end)))
        return stream


def _read(store: Store, export: Export) -> Iterator[tuple[int, bytes]]:
    with store.read() as connection:
        yield from export.pieces(connection)


async def _taken(stream: Stream, piece: bytes) -> None:
    """ConnectionError when the reader is gone, or does not read."""
    try:
        async with asyncio.timeout(TAKEN_S):
            await stream.write(piece)
    except TimeoutError:
        raise ConnectionAbortedError("nobody reads the export") from None


async def off_the_loop(steps: Iterator[T]) -> AsyncIterator[T]:
    """What a generator yields; each step is taken on a thread, and it is closed at the end, also of whoever asks."""
    loop = asyncio.get_running_loop()
    step: asyncio.Future[T | None] | None = None
    try:
        while True:
            step = loop.run_in_executor(None, next, steps, None)
            value = await asyncio.shield(step)
            if value is None:
                return
            yield value
    finally:
        if step is not None:
            await asyncio.wait([step])  # a generator cannot be closed while it runs
        await loop.run_in_executor(None, steps.close)  # type: ignore[attr-defined] # a generator
