"""I60: databases of no size and of any size."""

from __future__ import annotations

from tests.attacks.inside import store
from tests.attacks.judge import both
from tests.attacks.registry import NEXT, Seen, attack
from tests.attacks.stage import Stage


@attack(
    "I60",
    "engine leaves an empty database, then one of 64 GB, and dies",
    promise=NEXT,
    expected="said; memory and time bounded",
    short=False,
)
def sizes(stage: Stage) -> Seen:
    """Whatever copies or checks it at the next start must not take it as it is."""
    empty = store.judged(stage, {"gatehouse.db": ("size", 0)})
    return both(empty, store.judged(stage, {"gatehouse.db": ("size", 64 << 30), "gatehouse.db-wal": ("size", 1 << 30)}))
