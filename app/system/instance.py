"""One keeper per data folder, and never a stale one in the way.

The order is: lock, then a ping with a nonce, then the process ids, then taking over. The lock (held by the kernel for as long as the
holder lives) decides; the socket beside it carries the question "who are you, and would you show yourself", and what the command line
asks of the keeper itself (`ask`): one line of JSON each way, from and to processes of the same user alone. The lock's file
says who holds it: `{"pid", "started", "instance", "token", "children": [[pid, started], ...], "ephemeral"}`.

A holder that is dead, or alive but deaf for `patience_s`, is replaced: what is left of it and of its children is ended first, so that
no two engines ever write the same data.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.core.errors import AppError
from app.system import owners, places
from app.system.channel import rebuilt
from app.system.files import open_own
from app.system.folders import unusable
from app.system.paths import Paths
from app.system.peers import process_of, same_user
from app.system.processes import end, is_running, started_at
from app.system.sockets import listen, listen_unix

_PING_TIMEOUT_S: Final = 2.0
_ASK_TIMEOUT_S: Final = 10.0
_READS: Final = 5
_CHILDREN_TIMEOUT_S: Final = 6.0
_QUESTION_S: Final = 5.0  # all of it: who sends a letter now and then would keep everybody else waiting
_LINE_MAX: Final = 16 * 1024
_ANSWER_MAX: Final = 1 << 20
_LOCK_BYTE: Final = 1 << 30  # Windows locks bytes against reading too: one far behind the text

Ask = Callable[[dict[str, Any]], dict[str, object]]


@dataclass(frozen=True, slots=True)
class Running:
    """The instance that already has this data folder, as it answered: pid, and whatever `answer` of its `serve` said."""

    pid: int
    facts: dict[str, Any]


class Instance:
    """The lock on a data folder, held until `close` or the end of the process."""

    def __init__(self, paths: Paths, descriptor: int, ephemeral_left: Path | None) -> None:
        self._paths: Final = paths
        self._descriptor: Final = descriptor
        self._token: Final = os.urandom(16).hex()
        self._listener: socket.socket | None = None
        self.ephemeral_left: Final = ephemeral_left  # the folder of a session that was killed

    def serve(self, answer: Ask) -> None:
        """Answer pings from now on: `answer(question)` is called on a thread and returns what the asker is told besides the nonce.

        question["peer"] is then the process that asks, as the system says; None where it does not.
        """
        if sys.platform == "win32":
            self._listener = listen("127.0.0.1", 0)
        else:
            self._listener = listen_unix(self._paths.instance)
        if self._listener is not None:
            self._listener.setblocking(True)
            threading.Thread(target=self._accept, args=(self._listener, answer), name="instance", daemon=True).start()

    def record(self, children: Iterable[object], ephemeral: Path | None) -> None:
        """Write down who we are and whom we started, for the one who may have to take over. children: [pid, started] pairs."""
        where: object = os.fspath(self._paths.instance)
        if sys.platform == "win32" and self._listener is not None:
            where = list(self._listener.getsockname()[:2])
        pid = os.getpid()
        self._write(
            {
                "pid": pid,
                "started": started_at(pid) or "",
                "instance": where,
                "token": self._token,
                "children": list(children),
                "ephemeral": "" if ephemeral is None else os.fspath(ephemeral),
            }
        )

    def stop_serving(self) -> None:
        """From now on a second launch waits for the lock instead of being told to use us."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread; closing alone would not
            self._listener.close()
            self._listener = None
            self._paths.instance.unlink(missing_ok=True)

    def close(self) -> None:
        """Let the next one begin."""
        self.stop_serving()
        places.leave(self._paths.runtime)
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)

    def _write(self, facts: dict[str, object]) -> None:
        text = json.dumps(facts).encode()
        with contextlib.suppress(OSError):  # a full disk: the lock itself still holds
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            # In one step, never shortened: whoever looks for us meanwhile must not meet the end of what was there before.
            os.write(self._descriptor, text.ljust(os.fstat(self._descriptor).st_size))

    def _accept(self, listener: socket.socket, answer: Ask) -> None:
        while True:
            try:
                asker, _ = listener.accept()
            except OSError:
                return
            with asker:
                try:
                    asker.settimeout(_PING_TIMEOUT_S)
                    if sys.platform != "win32" and not same_user(asker):
                        continue
                    question = _read_line(asker, until=time.monotonic() + _QUESTION_S)
                    if sys.platform == "win32" and not hmac.compare_digest(str(question.get("token")), self._token):
                        continue
                    question["peer"] = process_of(asker)
                    asker.sendall(json.dumps({"nonce": question.get("nonce"), "pid": os.getpid()} | answer(question)).encode() + b"\n")
                except Exception:  # noqa: BLE001, S112 - whatever one asker sent, the next one is answered
                    continue


def ask(paths: Paths, question: dict[str, object]) -> dict[str, Any]:
    """What the keeper of this data folder answers. AppError engine_absent when none does; otherwise what the keeper refused with."""
    answered = _ping(_holder_of(paths), question, _ASK_TIMEOUT_S)
    if answered is None:
        raise AppError("engine_absent", "No gateway is running for this data folder.", "Open the Gatehouse window, or run: gatehouse serve")
    if "error" in answered.facts:
        raise rebuilt(answered.facts["error"])
    return answered.facts


def _holder_of(paths: Paths) -> dict[str, Any]:
    """Who has the lock, as its file says. It is read again when it cannot be understood: it may just be written."""
    for _ in range(_READS):
        try:
            descriptor = open_own(paths.lock, os.O_RDONLY)
        except OSError:
            break
        holder = _read_holder(descriptor)
        os.close(descriptor)
        if holder:
            return holder
        time.sleep(0.05)
    return {}


def acquire(paths: Paths, question: dict[str, object], patience_s: float = 15.0) -> Instance | Running:
    """Become the one instance, or learn who is. AppError `data_folder` when the lock's file cannot be used.

    question: what a living instance is asked, e.g. `{"op": "show"}`; the nonce is added here.
    """
    descriptor = _open(paths.lock)
    deadline = time.monotonic() + patience_s
    holder: dict[str, Any] = {}
    while not _lock(descriptor):
        holder = _read_holder(descriptor)
        answered = _ping(holder, question)
        if answered is not None:
            os.close(descriptor)
            return answered
        if time.monotonic() > deadline:
            _end_all(holder, 0.0)  # deaf for so long: it goes
            if not _lock(descriptor):
                break  # no process of ours holds it, but a file system that does not let go
            return _taken(paths, descriptor, holder)
        time.sleep(0.1)
    holder = _read_holder(descriptor) or holder
    return _taken(paths, descriptor, holder)


def _taken(paths: Paths, descriptor: int, holder: dict[str, Any]) -> Instance:
    """The lock is ours. Children of a holder that was killed see its end by themselves; wait for them, then end what is left."""
    paths.settle()  # the one before may have removed the folder at its end
    children, left = _list(holder.get("children")), holder.get("ephemeral")
    ephemeral = Path(left) if isinstance(left, str) and left else None
    instance = Instance(paths, descriptor, ephemeral)
    instance.record(children, ephemeral)  # at once, so that nobody takes the dead one's word for ours
    _end_all({"children": children}, _CHILDREN_TIMEOUT_S)
    return instance


def _end_all(holder: dict[str, Any], own_s: float) -> None:
    """End the recorded processes that are still the same ones, after `own_s` in which they may end by themselves."""
    deadline = time.monotonic() + own_s
    for process in ([holder.get("pid"), holder.get("started")], *_list(holder.get("children"))):
        match process:
            case [int(pid), str(started)] if pid > 1 and pid != os.getpid() and started:
                while is_running(pid, started) and time.monotonic() < deadline:
                    time.sleep(0.05)
                end(pid, started, 3.0)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _open(path: Path) -> int:
    try:
        return open_own(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise unusable(path.parent, error) from None


def _lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415 - Windows only

            os.lseek(descriptor, _LOCK_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl  # noqa: PLC0415 - POSIX only

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _read_holder(descriptor: int) -> dict[str, Any]:
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        holder = json.loads(os.read(descriptor, _LINE_MAX) or b"{}")
    except (OSError, ValueError, RecursionError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _ping(holder: dict[str, Any], question: dict[str, object], timeout_s: float = _PING_TIMEOUT_S) -> Running | None:
    """Ask the holder. None when nobody of this user answers with our nonce in time; a stranger is not asked."""
    nonce = os.urandom(16).hex()
    where = holder.get("instance")
    if isinstance(where, str) and owners.exposed(Path(where).parent):
        return None
    family = socket.AF_INET if isinstance(where, list) else getattr(socket, "AF_UNIX", socket.AF_INET)
    try:
        with socket.socket(family, socket.SOCK_STREAM) as asked:
            asked.settimeout(timeout_s)
            asked.connect((str(where[0]), int(where[1])) if isinstance(where, list) else str(where))
            if not same_user(asked):
                return None
            asked.sendall(json.dumps(question | {"nonce": nonce, "token": holder.get("token")}).encode() + b"\n")
            answer = _read_line(asked, _ANSWER_MAX)
    except (OSError, ValueError, AttributeError, IndexError, TypeError):
        return None
    if answer.get("nonce") != nonce or not isinstance(answer.get("pid"), int):
        return None
    return Running(answer["pid"], answer)


def _read_line(sock: socket.socket, most: int = _LINE_MAX, until: float | None = None) -> dict[str, Any]:
    """One line of JSON. until: on the monotonic clock. ValueError when it is no object, too long, too late, or never ends."""
    received = b""
    while not received.endswith(b"\n"):
        block = sock.recv(_LINE_MAX)
        received += block
        if not block or len(received) > most or (until is not None and time.monotonic() > until):
            raise ValueError("not a line")
    try:
        value = json.loads(received)
    except RecursionError:
        value = None
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - whatever is wrong with a line is the same to its reader
    return value
