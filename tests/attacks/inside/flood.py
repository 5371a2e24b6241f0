"""The keeper while and after a child floods it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tests.attacks.inside import observe
from tests.attacks.inside.taken import Taken, spoiled
from tests.attacks.inside.verdicts import goes_on
from tests.attacks.processes import resident
from tests.attacks.registry import Seen
from tests.attacks.stage import Stage

LEFT = 64  # descriptors that may be open more than before: workers and connections of the commands that asked meanwhile


def judged(
    stage: Stage, one: Taken, code: Callable[..., object], verb: str = "engine", *, dies: bool = False, wait_s: float = 90, **given: object
) -> Seen:
    """dies: the line to the keeper does not survive it, so the child is revived."""
    keeper, pid = one.gateway.pid, one.pid(verb) if verb == "engine" else one.window()
    before, held = resident([keeper]), observe.descriptors(keeper)
    highest, seconds, stop = [before], list[int](), threading.Event()

    def watch() -> None:
        while not stop.wait(0.2):
            highest.append(resident([keeper]))

    def launch() -> None:
        seconds.append(one.second_launch())

    threads = [threading.Thread(target=work, daemon=True) for work in (watch, launch)]
    for thread in threads:
        thread.start()
    try:
        one.run(code, verb, wait_s=wait_s, last=dies, **given)
        if dies:
            revived = one.revived(verb, pid, 20) if verb == "engine" else 1
            if not revived:
                return Seen(False, "the engine was not revived")
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    end = time.monotonic() + 15
    while not (answers := one.answers()) and time.monotonic() < end:
        time.sleep(0.5)
    seen = goes_on(answers=answers, second=seconds[0] if seconds else -1, grown=max(highest) - before, logs=one.log_size())
    more = observe.descriptors(keeper) - held
    if more > LEFT:
        seen = Seen(False, f"{more} descriptors more than before; {seen.observed}")
    if dies:
        spoiled(stage)
    return seen
