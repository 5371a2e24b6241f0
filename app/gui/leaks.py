"""The window's part of what the keeper watches: how this process is locked, what its tripwire refused, and the self-test's attempts."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from app.core.errors import AppError
from app.egress import tripwire
from app.system import leaks, sandbox
from app.system.channel import Caller, Message

_BUS: Final = "gatehouse-self-test"
Hear = Callable[[Message, list[socket.socket]], None]


class Leaks:
    """Stands before the session on the keeper's line: takes the one request that is not for pages, passes the rest on."""

    def __init__(self, hear: Hear) -> None:
        self._hear = hear
        self._caller: Caller | None = None

    def attach(self, caller: Caller) -> None:
        """Tell the keeper how this process is locked, now and whenever its tripwire refuses something."""
        self._caller = caller
        own = sandbox.own()
        if own is not None:
            caller.send("locks", own.fields())
        wire = tripwire.armed()
        if wire is not None:
            wire.attach(lambda trip: caller.send("tripped", trip.fields()))

    def hear(self, message: Message, sockets: list[socket.socket]) -> None:
        """On the reading thread."""
        if message.get("op") == "try_to_leak":
            threading.Thread(target=self._try, args=(message,), name="self-test", daemon=True).start()
        else:
            self._hear(message, sockets)

    def _try(self, request: Message) -> None:
        caller = self._caller
        if caller is None:
            return
        try:
            wire = tripwire.armed()
            quietly: Callable[[], AbstractContextManager[None]] = wire.quietly if wire is not None else nullcontext
            more = [("TCP, Qt's own code", f"{leaks.TCP[0]}:{leaks.TCP[1]}", _qt)]
            found = leaks.of_process("window", more, tripwire.permitted, quietly, tripwire.RefusedError)
            caller.reply(request, {"attempts": [each.fields() for each in found]})
        except Exception as error:  # noqa: BLE001 - the edge of the thread: the self-test must not wait for nothing
            caller.refuse(request, AppError("internal", f"The window met an error of its own ({type(error).__name__})."))


def _qt() -> None:
    """Qt's own network code: native, so that no audit hook sees it. Its network module is no part of this program; what Qt has besides
    is a session bus over TCP, and that is tried."""
    from PySide6.QtDBus import QDBusConnection  # noqa: PLC0415 - only the self-test needs it

    said: list[tuple[bool, str, str]] = []

    def connect() -> None:
        made = QDBusConnection.connectToBus(f"tcp:host={leaks.TCP[0]},port={leaks.TCP[1]}", _BUS)
        error = made.lastError()
        said.append((made.isConnected(), error.name(), error.message()))
        QDBusConnection.disconnectFromBus(_BUS)

    trying = threading.Thread(target=connect, name="self-test-qt", daemon=True)  # where nothing refuses it, it waits for minutes
    trying.start()
    trying.join(leaks.WAIT_S)
    if not said:
        raise TimeoutError
    connected, name, message = said[0]
    if connected:
        return
    if name.endswith(".AccessDenied"):
        raise PermissionError(errno.EACCES, message)
    raise OSError(errno.ENETUNREACH, message)
