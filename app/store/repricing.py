"""Costs worked out again for a period. The rows of the ledger are never changed: what was found later stands in `repriced`, with what
stood there before, and pages, sums and exports show the newest. A run is known by the number of the audit entry that began it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import msgspec

from app.core.ids import call_id_bytes
from app.core.records import Exchange
from app.store import days, ledger, rollups, words
from app.store.tables import ROLLUP_SUMS, insert_into

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

# What a row costs and the price applied; None when nobody knows.
Price = Callable[[Exchange], tuple[int, str] | None]

_PUT: Final = insert_into("repriced", ("exchange", "run", "cost_microusd", "price", "before_microusd", "before_price"))
_NEXT: Final = "SELECT id FROM exchanges WHERE id > ? AND id >= ? AND id < ? ORDER BY id LIMIT ?"
_NEWEST: Final = """
SELECT exchange, cost_microusd, price FROM repriced WHERE exchange IN (SELECT unhex(value) FROM json_each(?)) ORDER BY exchange, run"""
_COST, _UNPRICED, _LOCAL = (ROLLUP_SUMS.index(name) for name in ("cost_microusd", "unpriced", "local"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """looked_at: rows. changed: those of them that cost something else now. after: where to go on; None at the end."""

    looked_at: int
    changed: int
    before_microusd: int
    after_microusd: int
    after: bytes | None


def step(
    connection: Connection, run: int, since: bytes, until: bytes, after: bytes, most: int, price: Price, *, unpriced_only: bool
) -> Step:
    """Work out the next `most` rows after `after` with since <= id < until. Needs a writing transaction."""
    ids = [row[0] for row in connection.exec_driver_sql(_NEXT, (after, since, until, most))]
    changed: list[tuple[Exchange, Exchange]] = []
    for row in ledger.several(connection, ids):
        if not row.model or row.outcome in rollups.FAILED or (unpriced_only and row.cost_microusd is not None):
            continue
        found = price(row)
        # Nobody knowing it any more is no reason to forget what was known.
        if found is not None and found != (row.cost_microusd, row.price):
            changed.append((row, replace(row, cost_microusd=found[0], price=found[1])))
    _put(connection, run, changed)
    return Step(
        looked_at=len(ids),
        changed=len(changed),
        before_microusd=sum(before.cost_microusd or 0 for before, _ in changed),
        after_microusd=sum(now.cost_microusd or 0 for _, now in changed),
        after=ids[-1] if len(ids) == most else None,
    )


def newest(connection: Connection, identifiers: Sequence[bytes]) -> dict[bytes, tuple[int | None, str]]:
    """The later cost and price of those of these rows that have one."""
    if connection.exec_driver_sql("SELECT 1 FROM repriced LIMIT 1").first() is None:
        return {}
    as_hex = msgspec.json.encode([identifier.hex() for identifier in identifiers]).decode()
    found = connection.exec_driver_sql(_NEWEST, (as_hex,)).all()
    texts = words.texts(connection, {row[2] for row in found})
    return {row[0]: (row[1], texts[row[2]]) for row in found}


def _put(connection: Connection, run: int, changed: Sequence[tuple[Exchange, Exchange]]) -> None:
    if not changed:
        return
    numbers = words.numbers(
        connection,
        {text for before, now in changed for text in (before.client, before.account, before.kind, before.model, before.price, now.price)},
    )
    connection.exec_driver_sql(
        _PUT,
        [
            (call_id_bytes(now.id), run, now.cost_microusd, numbers[now.price], before.cost_microusd, numbers[before.price])
            for before, now in changed
        ],
    )
    sums: dict[tuple[int, ...], list[int]] = {}
    for before, now in changed:
        key = (days.quarter_of(now.opened_us), *(numbers[text] for text in (now.client, now.account, now.kind, now.model)))
        total = sums.setdefault(key, [0] * len(ROLLUP_SUMS))
        total[_COST] += (now.cost_microusd or 0) - (before.cost_microusd or 0)
        total[_UNPRICED] += rollups.is_unpriced(now) - rollups.is_unpriced(before)
        total[_LOCAL] += (now.price == "local") - (before.price == "local")
    rollups.change(connection, sums)
