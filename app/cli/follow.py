"""`gatehouse activity`: the rows of the ledger, and with `--follow` each further one as its request ends."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Sequence
from typing import Final

import msgspec

from app.cli import OK, text
from app.control.client import ControlClient
from app.control.contract import Exchange
from app.core.errors import AppError

_HEAD: Final = ("TIME", "CLIENT", "MODEL", "STATUS", "INPUT", "OUTPUT", "COST", "TOOK")
# Widths of a line that is printed before the next ones are known.
_WIDE: Final = (19, 14, 32, 14, 8, 8, 10, 8)
_NUMBERS: Final = "efgh"
# An engine that died is revived behind the same socket; this is how long a follower waits for it.
_PATIENCE_S: Final = 20.0


def words(rows: Sequence[Exchange]) -> str:
    return text.table(_HEAD, [_cells(row) for row in rows], _NUMBERS)


def run(options: Namespace, client: ControlClient) -> int:
    """Prints the last rows, then each new one, until interrupted. AppError when the gateway stays away."""
    shown: dict[str, None] = {}
    if not options.json:
        _line(_HEAD)
    connected = False
    lost_at: float | None = None
    while True:
        try:
            for line in client.events():
                if lost_at is not None or not connected:
                    # Subscribed first, read afterwards: a row that ends between the two is seen twice and shown once.
                    for row in reversed(client.activity(limit=500 if connected else options.limit).rows):
                        _show(options, row, shown)
                    connected, lost_at = True, None
                if line.row is not None:
                    _show(options, line.row, shown)
        except KeyboardInterrupt:
            return OK
        except AppError as error:
            if error.code != "engine_absent" or not connected:
                raise
            now = time.monotonic()
            lost_at = now if lost_at is None else lost_at
            if now - lost_at > _PATIENCE_S:
                raise
            time.sleep(0.5)
        else:
            return OK


def _show(options: Namespace, row: Exchange, shown: dict[str, None]) -> None:
    if row.id in shown:
        return
    shown[row.id] = None
    if len(shown) > 5_000:  # far more than one look back can bring again
        del shown[next(iter(shown))]
    if options.json:
        print(msgspec.json.encode(row).decode(), flush=True)  # noqa: T201
    else:
        _line(_cells(row))


def _line(cells: Sequence[str]) -> None:
    parts = []
    for column, (cell, wide) in enumerate(zip(cells, _WIDE, strict=True)):
        cut = text.plain(cell, wide)
        gap = " " * (wide - text.width(cut))
        parts.append(gap + cut if chr(ord("a") + column) in _NUMBERS else cut + gap)
    print("  ".join(parts).rstrip(), flush=True)  # noqa: T201


def _cells(row: Exchange) -> tuple[str, ...]:
    put_in, put_out = text.tokens(row.tokens)
    return (
        text.when(row.opened_us), row.client or text.NOTHING, text.model(row), text.outcome(row),
        put_in, put_out, text.exchange_cost(row), text.took(row.duration_us),
    )  # fmt: skip
