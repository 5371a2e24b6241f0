"""I56: an engine that is busy with nothing."""

from __future__ import annotations

import time

from tests.attacks.inside.taken import spoiled, taken
from tests.attacks.judge import every
from tests.attacks.registry import KEEPS, Seen, attack
from tests.attacks.stage import Stage

WHY = ("answer", "hang", "stands still", "stuck", "watchdog", "did nothing")  # any of them, in what the log says since


def spins(here) -> None:  # type: ignore[no-untyped-def]
    import asyncio

    def forever() -> None:
        while True:
            pass

    loops = [each for each in here.everything(asyncio.AbstractEventLoop) if each.is_running()]
    loops[0].call_soon_threadsafe(forever)


@attack(
    "I56",
    "the engine's loop spins for ever",
    promise=KEEPS,
    expected="ended and revived within a minute, the keeper answers meanwhile",
    short=False,
)
def hangs(stage: Stage) -> Seen:
    """Nobody is served, nothing crashes, and a keeper that only waits for an end waits for ever."""
    one = taken(stage)
    pid, began, before = one.pid("engine"), time.monotonic(), len(one.log())
    one.run(spins, last=True)
    second = one.second_launch()
    found = one.pid("engine", within_s=60, but=pid)
    took = time.monotonic() - began
    served = bool(found) and bool(one.revived("engine", pid, 30)) and one.answers() and one.serves()
    rows = [
        ("another launch", second == 3, f"gave {second}"),
        ("revived", bool(found), "not within a minute"),
        ("afterwards", served, "nobody is served"),
        (
            "the log",
            not found or any(word in one.log()[before:] for word in WHY),
            "does not say why",
        ),
    ]
    seen = every(rows, f"effects, after {took:.0f} s")
    spoiled(stage)
    return seen
