"""Children run what is ours, and nothing that only lies beside it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import app
from app.system.environment import Child

NAMES = ("json", "socket", "ctypes", "re", "dataclasses", "pathlib", "typing")

# Stands for the keeper. Its own modules are the standard library's, whatever was planted: it is the child that is tried.
KEEPER = """
import json, os, subprocess, sys
program, packages, home, child, flags = sys.argv[1:6]
sys.path += [program, packages]
from app.system.children import own_command
from app.system.environment import MODULES, constructed
environment = constructed(child, os.environ | {"HOME": home, "PYTHONPATH": packages, "PYTHONSTARTUP": home + "/startup.py"})
assert packages in environment[MODULES].split(os.pathsep)
command = own_command(child)
if flags:
    command = [sys.executable, *flags.split(), "-m", "app", child]
    environment["PYTHONPATH"] = os.pathsep.join([packages, program])
done = subprocess.run(command, env=environment, cwd=program, capture_output=True, text=True)
sys.exit(0 if flags or "for Gatehouse itself" in done.stderr else done.stderr)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of our package, and a folder of packages, in which somebody put code that writes its name into `notes` when it runs."""
    shutil.copytree(Path(app.__file__).parent, tmp_path / "program" / "app", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("site-packages", "home"):
        (tmp_path / name).mkdir()
    note = "import os; os.write(os.open({notes!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT), {name!r}.encode() + b'\\n')\n"
    plants = ["site-packages/zz.pth", "site-packages/sitecustomize.py", "site-packages/usercustomize.py", "home/startup.py"]
    plants += [f"{place}/{name}.py" for place in ("site-packages", "program") for name in NAMES]
    for name in plants:
        (tmp_path / name).write_text(note.format(notes=str(tmp_path / "notes"), name=name))
    return tmp_path


def ran(folder: Path, child: str, flags: str = "") -> set[str]:
    """What of the plants ran. flags: how else than we do the child is started."""
    places = [str(folder / name) for name in ("program", "site-packages", "home")]
    subprocess.run([sys.executable, "-I", "-c", KEEPER, *places, child, flags], check=True)
    notes = folder / "notes"
    return set(notes.read_text().split()) if notes.exists() else set()


@pytest.mark.parametrize("child", get_args(Child))
def test_nothing_that_lies_beside_our_packages_runs(child: Child, folder: Path) -> None:
    assert ran(folder, child) == set()


def test_started_otherwise_it_would_run_so_the_plants_are_real(folder: Path) -> None:
    """With the site's folders looked through, and packages before the standard library."""
    assert {"site-packages/sitecustomize.py", "site-packages/pathlib.py"} <= ran(folder, "engine", "-s -P")


def test_every_module_of_a_child_is_ours_a_package_or_the_standard_librarys(folder: Path) -> None:
    """And it is found without the site's help: the engine gets as far as asking for its channel."""
    assert ran(folder, "engine") == set()
    assert not list((folder / "program").rglob("*.pyc")), "a locked child writes nothing beside the program"
