"""Sums of the ledger per quarter of an hour, client, account, kind and model, kept in the transaction that writes the rows.

`usage` answers from here, and from `daily`, which holds the same sums by whole local days. They outlive the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING, Final

from app.core.records import Exchange, HourBar, Today
from app.store import daily, days
from app.store.tables import ROLLUP_KEY, ROLLUP_SUMS, insert_into, select_from

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

FAILED: Final = frozenset({"failed", "refused", "interrupted"})

_ADD: Final = (
    insert_into("rollups", ROLLUP_KEY + ROLLUP_SUMS)
    + f" ON CONFLICT DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in ROLLUP_SUMS)}"
)
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


def add(connection: Connection, rows: Iterable[Exchange], numbers: Mapping[str, int], zone: tzinfo | None = None) -> None:
    """Add `rows` to the sums, those of the whole days of `zone` too. `numbers`: the words' numbers."""
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
    change(connection, sums, zone)


def change(connection: Connection, sums: Mapping[tuple[int, ...], Sequence[int]], zone: tzinfo | None = None) -> None:
    """Add to the sums, by `tables.ROLLUP_KEY` in the order of `tables.ROLLUP_SUMS`; numbers below zero take away."""
    connection.exec_driver_sql(_ADD, [(*key, *total) for key, total in sums.items()])
    daily.add(connection, sums, zone)


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
