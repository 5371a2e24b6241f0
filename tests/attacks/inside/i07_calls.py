"""I7: the kernel's calls themselves, past Python."""

from __future__ import annotations

from tests.attacks.inside import prey
from tests.attacks.inside.taken import taken
from tests.attacks.registry import FILES, Seen, attack
from tests.attacks.stage import Stage


@attack(
    "I7",
    "openat2, renameat2, linkat, mknodat, O_TMPFILE, mmap and others on every place",
    promise=FILES,
    expected="refused, nothing changed",
)
def calls(stage: Stage) -> Seen:
    """A guard in Python sees none of them."""
    one = taken(stage)
    folders = [folder for group in (prey.shell, prey.desktop, prey.program, prey.trusted) for folder in group(one)[0]]
    return prey.attack(one, folders, (), prey.CALLS)
