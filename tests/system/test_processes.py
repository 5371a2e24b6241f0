"""What is known about processes, how ours are started and ended, and what they leave behind."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

import app
from app.system import peers, processes, socket_table
from app.system.children import Child, own_command
from app.system.logs import Log, open_for_append, recent, rotate, tail
from app.system.processes import allow_many_descriptors, end, exit_words, is_running, port_holder, started_at
from app.system.sockets import PortTakenError, listen, listen_unix

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="signals")
ECHO = """
import os, sys
from app.system.channel import inherited
channel = inherited(sys.argv[1:])
print("hello from the child", flush=True)
channel.send({"environment": sorted(os.environ), "cwd": os.getcwd(), "session": os.getsid(0)})
while channel.receive() is not None:
    pass
sys.exit(7)
"""


def child(code: str, log: Path, environment: dict[str, str] | None = None) -> tuple[Child, list[int], threading.Event]:
    codes: list[int] = []
    ended = threading.Event()

    def on_exit(code: int) -> None:
        codes.append(code)
        ended.set()

    package = str(Path(__file__).resolve().parents[2])
    made = Child([sys.executable, "-s", "-P", "-c", code], {"PYTHONPATH": package} | (environment or {}), log, on_exit)
    return made, codes, ended


def test_a_process_is_told_from_a_later_one_with_its_id() -> None:
    mine = started_at(os.getpid())
    assert mine is not None
    assert is_running(os.getpid(), mine)
    assert not is_running(os.getpid(), mine + "0")
    assert not is_running(0, mine)
    other = subprocess.Popen([sys.executable, "-c", "pass"])
    other.wait()
    assert started_at(other.pid) is None


@pytest.mark.parametrize(
    "error", [OSError(5, "Input/output error"), PermissionError(13, "no"), ValueError("not a number of a process"), psutil.AccessDenied(1)]
)
def test_what_the_system_says_of_a_process_stays_in_the_file_that_asks(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Elsewhere than on Linux psutil asks, and it passes on what the system said."""

    def fail(*_: object) -> object:
        raise error

    monkeypatch.setattr(psutil, "Process", fail)
    assert processes._started_elsewhere(1) is None
    assert socket_table._look_elsewhere([1]).hidden == (1,)
    monkeypatch.setattr(sys, "platform", "other")
    assert peers._program(1) == ""


@posix_only
def test_a_zombie_is_not_running() -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
    started = started_at(other.pid) or ""
    other.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 5
    while is_running(other.pid, started) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(other.pid, started)
    other.wait()


@posix_only
def test_a_process_that_ignores_the_request_is_made_to_end_and_another_is_left_alone() -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(30)"
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert other.stdout is not None
    other.stdout.readline()
    started = started_at(other.pid) or ""
    assert end(other.pid, "another start", 0.1)
    assert other.poll() is None
    reaper = threading.Thread(target=other.wait)
    reaper.start()
    assert end(other.pid, started, 0.3)
    reaper.join()
    assert other.returncode == -signal.SIGKILL
    other.stdout.close()


def test_the_holder_of_a_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        words = port_holder(held.getsockname()[1])
        assert str(os.getpid()) in words
    assert port_holder(1) == "another program"


def test_exits_in_words() -> None:
    assert exit_words(3) == "exit code 3"
    if sys.platform != "win32":
        assert exit_words(-11) == "killed by SIGSEGV"
        assert exit_words(-99) == "killed by signal 99"


@posix_only
def test_the_limit_of_descriptors_is_raised_for_children_too() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]));"
        "from app.system.processes import allow_many_descriptors as a; a(); print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).resolve().parents[2])
    soft, hard = (int(part) for part in done.stdout.strip().strip("()").split(","))
    assert soft == min(hard, 65536) or hard < 0
    allow_many_descriptors()


@posix_only
def test_a_child_has_its_channel_its_environment_and_its_log_and_nothing_else(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    made, codes, ended = child(ECHO, log, {"HOME": "/"})
    received = made.channel.receive()
    assert received is not None
    assert set(received[0]["environment"]) <= {"HOME", "PYTHONPATH", "LC_CTYPE"}
    assert received[0]["cwd"] == "/"
    assert received[0]["session"] == made.pid, "Ctrl-C in our terminal does not reach it"
    assert is_running(made.pid, made.started)
    made.channel.close()
    assert ended.wait(10)
    assert codes == [7]
    assert tail(log) == ["hello from the child"]
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert started_at(made.pid) is None, "no zombie"


@posix_only
def test_a_child_that_hangs_is_made_to_end(tmp_path: Path) -> None:
    made, codes, _ = child("import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)", tmp_path / "log")
    while not tail(tmp_path / "log"):
        time.sleep(0.01)
    started = time.monotonic()
    made.end(0.1, 0.1)
    assert time.monotonic() - started < 30
    assert made.wait(0)
    time.sleep(0.05)
    assert codes == [-signal.SIGKILL]
    made.terminate()
    made.channel.close()


def test_a_child_that_cannot_be_started_leaves_nothing_open(tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd")) if os.path.isdir("/dev/fd") else 0
    with pytest.raises(OSError, match=r".*"):
        Child([str(tmp_path / "missing")], {}, tmp_path / "log", lambda code: None)
    if before:
        assert len(os.listdir("/dev/fd")) == before


def test_our_own_command_names_the_verb() -> None:
    assert own_command("engine")[0] == sys.executable
    assert own_command("engine")[-2:] == [str(Path(app.__file__).with_name("__main__.py")), "engine"]


def test_a_log_line_is_one_line_whatever_it_says(tmp_path: Path) -> None:
    log = Log(tmp_path / "keeper.log", lambda: 1_700_000_000.25)
    log.line("refused: evil\nname\x1b[31m")
    log.close()
    assert (tmp_path / "keeper.log").read_text() == "2023-11-14T22:13:20.250Z refused: evil?name?[31m\n"


def test_the_end_of_a_log_is_read_without_reading_it_all(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"".join(b"line %d \xff\x1b[2J\n" % n for n in range(5000)))
    last = tail(path, 3)
    assert [line.split()[1] for line in last] == ["4997", "4998", "4999"]
    assert "\x1b" not in "".join(last)
    path.write_bytes(b"x" * 100_000)
    assert all(len(line) <= 500 for line in tail(path))
    assert tail(tmp_path / "none") == []


def test_a_full_log_is_set_aside_while_its_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer = open_for_append(path)
    os.write(writer, b"a" * 1000)
    assert not rotate(path, 2000)
    os.write(writer, b"b" * 1000)
    assert rotate(path, 2000)
    os.write(writer, b"after\n")
    os.close(writer)
    assert path.read_bytes() == b"after\n"
    assert (tmp_path / "log.1").stat().st_size == 2000
    if sys.platform != "win32":
        assert stat.S_IMODE((tmp_path / "log.1").stat().st_mode) == 0o600


def test_the_last_lines_go_on_in_the_file_that_was_put_aside(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", clock_s=lambda: 0.0)
    for number in range(60):
        log.line(f"why {number} " + "x" * 400)
    assert rotate(log.path, 2000)
    assert tail(log.path) == []
    assert recent(log.path, 3) == [line for line in recent(log.path, 100) if " why 57 " in line or " why 58 " in line or " why 59 " in line]
    log.line("after")
    last = recent(log.path, 3)
    assert [line.split()[1] for line in last] == ["why", "why", "after"]
    assert sum(map(len, recent(log.path, 10_000))) < 40_000  # bounded, however large the files are
    log.close()


@posix_only
def test_a_log_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r".*"):
        Log(tmp_path / "log")


def test_a_port_is_ours_alone() -> None:
    ours = listen("127.0.0.1", 0)
    assert ours is not None
    port = ours.getsockname()[1]
    with pytest.raises(PortTakenError):
        listen("127.0.0.1", port)
    again = listen("127.0.0.1", 0)
    assert again is not None
    # a connection that lingers after our end does not keep the port from us
    there = socket.create_connection(("127.0.0.1", port))
    ours.setblocking(True)
    here, _ = ours.accept()
    here.close()
    ours.close()
    there.close()
    back = listen("127.0.0.1", port)
    assert back is not None
    back.close()
    again.close()


def test_a_stranger_on_all_addresses_holds_the_port() -> None:
    with socket.create_server(("0.0.0.0", 0)) as stranger, pytest.raises(PortTakenError):
        listen("127.0.0.1", stranger.getsockname()[1])


def test_a_family_the_machine_lacks_is_no_error() -> None:
    assert listen("fd00:dead:beef::1", 0) is None


@posix_only
def test_a_stale_unix_socket_is_replaced_and_private(tmp_path: Path) -> None:
    path = Path("/tmp") / f"gh-{os.urandom(4).hex()}.sock"
    first = listen_unix(path)
    second = listen_unix(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(str(path))
    first.close()
    second.close()
    path.unlink()
