"""The level that is shown: the lowest of what the processes measured, and why it is not higher."""

from __future__ import annotations

from typing import Any

import pytest

from app.control.contract import ProcessView
from app.engine import network_answers as answers
from app.system.sandbox import Locks

FACTS: dict[str, Any] = {"looks": 3, "hidden": ()}


def process(role: str, **changes: Any) -> ProcessView:
    locks = Locks(**({"role": role, "pid": 7, "seccomp": "", "landlock": "", "landlock_version": 7, "hidden": True, "open": ()} | changes))
    return answers.process({"role": role, "pid": 7, "locks": locks.fields()})


KEEPER = process("keeper", open=("TCP over IPv4",), seccomp="it opens the connections")
ENGINE, WINDOW = process("engine"), process("window")
ASKING = process("window", reach=("session bus", "X11 screen"))
SILENT = ProcessView(role="window", pid=7, measured=False, level="guarded")
BARE = process("window", open=("TCP over IPv4",), seccomp="not offered", reach=("session bus",))


@pytest.mark.parametrize(
    ("processes", "level", "reason"),
    [
        ((KEEPER, ENGINE), "kernel", ""),
        ((KEEPER, ENGINE, WINDOW), "kernel", ""),
        ((KEEPER, ENGINE, ASKING), "desktop", "The window can ask other programs: session bus, X11 screen."),
        ((KEEPER, ASKING, ENGINE), "desktop", "The window can ask other programs: session bus, X11 screen."),
        ((KEEPER, ASKING), "guarded", "No engine is running."),
        ((KEEPER, ENGINE, SILENT), "guarded", "The window has not said how it is locked."),
        ((KEEPER, ASKING, BARE, ENGINE), "guarded", "The window is not wholly locked: not offered."),
        ((KEEPER, process("engine", open=("a message queue",)), ASKING), "guarded", "did not refuse a message queue"),
        ((KEEPER,), "guarded", "No engine is running."),
    ],
)
def test_the_lowest_level_counts_and_says_why(processes: tuple[ProcessView, ...], level: str, reason: str) -> None:
    found = answers.level_of(processes)
    assert found[0] == level
    assert reason in found[1]
    assert bool(reason) == bool(found[1])


def layer(processes: tuple[ProcessView, ...], name: str) -> tuple[str, str]:
    (found,) = [each for each in answers.layers(processes, FACTS) if each.name == name]
    return found.state, found.reason


def test_the_layers_say_which_part_a_desktop_takes_away() -> None:
    for window in (ASKING, WINDOW):
        assert layer((KEEPER, ENGINE, window), "Kernel filter") == ("active", "")
    assert layer((KEEPER, ENGINE, WINDOW), "Other programs") == ("active", "")
    assert layer((KEEPER, ENGINE, ASKING), "Other programs") == ("partial", "open to the window: session bus, X11 screen")
    for name in ("Kernel filter", "Other programs"):
        assert layer((KEEPER, ENGINE, BARE), name) == ("missing", "The window: not offered.")
