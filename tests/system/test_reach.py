"""What a locked window can still ask: real listeners at the places where a desktop has them, and a real window process that is locked."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from app.system import reach, sandbox

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel takes no lock")
MACHINES_OWN = frozenset({"system bus", "name resolver"})  # there or not, whatever a test does


class Desk:
    """Sockets in a folder of the test; each listener notes nothing, the test reads what came."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack, self.folder = stack, folder

    def listen(self, address: str | bytes | Path) -> socket.socket:
        made = self._stack.enter_context(socket.socket(socket.AF_UNIX))
        if isinstance(address, Path):
            address.parent.mkdir(parents=True, exist_ok=True)
            address = str(address)
        made.bind(address)
        made.listen()
        made.settimeout(5)
        return made


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with ExitStack() as stack:
        yield Desk(stack, tmp_path)


def own(found: tuple[str, ...]) -> tuple[str, ...]:
    """Without what this machine itself has running: the system's, and a session of whoever runs the tests."""
    here = reach.programs({})
    return tuple(name for name in found if name not in here)


def locked(role: str, environment: dict[str, str]) -> sandbox.Locks:
    script = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); from app.system import sandbox; "
        "print(json.dumps(sandbox.lock(sys.argv[2]).fields()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(ROOT), role], capture_output=True, text=True, env={"PATH": os.environ["PATH"]} | environment,
        check=True,
    )  # fmt: skip
    return sandbox.Locks.of(json.loads(done.stdout))


def test_a_window_without_a_desktop_is_held_whole() -> None:
    locks = locked("window", {"QT_QPA_PLATFORM": "offscreen"})
    assert set(locks.reach) == set(reach.programs({}))
    assert own(locks.reach) == ()
    assert locks.holds
    assert locks.level == ("desktop" if locks.reach else "kernel")


def test_a_window_on_a_desktop_is_held_but_for_what_answers_there_and_nothing_is_sent(desk: Desk) -> None:
    folder = desk.folder
    listeners = [
        desk.listen(folder / "run" / "bus"), desk.listen(folder / "run" / "wayland-7"), desk.listen(folder / "run/systemd/private"),
        desk.listen(f"\0/tmp/.X11-unix/X{40_000 + os.getpid() % 20_000}"),
    ]  # fmt: skip
    environment = {"XDG_RUNTIME_DIR": str(folder / "run"), "WAYLAND_DISPLAY": "wayland-7", "DISPLAY": f":{40_000 + os.getpid() % 20_000}.0"}
    locks = locked("window", environment)
    assert {"session bus", "service manager", "Wayland screen", "X11 screen"} <= set(locks.reach)
    assert (locks.open, locks.seccomp, locks.holds, locks.level) == ((), "", True, "desktop")
    for listener in listeners:
        with listener.accept()[0] as came:
            assert came.recv(100) == b""
    for role in ("engine", "vault"):
        assert locked(role, environment).reach == ()
        assert locked(role, environment).level == "kernel"


def test_the_lock_is_not_what_finds_the_default_bus_when_the_environment_names_another(desk: Desk) -> None:
    """A proxy named in the environment would not be the only way: the bus itself is where everybody knows it."""
    desk.listen(desk.folder / "bus")
    given = {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent/proxy", "XDG_RUNTIME_DIR": str(desk.folder)}
    assert "session bus" in locked("window", given).reach


@pytest.mark.parametrize(
    ("address", "answers"),
    [
        ("unix:path={path}", True),
        ("unix:path={path},guid=1234", True),
        ("unix:path={escaped}", True),
        ("unix:abstract={abstract}", True),
        ("unix:path=/nonexistent;unix:path={path}", True),
        ("unix:path={path}.other", False),
        ("unix:path={silent}", False),
        ("unix:path=" + "x" * 300, False),
        ("unix:abstract={abstract}2", False),
        # No socket to try: what nobody can try is not said to be refused.
        ("autolaunch:", True),
        ("unixexec:path=/usr/bin/ssh", True),
        ("unix:tmpdir=/tmp", True),
        ("nonsense", True),
        ("", False),
    ],
)
def test_the_bus_is_found_however_its_address_is_written(address: str, answers: bool, desk: Desk) -> None:
    path = desk.folder / "a bus"
    desk.listen(path)
    abstract = f"gatehouse-test-{os.getpid()}"
    desk.listen(f"\0{abstract}")
    silent = desk.folder / "silent"
    desk.listen(silent).close()
    given = address.format(path=path, escaped=str(path).replace(" ", "%20"), abstract=abstract, silent=silent)
    if "session bus" in reach.programs({}):
        pytest.skip("whoever runs this has a session bus at the known place")
    assert ("session bus" in reach.programs({"DBUS_SESSION_BUS_ADDRESS": given})) == answers


@pytest.mark.parametrize("display", ["", "localhost:1", ":", ":x", ":1:2", "unix:/etc/passwd", ":99999999", "\x00"])
def test_a_screen_that_is_none_is_not_found(display: str) -> None:
    assert "X11 screen" not in reach.programs({"DISPLAY": display})


def test_somebody_who_is_too_busy_to_answer_is_there(desk: Desk) -> None:
    listener = socket.socket(socket.AF_UNIX)
    with listener, ExitStack() as stack:
        listener.bind(str(desk.folder / "bus"))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
            waiting.setblocking(False)
            waiting.connect_ex(str(desk.folder / "bus"))
        assert "session bus" in reach.programs({"XDG_RUNTIME_DIR": str(desk.folder)})


def fields(**changes: Any) -> sandbox.Locks:
    return sandbox.Locks(**({"role": "window", "pid": os.getpid(), "seccomp": "", "landlock": "", "landlock_version": 7, "hidden": False,
                             "open": (), "reach": ()} | changes))  # fmt: skip


def test_the_level_is_the_lowest_of_what_was_tried_and_goes_through_a_message() -> None:
    assert fields().level == "kernel"
    assert fields(reach=("session bus",)).level == "desktop"
    for broken in (fields(open=("connect",), reach=("session bus",)), fields(seccomp="not there", reach=("session bus",))):
        assert (broken.level, broken.holds) == ("guarded", False)
    for each in (fields(), fields(reach=("session bus", "X11 screen"))):
        assert sandbox.Locks.of(json.loads(json.dumps(each.fields()))) == each
    without = fields().fields()
    del without["reach"]
    with pytest.raises(ValueError, match="not a description"):
        sandbox.Locks.of(without)
