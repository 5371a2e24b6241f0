"""The gateway's processes from outside: who they are, what memory they hold, what they work. From /proc, else from `ps`."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final

_PROC: Final = Path("/proc/self/stat").exists()
_TICK: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_LOOK_S: Final = 0.05 if _PROC else 0.25


def family(first: int) -> list[int]:
    """`first` and everything it started that still runs."""
    found, parents = [first], _parents()
    for parent in found:
        found += [pid for pid, above in parents.items() if above == parent]
    return found


def resident(pids: list[int]) -> int:
    """Bytes of memory that these processes hold, a shared page counted for each."""
    return sum(_facts(pid)[0] for pid in pids)


def worked(pids: list[int]) -> float:
    """Seconds of processor time these processes have used so far."""
    return sum(_facts(pid)[1] for pid in pids)


def _parents() -> dict[int, int]:
    found: dict[int, int] = {}
    if not _PROC:
        lines = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout.splitlines()
        return {int(one): int(above) for one, above in (line.split() for line in lines)}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                found[int(entry)] = int(_stat(int(entry))[1])
            except (OSError, IndexError, ValueError):
                continue
    return found


def _stat(pid: int) -> list[str]:
    """The words of /proc/PID/stat from the state on: 1 parent, 11 and 12 processor time, 21 resident pages."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _facts(pid: int) -> tuple[int, float]:
    try:
        if _PROC:
            words = _stat(pid)
            return int(words[21]) * _PAGE, (int(words[11]) + int(words[12])) / _TICK
        said = subprocess.run(["ps", "-o", "rss=,time=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout.split()
        minutes, _, seconds = said[1].rpartition(":")
        hours, _, minute = minutes.rpartition(":")
        return int(said[0]) * 1024, int(hours or 0) * 3600 + int(minute) * 60 + float(seconds)
    except (OSError, IndexError, ValueError):
        return 0, 0.0


class Watch:
    """Between `with` and its end: memory at its highest, processor time, and how long a good request waits.

    good: one request of an honest client; True when it was answered as it should be.
    """

    def __init__(self, first: int, good: Callable[[], bool]) -> None:
        self._first, self._good = first, good
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._weigh, self._probe)]
        self.before = self.peak = 0
        self.worst_s = self.cpu_s = self.elapsed_s = 0.0
        self.asked = self.missed = 0

    @property
    def grown(self) -> int:
        return max(0, self.peak - self.before)

    def now(self) -> int:
        """How much more memory is held at this moment than before."""
        return resident(family(self._first)) - self.before

    def __enter__(self) -> Watch:
        pids = family(self._first)
        self.before = self.peak = resident(pids)
        self._cpu, self._began = worked(pids), time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
        self.elapsed_s = time.monotonic() - self._began
        self.cpu_s = max(0.0, worked(family(self._first)) - self._cpu)

    def _weigh(self) -> None:
        pids, looked = family(self._first), time.monotonic()
        while not self._stop.wait(_LOOK_S):
            if time.monotonic() > looked + 1:
                pids, looked = family(self._first), time.monotonic()
            self.peak = max(self.peak, resident(pids))

    def _probe(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                answered = self._good()
            except OSError:
                answered = False
            self.worst_s = max(self.worst_s, time.monotonic() - began)
            self.asked += 1
            self.missed += not answered
            self._stop.wait(0.1)
