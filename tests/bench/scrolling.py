"""How long the window's thread is ever busy at a stretch while Activity holds many rows: scrolling, reading on, and rows arriving."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from app.system.paths import Paths
from tests.bench.figures import Figure, Scale
from tests.bench.load import Ask, burst
from tests.bench.processes import python, running
from tests.bench.rig import Gatehouse, Rig, gatehouse

ROWS: Final = 20_000
GOAL_MS: Final = 16.0
_STEPS: Final = 1_500
_LIMIT_S: Final = 180.0
_WHEEL: Final = 96  # pixels a step
_NAMES: Final = {
    "reading": "reading {rows:,} rows, a page at a time",
    "wheel": "turning the wheel over {rows:,} rows",
    "jumping": "dragging through {rows:,} rows",
    "arriving": "rows arriving above {rows:,} others",
}
Seen = dict[str, list[tuple[float, float]]]


def scrolling(rig: Rig, scale: Scale) -> Iterator[Figure]:
    """A gateway of its own with as many rows, and the real window on it without a screen, in a process of its own."""
    rows = min(ROWS, scale.requests[1])
    with gatehouse(rig.folder / "scrolling", rig.stub.url, rig.stub.key) as gate:
        _fill(gate, rows)
        environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
        words = python("tests.bench.scrolling", str(gate.gateway.folder), str(rows), str(scale.rounds))
        with running(words, environment=environment) as window:
            assert window.stdout is not None
            for line in window.stdout:
                found = json.loads(line)
                if found == "loaded":
                    burst(gate.side, Ask(), 1, 2)  # what arrives; one connection, so that the window is not starved of the processor
                    continue
                for name, rounds in found.items():
                    what = _NAMES[name].format(rows=rows)
                    stops, busy = [stop for stop, _ in rounds], [used for _, used in rounds]
                    yield Figure(part="window", name=f"longest stop, {what}", unit="ms", values={"gateway": stops}, goal=GOAL_MS)
                    yield Figure(part="window", name="  on the processor", unit="ms", values={"gateway": busy})
        if window.returncode not in (0, None):
            raise RuntimeError(f"the window ended with code {window.returncode}")


def _fill(gate: Gatehouse, rows: int) -> None:
    limit = time.monotonic() + _LIMIT_S
    there = gate.rows()
    while there < rows:
        if time.monotonic() > limit:
            raise TimeoutError(f"{there} of {rows} requests in {_LIMIT_S:g} s")
        there = gate.recorded(there + burst(gate.side, Ask(), 16, 1).requests)


class Turns:
    """Turns the event loop and keeps the longest turn, by the clock (how long the thread did not look at events) and on the processor
    (what of it was not the waiting of a busy machine)."""

    def __init__(self, turn: Callable[[], None]) -> None:
        self._turn = turn
        self.longest = (0.0, 0.0)

    def once(self, work: Callable[[], None]) -> None:
        began, used = time.perf_counter(), time.thread_time()
        work()
        self._turn()
        stop, busy = (time.perf_counter() - began) * 1000, (time.thread_time() - used) * 1000
        self.longest = max(self.longest[0], stop), max(self.longest[1], busy)

    def until(self, true: Callable[[], object], work: Callable[[], None]) -> None:
        end = time.monotonic() + _LIMIT_S
        while not true():
            if time.monotonic() > end:
                raise TimeoutError("the window did not get there")
            self.once(work)
            time.sleep(0.001)


def main(folder: Path, rows: int, rounds: int) -> None:
    """In the window's process: figures as lines of JSON."""
    from app.gui.main import make_application
    from app.gui.pages.activity import ActivityPage
    from app.gui.session import Session
    from app.gui.state import Boot
    from app.gui.sweeper import Sweeper
    from app.gui.window import Window

    application = make_application()
    sweeper = Sweeper()
    session = Session(Boot(data_dir=str(folder), control=str(Paths(folder).control), port=4141, addresses=()))
    window = Window(session)
    window.resize(1240, 820)
    window.show()
    session.start()
    turn: Callable[[], None] = application.processEvents

    def nothing() -> None:
        """The loop alone."""

    Turns(turn).until(lambda: session.state.recent_read, nothing)
    window.open_page("activity")
    page = window.page()
    assert isinstance(page, ActivityPage)
    page._filter.clear()
    Turns(turn).until(lambda: page._tail.settled and len(page._tail) > 0, nothing)
    bar = page._table.verticalScrollBar()

    reading = Turns(turn)
    reading.until(lambda: len(page._tail) >= rows or not page._tail.more, lambda: bar.setValue(bar.maximum()))
    seen: Seen = {"reading": [reading.longest], "wheel": [], "jumping": [], "arriving": []}
    for _ in range(rounds):
        wheel, jumping = Turns(turn), Turns(turn)
        bar.setValue(0)
        for _step in range(_STEPS):
            wheel.once(partial(bar.setValue, bar.value() + _WHEEL))
        for step in range(_STEPS):
            jumping.once(partial(bar.setValue, bar.maximum() * step // _STEPS + step % 7 * 13))
        seen["wheel"].append(wheel.longest)
        seen["jumping"].append(jumping.longest)
    bar.setValue(bar.maximum() // 2)
    before = len(page._tail)
    print(json.dumps("loaded"), flush=True)
    arriving = Turns(turn)
    arriving.until(lambda: len(page._tail) > before, nothing)
    end = time.monotonic() + 2
    arriving.until(lambda: time.monotonic() > end, nothing)
    seen["arriving"].append(arriving.longest)
    session.stop()
    del sweeper
    print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
