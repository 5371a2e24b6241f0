"""The attacks there are, and what came of each.

An attack is a function that takes a `Stage` and returns `Seen`. Its docstring says what is tried. The verdict follows from what was seen
and from whether a promise was at stake: HELD, BROKEN (a promise fell), WEAK (it went wrong, but nobody promised otherwise), SKIPPED (it
could not be tried here, with the reason), FAILED (the kit itself could not carry it out: this is not a pass).
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.attacks.stage import Stage

# What SECURITY.md and README.md promise, in short.
ALLOWED: Final = "a client key gives no more than it allows"
BOUNDS: Final = "input makes no process hang or use memory without bound"
COUNTED: Final = "no answer that a client saw is missing from the ledger"
EXPORTS: Final = "hostile input to the verifier ends in a verdict and never runs code"
KEYS: Final = "a key is found in no file, error, log, export, command line or environment"
OTHERS: Final = "no other user and no web page gets an answer or reaches a channel"
CODE: Final = "input makes no process run code"
FILES: Final = "code in the engine or the window writes to nothing that is run or trusted later"
NEXT: Final = "nothing that a taken process leaves behind runs at the next start"
DOOR: Final = "code in the engine or the window reaches nothing that a person did not declare"
GRANTS: Final = "what a person decides is not decided by code in the engine"
ALONE: Final = "a taken process does nothing to other programs"
KEEPS: Final = "the keeper goes on, whatever a child sends it"
NOT_PROMISED: Final = ""

HELD, BROKEN, WEAK, SKIPPED, FAILED = "HELD", "BROKEN", "WEAK", "SKIPPED", "FAILED"


class Skip(Exception):  # noqa: N818  it is no error
    """This attack cannot be tried here; the text says why."""


@dataclass(frozen=True)
class Seen:
    """held: whether the gateway stood. observed: what happened, in a few words."""

    held: bool
    observed: str


@dataclass(frozen=True)
class Attack:
    """id: section letter and number. promise: "" where nothing was promised. short: part of the short form. root: needs another user."""

    id: str
    what: str
    promise: str
    expected: str
    run: Callable[[Stage], Seen]
    short: bool = True
    fresh: bool = False

    @property
    def section(self) -> str:
        return self.id[0]


@dataclass(frozen=True)
class Row:
    id: str
    what: str
    promise: str
    expected: str
    observed: str
    verdict: str
    seconds: float

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


ATTACKS: Final[dict[str, Attack]] = {}
Run = Callable[["Stage"], Seen]


def attack(id: str, what: str, *, promise: str, expected: str, short: bool = True, fresh: bool = False) -> Callable[[Run], Run]:
    """Register a function as an attack. fresh: it wants a gateway that nothing was done to yet."""

    def register(run: Run) -> Run:
        if id in ATTACKS:
            raise ValueError(f"two attacks are named {id}")
        ATTACKS[id] = Attack(id, what, promise, expected, run, short, fresh)
        return run

    return register


def verdict(promise: str, seen: Seen) -> str:
    if seen.held:
        return HELD
    return BROKEN if promise else WEAK


def perform(one: Attack, stage: Stage) -> Row:
    """Carry out one attack; whatever happens becomes a row."""
    began = time.monotonic()
    try:
        stage.ready(fresh=one.fresh)
        seen = one.run(stage)
        found, observed = verdict(one.promise, seen), seen.observed
    except Skip as skip:
        found, observed = SKIPPED, str(skip)
    except Exception as error:  # an attack that cannot be carried out proves nothing
        where = traceback.extract_tb(error.__traceback__)[-1]
        found, observed = FAILED, f"{type(error).__name__} in {where.name}, line {where.lineno}: {error}"[:400]
    return Row(one.id, one.what, one.promise, one.expected, observed, found, round(time.monotonic() - began, 1))


def chosen(only: Iterable[str], *, short: bool) -> list[Attack]:
    """The attacks of the given sections or ids (all, when none is given), in the order of their ids."""
    wanted = {word.strip().upper() for word in only if word.strip()}
    found = [one for one in ATTACKS.values() if not wanted or one.id.upper() in wanted or one.section in wanted]
    return sorted((one for one in found if one.short or not short), key=lambda one: (one.section, int(one.id[1:])))
