"""I3: the program and its environment."""

from __future__ import annotations

from tests.attacks.inside import prey
from tests.attacks.inside.taken import taken
from tests.attacks.registry import FILES, Seen, attack
from tests.attacks.stage import Stage


@attack(
    "I3",
    "engine writes to the installed program, its packages and its interpreter's folder",
    promise=FILES,
    expected="refused, nothing changed",
)
def program(stage: Stage) -> Seen:
    """The keeper runs these files, unlocked, at the next start or at the revival of a child."""
    one = taken(stage)
    return prey.attack(one, *prey.program(one))
