"""What whoever runs the tests may do on this machine: found out by doing it, never by asking who they are.

`@pytest.mark.needs("root")` skips a test where that is not possible, and says what was tried and refused. Started as root,
`packaging/dev.py test` runs the cases of ROOTS as root and everything else as an ordinary user.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

# What an ordinary user never may. Root in a container may have some of it only: the reason names what is missing.
ROOTS = ("root", "hidden processes", "raw sockets", "a network of root's", "an unchangeable file")


@cache
def refused(right: str) -> str:
    """ "" where it can be done, otherwise why not."""
    try:
        return _TRIED[right]()
    except (OSError, AttributeError) as error:  # a system without the call has not got it
        return f"{right}: {type(error).__name__}: {error}"


def _root() -> str:
    """Give a file to another user, and read one that is closed to everybody."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "needs root"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "file"
        file.write_bytes(b"")
        try:
            os.chown(file, 12345, 12345)
        except OSError as error:
            return f"needs CAP_CHOWN, which this root has not ({error.strerror})"
        file.chmod(0)
        try:
            file.read_bytes()
        except OSError as error:
            return f"needs CAP_DAC_OVERRIDE, which this root has not ({error.strerror})"
    return ""


def _processes() -> str:
    """Look into a process that does not want to be looked into: PR_SET_DUMPABLE is 4 (linux/prctl.h)."""
    if sys.platform != "linux":
        return "read from /proc"
    script = "import ctypes, sys; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as hidden:
        assert hidden.stdout is not None
        hidden.stdout.readline()
        try:
            Path(f"/proc/{hidden.pid}/environ").read_bytes()
            os.listdir(f"/proc/{hidden.pid}/fd")
        except PermissionError:
            return "needs CAP_SYS_PTRACE: the kernel shows a process that closed itself to root alone"
        finally:
            hidden.communicate()
    return ""


def _raw() -> str:
    if sys.platform != "linux":
        return "packet sockets are Linux's"
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except PermissionError:
        return "needs CAP_NET_RAW"
    return ""


def _network(*unshare: str) -> str:
    if sys.platform != "linux":
        return "namespaces are Linux's"
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return "needs unshare and ip"
    made = subprocess.run(["unshare", *unshare, "ip", "link", "set", "lo", "up"], capture_output=True, text=True, check=False)
    return "" if made.returncode == 0 else f"no network of its own can be made ({made.stderr.strip()[:200]})"


def _disk() -> str:
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return "namespaces are Linux's"
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", "mount -t tmpfs -o size=1m none /mnt"]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if made.returncode == 0 else f"no file system can be mounted ({made.stderr.strip()[:200]})"


def _unchangeable() -> str:
    chattr = shutil.which("chattr")
    if chattr is None:
        return "there is no chattr"
    with tempfile.TemporaryDirectory() as folder:
        tried = subprocess.run([chattr, "+i", folder], capture_output=True, text=True, check=False)
        subprocess.run([chattr, "-i", folder], capture_output=True, check=False)
    return "" if tried.returncode == 0 else f"needs CAP_LINUX_IMMUTABLE and a disk that knows it ({tried.stderr.strip()[:200]})"


def _ordinary() -> str:
    """Be refused: root opens what nobody may."""
    with tempfile.TemporaryDirectory() as folder:
        closed = Path(folder) / "closed"
        closed.mkdir(mode=0)
        try:
            os.listdir(closed)
        except PermissionError:
            return ""
        finally:
            closed.chmod(0o700)
    return "needs an ordinary user: root opens what is closed to everybody"


_TRIED: dict[str, Callable[[], str]] = {
    "root": _root,
    "hidden processes": _processes,
    "raw sockets": _raw,
    "a network of root's": lambda: _root() or _network("-nm"),
    "a network of its own": lambda: _network("-Urnm"),
    "a network": lambda: _network("-Urnm") and _network("-nm"),
    "a disk of its own": _disk,
    "an unchangeable file": _unchangeable,
    "an ordinary user": _ordinary,
}
