"""I1: what shells, git and ssh read."""

from __future__ import annotations

from tests.attacks.inside import prey
from tests.attacks.inside.taken import taken
from tests.attacks.registry import FILES, Seen, attack
from tests.attacks.stage import Stage


@attack("I1", "engine writes .bashrc, .profile, .gitconfig, authorized_keys", promise=FILES, expected="refused, nothing changed")
def shell_files(stage: Stage) -> Seen:
    """The next terminal runs them with all rights of the person."""
    one = taken(stage)
    return prey.attack(one, *prey.shell(one))
