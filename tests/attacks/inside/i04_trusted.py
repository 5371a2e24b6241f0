"""I4: what the keeper trusts in the data folder."""

from __future__ import annotations

from tests.attacks.inside import prey
from tests.attacks.inside.taken import taken
from tests.attacks.registry import FILES, Seen, attack
from tests.attacks.stage import Stage


@attack("I4", "engine writes vault.json, lock, declared.json, the keeper's log", promise=FILES, expected="refused, nothing changed")
def trusted(stage: Stage) -> Seen:
    """The keeper ends processes named in `lock`, believes the list of destinations, and says the truth in its log."""
    one = taken(stage)
    return prey.attack(one, *prey.trusted(one))
