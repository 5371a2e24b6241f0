"""Another user was there first: the gateway starts all the same, its own user finds it, and everybody else is turned away."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.system.paths import Paths
from tests.gateway import Gateway, gateway
from tests.strangers import STRANGER, common_ground, needs_root, run_as

pytestmark = needs_root

CONNECT = """
s = socket.socket(socket.AF_UNIX)
s.settimeout(10)
try:
    s.connect(sys.argv[1])
    s.sendall(b"GET /v0/snapshot HTTP/1.1\\r\\nhost: gatehouse\\r\\n\\r\\n")
    print(s.recv(12).decode())
except OSError as error:
    print(type(error).__name__)
"""


@pytest.fixture
def ground(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with common_ground() as folder:
        monkeypatch.setenv("TMPDIR", str(folder))
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        yield folder


@pytest.fixture
def data() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="gh-", dir="/tmp"))
    yield folder / "data"
    shutil.rmtree(folder)


@pytest.mark.parametrize("shape", ["a folder", "a link", "a link in their folder"])
def test_a_squatted_folder_stops_nobody(ground: Path, data: Path, monkeypatch: pytest.MonkeyPatch, shape: str) -> None:
    taken = ground / f"gatehouse-{os.geteuid()}"
    if shape == "a link":
        taken.symlink_to(ground)
    else:
        taken.mkdir(mode=0o755)
        if shape == "a link in their folder":
            (taken / Paths(data).runtime.name).symlink_to(ground)
    os.chown(taken, STRANGER, STRANGER, follow_symlinks=False)
    before = sorted(os.listdir(ground))
    with gateway(data) as one:
        control = Paths(data).control
        assert not control.resolve().is_relative_to(ground)
        assert one.cli_json("status")["state"] == "running"
        added = one.cli("client", "add", "editor").stdout
        assert added.startswith("sk-gh-")
        monkeypatch.setenv("TMPDIR", "/nonexistent")  # as a shell that was started otherwise
        monkeypatch.setenv("XDG_RUNTIME_DIR", "/nonexistent")
        assert "editor" in one.cli("client", "list").stdout
        assert one.cli("serve", "--port", "0", check=3).stderr.startswith("Gatehouse already runs")
        assert sorted(os.listdir(ground)) == before
    assert not control.exists()


def test_another_user_is_turned_away_also_when_the_folders_are_open(ground: Path, data: Path) -> None:
    with gateway(data) as one:
        control = Paths(data).control
        assert run_as(STRANGER, CONNECT, str(control)).strip() == "PermissionError"
        opened = (control.parent.parent, control.parent)
        try:
            for level in opened:
                level.chmod(0o755)
            control.chmod(0o666)
            assert run_as(STRANGER, CONNECT, str(control)).strip() == "HTTP/1.1 403"
        finally:
            for level in opened:
                level.chmod(0o700)
        assert one.cli_json("status")["state"] == "running"


@pytest.mark.parametrize("planted", ["a link", "open to all", "theirs"])
def test_a_data_folder_that_another_user_prepared_is_refused_in_one_sentence(ground: Path, data: Path, planted: str) -> None:
    home = ground / "home"
    home.mkdir(mode=0o700)
    data.mkdir(mode=0o700)
    if planted == "theirs":
        os.chown(data, STRANGER, STRANGER)
    else:
        (data / "logs").symlink_to(home)
        os.chown(data / "logs", STRANGER, STRANGER, follow_symlinks=False)
        if planted == "open to all":
            data.chmod(0o777)
    one = Gateway(data)
    done = one.cli("serve", "--port", "0", *one.arguments, check=1)
    assert not done.stdout
    assert done.stderr.count("\n") == 1
    assert "data" in done.stderr
    assert "--data-dir" in done.stderr
    assert list(home.iterdir()) == []
    assert sorted(os.listdir(data)) == ([] if planted == "theirs" else ["logs"])
