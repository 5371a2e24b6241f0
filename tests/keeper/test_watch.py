"""The keeper's watch: real sockets of real processes against what the broker really dialled, and everything it tells."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import AppError
from app.egress.tripwire import Trip
from app.keeper.broker import Broker, Refusal
from app.keeper.listeners import Listeners, open_listeners
from app.keeper.watch import BUSY_S, QUIET_S, Watch
from app.system import reach
from app.system.paths import Paths
from app.system.sandbox import Locks
from tests.keeper.consenting import Willing

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="whose a socket is, is asked differently elsewhere")


class Post:
    """Where an engine would be: hears pushes while it is there."""

    def __init__(self) -> None:
        self.there = True
        self.heard: list[tuple[str, dict[str, object]]] = []

    def tell(self, op: str, fields: dict[str, object]) -> bool:
        if self.there:
            self.heard.append((op, fields))
        return self.there

    def of(self, op: str) -> list[dict[str, object]]:
        return [fields for known, fields in self.heard if known == op]


class Ground:
    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.paths = Paths(folder / "data")
        self.paths.prepare()
        self.listeners: Listeners = open_listeners(self.paths, 0)
        stack.callback(self.listeners.close, self.paths)
        self.post, self.log = Post(), list[str]()
        self.broker = Broker(self.listeners.port, lambda *_: None, self.log.append, consent=Willing())
        stack.callback(self.broker.engine_ended)
        self.pids: Any = {"keeper": os.getpid()}
        self.window: Callable[[], list[object]] = list
        self.watch = Watch(
            self.broker, self.listeners, ("HTTPS_PROXY",), lambda: dict(self.pids), self.post.tell, self.log.append, self._window, dict
        )
        stack.callback(self.watch.stop)

    def _window(self) -> list[object]:
        return self.window()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


@pytest.fixture
def ground(stack: ExitStack, tmp_path: Path) -> Ground:
    return Ground(stack, tmp_path)


@pytest.fixture
def elsewhere(stack: ExitStack) -> int:
    """The port of somebody whom nobody declared."""
    return int(stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1])


def until(is_so: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def stranger(stack: ExitStack, code: str) -> subprocess.Popen[str]:
    """A process that runs `code` and then holds what it made."""
    script = f"import socket, subprocess, sys\n{code}\nprint('made', flush=True)\nsys.stdin.read()"
    made = stack.enter_context(subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    stack.callback(made.kill)
    assert made.stdout is not None
    assert made.stdout.readline() == "made\n"
    return made


def strangers(ground: Ground) -> set[tuple[object, object]]:
    """Who has what, without what belongs to other tests of this process."""
    found: Any = ground.watch.facts()["unexplained"]
    return {(each["process"], each["remote"]) for each in found if each["process"] != "keeper"}


def test_what_the_broker_dialled_is_explained_and_seen_before_and_after_it_ended(ground: Ground, elsewhere: int) -> None:
    ground.broker.declare("nas", "http", "127.0.0.1", elsewhere, True)
    dialled = ground.broker.dial("nas")
    facts: Any = ground.watch.facts()
    assert (facts["opened"], facts["open"], facts["seen"], facts["first"]) == (1, 1, 1, 1)
    assert not [each for each in facts["unexplained"] if each["remote"] == f"127.0.0.1:{elsewhere}"]
    assert [number for number, *_ in facts["live"]] == [dialled.connection]
    ground.broker.closed(dialled.connection)
    for _ in range(3):
        facts = ground.watch.facts()
        assert (facts["open"], facts["seen"], facts["live"]) == (0, 1, [])
    assert ground.watch._seen == set()  # the numbers of ended connections take no memory


def test_a_connection_that_came_and_went_between_two_looks_is_made_and_not_seen(ground: Ground, elsewhere: int) -> None:
    ground.broker.declare("nas", "http", "127.0.0.1", elsewhere, True)
    ground.broker.closed(ground.broker.dial("nas").connection)
    facts = ground.watch.facts()
    assert (facts["opened"], facts["seen"]) == (1, 0)


@LINUX
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_socket_of_the_engine_that_nobody_dialled_is_told_once_with_all_it_is(ground: Ground, stack: ExitStack, host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    port = stack.enter_context(socket.create_server((host, 0), family=family)).getsockname()[1]
    engine = stranger(stack, f"s = socket.create_connection(({host!r}, {port}))")
    ground.pids["engine"] = engine.pid
    ground.watch.look()
    ground.watch.look()
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    told = [each for each in ground.post.of("unexplained") if each["process"] == "engine"]
    assert [(each["pid"], each["protocol"], each["remote"]) for each in told] == [(engine.pid, "tcp", place)]
    assert any(place in line and "of the engine" in line for line in ground.log)
    engine.communicate()
    assert ("engine", place) in strangers(ground)  # it stays said after it is gone


@LINUX
def test_what_the_engine_started_is_watched_too_and_a_datagram_is_enough(ground: Ground, stack: ExitStack) -> None:
    child = "import socket,sys; s=socket.socket(2, 2); s.connect(('127.0.0.1', 53)); print(flush=True); sys.stdin.read()"
    engine = stranger(
        stack, f"c = subprocess.Popen([sys.executable, '-c', {child!r}], stdin=0, stdout=subprocess.PIPE)\nc.stdout.readline()"
    )
    ground.pids["engine"] = engine.pid
    assert strangers(ground) == {("engine's child", "127.0.0.1:53")}


@LINUX
def test_a_listener_that_is_not_ours_is_a_finding_and_ours_are_none(ground: Ground, stack: ExitStack) -> None:
    engine = stranger(stack, "s = socket.create_server(('0.0.0.0', 0))")
    ground.pids["engine"] = engine.pid
    assert strangers(ground) == {("engine", "0.0.0.0:0")}
    addresses = set(ground.listeners.addresses)
    found: Any = ground.watch.facts()["unexplained"]
    assert not [each for each in found if each["local"] in addresses]

    def listening() -> set[tuple[str, str]]:
        facts: Any = ground.watch.facts()["listening"]
        return {(each["process"], each["kind"]) for each in facts if each["address"].startswith("0.0.0.0:")}

    assert listening() == {("engine", "unexplained")}
    engine.kill()
    engine.wait()
    assert listening() == set(), "what is over is not said to listen"


@LINUX
def test_a_client_of_the_gateway_is_explained(ground: Ground, stack: ExitStack) -> None:
    engine = stranger(stack, f"s = socket.create_connection(('127.0.0.1', {ground.listeners.port}))")
    ground.pids["engine"] = engine.pid
    assert strangers(ground) == set()


@LINUX
def test_what_cannot_be_seen_is_named(tmp_path: Path) -> None:
    """As a user sees it: the first process of the machine is not theirs to look into."""
    script = """
import os, sys
from contextlib import ExitStack
from pathlib import Path
from tests.keeper.test_watch import Ground
with ExitStack() as stack:
    ground = Ground(stack, Path(sys.argv[1]))
    ground.watch.look()
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    ground.pids["engine"] = 1
    print(ground.watch.facts()["hidden"])
    os._exit(0)
"""
    done = subprocess.run(
        [sys.executable, "-u", "-c", script, os.fspath(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert done.stdout.startswith("['engine'"), done.stderr


def test_a_look_that_came_too_late_is_a_gap_and_one_in_time_is_none(ground: Ground) -> None:
    assert ground.watch.note_gap(100.0, 100.0 + QUIET_S + 4, QUIET_S) == 100.0 + QUIET_S + 4
    assert ground.watch.note_gap(100.0, 100.0 + BUSY_S + 4, BUSY_S) == 100.0 + BUSY_S + 4
    assert ground.watch.facts()["gaps"] == []
    ground.watch.note_gap(200.0, 260.0, BUSY_S)
    assert ground.watch.facts()["gaps"] == [{"from_us": 200_000_000, "until_us": 260_000_000}]


def test_the_watch_looks_by_itself_and_a_failure_does_not_end_it(ground: Ground) -> None:
    ground.pids = ["what makes no sense"]
    ground.watch.start()
    ground.watch.dialled()
    until(lambda: any("could not be read" in line for line in ground.log))
    ground.pids = {"keeper": os.getpid()}
    ground.watch.dialled()
    until(lambda: ground.watch._looks > 0)


def test_pushes_wait_for_the_next_engine_in_their_order_and_the_oldest_go_first(ground: Ground) -> None:
    ground.post.there = False
    ground.watch.asked("api.one.test", 2)
    ground.watch.refused(Refusal("work", "https://a.example:443", "127.0.0.1", "loopback", "No.", 1))
    ground.watch.lost([{"connection": 7}])
    assert ground.post.heard == []
    ground.post.there = True
    ground.watch.engine_up()
    ground.watch.engine_up()
    assert [op for op, _ in ground.post.heard] == ["asked", "refusal", "lost"]
    ground.post.there = False
    for number in range(1_000):
        ground.watch.asked(f"{number}.test", 0)
    ground.post.there = True
    ground.watch.engine_up()
    names = [each["name"] for each in ground.post.of("asked")]
    assert (len(names), names[-1]) == (201, "999.test")


def test_a_trip_of_a_child_is_logged_and_passed_on_and_nonsense_is_neither(ground: Ground) -> None:
    trip = Trip("engine", "look-up", "telemetry.example", ("vendor.report", "vendor.init"), 5, 4)
    ground.watch.reported({"op": "tripped", **trip.fields()})
    assert ground.post.of("tripped") == [trip.fields()]
    assert any("telemetry.example (x4): vendor.report < vendor.init" in line for line in ground.log)
    for message in ({}, {"process": "engine"}, trip.fields() | {"at_us": "soon"}, trip.fields() | {"stack": 7}):
        ground.watch.reported(dict(message))
    assert len(ground.post.of("tripped")) == 1
    assert "a child sent a report that is none" in ground.log[-1]


def said_of(ground: Ground, role: str) -> list[Any]:
    return [each["locks"] for each in processes(ground) if each["role"] == role]


def test_what_a_child_says_of_its_locks_counts_for_that_process_only(ground: Ground) -> None:
    locks = Locks("engine", os.getpid(), "not offered", "", 7, hidden=True, open=("connect",))
    ground.pids["engine"] = os.getpid()
    ground.watch.locked("engine", locks.fields())
    assert said_of(ground, "engine") == [locks.fields()]
    ground.pids |= {"engine": 4343, "window": os.getpid()}  # another engine, which has not said
    ground.watch.locked("engine", {"role": "engine", "pid": "x"})
    ground.watch.locked("engine", {})
    ground.watch.locked("engine", locks.fields())  # of the one before
    ground.watch.locked("engine", locks.fields() | {"role": "window"})  # it speaks for nobody else
    assert (said_of(ground, "engine"), said_of(ground, "window")) == ([None], [None])
    assert "not its own" in ground.log[-1]


@LINUX
def test_a_lock_that_is_claimed_and_that_the_system_does_not_show_is_not_believed(ground: Ground, stack: ExitStack) -> None:
    bare = stranger(stack, "")
    held = stranger(
        stack,
        f"sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r})\nfrom app.system import seccomp\nseccomp.install('engine')",
    )
    for child, level in ((bare, "guarded"), (held, "kernel")):
        ground.pids["engine"] = child.pid
        ground.watch.locked("engine", Locks("engine", child.pid, "", "", 7, hidden=True, open=()).fields())
        (said,) = said_of(ground, "engine")
        assert Locks.of(said).level == level
    gone = Locks("engine", 2**22 - 1, "", "", 7, hidden=True, open=())
    ground.pids["engine"] = gone.pid
    ground.watch.locked("engine", gone.fields())
    assert Locks.of(said_of(ground, "engine")[0]).level == "guarded"


@LINUX
def test_a_window_that_claims_to_reach_nobody_is_believed_where_nobody_is(ground: Ground, stack: ExitStack) -> None:
    held = stranger(
        stack,
        f"sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r})\nfrom app.system import seccomp\nseccomp.install('window')",
    )
    ground.pids["window"] = held.pid
    here = reach.programs(os.environ)
    for said in ((), ("session bus",)):
        ground.watch.locked("window", Locks("window", held.pid, "", "", 7, hidden=False, open=(), reach=said).fields())
        assert tuple(said_of(ground, "window")[0]["reach"]) == (said or here)


def processes(ground: Ground) -> list[dict[str, Any]]:
    found: Any = ground.watch.facts()["processes"]
    return list(found)


def test_changes_of_the_declared_list_are_kept_for_the_view(ground: Ground) -> None:
    ground.watch.changed("added", "work", "https://api.example.com:443", by="window", as_before=False)
    changes: Any = ground.watch.facts()["changes"]
    assert [(each["change"], each["account"], each["as_before"]) for each in changes] == [("added", "work", False)]
    assert ground.watch.facts()["environment"] == ["HTTPS_PROXY"]


def test_a_window_that_does_not_answer_the_self_test_counts_as_got_out(ground: Ground) -> None:
    def silent() -> list[object]:
        raise AppError("internal", "The window did not answer.")

    ground.window = silent
    attempts: Any = ground.watch.try_to_leak()["attempts"]
    window = [each for each in attempts if each["process"] == "window"]
    assert [(each["result"], each["detail"]) for each in window] == [("reached", "The window did not answer.")]
