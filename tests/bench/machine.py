"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]


def facts() -> dict[str, object]:
    """Cores, processor, memory, kernel, Python, and how busy and how quick this machine is just now."""
    return {
        "cores": os.cpu_count() or 1,
        "processor": _processor(),
        "memory_mb": psutil.virtual_memory().total >> 20,
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_version()}, {platform.python_compiler()}, built {platform.python_build()[1]}",
        "at": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        **pace(),
    }


def pace() -> dict[str, object]:
    """load: processes that wanted to run in the last minute. pace_ms: a fixed piece of work, best of five, so that two runs compare."""
    return {"load": round(psutil.getloadavg()[0], 2), "pace_ms": round(min(_work() for _ in range(5)), 1)}


def _work() -> float:
    began = time.perf_counter()
    table: dict[int, str] = {}
    for number in range(100_000):
        table[number & 1023] = str(number)
    return (time.perf_counter() - began) * 1000


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
