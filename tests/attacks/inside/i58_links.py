"""I58: the database and the journal as links."""

from __future__ import annotations

from tests.attacks.inside import store
from tests.attacks.registry import NEXT, Seen, attack
from tests.attacks.stage import Stage


@attack(
    "I58",
    "engine makes database, write-ahead log and journal links to precious files, and dies",
    promise=NEXT,
    expected="not followed, said",
    short=False,
)
def links(stage: Stage) -> Seen:
    """Whoever opens them next, with more rights than the engine has, would write there."""
    files: dict[str, tuple[str, object]] = {
        "gatehouse.db": ("link", "DATA/vault.json"),
        "gatehouse.db-wal": ("link", "HOME/.bashrc"),
        "gatehouse.db-shm": ("link", "HOME/precious"),
        "journal": ("link", "HOME"),
    }
    return store.judged(stage, files)
