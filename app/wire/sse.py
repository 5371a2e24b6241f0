"""Server-sent events, incrementally: where events end, and what one event says.

Source: HTML standard, section 9.2.6 "Interpreting an event stream" (read 2026-10). An event ends with an empty line. Lines end with
LF, CR LF or CR; a stream that ends one line with LF and the next with a lone CR is not split there, which no server does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from app.core.errors import AppError

MAX_EVENT_BYTES: Final = 10 * 1024 * 1024

_ENDS: Final = (b"\n\n", b"\n\r\n", b"\r\r")
_END: Final = re.compile(rb"\n\n|\n\r\n|\r\r")


class Splitter:
    """Holds back the incomplete tail of a stream, so that what comes out always ends between two events."""

    __slots__ = ("_searched", "_tail")

    def __init__(self) -> None:
        self._tail = bytearray()
        self._searched = 0

    def feed(self, chunk: bytes) -> bytes:
        """Whole events, joined, or b"". AppError provider_broken when the held tail exceeds `MAX_EVENT_BYTES`."""
        tail = self._tail
        if not tail and chunk.endswith(b"\n\n"):
            return chunk
        tail += chunk
        end = -1
        for mark in _ENDS:
            found = tail.rfind(mark, self._searched)
            if found >= 0:
                end = max(end, found + len(mark))
        if end < 0:
            if len(tail) > MAX_EVENT_BYTES:
                raise AppError("provider_broken", f"The provider sent one event of more than {MAX_EVENT_BYTES >> 20} MiB.")
            self._searched = max(0, len(tail) - 2)
            return b""
        whole = bytes(tail[:end])
        del tail[:end]
        self._searched = max(0, len(tail) - 2)
        return whole

    @property
    def waiting(self) -> int:
        """The size of the tail."""
        return len(self._tail)

    def rest(self) -> bytes:
        """The tail that never became an event; it is forgotten here."""
        rest = bytes(self._tail)
        self._tail.clear()
        self._searched = 0
        return rest


def events(block: bytes) -> Iterator[bytes]:
    """The events in a block of whole events, each with its final empty line, nothing lost between them."""
    at = 0
    for end in _END.finditer(block):
        yield block[at : end.end()]
        at = end.end()
    if at < len(block):
        yield block[at:]


def fields(event: bytes) -> tuple[str, bytes]:
    """Name and data of one event; data lines are joined with LF. Comments and unknown fields are left out."""
    name = ""
    data: list[bytes] = []
    for line in event.removeprefix(b"\xef\xbb\xbf").splitlines():
        field, colon, value = line.partition(b":")
        if colon and value.startswith(b" "):
            value = value[1:]
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return name, b"\n".join(data)
