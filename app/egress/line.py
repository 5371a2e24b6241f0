"""One connection: the asyncio protocol that writes a request, feeds the reader, watches the clock and gives itself back to the pool."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol, cast

from app.core.errors import AppError
from app.egress.certificate import issuer, spki
from app.egress.door import Opened, shut_down
from app.egress.http1 import BrokenReplyError, Limits, ReplyReader
from app.egress.reply import Reply, Timeouts, broken_reply

if TYPE_CHECKING:
    from app.egress.upstream import Pool

_JOIN_BYTES: Final = 64 * 1024


class Keeping(Protocol):
    """What a line needs of the one who keeps it."""

    def keep(self, line: Line) -> bool: ...
    def lost(self, line: Line) -> None: ...


class Line(asyncio.Protocol):
    """One connection. Serves one request at a time; `start` may be called when it is new or was just taken from the pool."""

    __slots__ = (
        "_far_end_ended", "_heard_at", "_keeper", "_loop", "_reader", "_reply", "_timer", "_timer_at", "_timer_step", "_transport",
        "_unused_since",
        "host", "limits", "opened", "paused", "pool", "tls", "uses",
    )  # fmt: skip

    def __init__(self, keeper: Keeping, pool: Pool, opened: Opened, host: str, *, limits: Limits, loop: asyncio.AbstractEventLoop) -> None:
        self._keeper: Final = keeper
        self._loop: Final = loop
        self._reader: Final = ReplyReader(limits)
        self._transport: asyncio.Transport | None = None
        self._reply: Reply | None = None
        self._heard_at = 0.0
        self._unused_since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._timer_step = 0.0
        self.pool: Final = pool
        self.opened = opened
        self.host = host
        self.limits = limits
        self.paused = False
        self.tls = ""
        self.uses = 0
        self._far_end_ended = False

    def start(self, head: bytes, body: bytes | None, timeouts: Timeouts) -> Reply:
        """Write the request, in one piece when it is small, and begin to wait."""
        transport = self._transport
        if transport is None or self._reply is not None:
            raise RuntimeError("a line serves one request at a time")
        self.uses += 1
        if self.uses > 1:
            self._reader.begin()
        reply = self._reply = Reply(self, self._loop, timeouts, len(head) + (len(body) if body else 0))
        self._heard_at = reply.sent_at
        self._watch(reply)
        if body and len(body) <= _JOIN_BYTES:
            transport.write(head + body)
        else:
            transport.write(head)
            if body:
                transport.write(body)
        return reply

    def usable(self, not_before: float) -> bool:
        return self._unused_since >= not_before and self._transport is not None and not self._transport.is_closing()

    def resume(self) -> None:
        self.paused = False
        self._heard_at = monotonic()  # the silence was ours
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def drop(self) -> None:
        """End the connection now. The far end sees it although the keeper still holds its duplicate."""
        self._reply = None
        shut_down(self.opened.sock)
        if self._transport is not None:
            self._transport.abort()

    def fail(self, code: str, message: str, hint: str = "") -> None:
        reply = self._reply
        self.drop()
        if reply is not None:
            reply.end(AppError(code, message, hint))
            reply.wake()

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        ssl_object = transport.get_extra_info("ssl_object")
        if ssl_object is not None:
            facts = self.opened.facts
            facts.tls = self.tls = ssl_object.version() or ""
            facts.issuer = issuer(ssl_object.getpeercert() or {})
            facts.spki = spki(ssl_object.getpeercert(binary_form=True) or b"")

    def data_received(self, data: bytes) -> None:
        reply = self._reply
        if reply is None:  # nobody asked: a second reply, or a farewell before the server closes
            self.drop()
            return
        reader = self._reader
        self._heard_at = monotonic()
        if not reply.bytes_in:
            reply.first_byte_at = self._heard_at
        reply.bytes_in += len(data)
        before = reader.body_bytes
        trouble = ""
        try:
            reader.feed(data)
        except BrokenReplyError as broken:
            trouble = str(broken)
        if reader.started and not reply.status:
            try:
                reply.begin(reader.status, reader.headers)
            except BrokenReplyError as broken:
                trouble = str(broken)
                reader.body = []  # nobody can read what is encoded in an unknown way
        if reader.body:
            if reply.put(reader.body, reader.body_bytes - before) and not reader.complete and not trouble:
                self.paused = True
                if self._transport is not None:
                    self._transport.pause_reading()
            reader.body = []
            if reader.body_bytes > self.limits.body_bytes:
                trouble = trouble or "sent an answer larger than is accepted."
        if trouble:
            self._reply = None
            reply.end(broken_reply(self.host, trouble))
            self.drop()
        elif reader.complete:
            reply.end()
            self._finish()
        elif not reply.status:
            return
        reply.wake()

    def eof_received(self) -> bool | None:
        self._far_end_ended = True
        if self._reply is None:
            self.drop()  # at once, so that nobody takes it from the pool
        return None  # the transport closes itself; what that means for a reply is decided in connection_lost

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport = None
        reply, self._reply = self._reply, None
        if reply is not None:
            if exc is None and self._reader.end():
                reply.end()
            elif reply.bytes_in:
                reply.end(broken_reply(self.host, "cut its answer off."))
            else:
                reply.stale = self.uses > 1
                reply.end(broken_reply(self.host, "ended the connection before it answered."))
            reply.wake()
        self._keeper.lost(self)

    def _finish(self) -> None:
        self._reply = None
        reader = self._reader
        transport = self._transport
        # A server that answers before it has taken the whole request will not take another on this connection in good order.
        if (
            reader.keep_alive
            and not reader.stray
            and transport is not None
            and not transport.is_closing()
            and not transport.get_write_buffer_size()
        ):
            if self.paused:
                self.resume()
            self._unused_since = self._heard_at
            if self._keeper.keep(self):
                return
        self.drop()

    def _watch(self, reply: Reply) -> None:
        """One timer per connection, not per request: it wakes at least as often as the shortest limit and looks what is due."""
        limits = reply.timeouts
        self._timer_step = min(limits.first_byte_s, limits.silence_s, limits.total_s)
        at = reply.sent_at + self._timer_step
        if self._timer is None or self._timer_at > at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = at
            self._timer = self._loop.call_later(self._timer_step, self._look)

    def _look(self) -> None:
        self._timer = None
        reply = self._reply
        if reply is None:
            return
        now = monotonic()
        limits = reply.timeouts
        due = reply.sent_at + limits.total_s
        words = f"The answer of {self.host} took longer than {limits.total_s:g} s."
        if not reply.status:
            if reply.sent_at + limits.first_byte_s < due:
                due = reply.sent_at + limits.first_byte_s
                words = f"{self.host} did not begin to answer within {limits.first_byte_s:g} s."
        elif not self.paused and self._heard_at + limits.silence_s < due:
            due = self._heard_at + limits.silence_s
            words = f"{self.host} sent nothing for {limits.silence_s:g} s in the middle of its answer."
        if now >= due:
            self.fail("provider_timeout", words, "Try again; if it happens often, ask the provider.")
            return
        self._timer_at = min(due, now + self._timer_step)
        self._timer = self._loop.call_later(self._timer_at - now, self._look)
