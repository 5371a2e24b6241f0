"""Sums of the rollups by whole local days, so that a question about years reads some thousand rows and not a million.

A day's sums stand under how many quarter-hours local time was ahead of UTC (`ahead`) and the day's number. `day_spans` says which
offset every quarter of an hour was counted under: `[first, until)`, without gaps. A question in a zone that agrees with them over its
range is answered from here, but for the days on which the clock changes, whose quarters are summed instead. After the zone of the
machine has changed nothing agrees; questions are then answered from the quarters (slowly, rightly) until `mend` has counted anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING, Final

from app.store import days
from app.store.tables import ROLLUP_KEY, ROLLUP_SUMS, insert_into

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

Span = tuple[int, int, int]

_KEY: Final = ("ahead", "day", *ROLLUP_KEY[1:])
_ADD: Final = (
    insert_into("daily", _KEY + ROLLUP_SUMS)
    + f" ON CONFLICT DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in ROLLUP_SUMS)}"
)
_SPANS: Final = "SELECT first, until, ahead FROM day_spans ORDER BY first"
# Grouping by the number of a day keeps the sums of one day together; a range of quarters is read once, in order.
_COUNT: Final = f"""
INSERT INTO daily ({", ".join(_KEY + ROLLUP_SUMS)})
SELECT ?3, (quarter + ?3) / {days.QUARTERS_A_DAY}, {", ".join(ROLLUP_KEY[1:])}, {", ".join(f"sum({name})" for name in ROLLUP_SUMS)}
FROM rollups WHERE quarter >= ?1 AND quarter < ?2 GROUP BY 2, 3, 4, 5, 6"""  # noqa: S608 - our words; values are bound


def add(connection: Connection, sums: Mapping[tuple[int, ...], Sequence[int]], zone: tzinfo | None) -> None:
    """Add what was added to the rollups: sums by `tables.ROLLUP_KEY`. Needs a writing transaction."""
    spans = _spans(connection)
    if spans is None:
        return
    ahead = _covered(connection, spans, {key[0] for key in sums}, zone)
    if ahead is None:
        connection.exec_driver_sql("DELETE FROM day_spans")
        connection.info["day_spans"] = None
        return
    totals: dict[tuple[int, ...], list[int]] = {}
    for key, added in sums.items():
        offset = ahead[key[0]]
        place = (offset, (key[0] + offset) // days.QUARTERS_A_DAY, *key[1:])
        total = totals.get(place)
        totals[place] = list(added) if total is None else [a + b for a, b in zip(total, added, strict=True)]
    connection.exec_driver_sql(_ADD, [(*key, *total) for key, total in totals.items()])


def whole_days(connection: Connection, spans: Iterable[Span]) -> bool:
    """Whether the days within these spans of a zone, from `days.spans` as (first, until, ahead), were counted under them."""
    counted: list[Span] = []
    for first, until, ahead in connection.exec_driver_sql(_SPANS):
        if counted and counted[-1][1] == first and counted[-1][2] == ahead:
            counted[-1] = (counted[-1][0], until, ahead)
        else:
            counted.append((first, until, ahead))
    return all(any(a <= first and until <= b and ahead == c for a, b, c in counted) for first, until, ahead in spans)


def fits(connection: Connection, zone: tzinfo | None) -> bool:
    """Whether everything is counted by the days of `zone`."""
    bounds = connection.exec_driver_sql(days.BOUNDS).one()
    return bounds[0] is None or whole_days(connection, spans_of(zone, bounds[0], bounds[1]))


def mend(connection: Connection, zone: tzinfo | None = None) -> None:
    """Count everything anew by the days of `zone`. Needs a writing transaction; about a second for a million rollups."""
    connection.info.pop("day_spans", None)
    for statement in ("DELETE FROM daily", "DELETE FROM day_spans"):
        connection.exec_driver_sql(statement)
    first, last = connection.exec_driver_sql(days.BOUNDS).one()
    for span in [] if first is None else spans_of(zone, first, last):
        connection.exec_driver_sql(_COUNT, span)
        connection.exec_driver_sql("INSERT INTO day_spans VALUES (?, ?, ?)", span)


def spans_of(zone: tzinfo | None, first: int, last: int) -> list[Span]:
    """`days.spans` with the beginning of each: (first, until, ahead)."""
    found, start = list[Span](), first
    for until, ahead in days.spans(zone, first, last):
        found.append((start, until, ahead))
        start = until
    return found


def _spans(connection: Connection) -> list[Span] | None:
    """What is counted, remembered by the writing connection; None when nothing may be added before `mend`."""
    if "day_spans" not in connection.info:
        spans = [tuple(row) for row in connection.exec_driver_sql(_SPANS)]
        # Days without spans: the zone has changed and they wait for `mend`. Neither: nothing was recorded yet.
        stale = not spans and connection.exec_driver_sql("SELECT 1 FROM daily LIMIT 1").first() is not None
        connection.info["day_spans"] = None if stale else spans
    spans_now: list[Span] | None = connection.info["day_spans"]
    return spans_now


def _covered(connection: Connection, spans: list[Span], quarters: set[int], zone: tzinfo | None) -> dict[int, int] | None:
    """The offset of each quarter, the spans stretched to cover them; None when the zone disagrees with what is counted."""
    ahead: dict[int, int] = {}
    for quarter in sorted(quarters):
        wanted = days.offset(zone, quarter)
        if not spans:
            _put(connection, spans, [(quarter, quarter + 1, wanted)])
        elif quarter >= spans[-1][1]:
            _put(connection, spans, [*spans[:-1], *_joined(spans[-1:] + spans_of(zone, spans[-1][1], quarter))])
        elif quarter < spans[0][0]:
            _put(connection, spans, [*_joined(spans_of(zone, quarter, spans[0][0] - 1) + spans[:1]), *spans[1:]])
        if next(span[2] for span in reversed(spans) if span[0] <= quarter) != wanted:
            return None
        ahead[quarter] = wanted
    return ahead


def _joined(spans: list[Span]) -> list[Span]:
    joined: list[Span] = []
    for span in spans:
        if joined and joined[-1][2] == span[2]:
            joined[-1] = (joined[-1][0], span[1], span[2])
        else:
            joined.append(span)
    return joined


def _put(connection: Connection, spans: list[Span], wanted: list[Span]) -> None:
    gone = set(spans) - set(wanted)
    if gone:
        connection.exec_driver_sql("DELETE FROM day_spans WHERE first = ?", [(span[0],) for span in gone])
    connection.exec_driver_sql("INSERT INTO day_spans VALUES (?, ?, ?)", sorted(set(wanted) - set(spans)))
    spans[:] = wanted
