"""Landlock, a second refusal by the Linux kernel: a belt beside the seccomp filter, not a lock of its own.

It knows TCP `bind` and `connect` only: UDP, TCP Fast Open and MPTCP pass it. It also keeps a restricted process from looking into
processes that are not restricted with it (`/proc/PID/mem`, ptrace).

Sources: landlock(7), linux/landlock.h; the three calls have the same numbers on all architectures.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from typing import Final

_CREATE, _RESTRICT = 444, 446
_VERSION: Final = 1  # LANDLOCK_CREATE_RULESET_VERSION
_BIND_TCP, _CONNECT_TCP = 1, 2  # since version 4
_SCOPE_ABSTRACT_UNIX, _SCOPE_SIGNAL = 1, 2  # since version 6
_NO_NEW_PRIVS: Final = 38
_LINUX: bool = sys.platform == "linux"


class _Rules(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


def version() -> int:
    """Of the kernel's Landlock; 0 where there is none."""
    if not _LINUX:
        return 0
    found = int(_libc().syscall(ctypes.c_long(_CREATE), None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION)))
    return max(0, found)


def restrict(*, alone: bool) -> int:
    """No TCP connection and no listening from now on, for this thread and what it starts; returns the version. OSError when not offered.

    alone: also no abstract unix sockets and no signals to processes outside; a window needs both.
    """
    offered = version()
    if offered < 4:
        raise OSError(errno.ENOSYS, f"this kernel's Landlock (version {offered}) has no rules for the network")
    scoped = (_SCOPE_ABSTRACT_UNIX | _SCOPE_SIGNAL) if alone and offered >= 6 else 0
    rules = _Rules(0, _BIND_TCP | _CONNECT_TCP, scoped)
    size = 24 if offered >= 6 else 16
    libc = _libc()
    made = int(libc.syscall(ctypes.c_long(_CREATE), ctypes.byref(rules), ctypes.c_size_t(size), ctypes.c_uint32(0)))
    if made < 0:
        raise _failed()
    try:
        if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.syscall(ctypes.c_long(_RESTRICT), ctypes.c_int(made), ctypes.c_uint32(0)):
            raise _failed()
    finally:
        os.close(made)
    return offered


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _failed() -> OSError:
    number = ctypes.get_errno() or errno.EPERM
    return OSError(number, os.strerror(number))
