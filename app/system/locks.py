"""A file that one process at a time holds. The system lets go of it when the process ends, however it ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from app.system.files import open_own

if sys.platform == "win32":
    import msvcrt

    def hold(path: Path) -> int | None:
        """A descriptor that holds the file at `path` (made if absent) until it is closed; None when somebody holds it already.

        OSError when the file cannot be made or opened, or is a link or not ours. The descriptor is not inherited by child processes.
        """
        descriptor = open_own(path, os.O_RDWR | os.O_CREAT)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            os.close(descriptor)
            return None
        return descriptor

else:
    import fcntl

    def hold(path: Path) -> int | None:
        """A descriptor that holds the file at `path` (made if absent) until it is closed; None when somebody holds it already.

        OSError when the file cannot be made or opened, or is a link or not ours. The descriptor is not inherited by child processes.
        """
        descriptor = open_own(path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor
