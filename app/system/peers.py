"""Who is at the other end of a local connection, as the operating system says."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
from dataclasses import dataclass
from pathlib import Path


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
    uid: int | None = None
    process: int | None = None
    try:
        if sys.platform == "linux":
            process, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        elif sys.platform == "darwin":
            # SOL_LOCAL (0): LOCAL_PEERCRED (1) is struct xucred {u_int version; uid_t uid; ...}, LOCAL_PEERPID (2) a pid_t (sys/un.h).
            _, uid = struct.unpack_from("II", sock.getsockopt(0, 1, 76))
            (process,) = struct.unpack("i", sock.getsockopt(0, 2, 4))
    except (OSError, struct.error, ValueError):
        return None, None
    return uid, process or None


def _program(process: int | None) -> str:
    if process is None:
        return ""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            return Path(f"/proc/{process}/comm").read_text(encoding="utf-8", errors="replace").strip()[:64]
    else:
        import psutil  # type: ignore[import-untyped]  # noqa: PLC0415 - has no stubs; needed elsewhere than on Linux only

        with contextlib.suppress(psutil.Error):
            return str(psutil.Process(process).name())[:64]
    return ""
