"""One keeper per data folder; whatever is left of a dead or deaf one never locks a person out."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.core.errors import AppError
from app.system.instance import Instance, Running, acquire
from app.system.paths import Paths
from app.system.processes import started_at

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="unix sockets and signals")
ROOT = Path(__file__).resolve().parents[2]

# A holder in a process of its own: takes the lock, serves, says so, and then does what the test wants.
HOLDER = """
import sys, time, subprocess
from pathlib import Path
from app.system.instance import acquire
from app.system.paths import Paths
paths = Paths(Path(sys.argv[1]))
paths.prepare()
instance = acquire(paths, {"op": "ping"})
instance.serve(lambda question: {"said": question.get("op"), "port": 4141})
children = []
if "child" in sys.argv:
    from app.system.processes import started_at
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    children = [(child.pid, started_at(child.pid))]
    print(child.pid, flush=True)
instance.record(children, Path("/tmp/left") if "child" in sys.argv else None)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(tmp_path / "data")
    made.prepare()
    return made


@pytest.fixture
def holders() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for each in started:
        if each.poll() is None:
            each.send_signal(signal.SIGKILL)
        each.wait()
        assert each.stdout is not None
        each.stdout.close()


def hold(paths: Paths, holders: list[subprocess.Popen[str]], *arguments: str) -> subprocess.Popen[str]:
    made = subprocess.Popen([sys.executable, "-c", HOLDER, str(paths.data_dir), *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    holders.append(made)
    assert made.stdout is not None
    if "child" not in arguments:
        assert made.stdout.readline() == "held\n"
    return made


def won(result: Instance | Running) -> Instance:
    assert isinstance(result, Instance)
    return result


def test_the_second_is_told_who_the_first_is(paths: Paths, holders: list[subprocess.Popen[str]]) -> None:
    first = hold(paths, holders)
    second = acquire(paths, {"op": "show"})
    assert isinstance(second, Running)
    assert second.pid == first.pid
    assert (second.facts["said"], second.facts["port"]) == ("show", 4141)


def test_after_a_clean_end_the_next_starts_at_once(paths: Paths) -> None:
    for _ in range(3):
        started = time.monotonic()
        instance = won(acquire(paths, {"op": "show"}))
        instance.serve(lambda question: {})
        instance.record([], None)
        assert paths.instance.exists()
        instance.close()
        assert not paths.instance.exists()
        assert time.monotonic() - started < 5


def test_what_a_killed_one_left_is_taken_over(paths: Paths, holders: list[subprocess.Popen[str]]) -> None:
    first = hold(paths, holders)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert paths.instance.exists(), "its socket is still there"
    instance = won(acquire(paths, {"op": "show"}))
    instance.serve(lambda question: {"said": "second"})
    instance.record([], None)
    again = acquire(paths, {"op": "show"})
    assert isinstance(again, Running)
    assert again.pid == os.getpid()
    instance.close()


def test_children_of_a_killed_one_are_gone_before_the_next_begins(
    paths: Paths, holders: list[subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.system.instance._CHILDREN_TIMEOUT_S", 0.3)
    first = hold(paths, holders, "child")
    assert first.stdout is not None
    child = int(first.stdout.readline())
    assert first.stdout.readline() == "held\n"
    assert started_at(child) is not None
    first.send_signal(signal.SIGKILL)
    first.wait()
    instance = won(acquire(paths, {"op": "show"}))
    assert started_at(child) is None
    assert instance.ephemeral_left == Path("/tmp/left")
    instance.close()


def test_one_that_is_alive_but_deaf_is_replaced(paths: Paths, holders: list[subprocess.Popen[str]]) -> None:
    first = hold(paths, holders)
    first.send_signal(signal.SIGSTOP)
    os.waitpid(first.pid, os.WUNTRACED)  # until it stands still
    reaper = threading.Thread(target=first.wait)
    reaper.start()
    instance = won(acquire(paths, {"op": "show"}, patience_s=0.5))
    reaper.join(5)
    assert first.returncode in (-signal.SIGKILL, -signal.SIGTERM)
    instance.close()


def test_one_that_is_ending_is_waited_for(paths: Paths) -> None:
    first = won(acquire(paths, {"op": "show"}))
    first.serve(lambda question: {})
    first.record([], None)
    first.stop_serving()
    timer = threading.Timer(0.5, first.close)
    timer.start()
    started = time.monotonic()
    second = won(acquire(paths, {"op": "show"}))
    assert time.monotonic() - started >= 0.4
    second.close()
    timer.join()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"pid": "x", "children": [1, [2], [3, 4, 5], null]}', b"\xff" * 100,
                                     b'{"pid": 1, "started": "1", "children": [[1, "1"], [-1, "x"]], "ephemeral": 7}'])  # fmt: skip
def test_a_damaged_lock_file_changes_nothing(paths: Paths, content: bytes) -> None:
    paths.lock.write_bytes(content)
    instance = won(acquire(paths, {"op": "show"}))
    assert instance.ephemeral_left is None
    assert json.loads(paths.lock.read_bytes())["pid"] == os.getpid()
    instance.close()


def test_whoever_reads_the_record_while_it_is_written_anew_reads_a_whole_one(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that finds none takes the gateway for stopped, where its sockets are not in the first of all places."""
    instance = won(acquire(paths, {"op": "show"}))
    seen: list[dict[str, object]] = []
    for name in ("write", "ftruncate"):
        real = getattr(os, name)

        def step(*arguments: object, real: Callable[..., object] = real) -> None:
            real(*arguments)
            seen.append(json.loads(paths.lock.read_bytes()))

        with monkeypatch.context() as patched:
            patched.setattr(os, name, step)
            instance.record([[1000, "1"], [1001, "1"]], None)
            instance.record([], None)
    assert [each["children"] for each in seen if not each["children"]]
    assert {each["pid"] for each in seen} == {os.getpid()}
    instance.close()


def test_a_process_that_only_has_the_recorded_id_is_left_alone(paths: Paths) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
    paths.lock.write_text(json.dumps({"pid": 2**22 + 1, "started": "1", "children": [[bystander.pid, "another start"]]}))
    instance = won(acquire(paths, {"op": "show"}))
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()
    instance.close()


@pytest.mark.parametrize("line", [b"\n", b"[]\n", b"null\n", b"x" * 20_000, b"{}", b"\xff\n", b"[" * 9000 + b"\n"])
def test_nonsense_on_the_socket_is_dropped_and_the_next_asker_is_answered(paths: Paths, line: bytes) -> None:
    instance = won(acquire(paths, {"op": "show"}))
    instance.serve(lambda question: {"said": "hello"})
    instance.record([], None)
    with socket.socket(socket.AF_UNIX) as rude:
        rude.connect(str(paths.instance))
        rude.sendall(line)
        rude.shutdown(socket.SHUT_WR)
        assert rude.recv(100) == b""
    again = acquire(paths, {"op": "show"})
    assert isinstance(again, Running)
    assert again.facts["said"] == "hello"
    instance.close()


def test_an_impostor_that_does_not_know_the_nonce_is_not_believed(paths: Paths) -> None:
    held = won(acquire(paths, {"op": "show"}))
    held.record([], None)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(paths.instance))
    listener.listen()
    stop = threading.Event()

    def answer() -> None:
        listener.settimeout(0.2)
        while not stop.is_set():
            try:
                asker, _ = listener.accept()
            except OSError:
                continue
            with asker:
                asker.recv(4096)
                asker.sendall(b'{"nonce":"0","pid":1}\n')

    thread = threading.Thread(target=answer)
    thread.start()
    timer = threading.Timer(0.6, held.close)
    timer.start()
    instance = won(acquire(paths, {"op": "show"}))
    stop.set()
    thread.join()
    timer.join()
    listener.close()
    instance.close()


def test_many_at_once_have_one_winner(paths: Paths) -> None:
    code = """
import sys, time
from pathlib import Path
from app.system.instance import Instance, acquire
from app.system.paths import Paths
paths = Paths(Path(sys.argv[1])); paths.prepare()
result = acquire(paths, {"op": "show"})
if isinstance(result, Instance):
    result.serve(lambda question: {}); result.record([], None)
    print("won", flush=True); sys.stdin.read(); result.close()
else:
    print("told", flush=True)
"""
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(paths.data_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        for _ in range(6)
    ]
    said = [racer.stdout.readline().strip() for racer in racers if racer.stdout]
    for racer in racers:
        racer.communicate()
    assert sorted(said) == ["told"] * 5 + ["won"]


def test_a_lock_file_that_cannot_be_made_is_said_in_words(paths: Paths) -> None:
    paths.lock.mkdir()
    with pytest.raises(AppError) as caught:
        acquire(paths, {"op": "show"})
    assert caught.value.code == "data_folder"
