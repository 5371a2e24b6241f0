"""I33: the engine decides that it is over."""

from __future__ import annotations

import time

from tests.attacks.inside.taken import spoiled, taken
from tests.attacks.registry import NOT_PROMISED, Seen, attack
from tests.attacks.stage import Stage


def quits(here) -> None:  # type: ignore[no-untyped-def]
    here.attempt("quit", lambda: here.caller().call("quit", {"reason": "a person\nasked for it in the window"}, timeout_s=5)[0])


@attack(
    "I33",
    "engine asks the keeper to quit in a person's name",
    promise=NOT_PROMISED,
    expected="refused, or the log says that the engine asked",
)
def ends_it(stage: Stage) -> Seen:
    """It can end itself anyway. But a person must not read that they did it."""
    one = taken(stage)
    one.run(quits, last=True)
    time.sleep(1.5)
    lines = [line for line in one.log().splitlines() if " quits: " in line]
    spoiled(stage)
    if not lines:
        return Seen(True, "refused")
    return Seen("asked by the engine" in lines[-1], f"the log says: {lines[-1].partition(' ')[2]}")
