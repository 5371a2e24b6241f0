"""The one query whose shape depends on the question: sums of the rollups, grouped by any of their dimensions and by local days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Integer, MetaData, Select, Table, case, func, select

from app.store import days
from app.store.tables import ROLLUP_KEY, ROLLUP_SUMS

rollups: Final = Table("rollups", MetaData(), *(Column(name, Integer) for name in (*ROLLUP_KEY, *ROLLUP_SUMS)))


def sums(of: Sequence[str], by: Sequence[str], zone: tzinfo | None, first: int, last: int) -> Select[Any]:
    """Sums of the columns `of` over quarters `first` to `last`. `by`: columns of the rollups, or `day` for local days of `zone`."""
    groups = [_day(zone, first, last) if name == "day" else rollups.c[name] for name in by]
    query = select(*groups, *(func.sum(rollups.c[name]) for name in of)).where(rollups.c.quarter.between(first, last))
    return query.group_by(*groups) if groups else query


def _day(zone: tzinfo | None, first: int, last: int) -> ColumnElement[int]:
    """The local day of a rollup: between two changes of the clock that is a plain sum, so SQLite can group by it."""
    *changes, (_, ahead) = days.spans(zone, first, last)
    quarter = rollups.c.quarter
    local: Any = quarter + ahead
    if changes:
        local = case(*((quarter < until, quarter + offset) for until, offset in changes), else_=local)
    # Integer division rounds down here because no quarter since 1970 is negative.
    day: ColumnElement[int] = local // days.QUARTERS_A_DAY
    return day
