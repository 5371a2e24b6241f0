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


def window(how: str, *wrapped: str) -> tuple[dict[str, Any], str]:
    environment = {
        name: os.environ[name] for name in ("PATH", "HOME", "DISPLAY", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS") if name in os.environ
    }
    done = subprocess.run(
        [*wrapped, sys.executable, "-c", WINDOW, str(ROOT), how], capture_output=True, text=True, timeout=60, check=False,
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
