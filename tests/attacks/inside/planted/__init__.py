"""What an attacker has put into a dependency: it waits for orders and carries them out in the process that imported it.

This folder is copied into the packages of a throw-away installation as `planted_code`; only the standard library may be used. An order
is a file `orders/VERB.NUMBER.json` with Python source and arguments; what is found comes back as lines on standard error, which the
keeper opened before the lock: `@@NUMBER {"name": ..., "said": ...}`.
"""

from __future__ import annotations
import __future__

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

VERBS = ("engine", "gui")
ORDERS = Path(__file__).parent / "orders"


def begin() -> None:
    """At the import: a thread that is there before the process's own code has begun."""
    verb = sys.argv[1] if len(sys.argv) > 1 else ""
    if verb in VERBS:
        threading.Thread(target=_live, args=(verb,), daemon=True).start()


class Here:
    """The taken process, for the code that runs in it. given: what the order says."""

    def __init__(self, number: int, verb: str, given: dict[str, Any]) -> None:
        self.number, self.verb, self.given = number, verb, given
        self.data = Path(given["data"])
        apart = self.data / ("engine" if verb == "engine" else "window")
        self.own = apart if apart.is_dir() else self.data

    def say(self, name: str, said: object = "") -> None:
        line = f"@@{self.number} " + json.dumps({"name": name, "said": str(said)[:300]}) + "\n"
        with contextlib.suppress(OSError):
            os.write(2, line.encode())

    def attempt(self, name: str, work: Callable[[], object]) -> bool:
        """Say what became of it: "went" and what was returned, or the error."""
        try:
            result = work()
        except BaseException as error:
            self.say(name, f"{type(error).__name__}: {error}"[:200])
            return False
        self.say(name, "went" if result is None else f"went: {result}")
        return True

    def everything(self, kind: type) -> list[Any]:
        """Every object of this type that the interpreter knows."""
        import gc

        gc.unfreeze()
        return [each for each in gc.get_objects() if isinstance(each, kind)]

    def caller(self) -> Any:
        """The line to the keeper, once there is one."""
        from app.system.channel import Caller  # type: ignore[import-not-found,unused-ignore]

        while not (found := self.everything(Caller)):
            time.sleep(0.1)
        return found[0]


def _live(verb: str) -> None:
    known: set[str] = set()
    while True:
        with contextlib.suppress(OSError):
            for path in ORDERS.glob(f"{verb}.*.json"):
                if path.name not in known:
                    known.add(path.name)
                    _carry_out(verb, int(path.name.split(".")[1]), json.loads(path.read_text()))
        time.sleep(0.05)


def _carry_out(verb: str, number: int, order: dict[str, Any]) -> None:
    here = Here(number, verb, order["given"])
    here.say("began", os.getpid())
    try:
        space: dict[str, Any] = {"__name__": "planted_order"}
        exec(compile(order["source"], "<planted>", "exec", __future__.annotations.compiler_flag), space)
        space[order["name"]](here)
    except BaseException as error:
        here.say("failed", f"{type(error).__name__}: {error}")
    here.say("ended")
