"""I47: the keys of all programs."""

from __future__ import annotations

from tests.attacks.inside import calls_bus
from tests.attacks.inside.taken import taken
from tests.attacks.registry import DOOR, Seen, attack
from tests.attacks.stage import Stage


@attack(
    "I47",
    "window asks the session bus's key store for secrets",
    promise=DOOR,
    expected="refused, or the page shows a lower level for the window",
)
def speaks(stage: Stage) -> Seen:
    """One open keyring holds the passwords of the whole desktop."""
    return calls_bus.judged(
        taken(stage), "org.freedesktop.secrets", "/org/freedesktop/secrets", "org.freedesktop.Secret.Service", "ReadAlias", "default"
    )
