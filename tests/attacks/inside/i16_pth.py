"""I16: a line of Python that every start of the interpreter runs."""

from __future__ import annotations

from tests.attacks.inside import campaign
from tests.attacks.inside.campaign import Mark, Plants
from tests.attacks.inside.taken import Taken
from tests.attacks.registry import NEXT, Seen, attack
from tests.attacks.stage import Stage


def plants(one: Taken, mark: Mark) -> Plants:
    return {
        one.copy.site / "zz-planted.pth": mark.line("zz.pth"),
        one.copy.site / "aa-planted.pth": mark.line("aa.pth"),
        one.copy.environment / "lib" / "zz-planted.pth": mark.line("lib.pth"),
    }


@attack("I16", "engine leaves a .pth among the packages and dies", promise=NEXT, expected="not written, never run")
def planted(stage: Stage) -> Seen:
    """What got out a second later: the keeper revives the engine, and its interpreter runs the line before any lock."""
    return campaign.judged(stage, "I16")


campaign.add("I16", plants)
