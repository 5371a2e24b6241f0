"""I61: dies as often as it is revived."""

from __future__ import annotations

import time

from tests.attacks.inside.taken import spoiled, taken
from tests.attacks.judge import every
from tests.attacks.registry import KEEPS, Seen, attack
from tests.attacks.stage import Stage


def dies(here) -> None:  # type: ignore[no-untyped-def]
    import os

    os._exit(0)


@attack(
    "I61",
    "engine ends itself each time it is revived",
    promise=KEEPS,
    expected="given up after five times, said, nothing left running",
    short=False,
)
def crash_loop(stage: Stage) -> Seen:
    """An exit code of 0 must not look like a person's wish, and a loop must end."""
    one = taken(stage)
    deaths = 0
    while deaths < 12 and one.gateway.process is not None and one.gateway.process.poll() is None:
        pid = one.pid("engine", within_s=12)
        if not pid:
            break
        try:
            one.run(dies, last=True, wait_s=10)
        except RuntimeError:
            time.sleep(0.5)
        deaths += 1
        one.pid("engine", within_s=10, but=pid)
    log = one.log()
    time.sleep(2)
    ended = one.gateway.process is None or one.gateway.process.poll() is not None
    rows = [
        ("given up", "not started again" in log and deaths <= 8, f"{deaths} deaths"),
        ("ended", ended, "the keeper still runs without an engine"),
        ("said", "the engine failed for good" in log, log[-100:]),
    ]
    spoiled(stage)
    return every(rows, "facts")
