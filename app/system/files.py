"""Opening files of our own: never through a link, never somebody else's, closed to other users when they are made."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

from app.system.owners import own_uid

PROBE: Final = ".probe"  # in a data folder: empty; what a locked child tries to change, to see whether it can

# Not blocking: a FIFO in the place of a file must not hold anybody up until its kind is known.
_ALWAYS: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def open_own(path: Path, flags: int) -> int:
    """A descriptor of the regular file at `path`, made with mode 0600 where `flags` say so. Not inherited by children.

    OSError as open(2): ELOOP for a link; also EPERM for a file of another user and EINVAL for what is no file.
    """
    descriptor = os.open(path, flags | _ALWAYS, 0o600)
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        if os.name == "posix" and facts.st_uid != own_uid():
            raise OSError(errno.EPERM, "it belongs to another user")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_own(path: Path, most: int = -1) -> bytes:
    """What is in the file, at most `most` bytes. OSError as `open_own`."""
    with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
        return file.read(most)
