"""One request as it arrives, and the way to answer it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from app.core.errors import AppError
from app.core.pieces import Pieces
from app.engine.web import Pairs, Reply, Stream

if TYPE_CHECKING:
    from app.engine.connection import Connection

_UNREAD_BYTES: Final = 64 * 1024
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
# Headers by which a request is let in or read: of two that differ, another reader could take the other one.
_ONCE: Final = frozenset({"content-encoding", "content-type", "origin", "sec-fetch-site", "transfer-encoding"})


class Incoming:
    """One request, and the way to answer it (`web.Incoming`, `web.Stream`)."""

    __slots__ = (
        "_connection", "_expects", "_failed", "_held", "_owner", "_pieces", "_waiter", "_wanted", "chunked", "complete", "headers", "keep",
        "method", "modern", "path", "query", "raw", "received", "started",
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
        self._pieces: Final = Pieces()
        self._failed: AppError | None = None
        self._owner = connection.owner  # until it shows a key of its own
        self._held = 0
        self.received = 0  # bytes of body
        self._wanted = False
        self._waiter: asyncio.Future[None] | None = None

    def peer(self) -> socket.socket | None:
        sock: socket.socket | None = self._connection.transport.get_extra_info("socket")
        return sock

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.raw if key == name]

    def pairs(self) -> Iterable[tuple[str, str]]:
        return self.raw

    def belongs_to(self, client: str) -> None:
        self._count_for(client)
        self._connection.trust(client)

    def sent_ahead_by(self, client: str) -> None:
        """Its connection is this client's; it has shown no key yet itself."""
        try:
            self._count_for(client)
        except AppError as error:
            self.fail(error)

    def _count_for(self, client: str) -> None:
        if self._held and self._owner != client:
            self._connection.room.move(self._held, self._owner, client)
        self._owner = client

    def hold(self, size: int) -> None:
        self._connection.room.take(self._owner, size)
        self._held += size

    async def body(self, limit: int, idle_s: float, least_rate: int) -> bytes:
        claimed = self.headers.get("content-length", "")
        if claimed.isdecimal() and int(claimed) > limit:
            raise _too_large(limit)
        if not self.complete:
            await self._rest(limit, idle_s, least_rate)
        if self._failed is not None:
            raise self._failed
        if self.received > limit:
            raise _too_large(limit)
        return self._pieces.take()

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
        """AppError body_invalid where two readers could understand the head differently."""
        self.method, self.modern = method, modern
        self.path, _, self.query = url.partition("?")
        headers = self.headers = dict(reversed(self.raw))  # the first of several is the one that counts
        if len(headers) != len(self.raw):
            self._refuse_doubles()
        if "transfer-encoding" in headers and headers["transfer-encoding"].strip().lower() != "chunked":
            raise AppError("body_invalid", "The only transfer coding that is read is chunked.", "Send the body as it is.")
        self._expects = modern and self.headers.get("expect", "").lower() == "100-continue"

    def feed(self, data: bytes) -> None:
        self.received += len(data)
        if self._failed is not None:
            return
        try:
            self.hold(len(data))
        except AppError as error:
            self.fail(error)
            return
        self._pieces.add(data)
        if not self._wanted and self.received > _UNREAD_BYTES:
            self._connection.want_more(more=False)
        self._wake()

    def fail(self, error: AppError) -> None:
        """The body will not be had: who waits for it is told why."""
        self._failed = self._failed or error
        self._pieces.take()
        self._wake()

    def end_of_body(self) -> None:
        self.complete = True
        self._wake()

    def gone(self) -> None:
        self._wake()

    def release(self) -> None:
        """The request is over: what it held is free. Nothing of it may come any more."""
        self._failed = None  # its traceback leads back here
        if self._held:
            self._connection.room.give(self._owner, self._held)
            self._held = 0
            self._pieces.take()

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
        while self._failed is None:
            if self.received > limit:
                raise _too_large(limit)
            before = self.received
            waiter = self._waiter = loop.create_future()
            timer = loop.call_later(idle_s, self._wake)
            try:
                await waiter
            finally:
                timer.cancel()
                self._waiter = None
            if self.complete or self._failed is not None:
                return
            if self.received == before:
                raise AppError("body_too_slow", f"No more of the body came for {idle_s:.0f} seconds.")
            elapsed = loop.time() - began
            if elapsed > 2 * idle_s and self.received < least_rate * elapsed:
                raise AppError("body_too_slow", f"The body comes in at less than {least_rate} bytes a second.")

    def _refuse_doubles(self) -> None:
        seen = set()
        for name, _ in self.raw:
            if name in seen and name in _ONCE:
                raise AppError("body_invalid", f"The header {name} came twice.", "Send it once.")
            seen.add(name)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _too_large(limit: int) -> AppError:
    return AppError("body_too_large", f"The body is larger than {limit // 1_048_576} MB.", "Send less in one request.")
