"""The engine's line to the keeper: ask on the event loop, be told on the event loop.

`system.channel` blocks in threads; here its futures become awaitables. The end of the line means that the keeper died: the engine
drains and goes, because without it there is no way out and no key.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final

from app.core.errors import AppError
from app.egress.door import shut_down
from app.system.channel import Caller, Channel, Reply

Told = Callable[[dict[str, Any]], None]

_DIAL_S: Final = 60.0


class Lifeline:
    """`told(message)` is called on the loop for every push of the keeper; `lost()` once when the line ends."""

    def __init__(self, channel: Channel, loop: asyncio.AbstractEventLoop, told: Told, lost: Callable[[], None]) -> None:
        self._loop: Final = loop
        self._told: Final = told
        self._lost: Final = lost
        self._caller: Final = Caller(channel, self._on_message, self._on_eof, "lifeline")

    def start(self) -> None:
        self._caller.start()

    async def ask(
        self, op: str, fields: dict[str, object] | None = None, *, timeout_s: float = _DIAL_S
    ) -> tuple[dict[str, Any], list[socket.socket]]:
        """The keeper's answer and the descriptors that came with it. AppError as the keeper said, or engine-side `draining` at EOF."""
        future = self._caller.submit(op, fields)
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise AppError("internal", f"The keeper did not answer to {op} in {timeout_s:.0f} seconds.") from None
        except asyncio.CancelledError:
            future.add_done_callback(self._close_late)
            raise

    def tell(self, op: str, fields: dict[str, object] | None = None) -> None:
        self._caller.send(op, fields)

    def _close_late(self, future: Future[Reply]) -> None:
        """A dial that nobody waits for any more: its descriptor must not stay open, here or at the keeper."""
        if future.cancelled() or future.exception() is not None:
            return
        message, sockets = future.result()
        for late in sockets:
            shut_down(late)
        if "connection" in message:
            self.tell("closed", {"connection": message["connection"]})

    def _on_message(self, message: dict[str, Any], sockets: list[socket.socket]) -> None:
        for unexpected in sockets:
            unexpected.close()
        self._post(self._told, message)

    def _on_eof(self) -> None:
        self._post(self._lost)

    def _post(self, call: Callable[..., None], *arguments: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *arguments)
