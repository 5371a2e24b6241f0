"""What the HTTP server hands to a handler and takes back. No type of the server's library passes this line."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. `headers` holds no framing header: the server adds content-length and date itself."""

    status: int
    body: bytes
    headers: Pairs = ()
    content_type: str = "application/json"


class Stream(Protocol):
    """An answer that is being written. Only `write` and `end` send; both wait while the client reads slowly."""

    async def write(self, data: bytes) -> None: ...

    async def end(self, data: bytes = b"") -> None:
        """Send `data`, then the end of the reply: the last byte."""
        ...


class Incoming(Protocol):
    """One request as it came in. The handler either returns a `Reply`, or calls `stream` and returns what it got."""

    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str:
        """The raw path, percent signs untouched, without the query."""
        ...

    @property
    def query(self) -> str: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """First value of each header; names compare without case."""
        ...

    def peer(self) -> socket.socket | None:
        """The connection it came on, to ask the system who is at its other end; None for a request of our own."""
        ...

    def all(self, name: str) -> list[str]:
        """Every value of one header."""
        ...

    def pairs(self) -> Iterable[tuple[str, str]]: ...

    def belongs_to(self, client: str) -> None:
        """It carried this client's key: what it holds counts as that client's, and its connection is one of those room is kept for.
        AppError memory_full."""
        ...

    def hold(self, size: int) -> None:
        """Count so many more bytes in memory until the request is over. AppError memory_full."""
        ...

    async def body(self, limit: int, idle_s: float, least_rate: int) -> bytes:
        """The whole body, once. AppError body_too_large over `limit` bytes (at once if content-length says so), body_too_slow when
        nothing comes for `idle_s` seconds or less than `least_rate` bytes a second over the last stretch, memory_full."""
        ...

    async def stream(self, status: int, headers: Pairs, content_type: str) -> Stream: ...


Handler = Callable[[Incoming], Awaitable["Reply | Stream"]]
