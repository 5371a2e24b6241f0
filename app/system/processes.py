"""Facts about processes: is one alive, is it still the same one, who holds a port; and what a process of ours refuses to reveal."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Final

_LISTEN: Final = "0A"
_DESCRIPTORS_WANTED: Final = 65536


def started_at(pid: int) -> str | None:
    """When a process began, as text that is equal only for the same process; None when there is none with this id.

    A process id is used again later; id and start together are not.
    """
    return _started_on_linux(pid) if sys.platform == "linux" else _started_elsewhere(pid)


def is_running(pid: int, started: str) -> bool:
    """Is the process that had this id and start still there?"""
    return pid > 0 and started_at(pid) == started


def end(pid: int, started: str, patience_s: float) -> bool:
    """Ask a process to end, and after `patience_s` make it. True when it is gone. Never touches a process that is not the one named."""
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        if not is_running(pid, started):
            return True
        with contextlib.suppress(OSError):
            os.kill(pid, number)
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if not is_running(pid, started):
                return True
            time.sleep(0.05)
    return not is_running(pid, started)


def port_holder(port: int) -> str:
    """Who listens on a TCP port of this machine, in words: `nginx (process 812)`, `a program of user ann`, or `another program`."""
    return (_holder_on_linux(port) if sys.platform == "linux" else _holder_elsewhere(port)) or "another program"


def harden() -> None:
    """No core dumps, and no other process of this user may read our memory. For processes that hold keys.

    Linux: PR_SET_DUMPABLE (prctl(2)); it is lost at exec, so every process does it for itself.
    """
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - POSIX only

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415

        ctypes.CDLL(None, use_errno=True).prctl(4, 0, 0, 0, 0)


def allow_many_descriptors() -> None:
    """Raise the soft limit of open descriptors as far as the system allows, for this process and its children."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - POSIX only

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS_WANTED)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def exit_words(code: int) -> str:
    """How a process ended: `exit code 1` or `killed by SIGSEGV`."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
        return f"killed by signal {-code}"
    return f"exit code {code}"


def _started_on_linux(pid: int) -> str | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else fields[19]  # proc(5): state is field 3, starttime field 22; a zombie is no process


def _started_elsewhere(pid: int) -> str | None:
    import psutil  # type: ignore[import-untyped]  # noqa: PLC0415 - has no stubs; 4 MB, needed elsewhere than on Linux only

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else str(process.create_time())
    except (psutil.Error, OSError, ValueError):  # it passes on what the system says, and refuses a number that is none
        return None


def _holder_on_linux(port: int) -> str:
    sockets: dict[str, int] = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    sockets[f"socket:[{fields[9]}]"] = int(fields[7])
    if not sockets:
        return ""
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        with contextlib.suppress(OSError):  # processes of other users do not show their descriptors
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(descriptor.readlink()) in sockets:
                        return f"{(process / 'comm').read_text(encoding='utf-8', errors='replace').strip()} (process {process.name})"
    return f"a program of user {_user_name(next(iter(sockets.values())))}"


def _user_name(user: int) -> str:
    if sys.platform != "win32":
        import pwd  # noqa: PLC0415 - POSIX only

        with contextlib.suppress(KeyError):
            return pwd.getpwuid(user).pw_name
    return str(user)


def _holder_elsewhere(port: int) -> str:
    import psutil  # noqa: PLC0415 - as above

    for process in psutil.process_iter(["name"]):
        with contextlib.suppress(psutil.Error, OSError):  # macOS shows other users' connections to root alone
            for connection in process.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                    return f"{process.info['name']} (process {process.pid})"
    return ""
