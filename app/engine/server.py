"""The HTTP server for client programs and for the control channel, on sockets that the keeper made.

Parsing is llhttp's (through httptools, in its strict form); everything around it is here, because the request path is what this project
is about: limits on heads, bodies, connections and time, one task per request, one write per whole answer, backpressure both ways, the
client's leaving as cancellation of the handler, and on the control channel the check of who is on the other end. No middleware, no
router: every request goes to one handler, with the raw path.
"""

from __future__ import annotations

import asyncio
import email.utils
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from app.core.errors import AppError
from app.engine.connection import Connection
from app.engine.web import Handler

ErrorBody = Callable[[AppError], bytes]
Peer = Callable[[socket.socket], bool]

_SWEEP_S: Final = 0.5


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
        self.open: Final[set[Connection]] = set()
        self.closing = False
        self._loop = asyncio.get_running_loop()
        self._listeners: list[asyncio.AbstractServer] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._head = (0, b"")

    async def listen(self, sockets: Sequence[socket.socket]) -> None:
        for listener in sockets:
            listener.setblocking(False)
            self._listeners.append(await self._loop.create_server(lambda: Connection(self, self._loop), sock=listener, backlog=1024))
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
