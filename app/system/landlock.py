"""Landlock, a refusal by the Linux kernel that needs no privilege: which files may be changed, and, beside the filter, some of the network.

What it knows grew with the kernel: files since version 1, moving and linking between folders since 2, emptying since 3, TCP `bind` and
`connect` since 4, commands to devices since 5, abstract unix sockets and signals since 6. `restrict` asks for all that this kernel has.
Changing a file's mode or owner is in none of them (the filter refuses it), and of the network UDP, TCP Fast Open and MPTCP are not.
It also keeps a restricted process from looking into processes that are not restricted with it (`/proc/PID/mem`, ptrace).

It holds for the thread that asks and for what that one starts, so it belongs before the first thread.

Sources: landlock(7), linux/landlock.h; the three calls have the same numbers on all architectures.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION: Final = 1  # LANDLOCK_CREATE_RULESET_VERSION
_BENEATH: Final = 1  # LANDLOCK_RULE_PATH_BENEATH

# LANDLOCK_ACCESS_FS_*
_EXECUTE, _WRITE = 1 << 0, 1 << 1
_REMOVE_DIR, _REMOVE_FILE = 1 << 4, 1 << 5
_MAKE_DIR, _MAKE_REG = 1 << 7, 1 << 8
_MAKE_OTHERS: Final = 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12  # devices, sockets, FIFOs, links
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_FILES: Final = (
    (1, _WRITE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _MAKE_OTHERS),
    (2, _REFER),
    (3, _TRUNCATE),
)
_OF_A_FILE: Final = _WRITE | _TRUNCATE
_OF_A_FOLDER: Final = _OF_A_FILE | _REMOVE_FILE | _MAKE_REG | _REFER

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


def missing(offered: int) -> tuple[str, ...]:
    """What a kernel with this version does not refuse, in words; nothing from version 6 on."""
    steps = ((1, "files"), (3, "emptying files"), (4, "TCP"), (6, "signals and abstract sockets"))
    return tuple(name for since, name in steps if offered < since)


def restrict(writable: Sequence[Path], *, network: bool, alone: bool) -> int:
    """From now on no program is started, no process outside gets a signal, and no file is changed, made or removed but those at or beneath
    `writable`, as far as this kernel can refuse it; returns its version. A path that is not there, or is a link, is left out, and with it
    all that it would have opened. OSError when there is no Landlock.

    For this thread and what it starts. In a writable folder files can be made, but no folders, links, sockets or devices.
    network: also no TCP connection and no listening. alone: also no abstract unix sockets and no commands to devices.
    """
    offered = version()
    if offered < 1:
        raise OSError(errno.ENOSYS, "this kernel has no Landlock")
    files = _EXECUTE
    for since, rights in _FILES:
        files |= rights if offered >= since else 0
    files |= _IOCTL_DEV if alone and offered >= 5 else 0
    ports = _BIND_TCP | _CONNECT_TCP if network and offered >= 4 else 0
    scoped = (_SCOPE_SIGNAL | (_SCOPE_ABSTRACT_UNIX if alone else 0)) if offered >= 6 else 0
    rules, size = _Rules(files, ports, scoped), 24 if offered >= 6 else 16 if offered >= 4 else 8
    libc = _libc()
    made = int(libc.syscall(ctypes.c_long(_CREATE), ctypes.byref(rules), ctypes.c_size_t(size), ctypes.c_uint32(0)))
    if made < 0:
        raise _failed()
    try:
        for path in writable:
            with contextlib.suppress(OSError):
                _allow(made, path, files)
        if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.syscall(ctypes.c_long(_RESTRICT), ctypes.c_int(made), ctypes.c_uint32(0)):
            raise _failed()
    finally:
        os.close(made)
    return offered


def _allow(rules: int, path: Path, files: int) -> None:
    """Never through a link at the path's end: whoever could put one there would choose what may be written."""
    place = os.open(path, getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_PATH", 0) | getattr(os, "O_NOFOLLOW", 0))
    try:
        kind = os.fstat(place).st_mode
        if stat.S_ISLNK(kind):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        allowed = files & (_OF_A_FOLDER if stat.S_ISDIR(kind) else _OF_A_FILE)
        beneath = struct.pack("=Qi", allowed, place)  # struct landlock_path_beneath_attr is packed
        if _libc().syscall(ctypes.c_long(_ADD), ctypes.c_int(rules), ctypes.c_int(_BENEATH), beneath, ctypes.c_uint32(0)):
            raise _failed()
    finally:
        os.close(place)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _failed() -> OSError:
    number = ctypes.get_errno() or errno.EPERM
    return OSError(number, os.strerror(number))
