"""Resident memory of each process as requests pass, and what the gateway costs while nobody asks."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.bench.exchanges import SETTLE_S
from tests.bench.figures import Figure, Scale
from tests.bench.load import Ask, burst, streams
from tests.bench.processes import Memory, Meter
from tests.bench.rig import Gatehouse, Rig, gatehouse
from tests.bench.streams import EVERY_MS, SPREAD_S

GOALS = {"engine": 90.0, "keeper": 25.0}
# What may be added between the first and the last look: pages of the allocator that are still being filled.
FLAT_MB = 5.0


def memory(rig: Rig, scale: Scale) -> Iterator[Figure]:
    """A gateway of its own, so that what other parts left behind does not count."""
    few, many = scale.requests
    with gatehouse(rig.folder / "memory", rig.stub.url, rig.stub.key) as gate:
        time.sleep(2)
        yield _idle(gate, scale)
        looks = {"after start": gate.family.memory()}
        for count in (few, many):
            _send(gate, count)
            looks[f"after {count:,} requests"] = gate.family.memory()
        ask = Ask(f"gpt-4o-mini?chunks={scale.chunks // 2}&every_ms={EVERY_MS}", stream=True)
        streams(gate.side, ask, scale.streams, SPREAD_S, lambda *_: None)
        time.sleep(2)
        looks[f"after {scale.streams:,} streams"] = gate.family.memory()
    for role, goal in GOALS.items():
        for when, sizes in looks.items():
            yield _size(role, when, sizes, goal if "requests" in when else None)
        grown = looks[f"after {many:,} requests"][role].rss - looks[f"after {few:,} requests"][role].rss
        name = f"{role} grew from {few:,} to {many:,} requests"
        yield Figure(part="memory", name=name, unit="MB", values={"gateway": [grown]}, goal=FLAT_MB)


def _size(role: str, when: str, sizes: dict[str, Memory], goal: float | None) -> Figure:
    size = sizes[role]
    shared = "" if size.pss is None else f" (PSS {size.pss:.1f})"
    return Figure(part="memory", name=f"{role} {when}{shared}", unit="MB", values={"gateway": [size.rss]}, goal=goal)


def _idle(gate: Gatehouse, scale: Scale) -> Figure:
    with Meter(gate.family) as meter:
        time.sleep(scale.idle_s)
    share = meter.total_us() / (scale.idle_s * 1e6) * 100
    return Figure(part="memory", name="CPU of a core while nobody asks", unit="%", values={"gateway": [share]})


def _send(gate: Gatehouse, total: int) -> None:
    """Until the ledger holds `total` requests."""
    rows = gate.rows()
    limit = time.monotonic() + 300
    while rows < total:
        if time.monotonic() > limit:
            raise TimeoutError(f"{rows} of {total} requests in 300 s")
        rows = gate.recorded(rows + burst(gate.side, Ask(), 16, 1).requests)
    time.sleep(SETTLE_S)
