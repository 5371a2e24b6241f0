"""What processes cost: CPU time and resident memory by role, and starting and ending the helpers of a run."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psutil  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[2]
ROLES = ("engine", "gui", "vault", "writer")


@dataclass(frozen=True, slots=True)
class Memory:
    """Megabytes. pss counts a page shared by n processes as 1/n of it; None where the system does not tell."""

    rss: float
    pss: float | None


class Family:
    """A process and its children. Children of ours are told apart by their role, any other shares the name of the first."""

    def __init__(self, name: str, pid: int) -> None:
        self._name = name
        self._first = psutil.Process(pid)

    def members(self) -> dict[str, psutil.Process]:
        found = {self._name: self._first}
        for child in self._first.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                words = child.cmdline()
                role = next((word for word in words[1:] if word in ROLES), f"{self._name}-{child.pid}")
                found[role] = child
        return found

    def cpu_us(self) -> dict[str, float]:
        """User and system time of each member so far."""
        spent: dict[str, float] = {}
        for role, process in self.members().items():
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                spent[role] = (times.user + times.system) * 1e6
        return spent

    def memory(self) -> dict[str, Memory]:
        sizes: dict[str, Memory] = {}
        for role, process in self.members().items():
            with contextlib.suppress(psutil.Error):
                full = process.memory_full_info()
                pss = getattr(full, "pss", None)
                sizes[role] = Memory(full.rss / 2**20, None if pss is None else pss / 2**20)
        return sizes

    def pids(self) -> dict[str, int]:
        return {role: process.pid for role, process in self.members().items()}


class Meter:
    """CPU microseconds by role between `with` and its end. RuntimeError when a process was replaced meanwhile."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self.spent: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._pids = self._lasting()
        self._before = self._family.cpu_us()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            return
        after = self._family.cpu_us()
        self.spent = {role: used - self._before.get(role, 0.0) for role, used in after.items()}
        if self._lasting() != self._pids:
            raise RuntimeError("a process died under load")

    def _lasting(self) -> dict[str, int]:
        return {role: pid for role, pid in self._family.pids().items() if role != "vault"}  # the vault's ends by itself

    def total_us(self) -> float:
        return sum(self.spent.values())


@contextlib.contextmanager
def running(words: Sequence[str], *, environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A helper with pipes as input and output, in a session of its own so that ^C reaches it only through us; ended on the way out."""
    process = subprocess.Popen(
        list(words), cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=os.name == "posix"
    )
    try:
        yield process
    finally:
        end(process)


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def end(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    """End a process and its children: asked first, killed when it does not listen."""
    children: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        children = psutil.Process(process.pid).children(recursive=True)
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
    _, alive = psutil.wait_procs(children, timeout=5)
    for child in alive:
        with contextlib.suppress(psutil.Error):
            child.kill()
    pipes: tuple[IO[bytes] | IO[str] | None, ...] = (process.stdin, process.stdout, process.stderr)
    for pipe in pipes:
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def until(condition: Callable[[], bool], what: str, timeout_s: float = 30.0) -> None:
    """Wait for it. TimeoutError with `what`."""
    limit = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > limit:
            raise TimeoutError(f"waited {timeout_s:g} s for {what}")
        time.sleep(0.01)


def more_descriptors() -> None:
    """Allow this process as many open files as it may have: thousands of streams need more than the usual 1,024."""
    if sys.platform != "win32":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65_536) if most != resource.RLIM_INFINITY else 65_536, most))
