"""I13: the window and what the keeper runs and trusts."""

from __future__ import annotations

from tests.attacks.inside import prey
from tests.attacks.inside.taken import taken
from tests.attacks.registry import FILES, Seen, attack
from tests.attacks.stage import Stage


@attack(
    "I13", "window writes the program, its packages, vault.json, lock, the keeper's log", promise=FILES, expected="refused, nothing changed"
)
def window_program(stage: Stage) -> Seen:
    """As from the engine; the window's own folder lies beside these."""
    one = taken(stage)
    one.window()
    folders, precious = prey.program(one)
    data, trusted = prey.trusted(one)
    return prey.attack(one, [*folders, *(each for each in data if each.name != "window")], [*precious, *trusted], verb="gui")
