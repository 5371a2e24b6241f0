"""I24: what is revived is locked as what died was."""

from __future__ import annotations

from tests.attacks.inside import campaign
from tests.attacks.inside.verdicts import locked
from tests.attacks.judge import both
from tests.attacks.registry import NEXT, Seen, attack
from tests.attacks.stage import Stage


@attack(
    "I24",
    "engine and window after a violent death, and at the next start",
    promise=NEXT,
    expected="each with a filter, the gateway answers",
)
def revived(stage: Stage) -> Seen:
    """The system says of each process whether a filter is on it; nothing is taken from what it says itself."""
    outcome = campaign.carried_out(stage, "I24")
    return both(locked(outcome.statuses), Seen(not outcome.started, outcome.started or "the next start came up"))
