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


def report(folder: Path) -> str:
    """What the linter says of the `app` and the `pyproject.toml` in `folder`."""
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-I", "-c", code, "--no-cache", "--no-logo"]
    environment = {"COLUMNS": "400", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    return done.stdout + done.stderr


def lint(folder: Path) -> dict[str, bool]:
    """Contract -> whether it is kept."""
    out = report(folder)
    found = {}
    for identifier, name in CONTRACTS.items():
        said = re.search(rf"^{re.escape(name)} (KEPT|BROKEN)", out, re.MULTILINE)
        assert said, out
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


def test_of_egress_the_keeper_may_use_three_modules_and_no_other(copy: Path) -> None:
    """Modules that come later are forbidden until the contract names them."""
    allowed = {"guard", "tripwire", "witness"}
    others = {path.stem for path in (ROOT / "app" / "egress").glob("[a-z]*.py")} - allowed
    with (copy / "app" / "keeper" / "links.py").open("a", encoding="utf-8") as source:
        source.writelines(f"\n\ndef planted_{name}() -> None:\n    import app.egress.{name}\n" for name in sorted(allowed))
    assert lint(copy)["keeper"] is True
    with (copy / "app" / "keeper" / "links.py").open("a", encoding="utf-8") as source:
        source.writelines(f"\n\ndef planted_{name}() -> None:\n    import app.egress.{name}\n" for name in sorted(others))
    said = report(copy)
    assert {name for name in others if re.search(rf"app\.keeper\.links -> app\.egress\.{name}\b", said)} == others


def test_every_package_is_there() -> None:
    assert {path.name for path in (ROOT / "app").iterdir() if (path / "__init__.py").exists()} >= {
        "cli", "control", "core", "egress", "engine", "gui", "keeper", "providers", "store", "system", "wire",
    }  # fmt: skip
