"""The door: a connected socket for an account, asked of the keeper, and the word back when it is no longer used.

This process opens no internet socket itself. The keeper keeps a duplicate of each descriptor for counting, so the far end sees the
end of a connection only if we shut it down before we close it; `closed` then lets the keeper read the counters and drop its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

from app.core.errors import AppError

Ask = Callable[[str, dict[str, object]], Awaitable[tuple[dict[str, Any], list[socket.socket]]]]
Purpose = Literal["exchange", "test"]
T = TypeVar("T")


@dataclass(slots=True)
class Facts:
    """What becomes known while a connection lives. used: exchanges sent on it. other_out: bytes of requests that are no exchange."""

    tls: str = ""
    issuer: str = ""
    spki: str = ""
    used: int = 0
    other_out: int = 0


@dataclass(frozen=True, slots=True)
class Opened:
    """One connection. address: `1.2.3.4:443` as dialled, after the name was looked up. connection: the keeper's number for it."""

    sock: socket.socket
    connection: int
    address: str
    resolve_ms: float
    connect_ms: float
    facts: Facts = field(default_factory=Facts)


@dataclass(frozen=True, slots=True)
class Counts:
    """What the operating system counted on one connection, TLS and all; 0 where it does not count, and `counted` is False then."""

    bytes_out: int
    bytes_in: int
    counted: bool = True


@dataclass(frozen=True, slots=True)
class Ended:
    """A connection that is no more: one egress record."""

    account: str
    connection: int
    address: str
    purpose: Purpose
    opened_at: float
    counts: Counts
    facts: Facts = field(default_factory=Facts)


class Door:
    """Asks through `ask(op, fields)`; belongs to one event loop.

    made: told about every connection that was handed over. ended: told once about each, after the keeper has counted it.
    """

    def __init__(
        self, ask: Ask, ended: Callable[[Ended], None] | None = None, made: Callable[[str, Purpose, Opened], None] | None = None
    ) -> None:
        self._made: Final = made
        self._ask: Final = ask
        self._ended: Final = ended
        self._open: Final[dict[int, tuple[str, Purpose, str, float, Facts]]] = {}
        self._tasks: Final[set[asyncio.Task[Any]]] = set()

    @property
    def open_connections(self) -> int:
        return len(self._open)

    async def open(self, account: str, purpose: Purpose = "exchange") -> Opened:
        """A connected non-blocking socket to the account's declared destination.

        Cancelling the wait is safe: a socket that still arrives is shut down and given back. AppError destination_refused,
        provider_unreachable, provider_timeout as the keeper says; `draining` when the keeper is gone.
        """
        asking = self._spawn(self._dial(account, purpose), f"dial {account}")
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            if asking.cancelled():  # given up by `settled`, not by whoever waits here
                raise AppError("draining", "Gatehouse is stopping.") from None
            asking.add_done_callback(self._unwanted)
            raise

    async def closed(self, connection: int) -> Counts:
        """Tell the keeper that `connection` was shut down. Its counters; zeros when the keeper is gone or never had it."""
        account, purpose, address, opened_at, facts = self._open.pop(connection, ("", "exchange", "", 0.0, _NO_FACTS))
        try:
            reply, extra = await self._ask("closed", {"connection": connection})
        except (AppError, OSError, TimeoutError):
            counts = Counts(0, 0, counted=False)
        else:
            _discard(extra)
            counted = isinstance(reply.get("bytes_out"), int)
            counts = Counts(_whole(reply.get("bytes_out")), _whole(reply.get("bytes_in")), counted)
        if account and self._ended is not None:
            self._ended(Ended(account, connection, address, purpose, opened_at, counts, facts))
        return counts

    def release(self, opened: Opened) -> None:
        """Shut the socket down, close it, and tell the keeper without waiting for its answer."""
        shut_down(opened.sock)
        opened.sock.close()
        self._spawn(self.closed(opened.connection), f"closed {opened.connection}")

    async def settled(self, timeout_s: float = 1.0) -> None:
        """Wait until nothing is under way, at most `timeout_s`; what is not done by then is given up."""
        waiting = [task for task in self._tasks if not task.done()]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=timeout_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    async def _dial(self, account: str, purpose: Purpose) -> Opened:
        try:
            reply, sockets = await self._ask("dial", {"account": account, "purpose": purpose})
        except (OSError, TimeoutError) as error:
            raise _keeper_gone() from error
        except AppError as error:
            if error.code == "engine_absent":  # how a channel says that its other end is gone
                raise _keeper_gone() from error
            raise
        connection = _whole(reply.get("connection"))
        if len(sockets) != 1 or connection < 1:
            _discard(sockets)
            if connection:
                await self.closed(connection)
            raise AppError("destination_refused", f'No connection was handed over for "{account}".')
        sock = sockets[0]
        sock.setblocking(False)
        address = str(reply.get("address", ""))
        opened = Opened(sock, connection, address, _milliseconds(reply.get("resolve_ms")), _milliseconds(reply.get("connect_ms")))
        self._open[connection] = (account, purpose, address, time.monotonic(), opened.facts)
        if self._made is not None:
            self._made(account, purpose, opened)
        return opened

    def _unwanted(self, asking: asyncio.Task[Opened]) -> None:
        if not asking.cancelled() and asking.exception() is None:
            self.release(asking.result())

    def _spawn(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


_NO_FACTS: Final = Facts()


def _keeper_gone() -> AppError:
    return AppError("draining", "The process that holds the way out does not answer.", "Start Gatehouse again.")


def shut_down(sock: socket.socket) -> None:
    """End both directions now, whoever else holds a duplicate. Does nothing to a socket that is already ended."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _discard(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        shut_down(sock)
        sock.close()


def _whole(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _milliseconds(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
