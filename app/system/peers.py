"""Who is at the other end of a local connection, as the operating system says.

Keys and passphrases travel on local channels, so both ends ask before a byte is sent or read: `same_user`. Only the user this process
runs as counts. The system's administrator is a stranger too, unless we are that administrator ourselves.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# sys/un.h of macOS: what getpeereid(3) asks, and its like for the process.
_SOL_LOCAL: Final = 0
_LOCAL_PEERCRED: Final = 1
_LOCAL_PEERPID: Final = 2
_XUCRED_BYTES: Final = 76


@dataclass(frozen=True, slots=True)
class Peer:
    """uid and process: None where the system does not say. user, program: their names, or ""."""

    uid: int | None = None
    user: str = ""
    process: int | None = None
    program: str = ""

    @staticmethod
    def of(sock: socket.socket | None) -> Peer:
        """The process that made the connection; it may have ended since. Never raises."""
        uid, process = _credentials(sock) if sock is not None else (None, None)
        return Peer(uid, user_name(uid), process, _program(process))


def same_user(sock: socket.socket) -> bool:
    """Whether the other end of a connected local socket is a process of the user that this one runs as. False where nobody says.

    On POSIX of a unix socket: a listener's user is the one that called listen(2). On Windows, which has no unix sockets in Python, of a
    loopback connection. Never raises.
    """
    if sys.platform == "win32":
        return _same_user_by_table(sock)
    else:  # noqa: RET505 - for the type checker, which looks at one system at a time
        return uid_of(sock) == os.geteuid()


def uid_of(sock: socket.socket) -> int | None:
    """The user at the other end of a unix socket, as the kernel says; None where it does not say. Never raises."""
    return _credentials(sock)[0]


def process_of(sock: socket.socket) -> int | None:
    """The process at the other end of a unix socket, as `uid_of`."""
    return _credentials(sock)[1]


def user_name(uid: int | None) -> str:
    if sys.platform == "win32":
        return os.environ.get("USERNAME", "")
    else:  # noqa: RET505 - for the type checker, which looks at one system at a time
        import pwd  # noqa: PLC0415 - POSIX only

        if uid is None:
            return ""
        try:
            return pwd.getpwuid(uid).pw_name
        except (KeyError, OverflowError):
            return str(uid)


def _credentials(sock: socket.socket) -> tuple[int | None, int | None]:
    """(uid, process id) of the other end. Only unix sockets have them: of another, Linux says uid -1 and process 0."""
    uid: int | None = None
    process: int | None = None
    try:
        if sys.platform == "linux":
            if sock.family == socket.AF_UNIX:
                process, uid, _ = struct.unpack("iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        elif sys.platform == "darwin":
            if sock.family == socket.AF_UNIX:
                uid = _uid_of_xucred(sock.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED_BYTES))
                with contextlib.suppress(OSError):  # it may have ended: who it was is known all the same
                    (process,) = struct.unpack("i", sock.getsockopt(_SOL_LOCAL, _LOCAL_PEERPID, 4))
    except (OSError, struct.error, ValueError):
        return None, None
    return uid, process or None


def _uid_of_xucred(data: bytes) -> int | None:
    """The user of macOS' struct xucred {u_int version; uid_t uid; short ngroups; gid_t groups[16]}; None for a version we do not know."""
    version, uid = struct.unpack_from("=II", data)
    return int(uid) if version == 0 else None


def _same_user_by_table(sock: socket.socket) -> bool:
    """Windows: the process that the system's table names for the other end, and the user of it. That of another user's is refused to us."""
    import psutil  # type: ignore[import-untyped]  # noqa: PLC0415 - has no stubs; needed elsewhere than on Linux only

    try:
        here, there = sock.getsockname()[:2], sock.getpeername()[:2]
        own = psutil.Process().username()
        return any(
            line.pid and line.laddr[:2] == there and line.raddr and line.raddr[:2] == here and psutil.Process(line.pid).username() == own
            for line in psutil.net_connections("tcp")
        )
    except (OSError, psutil.Error):
        return False


def _program(process: int | None) -> str:
    if process is None:
        return ""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            return Path(f"/proc/{process}/comm").read_text(encoding="utf-8", errors="replace").strip()[:64]
    else:
        import psutil  # noqa: PLC0415 - as above

        with contextlib.suppress(psutil.Error, OSError, ValueError):
            return str(psutil.Process(process).name())[:64]
    return ""
