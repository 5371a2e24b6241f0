"""Bars over a time hold every request of it, on days when the clock changes and in zones that are half an hour off, too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from itertools import pairwise
from pathlib import Path
from typing import get_args
from zoneinfo import ZoneInfo, available_timezones

import pytest

from app.gui import spans, spending
from app.gui.spans import Range, Span
from app.store import ledger, minutes
from app.store.search import Filter
from app.store.usage import usage
from tests.store.rows import opened, row

NAMES = ("Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata")
ZONES = [UTC, *(ZoneInfo(name) for name in NAMES if name in available_timezones()), timezone(-timedelta(hours=9, minutes=30))]
# The evening after the clock went back in Berlin; the morning after it went forward on Lord Howe Island.
NOWS = [datetime(2026, 10, 25, 20, 17, tzinfo=UTC), datetime(2026, 10, 4, 1, 3, tzinfo=UTC)]


def us(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000


def every_span(now_us: int, zone: tzinfo) -> list[Span]:
    found = [spans.span(chosen, now_us, zone) for chosen in get_args(Range) if chosen != "dates"]
    day = now_us - 2 * spans.DAY_US
    found += [spans.span("dates", now_us, zone, dates) for dates in ((None, day), (day, None), (day, day + spans.HOUR_US))]
    return found


@pytest.mark.parametrize("now", NOWS, ids=str)
@pytest.mark.parametrize("zone", ZONES, ids=str)
def test_bars_sum_to_what_the_ledger_holds_of_that_time(data_dir: Path, zone: tzinfo, now: datetime) -> None:
    now_us = us(now)
    made = [row(n, at_us=now_us - n * 1_700_000_000, outcome="failed" if n % 5 == 0 else "completed") for n in range(2_000)]
    with opened(data_dir / "g.db") as store:
        with store.write() as connection:
            ledger.record(connection, made, zone=zone)
        for over in every_span(now_us, zone):
            since_us, until_us = spans.ask_from(over, now_us)
            with store.read() as connection:
                if over.unit == "minute":
                    found = minutes.per_minute(connection, Filter(since_us=since_us, until_us=until_us))
                    counts = {spans.minute_key(one.at_us): (one.requests, one.failed) for one in found}
                else:
                    rows = usage(connection, (over.unit,), since_us, until_us, zone)
                    counts = {one.key[0]: (one.requests, one.failed) for one in rows}
            bars = spans.bars(over, counts, now_us, zone)
            assert sum(bar.requests for bar in bars) == sum(n for n, _ in counts.values()), over
            assert sum(bar.failed for bar in bars) == sum(failed for _, failed in counts.values()), over
            assert all(a.until_us == b.since_us for a, b in pairwise(bars)), over
            assert len({bar.full for bar in bars}) >= len(bars) - 1, over  # the hour that comes twice has one name
            assert 0 < len(bars) <= 24 * 8 + 2
        over_hours = spending.period("week", now_us, zone, "hour")
        with store.read() as connection:
            rows = usage(connection, ("hour", "client"), over_hours.since_us, over_hours.until_us, zone)
        view = spending.present(rows, over_hours, "requests")
        assert sum(bar.total for bar in view.bars) == sum(line.sums.requests for line in view.lines) == sum(one.requests for one in rows)


def test_a_ledger_of_years_is_shown_by_months() -> None:
    now_us = us(NOWS[0])
    over = spans.span("all", now_us, UTC)
    bars = spans.bars(over, {"2024-01-31": (3, 1), "2026-10-25": (4, 0)}, now_us, UTC)
    assert len(bars) == 34
    assert (bars[0].requests, bars[0].full, bars[-1].requests) == (3, "January 2024", 4)
    assert spans.title(over, bars) == "requests per month, any time"
    assert spans.bars(over, {}, now_us, UTC) == ()


@pytest.mark.parametrize(
    ("since", "until", "words"),
    [
        ((2026, 11, 18), (2026, 11, 21), "18 Nov to 20 Nov"),
        ((2026, 11, 18), (2026, 11, 19), "18 Nov"),
        ((2025, 11, 18), None, "since 18 Nov 2025"),
        (None, (2026, 11, 21), "until 20 Nov"),
        ((2026, 11, 18, 14), (2026, 11, 18, 15), "18 Nov 14:00 to 15:00"),
        (None, None, "Any time"),
    ],
)
def test_picked_dates_are_said_in_words(since: tuple[int, ...] | None, until: tuple[int, ...] | None, words: str) -> None:
    bounds = [None if at is None else us(datetime(*at, tzinfo=UTC)) for at in (since, until)]  # type: ignore[misc,arg-type]
    assert spans.between(bounds[0], bounds[1], us(datetime(2026, 11, 28, tzinfo=UTC)), UTC) == words


def test_now_stands_only_under_a_bar_that_holds_it() -> None:
    start = us(datetime(2026, 11, 28, 3, tzinfo=UTC))
    now_us = start + 18 * spans.MINUTE_US
    for dates, edges in (((start, start + spans.HOUR_US), ("03:00", "04:00")), ((start, None), ("03:00", "now"))):
        over = spans.span("dates", now_us, UTC, dates)
        assert over.live
        assert spans.edges(spans.bars(over, {}, now_us, UTC), over, now_us, UTC) == edges


def test_a_typed_day_is_whole() -> None:
    assert spans.day_of(" ", UTC) is None
    first, last = spans.day_of("2026-11-20", UTC), spans.day_of("2026-11-20", UTC, end=True)
    assert first is not None and last is not None
    assert last - first == spans.DAY_US
    with pytest.raises(ValueError, match="2026"):
        spans.day_of("20.11.2026", UTC)
