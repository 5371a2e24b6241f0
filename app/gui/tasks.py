"""Commands in worker threads, results back on the window's thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final, TypeVar

import shiboken6
from PySide6.QtCore import QObject, Qt, Signal, Slot

from app.core.errors import AppError

T = TypeVar("T")
_log: Final = logging.getLogger(__name__)


class Post(QObject):
    """Carries calls from any thread to the window's. It is made once, on that thread, and lives as long as the process.

    A thread must not signal to an object that the window may delete meanwhile: between asking whether it lives and emitting, it dies.
    So threads know only this one, and whether a receiver still lives is asked on the window's thread, where it would be deleted.
    """

    _called = Signal(object)
    _one: Post | None = None

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._open = True
        self._called.connect(self._call, Qt.ConnectionType.QueuedConnection)

    @classmethod
    def office(cls) -> Post:
        """The one there is. The first call must come from the window's thread."""
        if cls._one is None:
            cls._one = cls()
        return cls._one

    def send(self, receive: Callable[[T], None], value: T) -> None:
        """Has `receive(value)` called on the window's thread, unless it belongs to an object that is gone by then."""
        with self._lock:
            if self._open:
                self._called.emit((receive, value))

    def close(self) -> None:
        """Nothing is carried any more. The binding deletes every object when the program ends, while threads may still run."""
        with self._lock:
            self._open = False

    @Slot(object)
    def _call(self, letter: tuple[Callable[[object], None], object]) -> None:
        receive, value = letter
        if lives(receive):
            receive(value)


def lives(receive: object) -> bool:
    """False for a method of a Qt object that was deleted. Ask on the window's thread only."""
    owner = getattr(getattr(receive, "func", receive), "__self__", None)  # of a partial: what it calls
    return not isinstance(owner, QObject) or shiboken6.isValid(owner)


class Tasks:
    """Runs work off the window's thread. A thread per command: commands are what a person does, so there are few.

    The threads are daemons: a command that waits for a provider does not keep the window from ending.
    """

    def __init__(self) -> None:
        self._post = Post.office()

    def run(self, name: str, work: Callable[[], T], done: Callable[[T], None], failed: Callable[[AppError], None]) -> None:
        """Runs `work` in a thread; then, on the window's thread, `done` with its result or `failed` with its error."""
        post = self._post

        def attempt() -> None:
            try:
                result = work()
            except AppError as error:
                post.send(failed, error)
            except Exception:  # noqa: BLE001  the edge of the thread: nothing above could tell the person
                _log.exception("%s failed", name)
                post.send(failed, AppError("internal", "That did not work.", "The log says why."))
            else:
                post.send(done, result)

        threading.Thread(target=attempt, name=name, daemon=True).start()
