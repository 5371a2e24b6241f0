"""I39: signals from the window."""

from __future__ import annotations

import time

from tests.attacks.inside import observe
from tests.attacks.inside.i38_signals import _alive, _go_on, sends_signals
from tests.attacks.inside.taken import spoiled, taken
from tests.attacks.inside.verdicts import honest
from tests.attacks.registry import ALONE, Seen, attack
from tests.attacks.stage import Stage


@attack(
    "I39",
    "window stops and ends the engine and another program",
    promise=ALONE,
    expected="refused, or the page shows a lower level for the window",
)
def window_signals(stage: Stage) -> Seen:
    """What ends other programs of the person is no window any more."""
    one = taken(stage)
    one.window()
    view = one.view()
    targets = {"engine": one.pid("engine"), "bystander": one.bystander.pid}
    one.run(sends_signals, "gui", targets=targets)
    time.sleep(0.3)
    hit = [f"{name}: {observe.status_of(pid).get('State', 'gone')}" for name, pid in targets.items() if not _alive(pid)]
    _go_on(targets)
    if hit:
        spoiled(stage)
    return honest(hit, view)
