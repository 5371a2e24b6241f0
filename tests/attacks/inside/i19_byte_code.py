"""I19: compiled modules beside the sources."""

from __future__ import annotations

import sys

from tests.attacks.inside import campaign
from tests.attacks.inside.campaign import Mark, Plants
from tests.attacks.inside.taken import Taken
from tests.attacks.registry import NEXT, Seen, attack
from tests.attacks.stage import Stage


def plants(one: Taken, mark: Mark) -> Plants:
    found: Plants = {}
    for name in ("__main__", "__init__", "system/sandbox", "system/landlock", "system/seccomp", "keeper/main"):
        source = one.copy.source / "app" / f"{name}.py"
        if source.exists():
            compiled = source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
            found[compiled] = mark.byte_code(source, name)
    return found


@attack("I19", "engine leaves byte code for the modules that put the lock on, and dies", promise=NEXT, expected="not written, never run")
def planted(stage: Stage) -> Seen:
    """The interpreter believes a .pyc whose time and size fit the source, and nobody reads those."""
    return campaign.judged(stage, "I19")


campaign.add("I19", plants)
