"""I55: the engine's own log."""

from __future__ import annotations

import time

from tests.attacks.inside.taken import spoiled, taken
from tests.attacks.judge import growth
from tests.attacks.registry import NOT_PROMISED, Seen, attack
from tests.attacks.stage import Stage

MB = 1 << 20


def prints(here) -> None:  # type: ignore[no-untyped-def]
    import os

    block = (b"planted " * 12 + b"\n") * 1_000
    for _ in range(1_000):
        os.write(2, block)


@attack("I55", "engine writes a million lines to its log", promise=NOT_PROMISED, expected="at most 16 MB are left after 12 s", short=False)
def stderr(stage: Stage) -> Seen:
    """Its descriptor is its own; what is kept of it is the keeper's affair."""
    one = taken(stage)
    one.run(prints, last=True)
    time.sleep(12)
    seen = growth(one.log_size(), 16 * MB, "logs")
    spoiled(stage)
    return seen
