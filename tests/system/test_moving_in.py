"""A data folder of an earlier version: what is the engine's and the window's goes into their folders, whole, once, and by the keeper."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.core.errors import AppError
from app.system.paths import Paths

OLD = {
    "gatehouse.db": b"database",
    "gatehouse.db-wal": b"log",
    "gatehouse.db-shm": b"index",
    "gatehouse.db.before-7": b"copy",
    "window.json": b"{}",
    "journal/00000001.journal": b"segment",
}
STAYS = {"vault.json": b"keys", "declared.json": b"[]", "lock": b"", "logs/keeper.log": b"lines", "letter.txt": b"the person's own"}
NEW = {
    "engine/gatehouse.db": b"database",
    "engine/gatehouse.db-wal": b"log",
    "engine/gatehouse.db-shm": b"index",
    "engine/gatehouse.db.before-7": b"copy",
    "window/window.json": b"{}",
    "engine/journal/00000001.journal": b"segment",
}


@pytest.fixture
def old(tmp_path: Path) -> Paths:
    """As the version before left it."""
    paths = Paths(tmp_path / "data")
    for name, content in (OLD | STAYS).items():
        path = paths.data_dir / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o600)
    return paths


def content(paths: Paths) -> dict[str, bytes]:
    found = {path.relative_to(paths.data_dir).as_posix(): path.read_bytes() for path in paths.data_dir.rglob("*") if path.is_file()}
    return {name: text for name, text in found.items() if name != ".probe"}


def test_everything_of_the_engine_and_the_window_moves_and_the_rest_stays(old: Paths) -> None:
    old.prepare()
    old.move_in()
    assert content(old) == NEW | STAYS
    assert not (old.data_dir / "journal").exists()
    old.move_in()
    assert content(old) == NEW | STAYS, "a second time there is nothing to do"


@pytest.mark.parametrize("steps", range(7))
def test_a_move_that_was_cut_short_is_finished_by_the_next_start(old: Paths, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class CutError(BaseException):
        pass

    done = [0]
    rename = Path.rename

    def cut(self: Path, target: Path) -> Path:
        if done[0] == steps:
            raise CutError
        done[0] += 1
        return rename(self, target)

    old.prepare()
    monkeypatch.setattr(Path, "rename", cut)
    if steps < len(OLD):
        with pytest.raises(CutError):
            old.move_in()
    else:
        old.move_in()
    monkeypatch.undo()
    old.prepare()
    old.move_in()
    assert content(old) == NEW | STAYS


@pytest.mark.parametrize("name", ["gatehouse.db", "gatehouse.db-wal", "journal", "window.json"])
def test_what_is_in_both_places_is_not_guessed_at(old: Paths, name: str) -> None:
    old.prepare()
    target = old.data_dir / ("window" if name == "window.json" else "engine") / name
    if name == "journal":
        (target / "00000002.journal").write_bytes(b"newer")
    else:
        target.write_bytes(b"newer")
    before = content(old)
    with pytest.raises(AppError) as caught:
        old.move_in()
    assert caught.value.code == "data_folder"
    assert f"“{name}” is both" in caught.value.message
    kept = {"gatehouse.db", "engine/gatehouse.db"} if name == "gatehouse.db" else {name}
    after = content(old)
    assert sum(len(text) for text in after.values()) == sum(len(text) for text in before.values()), "nothing is lost"
    assert kept - {"journal"} <= set(after)


def test_a_link_where_the_journal_was_is_refused_before_anything_moves(old: Paths, tmp_path: Path) -> None:
    journal = old.data_dir / "journal"
    journal.rename(tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", journal)
    with pytest.raises(AppError) as caught:
        old.prepare()
    assert caught.value.code == "data_folder"
    assert (old.data_dir / "gatehouse.db").exists()
