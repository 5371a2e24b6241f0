"""Framed messages, and descriptors with them, between the keeper and its children.

A frame is a 4-byte big-endian length and that many bytes of JSON (one object, at most 8 MiB). Up to 16 sockets may ride on a frame:
as SCM_RIGHTS on POSIX, as `socket.share` bytes inside the JSON on Windows. Requests are `{"op", "id", ...}`, replies
`{"re": id, ...}` or `{"re": id, "error": {"code", "message", "hint"}}`, pushes `{"op", ...}` without an id.

A channel is inherited, never connected to, so it needs no authentication; EOF means that the other side died.
"""

from __future__ import annotations

import array
import base64
import contextlib
import json
import os
import socket
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from app.core.errors import CODES, AppError

if TYPE_CHECKING:
    from concurrent.futures import Future

FRAME_MAX: Final = 8 * 1024 * 1024
SOCKETS_MAX: Final = 16
_SEND_TIMEOUT_S: Final = 10

Message = dict[str, Any]
Reply = tuple[Message, list[socket.socket]]

_encode: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class Channel:
    """One end of a connected stream socket. Any thread may send; one thread receives (blocking).

    peer_pid: the process at the other end; Windows needs it to hand over a socket, POSIX does not.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._sending = threading.Lock()
        self.peer_pid: int | None = None
        sock.setblocking(True)
        sock.set_inheritable(False)
        if sys.platform != "win32":
            # A peer that was stopped must not hold up the sender for ever. Only sending is bounded: receiving waits.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", _SEND_TIMEOUT_S, 0))

    def send(self, message: dict[str, object], *sockets: socket.socket) -> None:
        """Send one frame; the sockets stay open here. OSError when the other side is gone or does not read; the channel is closed then.

        ValueError if the message is larger than a frame or there are too many sockets: nothing is sent then.
        """
        if len(sockets) > SOCKETS_MAX:
            raise ValueError(f"{len(sockets)} sockets do not fit on one message")
        if sys.platform == "win32" and sockets:
            if self.peer_pid is None:
                raise ValueError("sockets can be handed over only to a known process")
            message = message | {"_sockets": [base64.b64encode(s.share(self.peer_pid)).decode("ascii") for s in sockets]}
        body = _encode(message).encode("utf-8")
        if len(body) > FRAME_MAX:
            raise ValueError(f"a message of {len(body)} bytes does not fit into a frame")
        frame = struct.pack(">I", len(body)) + body
        with self._sending:
            try:
                sent = 0
                if sys.platform != "win32" and sockets:
                    rights = array.array("i", [s.fileno() for s in sockets])
                    sent = self._socket.sendmsg([frame], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
                if sent < len(frame):
                    self._socket.sendall(memoryview(frame)[sent:])
            except OSError:
                self.close()  # half a frame may be out: nothing after it could be understood
                raise

    def receive(self) -> Reply | None:
        """The next message and the sockets that came with it; None at EOF, also when the other side broke the framing.

        A message whose sockets were lost because this process has no free descriptor is turned into an error.
        """
        head, sockets, lost = self._head()
        try:
            if head is None or (length := struct.unpack(">I", head)[0]) > FRAME_MAX or (body := self._exactly(length)) is None:
                raise ValueError("the channel ended")
            message = json.loads(body)
            if not isinstance(message, dict):
                raise TypeError("a message is an object")
            if sys.platform == "win32":
                sockets += [socket.fromshare(base64.b64decode(shared)) for shared in message.pop("_sockets", [])]
        except (OSError, ValueError, TypeError, RecursionError):
            for each in sockets:
                each.close()
            self.close()
            return None
        if lost:
            for each in sockets:
                each.close()
            sockets = []
            message["error"] = problem(AppError("too_many_connections", "This process has no free descriptor left."))
        return message, sockets

    def close(self) -> None:
        """End it for both directions, so that a thread waiting in `receive` returns."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _head(self) -> tuple[bytes | None, list[socket.socket], bool]:
        """The four bytes of a frame's length, and the sockets, which come with the first of them."""
        head, sockets, lost = b"", list[socket.socket](), False
        while len(head) < 4:
            try:
                if sys.platform == "win32":
                    data = self._socket.recv(4 - len(head))
                else:
                    room = socket.CMSG_SPACE(SOCKETS_MAX * array.array("i").itemsize)
                    data, ancillary, flags, _ = self._socket.recvmsg(4 - len(head), room, getattr(socket, "MSG_CMSG_CLOEXEC", 0))
                    lost = lost or bool(flags & socket.MSG_CTRUNC)
                    for level, kind, rights in ancillary:
                        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                            sockets += _adopt(rights)
            except OSError:
                data = b""
            if not data:
                return None, sockets, lost
            head += data
        return head, sockets, lost

    def _exactly(self, length: int) -> bytes | None:
        body, got = bytearray(length), 0
        view = memoryview(body)
        while got < length:
            count = self._socket.recv_into(view[got:])
            if not count:
                return None
            got += count
        return bytes(body)


class Caller:
    """Requests and replies over a channel. A thread of its own reads; `on_message` and `on_eof` run on it and must not block long.

    `on_message(message, sockets)` gets what is not a reply: requests (answer them with `reply` or `refuse`) and pushes.
    """

    def __init__(
        self, channel: Channel, on_message: Callable[[Message, list[socket.socket]], None], on_eof: Callable[[], None], name: str
    ) -> None:
        self.channel: Final = channel
        self._on_message = on_message
        self._on_eof = on_eof
        self._lock = threading.Lock()
        self._waiting: dict[int, Callable[[Reply | AppError], None]] = {}
        self._last = 0
        self._ended = False
        self._thread = threading.Thread(target=self._read, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def call(self, op: str, fields: dict[str, object] | None = None, *, timeout_s: float = 30) -> Reply:
        """Ask and wait. AppError as the other side put it; `engine_absent` when it is gone or silent for `timeout_s`.

        Never call this on the reading thread (inside `on_message`): the reply could not be read.
        """
        answered, answers = threading.Event(), list[Reply | AppError]()

        def take(answer: Reply | AppError) -> None:
            answers.append(answer)
            answered.set()

        number = self._ask(op, fields, take)
        if not answered.wait(timeout_s):
            with self._lock:
                gave_up = self._waiting.pop(number, None) is not None
            if gave_up:
                raise AppError("engine_absent", f"“{op}” was not answered within {timeout_s:g} s.", "Try again.")
            answered.wait()
        if isinstance(answers[0], AppError):
            raise answers[0]
        return answers[0]

    def submit(self, op: str, fields: dict[str, object] | None = None) -> Future[Reply]:
        """Ask; the future gets the reply or the AppError on the reading thread. A reply to a cancelled one is dropped, sockets closed."""
        from concurrent.futures import Future  # noqa: PLC0415 - it imports logging, 2 MB that the keeper has no use for

        future: Future[Reply] = Future()

        def take(answer: Reply | AppError) -> None:
            if not future.set_running_or_notify_cancel():
                self._drop(answer)
            elif isinstance(answer, AppError):
                future.set_exception(answer)
            else:
                future.set_result(answer)

        self._ask(op, fields, take)
        return future

    def send(self, op: str, fields: dict[str, object] | None = None, *sockets: socket.socket) -> None:
        """A push: no reply is wanted, and a peer that is gone is not an error (its `on_eof` says so)."""
        with contextlib.suppress(OSError):
            self.channel.send({"op": op} | (fields or {}), *sockets)

    def reply(self, request: Message, fields: dict[str, object] | None = None, *sockets: socket.socket) -> bool:
        """Answer a request. False when nobody asked (a push) or the asker is gone: sockets meant for it are then useless."""
        if "id" not in request:
            return False
        try:
            self.channel.send({"re": request["id"]} | (fields or {}), *sockets)
        except OSError:
            return False
        return True

    def refuse(self, request: Message, error: AppError) -> None:
        self.reply(request, {"error": problem(error)})

    def _ask(self, op: str, fields: dict[str, object] | None, take: Callable[[Reply | AppError], None]) -> int:
        with self._lock:
            self._last += 1
            number, ended = self._last, self._ended
            if not ended:
                self._waiting[number] = take
        if ended:
            take(_gone())
            return number
        try:
            self.channel.send({"op": op, "id": number} | (fields or {}))
        except OSError:
            self._answer(number, _gone())
        except ValueError:
            with self._lock:
                self._waiting.pop(number, None)
            raise
        return number

    def _answer(self, number: int, answer: Reply | AppError) -> None:
        with self._lock:
            take = self._waiting.pop(number, None)
        if take is None:
            self._drop(answer)
        else:
            take(answer)

    def _drop(self, answer: Reply | AppError) -> None:
        """Nobody waits any more. A connection that came too late is given back, or the keeper would hold its end open."""
        if isinstance(answer, AppError):
            return
        message, sockets = answer
        for each in sockets:
            each.close()
        if "connection" in message:
            self.send("closed", {"connection": message["connection"]})

    def _read(self) -> None:
        try:
            while (received := self.channel.receive()) is not None:
                message, sockets = received
                if "re" not in message:
                    self._on_message(message, sockets)
                elif isinstance(message["re"], int):
                    self._replied(message["re"], message, sockets)
        finally:
            self.channel.close()
            with self._lock:
                self._ended = True
                waiting, self._waiting = self._waiting, {}
            for take in waiting.values():
                take(_gone())
            self._on_eof()

    def _replied(self, number: int, message: Message, sockets: list[socket.socket]) -> None:
        error = message.get("error")
        if error is None:
            self._answer(number, (message, sockets))
        else:
            self._drop((message, sockets))
            self._answer(number, rebuilt(error))


def pair() -> tuple[Channel, socket.socket]:
    """The keeper's end as a channel and the child's end as a socket still to be handed over."""
    ours, theirs = socket.socketpair()
    return Channel(ours), theirs


def inherited(arguments: Sequence[str]) -> Channel:
    """In a child: the channel to the keeper, from `--channel N` (POSIX) or from the first line of stdin (Windows).

    ValueError with a sentence if there is none, which is what a person gets who types a child's verb.
    """
    try:
        if sys.platform == "win32":
            with open(0, "rb", closefd=False) as line:  # sys.stdin is None in a program without a console
                sock = socket.fromshare(base64.b64decode(line.readline(65536), validate=True))
        else:
            sock = socket.socket(fileno=int(arguments[list(arguments).index("--channel") + 1]))
        return Channel(sock)
    except (OSError, ValueError, IndexError):
        raise ValueError("This verb is for Gatehouse itself, which starts it with a channel.") from None


def problem(error: AppError) -> dict[str, object]:
    """An AppError as the `error` of a reply."""
    return {"code": error.code, "message": error.message, "hint": error.hint}


def rebuilt(error: object) -> AppError:
    """The AppError of a reply. Anything that is not one of ours becomes `internal`."""
    if isinstance(error, dict) and error.get("code") in CODES:
        return AppError(error["code"], str(error.get("message", "")), str(error.get("hint", "")))
    return AppError("internal", "The other process answered with an error that has no name.")


def _gone() -> AppError:
    return AppError("engine_absent", "The process that should answer has ended.", "Gatehouse starts it again by itself.")


def _adopt(rights: bytes) -> list[socket.socket]:
    """Sockets out of received descriptors. Something that is not a socket is closed and left out."""
    numbers = array.array("i")
    numbers.frombytes(rights[: len(rights) - len(rights) % numbers.itemsize])
    sockets = []
    for number in numbers:
        try:
            each = socket.socket(fileno=number)
        except OSError:
            os.close(number)
            continue
        each.set_inheritable(False)
        sockets.append(each)
    return sockets
