"""What a person asked for and may be done once, and what waits for a person, under numbers that mean one thing for as long as this
keeper runs. Another keeper begins at 1 again.

A grant is a wish (`core.wishes`), good for one use within two minutes on the monotonic clock. It comes from the window over the keeper's
own channel, or from the command line over the keeper's own socket; never by way of the engine.

What waits is one of three: `held`, a destination that the engine declared; `setting`, a value found in the database that nobody wished
for; `refused`, a change that was asked for without a grant, for ten minutes. Each list has room for some tens. Who fills one hides
nothing that was in it: what comes later is counted and not listed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from app.core.errors import AppError
from app.core.wishes import Wish

Kind = Literal["held", "setting", "refused"]
Listed = Literal["new", "known", "full"]

GRANT_S: Final = 120.0
REFUSED_S: Final = 600.0
_GRANTS_MAX: Final = 50
ROOM: Final[dict[Kind, int]] = {"held": 50, "setting": 50, "refused": 20}
# One life of an engine adds no more than that at once to the lists and to the log, and then one a minute.
NEW_MAX: Final = 500
NEW_EVERY_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """number: never used again in this run. used: what counts meanwhile, for a setting. asked: somebody still asks for it.

    until_s: when it goes by itself, on the monotonic clock."""

    number: int
    kind: Kind
    wish: Wish
    at_us: int
    used: str = ""
    asked: bool = True
    until_s: float | None = None

    def fields(self) -> dict[str, object]:
        return {
            "number": self.number, "kind": self.kind, "at_us": self.at_us, "used": self.used, "asked": self.asked, "says": str(self.wish),
        } | self.wish.fields()  # fmt: skip


class Grants:
    """Safe from any thread. on_change: what waits is different; called without the lock. by: who, in words. claim: the log for what a
    window can cause as often as it likes; default the log itself."""

    def __init__(
        self,
        log: Callable[[str], None],
        on_change: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        claim: Callable[[str], None] | None = None,
    ) -> None:
        self._log: Final = log
        self.claim: Final = log if claim is None else claim
        self._on_change: Final = on_change
        self._clock: Final = clock
        self._lock: Final = threading.Lock()
        self._grants: dict[int, tuple[Wish, str, float]] = {}
        self._waiting: dict[int, Waiting] = {}
        self._granted = self._last = 0
        self._new = 0.0
        self._new_s = clock()
        self.unlisted = 0

    # what a person asked for

    def deposit(self, wish: Wish, by: str) -> int:
        """The number by which it can be taken back. AppError body_invalid when there are too many."""
        with self._lock:
            self._expire()
            if len(self._grants) >= _GRANTS_MAX:
                raise AppError("body_invalid", "Too many changes are under way at once.", "Try again in two minutes.")
            self._granted += 1
            number = self._granted
            self._grants[number] = (wish, by, self._clock() + GRANT_S)
        self.claim(f"granted by the {by}: {wish}")
        return number

    def take_back(self, number: object, by: str) -> None:
        with self._lock:
            taken = self._grants.pop(number, None) if isinstance(number, int) else None
        if taken is not None:
            self.claim(f"taken back by the {by}, unused: {taken[0]}")

    def has(self, wish: Wish) -> bool:
        with self._lock:
            self._expire()
            return any(granted == wish for granted, _, _ in self._grants.values())

    def use(self, wish: Wish) -> str:
        """Who granted it; "" when nobody did. It is used up."""
        with self._lock:
            self._expire()
            number = next((number for number, (granted, _, _) in self._grants.items() if granted == wish), None)
            by = "" if number is None else self._grants.pop(number)[1]
        if by:
            self.claim(f"used, as the {by} granted: {wish}")
            self.settled(wish)
        return by

    def settled(self, wish: Wish) -> None:
        """It waits no more, also where the engine asked again while the person answered."""
        self._forget(lambda each: each.wish == wish)

    # what waits for one

    def hold(self, kind: Kind, wish: Wish, used: str = "") -> Listed:
        """List it, once. full: there is no room; it is counted, not listed."""
        told = ""
        with self._lock:
            self._expire()
            until_s = self._clock() + REFUSED_S if kind == "refused" else None
            known = next((each for each in self._waiting.values() if (each.kind, each.wish) == (kind, wish)), None)
            if known is not None:
                self._waiting[known.number] = replace(known, used=used, asked=True, until_s=until_s)
                listed: Listed = "known" if known.asked and known.used == used else "new"
            elif self._has_measure() and self._make_room(kind):
                self._new += 1
                self._last += 1
                self._waiting[self._last] = Waiting(self._last, kind, wish, time.time_ns() // 1000, used, until_s=until_s)
                told, listed = f"{_HELD[kind]}, waits for a person as number {self._last}: {wish}", "new"
            else:
                self.unlisted += 1
                told, listed = "" if self.unlisted > 1 else _FULL, "full"
        if told:
            self._log(told)
        if listed == "new" or told:
            self._on_change()
        return listed

    def drop(self, kind: Kind, what: str, subject: str, *, but: str = "") -> None:
        """Nobody asks for that any more, save for the value `but`. What was asked for stays listed until a person answers."""
        with self._lock:
            gone = [
                each
                for each in self._waiting.values()
                if (each.kind, each.wish.what, each.wish.subject) == (kind, what, subject) and each.wish.value != but and each.asked
            ]
            for each in gone:
                self._waiting[each.number] = replace(each, asked=False)
        if gone:
            self._on_change()

    def engine_ended(self) -> None:
        """What it declared is not asked for any more, and the next one has its own measure."""
        with self._lock:
            self._new = 0.0
            before = dict(self._waiting)
            for each in before.values():
                if each.kind == "held":
                    self._waiting[each.number] = replace(each, asked=False)
            changed = before != self._waiting
        if changed:
            self._on_change()

    def waiting(self) -> list[Waiting]:
        """The oldest first."""
        with self._lock:
            self._expire()
            return list(self._waiting.values())

    def take(self, number: object) -> Waiting:
        """The one with that number, which is not listed any more. AppError unknown_name."""
        with self._lock:
            self._expire()
            taken = self._waiting.pop(number, None) if isinstance(number, int) else None
        if taken is None:
            raise AppError("unknown_name", "Nothing waits under that number.", "See what does: gatehouse confirm")
        self._on_change()
        return taken

    def _forget(self, gone: Callable[[Waiting], bool]) -> None:
        with self._lock:
            numbers = [each.number for each in self._waiting.values() if gone(each)]
            for number in numbers:
                del self._waiting[number]
        if numbers:
            self._on_change()

    def _has_measure(self) -> bool:
        """It comes back with time: who asks now and then in an engine that runs for months floods nothing."""
        now = self._clock()
        self._new = max(0.0, self._new - (now - self._new_s) / NEW_EVERY_S)
        self._new_s = now
        return self._new <= NEW_MAX - 1

    def _make_room(self, kind: Kind) -> bool:
        """What nobody asks for any more goes first, then nothing does."""
        same = [each for each in self._waiting.values() if each.kind == kind]
        if len(same) < ROOM[kind]:
            return True
        old = next((each for each in same if not each.asked), None)
        if old is not None:
            del self._waiting[old.number]
        return old is not None

    def _expire(self) -> None:
        now = self._clock()
        self._grants = {number: grant for number, grant in self._grants.items() if grant[2] > now}
        self._waiting = {number: each for number, each in self._waiting.items() if each.until_s is None or each.until_s > now}


_FULL: Final = "more than can be listed waits for a person: it is refused and counted"
_HELD: Final[dict[Kind, str]] = {
    "held": "a destination is held",
    "setting": "a setting was changed, but nobody asked for it",
    "refused": "a change is refused for lack of a grant",
}
