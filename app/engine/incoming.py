"""One request as it arrives, and the way to answer it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from app.core.errors import AppError
from app.engine.web import Pairs, Reply, Stream

if TYPE_CHECKING:
    from app.engine.connection import Connection

_UNREAD_BYTES: Final = 256 * 1024
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Incoming:
    """One request, and the way to answer it (`web.Incoming`, `web.Stream`)."""

    __slots__ = (
        "_chunks", "_connection", "_expects", "_size", "_waiter", "_wanted", "chunked", "complete", "headers", "keep", "method", "modern",
        "path", "query", "raw", "started",
    )  # fmt: skip

    def __init__(self, connection: Connection) -> None:
        self._connection: Final = connection
        self.raw: list[tuple[str, str]] = []
        self.headers: Mapping[str, str] = {}
        self.method = self.path = self.query = ""
        self.modern = True
        self.keep = True
        self.complete = False
        self.started = False
        self.chunked = False
        self._expects = False
        self._chunks: list[bytes] = []
        self._size = 0
        self._wanted = False
        self._waiter: asyncio.Future[None] | None = None

    def peer(self) -> socket.socket | None:
        sock: socket.socket | None = self._connection.transport.get_extra_info("socket")
        return sock

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.raw if key == name]

    def pairs(self) -> Iterable[tuple[str, str]]:
        return self.raw

    async def body(self, limit: int, idle_s: float, least_rate: int) -> bytes:
        claimed = self.headers.get("content-length", "")
        if claimed.isdecimal() and int(claimed) > limit:
            raise _too_large(limit)
        if not self.complete:
            await self._rest(limit, idle_s, least_rate)
        chunks = self._chunks
        if self._size > limit:
            raise _too_large(limit)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def stream(self, status: int, headers: Pairs, content_type: str) -> Stream:
        connection = self._connection
        self.chunked = self.modern
        if not self.modern:
            self.keep = False
        framing = "\r\nTransfer-Encoding: chunked" if self.chunked else ""
        connection.send(connection.head(status, headers, content_type, framing, keep=self.keep))
        self.started = True
        return self

    async def write(self, data: bytes) -> None:
        connection = self._connection
        connection.send(b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data)
        if connection._writable is not None:  # noqa: SLF001 - the two are one thing in two objects
            await connection.drained()

    async def end(self, data: bytes = b"") -> None:
        if self.chunked:
            self._connection.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data) if data else b"0\r\n\r\n")
        elif data:
            self._connection.send(data)

    # What the connection says.

    def begin(self, method: str, url: str, modern: bool) -> None:
        self.method, self.modern = method, modern
        self.path, _, self.query = url.partition("?")
        self.headers = dict(reversed(self.raw))  # the first of several is the one that counts
        self._expects = modern and self.headers.get("expect", "").lower() == "100-continue"

    def feed(self, data: bytes) -> None:
        self._chunks.append(data)
        self._size += len(data)
        if not self._wanted and self._size > _UNREAD_BYTES:
            self._connection.want_more(more=False)
        self._wake()

    def end_of_body(self) -> None:
        self.complete = True
        self._wake()

    def gone(self) -> None:
        self._wake()

    def whole(self, reply: Reply) -> None:
        """The answer in one piece and one write."""
        connection = self._connection
        if reply.status in (413, 408) or not self.complete:
            self.keep = False
        keep = self.keep = self.keep and self.modern
        framing = f"\r\nContent-Length: {len(reply.body)}"
        head = connection.head(reply.status, reply.headers, reply.content_type, framing, keep=keep)
        self.started = True
        connection.send(head if self.method == "HEAD" else head + reply.body)

    async def _rest(self, limit: int, idle_s: float, least_rate: int) -> None:
        connection, loop = self._connection, asyncio.get_running_loop()
        self._wanted = True
        if self._expects:
            self._expects = False
            connection.send(_CONTINUE)
        connection.want_more(more=True)
        began = loop.time()
        while True:
            if self._size > limit:
                raise _too_large(limit)
            before = self._size
            waiter = self._waiter = loop.create_future()
            timer = loop.call_later(idle_s, self._wake)
            try:
                await waiter
            finally:
                timer.cancel()
                self._waiter = None
            if self.complete:
                return
            if self._size == before:
                raise AppError("body_too_slow", f"No more of the body came for {idle_s:.0f} seconds.")
            elapsed = loop.time() - began
            if elapsed > 2 * idle_s and self._size < least_rate * elapsed:
                raise AppError("body_too_slow", f"The body comes in at less than {least_rate} bytes a second.")

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _too_large(limit: int) -> AppError:
    return AppError("body_too_large", f"The body is larger than {limit // 1_048_576} MB.", "Send less, or raise the limit in the settings.")
