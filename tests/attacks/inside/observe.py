"""What can be seen from outside: files, processes, who was called. Nothing here trusts what a taken process says."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import struct
import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tests.attacks import wire

Picture = dict[str, tuple[object, ...]]


# -- files


def picture(places: Iterable[Path], *, deep: bool = False) -> Picture:
    """What these places are, and, for folders, what is in them: kind, mode, owner, links, size, time, content, attributes."""
    found: Picture = {}
    for place in places:
        found[str(place)] = _facts(place)
        if place.is_dir() and not place.is_symlink():
            inside = place.rglob("*") if deep else place.iterdir()
            found |= {str(path): _facts(path) for path in inside if path.name != "__pycache__"}
    return found


def _facts(path: Path) -> tuple[object, ...]:
    try:
        info = path.lstat()
    except OSError:
        return ("nothing",)
    kind = stat.S_IFMT(info.st_mode)
    content = ""
    if stat.S_ISREG(info.st_mode) and info.st_size < 8 << 20:
        with suppress(OSError):
            content = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    elif stat.S_ISLNK(info.st_mode):
        content = os.readlink(path)
    names: tuple[str, ...] = ()
    if hasattr(os, "listxattr"):
        with suppress(OSError):
            names = tuple(sorted(os.listxattr(path, follow_symlinks=False)))
    times = () if stat.S_ISDIR(info.st_mode) else (info.st_size, info.st_mtime_ns, info.st_nlink)
    return (kind, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, content, names, *times)


def changed(before: Picture, after: Picture) -> list[str]:
    """The places that are not as they were."""
    return sorted(place for place in before.keys() | after.keys() if before.get(place) != after.get(place))


# -- processes


def words_of(pid: int) -> list[str]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    return []


def status_of(pid: int) -> dict[str, str]:
    """/proc/PID/status; {} when the process is gone."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return {}


def treatment(pid: int) -> dict[str, object]:
    """How the system treats a process: limits, niceness, processors, and what it would lose in a shortage of memory."""
    found: dict[str, object] = {}
    with suppress(OSError):
        found["limits"] = Path(f"/proc/{pid}/limits").read_text()
        found["nice"] = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[15:17]
        found["oom"] = Path(f"/proc/{pid}/oom_score_adj").read_text()
        found["name"] = Path(f"/proc/{pid}/comm").read_text()
        found["processors"] = sorted(os.sched_getaffinity(pid))
        found["policy"] = os.sched_getscheduler(pid)
    return found


def descriptors(pid: int) -> int:
    """How many it holds; 0 where that cannot be seen."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


class Bystander:
    """A program of the same user that has nothing to do with any of it."""

    def __init__(self) -> None:
        code = "import signal, time\nsignal.pthread_sigmask(signal.SIG_SETMASK, [])\nprint('up', flush=True)\nwhile True: time.sleep(60)"
        self._process = subprocess.Popen([sys.executable, "-I", "-c", code], stdout=subprocess.PIPE, start_new_session=True)
        assert self._process.stdout is not None
        self._process.stdout.readline()
        self.pid = self._process.pid

    def state(self) -> str:
        """ "" when nothing happened to it."""
        if (code := self._process.poll()) is not None:
            return f"it ended with {code}"
        state = status_of(self.pid).get("State", "")
        return f"it is {state}" if state[:1] in "TtZ" else ""

    def close(self) -> None:
        self._process.kill()
        self._process.wait(10)
        if self._process.stdout is not None:
            self._process.stdout.close()


# -- who is called


class Listener:
    """Sockets on the loopback that nothing declares: they stand for the internet. Who reaches one is noted with what it said."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self.reached: list[tuple[int, str]] = []
        self.port = self.another()

    def another(self, host: str = wire.HOST) -> int:
        made = socket.create_server((host, 0))
        self._sockets.append(made)
        port: int = made.getsockname()[1]
        threading.Thread(target=self._serve, args=(made, port), daemon=True).start()
        return port

    def at(self, port: int) -> list[str]:
        return [said for where, said in self.reached if where == port]

    def close(self) -> None:
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _serve(self, made: socket.socket, port: int) -> None:
        while True:
            try:
                sock, _ = made.accept()
            except OSError:
                return
            with sock, suppress(OSError):
                sock.settimeout(0.5)
                said = ""
                with suppress(TimeoutError):
                    said = sock.recv(200).decode(errors="replace")
                self.reached.append((port, said))


class Resolver:
    """The only name server that the gateway knows, where root can arrange that: notes every name and knows none."""

    def __init__(self, folder: Path) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        address = ".".join(map(str, [127, *os.urandom(2), 53]))  # kits that run beside this one have their own
        try:
            self._sock.bind((address, 53))
        except OSError:
            self._sock.close()
            raise
        self._sock.settimeout(0.2)
        self._closed = False
        self.asked: list[str] = []
        self._file = folder / "resolv.conf"
        self._file.write_text(f"nameserver {address}\noptions timeout:1 attempts:1\n")
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @staticmethod
    def here(folder: Path) -> Resolver | None:
        try:
            made = Resolver(folder)
        except OSError:
            return None
        done = subprocess.run([*made.around(), "true"], capture_output=True, check=False)
        if done.returncode != 0:
            made.close()
            return None
        return made

    def around(self) -> list[str]:
        """Words before a command, in whose eyes this is the system's name server."""
        mount = 'mount --bind "$0" "$(readlink -f /etc/resolv.conf)" && exec "$@"'
        return ["/usr/bin/env", "unshare", "--mount", "--propagation", "private", "sh", "-c", mount, str(self._file)]

    def close(self) -> None:
        self._closed = True
        self._thread.join(5)
        self._sock.close()

    def _serve(self) -> None:
        while not self._closed:
            try:
                question, asker = self._sock.recvfrom(2_000)
            except TimeoutError:
                continue
            except OSError:
                return
            labels, at = [], 12
            with suppress(IndexError):
                while question[at]:
                    labels.append(question[at + 1 : at + 1 + question[at]].decode("ascii", "replace"))
                    at += question[at] + 1
                self.asked.append(".".join(labels).lower())
            with suppress(OSError):
                self._sock.sendto(question[:2] + b"\x81\x83" + struct.pack("!HHHH", 1, 0, 0, 0) + question[12:], asker)
