"""Nothing that is bundled can fetch: what the program imports, what that is linked to, and what a real window has in its memory."""

from __future__ import annotations

import ast
import importlib.util
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from shutil import which
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the list is Linux's")

# Modules that make connections by themselves, and the one place of ours that may import one: the client of the control socket.
CLIENTS = {
    "aiohttp", "ftplib", "grpc", "h2", "http.client", "http.server", "httpcore2", "httpx2", "imaplib", "multiprocessing", "nntplib",
    "poplib", "requests", "smtplib", "socketserver", "telnetlib", "urllib.request", "urllib3", "webbrowser", "websockets", "xmlrpc",
    "xmlrpc.client", "xmlrpc.server",
}  # fmt: skip
MAY = {"httpx2": {"app/control/client.py", "app/control/connection.py"}, "httpcore2": {"app/control/connection.py"}}


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bundle", ROOT / "packaging" / "bundle.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


BUNDLE = script()
LISTED = (ROOT / "packaging" / "bundle.txt").read_text(encoding="utf-8").splitlines()


def test_the_window_imports_four_modules_of_qt_and_none_that_fetches() -> None:
    assert BUNDLE.modules() == ["QtCore", "QtDBus", "QtGui", "QtWidgets"]


def test_no_module_of_the_program_imports_a_client_of_its_own() -> None:
    found: dict[str, set[str]] = {}
    for path in (ROOT / "app").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            for name in names:
                if name in CLIENTS or name.partition(".")[0] in CLIENTS:
                    found.setdefault(name.partition(".")[0], set()).add(path.relative_to(ROOT).as_posix())
    assert {name: files - MAY.get(name, set()) for name, files in found.items() if files - MAY.get(name, set())} == {}


def test_nothing_on_the_list_can_fetch() -> None:
    assert BUNDLE.fetching(LISTED) == []


@LINUX
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the list is made on one machine")
def test_the_list_is_what_the_installed_files_are_linked_to() -> None:
    assert BUNDLE.lines() == LISTED, "bundle.txt is old: run packaging/bundle.py"


@LINUX
@pytest.mark.parametrize(
    "plugin", ["platforms/libqvnc.so", "generic/libqtuiotouchplugin.so", "platforminputcontexts/libqtvirtualkeyboardplugin.so"]
)
def test_a_plugin_that_brings_the_network_would_be_found(plugin: str) -> None:
    qt = BUNDLE.installed() / "Qt"
    brought = BUNDLE.libraries(qt, [qt / "plugins" / plugin])
    assert "libQt6Network.so.6" in brought
    assert BUNDLE.fetching([f"library {name}" for name in brought])


def test_names_of_parts_that_fetch_are_recognised_in_every_form() -> None:
    bad = [
        "module QtNetwork", "module QtWebEngineCore", "module QtQml", "library libQt6QuickWidgets.so.6", "library libQt6WebSockets.so.6",
        "plugin networkinformation/libqnetworkmanager.so", "plugin designer/libqwebengineview.so", "plugin sqldrivers/libqsqlite.so",
    ]  # fmt: skip
    assert BUNDLE.fetching(bad) == bad
    assert BUNDLE.fetching(["module QtGui", "library libQt6Svg.so.6", "plugin platforms/libqxcb.so"]) == []


@LINUX
@pytest.mark.parametrize("screen", ["offscreen", "xcb"])
def test_a_window_has_nothing_of_qt_in_its_memory_that_is_not_on_the_list(screen: str) -> None:
    if screen == "xcb" and which("xvfb-run") is None:
        pytest.skip("needs xvfb-run")
    code = (
        "import importlib, pkgutil, app.gui\n"
        "from app.gui.main import make_application\n"
        "application = make_application()\n"
        "for module in pkgutil.walk_packages(app.gui.__path__, 'app.gui.'):\n    importlib.import_module(module.name)\n"
        "from app.gui import icons\nfrom app.gui.widgets import Button\n"
        "application.setWindowIcon(icons.application_icon())\n"
        "made = Button('Copy', glyph='copy')\nmade.show()\napplication.clipboard().text()\n"
        "for _ in range(20):\n    application.processEvents()\n"
        "made.grab()\nprint(application.platformName())\nprint(open('/proc/self/maps').read())\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        ["xvfb-run", "-a", *command] if screen == "xcb" else command,
        capture_output=True, text=True, check=False, cwd=ROOT, env=os.environ | {"QT_QPA_PLATFORM": screen},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == screen
    mapped = set(re.findall(r"PySide6/(?:Qt/plugins/|Qt/lib/)?(\S+?)(?:\.abi3)?\.so", done.stdout))
    known = {line.split()[1].partition(".so")[0] for line in LISTED} | {"libpyside6"}
    assert mapped - known == set()
    assert {"QtWidgets", "libQt6Core", f"platforms/libq{screen}"} <= mapped
