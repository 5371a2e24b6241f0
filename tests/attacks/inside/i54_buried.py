"""I54: the line that matters, buried."""

from __future__ import annotations

from tests.attacks.inside import asks
from tests.attacks.inside.taken import spoiled, taken
from tests.attacks.inside.verdicts import kept
from tests.attacks.judge import both, growth
from tests.attacks.registry import GRANTS, Seen, attack
from tests.attacks.stage import Stage

MB = 1 << 20


def buries(here) -> None:  # type: ignore[no-untyped-def]
    import time

    caller = here.caller()
    kinds = (
        {"op": "tripped"},
        {"op": "locks", "role": "window", "pid": 1, "seccomp": "", "landlock": "", "landlock_version": 7, "hidden": True, "open": []},
        {"op": "dial", "account": "x" * 190, "id": 1},
    )
    end = time.monotonic() + here.given["seconds"]
    number = 0
    while time.monotonic() < end:
        caller.channel.send(kinds[number % 3])
        number += 1


@attack(
    "I54",
    "engine declares a host, then fills the keeper's log for 25 s",
    promise=GRANTS,
    expected="the log stays bounded and still names the host",
    short=False,
)
def buried(stage: Stage) -> Seen:
    """Two rotations are enough to lose a line, where a log is cut at a size whatever stands in it."""
    one = taken(stage)
    port = one.listener.another()
    one.run(asks.declares, wanted=[asks.place("buried", port)], before=[], wait_s=60)
    one.run(buries, seconds=25, wait_s=90)
    size = sum(path.stat().st_size for path in (one.data / "logs").glob("keeper.log*"))
    seen = both(kept(one.log(), f":{port}"), growth(size, 16 * MB, "the keeper's log"))
    spoiled(stage)
    return seen
