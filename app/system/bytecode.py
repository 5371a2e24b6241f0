"""Compiled code of the program, written before a process is locked that could not write it.

Python keeps what it compiled beside each source file and uses it at the next start. Engine and window may not write there, so after an
update each of their starts would compile everything again. What is compiled is what the keeper runs anyway; it is not run here.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from importlib.util import MAGIC_NUMBER, cache_from_source
from pathlib import Path
from typing import Final

_PATIENCE_S: Final = 60.0
_HEAD: Final = 16  # PEP 552: the magic number, flags, and of the source: when it was changed, and its size


def renew(package: Path) -> bool:
    """Compile what is missing or of other sources; whether anything was. Never an error: without it a start takes longer."""
    if getattr(sys, "frozen", False) or sys.dont_write_bytecode or not os.access(package, os.W_OK) or is_fresh(package):
        return False
    command = [sys.executable, "-I", "-S", "-X", "utf8", "-W", "ignore", "-m", "compileall", "-q", os.fspath(package)]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(
            command, check=False, cwd=package, env=dict(os.environ), timeout=_PATIENCE_S,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    return True


def is_fresh(package: Path) -> bool:
    """Whether every source file in it has its compiled code. One that cannot be read counts as compiled: nothing would change that."""
    for folder, _, files in os.walk(package):
        for name in files:
            if name.endswith(".py") and not _is_compiled(os.path.join(folder, name)):  # noqa: PTH118 - some hundred files at each start
                return False
    return True


def _is_compiled(source: str) -> bool:
    try:
        facts = os.stat(source)  # noqa: PTH116
    except OSError:
        return True
    try:
        with open(cache_from_source(source), "rb") as file:  # noqa: PTH123
            head = file.read(_HEAD)
    except OSError:
        return False
    if head[:4] != MAGIC_NUMBER:
        return False
    expected = (int(facts.st_mtime) & 0xFFFFFFFF).to_bytes(4, "little") + (facts.st_size & 0xFFFFFFFF).to_bytes(4, "little")
    return head[4:8] != b"\0\0\0\0" or head[8:] == expected
