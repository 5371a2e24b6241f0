"""Bytes that arrive in pieces, kept as one."""

from __future__ import annotations

import io


class Pieces:
    """What has arrived so far. A million pieces of one byte take a megabyte, not the eighty that a list of them would."""

    __slots__ = ("_first", "_more", "size")

    def __init__(self) -> None:
        self._first = b""
        self._more: io.BytesIO | None = None
        self.size = 0

    def add(self, data: bytes) -> None:
        if not self.size:
            self._first = data  # most bodies are one piece: it is kept as it came
        else:
            if self._more is None:
                self._more = io.BytesIO()
                self._more.write(self._first)
                self._first = b""
            self._more.write(data)
        self.size += len(data)

    def take(self) -> bytes:
        """All of it, without a copy of what came in several pieces. Nothing is kept."""
        whole = self._first if self._more is None else self._more.getvalue()
        self._first, self._more, self.size = b"", None, 0
        return whole
