"""Exports of the window: real writer children, a real requester, and everything that can go wrong between them. Nothing half is kept."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from app import report_verifier, verifier
from app.core import frames
from app.core.errors import AppError
from app.core.exports import KINDS, Name
from app.gui.writing import Writing
from app.keeper.writers import WRITERS_MAX, Writers
from app.system import environment, landlock
from app.system.children import Child, own_command
from app.system.processes import started_at
from tests import disks
from tests.gateway import ROOT, wait_for

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and descriptors")
NAMES: dict[Name, str] = {"requests": "a.csv", "audit": "gatehouse-audit-7", "network": "gatehouse-network-7"}


class Made:
    """Writers as the keeper has them. `call`: the window's question."""

    def __init__(self, folder: Path, command: Sequence[str] | None = None, silence_s: float | None = None) -> None:
        self.log = folder / "writer.log"
        self.said: list[str] = []
        self.tripped: list[dict[str, Any]] = []
        self._command = command or own_command("writer")
        self.writers = Writers(self._start, (folder,), os.environ, self.said.append, lambda: None, self.tripped.append, silence_s=silence_s)

    def _start(self, files: Sequence[int]) -> Child:
        return Child(self._command, environment.constructed("writer", os.environ), self.log, lambda code: None, files)

    def call(
        self, op: str, fields: dict[str, object] | None = None, *, timeout_s: float = 30
    ) -> tuple[dict[str, Any], list[socket.socket]]:
        asked = fields or {}
        return {}, [self.writers.begin(asked["kind"], asked["path"])]

    def idle(self) -> bool:
        return not self.writers.children()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def made(data: Path) -> Iterator[Made]:
    one = Made(data)
    yield one
    one.writers.close()
    wait_for(one.idle, "the writers to end")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "place"
    folder.mkdir(mode=0o700)
    return folder


def export(made: Made, target: Path, kind: Name = "requests", content: bytes = b"line\n") -> None:
    with Writing(made, kind, target) as writing:
        for number in range(KINDS[kind].count):
            writing.send(number, content)
        writing.end()


def parts(place: Path) -> list[str]:
    return sorted(str(entry.relative_to(place)) for entry in place.rglob("*"))


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("size", [0, 1, 3 * frames.PIECE_MAX + 7])
def test_each_kind_of_export_is_written_as_it_was_sent(made: Made, place: Path, kind: Name, size: int) -> None:
    content = os.urandom(size)
    export(made, place / NAMES[kind], kind, content)
    whole = place / NAMES[kind]
    if kind == "requests":
        assert whole.read_bytes() == content
        assert stat.S_IMODE(whole.stat().st_mode) == 0o600
        assert parts(place) == ["a.csv"]
        return
    assert stat.S_IMODE(whole.stat().st_mode) == 0o700
    assert sorted(file.name for file in whole.iterdir()) == sorted(KINDS[kind].names)
    assert {stat.S_IMODE(file.stat().st_mode) for file in whole.iterdir()} == {0o600}
    assert all((whole / name).read_bytes() == content for name in KINDS[kind].sent)
    program = verifier if kind == "audit" else report_verifier
    assert (whole / "verify.py").read_bytes() == Path(program.__file__).read_bytes()


def test_the_program_that_a_person_will_run_cannot_be_sent(made: Made, place: Path) -> None:
    """The window names files by number, and the verifier and the README have none it may use."""
    for number in range(3, 254, 50):
        with pytest.raises(AppError, match="ended half-way"), Writing(made, "audit", place / NAMES["audit"]) as writing:
            writing._send(frames.frame(number, b"import os"))
            writing.end()
    assert parts(place) == []


TAKEN: dict[str, Callable[[Path], object]] = {
    "a file": lambda at: at.write_text("mine"),
    "a link to a file": lambda at: at.symlink_to(at.parent.parent / "precious"),
    "a link to nothing": lambda at: at.symlink_to("nothing"),
    "a folder": lambda at: at.mkdir(),
    "a pipe": os.mkfifo,
}


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("what", TAKEN)
def test_nothing_is_overwritten_and_the_person_is_told_to_choose_another_name(
    made: Made, place: Path, tmp_path: Path, kind: Name, what: str
) -> None:
    (tmp_path / "precious").write_text("precious")
    TAKEN[what](place / NAMES[kind])
    with pytest.raises(AppError) as refused:
        export(made, place / NAMES[kind], kind)
    assert (refused.value.code, refused.value.message) == ("name_taken", f"{NAMES[kind]} exists already.")
    assert refused.value.hint == "Choose another name; nothing is overwritten."
    assert parts(place) == [NAMES[kind]]
    assert (tmp_path / "precious").read_text() == "precious"


def test_what_takes_the_name_while_it_is_written_stays(made: Made, place: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    for what, take in TAKEN.items():
        target = place / f"{what}.csv"
        with pytest.raises(AppError, match="exists already"), Writing(made, "requests", target) as writing:
            writing.send(0, b"x")
            take(target)
            writing.end()
    assert parts(place) == sorted(f"{what}.csv" for what in TAKEN)
    assert (tmp_path / "precious").read_text() == "precious"


@pytest.mark.parametrize("kind", NAMES)
def test_two_at_once_to_one_name_the_first_has_it(made: Made, place: Path, kind: Name) -> None:
    with Writing(made, kind, place / NAMES[kind]) as first:
        with pytest.raises(AppError, match="is being written already"):
            export(made, place / NAMES[kind], kind)
        with pytest.raises(AppError, match=r"is being written already|not a name"):
            export(made, place / NAMES[kind].upper().replace("CSV", "csv"), kind)
        first.send(0, b"first")
        first.end()
    assert [entry.name for entry in place.iterdir()] == [NAMES[kind]]
    with pytest.raises(AppError, match="exists already"):
        export(made, place / NAMES[kind], kind)


def test_so_many_at_once_and_no_more(made: Made, place: Path) -> None:
    with Writing(made, "requests", place / "0.csv"), Writing(made, "requests", place / "1.csv"):
        with Writing(made, "requests", place / "2.csv"), Writing(made, "requests", place / "3.csv"):
            assert WRITERS_MAX == 4
            with pytest.raises(AppError) as refused:
                export(made, place / "4.csv")
            assert refused.value.code == "too_many_connections"
        export(made, place / "4.csv")
    export(made, place / "5.csv")
    assert parts(place) == ["4.csv", "5.csv"]


def test_a_refused_one_takes_no_place(made: Made, place: Path) -> None:
    for _ in range(3 * WRITERS_MAX):
        for path in (place / "nothing" / "a.csv", place / ".a.csv", place / "a.exe"):
            with pytest.raises(AppError):
                export(made, path)
        with pytest.raises(AppError):
            made.writers.begin("vault", str(place / "a.csv"))
    export(made, place / "a.csv")


def vanish(writing: Writing, made: Made) -> None:
    writing._stream.close()


def cancel(writing: Writing, made: Made) -> None:
    writing.__exit__(None, None, None)


def kill_the_writer(writing: Writing, made: Made) -> None:
    (child,) = made.writers.children()
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(AppError, match="the process that writes it ended"):
        writing.end()


def end_the_keeper(writing: Writing, made: Made) -> None:
    made.writers.close()


def send_noise(writing: Writing, made: Made) -> None:
    writing._stream.sendall(b"\x07" * 40)
    with pytest.raises(AppError, match="ended half-way"):
        writing.end()


def stop_the_writer_and_end(writing: Writing, made: Made) -> None:
    """A writer that hangs."""
    (child,) = made.writers.children()
    os.kill(child.pid, signal.SIGSTOP)
    made.writers.close()


ENDS = [vanish, cancel, kill_the_writer, end_the_keeper, send_noise, stop_the_writer_and_end]


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("how", ENDS)
def test_whatever_ends_it_half_way_nothing_is_kept(made: Made, place: Path, kind: Name, how: Callable[[Writing, Made], None]) -> None:
    (place / "mine.txt").write_text("mine")
    writing = Writing(made, kind, place / NAMES[kind])
    writing.send(0, bytes(3 << 20))
    pids = [child.pid for child in made.writers.children()]
    how(writing, made)
    wait_for(made.idle, "the writer to end")
    assert parts(place) == ["mine.txt"]
    assert not [pid for pid in pids if started_at(pid)]
    assert NAMES[kind] in made.said[-1]
    assert "nothing is left" in made.said[-1]
    assert str(place) not in " ".join(made.said)
    writing._stream.close()


def test_a_window_that_says_nothing_is_given_up(data: Path, place: Path) -> None:
    made = Made(data, silence_s=0.3)
    with pytest.raises(AppError, match="nothing came"), Writing(made, "audit", place / NAMES["audit"]) as writing:
        writing.send(0, b"x")
        wait_for(made.idle, "the writer to give up")
        writing.end()
    assert parts(place) == []
    made.writers.close()


def test_a_file_that_somebody_put_in_the_place_of_the_unfinished_one_is_not_removed(made: Made, place: Path) -> None:
    with Writing(made, "requests", place / "a.csv") as writing:
        writing.send(0, b"half")
        (part,) = place.iterdir()
        part.rename(place / "moved")
        part.write_text("precious")
    wait_for(made.idle, "the writer to end")
    assert part.read_text() == "precious"


@pytest.mark.parametrize("kind", NAMES)
def test_a_full_disk_is_said_at_once_and_leaves_nothing(made: Made, small_disk: Path, kind: Name) -> None:
    small_disk.chmod(0o700)
    with pytest.raises(AppError) as refused, Writing(made, kind, small_disk / NAMES[kind]) as writing:
        for _ in range(10_000):
            writing.send(0, bytes(65_536))
    assert refused.value.message == f"The disk is full: {NAMES[kind]} was not written."
    assert list(small_disk.iterdir()) == []
    filler = disks.fill(small_disk)
    with pytest.raises(AppError, match="The disk is full"):
        export(made, small_disk / NAMES[kind], kind)
    wait_for(made.idle, "the writer to end")
    assert list(small_disk.iterdir()) == [filler]


def test_what_is_sent_after_the_end_is_dropped_and_kept_is_kept(made: Made, place: Path) -> None:
    stream = made.writers.begin("requests", str(place / "a.csv"))
    with stream:
        stream.sendall(frames.frame(0, b"whole") + frames.frame(frames.END, b""))
        wait_for((place / "a.csv").exists, "the file")
        with pytest.raises(OSError, match=r"[Pp]ipe|reset"):
            while True:
                stream.sendall(bytes(65_536))
    assert (place / "a.csv").read_bytes() == b"whole"


def test_a_writer_that_cannot_be_started_leaves_nothing(data: Path, place: Path) -> None:
    made = Made(data, command=["/nothing/there"])
    for _ in range(WRITERS_MAX + 1):
        with pytest.raises(AppError, match="cannot be started"):
            export(made, place / "a.csv")
    assert parts(place) == []


def test_a_keeper_without_a_thread_left_leaves_nothing(made: Made, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starting = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name == "export":
            raise RuntimeError("can't start new thread")
        starting(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    for _ in range(WRITERS_MAX + 1):
        with pytest.raises(AppError, match="no thread left"):
            export(made, place / "a.csv")
    assert parts(place) == []
    monkeypatch.undo()
    export(made, place / "a.csv")


def test_a_writer_that_lies_gets_no_name_for_what_it_did_not_finish(data: Path, place: Path) -> None:
    """Anything but the one word for a whole export is none."""
    for message in ({}, {"why": "almost"}, {"why": ["whole"]}, {"why": "disk", "errno": "x"}, {"why": "disk", "errno": 1 << 70}):
        script = (
            "import sys; sys.path.insert(0, sys.argv[1])\n"
            "from app.system.channel import inherited; channel = inherited(sys.argv); channel.receive()\n"
            f"channel.send({message!r})"
        )
        made = Made(data, command=[sys.executable, "-c", script, str(ROOT)])
        with Writing(made, "requests", place / "a.csv") as writing, pytest.raises(AppError, match=r"ended|error of its own|Unknown"):
            writing.end()
        wait_for(made.idle, "the writer to end")
        assert parts(place) == []


def test_after_the_end_nothing_begins(made: Made, place: Path) -> None:
    made.writers.close()
    with pytest.raises(AppError) as refused:
        export(made, place / "a.csv")
    assert refused.value.code == "draining"


def test_descriptors_and_threads_do_not_grow(made: Made, place: Path) -> None:
    export(made, place / "first.csv")
    wait_for(made.idle, "the writer to end")
    before, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    for number in range(5):
        export(made, place / f"gatehouse-audit-{number}", "audit")
        with Writing(made, "audit", place / "gatehouse-audit-99"):
            pass
        with pytest.raises(AppError):
            export(made, place / "first.csv")
    wait_for(lambda: made.idle() and len(os.listdir("/proc/self/fd")) <= before, "everything to be closed")
    wait_for(lambda: threading.active_count() <= threads, "the threads to end")


PLANTED = """
import ctypes, json, os, signal, socket, subprocess, sys
sys.path.insert(0, sys.argv.pop(1))
from app.__main__ import _lock
_lock("writer")
from app.keeper import writer_child
from app.system import sandbox
take = writer_child.take
def evil(kind, numbers, stream, silence_s):
    said = {}
    def attempt(name, work):
        try:
            work()
            said[name] = "DONE"
        except OSError as error:
            said[name] = type(error).__name__
    libc = ctypes.CDLL(None, use_errno=True)
    def call(name, *arguments):
        def work():
            if getattr(libc, name)(*arguments) < 0:
                raise OSError(ctypes.get_errno(), name)
        return work
    attempt("tcp", lambda: socket.socket())
    attempt("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    attempt("unix", lambda: socket.socket(socket.AF_UNIX))
    attempt("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
    attempt("native tcp", call("socket", 2, 1, 0))
    attempt("native unix", call("socket", 1, 1, 0))
    attempt("look-up", lambda: socket.getaddrinfo("leak.invalid.", 443))
    attempt("program", lambda: subprocess.run(["true"]))
    attempt("native program", call("execve", b"/bin/true", (ctypes.c_char_p * 2)(b"true", None), (ctypes.c_char_p * 1)(None)))
    attempt("memory of the keeper", lambda: os.open(f"/proc/{os.getppid()}/mem", os.O_RDWR))
    attempt("ptrace", call("ptrace", 16, os.getppid(), 0, 0))
    attempt("signal to the keeper", lambda: os.kill(os.getppid(), 0))
    locks = sandbox.own()
    line = json.dumps({"said": said, "open": locks.open, "level": locks.level, "files": len(os.listdir("/proc/self/fd"))})
    print(line, file=sys.stderr, flush=True)
    return take(kind, numbers, stream, silence_s)
writer_child.take = evil
sys.exit(writer_child.run(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's locks are known for Linux")
def test_code_in_the_writer_reaches_nobody(data: Path, place: Path) -> None:
    made = Made(data, command=[sys.executable, "-s", "-P", "-c", PLANTED, str(ROOT)])
    export(made, place / NAMES["audit"], "audit", b"as ever\n")
    assert (place / NAMES["audit"] / "entries.jsonl").read_bytes() == b"as ever\n"
    found = json.loads(next(line for line in made.log.read_text().splitlines() if line.startswith('{"said"')))
    passed = {name for name, result in found["said"].items() if result == "DONE"}
    assert passed <= ({"signal to the keeper"} if landlock.version() < 6 else set()), found
    assert (found["level"], found["open"]) == ("kernel", [])
    # standard ones, channel, five files, the stream, and the list itself
    assert found["files"] == 3 + 1 + 5 + 1 + 1
    assert {(trip["process"], trip["what"]) for trip in made.tripped} == {
        ("writer", "socket"), ("writer", "look-up"), ("writer", "program"),
    }  # fmt: skip
    assert next(line for line in made.said if line.startswith("the writer (process")).endswith(") is kernel")
    made.writers.close()


def test_the_verb_is_not_for_people() -> None:
    from app.__main__ import CHILDREN, ROLES

    assert "writer" in CHILDREN
    assert ROLES["writer"] == "writer"


def test_a_slow_window_is_not_cut(made: Made, place: Path) -> None:
    with Writing(made, "requests", place / "a.csv") as writing:
        for letter in b"slowly":
            writing._stream.sendall(bytes((0, 0, 0, 0, 1, letter))[:3])
            time.sleep(0.01)
            writing._stream.sendall(bytes((0, 0, 0, 0, 1, letter))[3:])
        writing.end()
    assert (place / "a.csv").read_bytes() == b"slowly"
