"""The window as the process it is: started by a keeper with a channel, and ended by it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.system.channel import Channel
from tests.gui.desk import Server, exchange

ROOT = Path(__file__).resolve().parents[2]


class Child:
    """`python -m app gui` with this test as its keeper."""

    def __init__(self, server: Server, data_dir: Path) -> None:
        ours, theirs = socket.socketpair()
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app", "gui", "--channel", str(theirs.fileno())],
            cwd=ROOT, pass_fds=(theirs.fileno(),), env=environment | {"QT_QPA_PLATFORM": "offscreen"}, stderr=subprocess.PIPE,
        )  # fmt: skip
        theirs.close()
        self.channel = Channel(ours)
        self.boot = {
            "op": "boot",
            "data_dir": str(data_dir),
            "control": str(server.control),
            "port": 4141,
            "tray": True,
            "version": "0.1.0",
        }

    def asked(self, server: Server, path: str) -> None:
        end = time.monotonic() + 20
        while not any(found.startswith(path) for _method, found, _body in server.asked):
            assert time.monotonic() < end
            assert self.process.poll() is None, self.process.stderr.read() if self.process.stderr else ""
            time.sleep(0.02)

    def ended(self) -> int:
        code = self.process.wait(15)
        assert self.process.stderr is not None
        assert b"Traceback" not in self.process.stderr.read()
        return code

    def kill(self) -> None:
        self.channel.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()


@pytest.fixture
def child(server: Server, data_dir: Path) -> Iterator[Child]:
    server.rows = [exchange(number) for number in range(10)]
    made = Child(server, data_dir)
    yield made
    made.kill()


def test_it_follows_the_engine_and_ends_when_the_keeper_says_so(child: Child, server: Server) -> None:
    child.channel.send(child.boot)
    child.channel.send({"op": "engine", "state": "up", "restarts": 0, "next_s": None, "exit": None, "log": [], "at_us": 0})
    child.channel.send({"op": "proof", "ok": True, "message": "", "at_us": 0})
    child.asked(server, "/v0/activity")
    child.channel.send({"op": "show"})
    child.channel.send({"op": "quit"})
    assert child.ended() == 0


def test_it_ends_with_its_keeper(child: Child, server: Server) -> None:
    child.channel.send(child.boot)
    child.asked(server, "/v0/events")
    child.channel.close()
    assert child.ended() == 0


def test_a_keeper_that_dies_before_the_boot_leaves_no_window(child: Child) -> None:
    child.channel.close()
    assert child.ended() == 0


def test_sigterm_is_a_quit_for_all(child: Child, server: Server) -> None:
    child.channel.send(child.boot)
    child.asked(server, "/v0/events")
    child.process.send_signal(signal.SIGTERM)
    received = child.channel.receive()
    while received is not None and received[0]["op"] in ("locks", "tripped"):  # what the keeper watches
        assert received[0]["op"] == "locks", received[0]
        received = child.channel.receive()
    assert received is not None
    assert received[0] == {"op": "quit", "reason": "a signal asked for it"}
    child.channel.close()
    assert child.ended() == 0


def test_a_person_who_types_the_verb_is_told(data_dir: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "app", "gui"], cwd=ROOT, capture_output=True, timeout=30, check=False)
    assert done.returncode == 2
    assert done.stderr.decode().strip() == "This verb is for Gatehouse itself, which starts it with a channel."


def test_the_first_picture_loads_nothing_it_does_not_need() -> None:
    code = """
import json, sys
import app.gui.main
from app.gui.pages.home import HomePage
print(json.dumps(sorted(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=30, check=True)
    loaded = set(json.loads(done.stdout))
    never = {
        "PySide6.QtNetwork",
        "PySide6.QtQml",
        "PySide6.QtWebEngineCore",
        "sqlalchemy",
        "sqlcipher3",
        "keyring",
        "aiohttp",
        "cryptography",
        "qtawesome",
    }
    late = {"httpx2", "asyncio", "PySide6.QtSvg", "app.gui.pages.activity", "app.gui.sheets.add_provider", "app.gui.palette"}
    assert not loaded & (never | late)
