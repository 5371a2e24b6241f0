"""Commands with which a person checks the program from outside, with tools that others wrote, for each system.

Sources: ss(8), strace(1), tcpdump(1), lsof(8), nettop(1) of macOS, Get-NetTCPConnection, Get-NetUDPEndpoint and pktmon of Windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from PySide6.QtCore import QSysInfo

from app.control.contract import NetworkView
from app.gui.words import tr

Platform = Literal["linux", "macos", "windows"]
PLATFORMS: Final[Mapping[Platform, str]] = {"linux": "Linux", "macos": "macOS", "windows": "Windows"}
_KERNELS: Final[Mapping[str, Platform]] = {"darwin": "macos", "winnt": "windows"}


@dataclass(frozen=True, slots=True)
class Command:
    name: str
    text: str


def here() -> Platform:
    """The system this window runs on."""
    return _KERNELS.get(QSysInfo.kernelType(), "linux")


def commands(view: NetworkView) -> dict[Platform, tuple[Command, ...]]:
    """For the processes that run now and the hosts that are declared now."""
    pids = [str(each.pid) for each in view.processes]
    engine = next((str(each.pid) for each in view.processes if each.role == "engine"), "0")
    hosts = " or ".join(f"host {each.host}" for each in view.destinations if not each.local and each.declared)
    others = f'"not ({hosts})"' if hosts else ""
    now, packets = tr("Sockets of these processes now"), tr("Packets, from outside the app")
    return {
        "linux": (
            Command(now, f'sudo ss -tunp | grep -E "pid=({"|".join(pids)}),"'),
            Command(tr("Every network call of the engine"), f"sudo strace -f -e trace=network -p {engine}"),
            Command(tr("The lock on the engine"), f"grep -E 'Seccomp|NoNewPrivs' /proc/{engine}/status"),
            Command(packets, f"sudo tcpdump -n -i any {others}".rstrip()),
            Command(tr("Whole app in a sealed network"), "unshare -Urnm .venv/bin/python -m tests.packet.inside result.json"),
        ),
        "macos": (
            Command(now, f"sudo lsof -nP -i -a -p {','.join(pids)}"),
            Command(tr("Connections and bytes, as they happen"), f"sudo nettop -n {' '.join(f'-p {pid}' for pid in pids)}"),
            Command(packets, f"sudo tcpdump -n {others}".rstrip()),
        ),
        "windows": (
            Command(now, f"Get-NetTCPConnection -OwningProcess {','.join(pids)}"),
            Command(tr("Datagram sockets of these processes"), f"Get-NetUDPEndpoint -OwningProcess {','.join(pids)}"),
            Command(tr("Names this machine asked for"), "Get-DnsClientCache"),
            Command(packets, "pktmon start --capture --log-mode real-time"),
        ),
    }
