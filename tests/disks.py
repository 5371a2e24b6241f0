"""Disks that are small, full or closed for writing, for tests. Where the system does not let a test make one, it is skipped, loudly."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest


def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of one megabyte at `folder`; made as root, who may also be the root of a user namespace of its own."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or mount is None or umount is None:
        where = "tests/journeys/test_storage_faults.py::test_full_disks_without_being_root runs it"
        pytest.skip(f"needs CAP_SYS_ADMIN, to mount a small file system; {where} where namespaces are allowed")
    folder.mkdir()
    mounted = subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m,mode=0700", "none", str(folder)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"FULL DISK NOT TESTED: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run([umount, str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the room that is left; the file that has it."""
    filler = folder / "filler"
    descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        for size in (65536, 4096, 1):
            while True:
                try:
                    os.write(descriptor, b"x" * size)
                except OSError:
                    break
    finally:
        os.close(descriptor)
    return filler


@contextmanager
def unchangeable(paths: Sequence[Path]) -> Iterator[None]:
    """Nobody can write to these files, not even who has them open, and nothing can be made in these folders."""
    chattr = shutil.which("chattr")
    words = [chattr or "", "+i", *(str(path) for path in paths)]
    made = None if chattr is None else subprocess.run(words, capture_output=True, text=True, check=False)
    if made is None or made.returncode:
        pytest.skip(f"READ-ONLY NOT TESTED: {'there is no chattr' if made is None else made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run([words[0], "-i", *words[2:]], check=True)
