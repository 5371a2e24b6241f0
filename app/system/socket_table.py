"""Which internet sockets a process has, as the operating system says: asked beside the program that is watched, not of it.

On Linux a process that hides its memory hides its list of descriptors too, from the same user but not from an administrator; it still
sees its own. What could not be seen is told, never taken for empty.

Sources: proc(5), "/proc/pid/fd" and "/proc/net/tcp"; the states are those of include/net/tcp_states.h.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_STATES: Final = {1: "established", 2: "connecting", 3: "accepting", 10: "listening"}
_TABLES: Final = ("tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6", "icmp", "icmp6")
_PREFIX: Final = "socket:["
_PLACE: Final = Path("/proc/self/net")


@dataclass(frozen=True, slots=True)
class Socket:
    """protocol: tcp, udp, raw, ... local, remote: `address:port`, IPv6 in brackets. state: "" for what has none. inode: 0 if unknown."""

    pid: int
    protocol: str
    local: str
    remote: str
    state: str
    inode: int

    @property
    def local_port(self) -> int:
        return int(self.local.rpartition(":")[2])

    @property
    def remote_port(self) -> int:
        return int(self.remote.rpartition(":")[2])


@dataclass(frozen=True, slots=True)
class Table:
    """hidden: processes that exist and do not let us look. unread: the system's tables that are there and could not be read whole."""

    sockets: tuple[Socket, ...]
    hidden: tuple[int, ...]
    unread: tuple[str, ...] = ()


def look(pids: Iterable[int], place: Path = _PLACE) -> Table:
    """The internet sockets of these processes. A closing connection (its program has let go of it) is not among them.

    place: where Linux shows its tables.
    """
    return _look_on_linux(list(pids), place) if sys.platform == "linux" else _look_elsewhere(list(pids))


def clients_of(port: int, place: Path = _PLACE) -> dict[tuple[str, int], int]:
    """Which user of this machine has the other end of each connection to `port`, by that end's address and port. Empty where the system
    does not say, as elsewhere than on Linux."""
    found: dict[tuple[str, int], int] = {}
    if sys.platform == "linux":
        wanted = f":{port:04X} "
        for table in ("tcp", "tcp6"):
            with contextlib.suppress(OSError, ValueError, IndexError, struct.error):
                for line in (place / table).read_text(encoding="ascii").splitlines()[1:]:
                    if wanted in line:
                        _, local, remote, _, _, _, _, user, *_ = line.split(None, 8)
                        if remote.endswith(wanted[:-1]):
                            host, _, number = _place(local).rpartition(":")
                            found[host.strip("[]"), int(number)] = int(user)
    return found


def children(pid: int) -> list[int]:
    """What this process started and has not outlived, at every depth; [] where that cannot be asked cheaply."""
    found: list[int] = []
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            for task in (Path("/proc") / str(pid) / "task").iterdir():
                found += [int(word) for word in (task / "children").read_text().split()]
    return found + [deeper for child in found for deeper in children(child)]


def inode(sock: socket.socket) -> int:
    """The number by which the system's tables know a socket; 0 where there is none."""
    return os.fstat(sock.fileno()).st_ino if sys.platform == "linux" else 0


def _look_on_linux(pids: list[int], place: Path) -> Table:
    owners: dict[int, list[int]] = {}
    hidden, unread = [], []
    for pid in pids:
        try:
            numbers = list(_inodes(pid))
        except PermissionError:
            hidden.append(pid)
            continue
        except OSError:
            continue  # it has ended
        for number in numbers:
            owners.setdefault(number, []).append(pid)
    sockets: list[Socket] = []
    for protocol in (*_TABLES, "packet") if owners else ():
        try:
            lines = (place / protocol).read_text(encoding="ascii").splitlines()[1:]
        except FileNotFoundError:
            continue  # a kernel without this protocol
        except (OSError, UnicodeDecodeError):
            unread.append(protocol)
            continue
        for line in lines:
            try:
                number, local, remote, state = _packet_row(line) if protocol == "packet" else _row(protocol, line)
            except (ValueError, IndexError, OverflowError, struct.error):
                unread.append(protocol)
                break  # what follows a row that makes no sense makes none either
            sockets += [Socket(pid, protocol.removesuffix("6"), local, remote, state, number) for pid in owners.get(number, ())]
    return Table(tuple(sockets), tuple(hidden), tuple(unread))


def _inodes(pid: int) -> Iterator[int]:
    folder = f"/proc/{'self' if pid == os.getpid() else pid}/fd"
    for name in os.listdir(folder):  # noqa: PTH208 - the shorter way, many times a minute
        with contextlib.suppress(FileNotFoundError):
            where = os.readlink(f"{folder}/{name}")  # noqa: PTH115 - as above
            if where.startswith(_PREFIX):
                yield int(where[len(_PREFIX) : -1])


def _row(protocol: str, line: str) -> tuple[int, str, str, str]:
    """Inode (0: nobody's any more), both places, state."""
    fields = line.split()
    state = int(fields[3], 16)
    named = _STATES.get(state, "closing") if protocol.startswith("tcp") else ""
    return int(fields[9]), _place(fields[1]), _place(fields[2]), named


def _packet_row(line: str) -> tuple[int, str, str, str]:
    return int(line.split()[8]), "*:0", "*:0", ""


def _place(text: str) -> str:
    """`0100007F:102D` is 127.0.0.1:4141: words of 32 bits, each in the machine's order, here little-endian."""
    host, _, port = text.partition(":")
    if len(host) == 8:
        return f"{socket.inet_ntop(socket.AF_INET, struct.pack('=I', int(host, 16)))}:{int(port, 16)}"
    if len(host) != 32:
        raise ValueError("not an address")
    words = struct.pack("=4I", *(int(host[at : at + 8], 16) for at in range(0, 32, 8)))
    return f"[{socket.inet_ntop(socket.AF_INET6, words)}]:{int(port, 16)}"


def _look_elsewhere(pids: list[int]) -> Table:
    import psutil  # type: ignore[import-untyped]  # noqa: PLC0415 - has no stubs; 4 MB, needed elsewhere than on Linux only

    sockets, hidden = [], []
    for pid in pids:
        try:
            found = psutil.Process(pid).net_connections("inet")
        except psutil.NoSuchProcess:
            continue
        except (psutil.Error, OSError, ValueError):
            hidden.append(pid)
            continue
        for each in found:
            protocol = "tcp" if each.type == socket.SOCK_STREAM else "udp"
            state = {"LISTEN": "listening", "ESTABLISHED": "established", "SYN_SENT": "connecting", "NONE": ""}.get(each.status, "closing")
            sockets.append(Socket(pid, protocol, _pair(each.laddr), _pair(each.raddr), state, 0))
    return Table(tuple(sockets), tuple(hidden))


def _pair(address: tuple[str, int] | tuple[()]) -> str:
    if not address:
        return "*:0"
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
