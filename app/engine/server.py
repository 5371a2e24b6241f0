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
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from app.core.errors import AppError
from app.engine import tasks
from app.engine.connection import Connection
from app.engine.room import Room
from app.engine.web import Handler
from app.system import socket_table

ErrorBody = Callable[[AppError], bytes]
Peer = Callable[[socket.socket], bool]

_SWEEP_S: Final = 0.5
_NAMING_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Limits:
    """connections: open at once; those on which no key was shown yet have at most half of them. head_s: for the request line and
    headers. idle_s: a kept connection without a request."""

    connections: int = 1024
    head_s: float = 10.0
    idle_s: float = 75.0
    line_bytes: int = 8_190
    head_bytes: int = 32_768
    headers: int = 100


class Server:
    """Listens on given sockets until `close`. Made and used on one loop.

    `error_body` renders what goes wrong before a handler is reached. `admits(socket)` decides per connection whether its other end may
    talk at all (the control channel: same OS user). room: what bodies may take of memory. strangers: open connections on which no key
    was shown yet, oldest first, each with the user of this machine at its other end, None while that is not known.
    """

    def __init__(
        self, handler: Handler, error_body: ErrorBody, limits: Limits, admits: Peer | None = None, room: Room | None = None
    ) -> None:
        self.handler: Final = handler
        self.error_body: Final = error_body
        self.limits: Final = limits
        self.admits: Final = admits
        self.room: Final = room or Room()
        self.open: Final[set[Connection]] = set()
        self.strangers: Final[dict[Connection, int | None]] = {}
        self.closing = False
        self._ports: Final[set[int]] = set()
        self._naming: asyncio.Future[dict[tuple[str, int], int]] | None = None
        self._named_at = 0.0
        self._loop = asyncio.get_running_loop()
        self._listeners: list[asyncio.AbstractServer] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._head = (0, b"")

    async def listen(self, sockets: Sequence[socket.socket]) -> None:
        for listener in sockets:
            listener.setblocking(False)
            if listener.family in (socket.AF_INET, socket.AF_INET6):
                self._ports.add(listener.getsockname()[1])
            self._listeners.append(await self._loop.create_server(lambda: Connection(self, self._loop), sock=listener, backlog=1024))
        self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)

    def connections(self) -> int:
        return len(self.open)

    def seat(self, newcomer: Connection) -> bool:
        """Whether there is a place for it. Strangers make room for a newcomer, those of whoever has most of them first, so that nobody
        without a key keeps out those who have one, or another user of the machine."""
        limits, strangers = self.limits, self.strangers
        full = len(self.open) >= limits.connections
        if self.admits is not None:
            newcomer.trusted = True
        else:
            if full or len(strangers) >= max(1, limits.connections // 2):
                if not strangers:
                    return False
                self._evict_one()
                full = False
            strangers[newcomer] = None
        if not full:
            self.open.add(newcomer)
        return not full

    def leave(self, connection: Connection) -> None:
        self.open.discard(connection)
        self.strangers.pop(connection, None)

    def _evict_one(self) -> None:
        self._name_strangers()
        crowds: Counter[int | None] = Counter(self.strangers.values())
        crowd = crowds.most_common(1)[0][0]
        oldest = next(connection for connection, user in self.strangers.items() if user == crowd)
        self.leave(oldest)
        oldest.evict()

    def _name_strangers(self) -> None:
        """Ask the system, on a thread, whose they are; not more often than a few times a second, as its table may be long."""
        now = self._loop.time()
        if self._naming is not None or now - self._named_at < _NAMING_S:
            return
        self._naming = self._loop.run_in_executor(None, _owners, tuple(self._ports))
        self._naming.add_done_callback(self._on_named)

    def _on_named(self, done: asyncio.Future[dict[tuple[str, int], int]]) -> None:
        self._naming, self._named_at = None, self._loop.time()
        if done.cancelled() or done.exception() is not None:
            return
        owners = done.result()
        for connection, user in self.strangers.items():
            peer = connection.transport.get_extra_info("peername")  # None once it was reset
            if user is None and peer:
                self.strangers[connection] = owners.get(peer[:2])

    async def close(self, wait_s: float) -> None:
        """Stop accepting, let running requests finish for `wait_s` seconds, then cut them, and tell whoever waits."""
        self.closing = True
        for listener in self._listeners:
            listener.close()
        for connection in list(self.open):
            connection.close_if_idle()
        running = {task for connection in self.open if (task := connection.task) is not None}
        if running:
            _, late = await asyncio.wait(running, timeout=wait_s)
            for task in late:
                tasks.cut(task, tasks.stopped())
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
        if len(self.strangers) > self.limits.connections // 4:
            self._name_strangers()
        self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)


def _owners(ports: Sequence[int]) -> dict[tuple[str, int], int]:
    return {place: user for port in ports for place, user in socket_table.clients_of(port).items()}
