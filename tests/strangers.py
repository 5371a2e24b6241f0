"""Other users of the machine, for tests: processes that have given up root for a user of their own. Without root there are none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
STRANGER = 12345  # whoever attacks
PERSON = 54321  # whose gateway it is, where that is not root
is_root = sys.platform != "win32" and os.geteuid() == 0
needs_root = pytest.mark.needs("root")  # to start a process of another user

# Everything is imported first: the interpreter may lie in a folder that the other user cannot enter.
_BASE = """
import contextlib, encodings.ascii, importlib, io, json, os, pkgutil, socket, stat, sys, threading, time
from pathlib import Path

def become(uid):
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)

"""
PRELUDE = (
    _BASE
    + """
import app.cli, app.control, app.system
for package in (app.cli, app.control, app.system):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        if module.name not in ("app.system.keyrings", "app.system.shell_link"):
            importlib.import_module(module.name)
import platformdirs, grp, pwd
from app.core.errors import AppError
from app.control.client import ControlClient
with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
    app.cli.main(["status", "--data-dir", "/nonexistent/gatehouse"])
    with contextlib.suppress(Exception):
        ControlClient(Path("/nonexistent/gatehouse/control.sock")).snapshot()
    import httpx2, httpcore2
    with contextlib.suppress(Exception), httpx2.Client(base_url="http://127.0.0.1:9", trust_env=False) as warm:
        warm.get("/")
from app.system import instance, owners, paths, peers, places
"""
)

# Takes whatever comes, answers like a gateway, and says at the end how many connections and bytes there were.
_LISTEN = """
def listen(path, make=None):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o777)
    if make is not None:
        make()
    listener.listen()
    return listener

def serve(listener):
    seen = {"connections": 0, "bytes": 0}
    def each(client):
        with client:
            try:
                client.settimeout(5)
                while data := client.recv(65536):
                    seen["bytes"] += len(data)
                    client.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-type: application/json\\r\\ncontent-length: 2\\r\\n\\r\\n[]")
            except OSError:
                pass
    def accept():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            seen["connections"] += 1
            threading.Thread(target=each, args=(client,), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    print("listening", flush=True)
    sys.stdin.read()
    time.sleep(0.2)
    print(json.dumps(seen), flush=True)
    os._exit(0)
"""


def run_as(uid: int, script: str, *arguments: str, environment: dict[str, str] | None = None, stdin: str = "") -> str:
    """What `script` prints in a process of the user `uid`; `become(uid)` was called. `sys.argv[1:]` are the arguments."""
    done = subprocess.run(
        [sys.executable, "-c", f"{PRELUDE}{_LISTEN}become({uid})\n{script}", *arguments],
        cwd=ROOT, input=stdin, capture_output=True, text=True, timeout=60, check=False, env=bare_environment(environment),
    )  # fmt: skip
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return done.stdout


def command_as(uid: int, *words: str, environment: dict[str, str] | None = None, stdin: str = "") -> tuple[int, str, str]:
    """The command line, run by that user: exit code, output, errors."""
    script = "import json, sys\ncode = app.cli.main(json.loads(sys.argv[1]))\nsys.stdout.flush()\nos._exit(code)"
    done = subprocess.run(
        [sys.executable, "-c", f"{PRELUDE}become({uid})\n{script}", json.dumps(words)],
        cwd=ROOT, input=stdin, capture_output=True, text=True, timeout=60, check=False, env=bare_environment(environment),
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


class Listener:
    """A process that listens where it is told to. `seen()` ends it and says what it got."""

    def __init__(self, script: str, *arguments: str) -> None:
        """script: as root; makes `listener` with `listen(path)`, after `become(uid)` where it is to be somebody else's."""
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"{_BASE}{_LISTEN}{script}\nserve(listener)", *arguments],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=bare_environment(None),
        )  # fmt: skip
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "listening\n"

    def seen(self) -> dict[str, int]:
        out, _ = self._process.communicate()
        found: dict[str, int] = json.loads(out)
        return found

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.communicate()


@contextmanager
def common_ground() -> Iterator[Path]:
    """A temporary folder as the system's: everybody may write to it, and it has the sticky bit. With a short name, for sockets."""
    import shutil

    folder = Path(tempfile.mkdtemp(prefix="gh-", dir="/tmp"))
    folder.chmod(0o1777)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def bare_environment(given: dict[str, str] | None) -> dict[str, str]:
    """PATH, and what is given: neither a session folder nor a temporary folder of the one who runs the tests."""
    kept: dict[str, Any] = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONDONTWRITEBYTECODE") if name in os.environ}
    return {**kept, "HOME": "/nonexistent", **(given or {})}
