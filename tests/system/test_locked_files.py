"""The files in the lock, in real processes: what every kernel's Landlock refuses, what an older one leaves open, and that this is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.system import landlock, sandbox
from app.system.files import PROBE

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(landlock.version() < 6, reason="NOT PROVED HERE: this kernel has no Landlock of version 6")

# Every way to change a file that we know of. `there` is outside of the folder, `here` is in it.
ATTEMPTS = r"""
import ctypes, errno, json, os, sys, threading
from pathlib import Path
root, folder, role, masked, locked, filtered = sys.argv[1:7]
sys.path.insert(0, root)
from app.system import landlock, sandbox
newest = landlock.version()
landlock.version = lambda: min(newest, int(masked))
here, there = Path(folder), Path(folder).parent
libc = ctypes.CDLL(None, use_errno=True)
inherited = os.open(there / "inherited", os.O_WRONLY | os.O_APPEND)
if filtered == "bare":
    def absent(*_): raise OSError(errno.ENOSYS, "not offered")
    sandbox.seccomp.install = absent
if locked == "locked":
    locks = sandbox.lock(role, {}, folder=here)
else:
    locks = sandbox.measure(role, "not asked", "not asked", 0, here)
said = {}
def attempt(name, work):
    try:
        work()
        said[name] = "done"
    except OSError as error:
        said[name] = errno.errorcode.get(error.errno, str(error.errno))
def opened(path, flags, text=b"x"):
    descriptor = os.open(path, flags, 0o600)
    if text: os.write(descriptor, text)
    os.close(descriptor)
def raw(number, *arguments):
    if libc.syscall(ctypes.c_long(number), *arguments) < 0: raise OSError(ctypes.get_errno(), "refused")
def in_a_thread(work):
    failed = []
    def run():
        try: work()
        except OSError as error: failed.append(error)
    thread = threading.Thread(target=run); thread.start(); thread.join()
    if failed: raise failed[0]
def in_a_child(work):
    pid = os.fork()
    if pid == 0:
        try: work()
        except OSError as error: os._exit(error.errno)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code: raise OSError(code, "refused")
def unnamed():
    descriptor = os.open(there, os.O_TMPFILE | os.O_WRONLY, 0o600)
    os.write(descriptor, b"x")
    os.link(f"/proc/self/fd/{descriptor}", there / "unnamed", src_dir_fd=descriptor, follow_symlinks=True)
def emptied(path):
    with path.open("r+b") as file: file.truncate(0)
W, C, X = os.O_WRONLY, os.O_CREAT, os.O_EXCL
attempt("write", lambda: opened(there / "file", W))
attempt("write, both ways", lambda: opened(there / "file", os.O_RDWR))
attempt("append", lambda: opened(there / "file", W | os.O_APPEND))
attempt("make", lambda: opened(there / "new", W | C | X))
attempt("make, by creat", lambda: raw(85, os.fsencode(there / "created"), 0o600))
attempt("make without a name", unnamed)
attempt("write by a link", lambda: opened(here / "link-out", W))
attempt("write by ..", lambda: opened(here / ".." / "file", W))
attempt("reopen an inherited descriptor", lambda: opened(f"/proc/self/fd/{inherited}", os.O_RDWR))
attempt("write from a thread", lambda: in_a_thread(lambda: opened(there / "file", W)))
attempt("write from a child", lambda: in_a_child(lambda: opened(there / "file", W)))
attempt("remove", lambda: os.unlink(there / "doomed"))
attempt("rename", lambda: os.rename(there / "renamed", there / "renamed-2"))
attempt("move in", lambda: os.rename(there / "moved", here / "moved"))
attempt("move out", lambda: os.rename(here / "own", there / "own"))
attempt("replace", lambda: os.replace(here / "own2", there / "file2"))
attempt("link out", lambda: os.link(here / "own3", there / "linked"))
attempt("link in", lambda: os.link(there / "file", here / "linked"))
attempt("link, symbolic", lambda: os.symlink("file", there / "symbolic"))
attempt("folder", lambda: os.mkdir(there / "folder"))
attempt("remove a folder", lambda: os.rmdir(there / "empty"))
attempt("FIFO", lambda: os.mkfifo(there / "fifo"))
attempt("link in its own folder", lambda: os.symlink("/etc/passwd", here / "symbolic"))
attempt("FIFO in its own folder", lambda: os.mkfifo(here / "fifo"))
attempt("folder in its own folder", lambda: os.mkdir(here / "folder"))
attempt("remove a folder of its own", lambda: os.rmdir(here / "old"))
attempt("start a program", lambda: os.posix_spawn("/bin/true", ["true"], {}))
attempt("empty", lambda: os.truncate(there / "file3", 0))
attempt("empty on opening", lambda: opened(there / "file4", os.O_RDONLY | os.O_TRUNC, b""))
works = {}
said, kept = works, said
attempt("make", lambda: opened(here / "new", W | C | X))
attempt("append", lambda: opened(here / "new", W | os.O_APPEND))
attempt("empty", lambda: emptied(here / "new"))
attempt("empty on opening", lambda: opened(here / "new", W | os.O_TRUNC))
attempt("rename", lambda: os.replace(here / "new", here / "newer"))
attempt("write in a folder", lambda: opened(here / "journal" / "new", W | C | X))
attempt("remove", lambda: os.unlink(here / "journal" / "new"))
attempt("nowhere", lambda: opened(os.devnull, W))
attempt("read", lambda: (there / "file").read_bytes())
attempt("inherited", lambda: os.write(inherited, b"x"))
print(json.dumps({"said": kept, "works": works, "locks": locks.fields()}))
"""
# What the filter refuses, whatever Landlock does.
FILTERED = {"start a program", "empty", "empty on opening", "write from a child", "make, by creat", "FIFO", "FIFO in its own folder"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The process's own; beside it lies what it must not touch."""
    made = tmp_path / "data" / "engine"
    for name in ("journal", "old"):
        (made / name).mkdir(parents=True)
    for name in ("file", "file2", "file3", "file4", "inherited", "doomed", "renamed", "moved"):
        (made.parent / name).write_bytes(b"precious")
    (made.parent / PROBE).touch()
    (made.parent / "empty").mkdir()
    (made / "link-out").symlink_to(made.parent / "file")
    for name in ("own", "own2", "own3"):
        (made / name).write_bytes(b"own")
    return made


def tried(folder: Path, role: str = "engine", *, version: int = 99, locked: bool = True, filtered: bool = True) -> dict[str, Any]:
    words = [str(ROOT), str(folder), role, str(version), "locked" if locked else "open", "filtered" if filtered else "bare"]
    done = subprocess.run([sys.executable, "-c", ATTEMPTS, *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def reached(found: dict[str, Any]) -> set[str]:
    return {name for name, result in found["said"].items() if result == "done"}


def outside(folder: Path) -> dict[str, bytes | None]:
    """Everything beside the folder, but the folder."""
    return {path.name: path.read_bytes() if path.is_file() else None for path in folder.parent.iterdir() if path != folder}


def test_an_unlocked_process_changes_all_of_it_so_the_attempts_are_real(folder: Path) -> None:
    found = tried(folder, locked=False)
    assert set(found["said"]) - reached(found) <= {"make, by creat"}, "that number is of one processor"
    assert set(sandbox.FILES_TRIED) <= set(found["locks"]["open"])


@pytest.mark.parametrize("role", ["engine", "window"])
def test_a_locked_process_changes_nothing_but_its_own_folder(folder: Path, role: str) -> None:
    before = outside(folder)
    found = tried(folder, role)
    assert reached(found) == set()
    assert outside(folder) == before | {"inherited": b"preciousx"}, "what it was given open it may go on with"
    assert set(found["works"].values()) == {"done"}, found["works"]
    locks = sandbox.Locks.of(found["locks"])
    assert (locks.landlock, locks.open) == ("", ())


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5, 6])
def test_an_older_kernel_refuses_what_it_knows_and_the_rest_is_said(folder: Path, version: int) -> None:
    found = tried(folder, version=version)
    locks = sandbox.Locks.of(found["locks"])
    assert locks.landlock_version == version
    assert reached(found) == set(), "the filter refuses to empty what an older Landlock lets be emptied"
    assert (locks.level, locks.open) == ("kernel", ())
    assert set(found["works"].values()) == {"done"}, "an older kernel hinders nobody"
    assert bool(landlock.missing(version)) == (version < 6)


def test_a_kernel_without_landlock_leaves_files_open_and_says_so(folder: Path) -> None:
    found = tried(folder, version=0)
    assert set(found["said"]) - reached(found) <= FILTERED
    locks = sandbox.Locks.of(found["locks"])
    assert locks.level == "guarded"
    assert locks.landlock == "this kernel has no Landlock"
    assert set(sandbox.FILES_TRIED) - {"emptying files outside of its folder"} <= set(locks.open)


def test_without_the_filter_an_older_kernel_lets_files_be_emptied_and_that_is_said(folder: Path) -> None:
    found = tried(folder, version=2, filtered=False)
    locks = sandbox.Locks.of(found["locks"])
    assert reached(found) == {"empty", "empty on opening"}
    assert (locks.level, "emptying files outside of its folder" in locks.open) == ("guarded", True)


def test_a_folder_that_became_a_link_opens_nothing(folder: Path) -> None:
    """Whoever could put a link in its place would else choose what may be written."""
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    folder.rename(folder.parent / "old")
    folder.symlink_to(elsewhere)
    script = (
        "import json,sys; sys.path.insert(0,sys.argv[1]); from pathlib import Path; from app.system import sandbox\n"
        "def refused(path):\n    try: path.write_text('x')\n    except PermissionError: return True\n"
        "locks = sandbox.lock('engine', {}, folder=Path(sys.argv[2])); "
        "sys.exit('written') if not refused(Path(sys.argv[2], 'x')) else None; print(json.dumps(locks.fields()))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(ROOT), str(folder)], capture_output=True, text=True, check=True)
    locks = sandbox.Locks.of(json.loads(done.stdout))
    assert (locks.landlock, locks.open) == ("", ())
    assert os.listdir(elsewhere) == []
