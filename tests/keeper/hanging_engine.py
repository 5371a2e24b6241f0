"""A real engine with something planted in it that stands still: what a mistake of ours, or of a library, would do.

Started as `hanging_engine.py engine --channel N`. A request whose body holds one of these words meets it while it is made what goes
to the provider (for a large body on a thread of its own):

hang-python   the loop computes for ever and lets other threads run
hang-native   native code keeps the interpreter for ever: no thread of the engine runs any more
hang-pattern  a pattern that backtracks for ever
hang-early    as hang-native, while it is understood what is asked at all
hang-sleep    the loop waits for ever and computes nothing
hang-late     not while it is understood, but after it was written down that it goes out
deaf          the thread that hears the keeper stands still, the loop serves on
flood         a thread tells the keeper things without end, the loop serves on
spin-thread   a thread computes for ever, the loop serves on
"""

from __future__ import annotations

import collections
import itertools
import re
import sys
import threading
import time
from typing import Any

from app.engine import exchange, lifeline
from app.engine.exchange import Gateway


def native() -> None:
    collections.deque(itertools.count(), 0)


def python() -> None:
    while True:
        pass


DEAF = threading.Event()
HANGS = {
    b"hang-python": python,
    b"hang-native": native,
    b"hang-pattern": lambda: re.match(r"(a|a)+$", "a" * 64 + "b"),
    b"hang-sleep": lambda: time.sleep(10_000),
    b"deaf": DEAF.set,
    b"flood": lambda: threading.Thread(target=flood, daemon=True).start(),
    b"spin-thread": lambda: threading.Thread(target=python, daemon=True).start(),
}
LINES: list[lifeline.Lifeline] = []

real_understand = exchange.understand
real_passage = exchange.passage
real_hear = lifeline.Lifeline._on_message
real_start = lifeline.Lifeline.start
real_whole = Gateway._whole


def flood() -> None:
    while True:
        LINES[0].tell("locks", {"role": "engine", "pid": 1, "filler": "x" * 1000})


def understand(body: bytes, *arguments: Any, **named: Any) -> Any:
    if b"hang-early" in body:
        native()
    return real_understand(body, *arguments, **named)


def passage(dialect: Any, provider: Any, endpoint: str, body: bytes, *arguments: Any, **named: Any) -> Any:
    for word, act in HANGS.items():
        if word in body:
            act()
    return real_passage(dialect, provider, endpoint, body, *arguments, **named)


async def whole(self: Gateway, request: Any, draft: Any, *others: Any) -> Any:
    """After step 8, with the provider's answer in hand."""
    if "hang-late" in draft.asked:
        native()
    return await real_whole(self, request, draft, *others)


def hear(self: lifeline.Lifeline, message: dict[str, Any], sockets: list[Any]) -> None:
    if DEAF.is_set():
        threading.Event().wait()
    real_hear(self, message, sockets)


def start(self: lifeline.Lifeline) -> None:
    LINES.append(self)
    real_start(self)


exchange.understand = understand  # type: ignore[assignment]
exchange.passage = passage  # type: ignore[assignment]
Gateway._whole = whole  # type: ignore[method-assign]
lifeline.Lifeline._on_message = hear  # type: ignore[method-assign]
lifeline.Lifeline.start = start  # type: ignore[method-assign]

if __name__ == "__main__":
    from app.__main__ import main

    sys.argv[0] = "gatehouse"
    sys.exit(main())
