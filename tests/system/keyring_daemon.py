"""A real session bus and a real GNOME Keyring on it, with a home of their own; nothing is started by itself, nobody can be asked."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from shutil import which

import pytest

PASSWORD = "a test's password"
CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path={folder}/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>
"""
# What the login of GNOME calls: the daemon takes the password itself.
_UNLOCK = """
import secretstorage
from jeepney import DBusAddress, new_method_call
bus = secretstorage.dbus_init()
place, name = "/org/freedesktop/secrets", "org.freedesktop.secrets"
service = DBusAddress(place, name, "org.freedesktop.Secret.Service")
inner = DBusAddress(place, name, "org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface")
session = bus.send_and_get_reply(new_method_call(service, "OpenSession", "sv", ("plain", ("s", "")))).body[1]
secret = (session, b"", {password!r}.encode(), "text/plain")
bus.send_and_get_reply(new_method_call(inner, "UnlockWithMasterPassword", "o(oayays)", (place + "/aliases/default", secret)))
assert not secretstorage.Collection(bus).is_locked()
"""


class KeyringDaemon:
    """A bus from the start; the keyring's daemon when it is started."""

    def __init__(self, folder: Path) -> None:
        if which("dbus-daemon") is None or which("gnome-keyring-daemon") is None:
            pytest.skip("needs dbus-daemon and gnome-keyring-daemon (packages dbus and gnome-keyring)")
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(parents=True, mode=0o700)
        configuration = folder / "bus.conf"
        configuration.write_text(CONFIGURATION.format(folder=folder))
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(folder),
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={folder}/bus",
        }
        self._daemon: subprocess.Popen[bytes] | None = None
        self.find_bus()

    def find_bus(self) -> None:
        self._bus = subprocess.Popen(
            ["dbus-daemon", f"--config-file={self.folder / 'bus.conf'}", "--nofork"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait((self.folder / "bus").exists)

    def lose_bus(self) -> None:
        """The session's bus dies, and the keyring's daemon, which lives on it, with it."""
        self._bus.kill()
        self._bus.wait()
        (self.folder / "bus").unlink(missing_ok=True)
        self.stop()

    def start(self, password: str | None = PASSWORD) -> None:
        """The daemon, unlocked with the password (which makes the keyring the first time), or as it starts without one: locked."""
        self.stop()
        command = ["gnome-keyring-daemon", "--foreground", "--components=secrets"]
        self._daemon = subprocess.Popen(
            command if password is None else [*command, "--unlock"],
            env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert self._daemon.stdin is not None
        with self._daemon.stdin as stdin:
            stdin.write((password or "").encode())
        wait(self._answers)

    def lock(self) -> None:
        """Start it again without the password."""
        self.start(None)

    def lock_collection(self) -> None:
        """As a screen lock or seahorse does it, while the daemon runs."""
        self.tool("import secretstorage as s; s.Collection(s.dbus_init()).lock()")

    def unlock_collection(self) -> None:
        """As another program does it, without a question."""
        self.tool(_UNLOCK.format(password=PASSWORD))

    def stop(self) -> None:
        if self._daemon is not None:
            self._daemon.kill()
            self._daemon.wait()
            self._daemon = None

    def close(self) -> None:
        self.stop()
        self._bus.kill()
        self._bus.wait()

    def tool(self, code: str) -> str:
        """What a Python program prints that looks at the keyring from outside."""
        done = subprocess.run([sys.executable, "-c", code], env=self.environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def _answers(self) -> bool:
        command = ["dbus-send", "--session", "--print-reply", "--dest=org.freedesktop.DBus", "/org/freedesktop/DBus"]
        command += ["org.freedesktop.DBus.NameHasOwner", "string:org.freedesktop.secrets"]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        return "boolean true" in done.stdout


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "the session bus or the keyring did not come up"
        time.sleep(0.02)
