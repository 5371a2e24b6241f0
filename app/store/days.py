"""Local days, cut out of quarter-hours of UTC.

Rollups count by the quarter of an hour UTC, and every zone of today is a whole number of quarters away from UTC, so every local day,
of 23, 24, 25 or any number of hours, is a sum of whole rollups. A zone is a `tzinfo`, or None for the zone of this machine as the
system tells it (which needs no zone database).
"""

from __future__ import annotations

import time
from datetime import date, datetime, timedelta, timezone, tzinfo
from typing import Final

QUARTER_US: Final = 900_000_000
QUARTERS_A_DAY: Final = 96
# Two questions in one: asked together, both ends of the index are not enough for SQLite and it reads everything.
BOUNDS: Final = "SELECT (SELECT min(quarter) FROM rollups), (SELECT max(quarter) FROM rollups)"
_EPOCH: Final = date(1970, 1, 1)


def quarter_of(at_us: int) -> int:
    return at_us // QUARTER_US


def offset(zone: tzinfo | None, quarter: int) -> int:
    """How many quarter-hours local time is ahead of UTC when `quarter` begins."""
    at_s = quarter * 900
    if zone is None:
        return time.localtime(at_s).tm_gmtoff // 900
    ahead = datetime.fromtimestamp(at_s, zone).utcoffset()
    return 0 if ahead is None else int(ahead.total_seconds()) // 900


def day_of(zone: tzinfo | None, quarter: int) -> int:
    """The local day `quarter` belongs to, counted from 1970-01-01."""
    return (quarter + offset(zone, quarter)) // QUARTERS_A_DAY


def label(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).isoformat()


def start_of_day(zone: tzinfo | None, quarter: int) -> int:
    """The first quarter of the local day that `quarter` is in."""
    day = day_of(zone, quarter)
    while day_of(zone, quarter - 1) == day:
        quarter -= 1
    return quarter


def end_of_day(zone: tzinfo | None, quarter: int) -> int:
    """The first quarter after the local day that `quarter` is in."""
    day = day_of(zone, quarter)
    while day_of(zone, quarter) == day:
        quarter += 1
    return quarter


def spans(zone: tzinfo | None, first: int, last: int) -> list[tuple[int, int]]:
    """Where the clock stands still relative to UTC: `(until, offset)` in order, covering quarters `first` to `last`.

    `until` is the first quarter the offset no longer holds for; the last one's is past `last`.
    """
    found: list[tuple[int, int]] = []
    here, ahead = first, offset(zone, first)
    while here <= last:
        step = min(here + QUARTERS_A_DAY, last + 1)
        then = offset(zone, step)
        if then != ahead:
            low, high = here, step
            while high - low > 1:
                middle = (low + high) // 2
                if offset(zone, middle) == ahead:
                    low = middle
                else:
                    high = middle
            found.append((high, ahead))
            step, ahead = high, offset(zone, high)
        here = step
    found.append((last + 1, ahead))
    return found


def fixed(minutes: int) -> tzinfo:
    """A zone that is always `minutes` ahead of UTC."""
    return timezone(timedelta(minutes=minutes))
