"""What clients hear while no engine will come back soon: at once and in words, instead of a connection that hangs."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from app.keeper.workers import Workers
from app.system.peers import same_user

_READ_MAX: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Why:
    """sentence and hint: for the client. again_s: when it may ask again."""

    sentence: str
    hint: str
    again_s: int


FAILED: Final = Why(
    "Gatehouse's engine has stopped after failing several times in a row.",
    "Open Gatehouse and start it again; its log says why it failed.",
    30,
)


def stuck(again_s: float) -> Why:
    """The engine stood still again and again, and is started again after `again_s`."""
    sentence = "Gatehouse's engine did not answer several times in a row and was ended."
    return Why(sentence, f"It is started again in {again_s:g} s; its log says what it worked on.", round(again_s) + 1)


class StandIn:
    """Answers 503 on the listening sockets until `stop`; then they are free for an engine again."""

    def __init__(self, sockets: Sequence[socket.socket], names: Sequence[str], workers: Workers, why: Why) -> None:
        self._why: Final = why
        self._stop, self._stopping = socket.socketpair()
        self._thread = threading.Thread(
            target=self._live, args=(list(zip(names, sockets, strict=True)), workers), name="stand-in", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        self._stop.close()
        self._thread.join(5)

    def _live(self, sockets: list[tuple[str, socket.socket]], workers: Workers) -> None:
        with self._stopping, selectors.DefaultSelector() as selector:
            selector.register(self._stopping, selectors.EVENT_READ)
            for name, listener in sockets:
                listener.setblocking(False)
                selector.register(listener, selectors.EVENT_READ, name)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._stopping:
                        return
                    listener = next(sock for _, sock in sockets if sock is key.fileobj)
                    with contextlib.suppress(OSError):
                        client, _ = listener.accept()
                        workers.run(_answering(client, self._why, control=key.data == "control"))


def _answering(client: socket.socket, why: Why, *, control: bool) -> Callable[[], None]:
    def answer() -> None:
        with client, contextlib.suppress(OSError):
            if control and os.name == "posix" and not same_user(client):
                return  # as the engine would: what a stranger says there is not read
            client.settimeout(1)
            client.recv(_READ_MAX)
            client.sendall(_reply(why, control=control))
            client.shutdown(socket.SHUT_WR)
            while client.recv(_READ_MAX):  # or the rest of a request, still unread, would turn our answer into a reset
                pass

    return answer


def _reply(why: Why, *, control: bool) -> bytes:
    problem: dict[str, object] = {"code": "engine_absent", "message": why.sentence, "hint": why.hint}
    if not control:
        said = f"{why.sentence} {why.hint}"
        problem = {"type": "error", "error": {"type": "internal_server_error", "code": "engine_absent", "message": said}}
    body = json.dumps(problem).encode()
    head = f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode("ascii") + b"Retry-After: %d\r\nConnection: close\r\n\r\n" % why.again_s + body
