"""How many requests were opened in each minute of a short time: the bars above the last hour.

Rollups count by the quarter of an hour. Here the entries of `family_rows` are counted, family by family and minute by minute, which
reads of the ledger only what was opened in that time.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

import msgspec

from app.core.errors import AppError
from app.core.records import MinuteBar
from app.store import families, rollups, search, words
from app.store.search import Filter

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

MINUTE_US: Final = 60_000_000
MOST: Final = 180
_COUNTS: Final = """
SELECT minute, sum(n), sum(n * failed) FROM (
    SELECT minutes.key AS minute, families.outcome IN (SELECT value FROM json_each(?)) AS failed, (
        SELECT count(*) FROM family_rows
        WHERE family = families.id AND exchange >= unhex(minutes.value ->> 0) AND exchange < unhex(minutes.value ->> 1)
    ) AS n
    FROM json_each(?) AS minutes, json_each(?) AS wanted JOIN families ON families.id = wanted.value
) GROUP BY minute HAVING sum(n) > 0"""


def per_minute(connection: Connection, wanted: Filter) -> list[MinuteBar]:
    """The minutes from `since_us` to before `until_us` in which something fits, in order. AppError body_invalid for more than `MOST`.

    A minute is one of the clock. Text and id of the filter do not count.
    """
    if wanted.since_us is None or wanted.until_us is None or wanted.until_us - wanted.since_us > MOST * MINUTE_US:
        raise AppError(
            "body_invalid", f"Minutes are counted for {MOST} of them at most.", "Choose a shorter time, or hours.", param="since_us"
        )
    first, last = wanted.since_us // MINUTE_US, -(-wanted.until_us // MINUTE_US)
    bounds = [search.at(minute * MINUTE_US).hex() for minute in range(first, last + 1)]
    if len(bounds) < 2:
        return []
    condition, values = search.kept(connection, wanted) or ("1", [])
    active = families.between(connection, condition, values, bytes.fromhex(bounds[0]), bytes.fromhex(bounds[-1]))
    failed = words.known(connection, tuple(rollups.FAILED))
    minutes = list(itertools.pairwise(bounds))
    found = connection.exec_driver_sql(_COUNTS, tuple(msgspec.json.encode(each).decode() for each in (failed, minutes, active)))
    return [MinuteBar(at_us=(first + minute) * MINUTE_US, requests=n, failed=bad) for minute, n, bad in sorted(map(tuple, found))]
