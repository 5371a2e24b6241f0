"""The HTTP client for providers: kept connections per account, on sockets the door hands over.

It sends exactly the bytes it is given and nothing of its own but framing; it follows no redirect, keeps no cookie, asks for no
compression. What a reply may cost is bounded: headers, body, memory while the reader is slow, and time.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.core.errors import AppError
from app.core.records import Destination
from app.egress.door import Door, Purpose
from app.egress.http1 import Limits, Pairs, redirect_host, request_head
from app.egress.line import Line
from app.egress.reply import Reply, Timeouts
from app.egress.tls import default_context, explain

__all__ = ["Limits", "Reply", "Target", "Timeouts", "Upstream", "may_repeat"]

_CLOCK_JUMP_S: Final = 30.0
_SWEEP_S: Final = 5.0
_DEFAULT: Final = Timeouts()


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes. tls: another context than the system's, for a destination with https."""

    account: str
    destination: Destination
    tls: ssl.SSLContext | None = None


class Pool:
    """The connections of one account: idle ones, the last used at the end, and all of them."""

    __slots__ = ("dialling", "host_header", "idle", "lines", "retired", "target")

    def __init__(self, target: Target) -> None:
        self.target: Final = target
        self.idle: Final[list[Line]] = []
        self.lines: Final[set[Line]] = set()
        self.dialling = 0
        self.retired = False
        self.host_header: Final = _host_header(target.destination)


class Upstream:
    """One for the engine; made and used on its event loop.

    idle_s: how long an unused connection is kept (providers close theirs after 60 to 75 s). idle_limit, open_limit: per account.
    """

    def __init__(
        self,
        door: Door,
        *,
        limits: Limits | None = None,
        idle_s: float = 55.0,
        idle_limit: int = 256,
        open_limit: int = 2048,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._door: Final = door
        self._limits: Final = limits or Limits()
        self._idle_s: Final = idle_s
        self._idle_limit: Final = idle_limit
        self._open_limit: Final = open_limit
        self._wall: Final = wall_clock
        self._loop: Final = asyncio.get_running_loop()
        self._pools: Final[dict[str, Pool]] = {}
        self._retired: Final[set[Pool]] = set()
        self._offset = wall_clock() - time.monotonic()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closing = False
        self._emptied: asyncio.Future[None] | None = None

    async def send(
        self,
        target: Target,
        method: str,
        path: str,
        headers: Pairs,
        body: bytes | None = None,
        *,
        timeouts: Timeouts = _DEFAULT,
        purpose: Purpose = "exchange",
        went: Callable[[int, int], None] | None = None,
    ) -> Reply:
        """Send one request; returns when status and headers are here. The body is read from the reply, which must be read to its end
        or aborted, in a `finally`. Being cancelled ends the connection at once.

        went(connection, bytes): told when the request is written, so that it is known by which connection even if no reply comes.

        path: with query, as sent. headers: lower-case names, among them `user-agent` and the key; `host`, lengths and encodings are ours.
        AppError provider_timeout, provider_unreachable, provider_tls, provider_redirect, provider_broken, destination_refused,
        too_many_connections, draining. ValueError if the request cannot be put on the wire as it is.
        """
        pool = self._pools.get(target.account)
        if pool is None or pool.target != target:
            pool = self._renew(target)
        head = request_head(method, path, pool.host_header, headers, None if body is None else len(body))
        # A test of an account is asked to find out whether a connection can be made, so it makes one.
        line = self._take(pool) if purpose == "exchange" else None
        if line is None:
            line = await self._connect(pool, purpose, timeouts.connect_s)
        reply = _start(line, head, body, timeouts, purpose, went)
        try:
            await reply.headed()
        except AppError:
            waited_s = time.monotonic() - reply.sent_at
            if not (reply.stale and may_repeat(method, headers, waited_s, reply.opened.connect_ms / 1000)):
                raise
            # The one retry, and on a connection of its own: the other kept ones may be as old as this one.
            facts = reply.opened.facts
            facts.used, facts.other_out = facts.used - (purpose == "exchange"), facts.other_out + reply.bytes_out
            line = await self._connect(pool, purpose, timeouts.connect_s)
            reply = _start(line, head, body, timeouts, purpose, went)
            reply.repeated = True
            await reply.headed()
        if 300 <= reply.status < 400:
            to = redirect_host(reply.raw_header(b"location"), target.destination.host)
            reply.abort()
            raise AppError(
                "provider_redirect",
                f"{target.destination.host} sent a redirect to {to}, which is not followed.",
                "Check the provider's address: its path or host may have changed.",
            )
        return reply

    def drop_idle(self) -> None:
        """End all unused connections: after a sleep of the machine, and when the engine begins to stop."""
        for pool in (*self._pools.values(), *self._retired):
            while pool.idle:
                pool.idle.pop().drop()

    def forget(self, account: str) -> None:
        """The account was removed or changed: its unused connections end now, those in use after their exchange."""
        pool = self._pools.pop(account, None)
        if pool is None:
            return
        pool.retired = True
        if pool.lines or pool.dialling:
            self._retired.add(pool)
        while pool.idle:
            pool.idle.pop().drop()

    async def close(self, timeout_s: float = 1.0) -> None:
        """End every connection, used or not, and wait until the keeper has counted them, at most `timeout_s`."""
        self._closing = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for pool in (*self._pools.values(), *self._retired):
            for line in list(pool.lines):
                line.fail("draining", "Gatehouse is stopping.")
        deadline = time.monotonic() + timeout_s
        if self.counts()[0]:
            self._emptied = self._loop.create_future()
            await asyncio.wait([self._emptied], timeout=timeout_s)
        await self._door.settled(max(0.0, deadline - time.monotonic()))

    def counts(self) -> tuple[int, int]:
        """How many connections are open, and how many of them are unused."""
        pools = (*self._pools.values(), *self._retired)
        return sum(len(pool.lines) for pool in pools), sum(len(pool.idle) for pool in pools)

    # What a line calls.

    def keep(self, line: Line) -> bool:
        """Take an unused connection back. False if it is not wanted: the caller then drops it."""
        pool = line.pool
        if pool.retired or self._closing or len(pool.idle) >= self._idle_limit:
            return False
        pool.idle.append(line)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(min(_SWEEP_S, self._idle_s / 2), self._sweep)
        return True

    def lost(self, line: Line) -> None:
        """A connection has ended, whoever ended it."""
        pool = line.pool
        if line in pool.lines:
            pool.lines.discard(line)
            if line in pool.idle:
                pool.idle.remove(line)
            self._discard(pool)
            self._door.release(line.opened)
        if self._emptied is not None and not self._emptied.done() and not self.counts()[0]:
            self._emptied.set_result(None)

    def _discard(self, pool: Pool) -> None:
        if pool.retired and not pool.lines and not pool.dialling:
            self._retired.discard(pool)

    def _renew(self, target: Target) -> Pool:
        if self._closing:
            raise AppError("draining", "Gatehouse is stopping.")
        self.forget(target.account)
        pool = self._pools[target.account] = Pool(target)
        return pool

    def _take(self, pool: Pool) -> Line | None:
        if not pool.idle:
            return None
        now = time.monotonic()
        self._notice_sleep(now)
        while pool.idle:
            line = pool.idle.pop()
            if line.usable(now - self._idle_s):
                return line
            line.drop()
        return None

    async def _connect(self, pool: Pool, purpose: Purpose, connect_s: float) -> Line:
        if self._closing:
            raise AppError("draining", "Gatehouse is stopping.")
        host = pool.target.destination.host
        if len(pool.lines) + pool.dialling >= self._open_limit:
            raise AppError(
                "too_many_connections", f"{self._open_limit} requests to {host} are open already.", "Wait until some have ended."
            )
        pool.dialling += 1
        try:
            async with asyncio.timeout(connect_s):
                return await self._dial(pool, purpose, connect_s)
        except TimeoutError:
            raise AppError(
                "provider_timeout", f"{host} could not be reached within {connect_s:g} s.", "Check the network, then try again."
            ) from None
        finally:
            pool.dialling -= 1
            self._discard(pool)

    async def _dial(self, pool: Pool, purpose: Purpose, connect_s: float) -> Line:
        destination = pool.target.destination
        context = pool.target.tls
        if destination.scheme == "https" and context is None:
            # The first one reads the system's authorities from disk, so a thread makes it.
            context = await self._loop.run_in_executor(None, default_context)
        opened = await self._door.open(pool.target.account, purpose)
        line = Line(self, pool, opened, destination.host, limits=self._limits, loop=self._loop)
        pool.lines.add(line)
        try:
            if destination.scheme == "https":
                await self._loop.create_connection(
                    lambda: line, sock=opened.sock, ssl=context, server_hostname=destination.host, ssl_handshake_timeout=max(connect_s, 0.1)
                )
            else:
                await self._loop.create_connection(lambda: line, sock=opened.sock)
        except OSError as error:
            self.lost(line)
            if destination.scheme != "https":
                raise AppError("provider_unreachable", f"{destination.host} ended the connection at once.", "Try again later.") from error
            raise explain(error, destination.host) from error
        except BaseException:
            self.lost(line)
            raise
        if self._closing:
            line.drop()
            raise AppError("draining", "Gatehouse is stopping.")
        return line

    def _sweep(self) -> None:
        self._sweeper = None
        now = time.monotonic()
        self._notice_sleep(now)
        left = False
        for pool in (*self._pools.values(), *self._retired):
            while pool.idle and not pool.idle[0].usable(now - self._idle_s):  # the longest unused are at the front
                pool.idle.pop(0).drop()
            left = left or bool(pool.idle)
        if left:
            self._sweeper = self._loop.call_later(min(_SWEEP_S, self._idle_s / 2), self._sweep)

    def _notice_sleep(self, now: float) -> None:
        """The monotonic clock stands still while the machine sleeps, the wall clock does not: kept connections are dead then."""
        offset = self._wall() - now
        if abs(offset - self._offset) > _CLOCK_JUMP_S:
            self.drop_idle()
        self._offset = offset


def _start(
    line: Line, head: bytes, body: bytes | None, timeouts: Timeouts, purpose: Purpose, went: Callable[[int, int], None] | None
) -> Reply:
    """Write the request, and count it where the egress record will name it."""
    reply = line.start(head, body, timeouts)
    if purpose == "exchange":
        line.opened.facts.used += 1
    else:
        line.opened.facts.other_out += reply.bytes_out
    if went is not None:
        went(reply.connection, reply.bytes_out)
    return reply


def may_repeat(method: str, headers: Pairs, waited_s: float, connect_s: float) -> bool:
    """Whether a request may be sent once more after a kept connection ended without one byte of a reply.

    Servers close unused connections when they like, so a request can cross with that close on the way; it then reached nobody. RFC
    9112 9.3.1 lets a client repeat what is safe or known not to have been applied. GET is safe, and an idempotency key makes the
    provider recognise the second one. For any other POST the moment tells: a close that crossed with it is seen within one round
    trip, while a server that had taken it would have to fail in that same moment. Later than that it may have been served, and
    charged, so it is not repeated. Two connect times (each one round trip and the keeper's work) plus 250 ms (one lost packet) is
    the time allowed.
    """
    if method == "GET" or waited_s <= 2 * connect_s + 0.25:
        return True
    return any(name.lower() == "idempotency-key" for name, _ in headers)


def _host_header(destination: Destination) -> str:
    host = f"[{destination.host}]" if ":" in destination.host else destination.host
    default = 443 if destination.scheme == "https" else 80
    return host if destination.port == default else f"{host}:{destination.port}"
