"""I21: programs that are looked for by their names."""

from __future__ import annotations

from tests.attacks.inside import campaign
from tests.attacks.inside.campaign import Mark, Plants
from tests.attacks.inside.taken import Taken
from tests.attacks.registry import NEXT, Seen, attack
from tests.attacks.stage import Stage


def plants(one: Taken, mark: Mark) -> Plants:
    found: Plants = {}
    for place in (one.home / ".local" / "bin", one.home / "bin", one.folder):
        for name in ("gatehouse", "python3", "xdg-open", "env", "ps"):
            found[place / name] = mark.shell(f"{place.name}/{name}")
    found[one.home / ".config" / "environment.d" / "planted.conf"] = f"PYTHONSTARTUP={one.own}/start.py\nPYTHONPATH={one.own}\n"
    return found


@attack(
    "I21",
    "engine leaves gatehouse, python3 and xdg-open on the path and where commands are started, and dies",
    promise=NEXT,
    expected="not written, never run",
)
def planted(stage: Stage) -> Seen:
    """A keeper without a lock that starts a program by its name starts this one."""
    return campaign.judged(stage, "I21")


campaign.add("I21", plants)
