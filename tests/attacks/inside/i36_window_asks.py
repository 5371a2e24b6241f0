"""I36: the window asks for what is the engine's."""

from __future__ import annotations

from tests.attacks.inside import asks
from tests.attacks.inside.taken import taken
from tests.attacks.inside.verdicts import refused, silent
from tests.attacks.judge import both
from tests.attacks.registry import DOOR, Seen, attack
from tests.attacks.stage import Stage


def wants(here) -> None:  # type: ignore[no-untyped-def]
    caller, given = here.caller(), here.given["place"]
    for op, fields in (
        ("declare", given),
        ("dial", {"account": "mine"}),
        ("dial", {"account": given["account"]}),
        ("secret_get", {"name": "mine"}),
        ("secret_put", {"name": "mine", "secret": "x"}),
        ("audit_get", {"item": "audit-key"}),
        ("unlock", {"passphrase": "x"}),
        ("withdraw", {"account": "mine"}),
        ("network", {}),
        ("try_to_leak", {}),
        ("number_after", {"number": 10**9}),
        ("boot", {}),
        ("vault", {}),
    ):
        here.attempt(f"{op} {fields.get('name', '')}", lambda op=op, fields=fields: caller.call(op, fields, timeout_s=5)[0])
    for name in (
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://127.0.0.1:1/",
        "../x",
        "",
        None,
        5,
        ["x"],
        "--help",
        "x" * 100_000,
        "$(id)",
        "smb://x/y",
    ):
        here.attempt(f"open_link {str(name)[:20]!r}", lambda name=name: caller.call("open_link", {"name": name}, timeout_s=5)[0])


@attack("I36", "window asks the keeper to dial, for keys, and to open links of its own", promise=DOOR, expected="refused")
def window_asks(stage: Stage) -> Seen:
    """Each child has a line of its own; what is asked on the other's must not be answered."""
    one = taken(stage)
    port = one.listener.another()
    said = one.run(wants, "gui", place=asks.place("of-the-window", port), wait_s=60)
    return both(refused(said), silent(one.listener.at(port)))
