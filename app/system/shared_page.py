"""A page of memory that two processes of ours share: one writes what it is at, the other reads it when the first answers nothing.

Nothing of the writer has to run for that: no thread, no lock. The page is slots of `SLOT_BYTES`, each a byte (1: in use), the length of
its text, the number of the thread that writes it, and the text: fields in UTF-8 with a separator between. One slot is written by one
thread, in one copy. A reading in the middle of a copy may be half of one word and half of another: what stands still is what two readings
with some time between have in common (`lasting`).

The keeper makes it and reads it, the engine maps it and writes. What is read is the word of the other process: `entries` takes whatever
bytes there are. Linux: a memfd that nobody can shorten; the reader never maps it, so nothing the writer does with it is a fault here.
Elsewhere on POSIX a file without a name; on Windows a section under a name that nobody can guess.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SLOTS: Final = 3
SLOT_BYTES: Final = 512
SIZE: Final = SLOTS * SLOT_BYTES
UNUSED: Final = b"\0"

_LINUX: bool = sys.platform == "linux"
_HEAD: Final = struct.Struct("<BHI")
_pack: Final = _HEAD.pack
_TEXT_MOST: Final = SLOT_BYTES - _HEAD.size
SEPARATOR: Final = "\x1f"
_FIELDS_MOST: Final = 8
_NOEXEC_SEAL: Final = 8  # MFD_NOEXEC_SEAL, Linux 6.3; some systems make no memfd without it


@dataclass(frozen=True, slots=True)
class Entry:
    """A slot in use. thread: who wrote it, as the system numbers threads. fields: texts, as they were written."""

    thread: int
    fields: tuple[str, ...]


def record(thread: int, fields: Sequence[str]) -> bytes:
    """The bytes of a slot in use. What does not fit is cut off."""
    return of_text(thread, SEPARATOR.join(fields).encode("utf-8", "replace"))


def of_text(thread: int, text: bytes) -> bytes:
    """As `record`, of the fields as one text."""
    if len(text) > _TEXT_MOST:
        text = text[:_TEXT_MOST]
    return _pack(1, len(text), thread) + text


def of_thread(record_: bytes, thread: int) -> bytes:
    """The same record, written by another thread."""
    return of_text(thread, record_[_HEAD.size :])


def entries(page: bytes) -> list[Entry]:
    """The slots in use, the first slot first. Any bytes will do."""
    found = []
    for start in range(0, SIZE, SLOT_BYTES):
        slot = page[start : start + SLOT_BYTES]
        if len(slot) < _HEAD.size:
            break
        state, length, thread = _HEAD.unpack_from(slot)
        text = slot[_HEAD.size : _HEAD.size + length]
        if state == 1:
            found.append(Entry(thread, tuple(text.decode("utf-8", "ignore").split(SEPARATOR, _FIELDS_MOST)[:_FIELDS_MOST])))
    return found


def lasting(first: bytes, second: bytes) -> list[Entry]:
    """What is the same in two readings of a page."""
    before = entries(first)
    return [one for one in entries(second) if one in before]


class Page:
    """The reader's end. name: what the writer is told. inherited: descriptors that must reach it."""

    def __init__(self, folder: Path) -> None:
        """folder: for a file without a name, where there is no other way. OSError when it cannot be made."""
        self._section: mmap.mmap | None = None
        self.inherited: tuple[int, ...] = ()
        self.name: int | str = f"gatehouse-{os.urandom(16).hex()}"
        if sys.platform == "win32":
            self._section = mmap.mmap(-1, SIZE, tagname=str(self.name))
        else:
            made = _memory() if _LINUX else _file(folder)
            self.name, self.inherited = made, (made,)

    def read(self) -> bytes:
        """What is on it now; b"" when that cannot be had."""
        if self._section is not None:
            return self._section[:SIZE]
        if sys.platform != "win32":
            with contextlib.suppress(OSError):
                return os.pread(self.inherited[0], SIZE, 0)
        return b""

    def close(self) -> None:
        if self._section is not None:
            self._section.close()
        for descriptor in self.inherited:
            os.close(descriptor)


def writable(name: object) -> mmap.mmap | None:
    """The writer's end; None when `name` is of no page."""
    with contextlib.suppress(OSError, ValueError):
        if sys.platform == "win32":
            return mmap.mmap(-1, SIZE, tagname=name) if isinstance(name, str) else None
        elif isinstance(name, int):  # noqa: RET505 - one way for each system
            try:
                return mmap.mmap(name, SIZE)
            finally:
                os.close(name)
    return None


def _memory() -> int:
    made = _memfd()
    try:
        if sys.platform == "linux":
            import fcntl  # noqa: PLC0415 - POSIX only

            os.ftruncate(made, SIZE)
            fcntl.fcntl(made, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    except OSError:
        os.close(made)
        raise
    return made


def _memfd() -> int:
    if sys.platform == "linux":
        flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
        with contextlib.suppress(OSError):
            return os.memfd_create("gatehouse", flags | _NOEXEC_SEAL)
        return os.memfd_create("gatehouse", flags)
    raise OSError("memory without a name is Linux's")


def _file(folder: Path) -> int:
    path = folder / f"page-{os.urandom(8).hex()}"
    made = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        path.unlink()
        os.ftruncate(made, SIZE)
    except OSError:
        os.close(made)
        raise
    return made
