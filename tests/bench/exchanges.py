"""Whole replies: CPU, rate and latency, each side in turn within every round."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator

from tests.bench.figures import Figure, Scale, added
from tests.bench.load import Ask, Burst, Side, burst, generate
from tests.bench.processes import Meter
from tests.bench.rig import Rig

# The recorder commits four times a second, off the request's path: its work belongs to the requests, so it is waited for.
SETTLE_S = 0.7

Values = dict[str, list[float]]
Load = Callable[[Side], Burst]


class Rounds:
    """Bursts on every side in turn, with the CPU each took. The order changes from round to round. RefusedError if rows are missing."""

    def __init__(self, rig: Rig, load: Load, rounds: int) -> None:
        self.bursts: dict[str, list[Burst]] = defaultdict(list)
        self.cpu: dict[str, list[dict[str, float]]] = defaultdict(list)
        rows = rig.gatehouse.rows()
        for number in range(rounds):
            for side in rig.sides if number % 2 else reversed(rig.sides):
                with Meter(rig.families[side.name]) as meter:
                    seen = load(side)
                    time.sleep(SETTLE_S)
                self.bursts[side.name].append(seen)
                self.cpu[side.name].append(meter.spent)
                if side is rig.gatehouse.side:
                    rows += seen.requests
                    rows = rig.gatehouse.recorded(rows)

    def of(self, value: Callable[[Burst], float]) -> Values:
        return {side: [value(one) for one in bursts] for side, bursts in self.bursts.items()}

    def cpu_us(self, *roles: str) -> Values:
        """Per request; only these roles, or all."""
        return {
            side: [
                sum(spent for role, spent in one.items() if not roles or role in roles) / seen.requests
                for one, seen in zip(rounds, self.bursts[side], strict=True)
            ]
            for side, rounds in self.cpu.items()
        }


def rate(rig: Rig, scale: Scale) -> Iterator[Figure]:
    """CPU per request and requests per second, as many as go."""
    for side in rig.sides:  # the first requests are slower
        burst(side, Ask(), 16, scale.burst_s)
    for count in scale.connections:
        rounds = Rounds(rig, lambda side, count=count: burst(side, Ask(), count, scale.burst_s), scale.rounds)  # type: ignore[misc]
        cpu = rounds.cpu_us()
        stub = cpu.pop("direct")
        yield Figure(part="requests", name=f"CPU per request, {count} connections", unit="us", values=cpu, goal=220, aim=140)
        if count == 16:
            keeper = {"gateway": rounds.cpu_us("keeper")["gateway"]}
            yield Figure(part="requests", name="  of it the keeper", unit="us", values=keeper)
            yield Figure(part="requests", name="  the upstream stub itself", unit="us", values={"direct": stub})
        yield Figure(part="requests", name=f"requests/s, {count} connections", unit="1/s", values=rounds.of(lambda b: b.per_second))


def latency(rig: Rig, scale: Scale) -> Iterator[Figure]:
    """One request at a time, so that nothing waits for anything but the work itself."""
    rounds = Rounds(rig, lambda side: burst(side, Ask(), 1, scale.burst_s), scale.rounds)
    for name, value, goal in (("p50", _p50, 0.6), ("p99", _p99, None)):
        values = rounds.of(value)
        yield Figure(part="latency", name=f"{name} of one at a time", unit="ms", values=values)
        yield Figure(part="latency", name=f"added {name}", unit="ms", values=added(values), goal=goal)


def first_chunk(rig: Rig, scale: Scale) -> Iterator[Figure]:
    """Streams one at a time: from the request to the first piece of the body."""
    rounds = Rounds(rig, lambda side: generate(side, Ask(stream=True), 1, scale.burst_s), scale.rounds)
    for name, value in (("p50", _first_p50), ("p99", _first_p99)):
        values = rounds.of(value)
        yield Figure(part="first-chunk", name=f"{name} to the first chunk", unit="ms", values=values)
        yield Figure(part="first-chunk", name=f"added {name} to the first chunk", unit="ms", values=added(values))


def large(rig: Rig, scale: Scale) -> Iterator[Figure]:
    """Bodies as agents send them: 200 KB of conversation."""
    ask = Ask(body_bytes=200_000)
    rounds = Rounds(rig, lambda side: burst(side, ask, 4, scale.burst_s), scale.rounds)
    cpu = rounds.cpu_us()
    del cpu["direct"]
    yield Figure(part="large", name="CPU per request of 200 KB", unit="us", values=cpu)
    yield Figure(part="large", name="requests/s of 200 KB, 4 connections", unit="1/s", values=rounds.of(lambda b: b.per_second))


def _p50(seen: Burst) -> float:
    return seen.p50_us / 1000


def _p99(seen: Burst) -> float:
    return seen.p99_us / 1000


def _first_p50(seen: Burst) -> float:
    return seen.first_p50_us / 1000


def _first_p99(seen: Burst) -> float:
    return seen.first_p99_us / 1000
