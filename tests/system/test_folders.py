"""The data folder: what others may have put into it is refused in words and followed nowhere; what is ours goes on working."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.core.errors import AppError
from app.system import files, folders, owners
from app.system.logs import Log, rotate, tail
from app.system.paths import Paths
from tests.strangers import ROOT, STRANGER, needs_root

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes, links and users' numbers")

NAMES = ("vault.json", "gatehouse.db", "gatehouse.db-wal", "gatehouse.db-shm", "gatehouse.db.before-7", "declared.json", "lock",
         "control.json", "window.json", ".probe", "logs", "journal", "run", "engine", "window")  # fmt: skip
INSIDE = ("logs/keeper.log", "logs/engine.log", "logs/vault.log", "logs/keeper.log.1", "journal/lock", "journal/key", "journal/1.journal",
          "engine/gatehouse.db", "engine/gatehouse.db-wal", "engine/gatehouse.db.before-7", "engine/journal", "engine/journal/lock",
          "engine/journal/1.journal", "window/window.json")  # fmt: skip


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def used(data: Path) -> Path:
    """A data folder as one run leaves it."""
    Paths(data).prepare()
    for name in NAMES:
        if "." in name or name == "lock":
            (data / name).touch(mode=0o600)
    (data / "journal").mkdir(mode=0o700)
    for name in INSIDE:
        if name != "engine/journal":
            (data / name).touch(mode=0o600)
    return data


def refusal(data: Path) -> AppError:
    with pytest.raises(AppError) as caught:
        Paths(data).prepare()
    assert caught.value.code == "data_folder"
    assert str(data) not in caught.value.sentence(), "only the last part of a path is named"
    assert caught.value.hint
    return caught.value


def test_what_an_earlier_run_left_is_taken_as_it_is(tmp_path: Path) -> None:
    data = used(tmp_path / "data")
    Paths(data).prepare()
    assert {mode(path) for path in data.rglob("*") if path.is_file()} == {0o600}


@pytest.mark.parametrize("name", [*NAMES, *INSIDE])
@pytest.mark.parametrize("to", ["a folder", "a file", "nothing", "a device"])
def test_a_link_at_each_of_our_names_is_refused_and_nothing_goes_through_it(tmp_path: Path, name: str, to: str) -> None:
    data, home = used(tmp_path / "data"), tmp_path / "home"
    home.mkdir()
    (home / "letter").write_text("hello")
    target = {"a folder": home, "a file": home / "letter", "nothing": home / "new", "a device": Path("/dev/zero")}[to]
    victim = data / name
    if victim.is_dir():
        victim.rename(tmp_path / "aside")
    else:
        victim.unlink(missing_ok=True)
    victim.symlink_to(target)
    said = refusal(data)
    assert "link" in said.message
    assert name in said.message
    assert victim.is_symlink()
    assert [path.name for path in home.iterdir()] == ["letter"]
    assert (home / "letter").read_text() == "hello"


@pytest.mark.parametrize("name", [*NAMES, *INSIDE])
def test_something_of_another_kind_at_each_of_our_names_is_refused(tmp_path: Path, name: str) -> None:
    data = used(tmp_path / "data")
    victim = data / name
    if victim.is_dir():
        victim.rename(tmp_path / "aside")
        victim.touch()
    else:
        victim.unlink(missing_ok=True)
        os.mkfifo(victim)  # reading it would wait for ever
    assert name in refusal(data).message


@needs_root
@pytest.mark.parametrize("name", [*NAMES, *INSIDE])
def test_what_belongs_to_another_user_is_refused_at_each_of_our_names(tmp_path: Path, name: str) -> None:
    data = used(tmp_path / "data")
    if name == "run":
        (data / name).mkdir()
    os.chown(data / name, STRANGER, -1)
    said = refusal(data)
    assert "belongs to another user" in said.message
    assert name in said.message


@pytest.mark.parametrize("bits", [0o722, 0o777, 0o770, 0o702, 0o1777])
def test_a_folder_that_others_can_write_to_is_refused_unless_it_is_empty(tmp_path: Path, bits: int) -> None:
    data = used(tmp_path / "data")
    data.chmod(bits)
    said = refusal(data)
    assert "Other users can write to “data”" in said.message
    assert f"{bits:04o}" in said.message
    assert mode(data) == bits, "it is left as it is, for the person to look at"
    empty = tmp_path / "empty"
    empty.mkdir()
    empty.chmod(bits)
    Paths(empty).prepare()
    assert mode(empty) == 0o700


@pytest.mark.parametrize("name", ["logs", "journal"])
def test_a_folder_in_it_that_others_can_write_to_is_refused(tmp_path: Path, name: str) -> None:
    data = used(tmp_path / "data")
    (data / name).chmod(0o777)
    assert f"Other users can write to “{name}”" in refusal(data).message


@pytest.mark.parametrize("name", ["vault.json", "gatehouse.db", "logs/keeper.log", "journal/key"])
def test_a_file_that_others_can_write_to_is_refused_and_one_they_can_read_is_closed(tmp_path: Path, name: str) -> None:
    data = used(tmp_path / "data")
    (data / name).chmod(0o644)
    Paths(data).prepare()
    assert mode(data / name) == 0o600
    (data / name).chmod(0o664)
    assert name in refusal(data).message


def test_a_folder_with_planted_logs_writes_nothing_into_the_persons_home(tmp_path: Path) -> None:
    data, home = tmp_path / "data", tmp_path / "home"
    home.mkdir()
    data.mkdir()
    data.chmod(0o777)
    (data / "logs").symlink_to(home)
    refusal(data)
    data.chmod(0o700)  # closed since, and the link is still there
    assert "“logs” is a link" in refusal(data).message
    assert list(home.iterdir()) == []


def test_a_data_folder_reached_through_links_of_ones_own_goes_on_working(tmp_path: Path) -> None:
    elsewhere, home = tmp_path / "disk" / "me", tmp_path / "home"
    elsewhere.mkdir(parents=True)
    home.mkdir()
    (home / "share").symlink_to("../disk/./me")
    paths = Paths(home / "share" / "Gatehouse")
    paths.prepare()
    assert (elsewhere / "Gatehouse" / "logs").is_dir()
    assert Paths(elsewhere / "Gatehouse").control == Paths(home / "share" / "Gatehouse").control
    (home / "itself").symlink_to(elsewhere / "Gatehouse")
    Paths(home / "itself").prepare()


@needs_root
@pytest.mark.parametrize("to", ["a folder of ours", "nothing"])
def test_a_link_that_another_user_made_on_the_way_is_refused(tmp_path: Path, to: str) -> None:
    common, ours = tmp_path / "common", tmp_path / "ours"
    common.mkdir()
    ours.mkdir(mode=0o700)
    link = common / "gatehouse"
    link.symlink_to(ours if to == "a folder of ours" else tmp_path / "new")
    os.chown(link, STRANGER, STRANGER, follow_symlinks=False)
    for data in (link, link / "data"):
        assert "is a link that another user made" in refusal(data).message
    assert list(ours.iterdir()) == []
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "kind", ["open to all", pytest.param("open to a group", marks=needs_root), pytest.param("another user's", marks=needs_root)]
)
@pytest.mark.parametrize("there", [True, False])
def test_a_place_where_others_could_exchange_the_folder_is_refused(tmp_path: Path, kind: str, there: bool) -> None:
    """Whoever can rename it can put a folder of theirs there while Gatehouse runs, and the next change of the vault is written into it."""
    shared = tmp_path / "shared"
    data = shared / "data"
    (data if there else shared).mkdir(parents=True, mode=0o700)
    shared.chmod({"open to all": 0o777, "open to a group": 0o770, "another user's": 0o755}[kind])
    if kind != "open to all":
        os.chown(shared, STRANGER if kind == "another user's" else -1, STRANGER)
    assert "exchanged" in refusal(data).message
    assert list(shared.iterdir()) == ([data] if there else [])
    if kind != "another user's":
        shared.chmod(0o1777)
        Paths(data).prepare()


@needs_root
@pytest.mark.parametrize("below", [False, True])
def test_a_link_of_ones_own_where_others_could_exchange_it_is_refused(tmp_path: Path, below: bool) -> None:
    """What it leads to is ours; but the way there is looked up again for each file that is written."""
    shared, home = tmp_path / "shared", tmp_path / "home"
    shared.mkdir()
    home.mkdir(mode=0o700)
    (shared / "link").symlink_to(home)
    os.chown(shared, STRANGER, STRANGER)
    data = shared / "link" / "data" if below else shared / "link"
    assert "exchanged" in refusal(data).message
    assert list(home.iterdir()) == []


def test_links_in_a_circle_are_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert "cannot be used" in refusal(tmp_path / "a" / "data").message


def test_folders_above_a_new_data_folder_are_private_too_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Paths(tmp_path / "a" / "b" / "data").prepare()
    finally:
        os.umask(before)
    assert {mode(tmp_path / "a"), mode(tmp_path / "a" / "b"), mode(tmp_path / "a" / "b" / "data")} == {0o700}


@pytest.mark.parametrize(
    "level",
    [
        "a link",
        "a folder open to all",
        pytest.param("another user's folder", marks=needs_root),
        pytest.param("a folder open to a group", marks=needs_root),
    ],
)
def test_a_place_where_somebody_could_exchange_the_folder_is_known(tmp_path: Path, level: str) -> None:
    above = tmp_path / "above"
    place = above / "place"
    place.mkdir(parents=True, mode=0o700)
    place.chmod(0o700)
    assert owners.exposed(place) == ""
    if level == "a link":
        place.rename(tmp_path / "moved")
        place.symlink_to(tmp_path / "moved")
    elif level == "another user's folder":
        os.chown(above, STRANGER, -1)
    else:
        above.chmod(0o777 if "all" in level else 0o770)
        if "group" in level:
            os.chown(above, -1, STRANGER)
    assert owners.exposed(place) != ""
    above.chmod(0o1777)
    if "open to" in level:
        assert owners.exposed(place) == "", "with the sticky bit nobody else can move it"


@needs_root
@pytest.mark.skipif(sys.platform == "win32", reason="groups of POSIX")
def test_a_group_of_ones_own_is_one_that_is_nobody_elses_first_group_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import grp
    import pwd

    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o770)
    os.chown(shared, -1, STRANGER)
    ours = SimpleNamespace(pw_name="me", pw_uid=os.geteuid(), pw_gid=STRANGER)
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: ours)
    monkeypatch.setattr(grp, "getgrgid", lambda gid: SimpleNamespace(gr_name="me", gr_mem=[]))
    for others, can in (([], False), ([SimpleNamespace(pw_name="bob", pw_uid=STRANGER, pw_gid=STRANGER)], True)):
        monkeypatch.setattr(pwd, "getpwall", lambda others=others: [ours, *others])
        owners._is_own_group.cache_clear()
        assert bool(owners.movable(shared)) is can
    owners._is_own_group.cache_clear()


_WITHIN = """
import ctypes, os, sys
from pathlib import Path
from app.system import owners
libc = ctypes.CDLL(None, use_errno=True)

def within(users, work):
    go, made = os.pipe(), os.pipe()
    if not (pid := os.fork()):
        libc.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: or its map is root's
        if libc.unshare(0x10000000):
            os._exit(77)
        os.write(made[1], b"x")
        os.read(go[0], 1)
        work()
        os._exit(0)
    os.read(made[0], 1)
    for name in ("uid_map", "gid_map"):
        Path(f"/proc/{pid}/{name}").write_text(users)
    os.write(go[1], b"x")
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

def become(uid):
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    libc.prctl(4, 1, 0, 0, 0)

def person():
    become(1000)
    print(repr(owners.movable(Path("/tmp"))), flush=True)

def around():
    become(0)
    within("0 1 1000\\n1000 0 1\\n1001 1001 60000\\n", person)

within("0 1000 1\\n1 100000 65536\\n", around)
"""


@needs_root
@pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")
def test_in_a_box_within_a_box_the_systems_folders_are_still_the_systems() -> None:
    """As Toolbox and Podman (`--userns=keep-id`) start programs: root is the person, and the real one is in neither map."""
    done = subprocess.run([sys.executable, "-c", _WITHIN], capture_output=True, text=True, check=False, timeout=30, cwd=ROOT)
    if done.returncode == 77:
        pytest.skip("no namespaces of users here")
    assert done.stdout == "''\n", done.stderr


OPENERS: dict[str, Callable[[Path], object]] = {
    "a log": Log,
    "a lock": lambda path: __import__("app.system.locks", fromlist=["hold"]).hold(path),
    "any file": lambda path: files.open_own(path, os.O_RDWR | os.O_CREAT),
    "reading": files.read_own,
}


@pytest.mark.parametrize("how", OPENERS)
def test_a_file_is_opened_through_no_link_and_no_fifo(tmp_path: Path, how: str) -> None:
    (tmp_path / "letter").write_text("hello")
    (tmp_path / "link").symlink_to(tmp_path / "letter")
    (tmp_path / "dangling").symlink_to(tmp_path / "new")
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "dangling", "fifo"):
        with pytest.raises(OSError, match=r".*"):
            OPENERS[how](tmp_path / name)
    assert (tmp_path / "letter").read_text() == "hello"
    assert not (tmp_path / "new").exists()


@needs_root
@pytest.mark.parametrize("how", OPENERS)
def test_a_file_of_another_user_is_not_opened(tmp_path: Path, how: str) -> None:
    (tmp_path / "theirs").touch()
    os.chown(tmp_path / "theirs", STRANGER, -1)
    with pytest.raises(OSError, match="another user"):
        OPENERS[how](tmp_path / "theirs")


def test_a_log_is_neither_read_nor_emptied_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "letter").write_bytes(b"hello\n" * 100)
    (tmp_path / "keeper.log").symlink_to(tmp_path / "letter")
    assert tail(tmp_path / "keeper.log") == []
    assert rotate(tmp_path / "keeper.log", at_bytes=1) is False
    assert (tmp_path / "letter").stat().st_size == 600
    assert not (tmp_path / "keeper.log.1").exists()


def test_each_name_that_is_written_is_one_that_is_looked_at() -> None:
    """A file that is added to a data folder must be added to the list, too."""
    paths = Paths(Path("/data"))
    for path in (paths.vault, paths.database, paths.journal, paths.logs, paths.lock, paths.control_file):
        assert folders.is_ours(path.name)
    assert not folders.is_ours("letter.txt")


@pytest.mark.parametrize("name", ["engine/gatehouse.db", "engine/planted", "engine/journal/1.journal", "window/window.json"])
def test_an_open_file_that_a_locked_process_left_in_its_closed_folder_is_closed(tmp_path: Path, name: str) -> None:
    """It may make files with any mode; the next start must not be refused for it."""
    data = used(tmp_path / "data")
    (data / name).touch()
    (data / name).chmod(0o666)
    Paths(data).prepare()
    assert mode(data / name) == 0o600


def test_an_open_file_in_a_folder_that_was_open_too_is_refused(tmp_path: Path) -> None:
    data = used(tmp_path / "data")
    (data / "engine" / "gatehouse.db").chmod(0o666)
    (data / "engine").chmod(0o755)
    data.chmod(0o755)
    assert "engine/gatehouse.db" in refusal(data).message
