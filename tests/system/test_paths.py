"""Folders and files: private, short enough for sockets, replaced as a whole, and refused in words."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from app.core.errors import AppError
from app.system.files import PROBE
from app.system.folders import private_folder
from app.system.paths import Paths, default_data_dir, write_private

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="modes and unix sockets")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@posix_only
def test_every_folder_is_made_for_this_user_alone(tmp_path: Path) -> None:
    before = os.umask(0o000)
    try:
        paths = Paths(tmp_path / "a" / "data")
        paths.prepare()
    finally:
        os.umask(before)
    assert {mode(folder) for folder in (paths.data_dir, paths.logs, paths.runtime, paths.runtime.parent)} == {0o700}
    assert set(paths.data_dir.iterdir()) == {paths.logs, paths.engine, paths.window, paths.data_dir / PROBE}
    assert mode(paths.engine) == mode(paths.window) == 0o700


@posix_only
def test_a_folder_with_other_things_in_it_keeps_its_mode(tmp_path: Path) -> None:
    documents = tmp_path / "documents"
    documents.mkdir(mode=0o755)
    (documents / "letter.txt").write_text("hello")
    private_folder(documents)
    assert mode(documents) == 0o755


@posix_only
def test_an_open_folder_of_ours_is_closed(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    (folder / "vault.json").write_text("{}")
    private_folder(folder)
    assert mode(folder) == 0o700


def test_the_same_folder_by_another_spelling_has_the_same_sockets(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "data")
    (tmp_path / "data").mkdir()
    assert Paths(tmp_path / "data").control == Paths(tmp_path / "x" / ".." / "data").control == Paths(tmp_path / "link").control
    assert Paths(tmp_path / "data").control != Paths(tmp_path / "other").control


def test_an_ephemeral_folder_is_found_under_the_name_that_commands_use(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "ephemeral", named=tmp_path / "data")
    assert paths.control == Paths(tmp_path / "data").control
    assert paths.lock == tmp_path / "data" / "lock"
    assert paths.database == tmp_path / "ephemeral" / "engine" / "gatehouse.db"


@posix_only
def test_socket_paths_stay_short_however_long_the_folders_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    monkeypatch.setenv("TMPDIR", str(long))
    assert len(os.fsencode(Paths(long / "data").instance)) <= 100


@posix_only
def test_the_login_sessions_folder_is_used_when_it_is_this_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/tmp")  # too open, but ours or root's: the sub-folder is what must be private
    paths = Paths(tmp_path)
    if os.stat("/tmp").st_uid == os.getuid():
        assert paths.runtime.parent == Path("/tmp/gatehouse")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/proc/1")  # not writable
    assert not str(Paths(tmp_path).runtime).startswith("/proc")


def test_a_file_in_the_way_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")
    with pytest.raises(AppError, match="“data” is a file") as caught:
        Paths(tmp_path / "data").prepare()
    assert caught.value.code == "data_folder"
    with pytest.raises(AppError, match="“below” cannot be used"):
        private_folder(tmp_path / "data" / "below")


@posix_only
def test_a_folder_on_a_read_only_disk_is_said_in_words_and_without_the_path() -> None:
    with pytest.raises(AppError) as caught:
        Paths(Path("/proc/gatehouse-data")).prepare()
    assert caught.value.code == "data_folder"
    assert "/proc" not in caught.value.sentence()
    assert "--data-dir" in caught.value.hint


@posix_only
@pytest.mark.needs("an ordinary user")
def test_a_folder_without_write_permission_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o500)
    with pytest.raises(AppError, match="permission denied"):
        Paths(folder).prepare()


@pytest.mark.needs("root")
def test_another_users_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    with pytest.raises(AppError, match="belongs to another user"):
        Paths(folder).prepare()


@posix_only
def test_a_file_is_replaced_as_a_whole_and_private(tmp_path: Path) -> None:
    target = tmp_path / "vault.json"
    target.write_bytes(b"old")
    target.chmod(0o644)
    write_private(target, b"new")
    assert target.read_bytes() == b"new"
    assert mode(target) == 0o600
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")
def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    target = tmp_path / "vault.json"
    target.write_bytes(b"old")
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(AppError) as caught:
            write_private(target, b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.code == "data_folder"
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_default_folder_is_the_users_own() -> None:
    assert default_data_dir().name == "Gatehouse"
    assert default_data_dir().is_absolute()
