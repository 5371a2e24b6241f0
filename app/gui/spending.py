"""What the Usage page shows, as values: bars over time, the rows below them, and figures that sum to the same. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final, Literal

from app.core.records import UsageRow
from app.gui import format as fmt
from app.gui import spans
from app.gui.words import plural, tr

Measure = Literal["cost", "tokens", "requests"]
Range = Literal["today", "week", "month", "days", "year"]
Dimension = Literal["model", "client", "provider"]
RANGES: Final[tuple[Range, ...]] = ("today", "week", "month", "days", "year")
MEASURES: Final[tuple[Measure, ...]] = ("cost", "tokens", "requests")
DIMENSIONS: Final[tuple[Dimension, ...]] = ("model", "client", "provider")
Time = Literal["hour", "day", "month"]
# What each range can be cut into, the usual one first; the ledger sums hours over two weeks at most.
TIMES: Final[dict[Range, tuple[Time, ...]]] = {
    "today": ("hour",),
    "week": ("day", "hour"),
    "month": ("day",),
    "days": ("day",),
    "year": ("month", "day"),
}
# The inks of the largest; what is left over is one grey.
INKS: Final = ("acc", "c2", "c3", "c4", "c6")
OTHER: Final = "c5"


@dataclass(frozen=True, slots=True)
class Period:
    """since_us to before until_us, cut by `time`. buckets: the keys of all of them, also those nothing happened in."""

    since_us: int
    until_us: int
    time: Time
    buckets: tuple[str, ...]
    words: str


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    ink: str


@dataclass(frozen=True, slots=True)
class Bar:
    """values: one per series, in millionths of a dollar, tokens or requests. label: below it; full: in the readout."""

    label: str
    full: str
    values: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.values)


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table. share: of the measure, in thousandths; None where it has none."""

    key: str
    name: str
    provider: str
    ink: str
    sums: UsageRow
    share: int | None


@dataclass(frozen=True, slots=True)
class View:
    measure: Measure
    series: tuple[Series, ...]
    bars: tuple[Bar, ...]
    lines: tuple[Line, ...]
    figures: tuple[tuple[str, str, str, str], ...]
    """Caption, value, what is below it, and the ink of that."""


def period(chosen: Range, now_us: int, zone: tzinfo | None = None, time: Time | None = None) -> Period:
    """Local days; months are calendar months. time: one of `TIMES[chosen]`, by default the first."""
    now = fmt.local(now_us, zone)
    today = now.date()
    match chosen:
        case "today":
            first, words = today, tr("Today")
        case "week":
            first, words = today - timedelta(days=6), tr("7 days")
        case "month":
            first, words = today.replace(day=1), tr("This month")
        case "days":
            first, words = today - timedelta(days=29), tr("30 days")
        case "year":
            month = today.year * 12 + today.month - 12
            first, words = date(month // 12, month % 12 + 1, 1), tr("12 months")
    since, until = spans.midnight(first, zone), spans.midnight(today + timedelta(days=1), zone)
    time = time if time in TIMES[chosen] else TIMES[chosen][0]
    if time == "hour":
        buckets = tuple(spans.hour_key(start, zone) for start, _ in spans.hours(since, until, zone))
        return Period(since, until, time, buckets, words)
    if time == "month":
        months = tuple(f"{m // 12}-{m % 12 + 1:02}" for m in range(first.year * 12 + first.month - 1, today.year * 12 + today.month))
        return Period(since, until, time, months, words)
    days = tuple((first + timedelta(days=n)).isoformat() for n in range((today - first).days + 1))
    return Period(since, until, time, days, words)


def times(chosen: Range) -> tuple[tuple[str, str], ...]:
    """What the bars may be, with words."""
    words = {"hour": tr("Per hour"), "day": tr("Per day"), "month": tr("Per month")}
    return tuple((time, words[time]) for time in TIMES[chosen])


def dimensions(time: str, by: Dimension) -> tuple[str, ...]:
    """What is asked for: models with their provider."""
    return (time, "model", "provider") if by == "model" else (time, by)


def present(rows: Sequence[UsageRow], over: Period, measure: Measure) -> View:
    """rows: answers to `dimensions`."""
    groups: dict[tuple[str, ...], UsageRow] = {}
    for row in rows:
        key = row.key[1:]
        groups[key] = _sum(key, (groups[key], row)) if key in groups else _sum(key, (row,))
    ordered = sorted(groups.values(), key=lambda one: (-amount(one, measure), -one.requests, one.key))
    inks = {row.key: INKS[place] if place < len(INKS) else OTHER for place, row in enumerate(ordered)}
    shown = [row for row in ordered if amount(row, measure)]
    series = [Series(_name(row.key), inks[row.key]) for row in shown[: len(INKS)]]
    places = {row.key: place for place, row in enumerate(shown[: len(INKS)])}
    if len(shown) > len(INKS):
        series.append(Series(tr("other"), OTHER))
    values = {bucket: [0] * len(series) for bucket in over.buckets}
    for row in rows:
        added = amount(row, measure)
        if added and (bar := values.get(row.key[0])) is not None:
            bar[places.get(row.key[1:], len(series) - 1)] += added
    total = _sum((), ordered)
    whole = amount(total, measure)
    return View(
        measure=measure,
        series=tuple(series),
        bars=tuple(Bar(*_labels(bucket, over.time), tuple(values[bucket])) for bucket in over.buckets),
        lines=tuple(
            Line(
                key="\x1f".join(row.key),
                name=_name(row.key),
                provider=row.key[1] if len(row.key) > 1 else "",
                ink=inks[row.key],
                sums=row,
                share=round(1000 * amount(row, measure) / whole) if whole and amount(row, measure) else None,
            )
            for row in ordered
        ),
        figures=_figures(total, ordered),
    )


def amount(row: UsageRow, measure: Measure) -> int:
    match measure:
        case "cost":
            return row.cost_microusd
        case "tokens":
            return row.input + row.output
        case "requests":
            return row.requests


def words(value: int, measure: Measure) -> str:
    match measure:
        case "cost":
            return fmt.money(value)
        case "tokens":
            return fmt.compact(value)
        case "requests":
            return fmt.count(value)


def cost(row: UsageRow) -> tuple[str, str]:
    """The words and their ink: what has no price is never nothing."""
    if row.unpriced:
        some = plural(row.unpriced, "{n} unpriced", "{n} unpriced")
        return (tr("{cost} + {some}", cost=fmt.money(row.cost_microusd), some=some) if row.cost_microusd else tr("Unpriced")), "wa"
    if row.local and not row.cost_microusd:
        return tr("Local"), "tx3"
    return fmt.money(row.cost_microusd), "tx"


def readout(bar: Bar, series: Sequence[Series], measure: Measure) -> str:
    """One bar in words, for a screen reader: Fri 20 November: $4.37; gpt-5.1 $0.92."""
    parts = [f"{one.name} {words(value, measure)}" for one, value in zip(series, bar.values, strict=True) if value]
    return "; ".join([f"{bar.full}: {words(bar.total, measure)}", *parts])


def _figures(total: UsageRow, ordered: Sequence[UsageRow]) -> tuple[tuple[str, str, str, str], ...]:
    without = [_name(row.key) for row in ordered if row.unpriced]
    cached = f"{round(100 * total.cached / total.input)} %" if total.input else fmt.ABSENT
    failed = plural(total.failed, "{n} failed, counted too", "{n} failed, counted too") if total.failed else tr("none failed")
    unpriced = tr("everything has a price")
    if without:
        unpriced = tr("no price for {name}", name=without[0]) if len(without) == 1 else plural(len(without), "", "no price for {n} names")
    return (
        (
            tr("Cost"),
            fmt.money(total.cost_microusd),
            plural(total.local, "{n} local, free", "{n} local, free") if total.local else "",
            "tx3",
        ),
        (tr("Requests"), fmt.count(total.requests), failed, "tx3"),
        (
            tr("Tokens"),
            fmt.compact(total.input + total.output),
            tr("{i} in, {o} out", i=fmt.compact(total.input), o=fmt.compact(total.output)),
            "tx3",
        ),
        (tr("Read from cache"), cached, tr("{n} tokens", n=fmt.compact(total.cached)), "tx3"),
        (tr("Unpriced"), fmt.count(total.unpriced), unpriced, "wa" if without else "tx3"),
    )


def _sum(key: tuple[str, ...], rows: Sequence[UsageRow]) -> UsageRow:
    return UsageRow(
        key=key,
        requests=sum(row.requests for row in rows),
        failed=sum(row.failed for row in rows),
        input=sum(row.input for row in rows),
        cached=sum(row.cached for row in rows),
        cache_write=sum(row.cache_write for row in rows),
        output=sum(row.output for row in rows),
        reasoning=sum(row.reasoning for row in rows),
        cost_microusd=sum(row.cost_microusd for row in rows),
        unpriced=sum(row.unpriced for row in rows),
        estimated=sum(row.estimated for row in rows),
        local=sum(row.local for row in rows),
    )


def _name(key: tuple[str, ...]) -> str:
    return key[0] or tr("(none)")


def _labels(bucket: str, time: str) -> tuple[str, str]:
    if time == "hour":
        hour = bucket[11:13]
        full = tr("{a} to {b}", a=f"{hour}:00", b=f"{(int(hour) + 1) % 24:02}:00")
        return hour, tr("{day}, {time}", day=_labels(bucket[:10], "day")[1], time=full)
    if time == "month":
        at = datetime.fromisoformat(f"{bucket}-15T12:00").replace(tzinfo=UTC)
        return at.strftime("%b"), at.strftime("%B %Y")
    at = datetime.fromisoformat(f"{bucket}T12:00").replace(tzinfo=UTC)
    return str(at.day), f"{at.strftime('%a')} {at.day} {at.strftime('%B')}"
