"""The times that Activity can be narrowed to, and the bars over them. Pure.

A span is cut into minutes, hours, days or months of the local clock, whichever gives a readable number of bars.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final, Literal

from app.gui import format as fmt
from app.gui.words import tr

Range = Literal["hour", "today", "week", "days", "all", "dates"]
Unit = Literal["minute", "hour", "day", "month"]
RANGES: Final[tuple[Range, ...]] = ("hour", "today", "week", "days", "all")
MINUTE_US: Final = 60_000_000
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US
_QUARTER_US: Final = 15 * MINUTE_US
_MINUTES: Final = 60
_LONGEST: Final[Mapping[Unit, int]] = {"minute": 3 * HOUR_US, "hour": 8 * DAY_US, "day": 120 * DAY_US}


@dataclass(frozen=True, slots=True)
class Span:
    """From since_us to before until_us; None is open. live: it goes on to the present, so what closes now may belong to it.

    words: as a menu and a footer say it, e.g. "last hour", "in the last hour". unit: of the bars over it.
    """

    chosen: Range
    since_us: int | None
    until_us: int | None
    live: bool
    unit: Unit
    name: str
    words: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One stretch of time. failed: of requests. full: the stretch in words."""

    since_us: int
    until_us: int
    requests: int
    failed: int
    full: str


def span(chosen: Range, now_us: int, zone: tzinfo | None = None, dates: tuple[int | None, int | None] = (None, None)) -> Span:
    """dates: what the person picked, for the range of that name."""
    today = fmt.local(now_us, zone).date()
    match chosen:
        case "hour":
            since = (now_us // MINUTE_US - _MINUTES + 1) * MINUTE_US
            return Span(chosen, since, None, True, "minute", tr("Last hour"), tr("in the last hour"))
        case "today":
            return Span(chosen, midnight(today, zone), None, True, "hour", tr("Today"), tr("today"))
        case "week":
            since = midnight(today - timedelta(days=6), zone)
            return Span(chosen, since, None, True, "hour", tr("7 days"), tr("in 7 days"))
        case "days":
            since = midnight(today - timedelta(days=29), zone)
            return Span(chosen, since, None, True, "day", tr("30 days"), tr("in 30 days"))
        case "all":
            return Span(chosen, None, None, True, "day", tr("Any time"), tr("in all"))
        case "dates":
            since_us, until_us = dates
            name = between(since_us, until_us, now_us, zone)
            return Span(chosen, since_us, until_us, until_us is None or until_us > now_us, _unit(since_us, until_us, now_us), name, name)


def between(since_us: int | None, until_us: int | None, now_us: int, zone: tzinfo | None = None) -> str:
    """Picked dates in words: 20 Nov; 18 to 20 Nov; until 20 Nov; 20 Nov 14:00 to 15:00."""
    if since_us is None and until_us is None:
        return tr("Any time")
    last_us = None if until_us is None else until_us - 1
    if since_us is None or last_us is None or until_us is None:
        edge = tr("until {day}") if since_us is None else tr("since {day}")
        return edge.format(day=_day(last_us if since_us is None and last_us is not None else since_us or 0, now_us, zone))
    start, end = fmt.local(since_us, zone), fmt.local(until_us, zone)
    if (start.hour, start.minute, end.hour, end.minute) != (0, 0, 0, 0):
        day = _day(since_us, now_us, zone)
        return tr("{day} {a} to {b}", day=day, a=f"{start.hour:02}:{start.minute:02}", b=f"{end.hour:02}:{end.minute:02}")
    first, last = _day(since_us, now_us, zone), _day(last_us, now_us, zone)
    return first if first == last else tr("{a} to {b}", a=first, b=last)


def ask_from(over: Span, now_us: int) -> tuple[int, int]:
    """The bounds to ask counts for."""
    return over.since_us or 0, over.until_us if over.until_us is not None else (now_us // MINUTE_US + 1) * MINUTE_US


def bars(over: Span, counts: Mapping[str, tuple[int, int]], now_us: int, zone: tzinfo | None = None) -> tuple[Bar, ...]:
    """counts: requests and failures by key (`minute_key`, or as the answer about usage names hours and days). Every stretch has a bar."""
    since_us, until_us = ask_from(over, now_us)
    if over.since_us is None:
        if not counts:
            return ()
        since_us = midnight(date.fromisoformat(min(counts)), zone)
    unit: Unit = over.unit
    if unit == "day" and until_us - since_us > _LONGEST["day"]:
        unit = "month"
    summed: dict[str, list[int]] = {}
    for key, (requests, failed) in counts.items():
        total = summed.setdefault(key[:7] if unit == "month" else key, [0, 0])
        total[0] += requests
        total[1] += failed
    found = []
    for start, end in _stretches(unit, since_us, until_us, zone):
        requests, failed = summed.get(_key(unit, start, zone), (0, 0))
        found.append(Bar(start, end, requests, failed, _full(unit, start, end, now_us, zone)))
    return tuple(found)


def minute_key(at_us: int) -> str:
    return str(at_us // MINUTE_US)


def hours(since_us: int, until_us: int, zone: tzinfo | None = None) -> Iterator[tuple[int, int]]:
    """Hours of the local clock: of a day of 23 or 25 hours as many, and where the clock moves by half an hour, a half one."""
    at = fmt.local(since_us, zone)
    start = since_us - (at.minute * 60 + at.second) * 1_000_000 - since_us % 1_000_000
    while start < until_us:
        key, end = hour_key(start, zone), start + HOUR_US - fmt.local(start, zone).minute * MINUTE_US
        while hour_key(end - _QUARTER_US, zone) != key:  # the clock changes within
            end -= _QUARTER_US
        yield start, end
        start = end


def hour_key(at_us: int, zone: tzinfo | None = None) -> str:
    """As the answer about usage names the hour that a moment is in."""
    at = fmt.local(at_us, zone)
    # With the offset that holds now: at the hour's full stroke the clock may have been another.
    return f"{at.year:04}-{at.month:02}-{at.day:02}T{at.hour:02}:00{at.isoformat()[-6:]}"


def title(over: Span, bars_: tuple[Bar, ...]) -> str:
    """Requests per minute, last hour."""
    unit = over.unit if len(bars_) < 2 or over.unit != "day" or bars_[0].until_us - bars_[0].since_us < 2 * DAY_US else "month"
    words = {
        "minute": tr("requests per minute"),
        "hour": tr("requests per hour"),
        "day": tr("requests per day"),
        "month": tr("requests per month"),
    }
    return tr("{what}, {when}", what=words[unit], when=over.name[:1].lower() + over.name[1:])


def edges(bars_: tuple[Bar, ...], over: Span, now_us: int, zone: tzinfo | None = None) -> tuple[str, str]:
    """What stands under the first bar, and under the end of the last."""
    if not bars_:
        return "", ""
    first = fmt.local(bars_[0].since_us, zone)
    short = f"{first.hour:02}:{first.minute:02}"
    start = short if fmt.local(now_us, zone).date() == first.date() or over.unit == "minute" else _day(bars_[0].since_us, now_us, zone)
    if over.live and bars_[-1].since_us <= now_us:
        return start, tr("now")
    end = fmt.local(bars_[-1].until_us, zone)
    if (end.hour, end.minute) != (0, 0):
        return start, f"{end.hour:02}:{end.minute:02}"
    return start, _day(bars_[-1].until_us - 1, now_us, zone)


def readout(bar: Bar) -> str:
    """One bar in words: 14:31: 12 requests, 2 failed."""
    text = tr("{when}: {n} requests", when=bar.full, n=f"{bar.requests:,}")
    return tr("{text}, {n} failed", text=text, n=f"{bar.failed:,}") if bar.failed else text


def midnight(day: date, zone: tzinfo | None) -> int:
    """When a local day begins. zone: None for this machine's."""
    at = datetime(day.year, day.month, day.day, tzinfo=zone)
    return int((at.astimezone() if zone is None else at).timestamp()) * 1_000_000


def day_of(text: str, zone: tzinfo | None = None, *, end: bool = False) -> int | None:
    """A typed day (2026-11-20) as its first moment, or the first one after it; None for nothing. ValueError."""
    if not text.strip():
        return None
    day = date.fromisoformat(text.strip())
    return midnight(day + timedelta(days=1) if end else day, zone)


def _unit(since_us: int | None, until_us: int | None, now_us: int) -> Unit:
    if since_us is None:
        return "day"
    length = (until_us if until_us is not None else now_us) - since_us
    for unit in ("minute", "hour"):
        if length <= _LONGEST[unit]:
            return unit
    return "day"


def _stretches(unit: Unit, since_us: int, until_us: int, zone: tzinfo | None) -> Iterator[tuple[int, int]]:
    if unit == "hour":
        yield from hours(since_us, until_us, zone)
        return
    if unit == "minute":
        for start in range(since_us - since_us % MINUTE_US, until_us, MINUTE_US):
            yield start, start + MINUTE_US
        return
    day = fmt.local(since_us, zone).date()
    if unit == "month":
        day = day.replace(day=1)
    while (start := midnight(day, zone)) < until_us:
        day = (day.replace(day=1) + timedelta(days=32)).replace(day=1) if unit == "month" else day + timedelta(days=1)
        yield start, midnight(day, zone)


def _key(unit: Unit, start_us: int, zone: tzinfo | None) -> str:
    if unit == "minute":
        return minute_key(start_us)
    if unit == "hour":
        return hour_key(start_us, zone)
    return fmt.local(start_us, zone).date().isoformat()[: 7 if unit == "month" else 10]


def _full(unit: Unit, start_us: int, end_us: int, now_us: int, zone: tzinfo | None) -> str:
    at = fmt.local(start_us, zone)
    if unit == "month":
        return datetime(at.year, at.month, 15, tzinfo=UTC).strftime("%B %Y")
    day = _day(start_us, now_us, zone)
    if unit == "day":
        return day
    clock = f"{at.hour:02}:{at.minute:02}"
    if unit == "hour":
        end = fmt.local(end_us, zone)
        clock = tr("{a} to {b}", a=clock, b=f"{end.hour:02}:{end.minute:02}")
    return clock if at.date() == fmt.local(now_us, zone).date() else tr("{day}, {clock}", day=day, clock=clock)


def _day(at_us: int, now_us: int, zone: tzinfo | None) -> str:
    """18 Nov, or 18 Nov 2025 in another year."""
    at = fmt.local(at_us, zone)
    text = fmt.iso_day(at.date().isoformat())
    return text if at.year != fmt.local(now_us, zone).year else text.rpartition(" ")[0]
