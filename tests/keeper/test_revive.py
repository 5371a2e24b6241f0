"""When something is started again, in which order events happen, and who decides."""

from __future__ import annotations

import threading
import time

from app.keeper.events import Events
from app.keeper.revive import BackOff


def test_pauses_grow_and_then_it_is_given_up() -> None:
    back_off = BackOff((0, 1, 2))
    pauses = []
    for n in range(4):
        back_off.started(float(n))
        pauses.append(back_off.died(n + 0.5))
    assert pauses == [0, 1, 2, None]
    assert back_off.died(4.0) is None, "and it stays so"


def test_a_steady_run_begins_a_new_row() -> None:
    back_off = BackOff((0, 1), steady_s=60)
    back_off.started(0)
    assert back_off.died(1) == 0
    back_off.started(1)
    assert back_off.died(61) == 0
    back_off.started(61)
    assert back_off.died(62) == 1
    back_off.started(63)
    assert back_off.died(64) is None
    back_off.forgive()
    assert back_off.died(65) == 0


def test_one_that_goes_on_is_never_given_up() -> None:
    back_off = BackOff((0, 1, 5), steady_s=60, goes_on=True)
    pauses = []
    for n in range(6):
        back_off.started(float(n))
        pauses.append(back_off.died(n + 0.5))
    assert pauses == [0, 1, 5, 5, 5, 5]
    back_off.started(100)
    assert back_off.died(161) == 0


def test_events_run_in_order_on_one_thread_and_timers_when_due() -> None:
    events = Events()
    seen: list[tuple[str, int]] = []

    def note(what: str) -> None:
        seen.append((what, threading.get_ident()))

    events.after("later", 0.15, lambda: note("later"))
    events.after("never", 0.05, lambda: note("never"))
    events.cancel("never")
    events.after("replaced", 0.02, lambda: note("old"))
    events.after("replaced", 0.05, lambda: note("new"))
    events.after("stop", 0.3, events.stop)
    for n in range(3):
        events.post(lambda n=n: note(str(n)))  # type: ignore[misc]
    thread = threading.Thread(target=lambda: (time.sleep(0.1), events.post(lambda: note("other"))))
    thread.start()
    events.run()
    thread.join()
    assert [what for what, _ in seen] == ["0", "1", "2", "new", "other", "later"]
    assert {ident for _, ident in seen} == {threading.get_ident()}
