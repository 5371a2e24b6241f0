"""I27: a grant of the attacker's own."""

from __future__ import annotations

from tests.attacks.inside import asks
from tests.attacks.inside.taken import taken
from tests.attacks.registry import GRANTS, Seen, attack
from tests.attacks.stage import Stage

OPS = (
    "grant",
    "grants",
    "deposit",
    "confirm",
    "allow",
    "approve",
    "permit",
    "release",
    "unhold",
    "accept",
    "trust",
    "remember",
    "declared",
)


@attack("I27", "engine deposits grants on its own line to the keeper", promise=GRANTS, expected="unknown there; held and shown")
def forged_grants(stage: Stage) -> Seen:
    """Whatever lets a person's change pass must not be taken from the engine, nor a field that says so."""
    one = taken(stage)
    port = one.listener.another()
    wanted = asks.place("granted", port)
    destination = f"http://127.0.0.1:{port}"
    about = {**wanted, "destination": destination, "change": "declare", "kind": "destination", "subject": "granted", "token": "0" * 32}
    more = {"grant": "0" * 32, "granted": True, "confirmed": True, "as_before": True, "via": "window", "actor": "person"}
    return asks.judged(one, port, [wanted, wanted | more], [(op, about | more) for op in OPS])
