"""The HTTP server for client programs and for the control channel: aiohttp on sockets that the keeper made.

The only file that knows aiohttp. Its low-level `web.Server` is used without router and middleware: every request goes to one handler,
with the raw path. What is added here: a limit of connections, a time limit for a request's head, errors as JSON, the client's
leaving as cancellation of the handler, and on the control channel the check of who is on the other end.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from multidict import CIMultiDict, CIMultiDictProxy

from app.core.errors import AppError
from app.engine.web import Handler, Pairs, Reply, Stream

_log: Final = logging.getLogger(__name__)

ErrorBody = Callable[[AppError], bytes]
Peer = Callable[[socket.socket], bool]


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
    """Listens on given sockets until `close`. `error_body` renders what goes wrong before a handler is reached.

    `admits(socket)` decides per connection whether its other end may talk at all (the control channel: same OS user).
    """

    def __init__(self, handler: Handler, error_body: ErrorBody, limits: Limits, admits: Peer | None = None) -> None:
        self._handler: Final = handler
        self._error_body: Final = error_body
        self._limits: Final = limits
        self._admits: Final = admits
        self._listeners: list[asyncio.AbstractServer] = []
        self._server = web.Server(
            self._handle,
            handler_cancellation=True,
            keepalive_timeout=limits.idle_s,
            max_line_size=limits.line_bytes,
            max_field_size=limits.head_bytes,
            max_headers=limits.headers,
            lingering_time=1.0,
            access_log=None,
            auto_decompress=False,
        )

    async def listen(self, sockets: Sequence[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        for listener in sockets:
            listener.setblocking(False)
            self._listeners.append(await loop.create_server(self._connection, sock=listener, backlog=1024))

    def connections(self) -> int:
        return len(self._server.connections)

    async def close(self, wait_s: float) -> None:
        """Stop accepting, let running requests finish for `wait_s` seconds, then cancel them."""
        for listener in self._listeners:
            listener.close()
        self._server.pre_shutdown()
        await self._server.shutdown(wait_s)

    def _connection(self) -> asyncio.Protocol:
        return _Connection(self._server, self._limits, self._admits, self._error_body)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        incoming = _Incoming(request)
        try:
            result = await self._handler(incoming)
        except AppError as error:
            result = Reply(error.status, self._error_body(error))
        except ConnectionError:
            raise
        except Exception:  # noqa: BLE001 - the edge of a request: logged, and answered without a trace
            _log.exception("a request handler failed")
            if incoming.started is not None:
                raise ConnectionError("the reply was cut off") from None
            result = Reply(500, self._error_body(AppError("internal", "Gatehouse made a mistake; the log has the details.")))
        if isinstance(result, Reply):
            return _response(result)
        assert incoming.started is not None
        return incoming.started


class _Connection(RequestHandler):  # type: ignore[type-arg,misc,unused-ignore]
    __slots__ = ("_admits", "_error_body", "_head_timer", "_limits")

    def __init__(self, server: Any, limits: Limits, admits: Peer | None, error_body: ErrorBody) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **server._kwargs)  # noqa: SLF001 # as web.Server.__call__ does
        self._limits = limits
        self._admits = admits
        self._error_body = error_body
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its class
        full = len(self._manager.connections) >= self._limits.connections if self._manager is not None else False
        if full or (self._admits is not None and not self._admits(transport.get_extra_info("socket"))):
            code = "too_many_connections" if full else "peer_not_allowed"
            sentence = "Too many connections are open." if full else "Another user of this machine may not steer the gateway."
            transport.write(_raw(AppError(code, sentence), self._error_body))
            transport.close()
            self._force_close = True
            return
        super().connection_made(transport)
        self._head_timer = self._loop.call_later(self._limits.head_s, self._head_late)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        waiter = self._waiter
        if waiter is None or waiter.done() or self._messages:
            self._stop_timer()  # a whole head has arrived
        elif self._head_timer is None:
            self._head_timer = self._loop.call_later(self._limits.head_s, self._head_late)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """A request that could not be read, or a handler that broke: closed, in JSON, with nothing of its text repeated."""
        if status == HTTPStatus.BAD_REQUEST:
            large = "too long" in (message or "").lower() or "LineTooLong" in type(exc).__name__
            error = (
                AppError("headers_too_large", "The request's headers are too large.")
                if large
                else AppError("body_invalid", "This is not a well-formed HTTP request.")
            )
        else:
            _log.error("a request handler failed", exc_info=exc)
            error = AppError("internal", "Gatehouse made a mistake; the log has the details.")
        response = _response(Reply(error.status, self._error_body(error)))
        response.force_close()
        return response

    def _head_late(self) -> None:
        self._head_timer = None
        if self._waiter is not None and not self._waiter.done():
            self.force_close()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class _Incoming:
    """`web.Incoming` on top of an aiohttp request."""

    __slots__ = ("_request", "path", "query", "started")

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self.path, _, self.query = request.raw_path.partition("?")
        self.started: _Stream | None = None

    @property
    def method(self) -> str:
        return self._request.method

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        return self._request.headers

    def all(self, name: str) -> list[str]:
        return self._request.headers.getall(name, [])

    def pairs(self) -> Iterable[tuple[str, str]]:
        return self._request.headers.items()

    async def body(self, limit: int, idle_s: float, least_rate: int) -> bytes:
        request = self._request
        claimed = request.content_length
        if claimed is not None and claimed > limit:
            raise _too_large(limit)
        content = request.content
        if content.at_eof():
            return b""
        first = content.read_nowait() if content.is_eof() else b""
        if content.at_eof():
            return first
        parts, size = [first], len(first)
        began = time.monotonic()
        while True:
            try:
                async with asyncio.timeout(idle_s):
                    part = await content.readany()
            except TimeoutError:
                raise AppError("body_too_slow", f"No more of the body came for {idle_s:.0f} seconds.") from None
            if not part and content.at_eof():
                return b"".join(parts)
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            parts.append(part)
            elapsed = time.monotonic() - began
            if elapsed > 2 * idle_s and size < least_rate * elapsed:
                raise AppError("body_too_slow", f"The body comes in at less than {least_rate} bytes a second.")

    async def stream(self, status: int, headers: Pairs, content_type: str) -> Stream:
        fields = CIMultiDict(headers)
        fields["Content-Type"] = content_type
        fields["Server"] = "Gatehouse"
        response = _Stream(status=status, headers=fields)
        self.started = response
        await response.prepare(self._request)
        return response


class _Stream(web.StreamResponse):
    async def end(self, data: bytes = b"") -> None:
        await self.write_eof(data)


def _response(reply: Reply) -> web.Response:
    fields = CIMultiDict(reply.headers)
    fields["Content-Type"] = reply.content_type
    fields["Server"] = "Gatehouse"
    response = web.Response(status=reply.status, body=reply.body, headers=fields)
    if reply.status in (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.REQUEST_TIMEOUT):
        response.force_close()
    return response


def _raw(error: AppError, error_body: ErrorBody) -> bytes:
    body = error_body(error)
    phrase = HTTPStatus(error.status).phrase
    head = f"HTTP/1.1 {error.status} {phrase}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    return head.encode() + body


def _too_large(limit: int) -> AppError:
    return AppError("body_too_large", f"The body is larger than {limit // 1_048_576} MB.", "Send less, or raise the limit in the settings.")
