"""What each process loads, read from real processes: no Qt in the engine, nothing heavy in the keeper, no network in the window."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("PySide6", "aiohttp", "asyncio", "cryptography", "httpx2", "keyring", "msgspec", "sqlalchemy", "sqlcipher3", "uvloop")


def loaded(code: str, **environment: str) -> set[str]:
    """The modules of a fresh interpreter after `code`."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_keeper_loads_nothing_heavy() -> None:
    modules = loaded("import app.__main__, app.cli, app.cli.arguments, app.keeper.main")
    assert not modules & set(HEAVY)
    assert not {name for name in modules if name.startswith(("app.engine", "app.gui"))}


def test_the_engine_loads_no_qt_and_no_keyring_and_not_the_keeper() -> None:
    modules = loaded("import app.engine.main, app.engine.server")
    assert not modules & {"PySide6", "shiboken6", "qtpy", "keyring", "secretstorage", "jeepney"}
    assert not {name for name in modules if name.startswith(("app.keeper", "app.gui"))}


def test_the_engine_starts_where_qt_is_not_installed() -> None:
    block = "import sys\nfor name in ('PySide6', 'shiboken6', 'keyring', 'secretstorage'): sys.modules[name] = None\n"
    loaded(block + "import app.engine.main, app.engine.server, app.engine.exchange, app.engine.control")


def test_the_command_line_loads_no_qt_no_engine_and_no_sql() -> None:
    modules = loaded("import app.cli, app.cli.verbs, app.cli.status, app.cli.follow, app.cli.arguments, app.control.connection")
    assert not modules & {"PySide6", "aiohttp", "sqlalchemy", "sqlcipher3", "keyring", "cryptography"}
    assert not {name for name in modules if name.startswith(("app.engine", "app.gui", "app.keeper", "app.store"))}


@pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")
def test_the_window_loads_no_network_no_web_and_no_secrets() -> None:
    """Not even as a shared library: a plugin of Qt could bring QtNetwork in unseen."""
    script = (
        "import sys, pkgutil, importlib, app.gui\n"
        "from PySide6.QtWidgets import QApplication\n"
        "application = QApplication(['window'])\n"
        "for module in pkgutil.walk_packages(app.gui.__path__, 'app.gui.'):\n"
        "    importlib.import_module(module.name)\n"
        "maps = open('/proc/self/maps').read()\n"
        "sys.modules.update({'map:' + name: sys for name in ('Qt6Network', 'Qt6WebEngine', 'Qt6Qml') if name in maps})\n"
    )
    modules = loaded(script, QT_QPA_PLATFORM="offscreen")
    assert "PySide6.QtWidgets" in modules
    assert not {name for name in modules if name.startswith(("map:", "PySide6.QtNetwork", "PySide6.QtWebEngine", "PySide6.QtQml"))}
    assert not modules & {"aiohttp", "cryptography", "keyring", "secretstorage", "sqlalchemy", "sqlcipher3"}
    assert not {name for name in modules if name.startswith(("app.engine", "app.keeper", "app.store", "app.providers", "app.wire"))}


def test_no_file_of_the_program_names_qts_network_or_web() -> None:
    root = Path(__file__).resolve().parents[2] / "app"
    words = ("Qt" + "Network", "Qt" + "WebEngine", "Qt" + "WebView", "Qt" + "Qml", "Qt" + "Quick", "Qt" + "WebSockets")
    naming = [
        path
        for path in root.rglob("*.py")
        if any(f"import {word}" in (text := path.read_text("utf-8")) or f"PySide6.{word}" in text for word in words)
    ]
    assert naming == []
