"""I59: files that never answer."""

from __future__ import annotations

from tests.attacks.inside import store
from tests.attacks.registry import NEXT, Seen, attack
from tests.attacks.stage import Stage


@attack(
    "I59",
    "engine makes its database a FIFO and its journal a file, and dies",
    promise=NEXT,
    expected="said; nobody waits for it",
    short=False,
)
def fifo(stage: Stage) -> Seen:
    """An open of a FIFO waits until somebody writes to it."""
    return store.judged(stage, {"gatehouse.db": ("fifo", ""), "gatehouse.db-wal": ("fifo", ""), "journal": ("text", "no folder")})
