"""The command that an export is checked with is one that can be pasted, whatever the folder is called."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.gateway import gateway

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX")


def test_the_command_that_is_printed_checks_the_export(tmp_path: Path) -> None:
    odd = tmp_path / "My $(exports) & 'more'"
    odd.mkdir()
    with gateway(tmp_path / "data", vault="session") as one:
        for verb in (("audit", "export"), ("network", "report")):
            said = one.cli(*verb, str(odd / verb[0])).stdout
            (command,) = (line.partition(" with: ")[2] for line in said.splitlines() if " with: " in line)
            program, _, rest = command.partition(" ")
            assert program == "python"
            done = subprocess.run(["/bin/sh", "-c", f'"{sys.executable}" {rest}'], capture_output=True, text=True, check=False)
            assert done.returncode == 0, (command, done.stdout, done.stderr)
