"""After an update the locked processes find compiled code, as they could not write it."""

from __future__ import annotations

import os
import py_compile
import shutil
import sys
from pathlib import Path

import pytest

import app
from app.system import bytecode
from tests.gateway import Gateway, wait_for


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    made = tmp_path / "program"
    (made / "part").mkdir(parents=True)
    (made / "__init__.py").write_text("")
    (made / "part" / "one.py").write_text("A = 1\n")
    return made


def test_what_is_missing_or_of_another_source_is_compiled_and_what_is_fresh_is_not(package: Path) -> None:
    one = package / "part" / "one.py"
    assert bytecode.renew(package)
    assert not bytecode.renew(package)
    one.write_text("A = 22\n")
    assert bytecode.renew(package)
    facts = one.stat()
    os.utime(one, (facts.st_atime, facts.st_mtime - 1000))  # an older version of the same size
    assert bytecode.renew(package)
    (compiled,) = (package / "part" / "__pycache__").iterdir()
    compiled.write_bytes(b"")
    assert bytecode.renew(package)
    assert not bytecode.renew(package)
    py_compile.compile(str(one), invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    assert not bytecode.renew(package)


def test_a_source_that_does_not_compile_stops_nobody(package: Path) -> None:
    (package / "broken.py").write_text("def")
    assert bytecode.renew(package)
    assert (package / "part" / "__pycache__").is_dir()


def test_nothing_of_the_program_runs_while_it_is_compiled(package: Path, tmp_path: Path) -> None:
    for name in ("__init__.py", "json.py", "compileall.py", "sitecustomize.py"):
        (package / name).write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    assert bytecode.renew(package)
    assert not (tmp_path / "ran").exists()


def test_where_python_is_told_to_keep_nothing_nothing_is_kept(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert not bytecode.renew(package)
    assert not (package / "__pycache__").exists()


def test_the_engine_of_an_updated_program_is_started_from_compiled_code(tmp_path: Path) -> None:
    root = tmp_path / "checkout"
    shutil.copytree(Path(app.__file__).parent, root / "app", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(Path(app.__file__).parent.parent / "resources", root / "resources")
    code = f"import sys; sys.path.insert(0, {str(root)!r}); from app.__main__ import main; sys.exit(main())"
    started = Gateway(tmp_path / "data", vault="session")
    started.program = [sys.executable, "-P", "-c", code]
    with started:
        wait_for((root / "app" / "engine" / "__pycache__").is_dir, "compiled code of the engine")
        assert bytecode.is_fresh(root / "app")
