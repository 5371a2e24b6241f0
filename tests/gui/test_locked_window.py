"""Qt on a real screen, in a process that is locked as the window is: what the filter refuses must be nothing that Qt needs."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from app.system.system_calls import MACHINES

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in MACHINES or not os.environ.get("DISPLAY"), reason="needs Linux and an X server"
)

WINDOW = r"""
import json, os, sys
sys.path.insert(0, sys.argv[1])
from app.system import sandbox
locks = sandbox.lock("window") if sys.argv[2] == "locked" else sandbox.measure("window", "not asked", "not asked", 0)
from PySide6.QtCore import QEventLoop, QThread, QTimer
from PySide6.QtGui import QColor, QGuiApplication, QPixmap, QIcon
from PySide6.QtWidgets import QApplication, QFileDialog, QListView, QMainWindow, QSystemTrayIcon
said = {"holds": locks.holds, "reach": locks.reach}
application = QApplication([])
said["platform"] = application.platformName()
def spin(milliseconds):
    loop = QEventLoop(); QTimer.singleShot(milliseconds, loop.quit); loop.exec()
window = QMainWindow(); window.resize(400, 300); window.setStyleSheet("background: #204060"); window.show(); spin(400)
said["colour"] = window.screen().grabWindow(window.winId(), 50, 50, 1, 1).toImage().pixelColor(0, 0).name()
QGuiApplication.clipboard().setText("copied"); said["clipboard"] = QGuiApplication.clipboard().text()
dialog = QFileDialog(window, "Where", "/"); dialog.setOption(QFileDialog.Option.DontUseNativeDialog); dialog.show(); spin(600)
said["files"] = sum(view.model().rowCount(view.rootIndex()) for view in dialog.findChildren(QListView))
said["dialog"] = dialog.isVisible(); dialog.close()
class Worker(QThread):
    def run(self): said.setdefault("threads", []).append(1)
for priority in (QThread.Priority.InheritPriority, QThread.Priority.LowPriority, QThread.Priority.NormalPriority):
    worker = Worker(); worker.start(priority); worker.wait()
pixmap = QPixmap(16, 16); pixmap.fill(QColor("red")); tray = QSystemTrayIcon(QIcon(pixmap)); tray.show(); spin(200)
from PySide6.QtDBus import QDBusConnection
said["bus"] = QDBusConnection.sessionBus().isConnected()
maps = open("/proc/self/maps").read(); said["shared"] = "SYSV" in maps or "memfd:xorg" in maps
print(json.dumps(said))
"""


DESKTOP = r"""
import json, subprocess, sys
sys.path.insert(0, sys.argv[1])
host = subprocess.Popen([sys.executable, "-c", sys.argv[3]], stdout=subprocess.PIPE, text=True)
assert host.stdout.readline() == "up\n"
from app.system import sandbox
locks = sandbox.lock("window")
from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtDBus import QDBusConnection, QDBusMessage, QDBusVariant
from PySide6.QtGui import QAccessible, QColor, QIcon, QPixmap
from PySide6.QtWidgets import QApplication, QMainWindow, QSystemTrayIcon
application = QApplication([]); window = QMainWindow(); window.show()
def spin(done):
    loop = QEventLoop(); timer = QTimer(); timer.timeout.connect(lambda: done() and loop.quit()); timer.start(20)
    QTimer.singleShot(15000, loop.quit); loop.exec()
pixmap = QPixmap(16, 16); pixmap.fill(QColor("red")); tray = QSystemTrayIcon(QIcon(pixmap)); tray.show()
spin(QSystemTrayIcon.isSystemTrayAvailable)
said = {"holds": locks.holds, "reach": locks.reach, "tray": QSystemTrayIcon.isSystemTrayAvailable(), "before": QAccessible.isActive()}
status = QDBusMessage.createMethodCall("org.a11y.Bus", "/org/a11y/bus", "org.freedesktop.DBus.Properties", "Set")
status.setArguments(["org.a11y.Status", "IsEnabled", QDBusVariant(True)]); QDBusConnection.sessionBus().call(status)
spin(QAccessible.isActive); said["after"] = QAccessible.isActive()
said["item"] = host.stdout.readline().strip()
print(json.dumps(said))
"""

# What a panel does: it owns the watcher's name and hears of an icon (StatusNotifierItem specification).
HOST = r"""
from jeepney import HeaderFields, MessageType, new_error, new_method_return
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import open_dbus_connection
bus = open_dbus_connection(bus="SESSION"); bus.send_and_get_reply(message_bus.RequestName("org.kde.StatusNotifierWatcher", 0))
print("up", flush=True)
while True:
    try: heard = bus.receive()
    except ConnectionError: break
    if heard.header.message_type != MessageType.method_call: continue
    member = heard.header.fields.get(HeaderFields.member)
    if member == "Get": bus.send(new_method_return(heard, "v", (("b", True),)))
    elif member == "RegisterStatusNotifierItem": print("item", flush=True); bus.send(new_method_return(heard))
    else: bus.send(new_error(heard, "org.freedesktop.DBus.Error.UnknownMethod"))
"""


def window(how: str) -> tuple[dict[str, Any], str]:
    environment = {
        name: os.environ[name] for name in ("PATH", "HOME", "DISPLAY", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS") if name in os.environ
    }
    done = subprocess.run(
        [sys.executable, "-c", WINDOW, str(ROOT), how], capture_output=True, text=True, timeout=60, check=False,
        env=environment | {"QT_QPA_PLATFORM": "xcb"},
    )  # fmt: skip
    assert done.returncode == 0, (done.returncode, done.stderr)
    return json.loads(done.stdout), done.stderr


@pytest.mark.parametrize("manager", ["", "openbox"])
def test_a_locked_window_does_on_a_screen_what_an_unlocked_one_does(manager: str) -> None:
    if manager and which(manager) is None:
        pytest.skip(f"needs {manager}")
    managing = subprocess.Popen([manager], stderr=subprocess.DEVNULL) if manager else None
    try:
        free, before = window("free")
        held, after = window("locked")
    finally:
        if managing is not None:
            managing.kill()
            managing.wait()
    assert (free.pop("holds"), held.pop("holds")) == (False, True)
    assert free.pop("reach") == []
    assert "X11 screen" in held.pop("reach")
    assert held == free
    assert held["files"] > 0  # listed by a thread that starts with a priority
    assert (held["platform"], held["colour"], held["dialog"], held["threads"]) == ("xcb", "#204060", True, [1, 1, 1])
    assert after == before  # no warning of Qt's that an unlocked one has not


@pytest.mark.skipif(
    which("dbus-run-session") is None or not Path("/usr/share/dbus-1/services/org.a11y.Bus.service").exists(),
    reason="needs D-Bus and AT-SPI",
)
def test_a_locked_window_has_an_icon_in_a_panel_and_speaks_to_a_screen_reader_that_comes_later(tmp_path: Path) -> None:
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "DISPLAY", "XAUTHORITY") if name in os.environ}
    done = subprocess.run(
        ["dbus-run-session", "--", sys.executable, "-c", DESKTOP, str(ROOT), "locked", HOST], capture_output=True, text=True, timeout=90,
        check=False, env=environment | {"QT_QPA_PLATFORM": "xcb", "XDG_RUNTIME_DIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, (done.returncode, done.stderr)
    said = json.loads(done.stdout.splitlines()[-1])  # the services that the bus starts speak, too
    assert {"session bus", "X11 screen"} <= set(said.pop("reach"))
    assert said == {"holds": True, "tray": True, "before": False, "after": True, "item": "item"}
