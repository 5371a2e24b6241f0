"""Who may import whom: the contracts of `pyproject.toml` hold, and each of them can break."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = {
    contract["id"]: contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}

# One forbidden line for each contract: the file, and what somebody might write into it.
PLANTED = {
    "layers": ("core/errors.py", "import app.system.paths"),
    "keeper": ("keeper/links.py", "import asyncio"),
    "gui": ("gui/format.py", "import app.system.keyrings"),
    "qt": ("engine/routing.py", "import PySide6.QtCore"),
    "pure": ("wire/sse.py", "import socket"),
    "http": ("engine/exchange.py", "import httptools"),
    "sql": ("engine/recorder.py", "import sqlalchemy"),
    "keyring": ("keeper/vault.py", "import keyring"),
    "keyrings": ("engine/accounts.py", "import app.system.keyrings"),
    "pages": ("gui/pages/home.py", "import app.gui.pages.activity"),
    "dialects": ("wire/anthropic.py", "import app.wire.openai_chat"),
}


def lint(folder: Path) -> dict[str, bool]:
    """Contract -> whether it is kept, for the `app` and the `pyproject.toml` in `folder`."""
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-I", "-c", code, "--no-cache", "--no-logo"]
    out = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env={"COLUMNS": "400", "PATH": "/usr/bin:/bin"})
    found = {}
    for identifier, name in CONTRACTS.items():
        said = re.search(rf"^{re.escape(name)} (KEPT|BROKEN)", out.stdout, re.MULTILINE)
        assert said, out.stdout + out.stderr
        found[identifier] = said[1] == "KEPT"
    return found


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "app", tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_contract_is_kept(copy: Path) -> None:
    assert lint(copy) == dict.fromkeys(CONTRACTS, True)


def test_every_contract_breaks_when_it_is_broken(copy: Path) -> None:
    """A line inside a function counts, too: late imports are no way around."""
    assert set(PLANTED) == set(CONTRACTS)
    for file, line in PLANTED.values():
        with (copy / "app" / file).open("a", encoding="utf-8") as source:
            source.write(f"\n\ndef planted() -> None:\n    {line}\n")
    assert lint(copy) == dict.fromkeys(CONTRACTS, False)


def test_a_package_that_no_layer_names_is_noticed(copy: Path) -> None:
    (copy / "app" / "helpers").mkdir()
    (copy / "app" / "helpers" / "__init__.py").write_text("")
    assert lint(copy)["layers"] is False


def test_of_egress_the_keeper_may_use_what_the_contract_leaves_out_and_nothing_new() -> None:
    """The contract lists the forbidden modules of `egress`; a new one must be put on the list or be one of the three allowed."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    forbidden = next(contract["forbidden_modules"] for contract in contracts if contract["id"] == "keeper")
    modules = {path.stem for path in (ROOT / "app" / "egress").glob("*.py")} - {"__init__", "guard", "tripwire", "witness"}
    assert {f"app.egress.{name}" for name in modules} <= set(forbidden)
    assert {path.name for path in (ROOT / "app").iterdir() if path.is_dir() and (path / "__init__.py").exists()} >= {
        "cli", "control", "core", "egress", "engine", "gui", "keeper", "providers", "store", "system", "wire",
    }  # fmt: skip
