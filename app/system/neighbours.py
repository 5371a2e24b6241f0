"""What a locked process must not do to others, tried without doing any of it: on nobody, on nothing, or with what is there already.

Each attempt raises OSError with the system's number. Where nothing is refused it gets another answer than a refusal: success for what
changes nothing, "no such thing" for what names nothing.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys
from collections.abc import Callable, Mapping
from typing import Final

from app.system.system_calls import MACHINES

_NOBODYS: Final = 0x67617465  # a key that no queue and no memory has
_SHARES_HANDLERS: Final = 0x00000800  # CLONE_SIGHAND, which the kernel refuses alone
_SET_OWNER: Final = 8  # F_SETOWN; 0 is nobody
_WORKING: Final = -100  # AT_FDCWD


def call(name: str, *arguments: object) -> int:
    """A call of the kernel by its name. OSError: what the kernel said; EOPNOTSUPP where we do not know its number."""
    machine = MACHINES.get(platform.machine()) if sys.platform == "linux" else None
    if machine is None or name not in machine.numbers:
        raise OSError(errno.EOPNOTSUPP, "not on this system")
    given = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result = int(ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(machine.numbers[name]), *given))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _limits() -> None:
    """Read a limit of the process that started this one."""
    call("prlimit64", os.getppid(), 7, None, ctypes.create_string_buffer(16))


def _signal() -> None:
    """Signal 0, which only asks whether it could be sent."""
    call("kill", os.getppid(), 0)


def _group() -> None:
    call("kill", 0, 0)


def _owner() -> None:
    """Make nobody the one whom the kernel signals about a pipe."""
    ours, theirs = os.pipe()
    try:
        call("fcntl", ours, _SET_OWNER, 0)
    finally:
        os.close(ours)
        os.close(theirs)


def _priority() -> None:
    """An order of execution that nobody has, for the process that started this one: EINVAL where it is looked at."""
    call("sched_setscheduler", os.getppid(), -1, ctypes.create_string_buffer(4))


def _queue() -> None:
    call("mq_open", b"gatehouse-asks-for-nobodys", 0, 0, None)


def _memory() -> None:
    call("shmget", _NOBODYS, 0, 0)


def _mode() -> None:
    """Of a file without a name."""
    call("fchmodat", _WORKING, b"", 0)


def _emptied() -> None:
    """A file without a name."""
    call("truncate", b"", 0)


def _mount() -> None:
    """Nothing, nowhere."""
    call("mount", None, b"", None, 0, None)


def _process() -> None:
    """A process that no kernel makes: one with other memory and the same handlers of signals."""
    call("clone", _SHARES_HANDLERS, None, None, None, None)


FOR_ALL: Final[Mapping[str, Callable[[], None]]] = {
    "limits of another process": _limits,
    "priority of another process": _priority,
    "a signal to another process": _signal,
    "a signal to its group": _group,
    "a signal by way of a descriptor": _owner,
    "a message queue": _queue,
    "shared memory": _memory,
    "the mode of a file": _mode,
    "emptying a file": _emptied,
    "mounting": _mount,
}
FOR_ENGINE: Final[Mapping[str, Callable[[], None]]] = {"starting a process": _process}
