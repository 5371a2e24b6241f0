"""What clients hear while no engine will come back by itself: at once and in words, instead of a connection that hangs."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Final

from app.keeper.workers import Workers
from app.system.peers import same_user

_SENTENCE: Final = "Gatehouse's engine has stopped after failing several times in a row."
_HINT: Final = "Open Gatehouse and start it again; its log says why it failed."
_READ_MAX: Final = 256 * 1024


class StandIn:
    """Answers 503 on the listening sockets until `stop`; then they are free for an engine again."""

    def __init__(self, sockets: Sequence[socket.socket], names: Sequence[str], workers: Workers) -> None:
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
                        workers.run(_answering(client, control=key.data == "control"))


def _answering(client: socket.socket, *, control: bool) -> Callable[[], None]:
    def answer() -> None:
        with client, contextlib.suppress(OSError):
            if control and os.name == "posix" and not same_user(client):
                return  # as the engine would: what a stranger says there is not read
            client.settimeout(1)
            client.recv(_READ_MAX)
            client.sendall(_reply(control=control))
            client.shutdown(socket.SHUT_WR)
            while client.recv(_READ_MAX):  # or the rest of a request, still unread, would turn our answer into a reset
                pass

    return answer


def _reply(*, control: bool) -> bytes:
    problem: dict[str, object] = {"code": "engine_absent", "message": _SENTENCE, "hint": _HINT}
    if not control:
        problem = {"type": "error", "error": {"type": "internal_server_error", "code": "engine_absent", "message": f"{_SENTENCE} {_HINT}"}}
    body = json.dumps(problem).encode()
    head = f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nRetry-After: 30\r\n"
    return head.encode("ascii") + b"Connection: close\r\n\r\n" + body
