"""The window is killed: requests go on, the window comes back; a window that is asked to end takes everything with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from app.system import reach
from tests.gateway import ROOT, Gateway, free_port, wait_for
from tests.journeys.test_engine_dies import alive


class Desktop(Gateway):
    """The whole app: keeper, engine and a window (offscreen, so that it needs no display)."""

    without: tuple[str, ...] = ()  # variables that it is not told

    def start(self, port: int = 0) -> Gateway:
        port = port or free_port()
        hidden = ("PYTHONDONTWRITEBYTECODE", *self.without)
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        environment["QT_QPA_PLATFORM"] = "offscreen"
        command = [sys.executable, "-m", "app", "--data-dir", str(self.folder), "--port", str(port), *self.arguments]
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{port}"
        self.wait_open()
        return self

    def wait_open(self) -> None:
        def running() -> bool:
            try:
                with self.control() as control:
                    return control.snapshot().state == "running"
            except Exception:
                return False

        wait_for(running, "the gateway to run")
        wait_for(lambda: "gui" in self.pids(), "the window")


@pytest.fixture
def desktop(tmp_path: Path) -> Iterator[Desktop]:
    one = Desktop(tmp_path / "data")
    one.start()
    yield one
    one.stop()


def test_a_killed_window_comes_back_and_no_request_notices(desktop: Desktop) -> None:
    sdk = openai.OpenAI(base_url=f"{desktop.url}/v1", api_key=desktop.client(), max_retries=0)
    before = desktop.pids()
    words = "one two three " * 2_000
    stream = sdk.chat.completions.create(model="gatehouse/echo", messages=[{"role": "user", "content": words}], stream=True)
    first = next(iter(stream)).choices
    os.kill(before["gui"], signal.SIGKILL)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in [*stream] if chunk.choices)
    assert first and text.endswith("three ")
    after = wait_for(lambda: (now := desktop.pids()).get("gui", before["gui"]) != before["gui"] and now, "another window")
    assert (after["keeper"], after["engine"]) == (before["keeper"], before["engine"])
    assert sdk.chat.completions.create(model="gatehouse/echo", messages=[{"role": "user", "content": "still"}]).choices


def test_a_window_that_is_told_to_end_quits_everything(desktop: Desktop) -> None:
    pids = desktop.pids()
    os.kill(pids["gui"], signal.SIGTERM)
    wait_for(lambda: not any(alive(pid) for pid in pids.values()), "every process to end", 30)
    assert desktop.process is not None
    assert desktop.process.wait(5) == 0


def test_when_the_keeper_is_killed_the_others_follow(desktop: Desktop) -> None:
    pids = desktop.pids()
    os.kill(pids["keeper"], signal.SIGKILL)
    wait_for(lambda: not any(alive(pid) for role, pid in pids.items() if role != "keeper"), "window and engine to end", 8)


@pytest.mark.skipif(sys.platform != "linux", reason="where the kernel holds engine and window")
@pytest.mark.parametrize("bus", [True, False])
def test_the_level_says_whether_the_window_can_ask_the_desktop(bus: bool, tmp_path: Path) -> None:
    desktop = Desktop(tmp_path / "data")
    desktop.without = () if bus else ("DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY")
    given = {name: os.environ[name] for name in ("DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "XDG_RUNTIME_DIR") if name in os.environ}
    expected = reach.programs({name: value for name, value in given.items() if name not in desktop.without})
    desktop.start()
    try:
        with desktop.control() as control:
            wait_for(lambda: all(each.measured for each in control.network().processes), "the window to say how it is locked")
            view = control.network()
            levels = {each.role: each.level for each in view.processes}
            assert levels["engine"] == "kernel"
            assert levels["window"] == view.level == ("desktop" if expected else "kernel"), view.level_reason
            assert all(name in view.level_reason for name in expected)
        tried = json.loads(desktop.cli("--json", "network", "selftest", check=None).stdout)
        assert {each["result"] for each in tried if each["process"] == "window"} <= {"kernel", "absent"}
        said = desktop.cli("network", "status").stdout
        assert ("Enforced by the kernel, desktop in reach since" in said) == bool(expected)
        entries = [entry for entry in desktop.cli_json("audit", "list", "--limit", "50") if entry["kind"] == "egress.level"]
        assert any(view.level in str(entry) for entry in entries)
    finally:
        desktop.stop()
