"""Text as a reader sees it who undoes its escapes, with a map back to the bytes that were sent.

Undone are the escapes of JSON (`\\u0073`, `\\/`), of other languages' strings (`\\x73`, `\\163`, `\\u{73}`), of URLs (`%73`) and of HTML
(`&#115;`, `&#x73;`), each also where it was escaped again. Everything here is linear in the text: an escape's first byte is always taken
with the match, so that no byte is looked at from two beginnings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_ESCAPE: Final = re.compile(
    rb"\\++(?:u(?:([0-9a-fA-F]{4})|\{([0-9a-fA-F]{1,6})\})|x([0-9a-fA-F]{2})|([0-3][0-7]{2})|([\"/nrtbf]))?"
    rb"|%(?:25)*+([0-9a-fA-F]{2})?"
    rb"|&(?:amp;)*+(?:#(?:[xX]0*+([0-9a-fA-F]{1,6})|0*+([0-9]{1,7}));?|(?:lt|gt|quot|apos|nbsp|shy|zwnj|zwj);)?"
)
_OCTAL, _CONTROL, _DECIMAL = 4, 5, 8  # groups; the others are hexadecimal
_CONTROLS: Final = {b'"': b'"', b"/": b"/", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}
_ROUNDS: Final = 3  # an escape within an escape within an escape

_PLAIN: Final = b"0123456789abcdefghijklmnopqrstuvwxyz"
_LOWER: Final = bytes(range(256)).lower()
_DROPPED: Final = bytes(sorted(set(range(256)) - set(_PLAIN) - set(_PLAIN.upper())))
_KEPT: Final = frozenset(range(256)) - frozenset(_DROPPED)


@dataclass(frozen=True, slots=True)
class View:
    """text: what is seen. starts, ends: for each of its bytes where what stands for it begins and ends in the bytes that were sent."""

    text: bytes
    starts: list[int]
    ends: list[int]


def unescaped(data: bytes) -> bytes:
    """`data` without escapes."""
    for _ in range(_ROUNDS):
        if b"\\" not in data and b"%" not in data and b"&" not in data:
            return data
        plain = _ESCAPE.sub(_value, data)
        if plain == data:
            return data
        data = plain
    return data


def bare(text: bytes) -> bytes:
    """Letters and digits alone, in lower case: no separator and no spelling hides anything."""
    return text.translate(_LOWER, _DROPPED)


def view(data: bytes) -> View:
    """As `unescaped`, with the map."""
    seen = View(data, list(range(len(data))), list(range(1, len(data) + 1)))
    for _ in range(_ROUNDS):
        found = _once(seen)
        if found.text == seen.text:
            return found
        seen = found
    return seen


def bare_view(seen: View) -> View:
    """As `bare`, with the map."""
    places = [at for at, byte in enumerate(seen.text) if byte in _KEPT]
    return View(bare(seen.text), [seen.starts[at] for at in places], [seen.ends[at] for at in places])


def _once(seen: View) -> View:
    out, starts, ends, at = bytearray(), list[int](), list[int](), 0
    for found in _ESCAPE.finditer(seen.text):
        start, end = found.span()
        out += seen.text[at:start]
        starts += seen.starts[at:start]
        ends += seen.ends[at:start]
        value = _value(found)
        out += value
        starts += [seen.starts[start]] * len(value)
        ends += [seen.ends[end - 1]] * len(value)
        at = end
    out += seen.text[at:]
    return View(bytes(out), starts + seen.starts[at:], ends + seen.ends[at:])


def _value(found: re.Match[bytes]) -> bytes:
    group = found.lastindex
    if group is None:  # no escape after all, or one of a character that no key holds
        return found[0][:1]
    digits = found[group]
    if group == _CONTROL:
        return _CONTROLS[digits]
    number = int(digits, 8 if group == _OCTAL else 10 if group == _DECIMAL else 16)
    return chr(number).encode("utf-8", "replace") if number < 0x110000 else b""
