"""What the operating system refuses a process of ours, put on as early as possible, and then measured by trying.

`lock` never fails: a machine that offers no lock runs the same program, and what is shown is the level that was measured. Nothing is
concluded from a call that returned without an error: `measure` makes the attempts that must fail.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import socket
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from app.system import landlock, neighbours, reach, seccomp
from app.system.files import PROBE
from app.system.processes import harden

Role = Literal["keeper", "engine", "window", "vault", "writer"]

# kernel: every way out that was tried was refused by the kernel. desktop: so it was, but there are programs of the desktop that can be
# asked for something, and nobody locks those. guarded: at least one way out was not refused.
Level = Literal["kernel", "desktop", "guarded"]

_KINDS: Final[Mapping[Role, seccomp.Kind]] = {"engine": "engine", "window": "window", "vault": "vault", "writer": "engine"}
FILES_TRIED: Final = (
    "changing files outside of its folder",
    "emptying files outside of its folder",
    "making files outside of its folder",
    "changing the program",
)
_REFUSED: Final = frozenset({errno.EACCES, errno.EROFS, errno.EPERM, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ENOSYS})
# What a role writes besides its folder: the null device; the window's drawing goes through the graphics device where there is one.
_WRITABLE: Final[Mapping[Role, tuple[Path, ...]]] = {
    "engine": (Path(os.devnull),),
    "window": (Path(os.devnull), Path("/dev/dri")),
    "vault": (Path(os.devnull),),
    "writer": (Path(os.devnull),),
}
_REMOTE_SCREEN: Final = re.compile(r"(?!unix:)[^:/]+:\d")
_GET_DUMPABLE: Final = 3
_FILTERED: Final = 2  # proc(5), "Seccomp"
_LINUX: bool = sys.platform == "linux"
_WINDOWS: bool = sys.platform == "win32"


@dataclass(frozen=True, slots=True)
class Locks:
    """One process. seccomp, landlock: "" when active, else why not. open: what was tried and not refused, by name. reach: the other
    programs that a window can connect to, by name, see `reach.programs`.

    hidden: whether other programs of the same user are kept from its memory (and with it from its list of sockets).
    """

    role: Role
    pid: int
    seccomp: str
    landlock: str
    landlock_version: int
    hidden: bool
    open: tuple[str, ...]
    reach: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether the kernel refuses this process every internet socket."""
        return not (self.open or self.seccomp)

    @property
    def level(self) -> Level:
        if not self.holds:
            return "guarded"
        return "desktop" if self.reach else "kernel"

    def fields(self) -> dict[str, object]:
        """For a message; `of` is the way back."""
        return asdict(self)

    @staticmethod
    def of(message: Mapping[str, Any]) -> Locks:
        """ValueError when the message describes none."""
        try:
            return Locks(
                role=message["role"],
                pid=int(message["pid"]),
                seccomp=str(message["seccomp"]),
                landlock=str(message["landlock"]),
                landlock_version=int(message["landlock_version"]),
                hidden=bool(message["hidden"]),
                open=tuple(str(name) for name in message["open"]),
                reach=tuple(str(name) for name in message["reach"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError("not a description of locks") from error


def lock(role: Role, environment: Mapping[str, str] | None = None, *, folder: Path | None = None) -> Locks:
    """Give up what the process of this role never needs, and say what trying afterwards showed. Call it before any thread exists.

    environment: where a window's screen is; default the process's own. folder: the one in which it may change files; None: in none. The
    keeper is not locked: it is the one who dials and writes.
    """
    given = os.environ if environment is None else environment
    found = _lock(role, given, folder)
    if role == "window":
        found = replace(found, reach=reach.programs(given))
    _OWN[:] = [found]
    return found


def seen_from_outside(locks: Locks) -> Locks:
    """What a process says of its own locks, held against what the system shows of it: a filter that nobody sees is not there, and a
    window reaches nobody only where there is nobody."""
    if not _LINUX or locks.seccomp:
        return locks
    if locks.role == "window" and not locks.reach:
        locks = replace(locks, reach=reach.programs(os.environ))
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path(f"/proc/{locks.pid}/status").read_text(encoding="utf-8").splitlines()
        if next(int(line.split()[1]) for line in lines if line.startswith("Seccomp:")) == _FILTERED:
            return locks
    return replace(locks, seccomp="the system shows no filter on it")


def more_locked(pid: object) -> bool:
    """Whether that process has more filters on it than this one: one that we started, or what such a one started and left behind. Linux
    from 5.9; elsewhere False. A person's own program has more only where it runs in a box of its own (Flatpak, Snap)."""
    return isinstance(pid, int) and pid > 0 and _filters(pid) > _filters(os.getpid())


def _filters(pid: int) -> int:
    if _LINUX:
        with contextlib.suppress(OSError, ValueError, StopIteration):
            lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
            return next(int(line.split()[1]) for line in lines if line.startswith("Seccomp_filters:"))
    return 0


def own() -> Locks | None:
    """What `lock` found for this process; None when it was never locked (a test, a tool)."""
    return _OWN[0] if _OWN else None


_OWN: list[Locks] = []


def _lock(role: Role, given: Mapping[str, str], folder: Path | None) -> Locks:
    if role in ("keeper", "engine", "vault", "writer"):
        harden()
    kind = _KINDS.get(role)
    if not _LINUX:
        reason = "this system offers a program no such lock"
        return measure(role, reason, reason, 0)
    if kind is None:
        return measure(role, "it opens the connections", "it opens the connections", landlock.version())
    open_network = _needs_internet(role, given)
    # Landlock is of this thread, the filter of all threads at once.
    alone = kind == "engine"
    files = _try(lambda: landlock.restrict([*_WRITABLE[role], *([folder] if folder else [])], network=not open_network, alone=alone))
    return measure(role, open_network or _try(lambda: seccomp.install(kind)), files, landlock.version(), folder)


def measure(role: Role, filter_reason: str, belt_reason: str, belt_version: int, folder: Path | None = None) -> Locks:
    """Try what must not work and note what did. Nothing is sent: every attempt stops at the descriptor or at a name nobody has. No file is
    changed, but that the keeper's empty one for this is emptied, and one beside it made and removed, where that is not refused."""
    attempts = _ATTEMPTS if _KINDS.get(role) == "engine" else {name: _ATTEMPTS[name] for name in _FOR_ALL}
    if folder is not None and role in ("engine", "window"):
        attempts = {**attempts, **_files_beside(folder)}
    return Locks(
        role=role,
        pid=os.getpid(),
        seccomp=filter_reason,
        landlock=belt_reason,
        landlock_version=belt_version,
        hidden=_hidden(),
        open=tuple(name for name, attempt in attempts.items() if not _refused(attempt)),
    )


def _needs_internet(role: Role, environment: Mapping[str, str]) -> str:
    screen = environment.get("DISPLAY", "")
    if role == "window" and not environment.get("WAYLAND_DISPLAY") and _REMOTE_SCREEN.match(screen):
        return "the screen is reached over the network"
    if role in ("window", "vault") and environment.get("DBUS_SESSION_BUS_ADDRESS", "").startswith("tcp:"):
        return "the session bus is reached over the network"
    return ""


def _try(step: Callable[[], object]) -> str:
    try:
        step()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _refused(attempt: Callable[[], object]) -> bool:
    """Whether it was refused. Anything else, a success or another error, counts as not refused."""
    try:
        attempt()
    except OSError as error:
        return error.errno in _REFUSED
    return False


def _files_beside(folder: Path) -> Mapping[str, Callable[[], None]]:
    """Changes outside of `folder`: of the keeper's file for this purpose beside it, and of the program."""
    probe = folder.parent / PROBE

    def write() -> None:
        os.close(os.open(probe, os.O_WRONLY))

    def empty() -> None:
        os.close(os.open(probe, os.O_RDONLY | os.O_TRUNC))

    def make() -> None:
        made = probe.with_name(f"{PROBE}-{os.getpid()}")
        os.close(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        made.unlink()

    def program() -> None:
        os.close(os.open(__file__, os.O_WRONLY))

    return dict(zip(FILES_TRIED, (write, empty, make, *((program,) if Path(__file__).is_file() else ())), strict=False))


def _make(family: str, kind: int, protocol: int = 0) -> Callable[[], None]:
    def attempt() -> None:
        number = getattr(socket, family, None)
        if number is None:
            raise OSError(errno.EAFNOSUPPORT, "not on this system")
        socket.socket(number, kind, protocol).close()

    return attempt


def _pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair()


def _connect() -> None:
    """`connect` on a descriptor that is there already, without an address: what re-aims an accepted one."""
    ours, theirs = _pair()
    with ours, theirs:
        _check(_libc().connect(ours.fileno(), struct.pack("=H14x", 0), 16))


def _send_to() -> None:
    ours, theirs = _pair()
    with ours, theirs:
        address = struct.pack("=H108s", 1, b"\0nobody-of-that-name")
        _check(_libc().sendto(ours.fileno(), b"", ctypes.c_size_t(0), 0, address, 22))


def _fast_open() -> None:
    ours, theirs = _pair()
    with ours, theirs:
        _check(_libc().send(ours.fileno(), b"", ctypes.c_size_t(0), seccomp.MSG_FASTOPEN))


def _source_route() -> None:
    """A route for the packets of a connection that is there already: what sends them to another host. None is set."""
    ours, theirs = _pair()
    with ours, theirs:
        _check(_libc().setsockopt(ours.fileno(), int(socket.IPPROTO_IP), int(socket.IP_OPTIONS), b"", 0))


def _start_program() -> None:
    """`execve` of nothing: an unlocked process learns that there is no such file."""
    _check(_libc().execve(b"", None, None))


def _libc() -> ctypes.CDLL:
    """OSError where a process has none (Windows; `CDLL(None)` is a TypeError there)."""
    if _WINDOWS:
        raise OSError(errno.EOPNOTSUPP, "not on this system")
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


_ATTEMPTS: Final[Mapping[str, Callable[[], None]]] = {
    "TCP over IPv4": _make("AF_INET", socket.SOCK_STREAM),
    "TCP over IPv6": _make("AF_INET6", socket.SOCK_STREAM),
    "UDP over IPv4": _make("AF_INET", socket.SOCK_DGRAM),
    "UDP over IPv6": _make("AF_INET6", socket.SOCK_DGRAM),
    "multipath TCP": _make("AF_INET", socket.SOCK_STREAM, 262),
    "raw packets": _make("AF_PACKET", socket.SOCK_RAW),
    "unix sockets": _make("AF_UNIX", socket.SOCK_STREAM),
    "connect": _connect,
    "an address in a send call": _send_to,
    "TCP Fast Open": _fast_open,
    "a source route": _source_route,
    "starting a program": _start_program,
    **neighbours.FOR_ALL,
    **neighbours.FOR_ENGINE,
}
_FOR_ALL: Final = (
    "TCP over IPv4", "TCP over IPv6", "UDP over IPv4", "UDP over IPv6", "multipath TCP", "raw packets", *neighbours.FOR_ALL,
)  # fmt: skip


def _hidden() -> bool:
    if not _LINUX:
        return False
    with contextlib.suppress(OSError):
        return int(_libc().prctl(_GET_DUMPABLE, 0, 0, 0, 0)) == 0
    return False
