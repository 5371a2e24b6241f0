"""Replies that came compressed although `identity` was asked: unpacked piece by piece, so that a bomb costs no memory."""

from __future__ import annotations

import zlib
from collections import deque
from typing import Final

from app.egress.http1 import BrokenReplyError

STEP: Final = 256 * 1024
_ALLOWED_RATIO: Final = 100
_FREE_BYTES: Final = 16 * 1024 * 1024
_SLICE: Final = 16 * 1024  # given to the decompressor at once: it copies what is left whenever a member ends
_EMPTY: Final = 1_000  # members that may come without giving anything


class Unpacker:
    """Undoes one `content-encoding`: gzip only. Anything else is BrokenReplyError at once, rather than handed on unread."""

    def __init__(self, encoding: bytes) -> None:
        if encoding.strip().lower() not in (b"gzip", b"x-gzip"):
            shown = encoding.decode("ascii", "replace")[:40]
            raise BrokenReplyError(f"compressed its answer ({shown}) although it was asked not to.")
        self._inner = zlib.decompressobj(wbits=31)
        self._waiting: deque[bytes] = deque()
        self._empty = 0
        self._bytes_in = 0
        self._bytes_out = 0

    @property
    def waiting(self) -> bool:
        """There is input left that may give more output."""
        return bool(self._waiting)

    def put(self, data: bytes) -> None:
        self._bytes_in += len(data)
        self._waiting.extend([data[at : at + _SLICE] for at in range(0, len(data), _SLICE)])

    def take(self) -> bytes:
        """At most `STEP` bytes of what was put in; b"" when more input is needed. BrokenReplyError on damage or a bomb."""
        while self._waiting:
            out = self._unpacked(self._waiting.popleft())
            if out:
                self._empty = 0
                return out
        return b""

    def _unpacked(self, piece: bytes) -> bytes:
        if self._inner.eof:  # RFC 1952 2.2: members may follow each other
            self._inner = zlib.decompressobj(wbits=31)
            self._empty += 1
            if self._empty > _EMPTY:
                raise BrokenReplyError("sent compressed data with nothing in it.")
        try:
            out = self._inner.decompress(piece, STEP)
        except zlib.error:
            raise BrokenReplyError("sent compressed data that is damaged.") from None
        left = self._inner.unused_data if self._inner.eof else self._inner.unconsumed_tail
        if left:
            self._waiting.appendleft(left)
        self._bytes_out += len(out)
        if self._bytes_out > _FREE_BYTES and self._bytes_out > self._bytes_in * _ALLOWED_RATIO:
            raise BrokenReplyError("sent compressed data that grows without end.")
        return out

    def end(self) -> None:
        """No more input comes. BrokenReplyError if the compressed data was cut off."""
        if self._bytes_in and not self._inner.eof:
            raise BrokenReplyError("cut its compressed answer off.")
