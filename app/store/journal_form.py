"""What a record of the journal says: one byte for its kind, then MessagePack.

B begun       `Begun`: first in every segment
O opened      the flat row (`exchanges.FIELDS`, as named by the segment's `Begun`)
C closed      the flat row
K committed   list of call ids
T trimmed     list of segment numbers that are about to be removed
E ended       empty list: an orderly stop
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from app.core.records import Exchange
from app.store import exchanges

BEGUN: Final = b"B"
OPENED: Final = b"O"
CLOSED: Final = b"C"
COMMITTED: Final = b"K"
TRIMMED: Final = b"T"
ENDED: Final = b"E"

_ROW_BYTES: Final = 16 << 10
_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder().decode


class Begun(msgspec.Struct, array_like=True, frozen=True):
    """fields: names of a row's fields in this segment. previous, records: number of the segment before (0: none) and how many records
    it has. live: numbers of all segments that were there at that time."""

    fields: tuple[str, ...]
    previous: int
    records: int
    live: tuple[int, ...]


_begun: Final = msgspec.msgpack.Decoder(Begun).decode


def of_row(kind: bytes, row: Exchange) -> bytes:
    """The record of `row`. It is written whatever others put into its texts and numbers (see `exchanges.bounded`)."""
    try:
        record = kind + _pack(exchanges.flat(row))
    except (OverflowError, ValueError):
        record = b""
    if not 0 < len(record) <= _ROW_BYTES:
        record = kind + _pack(exchanges.flat(exchanges.bounded(row)))
    return record


def of_list(kind: bytes, values: Iterable[object]) -> bytes:
    return kind + _pack(list(values))


def of_begun(begun: Begun) -> bytes:
    return BEGUN + _pack(begun)


def begun_of(record: bytes) -> Begun | None:
    """What the first record of a segment says; None when it is another kind of record (the first one was lost)."""
    return _begun(record[1:]) if record.startswith(BEGUN) else None


def list_of(record: bytes) -> list[Any]:
    values: list[Any] = _unpack(record[1:])
    return values
