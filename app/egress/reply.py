"""What the caller of the client holds: status, headers, and a body that arrives piece by piece.

A reply owns the bytes that have arrived, so its connection can serve the next request while the last reply is still being passed on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final, Protocol, cast

from app.core.errors import AppError
from app.core.pieces import Pieces
from app.egress.door import Opened
from app.egress.http1 import BrokenReplyError, Limits
from app.egress.unpack import Unpacker

# Reading stops above this and goes on when the reader has taken all. One read brings at most 256 KB, so an exchange holds at most 512 KB
# here and as much again in the hands of the reader.
_PAUSE_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. connect_s: look-up, connection and TLS together. first_byte_s: from sending until status and headers. silence_s: between
    two pieces of a body, while we are reading. total_s: from sending until the last byte."""

    connect_s: float = 10.0
    first_byte_s: float = 600.0
    silence_s: float = 300.0
    total_s: float = 3600.0


class Carrier(Protocol):
    """The connection a reply comes on."""

    host: str
    limits: Limits
    opened: Opened
    paused: bool
    tls: str
    uses: int

    def drop(self) -> None: ...
    def resume(self) -> None: ...


class Reply:
    """status, headers, then the body in pieces. `bytes_out`, `bytes_in` count HTTP on this exchange, without TLS.

    sent_at, first_byte_at: time.monotonic(), as a loop's own clock may be a whole turn behind.
    connection, address: for the egress record. reused: the connection had served before.
    repeated: this is the one retry. Read it to the end or call `abort()`; both leave nothing behind.
    """

    __slots__ = (
        "_alarm", "_alarm_at", "_buffer", "_buffered", "_decoded", "_ended", "_error", "_line", "_loop", "_patient_until", "_raw",
        "_unpacker", "_waiter",
        "bytes_in", "bytes_out", "first_byte_at", "host", "limits", "opened", "repeated", "reused", "sent_at", "stale", "status",
        "timeouts", "tls",
    )  # fmt: skip

    def __init__(self, line: Carrier, loop: asyncio.AbstractEventLoop, timeouts: Timeouts, bytes_out: int) -> None:
        self._line: Carrier | None = line
        self._loop = loop
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._decoded = 0
        self._ended = False
        self._error: AppError | None = None
        self._raw: list[tuple[bytes, bytes]] = []
        self._unpacker: Unpacker | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0
        self._patient_until = 0.0
        self.status = 0
        self.bytes_out = bytes_out
        self.bytes_in = 0
        self.sent_at = monotonic()
        self.first_byte_at: float | None = None
        self.host = line.host
        self.tls = line.tls
        self.limits = line.limits
        self.opened = line.opened
        self.reused = line.uses > 1
        self.repeated = False
        self.stale = False
        self.timeouts = timeouts

    @property
    def connection(self) -> int:
        return self.opened.connection

    @property
    def address(self) -> str:
        return self.opened.address

    @property
    def complete(self) -> bool:
        """The reply ended as its framing says; pieces may still wait to be taken."""
        return self._ended and self._error is None

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Lower-case names in the order they came; without those that no longer fit a body that was unpacked."""
        pairs = tuple([(name.decode("latin-1"), value.decode("latin-1")) for name, value in self._raw])
        if self._unpacker is not None:
            pairs = tuple(pair for pair in pairs if pair[0] not in ("content-encoding", "content-length"))
        return pairs

    def raw_header(self, name: bytes) -> bytes | None:
        return next((value for key, value in self._raw if key == name), None)

    def header(self, name: str) -> str:
        """The first header of that lower-case name, or ""."""
        value = self.raw_header(name.encode("latin-1"))
        return value.decode("latin-1") if value is not None else ""

    async def chunk(self) -> bytes:
        """All of the body that has arrived since the last call, waiting for the first byte of it; b"" at the end.

        May be cancelled and called again: nothing is lost. AppError provider_broken or provider_timeout when the reply cannot be
        had whole; what came before that is given out first.
        """
        while True:
            data = self._take()
            if data:
                return data
            if self._error is not None:
                raise self._error
            if self._ended:
                return b""
            await self._wait()

    async def chunk_within(self, seconds: float) -> bytes | None:
        """As `chunk`, but None if nothing arrives within that time: for sending a keepalive. Costs no task and no timer of its own."""
        data = self._take()
        if data:
            return data
        if not (self._error or self._ended):
            self._patient_until = monotonic() + seconds
            if self._alarm is None or self._alarm_at > self._patient_until:
                self._set_alarm(seconds)
            await self._wait()
            data = self._take()
            if data:
                return data
            if not (self._error or self._ended):
                return None
        if self._error is not None:
            raise self._error
        return b""

    async def read(self, cap_bytes: int, hold: Callable[[int], None] | None = None) -> bytes:
        """The whole body. AppError as `chunk`, and provider_broken when it is larger than `cap_bytes`. hold: told of the bytes as they
        come; what it raises ends the reading."""
        whole = Pieces()
        while piece := await self.chunk():
            if hold is not None:
                hold(len(piece))
            whole.add(piece)
            if whole.size > cap_bytes:
                self._give_up(f"sent an answer larger than {cap_bytes} bytes.")
                raise cast(AppError, self._error)
        return whole.take()

    def abort(self) -> None:
        """The reply is not wanted any more. Unless it has come whole, its connection is ended at once, and whoever waits is told."""
        line, self._line = self._line, None
        if line is not None:
            self._error = self._error or AppError("provider_broken", f"The answer of {self.host} was not read to its end.")
            line.drop()
            if self._alarm is not None:
                self._alarm.cancel()
                self._alarm = None
            self._wake()
        self._buffer.clear()
        self._buffered = 0

    async def headed(self) -> None:
        """Wait for status and headers."""
        while not self.status and self._error is None:
            try:
                await self._wait()
            except BaseException:
                self.abort()
                raise
        if not self.status:
            raise cast(AppError, self._error)

    # What the line calls.

    def begin(self, status: int, raw: list[tuple[bytes, bytes]]) -> None:
        self.status = status
        self._raw = raw
        for name, value in raw:
            if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
                self._unpacker = Unpacker(value)
            elif name == b"transfer-encoding" and value.strip().lower() != b"chunked":
                raise BrokenReplyError("compressed its answer on the way, which it was not told it may.")

    def put(self, pieces: list[bytes], size: int) -> bool:
        """Take over what arrived. True if reading should pause."""
        if self._buffer:
            self._buffer += pieces
        else:
            self._buffer = pieces
        self._buffered += size
        return self._buffered >= _PAUSE_BYTES

    def end(self, error: AppError | None = None) -> None:
        self._line = None
        self._ended = True
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._error is None:
            self._error = error

    def wake(self) -> None:
        self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _set_alarm(self, seconds: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = monotonic() + seconds
        self._alarm = self._loop.call_later(seconds, self._alarmed)

    def _alarmed(self) -> None:
        """One timer for many calls of `chunk_within`: it looks whether the present one has waited long enough."""
        self._alarm = None
        if self._waiter is None:
            return
        left = self._patient_until - monotonic()
        if left > 0.0005:
            self._set_alarm(left)
        else:
            self._wake()

    async def _wait(self) -> None:
        if self._waiter is not None:
            raise RuntimeError("a reply has one reader")
        waiter = self._waiter = self._loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _take(self) -> bytes:
        buffer = self._buffer
        if self._unpacker is not None:
            return self._unpacked(self._unpacker)
        if not buffer:
            return b""
        data = buffer[0] if len(buffer) == 1 else b"".join(buffer)
        self._buffer = []
        self._buffered = 0
        if self._line is not None and self._line.paused:
            self._line.resume()
        return data

    def _unpacked(self, unpacker: Unpacker) -> bytes:
        try:
            while not (data := unpacker.take()):
                if not self._buffer:
                    if self._ended and self._error is None:
                        unpacker.end()
                    return b""
                unpacker.put(b"".join(self._buffer))
                self._buffer, self._buffered = [], 0
                if self._line is not None and self._line.paused:
                    self._line.resume()
            self._decoded += len(data)
            if self._decoded > self.limits.body_bytes:
                raise BrokenReplyError("sent an answer larger than is accepted.")
        except BrokenReplyError as broken:
            self._give_up(str(broken))
            return b""
        return data

    def _give_up(self, reason: str) -> None:
        self._error = self._error or broken_reply(self.host, reason)
        self.abort()


def broken_reply(host: str, reason: str) -> AppError:
    return AppError("provider_broken", f"{host} {reason}", "Try again; if it happens often, ask the provider.")
