"""I50: very many messages."""

from __future__ import annotations

from tests.attacks.inside import flood
from tests.attacks.inside.taken import taken
from tests.attacks.registry import KEEPS, Seen, attack
from tests.attacks.stage import Stage


def floods(here) -> None:  # type: ignore[no-untyped-def]
    caller, count = here.caller(), here.given["count"]
    kinds = (
        {"op": "planted", "id": 1},
        {"op": "dial", "account": "nobody", "id": 2},
        {"op": "tripped", "what": "x" * 500},
        {"op": "locks", "role": "x"},
        {"op": "secret_get", "name": "nobody", "id": 3},
        {"op": "withdraw", "account": "nobody", "id": 4},
        {"op": None},
        {"id": 5},
        {"re": 7},
        {},
    )
    for number in range(count):
        caller.channel.send(kinds[number % len(kinds)])


@attack(
    "I50",
    "engine sends the keeper 100,000 messages (20,000 in the short form)",
    promise=KEEPS,
    expected="it answers, memory and logs stay bounded",
)
def frames(stage: Stage) -> Seen:
    """Each is answered, refused or written down."""
    return flood.judged(stage, taken(stage), floods, count=20_000 if stage.short else 100_000)
