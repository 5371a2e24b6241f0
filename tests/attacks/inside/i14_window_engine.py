"""I14: the window and the engine's folder."""

from __future__ import annotations

from tests.attacks.inside import prey
from tests.attacks.inside.taken import taken
from tests.attacks.registry import FILES, Seen, attack
from tests.attacks.stage import Stage


@attack("I14", "window writes the database, the journal and the engine's folder", promise=FILES, expected="refused, nothing changed")
def window_engine(stage: Stage) -> Seen:
    """Ledger, audit log and settings are the engine's to write."""
    one = taken(stage)
    return prey.attack(one, [one.own, one.own / "journal"], (), (*prey.PLAIN, *prey.CALLS), verb="gui")
