"""I34: what a person added is taken away."""

from __future__ import annotations

from tests.attacks.inside.taken import taken
from tests.attacks.judge import every
from tests.attacks.registry import GRANTS, Seen, attack
from tests.attacks.stage import Stage


def withdraws(here) -> None:  # type: ignore[no-untyped-def]
    caller = here.caller()
    for name in ("other", "nobody", "", None, ["other"], "oth\ner"):
        here.attempt(f"withdraw {name!r}", lambda name=name: caller.call("withdraw", {"account": name}, timeout_s=5)[0])


@attack(
    "I34", "engine withdraws a person's account from the keeper's list", promise=GRANTS, expected="refused, or shown in the keeper's log"
)
def removes(stage: Stage) -> Seen:
    """Taking away is how one makes room for another of the same name."""
    one = taken(stage)
    before = len(one.log())
    said = one.run(withdraws)
    told = [
        line for line in one.log()[before:].splitlines() if "other" in line and ("removed" in line or "held" in line or "refused" in line)
    ]
    went = said.get("withdraw 'other'", "").startswith("went")
    rows = [("the account", not went or bool(told), "removed without a line in the keeper's log"), ("answers", one.answers(), "no status")]
    return every(rows, "withdrawals")
