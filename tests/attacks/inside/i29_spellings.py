"""I29: the same host, written in other ways."""

from __future__ import annotations

from tests.attacks.inside import asks
from tests.attacks.inside.taken import taken
from tests.attacks.registry import GRANTS, Seen, attack
from tests.attacks.stage import Stage

HOSTS = (
    "localhost",
    "LOCALHOST",
    "localhost.",
    "127.0.0.1.",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.0.0.001",
    "[::1]",
    "::1",
    "::ffff:127.0.0.1",
    "127\u30020\u30020\u30021",
    "\uff1127.0.0.1",
    "loc\u0430lhost",
    "0.0.0.0",
    "localhost%00.example",
    "a@127.0.0.1",
    "127.0.0.1#",
)


@attack(
    "I29",
    "engine spells a host in 19 ways: dots, case, numbers, look-alikes",
    promise=GRANTS,
    expected="held or refused in each, and shown",
)
def spellings(stage: Stage) -> Seen:
    """A list that compares texts takes one of them for what a person declared, or for nothing at all."""
    one = taken(stage)
    port = one.listener.another()
    return asks.judged(one, port, [asks.place(f"spelled{number}", port, host) for number, host in enumerate(HOSTS)])
