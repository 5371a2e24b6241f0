"""I32: what the engine may say, said a thousand times and with absurd numbers."""

from __future__ import annotations

from tests.attacks.inside.taken import taken
from tests.attacks.inside.verdicts import goes_on
from tests.attacks.judge import every
from tests.attacks.processes import resident
from tests.attacks.registry import KEEPS, Seen, attack
from tests.attacks.stage import Stage


def repeats(here) -> None:  # type: ignore[no-untyped-def]
    caller = here.caller()
    for _ in range(1_000):
        for op in ("settled", "ready", "show", "forget"):
            caller.send(op)
    for number in (-1, 2**43, 2**63, 2**70, 1e300, "x", None, [], {"a": 1}, True):
        here.attempt(f"number_after {number}", lambda number=number: caller.call("number_after", {"number": number}, timeout_s=5)[0])
        here.attempt(f"closed {number}", lambda number=number: caller.call("closed", {"connection": number}, timeout_s=5)[0])
    for number in range(1, 200):
        caller.send("closed", {"connection": number})


@attack(
    "I32",
    "settled, ready, show and forget 1,000 times, absurd numbers, closed for others' connections",
    promise=KEEPS,
    expected="one window, a keeper that answers",
)
def repeats_itself(stage: Stage) -> Seen:
    """Each is a wish that the keeper carries out; none may be carried out a thousand times."""
    one = taken(stage)
    one.window()
    before = resident([one.gateway.pid])
    one.run(repeats, wait_s=60)
    answers, second = one.answers(), one.second_launch()
    windows = sum("gui" in words for words in one.children())
    seen = goes_on(answers=answers, second=second, grown=resident([one.gateway.pid]) - before, logs=one.log_size())
    ready = one.serves()
    return every(
        [("windows", windows == 1, f"{windows}"), ("keeper", seen.held, seen.observed), ("requests", ready, "not served")], "effects"
    )
