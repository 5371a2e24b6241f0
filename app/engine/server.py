"""The HTTP server for client programs and for the control channel, on sockets that the keeper made.

Parsing is llhttp's (through httptools, in its strict form); everything around it is here, because the request path is what this project
is about: limits on heads, bodies, connections and time, one task per request, one write per whole answer, backpressure both ways, the
client's leaving as cancellation of the handler, and on the control channel the check of who is on the other end. No middleware, no
router: every request goes to one handler, with the raw path.
"""

from __future__ import annotations

import asyncio
import email.utils
import logging
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, cast

import httptools

from app.core.errors import AppError
from app.engine.web import Handler, Pairs, Reply, Stream

_log: Final = logging.getLogger(__name__)

ErrorBody = Callable[[AppError], bytes]
Peer = Callable[[socket.socket], bool]

_UNREAD_BYTES: Final = 256 * 1024
_HIGH_WATER: Final = 512 * 1024
_PIPELINED: Final = 8
_SWEEP_S: Final = 0.5
_LINGER_S: Final = 1.5
_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Limits:
    """connections: open at once. head_s: for the request line and headers. idle_s: a kept connection without a request."""

    connections: int = 1024
    head_s: float = 10.0
    idle_s: float = 75.0
    line_bytes: int = 8_190
    head_bytes: int = 32_768
    headers: int = 100


class Server:
    """Listens on given sockets until `close`. Made and used on one loop.

    `error_body` renders what goes wrong before a handler is reached. `admits(socket)` decides per connection whether its other end may
    talk at all (the control channel: same OS user).
    """

    def __init__(self, handler: Handler, error_body: ErrorBody, limits: Limits, admits: Peer | None = None) -> None:
        self.handler: Final = handler
        self.error_body: Final = error_body
        self.limits: Final = limits
        self.admits: Final = admits
        self.open: Final[set[_Connection]] = set()
        self.closing = False
        self._loop = asyncio.get_running_loop()
        self._listeners: list[asyncio.AbstractServer] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._head = (0, b"")

    async def listen(self, sockets: Sequence[socket.socket]) -> None:
        for listener in sockets:
            listener.setblocking(False)
            self._listeners.append(await self._loop.create_server(lambda: _Connection(self, self._loop), sock=listener, backlog=1024))
        self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)

    def connections(self) -> int:
        return len(self.open)

    async def close(self, wait_s: float) -> None:
        """Stop accepting, let running requests finish for `wait_s` seconds, then cancel them."""
        self.closing = True
        for listener in self._listeners:
            listener.close()
        for connection in list(self.open):
            connection.close_if_idle()
        running = {task for connection in self.open if (task := connection.task) is not None}
        if running:
            _, late = await asyncio.wait(running, timeout=wait_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1.0)
        for connection in list(self.open):
            connection.drop()
        if self._sweeper is not None:
            self._sweeper.cancel()

    def fixed_head(self) -> bytes:
        """`Date` and `Server`, made once a second."""
        now = int(time.time())
        if self._head[0] != now:
            self._head = (now, f"\r\nDate: {email.utils.formatdate(now, usegmt=True)}\r\nServer: Gatehouse\r\n".encode())
        return self._head[1]

    def _sweep(self) -> None:
        """One clock for all connections: heads that do not end, and connections nobody uses."""
        now = self._loop.time()
        for connection in list(self.open):
            connection.check(now)
        self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)


class _RefusedError(Exception):
    """Carries an answer out of a callback of the parser."""

    def __init__(self, error: AppError) -> None:
        super().__init__(error.code)
        self.error: Final = error


class _Connection(asyncio.Protocol):
    """One client. Requests on it are answered in their order, one at a time."""

    __slots__ = (
        "_arriving", "_done", "_fresh", "_head_bytes", "_heads", "_loop", "_parser", "_paused", "_queue", "_server", "_since", "_url",
        "_writable", "current", "task", "transport",
    )  # fmt: skip

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self._server: Final = server
        self._loop: Final = loop
        self._parser = httptools.HttpRequestParser(self)
        self._arriving: Incoming | None = None
        self._queue: deque[Incoming] = deque()
        self._url = b""
        self._head_bytes = self._heads = 0
        self._fresh = True
        self._done = False
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
        if len(server.open) >= server.limits.connections:
            self._refuse(AppError("too_many_connections", "Too many connections are open.", retry_after_s=1))
        elif server.admits is not None and not server.admits(transport.get_extra_info("socket")):
            self._refuse(AppError("peer_not_allowed", "Another user of this machine may not steer the gateway."))
        elif server.closing:
            self.transport.close()
        else:
            server.open.add(self)
            self.transport.set_write_buffer_limits(high=_HIGH_WATER)

    def data_received(self, data: bytes) -> None:
        if self._done:
            return
        if self._arriving is None and not self._head_bytes:
            self._since = self._loop.time()
        if self._arriving is None:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except _RefusedError as refused:  # raised in a callback
            self._refuse(refused.error)
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            self._refuse(cause.error if isinstance(cause, _RefusedError) else AppError("internal", "Gatehouse made a mistake."))
        except httptools.HttpParserUpgrade:
            self._refuse(AppError("body_invalid", "Gatehouse does not change protocols on a connection."))
        except httptools.HttpParserError:
            self._refuse(AppError("body_invalid", "This is not a well-formed HTTP request."))
        else:
            if self._arriving is None and self._head_bytes > self._server.limits.head_bytes:
                self._refuse(_large_head())

    def connection_lost(self, exc: Exception | None) -> None:
        self._done = True
        self._server.open.discard(self)
        self._queue.clear()
        if self.current is not None:
            self.current.gone()
        if self.task is not None:
            self.task.cancel()
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
        if self._arriving is None:
            self._arriving = Incoming(self)
        pairs = self._arriving.raw
        pairs.append((name.decode("latin-1").lower(), value.decode("latin-1")))
        self._heads += len(name) + len(value)
        if len(pairs) > self._server.limits.headers or self._heads > self._server.limits.head_bytes:
            raise _RefusedError(_large_head())

    def on_headers_complete(self) -> None:
        request = self._arriving
        if request is None:
            request = self._arriving = Incoming(self)
        parser = self._parser
        self._head_bytes = self._heads = 0
        method = parser.get_method().decode("latin-1")
        version = parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise _RefusedError(AppError("body_invalid", "Gatehouse speaks HTTP/1.1 and 1.0."))
        url, self._url = self._url.decode("latin-1"), b""
        request.begin(method, url, version == "1.1")
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
        request, self._arriving = self._arriving, None
        assert request is not None
        request.keep = self._parser.should_keep_alive()
        request.end_of_body()
        self._since = self._loop.time()

    # What a request asks of its connection.

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

    def _start(self, request: Incoming) -> None:
        self.current = request
        self._fresh = False
        self.task = self._loop.create_task(self._answer(request))

    async def _answer(self, request: Incoming) -> None:
        server = self._server
        try:
            try:
                result = await server.handler(request)
            except AppError as error:
                result = Reply(error.status, server.error_body(error))
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
        self._since = self._loop.time()
        if self._done:
            return
        if not answered.complete:
            self._linger()
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
        """Answer and close: what follows on this connection is not to be trusted."""
        if self.task is None:
            body = self._server.error_body(error)
            self.transport.write(self.head(error.status, (), "application/json", f"\r\nContent-Length: {len(body)}", keep=False) + body)
            self._linger()
        else:
            self._done = True
            self.task.cancel()
            self.transport.abort()

    def _linger(self) -> None:
        """The answer is written and the rest of what the client sends is not wanted. Closing at once would reset the connection, and
        the client would lose the answer with it; so its bytes are dropped for a moment (RFC 9112 9.6)."""
        self._done = True
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.transport.resume_reading()
        self._loop.call_later(_LINGER_S, self.transport.abort)


class Headers(Mapping[str, str]):
    """First value of each header, by lower-case name."""

    __slots__ = ("_first",)

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._first = dict(reversed(pairs))

    def __getitem__(self, name: str) -> str:
        return self._first[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._first)

    def __len__(self) -> int:
        return len(self._first)


class Incoming:
    """One request, and the way to answer it (`web.Incoming`, `web.Stream`)."""

    __slots__ = (
        "_chunks", "_connection", "_expects", "_size", "_waiter", "_wanted", "chunked", "complete", "headers", "keep", "method", "modern",
        "path", "query", "raw", "started",
    )  # fmt: skip

    def __init__(self, connection: _Connection) -> None:
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
        self.headers = Headers(self.raw)
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


def _large_head() -> AppError:
    return AppError("headers_too_large", "The request's headers are too large.")
