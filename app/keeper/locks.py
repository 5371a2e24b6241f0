"""The child that watches whether the keyring is locked, where the system says so: started, listened to, started again when it dies."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from app.core.errors import AppError
from app.system.channel import Caller, Message
from app.system.children import Child
from app.system.keyrings import TELLS_OF_LOCKS

_AGAIN_S: Final = (5.0, 300.0)


class Locks:
    """`on_change` is called on the child's reading thread whenever it says something, and must not block. Safe from any thread."""

    def __init__(self, start_child: Callable[[], Child], on_change: Callable[[], None]) -> None:
        self._start_child: Final = start_child
        self._on_change: Final = on_change
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._closed = False
        self._not_before_s = 0.0
        self._pause_s = _AGAIN_S[0]

    def due(self, *, wanted: bool) -> bool:
        """Is there something for `keep` or `end` to do?"""
        wanted = wanted and TELLS_OF_LOCKS and not self._closed
        return wanted is (self._child is None) and (not wanted or time.monotonic() >= self._not_before_s)

    def keep(self) -> None:
        """Start the child if there is none. One that cannot be started or dies at once is tried again later, ever more rarely. Blocks."""
        with self._lock:
            if self._child is not None or self._closed or not TELLS_OF_LOCKS or time.monotonic() < self._not_before_s:
                return
            self._not_before_s = time.monotonic() + self._pause_s
            self._pause_s = min(self._pause_s * 2, _AGAIN_S[1])
            try:
                self._child = child = self._start_child()
            except (OSError, AppError):
                return
        caller = Caller(child.channel, lambda message, sockets: self._heard(message), lambda: self._gone(child), "locks")
        caller.send("boot", {"watch": True})
        caller.start()

    def children(self) -> list[Child]:
        with self._lock:
            return [] if self._child is None else [self._child]

    def end(self, *, for_good: bool = False) -> None:
        with self._lock:
            self._closed = self._closed or for_good
            child, self._child = self._child, None
        if child is not None:
            child.channel.close()
            child.end(1.0)

    def _heard(self, message: Message) -> None:
        if message.get("op") == "locked":
            self._pause_s = _AGAIN_S[0]  # it works
            self._on_change()

    def _gone(self, child: Child) -> None:
        with self._lock:
            if self._child is child:
                self._child = None
        child.channel.close()
