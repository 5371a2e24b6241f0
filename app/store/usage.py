"""Sums of the ledger for any question of the Usage page: by time, client, model and provider, over any range, in any zone.

Answered from the rollups: whole local days from `daily`, what is left at the edges from the quarter-hours. Rows are never read, so
an answer takes the same few milliseconds over ten million of them, and survives their retention.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING, Any, Final

from app.core.errors import AppError
from app.core.records import UsageRow
from app.store import daily, days, words
from app.store.days import QUARTERS_A_DAY

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

TIMES: Final = ("hour", "day", "month")
PLAIN: Final = ("client", "model", "provider")
DIMENSIONS: Final = (*TIMES, *PLAIN)
MOST_HOURS: Final = 24 * 14
_SUMS: Final = (
    "requests", "failed", "input", "cached", "cache_write", "output", "reasoning", "cost_microusd", "unpriced", "estimated", "local",
)  # fmt: skip
_ADDED: Final = ", ".join(f"sum({name})" for name in _SUMS)
_BUCKETS: Final = {
    "daily": {"day": "day", "month": "strftime('%Y-%m', day * 86400, 'unixepoch')"},
    "rollups": {
        "hour": "(quarter + ?1) / 4",
        "day": f"(quarter + ?1) / {QUARTERS_A_DAY}",
        "month": f"strftime('%Y-%m', (quarter + ?1) / {QUARTERS_A_DAY} * 86400, 'unixepoch')",
    },
}


def usage(
    connection: Connection,
    by: Sequence[str],
    since_us: int,
    until_us: int,
    zone: tzinfo | None = None,
    only: Mapping[str, Sequence[str]] | None = None,
) -> list[UsageRow]:
    """Sums from `since_us` to before `until_us`, grouped by `by` (of `DIMENSIONS`; nothing: one row in all), sorted by key.

    The bounds are taken at the quarter of an hour, outwards. Days are days of `zone` (None: this machine's), as `2026-03-29`, months
    `2026-03`, hours `2026-03-29T14:00+01:00`, so that the hour that comes twice a year has two names. only: names of clients, models or
    providers, of which one must hold. AppError body_invalid for unknown or repeated dimensions, two of time, or more than `MOST_HOURS`.
    """
    only = only or {}
    if len(set(by)) != len(by) or not set(by) <= set(DIMENSIONS) or len(set(by) & set(TIMES)) > 1 or not set(only) <= set(PLAIN):
        raise AppError("body_invalid", f"Usage is grouped by any of {', '.join(DIMENSIONS)}, each once, and one time of them.", param="by")
    bounds = connection.exec_driver_sql(days.BOUNDS).one()
    if bounds[0] is None:
        return []
    first = max(days.quarter_of(since_us), bounds[0])
    last = min(days.quarter_of(until_us - 1), bounds[1])
    if first > last:
        return []
    if "hour" in by and last - first >= MOST_HOURS * 4:
        raise AppError("body_invalid", "Hours are summed over two weeks at most.", "Choose a shorter time, or days.", param="by")
    condition, values = _condition(connection, only)
    if condition is None:
        return []
    spans = daily.spans_of(zone, first, last)
    by_days = "hour" not in by and daily.whole_days(connection, spans)
    wide, hour = len(by), by.index("hour") if "hour" in by else -1
    totals: dict[tuple[Any, ...], Sequence[int]] = {}
    cursor = connection.connection.cursor()  # the driver's own: SQLAlchemy's rows take twice as long, and there may be thousands
    for start, until, ahead in spans:
        for source, low, high in _parts(start, until, ahead, by_days=by_days):
            cursor.execute(_statement(source, by, condition), (ahead, low, high, *values))
            for row in cursor.fetchall():
                key, sums = row[:wide], row[wide:]
                if sums[0] is None:
                    continue
                if hour >= 0:
                    key = (*key[:hour], (key[hour] * 4 - ahead, ahead), *key[hour + 1 :])
                total = totals.get(key)
                totals[key] = sums if total is None else [a + b for a, b in zip(total, sums, strict=True)]
    return _rows(connection, by, totals)


def _parts(start: int, until: int, ahead: int, *, by_days: bool) -> list[tuple[str, int, int]]:
    """Where to read the quarters from `start` to before `until`: (table, from, to before); for `daily` those are days."""
    first_day, end_day = -(-(start + ahead) // QUARTERS_A_DAY), (until + ahead) // QUARTERS_A_DAY
    if not by_days or first_day >= end_day:
        return [("rollups", start, until)]
    inner = (first_day * QUARTERS_A_DAY - ahead, end_day * QUARTERS_A_DAY - ahead)
    edges = [("rollups", low, high) for low, high in ((start, inner[0]), (inner[1], until)) if low < high]
    return [("daily", first_day, end_day), *edges]


def _statement(source: str, by: Sequence[str], condition: str) -> str:
    columns = [_BUCKETS[source][name] if name in TIMES else _column(name) for name in by]
    where = "ahead = ?1 AND day >= ?2 AND day < ?3" if source == "daily" else "?1 IS NOT NULL AND quarter >= ?2 AND quarter < ?3"
    groups = f" GROUP BY {', '.join(str(place + 1) for place in range(len(by)))}" if by else ""
    return f"SELECT {', '.join([*columns, _ADDED])} FROM {source} WHERE {where}{condition}{groups}"  # noqa: S608 - our words; values are bound


def _condition(connection: Connection, only: Mapping[str, Sequence[str]]) -> tuple[str | None, list[int]]:
    """The condition of `only` and its values; None when no row can fit."""
    conditions, values = [], list[int]()
    for name, texts in only.items():
        numbers = words.known(connection, texts)
        if not numbers:
            return None, []
        conditions.append(f" AND {_column(name)} IN ({', '.join('?' * len(numbers))})")
        values += numbers
    return "".join(conditions), values


def _column(name: str) -> str:
    return "account" if name == "provider" else name


def _rows(connection: Connection, by: Sequence[str], totals: Mapping[tuple[Any, ...], Sequence[int]]) -> list[UsageRow]:
    texts = words.texts(connection, {key[place] for place, name in enumerate(by) if name in PLAIN for key in totals})
    # A label is made once, not once a row. Hours are sorted before they are named, because one of them may come twice.
    labels = [{value: _label(name, value, texts) for value in {key[place] for key in totals}} for place, name in enumerate(by)]
    shown = [(tuple([made[value] for made, value in zip(labels, key, strict=True)]), key, sums) for key, sums in totals.items()]
    if "hour" in by:
        place = by.index("hour")
        shown.sort(key=lambda one: (*one[0][:place], one[1][place], *one[0][place + 1 :]))
    else:
        shown.sort(key=lambda one: one[0])
    return [UsageRow(key=label, **dict(zip(_SUMS, sums, strict=True))) for label, _, sums in shown]


def _label(name: str, value: Any, texts: Mapping[int, str]) -> str:
    match name:
        case "hour":
            at, ahead = value
            zone = timezone(timedelta(minutes=15 * ahead))
            return datetime.fromtimestamp((at + ahead) * 900, UTC).replace(tzinfo=zone).isoformat(timespec="minutes")
        case "day":
            return days.label(value)
        case "month":
            return str(value)
        case _:
            return texts[value]
