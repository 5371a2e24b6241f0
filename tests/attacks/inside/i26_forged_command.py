"""I26: an explanation of the attacker's own."""

from __future__ import annotations

from tests.attacks.inside import asks
from tests.attacks.inside.taken import taken
from tests.attacks.registry import GRANTS, Seen, attack
from tests.attacks.stage import Stage


def writes_the_command(here) -> None:  # type: ignore[no-untyped-def]
    from app.core.events import ProviderAdded, Who
    from app.engine.recorder import Recorder

    recorder = here.everything(Recorder)[0]
    for destination in here.given["destinations"]:
        event = ProviderAdded(name="forged", kind="openai-compatible", destination=destination, local=True, keyed=False)
        here.attempt(
            "entry", lambda event=event: recorder.note(event, Who(actor="person", uid=0, process=1, program="gatehouse", via="window"))
        )


@attack(
    "I26", "engine writes that a person added the host, then declares and dials it", promise=GRANTS, expected="held all the same, and shown"
)
def forged_command(stage: Stage) -> Seen:
    """The audit log is written by the engine: its entry cannot be what explains a host."""
    one = taken(stage)
    port = one.listener.another()
    one.run(writes_the_command, destinations=[f"http://127.0.0.1:{port}"])
    return asks.judged(one, port, [asks.place("forged", port)])
