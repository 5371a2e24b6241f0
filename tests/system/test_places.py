"""Where the sockets are: a place that another user has taken leads to the next one, and everybody of this user finds it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.core.errors import AppError
from app.system import owners, places
from app.system.instance import Instance, acquire
from app.system.paths import Paths
from tests.strangers import ROOT, STRANGER, common_ground, needs_root

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="unix sockets and modes")


@pytest.fixture
def ground(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The only temporary folder there is, and no session folder."""
    with common_ground() as folder:
        monkeypatch.setenv("TMPDIR", str(folder))
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        monkeypatch.setattr(places, "_COMMON", folder)
        yield folder


@pytest.fixture
def short() -> Iterator[Path]:
    """A data folder whose path leaves room for a socket's name."""
    folder = Path(tempfile.mkdtemp(prefix="gh-", dir="/tmp"))
    yield folder / "data"
    shutil.rmtree(folder)


def root_of(ground: Path) -> Path:
    return ground / f"gatehouse-{os.geteuid()}"


def give(path: Path) -> None:
    os.chown(path, STRANGER, STRANGER, follow_symlinks=False)


def folder(ground: Path, digest: str) -> None:
    root_of(ground).mkdir()
    give(root_of(ground))


def folder_open_to_all(ground: Path, digest: str) -> None:
    (root_of(ground) / digest).mkdir(parents=True)
    for level in (root_of(ground), root_of(ground) / digest):
        level.chmod(0o777)
        give(level)


def link(ground: Path, digest: str) -> None:
    root_of(ground).symlink_to(ground)
    give(root_of(ground))


def link_inside(ground: Path, digest: str) -> None:
    folder(ground, digest)
    (root_of(ground) / digest).symlink_to(ground)
    give(root_of(ground) / digest)


def file(ground: Path, digest: str) -> None:
    root_of(ground).touch()
    give(root_of(ground))


def own_folder_with_their_link(ground: Path, digest: str) -> None:
    root_of(ground).mkdir()
    root_of(ground).chmod(0o777)
    (root_of(ground) / digest).symlink_to(ground)
    give(root_of(ground) / digest)


SQUATS: tuple[Callable[[Path, str], None], ...] = (folder, folder_open_to_all, link, link_inside, file, own_folder_with_their_link)


def usable(place: Path) -> None:
    """Private at every level, and a socket fits."""
    assert owners.exposed(place) == ""
    assert stat.S_IMODE(place.lstat().st_mode) == 0o700
    with socket.socket(socket.AF_UNIX) as tried:
        tried.bind(os.fspath(place / places.LONGEST_SOCKET_NAME))
    (place / places.LONGEST_SOCKET_NAME).unlink()


@needs_root
@pytest.mark.parametrize("squat", SQUATS, ids=lambda squat: squat.__name__)
def test_a_place_that_another_user_took_leads_to_the_data_folder(ground: Path, short: Path, squat: Callable[[Path, str], None]) -> None:
    squat(ground, places._hashed(short))
    paths = Paths(short)
    paths.prepare()
    assert paths.runtime == short.resolve() / "run"
    usable(paths.runtime)
    assert Paths(short).control == paths.control, "who looks for it without a record comes to the same place"


@needs_root
@pytest.mark.parametrize("squat", SQUATS, ids=lambda squat: squat.__name__)
def test_where_the_data_folder_has_too_long_a_path_the_name_cannot_be_guessed(
    ground: Path, tmp_path: Path, squat: Callable[[Path, str], None]
) -> None:
    data = tmp_path / ("x" * 120) / "data"
    squat(ground, places._hashed(data))
    found = set()
    for _ in range(3):
        paths = Paths(data)
        paths.prepare()
        usable(paths.runtime)
        found.add(paths.runtime)
        assert paths.runtime.parent.name.startswith(f"gatehouse-{os.geteuid()}-")
        instance = acquire(paths, {"op": "ping"})
        assert isinstance(instance, Instance)
        try:
            assert Paths(data).control == paths.control, "the lock's file says where it is"
        finally:
            instance.close()
        assert not paths.runtime.parent.exists(), "its name was for this run alone"
    assert len(found) == 3


@needs_root
def test_a_keeper_stays_where_it_is_when_the_squatter_leaves(ground: Path, short: Path) -> None:
    folder(ground, "")
    paths = Paths(short)
    paths.prepare()
    instance = acquire(paths, {"op": "ping"})
    assert isinstance(instance, Instance)
    try:
        before = paths.control
        root_of(ground).rmdir()
        assert paths.control == Paths(short).control == before
    finally:
        instance.close()


def test_an_own_folder_that_was_opened_is_closed_by_a_keeper(ground: Path, short: Path) -> None:
    root_of(ground).mkdir()
    root_of(ground).chmod(0o755)
    paths = Paths(short)
    paths.prepare()
    assert paths.runtime.parent == root_of(ground)
    usable(paths.runtime)
    assert stat.S_IMODE(root_of(ground).lstat().st_mode) == 0o700


def test_programs_with_other_variables_find_the_keeper(ground: Path, short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a job of cron beside a desktop's session, and the other way round."""
    session = ground / "session"
    session.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(session))
    paths = Paths(short)
    paths.prepare()
    assert paths.runtime.is_relative_to(session)
    instance = acquire(paths, {"op": "ping"})
    assert isinstance(instance, Instance)
    try:
        code = "import sys; from pathlib import Path; from app.system.paths import Paths; print(Paths(Path(sys.argv[1])).control)"
        for variables in ({}, {"TMPDIR": "/var/tmp"}, {"XDG_RUNTIME_DIR": "/nonexistent"}, {"XDG_RUNTIME_DIR": str(session)}):
            done = subprocess.run(
                [sys.executable, "-c", code, str(short)],
                cwd=ROOT, capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"], **variables},
            )  # fmt: skip
            assert done.stdout.strip() == str(paths.control)
    finally:
        instance.close()


def test_a_copied_data_folder_does_not_lead_to_the_originals_keeper(ground: Path, short: Path) -> None:
    paths = Paths(short)
    paths.prepare()
    instance = acquire(paths, {"op": "ping"})
    assert isinstance(instance, Instance)
    try:
        copy = short.with_name("copy")
        shutil.copytree(short, copy)
        assert json.loads((copy / "lock").read_text())["instance"] == str(paths.instance)
        assert Paths(copy).control != paths.control
    finally:
        instance.close()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"instance": 5}', b'{"instance": "relative/x"}',
                                     b'{"instance": "/etc/x"}',
                                     b'{"instance": null}', b"\xff" * 50, b"[" * 9000])  # fmt: skip
def test_a_damaged_record_is_none(ground: Path, short: Path, content: bytes) -> None:
    before = Paths(short).control
    Paths(short).prepare()
    (short / "lock").write_bytes(content)
    assert Paths(short).control == before


@needs_root
@pytest.mark.parametrize("how", ["another user's file", "a link"])
def test_a_record_that_another_user_could_have_written_is_none(ground: Path, short: Path, how: str) -> None:
    before = Paths(short).control
    Paths(short).prepare()
    record = json.dumps({"instance": str(short.resolve() / "run" / "instance.sock")})
    if how == "a link":
        (ground / "record").write_text(record)
        (short / "lock").symlink_to(ground / "record")
    else:
        (short / "lock").write_text(record)
        give(short / "lock")
    assert Paths(short).control == before


@needs_root
@pytest.mark.parametrize("variable", ["TMPDIR", "XDG_RUNTIME_DIR"])
@pytest.mark.parametrize("kind", ["theirs", "open to all", "below theirs"])
def test_a_variable_that_leads_to_another_users_ground_is_not_followed(
    ground: Path, short: Path, monkeypatch: pytest.MonkeyPatch, variable: str, kind: str
) -> None:
    trap = ground / "trap"
    trap.mkdir()
    named = trap / "below" if kind == "below theirs" else trap
    named.mkdir(exist_ok=True, mode=0o700)
    trap.chmod(0o777 if kind == "open to all" else 0o755)
    if kind != "open to all":
        give(trap)
    monkeypatch.setenv(variable, str(named))
    paths = Paths(short)
    paths.prepare()
    assert not paths.runtime.is_relative_to(trap)
    assert not places.temporary_root().is_relative_to(trap)
    usable(paths.runtime)


def test_no_place_at_all_is_said_in_words(ground: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_COMMON", tmp_path / "absent")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "absent"))
    with pytest.raises(AppError, match="no folder for Gatehouse's sockets") as caught:
        Paths(tmp_path / ("x" * 120)).prepare()
    assert caught.value.code == "data_folder"
    assert "XDG_RUNTIME_DIR" in caught.value.hint
