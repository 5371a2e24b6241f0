"""I22: what the engine may write, and nobody may run."""

from __future__ import annotations

from tests.attacks.inside import campaign
from tests.attacks.inside.campaign import Mark, Plants
from tests.attacks.inside.taken import Taken
from tests.attacks.registry import NEXT, Seen, attack
from tests.attacks.stage import Stage


def plants(one: Taken, mark: Mark) -> Plants:
    found: Plants = {one.own / "zz.pth": mark.line("zz.pth")}
    for name in ("json", "sitecustomize", "usercustomize", "start", "sqlite3", "app/__init__", "app/__main__", "app/system/sandbox"):
        found[one.own / f"{name}.py"] = mark.python(name)
    for name in ("gatehouse", "python", "python3", "xdg-open", "pyvenv.cfg"):
        found[one.own / name] = mark.shell(name)
    return found


@attack("I22", "engine fills its own folder with what would be run elsewhere, and dies", promise=NEXT, expected="never run")
def planted(stage: Stage) -> Seen:
    """Its folder must be on no path, the working folder of nothing, and a source of data alone."""
    return campaign.judged(stage, "I22", own=True)


campaign.add("I22", plants)
