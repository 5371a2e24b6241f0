"""New files for a person: whole under their name or not there, never through a link, never replacing, nobody else's removed."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from app.core.errors import AppError
from app.core.exports import KINDS, Kind
from app.system import renaming, sink
from app.system.sink import Sink
from tests import disks

FILE, FOLDER = KINDS["requests"], KINDS["audit"]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links, modes and pipes")


def filled(target: Path, kind: Kind, content: bytes = b"line\n") -> Sink:
    made = sink.new(target, kind)
    try:
        for number in range(kind.count):
            made.write(number, content)
    except AppError:
        made.close()
        raise
    return made


def kept(target: Path, kind: Kind, content: bytes = b"line\n") -> None:
    with filled(target, kind, content) as made:
        made.finish()
        made.keep()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("mask", [0, 0o022, 0o077])
def test_it_is_whole_and_the_persons_own(place: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        kept(place / "a.csv", FILE)
        kept(place / "log", FOLDER)
    finally:
        os.umask(before)
    assert sorted(entry.name for entry in place.iterdir()) == ["a.csv", "log"]
    assert (place / "a.csv").read_bytes() == b"line\n"
    assert stat.S_IMODE((place / "a.csv").stat().st_mode) == 0o600
    assert stat.S_IMODE((place / "log").stat().st_mode) == 0o700
    assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in (place / "log").iterdir()} == dict.fromkeys(FOLDER.names, 0o600)
    assert b"def main" in (place / "log" / "verify.py").read_bytes()


@pytest.mark.parametrize("kind", [FILE, FOLDER])
def test_while_it_is_written_its_name_says_so_and_what_was_not_kept_is_gone(place: Path, kind: Kind) -> None:
    with filled(place / "a", kind):
        (part,) = place.iterdir()
        assert part.name.startswith("a.")
        assert part.name.endswith(".part")
    assert list(place.iterdir()) == []
    with pytest.raises(KeyboardInterrupt), filled(place / "a", kind):
        raise KeyboardInterrupt
    assert list(place.iterdir()) == []


def somebodys(at: Path, target: Path) -> None:
    at.write_text("precious")


HOSTILE: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "a file": (somebodys, "name_taken"),
    "a link to a file": (lambda at, target: at.symlink_to(target), "name_taken"),
    "a link to nothing": (lambda at, target: at.symlink_to(target.with_name("nothing")), "name_taken"),
    "a link to a folder": (lambda at, target: at.symlink_to(target.parent), "name_taken"),
    "a link to itself": (lambda at, target: at.symlink_to(at), "name_taken"),
    "an empty folder": (lambda at, target: at.mkdir(), "name_taken"),
    "a pipe": (lambda at, target: os.mkfifo(at), "name_taken"),
    "a folder on the way that is a file": (lambda at, target: somebodys(at.parent / "sub", target), "data_folder"),
}


@pytest.mark.parametrize("kind", [FILE, FOLDER])
@pytest.mark.parametrize("what", HOSTILE)
def test_what_has_the_name_stays_as_it_is(place: Path, tmp_path: Path, kind: Kind, what: str) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    make, code = HOSTILE[what]
    target = place / "sub" / "a" if "on the way" in what else place / "a"
    make(target if target.parent == place else place / "a", precious)
    before = [(entry.name, entry.lstat().st_ino) for entry in place.iterdir()]
    with pytest.raises(AppError) as refused:
        sink.new(target, kind)
    assert refused.value.code == code
    assert [(entry.name, entry.lstat().st_ino) for entry in place.iterdir()] == before
    assert precious.read_text() == "precious"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["place", "precious"]


@pytest.mark.parametrize("kind", [FILE, FOLDER])
@pytest.mark.parametrize("what", [name for name, (_, code) in HOSTILE.items() if code == "name_taken"])
def test_what_takes_the_name_meanwhile_stays_as_it_is(place: Path, tmp_path: Path, kind: Kind, what: str) -> None:
    """Made after the look that found the name free: the system itself refuses to replace it."""
    precious = tmp_path / "precious"
    precious.write_text("precious")
    with filled(place / "a", kind) as made:
        HOSTILE[what][0](place / "a", precious)
        before = (place / "a").lstat().st_ino
        made.finish()
        with pytest.raises(AppError, match="exists already"):
            made.keep()
    assert [(entry.name, entry.lstat().st_ino) for entry in place.iterdir()] == [("a", before)]
    assert precious.read_text() == "precious"


@pytest.mark.parametrize("kind", [FILE, FOLDER])
@pytest.mark.parametrize("links", [True, False])
def test_a_disk_that_knows_no_such_call_does_the_same(
    place: Path, tmp_path: Path, kind: Kind, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on NFS, and as on FAT, which has no second names either."""

    def unknown(*_: object, **__: object) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(renaming, "_rename", unknown)
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    kept(place / "a", kind)
    assert [entry.name for entry in place.iterdir()] == ["a"]
    for what in [name for name, (_, code) in HOSTILE.items() if code == "name_taken"]:
        precious = tmp_path / "precious"
        precious.write_text("precious")
        with filled(place / "b", kind) as made:
            HOSTILE[what][0](place / "b", precious)
            made.finish()
            with pytest.raises(AppError, match="exists already"):
                made.keep()
        assert sorted(entry.name for entry in place.iterdir()) == ["a", "b"], what
        (place / "b").rmdir() if (place / "b").is_dir() and not (place / "b").is_symlink() else (place / "b").unlink()


@pytest.mark.parametrize("kind", [FILE, FOLDER])
@pytest.mark.parametrize("meanwhile", ["", "mine"])
def test_a_disk_that_fails_when_the_name_is_held_leaves_nothing_under_it(
    place: Path, kind: Kind, meanwhile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was put into the place that was held is somebody's."""

    def fails(number: int) -> Callable[..., None]:
        def call(*_: object, **__: object) -> None:
            if number == errno.ENOSPC and meanwhile:
                held = place / "a" / meanwhile if kind is FOLDER else place / "a"
                held.write_text(meanwhile)
            raise OSError(number, os.strerror(number))

        return call

    with filled(place / "a", kind) as made:
        made.finish()
        monkeypatch.setattr(renaming, "_rename", fails(errno.EINVAL))
        monkeypatch.setattr(os, "link", fails(errno.EPERM))
        monkeypatch.setattr(os, "rename", fails(errno.ENOSPC))
        with pytest.raises(AppError, match="The disk is full"):
            made.keep()
    assert [entry.name for entry in place.iterdir()] == (["a"] if meanwhile else [])


def test_a_folder_that_is_filled_while_its_name_is_taken_is_not_lost(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the two calls of a disk that knows no better, somebody puts something into the folder that holds the name."""

    def unknown(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    making = os.mkdir

    def make(path: str, *arguments: object, **named: object) -> None:
        making(path, *arguments, **named)  # type: ignore[arg-type]
        if path == "a":
            (place / "a" / "mine").write_text("kept")

    monkeypatch.setattr(renaming, "_rename", unknown)
    with filled(place / "a", FOLDER) as made:
        made.finish()
        monkeypatch.setattr(os, "mkdir", make)
        with pytest.raises(AppError):
            made.keep()
    assert [str(entry.relative_to(place)) for entry in sorted(place.rglob("*"))] == ["a", "a/mine"]


@pytest.mark.parametrize("kind", [FILE, FOLDER])
def test_what_somebody_put_in_the_place_of_the_unfinished_one_is_not_removed(place: Path, kind: Kind) -> None:
    with filled(place / "a", kind):
        (part,) = place.iterdir()
        part.rename(place / "moved")
        part.write_text("precious")
    assert part.read_text() == "precious"
    assert sorted(entry.name for entry in place.iterdir()) == sorted([part.name, "moved"])
    assert kind is FILE or list((place / "moved").iterdir()) == []


def test_what_somebody_put_into_the_unfinished_folder_is_not_removed(place: Path) -> None:
    with filled(place / "a", FOLDER):
        (part,) = place.iterdir()
        (part / "mine").write_text("kept")
        (part / "verify.py").unlink()
        (part / "verify.py").write_text("mine, too")
    assert sorted(entry.name for entry in part.iterdir()) == ["mine", "verify.py"]
    assert (part / "verify.py").read_text() == "mine, too"


@pytest.mark.parametrize("kind", [FILE, FOLDER])
def test_a_folder_that_moves_while_it_is_written_takes_it_along(place: Path, tmp_path: Path, kind: Kind) -> None:
    """It is held open: a link that takes its place leads nowhere."""
    with filled(place / "a", kind) as made:
        place.rename(tmp_path / "moved")
        (tmp_path / "elsewhere").mkdir()
        place.symlink_to(tmp_path / "elsewhere")
        made.finish()
        made.keep()
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert [entry.name for entry in (tmp_path / "moved").iterdir()] == ["a"]


@pytest.mark.needs("root")
@pytest.mark.parametrize("kind", [FILE, FOLDER])
def test_a_link_of_another_user_on_the_way_is_not_followed(tmp_path: Path, kind: Kind) -> None:
    (tmp_path / "precious").mkdir()
    theirs = tmp_path / "theirs"
    theirs.symlink_to(tmp_path / "precious")
    os.chown(theirs, 12345, 12345, follow_symlinks=False)
    with pytest.raises(AppError, match="another user"):
        sink.new(theirs / "a", kind)
    assert list((tmp_path / "precious").iterdir()) == []
    mine = tmp_path / "mine"
    mine.symlink_to(tmp_path / "precious")
    kept(mine / "a", kind)
    assert [entry.name for entry in (tmp_path / "precious").iterdir()] == ["a"]


@pytest.mark.parametrize("kind", [FILE, FOLDER])
@pytest.mark.parametrize(
    ("name", "code"), [("n" * 240, ""), ("n" * 241, "name_invalid"), ("ü" * 121, "name_invalid"), ("n" * 300, "name_invalid")]
)
def test_a_name_that_is_too_long_is_refused_before_anything_is_made(place: Path, kind: Kind, name: str, code: str) -> None:
    if not code:
        kept(place / name, kind)
        return
    with pytest.raises(AppError) as refused:
        sink.new(place / name, kind)
    assert refused.value.code == code
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("kind", [FILE, FOLDER])
def test_two_at_once_to_one_name_one_has_it(place: Path, kind: Kind) -> None:
    said: list[str] = []
    ready = threading.Barrier(8)

    def write(number: int) -> None:
        ready.wait()
        try:
            kept(place / "a", kind, b"%d\n" % number * 1_000)
            said.append("kept")
        except AppError as error:
            said.append(error.code)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["kept", *["name_taken"] * 7]
    assert [entry.name for entry in place.iterdir()] == ["a"]
    content = (place / "a" if kind is FILE else place / "a" / "entries.jsonl").read_bytes()
    assert content == content[:2] * 1_000


@pytest.mark.parametrize("kind", [FILE, FOLDER])
def test_a_full_disk_leaves_nothing_and_is_named(small_disk: Path, kind: Kind) -> None:
    with pytest.raises(AppError) as refused, sink.new(small_disk / "a", kind) as made:
        for _ in range(40):
            made.write(0, bytes(65_536))
    assert refused.value.message == "The disk is full: a was not written."
    assert list(small_disk.iterdir()) == []
    filler = disks.fill(small_disk)
    with pytest.raises(AppError, match="The disk is full"):
        kept(small_disk / "a", kind)
    assert list(small_disk.iterdir()) == [filler]


@pytest.mark.parametrize("kind", [FILE, FOLDER])
def test_what_a_killed_process_leaves_says_that_it_is_not_whole(place: Path, kind: Kind) -> None:
    script = (
        "import os, sys; from pathlib import Path; from app.system import sink; from app.core.exports import KINDS\n"
        "made = sink.new(Path(sys.argv[1]), KINDS[sys.argv[2]]); made.write(0, b'half'); os.kill(os.getpid(), 9)"
    )
    name = next(name for name, each in KINDS.items() if each is kind)
    subprocess.run([sys.executable, "-c", script, str(place / "a"), name], check=False)
    (part,) = place.iterdir()
    assert part.name.endswith(".part")
    kept(place / "a", kind)


def test_no_descriptor_is_left_open(place: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    (place / "there").write_text("x")
    for number in range(20):
        kept(place / f"a{number}", FOLDER)
        with pytest.raises(AppError):
            sink.new(place / "there", FOLDER)
        with pytest.raises(AppError):
            sink.new(place / "there" / "a", FOLDER)
        with filled(place / "b", FOLDER):
            pass
    shutil.rmtree(place)
    with pytest.raises(AppError):
        sink.new(place / "b", FOLDER)
    assert len(os.listdir("/proc/self/fd")) == before
