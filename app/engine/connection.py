"""One client's connection: llhttp's callbacks in, requests one after the other out, and what bounds both."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, cast

import httptools

from app.core.errors import AppError
from app.engine import tasks
from app.engine.incoming import Incoming
from app.engine.room import NOBODY
from app.engine.web import Pairs, Reply

if TYPE_CHECKING:
    from app.engine.server import Server

_log: Final = logging.getLogger(__name__)

_HIGH_WATER: Final = 512 * 1024
_PIPELINED: Final = 8
_SLICE: Final = 16_384
_CHUNK_OVERHEAD: Final = 16
_LINGER_S: Final = 1.5
_LINGER_BYTES: Final = 32 * 1_048_576
_LINGER_BROKEN_BYTES: Final = 1_048_576
_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}


class _RefusedError(Exception):
    """Carries an answer out of a callback of the parser."""

    def __init__(self, error: AppError) -> None:
        super().__init__(error.code)
        self.error: Final = error


class Connection(asyncio.Protocol):
    """One client. Requests on it are answered in their order, one at a time.

    Bytes that are no body (request line, headers, chunk sizes, trailers) are counted as they arrive, because the parser shows a header
    only once it is whole: `_head_bytes` since a head began, `_dry_bytes` between and behind the pieces of a body. trusted: a request on
    it carried a key. owner: whose it was; what is sent ahead counts as that client's too.
    """

    __slots__ = (
        "_arriving", "_begun", "_done", "_drainable", "_dry_bytes", "_fresh", "_head_bytes", "_heads", "_in_body", "_loop", "_parser",
        "_paused", "_queue", "_server", "_since", "_url", "_writable", "current", "owner", "room", "task", "transport", "trusted",
    )  # fmt: skip

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self._server: Final = server
        self._loop: Final = loop
        self.room: Final = server.room
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._arriving: Incoming | None = None
        self._queue: deque[Incoming] = deque()
        self._url = b""
        self._head_bytes = self._heads = self._dry_bytes = 0
        self._in_body = False
        self._fresh = True
        self._begun = self._done = False
        self.trusted = False
        self.owner = NOBODY
        self._drainable = _LINGER_BYTES
        self._paused = False
        self._since = loop.time()
        self._writable: asyncio.Future[None] | None = None
        self.current: Incoming | None = None
        self.task: asyncio.Task[None] | None = None
        self.transport: asyncio.Transport

    # What the transport says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its class
        server = self._server
        if server.admits is not None and not server.admits(transport.get_extra_info("socket")):
            self._refuse(AppError("peer_not_allowed", "Another user of this machine may not steer the gateway."))
        elif server.closing:
            self.transport.close()
        elif not server.seat(self):
            self._refuse(AppError("too_many_connections", "Too many connections are open.", retry_after_s=1))
        else:
            self.transport.set_write_buffer_limits(high=_HIGH_WATER)

    def data_received(self, data: bytes) -> None:
        if len(data) <= _SLICE:
            self._received(data)
            return
        # In slices: where one ends a request, the beginning of the next head in it is counted with what follows.
        for at in range(0, len(data), _SLICE):
            self._received(data[at : at + _SLICE])

    def _received(self, data: bytes) -> None:
        parser = self._parser
        if self._done or parser is None:
            self._drain(len(data))
            return
        arriving = self._arriving if self._in_body else None
        if arriving is None:
            if not self._head_bytes:
                self._since = self._loop.time()
            self._head_bytes += len(data)
            before = 0
        else:
            before = arriving.received
        try:
            parser.feed_data(data)
        except _RefusedError as refused:  # raised in a callback
            self._refuse(refused.error)
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            self._refuse(cause.error if isinstance(cause, _RefusedError) else AppError("internal", "Gatehouse made a mistake."))
        except httptools.HttpParserUpgrade:
            hint = "Speak HTTP/1.1 from the start; in Java: HttpClient.newBuilder().version(HTTP_1_1)."
            self._refuse(AppError("body_invalid", "Gatehouse does not change protocols on a connection.", hint))
        except httptools.HttpParserError:
            self._refuse(AppError("body_invalid", "This is not a well-formed HTTP request."))
        else:
            self._bound(arriving, before, len(data))

    def _bound(self, arriving: Incoming | None, before: int, size: int) -> None:
        """What arrived and is no body: refused past the size of a head, however it is cut."""
        limit = self._server.limits.head_bytes
        if not self._in_body:
            if self._head_bytes > limit:
                self._refuse(_large_head())
        elif arriving is not None and arriving is self._arriving:
            # A byte in a chunk of its own comes with five others; what brings much more is no body in chunks.
            self._dry_bytes += size - (arriving.received - before)
            if self._dry_bytes > limit + _CHUNK_OVERHEAD * arriving.received:
                self._refuse(_large_head())
        else:
            self._dry_bytes = 0

    def connection_lost(self, exc: Exception | None) -> None:
        self._done = True
        self._server.leave(self)
        self._forget()
        # The parser and this object hold each other: undone here, neither waits for a collection of the whole heap.
        self._parser = None
        if self.current is not None:
            self.current.gone()
        if self.task is not None:
            tasks.cut(self.task, None)
            if not self._begun and self.current is not None:
                self.current.release()  # it will not run at all, so it cannot do this itself
        self.resume_writing()

    def pause_writing(self) -> None:
        if self._writable is None:
            self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        waiting, self._writable = self._writable, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    # What the parser says. A request begins to be handled when its head is whole, so that it can be refused before its body comes.

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > self._server.limits.line_bytes:
            raise _RefusedError(_large_head())

    def on_header(self, name: bytes, value: bytes) -> None:
        limits = self._server.limits
        self._heads += len(name) + len(value)
        if self._heads > limits.head_bytes:
            raise _RefusedError(_large_head())
        if self._in_body:
            return  # a trailer: counted, and never a header (RFC 9110 6.5.1)
        if self._arriving is None:
            self._arriving = Incoming(self)
        pairs = self._arriving.raw
        pairs.append((name.decode("latin-1").lower(), value.decode("latin-1")))
        if len(pairs) > limits.headers:
            raise _RefusedError(_large_head())

    def on_headers_complete(self) -> None:
        request = self._arriving
        if request is None:
            request = self._arriving = Incoming(self)
        parser = self._parser
        assert parser is not None
        self._head_bytes = self._heads = self._dry_bytes = 0
        self._in_body = True
        method = parser.get_method().decode("latin-1")
        version = parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise _RefusedError(AppError("body_invalid", "Gatehouse speaks HTTP/1.1 and 1.0."))
        url, self._url = self._url.decode("latin-1"), b""
        try:
            request.begin(method, url, version == "1.1")
        except AppError as error:
            raise _RefusedError(error) from None
        if self.current is None:
            self._start(request)
        elif len(self._queue) >= _PIPELINED:
            raise _RefusedError(AppError("body_invalid", "Too many requests were sent ahead on one connection."))
        else:
            self._queue.append(request)
            self.transport.pause_reading()

    def on_body(self, data: bytes) -> None:
        assert self._arriving is not None
        self._arriving.feed(data)

    def on_message_complete(self) -> None:
        request, self._arriving, parser = self._arriving, None, self._parser
        assert request is not None and parser is not None
        self._in_body = False
        self._heads = 0
        request.keep = parser.should_keep_alive()
        request.end_of_body()
        self._since = self._loop.time()

    # What a request asks of its connection.

    def trust(self, client: str) -> None:
        """A request on it carried this client's key."""
        first, self.owner = not self.owner, client
        for waiting in (*self._queue, self._arriving) if first else ():
            if waiting is not None and waiting is not self.current:
                waiting.sent_ahead_by(client)
        if not self.trusted:
            self.trusted = True
            self._server.strangers.pop(self, None)

    def want_more(self, *, more: bool) -> None:
        """Backpressure on a body that nobody reads yet."""
        if more and self._paused and not self._done:
            self._paused = False
            self.transport.resume_reading()
        elif not more and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    async def drained(self) -> None:
        """Until the client has taken enough of what was written. ConnectionError when it is gone."""
        if self._writable is not None:
            await self._writable
        if self._done:
            raise ConnectionResetError("the client left")

    def send(self, data: bytes) -> None:
        if self._done:
            raise ConnectionResetError("the client left")
        self.transport.write(data)

    def head(self, status: int, headers: Pairs, content_type: str, framing: str, *, keep: bool) -> bytes:
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}\r\nContent-Type: {content_type}{framing}"]
        for name, value in headers:
            if "\n" in value or "\r" in value or "\0" in value:
                continue  # never a second header out of one value
            lines.append(f"\r\n{name}: {value}")
        if not keep:
            lines.append("\r\nConnection: close")
        return "".join(lines).encode("latin-1", "replace") + self._server.fixed_head() + b"\r\n"

    # The life of a connection.

    def check(self, now: float) -> None:
        limits = self._server.limits
        if self.current is not None:
            return
        waited = now - self._since
        if waited > (limits.head_s if self._fresh or self._head_bytes or self._arriving is not None else limits.idle_s):
            self.drop()

    def close_if_idle(self) -> None:
        if self.current is None:
            self.drop()

    def drop(self) -> None:
        self._done = True
        self.transport.close()

    def evict(self) -> None:
        """Its place is needed; nothing is sent any more."""
        if self.task is not None:
            tasks.cut(self.task, AppError("too_many_connections", "Too many connections are open.", retry_after_s=1))
        self._done = True
        self.transport.abort()

    def _start(self, request: Incoming) -> None:
        self.current = request
        self._fresh = self._begun = False
        self.task = self._loop.create_task(self._answer(request))

    async def _answer(self, request: Incoming) -> None:
        server = self._server
        self._begun = True
        try:
            try:
                result = await server.handler(request)
            except AppError as error:
                result = Reply(error.status, server.error_body(error))
            except asyncio.CancelledError:
                if (cut := tasks.why_cut()) is None:
                    raise
                if request.started:
                    raise ConnectionAbortedError("cut by Gatehouse") from None
                result = Reply(cut.status, server.error_body(cut))
            if isinstance(result, Reply):
                request.whole(result)
            if self._writable is not None:
                await self._writable
        except ConnectionError:
            self.drop()
        except Exception:  # noqa: BLE001 - the edge of a request: logged, and answered without a trace
            _log.exception("a request handler failed")
            if request.started or self._done:
                self.drop()
            else:
                request.keep = False
                request.whole(Reply(500, server.error_body(AppError("internal", "Gatehouse made a mistake; the log has the details."))))
        finally:
            self.task = None
            self._next(request)

    def _next(self, answered: Incoming) -> None:
        """The connection is free again, or at its end."""
        self.current = None
        answered.release()
        self._since = self._loop.time()
        if self._done:
            return
        if self._parser is None or not answered.complete:
            self._linger(_LINGER_BYTES if self._parser is not None else _LINGER_BROKEN_BYTES)
            return
        if not answered.keep or self._server.closing:
            self.drop()
            return
        self.want_more(more=True)
        if self._queue:
            self._start(self._queue.popleft())
            if not self._queue:
                self.transport.resume_reading()

    def _refuse(self, error: AppError) -> None:
        """Answer and close: what follows on this connection is not to be trusted, and is not read any more. A request that is being
        answered is cut for it."""
        self._parser = None
        self._forget()
        current, self._drainable = self.current, _LINGER_BROKEN_BYTES
        if current is not None and self.task is not None and not self._begun and current.complete:
            self.task.cancel()  # it will not run at all, so nobody else answers
            self.task = self.current = None
            current.release()
            current = None
        if current is None:
            body = self._server.error_body(error)
            self.transport.write(self.head(error.status, (), "application/json", f"\r\nContent-Length: {len(body)}", keep=False) + body)
            self._linger(_LINGER_BROKEN_BYTES)
            return
        current.keep = False
        if current.complete and self.task is not None:
            tasks.cut(self.task, error)
        else:
            current.fail(error)

    def _drain(self, size: int) -> None:
        self._drainable -= size
        if self._drainable < 0 and not self.transport.is_closing():
            if self._done:
                self.transport.abort()
            else:
                self.transport.pause_reading()

    def _forget(self) -> None:
        """What has not begun to be answered will not be."""
        waiting = list(self._queue)
        self._queue.clear()
        arriving, self._arriving = self._arriving, None
        if arriving is not None:
            waiting.append(arriving)
        for request in waiting:
            if request is not self.current:
                request.release()

    def _linger(self, most: int) -> None:
        """The answer is written and the rest of what the client sends is not wanted. Closing at once would reset the connection, and
        the client would lose the answer with it; so its bytes are dropped for a moment, and not without end (RFC 9112 9.6)."""
        self._done = True
        self._drainable = most
        if self.transport.is_closing():
            return
        with contextlib.suppress(OSError):  # the client has reset the connection: there is nobody to tell
            if self.transport.can_write_eof():
                self.transport.write_eof()
        self.transport.resume_reading()
        self._loop.call_later(_LINGER_S, self.transport.abort)


def _large_head() -> AppError:
    return AppError("headers_too_large", "The request's headers are too large.")
