"""Writing a filter for the kernel: classic BPF (linux/filter.h) over struct seccomp_data, with jumps by name."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

LONGEST: Final = 4096  # BPF_MAXINSNS, of one filter

_LOAD, _AND, _RETURN, _GO = 0x20, 0x54, 0x06, 0x05
EQUAL, AT_LEAST, ANY_BIT = 0x15, 0x35, 0x45

NUMBER, ARCH = 0, 4  # offsets in struct seccomp_data


def low(argument: int) -> int:
    """Where the lower half of an argument is; both machines are little-endian."""
    return 16 + 8 * argument


def high(argument: int) -> int:
    return 20 + 8 * argument


@dataclass(slots=True)
class Assembler:
    """Jumps by name: filter jumps are relative, forward, and easily off by one. A conditional one reaches 255 instructions far."""

    code: list[tuple[int, int, str, str]] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)

    def place(self, name: str) -> None:
        self.places[name] = len(self.code)

    def load(self, offset: int) -> None:
        self.code.append((_LOAD, offset, "", ""))

    def keep(self, mask: int) -> None:
        self.code.append((_AND, mask, "", ""))

    def jump(self, test: int, value: int, then: str, otherwise: str = "") -> None:
        """An empty name: go on with the next instruction."""
        self.code.append((test, value, then, otherwise))

    def go(self, name: str) -> None:
        """However far it is."""
        self.code.append((_GO, 0, name, ""))

    def end(self, verdict: int) -> None:
        self.code.append((_RETURN, verdict, "", ""))

    def choose(self, spans: Sequence[tuple[int, str]], verdicts: Mapping[str, int]) -> None:
        """By halves: where the value that was loaded lies. spans: (first value, what then), ascending from 0.

        What: the name of a verdict, or of a place. A call passes through about log2(len(spans)) comparisons.
        """
        if len(spans) == 1:
            name = spans[0][1]
            if name in verdicts:
                self.end(verdicts[name])
            else:
                self.go(name)
            return
        middle = len(spans) // 2
        upper = f"from {spans[middle][0]}"
        self.jump(AT_LEAST, spans[middle][0], upper)
        self.choose(spans[:middle], verdicts)
        self.place(upper)
        self.choose(spans[middle:], verdicts)

    def bytes(self) -> bytes:
        """As the kernel reads it: 8 bytes an instruction. ValueError for a jump that cannot be written."""
        made = b""
        for here, (code, value, then, otherwise) in enumerate(self.code):
            ahead = [self.places[name] - here - 1 if name else 0 for name in (then, otherwise)]
            if min(ahead) < 0 or (max(ahead) > 255 and code != _GO):
                raise ValueError(f"instruction {here} jumps {ahead}")
            made += struct.pack("<HBBI", code, 0, 0, ahead[0]) if code == _GO else struct.pack("<HBBI", code, *ahead, value)
        if len(self.code) > LONGEST:
            raise ValueError(f"{len(self.code)} instructions")
        return made


def spans_of(points: Mapping[int, str], otherwise: str) -> list[tuple[int, str]]:
    """What `Assembler.choose` takes, from single values; neighbours that mean the same are one span. A value `otherwise` in between."""
    found = [(0, otherwise)]
    for number in sorted(points):
        if found[-1][0] == number:
            found.pop()
        found += [(number, points[number]), (number + 1, otherwise)]
    return [each for before, each in zip([(0, ""), *found], found, strict=False) if each[1] != before[1]]
