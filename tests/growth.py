"""How the work of something grows with its input: processor time of this thread at n and at 4n, so that a busy machine changes little.

Linear work takes four times as long, square work sixteen times. `LIMIT` is between; a first measurement above it is repeated.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain

LIMIT = 6.5
_LONG_ENOUGH_S = 0.016
_TRIES = 3

Work = Callable[[], object]
Making = Callable[[int], Work]


def cost(make: Making, n: int, times: int = 2) -> float:
    """Seconds of the processor for `make(n)()`, the least of some runs; making it is not counted."""
    taken = []
    for _ in range(times):
        work = make(n)
        gc.disable()
        try:
            began = time.thread_time()
            work()
            taken.append(time.thread_time() - began)
        finally:
            gc.enable()
    return min(taken)


def growth(make: Making, n: int = 256, *, most: int = 1 << 17, long_enough_s: float = _LONG_ENOUGH_S) -> float:
    """What four times as much input costs, in times; of an input that is large enough to be measured. 0.0 when even `most` is not."""
    while cost(make, n, 1) < long_enough_s:
        n *= 2
        if n > most:
            return 0.0
    ratios = []
    for _ in range(_TRIES):
        ratios.append(cost(make, 4 * n) / max(cost(make, n), 1e-6))
        if min(ratios) < LIMIT:
            break
    return min(ratios)


def attacks(example: str) -> Iterator[Callable[[int], str]]:
    """Makers of texts of about n characters on which a pattern that `example` fits must try much: beginnings of it, repeated, gone on from
    with one character, and never ended."""
    fillers = dict.fromkeys(chain(example, ' \\"a0-.\n'))
    for cut in sorted({len(example) * step // 10 for step in range(11)}):
        begun = example[:cut]
        for filler in fillers:
            yield partial(_gone_on, begun, filler)
            yield partial(_repeated, begun + filler)
            yield partial(_repeated, begun + filler * 12)


def _gone_on(begun: str, filler: str, n: int) -> str:
    return begun + filler * (n - len(begun)) + "\0"


def _repeated(piece: str, n: int) -> str:
    return piece * (n // len(piece)) + "\0"
