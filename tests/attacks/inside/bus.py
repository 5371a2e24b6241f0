"""A session bus of the kit's own, with services on it that note who calls them: a key store, a manager of programs, a portal."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.attacks.inside.planted import dbus

SERVICES: Final = ("org.freedesktop.secrets", "org.freedesktop.systemd1", "org.freedesktop.portal.Desktop")
_CONFIGURATION: Final = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/><allow user="*"/></policy></busconfig>
"""


class Bus:
    """called: (service, member) in their order."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "bus"
        configuration = folder / "bus.conf"
        configuration.write_text(_CONFIGURATION.format(path=self.path))
        self._process = subprocess.Popen(
            ["dbus-daemon", f"--config-file={configuration}", "--nofork", "--print-address"], stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self.called: list[tuple[str, str]] = []
        self._socks: list[socket.socket] = []
        try:
            assert self._process.stdout is not None
            if not self._process.stdout.readline():
                raise OSError("the bus did not start")
            for name in SERVICES:
                self._serve(name)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def here(folder: Path) -> Bus | None:
        """None where there is no daemon."""
        if shutil.which("dbus-daemon") is None:
            return None
        try:
            return Bus(folder)
        except OSError:
            return None

    @property
    def environment(self) -> dict[str, str]:
        return {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={self.path}"}

    def close(self) -> None:
        for sock in self._socks:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self._process.terminate()
        self._process.wait(10)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _serve(self, name: str) -> None:
        sock = dbus.connect(str(self.path))
        self._socks.append(sock)
        dbus.call(sock, 2, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "RequestName", name, "\0004")
        dbus.answer(sock, 2)
        sock.settimeout(None)
        threading.Thread(target=self._hear, args=(sock, name), daemon=True).start()

    def _hear(self, sock: socket.socket, name: str) -> None:
        serial = 10
        with suppress(OSError, ValueError):
            while True:
                message = dbus.receive(sock)
                if message.kind == dbus.CALL:
                    self.called.append((name, message.member))
                    serial += 1
                    dbus.reply(sock, serial, message)
