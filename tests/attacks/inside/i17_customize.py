"""I17: modules that the interpreter imports by itself."""

from __future__ import annotations

from tests.attacks.inside import campaign
from tests.attacks.inside.campaign import Mark, Plants
from tests.attacks.inside.taken import Taken
from tests.attacks.registry import NEXT, Seen, attack
from tests.attacks.stage import Stage


def plants(one: Taken, mark: Mark) -> Plants:
    user = one.home / ".local" / "lib" / one.copy.site.parent.name / "site-packages"
    return {
        one.copy.site / "sitecustomize.py": mark.python("site"),
        one.copy.site / "usercustomize.py": mark.python("site, user"),
        one.copy.source / "sitecustomize.py"
        if one.copy.source != one.copy.site
        else one.copy.environment / "sitecustomize.py": mark.python("source"),
        user / "usercustomize.py": mark.python("user"),
        user / "sitecustomize.py": mark.python("user, site"),
        user / "zz.pth": mark.line("user.pth"),
    }


@attack("I17", "engine leaves sitecustomize.py and usercustomize.py and dies", promise=NEXT, expected="not written, never run")
def planted(stage: Stage) -> Seen:
    """They are looked for on every path that is searched, the user'\''s own included."""
    return campaign.judged(stage, "I17")


campaign.add("I17", plants)
