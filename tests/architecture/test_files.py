"""What the project's files may not say: where packages come from, and where somebody keeps them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What tools make; `.gitignore` names it too.
MADE = {
    ".git", ".venv", ".venv.lock", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".import_linter_cache",
    "build", "dist",
}  # fmt: skip

# Put together here, because this file must not say them either.
HOSTS = [
    ".".join(parts)
    for parts in (
        ("py" + "pi", "org"), ("python" + "hosted", "org"), ("npm" + "js", "org"), ("npm" + "js", "com"), ("crates", "io"),
        ("gh" + "cr", "io"), ("docker", "io"), ("ana" + "conda", "org"), ("conda", "anaconda"), ("deb", "debian", "org"),
    )
]  # fmt: skip
PLACES = ["/" + "/".join(parts) + "/" for parts in (("work", "main"), ("work", "shared"), ("root",), ("opt", "py" + "pi"), ("tmp", "plan"))]


def files(root: Path = ROOT) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in MADE and not name.endswith(".egg-info")]
        yield from (Path(folder) / name for name in names if name not in MADE)


def findings(root: Path, words: list[str]) -> list[str]:
    found = []
    for path in files(root):
        content = path.read_bytes().lower()
        found += [
            f"{path.relative_to(root)} says {word}" for word in words if re.search(rb"(?<![\w.-])" + re.escape(word.encode()), content)
        ]
    return found


def test_no_file_names_a_registry() -> None:
    assert findings(ROOT, HOSTS) == []


def test_no_file_names_a_folder_of_somebodys_machine() -> None:
    assert findings(ROOT, PLACES) == []


@pytest.mark.parametrize("word", [*HOSTS, *PLACES])
def test_such_a_word_would_be_found(tmp_path: Path, word: str) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "notes.md").write_text(f"see https://{word}x" if "/" not in word else f"in {word}x")
    assert findings(tmp_path, [word]) == [f"deep/notes.md says {word}"]


def test_what_tools_make_is_ignored_by_git() -> None:
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()}
    assert MADE - {".git"} <= ignored


def test_the_files_that_people_look_for_are_there() -> None:
    for name in ("README.md", "LICENSE", "SECURITY.md", "packaging/CHANGELOG.md", "packaging/requirements.txt", ".ci/run"):
        assert (ROOT / name).stat().st_size > 100, name
    assert "Apache License" in (ROOT / "LICENSE").read_text()
