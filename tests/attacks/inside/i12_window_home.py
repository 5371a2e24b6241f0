"""I12: the window and the person's files."""

from __future__ import annotations

from tests.attacks.inside import prey
from tests.attacks.inside.taken import taken
from tests.attacks.registry import FILES, Seen, attack
from tests.attacks.stage import Stage


@attack("I12", "window writes .bashrc, authorized_keys, autostart, ~/.local/bin, /tmp", promise=FILES, expected="refused, nothing changed")
def window_home(stage: Stage) -> Seen:
    """The window loads fonts, styles and input methods of others: code gets in there, too."""
    one = taken(stage)
    home, precious = prey.shell(one)
    return prey.attack(one, [*home, *prey.desktop(one)[0], *prey.elsewhere(one)[0]], precious, verb="gui")
