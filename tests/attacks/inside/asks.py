"""What a taken process asks of the keeper, and what is seen of it outside."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from tests.attacks.inside.taken import Taken
from tests.attacks.inside.verdicts import held_or_shown
from tests.attacks.registry import Seen

SHOWN_S = 6.0


def declares(here) -> None:  # type: ignore[no-untyped-def]
    caller = here.caller()
    for op, fields in here.given["before"]:
        here.attempt(f"{op} {fields}"[:80], lambda op=op, fields=fields: caller.call(op, fields, timeout_s=5)[0])
    for fields in here.given["wanted"]:
        name = f"{fields['account']} {fields['host']}:{fields['port']}"
        here.attempt(f"declare {name}", lambda fields=fields: caller.call("declare", fields, timeout_s=5)[0])

        def dial(fields=fields) -> None:  # type: ignore[no-untyped-def]
            _, sockets = caller.call("dial", {"account": fields["account"]}, timeout_s=12)
            sockets[0].setblocking(True)
            sockets[0].sendall(b"stolen by " + fields["account"].encode())
            sockets[0].close()

        here.attempt(f"dial {name}", dial)
    for fields in here.given["wanted"]:
        if fields["account"] not in ("mine", "other"):
            here.attempt(
                f"withdraw {fields['account']}",
                lambda fields=fields: caller.call("withdraw", {"account": fields["account"]}, timeout_s=5)[0],
            )


def place(account: str, port: int, host: str = "127.0.0.1", *, local: bool = True, scheme: str = "http") -> dict[str, object]:
    return {"account": account, "scheme": scheme, "host": host, "port": port, "local": local}


def judged(one: Taken, port: int, wanted: Sequence[dict[str, object]], before: Sequence[tuple[str, dict[str, object]]] = ()) -> Seen:
    """Nothing may arrive at `port`, and both the keeper's log and the page must speak of it."""
    one.run(declares, wanted=list(wanted), before=list(before), wait_s=90)
    end = time.monotonic() + SHOWN_S
    while not (page := shown_on_the_page(one, str(port))) and time.monotonic() < end:
        time.sleep(0.5)
    return held_or_shown(one.listener.at(port), {"the keeper's log": f":{port}" in one.log(), "the page": page})


def shown_on_the_page(one: Taken, needle: str) -> bool:
    said = [one.gateway.json(*words) for words in (("network", "status"), ("status",))]
    return needle in json.dumps(said)
