"""I18: modules in the place of the standard library'\''s."""

from __future__ import annotations

from tests.attacks.inside import campaign
from tests.attacks.inside.campaign import Mark, Plants
from tests.attacks.inside.taken import Taken
from tests.attacks.registry import NEXT, Seen, attack
from tests.attacks.stage import Stage


def plants(one: Taken, mark: Mark) -> Plants:
    app = one.copy.source / "app"
    found: Plants = {}
    for name in ("json", "socket", "ctypes", "re", "dataclasses", "contextlib", "argparse"):
        for place in (app, one.copy.source, one.copy.site):
            found[place / f"{name}.py"] = mark.python(f"{place.name}/{name}")
    found[app / "system" / "errno.py"] = mark.python("system/errno")
    found[app / "app.py"] = mark.python("app/app")
    return found


@attack(
    "I18",
    "engine leaves json.py, socket.py and others where modules are looked for, and dies",
    promise=NEXT,
    expected="not written, never run",
)
def planted(stage: Stage) -> Seen:
    """Whoever stands earlier on the path is imported in place of the real one, also by what puts the lock on."""
    return campaign.judged(stage, "I18")


campaign.add("I18", plants)
