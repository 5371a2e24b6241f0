"""Sums of the ledger per quarter of an hour, client, account, kind and model, kept in the transaction that writes the rows.

Usage questions are answered from here: over ten million rows that is milliseconds instead of seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING, Final

from app.core.errors import AppError
from app.core.records import Exchange, HourBar, Today, UsageRow
from app.store import days, words
from app.store.tables import ROLLUP_KEY, ROLLUP_SUMS, insert_into, select_from

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

FAILED: Final = frozenset({"failed", "refused", "interrupted"})
DIMENSIONS: Final = ("day", "client", "model", "provider")

_ADD: Final = (
    insert_into("rollups", ROLLUP_KEY + ROLLUP_SUMS)
    + f" ON CONFLICT DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in ROLLUP_SUMS)}"
)
_USAGE_SUMS: Final = (
    "requests", "failed", "input", "cached", "cache_write", "output", "reasoning", "cost_microusd", "unpriced", "estimated",
)  # fmt: skip
_DAY_SUMS: Final = ("requests", "failed", "cost_microusd", "unpriced", "local", "input", "cached", "output")
_DAY: Final = (
    select_from("rollups", ("quarter", *(f"sum({name})" for name in _DAY_SUMS))) + " WHERE quarter >= ? AND quarter < ? GROUP BY quarter"
)
_ACCOUNTS: Final = (
    "SELECT text, sum(requests) FROM rollups JOIN words ON words.id = rollups.account WHERE quarter >= ? AND quarter < ? GROUP BY text"
)


def is_unpriced(row: Exchange) -> bool:
    """A model answered (wholly or until the client left) and nobody knows what it cost."""
    return row.cost_microusd is None and row.model != "" and row.outcome not in FAILED


def add(connection: Connection, rows: Iterable[Exchange], numbers: Mapping[str, int]) -> None:
    """Add `rows` to the sums. `numbers`: the words' numbers."""
    sums: dict[tuple[int, ...], list[int]] = {}
    for row in rows:
        key = (row.opened_us // days.QUARTER_US, numbers[row.client], numbers[row.account], numbers[row.kind], numbers[row.model])
        total = sums.get(key)
        if total is None:
            total = sums[key] = [0] * len(ROLLUP_SUMS)
        tokens = row.tokens
        total[0] += 1
        total[1] += row.outcome in FAILED
        total[2] += row.price == "local"
        total[3] += tokens.input or 0
        total[4] += tokens.cached or 0
        total[5] += tokens.cache_write or 0
        total[6] += tokens.output or 0
        total[7] += tokens.reasoning or 0
        total[8] += row.cost_microusd or 0
        total[9] += is_unpriced(row)
        total[10] += tokens.estimated
    connection.exec_driver_sql(_ADD, [(*key, *total) for key, total in sums.items()])


def usage(connection: Connection, by: Sequence[str], since_us: int, until_us: int, zone: tzinfo | None = None) -> list[UsageRow]:
    """Sums from `since_us` to before `until_us`, grouped by `by` (of `DIMENSIONS`; nothing: one row in all), sorted by key.

    The bounds are taken at the quarter of an hour, outwards. Days are days of `zone` (None: this machine's), as `2026-03-29`.
    AppError body_invalid for an unknown or repeated dimension.
    """
    if len(set(by)) != len(by) or not set(by) <= set(DIMENSIONS):
        raise AppError("body_invalid", f"Usage is grouped by any of {', '.join(DIMENSIONS)}, each once.", param="by")
    bounds = connection.exec_driver_sql("SELECT min(quarter), max(quarter) FROM rollups").one()
    if bounds[0] is None:
        return []
    first = max(days.quarter_of(since_us), bounds[0])
    last = min(days.quarter_of(until_us - 1), bounds[1])
    if first > last:
        return []
    from app.store import grouping  # noqa: PLC0415  (it needs SQLAlchemy, which the start does not wait for)

    columns = ["account" if name == "provider" else name for name in by]
    found = connection.execute(grouping.sums(_USAGE_SUMS, columns, zone, first, last)).all()
    texts = words.texts(connection, {row[place] for place, name in enumerate(by) if name != "day" for row in found})
    shown: list[Callable[[int], str]] = [days.label if name == "day" else texts.__getitem__ for name in by]
    return sorted(
        (
            UsageRow(
                key=tuple(show(value) for show, value in zip(shown, row[: len(by)], strict=True)),
                **dict(zip(_USAGE_SUMS, row[len(by) :], strict=True)),
            )
            for row in found
            if row[len(by)] is not None
        ),
        key=lambda row: row.key,
    )


def today(connection: Connection, now_us: int, zone: tzinfo | None = None) -> Today:
    """The figures of the local day so far, with a bar for each hour that has begun (23 or 25 of them on some days)."""
    now = days.quarter_of(now_us)
    start, end = days.start_of_day(zone, now), days.end_of_day(zone, now)
    found = {row[0]: row[1:] for row in connection.exec_driver_sql(_DAY, (days.start_of_day(zone, start - 1), end))}
    own = {quarter: sums for quarter, sums in found.items() if quarter >= start}
    total = dict(zip(_DAY_SUMS, map(sum, zip(*own.values(), strict=True)), strict=True)) if own else {}
    bars = []
    for hour in range(start, max(now, *own) + 1 if own else now + 1, 4):
        requests = sum(own[quarter][0] for quarter in range(hour, hour + 4) if quarter in own)
        failed = sum(own[quarter][1] for quarter in range(hour, hour + 4) if quarter in own)
        local = hour + days.offset(zone, hour)
        bars.append(HourBar(hour=local % days.QUARTERS_A_DAY // 4, answered=requests - failed, failed=failed))
    yesterday = sum(sums[0] for quarter, sums in found.items() if quarter < start)
    return Today(yesterday=yesterday, hours=tuple(bars), **total)


def today_by_account(connection: Connection, now_us: int, zone: tzinfo | None = None) -> dict[str, int]:
    """Requests of the local day so far per account name."""
    now = days.quarter_of(now_us)
    bounds = (days.start_of_day(zone, now), days.end_of_day(zone, now))
    return dict(connection.exec_driver_sql(_ACCOUNTS, bounds).all())
