"""I2: what the desktop starts at the next sign-in."""

from __future__ import annotations

from tests.attacks.inside import prey
from tests.attacks.inside.taken import taken
from tests.attacks.registry import FILES, Seen, attack
from tests.attacks.stage import Stage


@attack("I2", "engine writes autostart entries, user units, menu entries, ~/.local/bin", promise=FILES, expected="refused, nothing changed")
def sign_in(stage: Stage) -> Seen:
    """Autostart, systemd's user units, D-Bus services and programs on the path start with no lock."""
    one = taken(stage)
    return prey.attack(one, *prey.desktop(one))
