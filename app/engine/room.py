"""How many bytes of bodies are in memory: in all, and of each client.

Counted while they arrive, from the first byte on, and until the request is over. What nobody has shown a key for yet has a small part of
its own, so that a program without a key cannot take the room of those that have one, and one client cannot take all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.core.errors import AppError

NOBODY: Final = ""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes. each: of one client. unknown: of all together that have not shown a key."""

    all: int = 256 * 1_048_576
    each: int = 128 * 1_048_576
    unknown: int = 64 * 1_048_576


class Room:
    """Used on the event loop only. An owner is a client's name, `NOBODY` while none is known."""

    __slots__ = ("_each", "held", "sizes")

    def __init__(self, sizes: Sizes | None = None) -> None:
        self.sizes: Final = sizes or Sizes()
        self.held = 0
        self._each: Final[dict[str, int]] = {}

    def of(self, owner: str) -> int:
        return self._each.get(owner, 0)

    def take(self, owner: str, size: int) -> None:
        """AppError memory_full; nothing is taken then."""
        sizes = self.sizes
        mine = self._each.get(owner, 0) + size
        if self.held + size > sizes.all or mine > (sizes.each if owner else sizes.unknown):
            raise _full()
        self.held += size
        self._each[owner] = mine

    def move(self, size: int, giver: str, owner: str) -> None:
        """What was one's is another's. AppError memory_full; nothing has changed then."""
        if self._each.get(owner, 0) + size > self.sizes.each:
            raise _full()
        self.give(giver, size)
        self.held += size
        self._each[owner] = self._each.get(owner, 0) + size

    def give(self, owner: str, size: int) -> None:
        self.held -= size
        left = self._each.get(owner, 0) - size
        if left:
            self._each[owner] = left
        else:
            self._each.pop(owner, None)


def _full() -> AppError:
    return AppError("memory_full", "Too many large requests are open at once.", "Try again in a few seconds.", retry_after_s=2)
