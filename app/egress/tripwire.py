"""Python's own alarm: a socket that did not come through the door is refused before it is made, and the modules that asked are named.

An audit hook (PEP 578) sees what Python code does: `socket`, asyncio, http clients written in Python. It does not see native code
(uvloop, Qt, curl); that is the kernel's part (`system.sandbox`). It is armed before anything else is imported, so that a package that
reports home when it is imported is caught, too.

Every process of ours has one. In the keeper only what runs inside `permitted()` may connect or look up a name: the broker, and the
keeper's question to its own port.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from types import FrameType
from typing import Any, Final

FRAMES_MAX: Final = 16
_KINDS_MAX: Final = 200
_WAITING_MAX: Final = 100
_OURS: Final = __name__

# Windows has no unix sockets in Python: there the control channel and `socket.socketpair` go over loopback.
_LOOPBACK_IS_OURS: Final = os.name == "nt"

_LOOKUPS: Final = frozenset(
    {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyname_ex", "socket.gethostbyaddr", "socket.getnameinfo"}
)
_PROGRAMS: Final = frozenset({"subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.startfile", "os.spawn"})
_MADE: Final = "socket.__new__"
_HARMLESS: Final = frozenset({-1, *(int(getattr(socket, name)) for name in ("AF_UNIX", "AF_NETLINK") if hasattr(socket, name))})
_WATCHED: Final = frozenset({_MADE, "socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"}) | _LOOKUPS | _PROGRAMS


@dataclass(frozen=True, slots=True)
class Trip:
    """One refused attempt. what: `socket`, `connect`, `look-up`, `send`, `listen` or `program`. stack: `module.function`, innermost first.

    count: how often the same was tried so far.
    """

    process: str
    what: str
    target: str
    stack: tuple[str, ...]
    at_us: int
    count: int = 1

    def fields(self) -> dict[str, object]:
        return asdict(self)

    @staticmethod
    def of(message: Mapping[str, Any]) -> Trip:
        """What another process reported, bounded. ValueError when it is no report."""
        try:
            return Trip(
                process=str(message["process"])[:20],
                what=str(message["what"])[:20],
                target=str(message["target"])[:300],
                stack=tuple(str(frame)[:200] for frame in list(message["stack"])[:FRAMES_MAX]),
                at_us=int(message["at_us"]),
                count=int(message["count"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError("not a report of an attempt") from error


class RefusedError(PermissionError):
    """What the code that tried gets to see; libraries treat it like any failed connection."""


class Tripwire:
    """One for a process. Armed by `arm`; `attach` says whom to tell, and tells what happened before."""

    def __init__(self, process: str) -> None:
        self.process: Final = process
        self._may_start_programs: Final = process in ("keeper", "vault")
        self._unix: Final = process not in ("engine", "writer")
        self._own = threading.local()
        self._lock: Final = threading.Lock()
        self._counts: dict[tuple[str, str], int] = {}
        self._waiting: list[Trip] = []
        self._tell: Callable[[Trip], None] | None = None

    def attach(self, tell: Callable[[Trip], None]) -> None:
        """`tell(trip)` is called on the thread that tried: the first time, then at every doubling of the count."""
        with self._lock:
            waiting, self._waiting, self._tell = self._waiting, [], tell
        for trip in waiting:
            tell(trip)

    @contextmanager
    def permitted(self) -> Iterator[None]:
        """What this thread does inside the block is the door's own work."""
        before = getattr(self._own, "permitted", False)
        self._own.permitted = True
        try:
            yield
        finally:
            self._own.permitted = before

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """Refuse as always, but report nothing: for the self-test, which tries on purpose."""
        self._own.quiet = True
        try:
            yield
        finally:
            self._own.quiet = False

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """The audit hook itself. RefusedError stops what was about to happen."""
        if event not in _WATCHED:
            return
        own = self._own
        if getattr(own, "permitted", False) or getattr(own, "reporting", False):
            return
        refused = self._judge(event, arguments)
        if refused is None:
            return
        what, target = refused
        if not getattr(own, "quiet", False):
            own.reporting = True
            try:
                self._report(what, target)
            finally:
                own.reporting = False
        raise RefusedError(13, f"Gatehouse's {self.process} has no way out of its own ({what} {target})")

    def _judge(self, event: str, arguments: tuple[Any, ...]) -> tuple[str, str] | None:
        """None when it is allowed, else what it was and where to."""
        if event == _MADE:
            return self._judge_made(arguments)
        if event in _PROGRAMS:
            return None if self._may_start_programs else ("program", _text(arguments[0] if arguments else ""))
        if event in _LOOKUPS:
            host = arguments[0] if arguments else ""
            harmless = host is None or (_LOOPBACK_IS_OURS and _is_loopback(_text(host)))
            return None if harmless else ("look-up", _text(host))
        address = arguments[1] if len(arguments) > 1 else None
        if address is None:
            return None
        if not isinstance(address, tuple):  # a unix socket's path, or something that only another family understands
            allowed = self._unix and isinstance(address, str | bytes)
            return None if allowed else ("connect", _text(address))
        if event == "socket.bind":
            return None if self.process == "keeper" and _is_loopback(_text(address[0])) else ("listen", _place(address))
        if _LOOPBACK_IS_OURS and _is_loopback(_text(address[0])):
            return None
        if _netlink(arguments[0]):
            return None
        return "connect" if event == "socket.connect" else "send", _place(address)

    def _judge_made(self, arguments: tuple[Any, ...]) -> tuple[str, str] | None:
        """A socket is made: where the kernel refuses it, this is the only moment in which the module can be named."""
        family = int(arguments[1])
        if self.process == "keeper" or _LOOPBACK_IS_OURS or family in _HARMLESS or _adopts(sys._getframe(3)):  # noqa: SLF001 - the maker
            return None
        name = {int(socket.AF_INET): "IPv4", int(socket.AF_INET6): "IPv6"}.get(family, f"family {family}")
        kind = {int(socket.SOCK_STREAM): "TCP", int(socket.SOCK_DGRAM): "UDP"}.get(int(arguments[2]) & 0xF, "raw")
        return "socket", f"{kind} over {name}"

    def _report(self, what: str, target: str) -> None:
        with self._lock:
            key = (what, target if len(self._counts) < _KINDS_MAX else "other places")
            count = self._counts[key] = self._counts.get(key, 0) + 1
            if count & (count - 1):
                return
            trip = Trip(self.process, what, key[1], _stack(sys._getframe(2)), time.time_ns() // 1000, count)  # noqa: SLF001 - how a stack is read
            tell = self._tell
            if tell is None:
                if len(self._waiting) < _WAITING_MAX:
                    self._waiting.append(trip)
                return
        tell(trip)


_ARMED: list[Tripwire] = []


def arm(process: str) -> Tripwire:
    """From now on, for good: an audit hook cannot be taken off. One for each process; the second call returns the first's."""
    if not _ARMED:
        _ARMED.append(Tripwire(process))
        sys.addaudithook(_ARMED[0].hook)
    return _ARMED[0]


def armed() -> Tripwire | None:
    return _ARMED[0] if _ARMED else None


@contextmanager
def permitted() -> Iterator[None]:
    """The door's own work, where a tripwire is armed; elsewhere (a test, a tool) nothing changes."""
    if not _ARMED:
        yield
        return
    with _ARMED[0].permitted():
        yield


def _adopts(frame: FrameType | None) -> bool:
    """Whether `socket.socket` was called with a descriptor that is there already: an accepted, handed or duplicated one."""
    return (
        frame is not None
        and frame.f_globals.get("__name__") == "socket"
        and frame.f_code.co_name == "__init__"
        and frame.f_locals.get("fileno") is not None
    )


def _stack(frame: FrameType | None) -> tuple[str, ...]:
    found: list[str] = []
    while frame is not None and len(found) < FRAMES_MAX:
        module = str(frame.f_globals.get("__name__", "?"))
        if module != _OURS:
            found.append(f"{module}.{frame.f_code.co_name}")
        frame = frame.f_back
    return tuple(found)


def _place(address: tuple[Any, ...]) -> str:
    host, port = _text(address[0]) or "*", address[1] if len(address) > 1 else ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _netlink(sock: object) -> bool:
    """Asking the kernel about interfaces: the address is a pair of numbers, and nothing leaves."""
    family = getattr(socket, "AF_NETLINK", None)
    return family is not None and getattr(sock, "family", None) == family


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _text(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return str(value)[:300]
