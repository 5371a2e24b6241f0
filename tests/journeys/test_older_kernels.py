"""The whole program on kernels that offer less: it works, and the Network page says what is not refused there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.control.client import ControlClient
from app.system import landlock
from app.system.paths import Paths
from tests.gateway import wait_for

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(landlock.version() < 6, reason="NOT PROVED HERE: this kernel has no Landlock of version 6")

# The child as the keeper starts it, but that the kernel seems to be another one.
CHILD = """
import os, sys
most, root = int(sys.argv.pop(1)), sys.argv.pop(1)
sys.path.append(root)
from app.system import environment, landlock
sys.path += os.environ.pop(environment.MODULES).split(os.pathsep)
offered = landlock.version()
landlock.version = lambda: min(offered, most)
from app.__main__ import main
sys.exit(main())
"""
KEEPER = """
import sys
from pathlib import Path
from app.keeper.main import Options, run
child, most, root, folder, words = sys.argv[1:]
command = lambda verb: [sys.executable, "-I", "-S", "-X", "utf8", child, most, root, verb]
sys.exit(run(Options(data_dir=Path(folder), port=0, vault="passphrase", passphrase_file=Path(words), window=False, command=command)))
"""


@contextmanager
def serving(folder: Path, most: int) -> Iterator[ControlClient]:
    child = folder.parent / "child.py"
    child.write_text(CHILD)
    passphrase = folder.parent / "passphrase"
    passphrase.write_text("correct horse battery staple\n")
    words = [sys.executable, "-P", "-c", KEEPER, str(child), str(most), str(ROOT), str(folder), str(passphrase)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("ready ")
            with ControlClient(Paths(folder).control) as control:
                wait_for(lambda: control.snapshot().state == "running", "the gateway to run")
                yield control
        finally:
            process.terminate()
            process.wait(20)


SAID = {
    0: ("guarded", "missing", "The engine: this kernel has no Landlock."),
    1: ("kernel", "partial", "Version 1 of this kernel does not know emptying files, TCP, signals and abstract sockets."),
    2: ("kernel", "partial", "Version 2 of this kernel does not know emptying files, TCP, signals and abstract sockets."),
    4: ("kernel", "partial", "Version 4 of this kernel does not know signals and abstract sockets."),
    6: ("kernel", "active", ""),
}


@pytest.mark.parametrize("most", SAID)
def test_the_page_says_what_this_kernel_does_not_refuse(most: int, tmp_path: Path) -> None:
    level, state, reason = SAID[most]
    with serving(tmp_path / "data", most) as control:
        assert control.echo().row.status == 200
        view = control.network()
        log = (tmp_path / "data" / "logs" / "keeper.log").read_text()
    belt = next(layer for layer in view.layers if layer.name == "Landlock")
    assert (view.level, belt.state, belt.reason) == (level, state, reason)
    assert next(layer for layer in view.layers if layer.name == "Kernel filter").state == "active"
    engine = next(process for process in view.processes if process.role == "engine")
    assert engine.landlock_version == most
    assert bool(engine.open) == (level == "guarded")
    if level == "guarded":
        assert "The engine is not wholly locked: the system did not refuse" in view.level_reason
        assert f"is guarded; not refused: {', '.join(engine.open)}" in log
