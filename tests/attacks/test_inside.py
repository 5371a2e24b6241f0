"""Attacks from inside: their judges can say no, the planted code really runs where it should, and without locks nearly all are BROKEN."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.attacks import __main__ as kit
from tests.attacks import catalogue
from tests.attacks.inside import observe, verdicts
from tests.attacks.inside.bus import Bus
from tests.attacks.inside.observe import Bystander, Listener
from tests.attacks.inside.planted import dbus, ways
from tests.attacks.inside.taken import anatomy, taken
from tests.attacks.registry import ATTACKS, BROKEN, Seen, Skip, perform
from tests.attacks.stage import Stage
from tests.gateway import wait_for

catalogue.load()
linux = pytest.mark.skipif(sys.platform != "linux", reason="what is planted is watched through /proc")
pytestmark = pytest.mark.timeout(300)
LOCKED = {"Seccomp": "2", "NoNewPrivs": "1"}


# -- the judges


@pytest.mark.parametrize(
    ("seen", "held"),
    [
        (verdicts.untouched([], 5), True),
        (verdicts.untouched(["/home/.bashrc"], 5), False),
        (verdicts.untouched([], 0), False),
        (verdicts.refused({"began": "1", "open": "PermissionError: no", "ended": ""}), True),
        (verdicts.refused({"began": "1", "open": "went", "ended": ""}), False),
        (verdicts.refused({"began": "1", "open": "went: 3", "ended": ""}, ["open"]), False),  # then nothing was tried at all
        (verdicts.refused({"open": "went", "shut": "OSError: no"}, ["open"]), True),
        (verdicts.refused({"began": "1", "ended": ""}), False),
        (verdicts.silent([]), True),
        (verdicts.silent(["stolen"]), False),
        (verdicts.silent([], ["zz.pth"]), False),
        (verdicts.locked({"engine": LOCKED, "gui": LOCKED}), True),
        (verdicts.locked({"engine": LOCKED, "gui": LOCKED | {"Seccomp": "0"}}), False),
        (verdicts.locked({"engine": LOCKED | {"NoNewPrivs": "0"}}), False),
        (verdicts.locked({"engine": {}}), False),
        (verdicts.locked({}), False),
        (verdicts.held_or_shown([], {"log": True, "page": True}), True),
        (verdicts.held_or_shown([], {"log": True, "page": False}), False),
        (verdicts.held_or_shown(["stolen"], {"log": True, "page": True}), False),
        (verdicts.honest([], {"processes": []}), True),
        (verdicts.honest(["secrets Get"], {"processes": [{"role": "window", "level": "kernel"}]}), False),
        (verdicts.honest(["secrets Get"], {"processes": [{"role": "window", "level": "guarded"}]}), True),
        (verdicts.honest(["secrets Get"], {"processes": [{"role": "engine", "level": "guarded"}]}), False),
        (verdicts.honest(["secrets Get"], {}), False),
        (verdicts.unharmed({"keeper": {"nice": 0}}, {"keeper": {"nice": 0}}), True),
        (verdicts.unharmed({"keeper": {"nice": 0}}, {"keeper": {"nice": 19}}), False),
        (verdicts.unharmed({"keeper": {"nice": 0}}, {}), False),
        (verdicts.unharmed({"keeper": {}}, {"keeper": {}}), False),
        (verdicts.goes_on(answers=True, second=3, grown=0, logs=0), True),
        (verdicts.goes_on(answers=False, second=3, grown=0, logs=0), False),
        (verdicts.goes_on(answers=True, second=-1, grown=0, logs=0), False),
        (verdicts.goes_on(answers=True, second=3, grown=verdicts.KEEPER + 1, logs=0), False),
        (verdicts.goes_on(answers=True, second=3, grown=0, logs=verdicts.LOG + 1), False),
        (verdicts.kept("a\ndestination held: x -> http://127.0.0.1:4242\nb", ":4242"), True),
        (verdicts.kept("a\nb", ":4242"), False),
    ],
)
def test_a_judge_says_yes_and_no(seen: Seen, held: bool) -> None:
    assert seen.held == held, seen.observed
    assert seen.observed


# -- what is seen from outside


@pytest.mark.parametrize("way", ["content", "mode", "time", "link", "gone", "new", "attribute"])
def test_every_change_of_a_file_is_seen(way: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("precious")
    file.chmod(0o600)
    before = observe.picture([tmp_path])
    assert observe.changed(before, observe.picture([tmp_path])) == []
    info = file.stat()
    if way == "content":
        file.write_text("precioux")
        os.utime(file, ns=(info.st_atime_ns, info.st_mtime_ns))
    elif way == "mode":
        file.chmod(0o644)
    elif way == "time":
        os.utime(file, (1, 1))
    elif way == "link":
        os.link(file, tmp_path / "other")
    elif way == "gone":
        file.unlink()
    elif way == "new":
        (tmp_path / "new").symlink_to("/dev/null")
    else:
        try:
            os.setxattr(file, "user.planted", b"x")
        except (OSError, AttributeError):
            pytest.skip("this file system keeps no attributes")
    assert observe.changed(before, observe.picture([tmp_path])) != []


@linux
@pytest.mark.parametrize("table", ["PREY", "PREY_CALLS", "PREY_DETOURS"])
def test_every_way_changes_a_file_where_nothing_refuses_it(table: str, tmp_path: Path) -> None:
    """Or an attempt that fails by itself would look like one that was refused."""
    own = tmp_path / "own"
    own.mkdir()
    alone = {"map and write": "EACCES", "ftruncate of a reader": "EINVAL", "file handle": "root", "the keeper's root": "ptrace"}
    for way, work in getattr(ways, table).items():
        prey = tmp_path / ways.slug("prey", way)
        prey.write_bytes(b"precious\n" * 3)
        before = observe.picture([prey])
        try:
            work(prey, own)
        except OSError:
            assert way in alone, way
            continue
        assert observe.changed(before, observe.picture([prey])) != [], way


@linux
@pytest.mark.parametrize("table", ["NEW", "NEW_CALLS"])
def test_every_way_makes_a_file_where_nothing_refuses_it(table: str, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for way, work in getattr(ways, table).items():
        new = tmp_path / ways.slug("new", way)
        work(new, own)
        assert os.path.lexists(new), way


@linux
def test_a_bystander_that_is_stopped_or_changed_is_seen() -> None:
    one = Bystander()
    try:
        assert one.state() == ""
        before = observe.treatment(one.pid)
        resource.prlimit(one.pid, resource.RLIMIT_NOFILE, (50, resource.prlimit(one.pid, resource.RLIMIT_NOFILE)[1]))
        assert not verdicts.unharmed({"bystander": before}, {"bystander": observe.treatment(one.pid)}).held
        os.kill(one.pid, 19)
        wait_for(lambda: "stopped" in one.state(), "the bystander to stop")
    finally:
        one.close()
    assert "ended" in one.state()


def test_a_listener_notes_who_calls() -> None:
    import socket

    listener = Listener()
    try:
        with socket.create_connection(("127.0.0.1", listener.port)) as made:
            made.sendall(b"stolen")
            made.shutdown(socket.SHUT_WR)
            made.recv(1)
        assert listener.at(listener.port) == ["stolen"]
        assert listener.at(listener.another()) == []
    finally:
        listener.close()


@linux
def test_the_services_on_the_bus_note_who_calls(tmp_path: Path) -> None:
    bus = Bus.here(tmp_path)
    if bus is None:
        pytest.skip("there is no dbus-daemon here")
    try:
        with dbus.connect(str(bus.path)) as sock:
            dbus.call(sock, 2, "org.freedesktop.secrets", "/x", "org.freedesktop.Secret.Service", "ReadAlias", "default")
            dbus.answer(sock, 2)
        assert bus.called == [("org.freedesktop.secrets", "ReadAlias")]
    finally:
        bus.close()


# -- what is planted


def test_a_build_that_cannot_be_altered_is_left_out(tmp_path: Path) -> None:
    frozen = tmp_path / "Gatehouse"
    frozen.write_bytes(b"\x7fELF")
    for command in ([str(frozen)], [sys.executable, str(tmp_path / "weak.py")], ["/no/such/program"]):
        with pytest.raises(Skip):
            anatomy(command)


def where_it_is(here) -> None:  # type: ignore[no-untyped-def]
    import os
    import sys

    here.say("pid", os.getpid())
    here.say("verb", sys.argv[1])


@linux
def test_planted_code_runs_in_the_real_engine_and_the_real_window() -> None:
    with Stage(_command(), short=True) as stage:
        stage.ready(fresh=False)
        one = taken(stage)
        for verb in ("engine", "gui"):
            said = one.run(where_it_is, verb)
            assert said["verb"] == verb
            assert int(said["pid"]) == one.pid(verb)
            assert verdicts.locked({verb: observe.status_of(one.pid(verb))}).held
        processes = {each["role"]: each["pid"] for each in one.view()["processes"]}
        assert (processes["engine"], processes["window"]) == (one.pid("engine"), one.pid("gui"))


@pytest.fixture(scope="module")
def unlocked() -> Iterator[Stage]:
    """The same program, in which no process is locked."""
    with Stage(_command(), short=True) as stage:
        stage.shared["unlocked"] = True
        stage.ready(fresh=False)
        yield stage


def _command() -> Sequence[str]:
    return kit.installed() or [sys.executable, "-I", "-m", "app"]


@linux
@pytest.mark.parametrize(
    "name",
    ["I1", "I4", "I13", "I45", *(pytest.param(name, marks=pytest.mark.slow) for name in ("I3", "I7", "I8", "I9", "I10", "I16", "I41"))],
)
def test_without_locks_it_is_broken_so_the_judge_is_not_blind(unlocked: Stage, name: str) -> None:
    row = perform(ATTACKS[name], unlocked)
    assert row.verdict == BROKEN, f"{row.what}: {row.observed}"


def test_there_are_at_least_forty_attempts_each_a_file() -> None:
    attempts = {one.run.__module__ for one in ATTACKS.values() if one.section == "I"}
    assert len(attempts) == len([one for one in ATTACKS.values() if one.section == "I"]) >= 40
    assert {Path(str(sys.modules[name].__file__)).parent.name for name in attempts} == {"inside"}
