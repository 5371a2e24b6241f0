"""I20: the interpreter itself."""

from __future__ import annotations

from tests.attacks.inside import campaign
from tests.attacks.inside.campaign import Mark, Plants
from tests.attacks.inside.taken import Taken
from tests.attacks.registry import NEXT, Seen, attack
from tests.attacks.stage import Stage


def plants(one: Taken, mark: Mark) -> Plants:
    python, name = one.copy.environment / "bin" / "python", one.copy.site.parent.name.replace(".", "")
    return {
        python: mark.shell("python", f'{python.resolve()} "$@"'),
        one.copy.environment / "pyvenv.cfg": f"home = {one.own}\ninclude-system-site-packages = true\n",
        one.copy.environment / "bin" / f"{name}._pth": "import site\n",
    }


@attack("I20", "engine replaces the interpreter, pyvenv.cfg and _pth, and dies", promise=NEXT, expected="not written, never run")
def planted(stage: Stage) -> Seen:
    """The keeper starts children by this very path."""
    return campaign.judged(stage, "I20")


campaign.add("I20", plants)
