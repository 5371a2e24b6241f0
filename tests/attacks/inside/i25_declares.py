"""I25: a host of the attacker's own."""

from __future__ import annotations

from tests.attacks.inside import asks
from tests.attacks.inside.taken import taken
from tests.attacks.registry import GRANTS, Seen, attack
from tests.attacks.stage import Stage


@attack(
    "I25", "engine declares a host that nobody added, and dials it", promise=GRANTS, expected="held before its first contact, and shown"
)
def declares(stage: Stage) -> Seen:
    """What the engine tells the keeper is not what a person wanted."""
    one = taken(stage)
    port = one.listener.another()
    return asks.judged(one, port, [asks.place("planted", port)])
