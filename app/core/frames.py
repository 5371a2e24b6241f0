"""The bytes of several files on one stream: frames of a number, a length and so many bytes; then an end.

    1 byte     the file's number; or END, with a last word of the sender as its bytes; or CANCEL, with none
    4 bytes    length, big-endian, at most `PIECE_MAX`
    N bytes    what comes next in that file

Numbers only grow: a file is over when the next one begins. A stream without END or CANCEL was cut.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

PIECE_MAX: Final = 1 << 20
LAST_WORD_MAX: Final = 65_536
END: Final = 255
CANCEL: Final = 254
_HEAD: Final = struct.Struct(">BI")


def frame(number: int, piece: bytes) -> bytes:
    """ValueError for more than `PIECE_MAX` bytes."""
    if len(piece) > PIECE_MAX:
        raise ValueError(f"a piece of {len(piece)} bytes")
    return _HEAD.pack(number, len(piece)) + piece


def cut(piece: bytes) -> Iterator[bytes]:
    """In parts that each fit into a frame."""
    for at in range(0, len(piece), PIECE_MAX):
        yield piece[at : at + PIECE_MAX]


class Parser:
    """Takes what arrives, however it is cut. files: how many there are. word_max: how long the last word may be.

    Holds no more than a head and the last word, whatever is announced.
    """

    def __init__(self, files: int, word_max: int = 0) -> None:
        self._files: Final = files
        self._word_max: Final = word_max
        self._head = b""
        self._number = -1
        self._left = 0
        self._word = b""
        self.ended: bytes | None = None
        self.cancelled = False

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The bytes that go into each file; then look at `ended`, the last word, and `cancelled`. ValueError where it is no such stream,
        or goes on after its end."""
        at = 0
        while at < len(data):
            if self.ended is not None or self.cancelled:
                raise ValueError("bytes after the end")
            if not self._left:
                taken = data[at : at + _HEAD.size - len(self._head)]
                at += len(taken)
                self._head += taken
                if len(self._head) == _HEAD.size:
                    self._begin(*_HEAD.unpack(self._head))
                    self._head = b""
                continue
            part = data[at : at + self._left]
            at += len(part)
            self._left -= len(part)
            if self._number != END:
                yield self._number, part
                continue
            self._word += part
            if not self._left:
                self.ended = self._word

    def _begin(self, number: int, length: int) -> None:
        if number == CANCEL and not length:
            self.cancelled = True
        elif number == END and length <= self._word_max:
            self._number, self._left = number, length
            if not length:
                self.ended = b""
        elif max(self._number, 0) <= number < self._files and length <= PIECE_MAX:
            self._number, self._left = number, length
        else:
            raise ValueError(f"frame {number} of {length} bytes")
