"""I6: folders that belong to nobody in particular."""

from __future__ import annotations

from tests.attacks.inside import prey
from tests.attacks.inside.taken import taken
from tests.attacks.registry import FILES, Seen, attack
from tests.attacks.stage import Stage


@attack("I6", "engine writes to an export folder, /tmp, /dev/shm, the runtime folder", promise=FILES, expected="refused, nothing changed")
def elsewhere(stage: Stage) -> Seen:
    """Shared memory and temporary files are read by other programs, and can be filled up."""
    one = taken(stage)
    return prey.attack(one, *prey.elsewhere(one))
