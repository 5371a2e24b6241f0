"""How much a process has computed, and whether it can compute at all just now."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

_LINUX: bool = sys.platform == "linux"


@dataclass(frozen=True, slots=True)
class Effort:
    """cpu_s: of all its threads since it began. waits: its first thread waits for the disk, or was stopped (Linux alone knows)."""

    cpu_s: float
    waits: bool


def effort(pid: int) -> Effort | None:
    """None when it cannot be known: there is no such process, or the system hides it."""
    return _on_linux(Path(f"/proc/{pid}/stat")) if _LINUX else _elsewhere(pid)


def thread_seconds(pid: int) -> dict[int, float]:
    """What each thread has computed, by its number; {} where that is not known."""
    found: dict[int, float] = {}
    if _LINUX:
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                if (one := _on_linux(thread / "stat")) is not None:
                    found[int(thread.name)] = one.cpu_s
    return found


def passed_s() -> float:
    """A clock that nobody sets and that goes on while the machine sleeps: a look before and one after a sleep are far apart."""
    if sys.platform == "linux":
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
    elif sys.platform == "darwin":
        now = time.clock_gettime(time.CLOCK_MONOTONIC)  # `time.monotonic` is another one there, and stops
    else:
        now = time.monotonic()
    return now


def _on_linux(stat: Path) -> Effort | None:
    """proc(5): state is field 3, utime and stime are 14 and 15. The state of a process is that of its first thread."""
    try:
        fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return Effort((int(fields[11]) + int(fields[12])) / _ticks(), fields[0] in "DTtZX")
    except (OSError, ValueError, IndexError):
        return None


def _ticks() -> int:
    """Of a second, in the files of /proc."""
    if sys.platform == "linux":
        return os.sysconf("SC_CLK_TCK")
    else:  # noqa: RET505 - no other system has them
        return 100


def _elsewhere(pid: int) -> Effort | None:
    import psutil  # type: ignore[import-untyped]  # noqa: PLC0415 - has no stubs; needed elsewhere than on Linux only

    try:
        process = psutil.Process(pid)
        times = process.cpu_times()
        return Effort(times.user + times.system, process.status() in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE))
    except (psutil.Error, OSError, ValueError):
        return None
