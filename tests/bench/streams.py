"""Slow streams, a thousand at once: what a chunk costs, and how evenly chunks still arrive."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.bench.figures import Figure, Scale, added
from tests.bench.load import Ask, Burst, RefusedError, Side, streams
from tests.bench.processes import Family
from tests.bench.rig import Rig

EVERY_MS = 50
SPREAD_S = 1.0


@dataclass(slots=True)
class _Marks:
    """CPU so far and chunks so far at each moment."""

    family: Family
    cpu_us: dict[str, float] = field(default_factory=dict)
    chunks: dict[str, int] = field(default_factory=dict)

    def at(self, moment: str, chunks: int) -> None:
        self.cpu_us[moment] = sum(spent for role, spent in self.family.cpu_us().items() if role != "vault")  # which ends by itself
        self.chunks[moment] = chunks

    @property
    def all_ran(self) -> bool:
        """Whether there was a time in which every stream had begun and none was over."""
        return self.chunks.get("ending", 0) > self.chunks.get("steady", 0) > 0

    def per_chunk_us(self) -> float:
        """While all streams run: neither their beginning nor their end is in it."""
        return (self.cpu_us["ending"] - self.cpu_us["steady"]) / (self.chunks["ending"] - self.chunks["steady"])

    def to_begin_us(self, count: int) -> float:
        spent = self.cpu_us["steady"] - self.cpu_us["before"] - self.per_chunk_us() * self.chunks["steady"]
        return spent / count


def slow_streams(rig: Rig, scale: Scale) -> Iterator[Figure]:
    """20 chunks a second in each stream."""
    count = scale.streams
    chunk: dict[str, list[float]] = defaultdict(list)
    begin: dict[str, list[float]] = defaultdict(list)
    seen: dict[str, list[Burst]] = defaultdict(list)
    for number in range(scale.stream_rounds):
        for side in rig.sides if number % 2 else reversed(rig.sides):
            marks, burst = _run(rig, side, count, scale.chunks)
            chunk[side.name].append(marks.per_chunk_us())
            begin[side.name].append(marks.to_begin_us(count))
            seen[side.name].append(burst)
    stub = chunk.pop("direct")
    begin.pop("direct")
    part, all_ = "streams", f"{count} streams"
    yield Figure(part=part, name=f"CPU per chunk, {all_}", unit="us", values=dict(chunk))
    yield Figure(part=part, name="  the upstream stub itself", unit="us", values={"direct": stub})
    yield Figure(part=part, name="CPU to begin a stream", unit="us", values=dict(begin))
    for percent in ("p50", "p99"):
        values = {side: [getattr(one, f"interval_{percent}_us") / 1000 for one in bursts] for side, bursts in seen.items()}
        yield Figure(part=part, name=f"{percent} between chunks, {all_}", unit="ms", values=values)
    yield Figure(part=part, name=f"added p99 between chunks, {all_}", unit="ms", values=added(values))


def _run(rig: Rig, side: Side, count: int, chunks: int) -> tuple[_Marks, Burst]:
    """Once; on a machine so busy that the first stream is over before the last has begun, once more with longer ones. RefusedError."""
    for length in (chunks, 4 * chunks):
        marks = _Marks(rig.families[side.name])
        rows = rig.gatehouse.rows()
        marks.at("before", 0)
        ask = Ask(f"gpt-4o-mini?chunks={length}&every_ms={EVERY_MS}", stream=True)
        seen = streams(side, ask, count, SPREAD_S, marks.at)
        if seen.requests != count:
            raise RefusedError(f"{seen.requests} of {count} streams ended well")
        if side is rig.gatehouse.side:
            rig.gatehouse.recorded(rows + count)
        if marks.all_ran:
            return marks, seen
    raise RefusedError("the first stream was over before the last one had begun")
