"""A log file without the machinery: one line, one write. Private, bounded, readable from its end.

Children write to theirs through an inherited descriptor in append mode, so that their last words are in the file however they die.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from app.system.files import open_own

ROTATE_AT_BYTES: Final = 2 * 1024 * 1024
# On Windows "append" is the habit of a process, not a property of the file: a child would go on at its old place.
CAN_ROTATE_WHILE_WRITTEN: Final = os.name != "nt"
_TAIL_BYTES: Final = 16 * 1024
_LINE_MAX: Final = 500


class Log:
    """Lines with their time (UTC) at the front. A disk that is full loses lines, never the process."""

    def __init__(self, path: Path, clock_s: Callable[[], float] = time.time) -> None:
        self.path: Final = path
        self._clock_s = clock_s
        self._descriptor = open_for_append(path)

    def line(self, text: str) -> None:
        now = self._clock_s()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"
        one_line = printable(text)[: 4 * _LINE_MAX]
        with contextlib.suppress(OSError):
            os.write(self._descriptor, f"{stamp} {one_line}\n".encode("utf-8", "replace"))

    def close(self) -> None:
        os.close(self._descriptor)


class Claims:
    """Lines that another process can cause: `burst` of them at once, then one every `every_s`. Those between are counted in the next one.

    Without that, whoever wants a line gone writes others until it has been rotated away.
    """

    def __init__(
        self, line: Callable[[str], None], *, burst: int = 500, every_s: float = 10.0, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._line: Final = line
        self._burst: Final = burst
        self._every_s: Final = every_s
        self._clock_s: Final = clock_s
        self._lock: Final = threading.Lock()
        self._room = float(burst)
        self._last_s = clock_s()
        self._left_out = 0

    def line(self, text: str) -> None:
        """From any thread."""
        with self._lock:
            now = self._clock_s()
            self._room = min(float(self._burst), self._room + max(0.0, now - self._last_s) / self._every_s)
            self._last_s = now
            if self._room < 1:
                self._left_out += 1
                return
            self._room -= 1
            left_out, self._left_out = self._left_out, 0
        self._line(f"{text} ({left_out} lines of our processes before this one were left out)" if left_out else text)


def open_for_append(path: Path) -> int:
    """A descriptor to write at the end of `path`, mode 0600; never through a link, never somebody else's. OSError as `open_own`."""
    return open_own(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def tail(path: Path, lines: int = 20) -> list[str]:
    """The last lines, oldest first, each cut to 500 characters. Empty if there is no file."""
    try:
        with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    found = text.splitlines()
    if size > _TAIL_BYTES:
        found = found[1:]  # it begins somewhere within a line
    return [printable(line)[:_LINE_MAX] for line in found[-lines:]]


def recent(path: Path, lines: int) -> list[str]:
    """As `tail`, and what `rotate` put aside before it, where the file is younger than that."""
    found = tail(path, lines)
    return [*tail(path.with_name(path.name + ".1"), lines - len(found)), *found] if len(found) < lines else found


def printable(text: str) -> str:
    """The text without line breaks, escape sequences and other control characters: what a log or a terminal can be shown."""
    return "".join(character if character.isprintable() else "?" for character in text.replace("\t", " "))


def rotate(path: Path, at_bytes: int = ROTATE_AT_BYTES) -> bool:
    """When the file is large: keep the end of it, at most `at_bytes`, as `NAME.1` and empty it. Writers with a descriptor in append mode go
    on undisturbed.

    A line written between the copy and the cut, some microseconds, is lost.
    """
    try:
        if path.lstat().st_size < at_bytes:
            return False
        old = path.with_name(path.name + ".1")
        with os.fdopen(open_own(path, os.O_RDWR), "rb") as source:
            old.unlink(missing_ok=True)
            source.seek(max(0, os.fstat(source.fileno()).st_size - at_bytes))
            with os.fdopen(open_for_append(old), "wb") as copy:
                while block := source.read(65536):
                    copy.write(block)
                os.ftruncate(source.fileno(), 0)
    except OSError:
        return False
    return True
