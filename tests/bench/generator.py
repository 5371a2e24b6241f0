"""The load generator as a process: a `Job` as JSON on its input, one JSON line per moment on its output, the last one with the result.

Closed loop: each connection asks, waits for the whole reply, and asks again while there is time. With `seconds` 0 each asks once, which
is what the slow streams do; intervals then count from the moment when all of them run. Moments: "steady" when every connection has its
first event, "ending" when the first reply is over, "done".
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from time import perf_counter_ns
from typing import cast

import httptools
import msgspec

from tests.bench.processes import more_descriptors

_CONNECT_S = 10.0
_SILENT_S = 30.0


class Job(msgspec.Struct):
    """request: the whole request as bytes. seconds: until when to ask again. spread_s: over which the connections start."""

    port: int
    request: bytes
    connections: int
    seconds: float = 0.0
    spread_s: float = 0.0


class Tally:
    """What all connections saw. Times in nanoseconds; intervals are between two events of one stream."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.requests = 0
        self.events = 0
        self.begun = 0
        self.took: list[int] = []
        self.firsts: list[int] = []
        self.intervals: list[int] = []
        self.errors: Counter[str] = Counter()
        self.began_ns = perf_counter_ns()
        self.until_ns = self.began_ns + int(job.seconds * 1e9)
        self.ending = False

    def say(self, moment: str, **facts: object) -> None:
        print(json.dumps({"moment": moment, "events": self.events, **facts}), flush=True)

    def result(self) -> dict[str, object]:
        took, firsts, intervals = sorted(self.took), sorted(self.firsts), sorted(self.intervals)
        return {
            "requests": self.requests,
            "errors": dict(self.errors),
            "seconds": (perf_counter_ns() - self.began_ns) / 1e9,
            "p50_us": percentile(took, 50),
            "p99_us": percentile(took, 99),
            "worst_us": percentile(took, 100),
            "first_p50_us": percentile(firsts, 50),
            "first_p99_us": percentile(firsts, 99),
            "interval_p50_us": percentile(intervals, 50),
            "interval_p99_us": percentile(intervals, 99),
        }


class _Connection(asyncio.Protocol):
    def __init__(self, tally: Tally, over: asyncio.Future[None]) -> None:
        self._tally = tally
        self._over = over
        self._parser = httptools.HttpResponseParser(self)
        self._sent = self._first = self._last = 0
        self._half = False
        self._asking = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by type
        self._ask()

    def _ask(self) -> None:
        self._asking = True
        self._first = self._last = 0
        self._sent = perf_counter_ns()
        self._transport.write(self._tally.job.request)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._fail("a reply that is not HTTP")

    def on_body(self, data: bytes) -> None:
        now, tally = perf_counter_ns(), self._tally
        count = data.count(b"\n\n") + (self._half and data.startswith(b"\n"))
        self._half = data.endswith(b"\n") and not data.endswith(b"\n\n")
        if not self._first:
            self._first = self._last = now
            tally.firsts.append(now - self._sent)
            tally.begun += 1
            if not tally.job.seconds and tally.begun == tally.job.connections:
                tally.intervals.clear()
                tally.say("steady")
        elif count:
            tally.intervals.append(now - self._last)
            if count > 1:  # they came together
                tally.intervals.extend([0] * (count - 1))
            self._last = now
        tally.events += count

    def on_message_complete(self) -> None:
        now, tally = perf_counter_ns(), self._tally
        if (status := self._parser.get_status_code()) != 200:
            self._fail(f"status {status}")
            return
        self._asking = False
        tally.requests += 1
        tally.took.append(now - self._sent)
        if not tally.job.seconds and not tally.ending:
            tally.ending = True
            tally.say("ending")
        if now < tally.until_ns and self._parser.should_keep_alive():
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._asking:
            self._fail("a reply that was cut off")
        if not self._over.done():
            self._over.set_result(None)

    def _fail(self, why: str) -> None:
        self._asking = False
        self._tally.errors[why] += 1
        self._transport.abort()


async def run(job: Job) -> Tally:
    loop, tally = asyncio.get_running_loop(), Tally(job)

    async def one(number: int) -> None:
        if job.spread_s:
            await asyncio.sleep(job.spread_s * number / job.connections)
        over: asyncio.Future[None] = loop.create_future()
        try:
            async with asyncio.timeout(_CONNECT_S):
                await loop.create_connection(lambda: _Connection(tally, over), "127.0.0.1", job.port)
        except OSError as error:  # TimeoutError is one
            tally.errors[f"no connection: {type(error).__name__}"] += 1
            return
        await over

    waiting = [loop.create_task(one(number)) for number in range(job.connections)]
    while waiting:
        before = tally.requests, tally.events
        finished, _ = await asyncio.wait(waiting, timeout=_SILENT_S)
        waiting = [task for task in waiting if task not in finished]
        for task in finished:
            task.result()
        if waiting and not finished and before == (tally.requests, tally.events):
            tally.errors["silence"] += len(waiting)
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)
            break
    return tally


def percentile(ordered: list[int], percent: float) -> float:
    """Of nanoseconds in ascending order, in microseconds; 0 of none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] / 1000 if ordered else 0.0


def main() -> int:
    more_descriptors()
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    try:
        import uvloop

        runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    except ImportError:
        runner = asyncio.Runner()
    with runner:
        tally = runner.run(run(job))
    tally.say("done", **tally.result())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
