"""Which audit entry wrote down that a request was turned away: the first of a kind has one at once, a flood one a minute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from app.core.events import AccessRefused, KeyRefused
from app.core.records import Exchange
from app.core.unreadable import UNREADABLE

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

# A request is opened a little before it is refused.
_LATER_US: Final = 10_000_000
_MOST: Final = 2_000
_ENTRIES: Final = "SELECT seq, body FROM audit WHERE kind = ? ORDER BY seq DESC LIMIT ?"


class _Detail(msgspec.Struct):
    reason: str
    first_us: int
    last_us: int
    client: str = ""


class _Entry(msgspec.Struct):
    at_us: int
    detail: _Detail


def entry_of(connection: Connection, row: Exchange) -> int | None:
    """The number of the entry whose time and reason fit a refused row; the oldest of several. None: no such entry (yet)."""
    if row.outcome != "refused":
        return None
    found: int | None = None
    for kind in (KeyRefused.KIND, AccessRefused.KIND):
        for seq, body in connection.exec_driver_sql(_ENTRIES, (kind, _MOST)):
            try:
                entry = msgspec.json.decode(body, type=_Entry)
            except UNREADABLE:
                continue
            if entry.at_us < row.opened_us:
                break  # entries follow the order of their writing; a flood's is written up to a minute after its last refusal
            said = entry.detail
            fits = said.reason == row.error and said.client in ("", row.client)
            if fits and said.first_us - _LATER_US <= row.opened_us <= said.last_us:
                found = seq
        if found is not None:
            return found
    return None
