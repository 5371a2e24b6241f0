"""I48: programs without a lock."""

from __future__ import annotations

from tests.attacks.inside import calls_bus
from tests.attacks.inside.taken import taken
from tests.attacks.registry import DOOR, Seen, attack
from tests.attacks.stage import Stage


@attack(
    "I48",
    "window has the session's manager start a program",
    promise=DOOR,
    expected="refused, or the page shows a lower level for the window",
)
def speaks(stage: Stage) -> Seen:
    """A unit that the manager starts is nobody's child and has no lock."""
    return calls_bus.judged(
        taken(stage),
        "org.freedesktop.systemd1",
        "/org/freedesktop/systemd1",
        "org.freedesktop.systemd1.Manager",
        "StartTransientUnit",
        "planted.service",
        "fail",
    )
