"""I52: questions whose answers nobody reads."""

from __future__ import annotations

from tests.attacks.inside import flood
from tests.attacks.inside.taken import taken
from tests.attacks.registry import KEEPS, Seen, attack
from tests.attacks.stage import Stage


def asks_and_does_not_read(here) -> None:  # type: ignore[no-untyped-def]
    import time

    caller = here.caller()
    caller._lock.acquire()  # its reading thread waits for it at the first answer
    for number in range(here.given["count"]):
        op = ("network", "secret_get", "dial", "audit_get")[number % 4]
        caller.channel.send({"op": op, "id": number, "name": "mine", "account": "mine", "item": "audit-key"})
    time.sleep(30)


@attack(
    "I52",
    "engine asks 20,000 times and never reads an answer",
    promise=KEEPS,
    expected="the keeper goes on, memory bounded; the engine is replaced",
    short=False,
)
def deaf(stage: Stage) -> Seen:
    """Answers pile up, and every thread of the keeper waits for room."""
    return flood.judged(stage, taken(stage), asks_and_does_not_read, dies=True, count=20_000)
