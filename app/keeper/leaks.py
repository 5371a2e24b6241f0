"""The keeper's part of the self-test. It holds the way out, so the kernel refuses it nothing: what is tried here is that it refuses."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

from app.core.errors import AppError
from app.egress.tripwire import RefusedError, armed
from app.keeper import proof
from app.keeper.broker import Broker
from app.system import leaks
from app.system.leaks import Attempt

UNDECLARED: Final = "\x7fnobody declared this"


def of_keeper(broker: Broker, port: int) -> list[dict[str, object]]:
    """What was tried, in order; the last one must get through."""
    found = []
    wire = armed()
    if wire is not None:  # without it nothing would hold these back
        for name, to, way in leaks.PLAIN:
            found.append(leaks.attempt(name, "keeper", to, way, wire.quietly, wire.quietly, RefusedError, past=False))
    found.append(_refused("Undeclared host", f"{leaks.NAME}:443", lambda: broker.try_undeclared(UNDECLARED)))
    found.append(_refused("Metadata address, declared", "169.254.169.254:80", broker.try_metadata))
    began = time.perf_counter_ns()
    wrong = proof.ask(port, os.urandom(32))
    answered = "prove" in wrong or not wrong  # it answers, and rightly not with a secret made up just now
    found.append(
        Attempt(
            "Allowed: the gateway's own port", "keeper", f"127.0.0.1:{port}", "reached" if answered else "stopped",
            (time.perf_counter_ns() - began) // 1000, "" if answered else wrong, must_pass=True,
        )
    )  # fmt: skip
    return [each.fields() for each in found]


def failed(process: str, why: str) -> dict[str, object]:
    """A process that was asked to try and did not answer: it proves nothing, so it counts as got out."""
    return Attempt("Self-test", process, "", "reached", 0, why).fields()


def _refused(name: str, to: str, way: Callable[[], object]) -> Attempt:
    began = time.perf_counter_ns()
    try:
        way()
    except AppError as error:
        result: leaks.Result = "keeper" if error.code == "destination_refused" else "stopped"
        return Attempt(name, "keeper", to, result, (time.perf_counter_ns() - began) // 1000, error.message)
    return Attempt(name, "keeper", to, "reached", (time.perf_counter_ns() - began) // 1000)
