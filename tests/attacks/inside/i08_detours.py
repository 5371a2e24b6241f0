"""I8: ways around a path."""

from __future__ import annotations

from tests.attacks.inside import prey
from tests.attacks.inside.taken import taken
from tests.attacks.registry import FILES, Seen, attack
from tests.attacks.stage import Stage


@attack(
    "I8",
    "links, .., /proc/self/fd, /proc/self/root, folders' descriptors, the keeper's root",
    promise=FILES,
    expected="refused, nothing changed",
)
def detours(stage: Stage) -> Seen:
    """A lock that compares paths as texts is passed by another spelling; one on folders, by a link out of them."""
    one = taken(stage)
    folders = [folder for group in (prey.shell, prey.program, prey.trusted, prey.elsewhere) for folder in group(one)[0]]
    return prey.attack(one, folders, (), prey.DETOURS)
