"""I28: an old declaration, changed a little."""

from __future__ import annotations

from tests.attacks.inside import asks
from tests.attacks.inside.taken import taken
from tests.attacks.registry import GRANTS, Seen, attack
from tests.attacks.stage import Stage


def knows(here) -> None:  # type: ignore[no-untyped-def]
    facts = here.caller().call("network", {}, timeout_s=5)[0]
    for each in facts["declared"]:
        here.say(each["account"], each["destination"])


@attack(
    "I28", "engine declares a known account again, at another port", promise=GRANTS, expected="held before its first contact, and shown"
)
def other_port(stage: Stage) -> Seen:
    """The account is a person's, the address is not: its key would go there."""
    one = taken(stage)
    port = one.listener.another()
    known = one.run(knows).get("mine", "")
    seen = asks.judged(one, port, [asks.place("mine", port)])
    back = known.rpartition(":")[2]
    if back.isdigit():
        one.run(asks.declares, wanted=[asks.place("mine", int(back))], before=[])
    return seen
