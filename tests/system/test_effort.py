"""What a process has computed, and whether it waits: of real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from app.system import effort as efforts
from app.system.effort import Effort, effort, passed_s, thread_seconds
from tests.gateway import wait_for

SPIN = [sys.executable, "-c", "while True: pass"]


def of(pid: int) -> Effort:
    found = effort(pid)
    assert found is not None
    return found


@pytest.mark.parametrize("way", ["/proc", "psutil"])
def test_one_that_computes_grows_one_that_is_stopped_does_not(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "psutil":
        monkeypatch.setattr(efforts, "_LINUX", False)
    elif sys.platform != "linux":
        pytest.skip("/proc is Linux's")
    with subprocess.Popen(SPIN) as spinner:
        before = of(spinner.pid)
        assert not before.waits
        wait_for(lambda: of(spinner.pid).cpu_s > before.cpu_s + 0.2, "it to compute", 60)
        os.kill(spinner.pid, signal.SIGSTOP)
        wait_for(lambda: of(spinner.pid).waits, "it to be stopped")
        stopped = of(spinner.pid)
        time.sleep(0.3)
        assert of(spinner.pid).cpu_s == stopped.cpu_s
        os.kill(spinner.pid, signal.SIGCONT)
        wait_for(lambda: of(spinner.pid).cpu_s > stopped.cpu_s, "it to go on", 60)
        spinner.kill()
    assert effort(spinner.pid) is None


@pytest.mark.skipif(sys.platform != "linux", reason="the state is known on Linux alone")
def test_one_that_waits_where_no_signal_reaches_it_waits(tmp_path: Path) -> None:
    """As for a disk. Here the parent of a program whose start is held up: it waits in the kernel until that one has begun."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    code = (
        "import os, sys\n"
        "print(flush=True)\n"
        "os.posix_spawn('/bin/true', ['true'], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 0, sys.argv[1], os.O_RDONLY, 0)])\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(fifo)], stdout=subprocess.PIPE) as waiting:
        wait_for(lambda: of(waiting.pid).waits, "it to wait")
        with fifo.open("w"):
            pass
        assert waiting.wait(20) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="threads have their own numbers on Linux alone")
def test_threads_are_told_apart() -> None:
    stop = threading.Event()
    numbers: list[int] = []

    def spin() -> None:
        numbers.append(threading.get_native_id())
        while not stop.is_set():
            pass

    threads = [threading.Thread(target=spin), threading.Thread(target=lambda: (numbers.append(threading.get_native_id()), stop.wait()))]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    spinner, sleeper = numbers
    before = thread_seconds(os.getpid())
    try:
        wait_for(lambda: thread_seconds(os.getpid())[spinner] > before[spinner] + 0.3, "it to compute", 60)
        assert thread_seconds(os.getpid())[sleeper] - before[sleeper] < 0.1
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_nobody_is_asked_of_a_process_that_is_none() -> None:
    assert effort(0) is None or sys.platform == "darwin"
    assert effort(2**22 + 5) is None
    assert thread_seconds(2**22 + 5) == {}


def test_the_clock_goes_on() -> None:
    before = passed_s()
    time.sleep(0.05)
    assert passed_s() > before


@pytest.mark.skipif(sys.platform != "linux", reason="it has another one elsewhere")
def test_the_clock_does_not_sleep() -> None:
    assert abs(passed_s() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 60
    assert passed_s() >= time.monotonic() - 1
