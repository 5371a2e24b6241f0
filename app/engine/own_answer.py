"""What our own server answers, asked without a connection: the bytes of a request in, the bytes of the answer out.

The engine may not connect to anything, itself included; so what it says of its own answers is read off the server's own code.
"""

from __future__ import annotations

import asyncio
from typing import Final

from app.engine.connection import Connection
from app.engine.server import Server

_WAIT_S: Final = 5.0


class _Paper(asyncio.Transport):
    """Takes what would have been sent; `ended` is done when the connection would have been closed or was answered."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...


async def of(server: Server, request: bytes) -> bytes:
    """The whole answer to one whole request. For what is answered without a body and without waiting; b"" when nothing is."""
    paper = _Paper()
    connection = Connection(server, asyncio.get_running_loop())
    connection.connection_made(paper)
    try:
        connection.data_received(request)
        if (task := connection.task) is not None:
            await asyncio.wait((task,), timeout=_WAIT_S)
    finally:
        connection.connection_lost(None)
    return paper.written
