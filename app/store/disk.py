"""What the file system refuses, said as an `AppError`. Names the last part of a path only, never a home folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from app.core.errors import AppError

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
AGAIN_S: Final = 5.0
_NOT_OURS: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def refused(path: Path, error: OSError) -> AppError:
    """store_unavailable when there is no room or the disk fails; data_folder when the folder is at fault. All of it may end by itself,
    so these have `retry_after_s`."""
    if error.errno in _NO_ROOM:
        return full()
    if error.errno == errno.EIO:
        hint = "Check the disk; Gatehouse goes on by itself."
        return AppError("store_unavailable", "The disk reports an error.", hint, retry_after_s=AGAIN_S)
    what = "cannot be written to" if error.errno in _NOT_OURS else "cannot be used"
    hint = "Check that it exists, is yours and is not read-only; Gatehouse goes on by itself."
    return AppError("data_folder", f"{path.name} in the data folder {what}.", hint, retry_after_s=AGAIN_S)


def full() -> AppError:
    hint = "Free some space; Gatehouse goes on by itself."
    return AppError("store_unavailable", "The disk is full, so nothing more can be recorded.", hint, retry_after_s=AGAIN_S)


def sync_folder(folder: Path) -> None:
    """Wait until the names in `folder` are on the disk. Windows has no such call; its file system writes names in order."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
