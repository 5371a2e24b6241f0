from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.system.folders import private_folder
from app.system.paths import Paths
from tests.control.server import ControlServer


@dataclass
class Ran:
    code: int
    out: str
    err: str


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder with a short name, and a runtime folder of its own."""
    short = Path(tempfile.mkdtemp(prefix="gh-"))
    (short / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short / "run"))
    yield short / "data"
    shutil.rmtree(short)


@pytest.fixture
def server(folder: Path) -> Iterator[ControlServer]:
    runtime = Paths(folder).runtime
    private_folder(runtime)
    with ControlServer(runtime) as running:
        yield running


@pytest.fixture
def gatehouse(folder: Path) -> Callable[..., Ran]:
    """Runs the command as a process of its own, for the data folder of `folder`."""

    def run(*words: str, stdin: str | None = None) -> Ran:
        command = [sys.executable, "-m", "app", *words, "--data-dir", str(folder)]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def here(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs the command inside this process, which is quicker."""
    from app.cli import main

    def run(*words: str) -> Ran:
        code = main([*words, "--data-dir", str(folder)])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run
