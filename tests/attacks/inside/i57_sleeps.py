"""I57: an engine that does nothing at all."""

from __future__ import annotations

import subprocess
import time

from tests.attacks.inside.taken import spoiled, taken
from tests.attacks.judge import every
from tests.attacks.registry import KEEPS, Seen, attack
from tests.attacks.stage import Stage


def sleeps(here) -> None:  # type: ignore[no-untyped-def]
    import asyncio
    import time

    loops = [each for each in here.everything(asyncio.AbstractEventLoop) if each.is_running()]
    loops[0].call_soon_threadsafe(time.sleep, 600)


@attack(
    "I57",
    "the engine's loop sleeps for ten minutes",
    promise=KEEPS,
    expected="revived within a minute, or the command line says that it does not answer",
    short=False,
)
def sleeps_on(stage: Stage) -> Seen:
    """Without work it looks like a suspended machine."""
    one = taken(stage)
    pid = one.pid("engine")
    one.run(sleeps, last=True)
    time.sleep(1)
    second = one.second_launch()
    found = one.pid("engine", within_s=45, but=pid)
    try:
        said = one.gateway.cli("status", check=False, timeout_s=45)
        words = said.stdout + said.stderr
    except subprocess.TimeoutExpired:
        words = ""
    rows = [
        ("another launch", second == 3, f"gave {second}"),
        ("shown", bool(found) or "answer" in words, f"neither revived nor said: {words[:100]!r}"),
    ]
    spoiled(stage)
    return every(rows, "effects")
