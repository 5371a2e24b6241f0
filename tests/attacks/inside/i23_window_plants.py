"""I23: the same from the window."""

from __future__ import annotations

from tests.attacks.inside import campaign
from tests.attacks.inside.campaign import Mark, Plants
from tests.attacks.inside.taken import Taken
from tests.attacks.registry import NEXT, Seen, attack
from tests.attacks.stage import Stage


def plants(one: Taken, mark: Mark) -> Plants:
    return {
        one.copy.site / "zw-planted.pth": mark.line("zw.pth"),
        one.copy.source / "app" / "gui" / "json.py": mark.python("gui/json"),
        one.copy.source / "app" / "gui" / "sitecustomize.py": mark.python("gui/sitecustomize"),
        one.own / "window.pth": mark.line("window.pth"),
        one.home / ".config" / "autostart" / "planted.desktop": "[Desktop Entry]\nType=Application\nName=planted\nExec=true\n",
    }


@attack("I23", "window leaves .pth, sitecustomize.py and modules, and aborts", promise=NEXT, expected="not written, never run")
def planted(stage: Stage) -> Seen:
    """It is revived just as the engine is."""
    return campaign.judged(stage, "I23")


campaign.add("I23", plants, "gui")
