"""What is written outside of our own folders for the window: one short-lived child for each task, which gets that task's files and no more.

    1  the keeper looks at the path and makes the files itself, under a name that says that they are not whole (`targets`, `system.sink`)
    2  a child gets their descriptors and one end of a stream; the window gets the other end (`writer_child`, `core.frames`)
    3  the child says how it ended; only then, and only for a whole export, do the files get their name
    4  the window is told on the stream, in one line of JSON: `{"kept": NAME}` or `{"error": {code, message, hint}}`, and it is closed

However a task ends, also by the end of the child, the window or this keeper, what is not whole is removed. What a killed keeper leaves
ends in `.part`.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.core.errors import AppError
from app.core.exports import Kind, kind_of
from app.system import sandbox, targets
from app.system.channel import Message, problem
from app.system.children import Child
from app.system.sandbox import Locks
from app.system.sink import Folder, Identity, Sink, refused

WRITERS_MAX: Final = 4
_END_S: Final = 5.0
_DRAINED_BYTES: Final = 16 << 20
_DRAINED_S: Final = 2.0
_WORDS_MAX: Final = 200
_MISTAKE: Final = "internal"


@dataclass(eq=False, slots=True)
class _Task:
    sink: Sink
    place: tuple[Identity, str]
    child: Child
    stream: socket.socket
    thread: threading.Thread | None = None


class Writers:
    """ours: folders in which nothing is exported. `begin` is for any thread, one that may wait; `close` for the keeper's end."""

    def __init__(
        self,
        start: Callable[[Sequence[int]], Child],
        ours: Sequence[Path],
        environment: Mapping[str, str],
        log: Callable[[str], None],
        changed: Callable[[], None],
        on_tripped: Callable[[Message], None],
        *,
        silence_s: float | None = None,
    ) -> None:
        """start: a writer child that inherits these descriptors; OSError. changed: there is one child more or less. on_tripped: what the
        tripwire of a child refused, on that child's thread.

        silence_s: how long a window may say nothing, where that is not the child's default.
        """
        self._start: Final = start
        self._ours: Final = ours
        self._environment: Final = environment
        self._log: Final = log
        self._changed: Final = changed
        self._on_tripped: Final = on_tripped
        self._boot: Final[dict[str, object]] = {} if silence_s is None else {"silence_s": silence_s}
        self._lock: Final = threading.Lock()
        self._tasks: set[_Task] = set()
        self._begun = 0  # tasks that have a place, those without a child yet, too
        self._places: set[tuple[Identity, str]] = set()
        self._closed = False

    def children(self) -> list[Child]:
        with self._lock:
            return [task.child for task in self._tasks]

    def begin(self, name: object, path: object) -> socket.socket:
        """The window's end of the stream. AppError name_invalid, name_taken, data_folder, too_many_connections, draining."""
        kind = kind_of(name)
        if kind is None:
            raise AppError("unknown_name", "There is no such export.")
        with self._lock:
            if self._closed:
                raise AppError("draining", "Gatehouse is stopping.")
            if self._begun >= WRITERS_MAX:
                raise AppError("too_many_connections", f"{WRITERS_MAX} exports are being written already.", "Wait until one has ended.")
            self._begun += 1
        try:
            return self._begin(str(name), kind, path)
        except BaseException:
            with self._lock:
                self._begun -= 1
            raise

    def close(self) -> None:
        """End what is being written; its files are gone then."""
        with self._lock:
            self._closed = True
            tasks = list(self._tasks)
        for task in tasks:
            task.child.kill()
        for task in tasks:
            if task.thread is not None:
                task.thread.join(_END_S)

    def _begin(self, name: str, kind: Kind, path: object) -> socket.socket:
        folder, final = targets.choose(kind, path, self._ours, self._environment)
        place = self._reserve(folder, final)
        try:
            sink = Sink(folder, final, kind)
            try:
                ours = self._give(name, sink, place)
            except BaseException:
                sink.close()
                raise
        except BaseException:
            self._free(place)
            raise
        self._changed()
        return ours

    def _reserve(self, folder: Folder, name: str) -> tuple[Identity, str]:
        """Two at once to one name: the first has it. The folder is closed where it is refused."""
        try:
            place = (folder.identity, name.casefold())
            with self._lock:
                if place in self._places:
                    raise AppError("name_taken", f"{name} is being written already.", "Choose another name.")
                self._places.add(place)
        except OSError as error:
            folder.close()
            raise refused(name, error) from None
        except AppError:
            folder.close()
            raise
        return place

    def _free(self, place: tuple[Identity, str]) -> None:
        with self._lock:
            self._places.discard(place)

    def _give(self, name: str, sink: Sink, place: tuple[Identity, str]) -> socket.socket:
        """Start the child and give it what it needs; the window's end of the stream. AppError internal."""
        ours, theirs = socket.socketpair()
        try:
            if os.name == "nt":
                boot: dict[str, object] = {"paths": [str(each) for each in sink.paths]}
                sink.let_go()
                child = self._start(())
            else:
                boot = {"files": list(sink.numbers)}
                child = self._start(sink.numbers)
        except OSError as error:
            ours.close()
            theirs.close()
            raise AppError(_MISTAKE, f"The process that writes files cannot be started ({error.strerror}).", "Try again.") from None
        self._log(f"export of {name}: {sink.name} is begun by process {child.pid}")
        task = _Task(sink, place, child, theirs)
        with self._lock:
            self._tasks.add(task)
            closed = self._closed
        with contextlib.suppress(OSError):  # it is dead already; whoever follows it hears that
            child.channel.send({"op": "boot", "kind": name} | boot | self._boot, theirs)
        if closed:
            child.kill()
        task.thread = threading.Thread(target=self._follow, args=(task,), name="export", daemon=True)
        try:
            task.thread.start()
        except RuntimeError:
            child.kill()
            child.channel.close()
            ours.close()
            theirs.close()
            with self._lock:
                self._tasks.discard(task)
            raise AppError(_MISTAKE, "The keeper has no thread left for an export.", "Try again.") from None
        return ours

    def _follow(self, task: _Task) -> None:
        """On a thread of its own: until the child has ended, and what it made is kept or gone."""
        name = task.sink.name
        try:
            verdict = self._settle(task, self._last_word(task.child))
        except Exception as error:  # noqa: BLE001 - the edge of the thread: the window must not wait for nothing
            verdict = AppError(_MISTAKE, f"The keeper met an error of its own ({type(error).__name__}).")
        finally:
            task.sink.close()
        self._log(f"export: {name} is {'kept' if verdict is None else f'not kept, nothing is left of it: {verdict.message}'}")
        with self._lock:
            self._places.discard(task.place)
            self._begun -= 1
        task.child.channel.close()
        task.child.end(1.0)  # first: until then it holds the room of what was removed
        _tell(task.stream, name, verdict)
        with self._lock:
            self._tasks.discard(task)
        self._changed()

    def _last_word(self, child: Child) -> Message:
        """{} where there is none, or where it talks and does not end."""
        for _ in range(_WORDS_MAX):
            received = child.channel.receive()
            if received is None:
                break
            message, sockets = received
            for each in sockets:
                each.close()
            match message.get("op"):
                case "ended":
                    return message
                case "tripped":
                    self._on_tripped(message)
                case "locks":
                    self._note_locks(child, message)
        return {}

    def _note_locks(self, child: Child, message: Message) -> None:
        with contextlib.suppress(ValueError):
            locks = sandbox.seen_from_outside(Locks.of(message))
            if locks.pid == child.pid and locks.role == "writer":
                left = f"; not refused: {', '.join(locks.open)}" if locks.open else ""
                self._log(f"the writer (process {child.pid}) is {locks.level}{f' ({locks.seccomp})' if locks.seccomp else ''}{left}")

    def _settle(self, task: _Task, message: Message) -> AppError | None:
        """None when the export has its name."""
        name = task.sink.name
        number = given if isinstance(given := message.get("errno"), int) else 0
        match message.get("why"):
            case "whole":
                try:
                    task.sink.keep()
                except AppError as error:
                    return error
                return None
            case "disk" if number > 0:
                return refused(name, OSError(number, os.strerror(number)))
            case "cancelled":
                return AppError("data_folder", f"{name} was cancelled.", "Nothing was kept.")
            case "silent":
                return AppError("data_folder", f"{name} was not written: nothing came for a minute.", "Try again. Nothing was kept.")
            case "gone" | "malformed":
                return AppError("data_folder", f"{name} was not written: it ended half-way.", "Try again. Nothing was kept.")
        return AppError(_MISTAKE, f"{name} was not written: the process that writes it ended.", "Try again. Nothing was kept.")


def _tell(stream: socket.socket, name: str, verdict: AppError | None) -> None:
    """The last line, and the end of the stream. What still comes is dropped for a moment: closing at once could lose the line."""
    said = {"kept": name} if verdict is None else {"error": problem(verdict)}
    left, until = _DRAINED_BYTES, time.monotonic() + _DRAINED_S
    with contextlib.suppress(OSError), stream:
        stream.settimeout(_DRAINED_S)
        stream.sendall(json.dumps(said).encode() + b"\n")
        stream.shutdown(socket.SHUT_WR)
        while left > 0 and time.monotonic() < until and (data := stream.recv(1 << 18)):
            left -= len(data)
