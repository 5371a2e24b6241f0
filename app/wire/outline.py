"""How much structure a JSON text has, without decoding it: what decoding would cost is known before it is paid.

In slices, so that a thread that looks at a large body lets the others go on between two of them. Of a text that is not JSON it says
something that means nothing; the decoder refuses that one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

MAX_MEMBERS: Final = 2_000
MAX_VALUES: Final = 1_000_000

_SLICE: Final = 65_536
_PAIR: Final = re.compile(rb"\\.", re.DOTALL)
_OTHERS: Final = bytes(set(range(256)) - set(b"[]{},"))
_DEEPER: Final = b"[{"
_COMMA: Final = b","[0]


@dataclass(slots=True)
class Outline:
    """values: at least as many as there are in lists and objects together, at most twice as many. members: of the outermost object or
    list. depth: the deepest nesting."""

    values: int = 0
    members: int = 0
    depth: int = 0


def outline(text: bytes, most: int = MAX_VALUES) -> Outline:
    """Stops soon after `most` values were counted. Linear in the length of `text`."""
    seen = Outline()
    depth, inside, escaped = 0, False, False
    for at in range(0, len(text), _SLICE):
        piece = text[at : at + _SLICE]
        if escaped:
            piece, escaped = piece[1:], False
        if b"\\" in piece:
            trailing = len(piece) - len(piece.rstrip(b"\\"))
            if trailing % 2:
                piece, escaped = piece[:-1], True
            piece = _PAIR.sub(b"", piece)
        parts = piece.split(b'"')
        marks = b"".join(parts[1 if inside else 0 :: 2]).translate(None, _OTHERS)
        if len(parts) % 2 == 0:
            inside = not inside
        seen.values += marks.count(b",") + marks.count(b"[") + marks.count(b"{")
        for mark in marks:
            if mark == _COMMA:
                if depth == 1:
                    seen.members += 1
            elif mark in _DEEPER:
                if not depth:
                    seen.members = 1
                depth += 1
                seen.depth = max(seen.depth, depth)
            else:
                depth -= 1
        if seen.values > most:
            break
    return seen
