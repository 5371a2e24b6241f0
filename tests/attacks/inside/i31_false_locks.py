"""I31: what a process says of its own locks, and of others'."""

from __future__ import annotations

import os

from tests.attacks.inside.taken import taken
from tests.attacks.judge import every
from tests.attacks.registry import GRANTS, Seen, attack
from tests.attacks.stage import Stage


def claims(here) -> None:  # type: ignore[no-untyped-def]
    import time

    from app.system import sandbox

    own = sandbox.own().fields()
    caller = here.caller()
    for change in here.given["changes"]:
        caller.send("locks", own | change)
    time.sleep(1)
    here.say("told")
    caller.send("locks", own)


@attack("I31", "engine claims locks of the window, of other processes, of none", promise=GRANTS, expected="not believed; the log says so")
def false_locks(stage: Stage) -> Seen:
    """The level that a person sees follows from what processes say of themselves."""
    one = taken(stage)
    one.window()
    before = one.log().count("locks that are not its own")
    levels = _levels(one.view())
    changes = [
        {"role": "window"},
        {"role": "keeper"},
        {"role": "vault"},
        {"pid": 1},
        {"pid": os.getpid()},
        {"role": "window", "pid": one.pid("gui")},
        {"open": None},
        {"pid": "x"},
        {"role": ["engine"]},
    ]
    one.run(claims, changes=changes)
    told = one.log().count("locks that are not its own") - before
    after = _levels(one.view())
    rows = [
        ("said in the log", told >= 5, f"{told} of the false claims"),
        ("levels as before", after == levels, f"{levels} became {after}"),
    ]
    return every([*rows, ("answers", one.answers(), "no status")], "claims")


def _levels(view: dict[str, object]) -> list[tuple[object, object]]:
    processes = view.get("processes", [])
    assert isinstance(processes, list)
    return sorted((each["role"], each["level"]) for each in processes if each["role"] in ("engine", "window", "keeper"))
