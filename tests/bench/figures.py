"""A figure: what was measured on each side, in every round, and what it should be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

from tests.bench.load import RefusedError
from tests.bench.rig import Rig


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything. requests: after how many the memory is looked at again. ledgers: sizes in rows.
    asks: how often each question is put to them."""

    rounds: int
    burst_s: float
    connections: tuple[int, ...]
    streams: int
    chunks: int
    stream_rounds: int
    starts: int
    leaves: int
    windows: int
    idle_s: float
    requests: tuple[int, int]
    ledgers: tuple[int, ...]
    asks: int


FULL = Scale(
    rounds=5, burst_s=2, connections=(1, 16, 64, 256), streams=1000, chunks=120, stream_rounds=3, starts=7, leaves=25, windows=5, idle_s=10,
    requests=(10_000, 100_000), ledgers=(1_000_000, 10_000_000), asks=20,
)  # fmt: skip
QUICK = Scale(
    rounds=2, burst_s=1, connections=(1, 16), streams=200, chunks=60, stream_rounds=1, starts=3, leaves=5, windows=2, idle_s=2,
    requests=(2_000, 10_000), ledgers=(100_000,), asks=10,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """values: per side one number per round. goal: the gateway's median must not be above it; aim: better still.

    refused: why there is no number, or "".
    """

    part: str
    name: str
    unit: str
    values: dict[str, list[float]] = field(default_factory=dict)
    goal: float | None = None
    aim: float | None = None
    refused: str = ""

    def median(self, side: str) -> float | None:
        rounds = self.values.get(side)
        return median(rounds) if rounds else None

    @property
    def met(self) -> bool | None:
        """None where there is no goal."""
        found = self.median("gateway")
        return None if self.goal is None or found is None else found <= self.goal

    def facts(self) -> dict[str, object]:
        sides = {side: {"median": median(r), "low": min(r), "high": max(r), "rounds": r} for side, r in self.values.items() if r}
        facts: dict[str, object] = {"part": self.part, "name": self.name, "unit": self.unit, "sides": sides}
        if self.goal is not None:
            facts |= {"goal": self.goal, "aim": self.aim, "met": self.met}
        return facts | ({"refused": self.refused} if self.refused else {})


Measure = Callable[[Rig, Scale], Iterator[Figure]]


class SkippedError(Exception):
    """What a part needs is not here; the sentence says what."""


def added(values: dict[str, list[float]], base: str = "direct") -> dict[str, list[float]]:
    """What each side adds to the base, round by round."""
    return {side: [one - bare for one, bare in zip(rounds, values[base], strict=True)] for side, rounds in values.items() if side != base}


def collect(names: Sequence[str], parts: dict[str, Measure], rig: Rig, scale: Scale, say: Callable[[str], None]) -> Iterator[Figure]:
    """Measure the parts named, one after another. A part that fails gives one refused figure and the next goes on."""
    for name in names:
        say(f"{name} ...")
        try:
            yield from parts[name](rig, scale)
        except SkippedError as skipped:
            yield Figure(part=name, name=name, unit="", refused=f"SKIPPED: {skipped}")
        except (RefusedError, RuntimeError, AssertionError, OSError) as error:  # TimeoutError is an OSError
            yield Figure(part=name, name=name, unit="", refused=f"REFUSED: {error}")
