"""Giving a file or folder a name that nothing has yet: never in the place of something that is there.

rename(2) replaces. Linux and macOS have calls that do not; a file system that does not know them (NFS, some FUSE ones) gets a second
name for the file and loses the first, or, where it has no second names either (FAT), the name is taken by something empty of ours first.
Windows never replaces.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
import sys
from typing import Final

_NOREPLACE: Final = 1  # RENAME_NOREPLACE, linux/fs.h
_EXCL: Final = 4  # RENAME_EXCL, sys/stdio.h of macOS
_UNKNOWN: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP})
_NO_LINKS: Final = _UNKNOWN | {errno.EPERM, errno.EMLINK}


def rename_new(old: str, new: str, folder: int) -> None:
    """Within the open folder. FileExistsError when something has the new name; other OSErrors as rename(2)."""
    try:
        _rename(old, new, folder)
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise
        claim(old, new, folder)


def claim(old: str, new: str, folder: int) -> None:
    """The same with ordinary calls."""
    if stat.S_ISDIR(os.stat(old, dir_fd=folder, follow_symlinks=False).st_mode):
        _claim_folder(old, new, folder)
        return
    try:
        os.link(old, new, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _claim_file(old, new, folder)
    else:
        os.unlink(old, dir_fd=folder)


def _claim_file(old: str, new: str, folder: int) -> None:
    """What is empty under the name is ours only until something else is there: a failure takes it away, and nothing of anybody else."""
    number = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
    try:
        facts = os.fstat(number)
    finally:
        os.close(number)
    try:
        os.rename(old, new, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with contextlib.suppress(OSError):
            there = os.stat(new, dir_fd=folder, follow_symlinks=False)
            if (there.st_dev, there.st_ino, there.st_size) == (facts.st_dev, facts.st_ino, 0):
                os.unlink(new, dir_fd=folder)
        raise


def _claim_folder(old: str, new: str, folder: int) -> None:
    """rename(2) puts a folder in the place of an empty one only: what somebody put into ours meanwhile is not lost."""
    os.mkdir(new, 0o700, dir_fd=folder)
    try:
        os.rename(old, new, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with contextlib.suppress(OSError):
            os.rmdir(new, dir_fd=folder)
        raise


def _rename(old: str, new: str, folder: int) -> None:
    call, flag = ("renameatx_np", _EXCL) if sys.platform == "darwin" else ("renameat2", _NOREPLACE)
    function = getattr(ctypes.CDLL(None, use_errno=True), call, None)
    if function is None:
        raise OSError(errno.ENOSYS, "not in this C library")
    if function(folder, os.fsencode(old), folder, os.fsencode(new), ctypes.c_uint(flag)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), new)
