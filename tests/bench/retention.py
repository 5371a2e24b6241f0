"""What requests feel while old rows of a large ledger go: the gateway as it is, a client that asks one at a time without a pause.

Requests wait for the journal and never for the database; a change of a setting waits for the database's one writing thread, so its
longest wait is about the longest step plus its own commit.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from app.control.client import ControlClient
from app.control.contract import RetentionPolicy
from app.system.paths import Paths
from tests.bench import seed_ledger
from tests.bench.figures import Figure, Scale
from tests.bench.load import Ask, Burst, Side, generate
from tests.bench.processes import until
from tests.bench.rig import Rig
from tests.gateway import Gateway

ASK = Ask(model="echo")
BURST_S = 3.0
KEPT = 0.1
PATIENCE_S = 900.0


def meanwhile(_rig: Rig, scale: Scale) -> Iterator[Figure]:
    """A new gateway with the smallest ledger of the scale, of which nine tenths go."""
    rows = min(scale.ledgers)
    with tempfile.TemporaryDirectory(prefix="gatehouse-retention-") as folder:
        gateway = Gateway(Path(folder) / "data")
        gateway.start()
        gateway.wait_open()
        key = gateway.client("bench")
        gateway.stop()
        seed_ledger.seed(Paths(gateway.folder).database, rows, key=gateway.keys()["db"]).close()
        gateway.start()
        try:
            gateway.wait_open()
            yield from _measured(gateway, key, rows)
        finally:
            gateway.stop()


def _measured(gateway: Gateway, key: str, rows: int) -> Iterator[Figure]:
    side = Side("gateway", int(gateway.url.rpartition(":")[2]), key, "gatehouse/")
    with gateway.control(PATIENCE_S) as control:
        until(lambda: control.audit_status().verdict is not None, "the verification after the start", PATIENCE_S)
        time.sleep(2)
        before, changes_before = _felt(side, control, lambda rounds: rounds == 3)
        held = control.retention()
        control.set_retention(RetentionPolicy(keep_days=0, keep_bytes=max(10_000_000, int(held.file_bytes * KEPT))))
        gone: list[int] = []
        with gateway.control(PATIENCE_S) as other:
            running = threading.Thread(target=lambda: gone.append(other.run_retention().rows))
            began = time.perf_counter()
            running.start()
            during, changes_during = _felt(side, control, lambda _: not running.is_alive())
            running.join()
            took = time.perf_counter() - began
        if not gone or gone[0] < rows // 2:
            raise RuntimeError(f"retention took {gone} of {rows} rows")
        verdict = control.verify_audit()
        if verdict.state != "intact":
            raise RuntimeError(f"the log is {verdict.state} after it: {verdict.finding}")
    yield _figure("rows a second", "1/s", [gone[0] / took])
    for when, bursts, changes in (("before", before, changes_before), ("meanwhile", during, changes_during)):
        yield _figure(f"a request {when}: p50", "ms", [burst.p50_us / 1e3 for burst in bursts])
        yield _figure(f"a request {when}: p99", "ms", [burst.p99_us / 1e3 for burst in bursts])
        yield _figure(f"a request {when}: longest", "ms", [max(burst.worst_us for burst in bursts) / 1e3])
        yield _figure(f"a setting {when}: median", "ms", [median(changes)])
        yield _figure(f"a setting {when}: longest", "ms", [max(changes)])
    worst = [max(burst.worst_us for burst in during) / 1e3 - max(burst.worst_us for burst in before) / 1e3]
    yield Figure(part="retention", name="longest request: more than before by", unit="ms", values={"gateway": worst}, goal=20)


def _felt(side: Side, control: ControlClient, over: Callable[[int], bool]) -> tuple[list[Burst], list[float]]:
    """Bursts until it is over, and meanwhile twice a second a change that is committed: how many ms each took."""
    bursts: list[Burst] = []
    changes: list[float] = []
    stop = threading.Event()

    def change() -> None:
        blocked = False
        while not stop.wait(0.5):
            blocked = not blocked
            began = time.perf_counter()
            (control.block_client if blocked else control.unblock_client)("other")
            changes.append((time.perf_counter() - began) * 1e3)

    if not any(client.name == "other" for client in control.snapshot().clients):
        control.add_client("other")
    changing = threading.Thread(target=change)
    changing.start()
    try:
        while not over(len(bursts)):
            bursts.append(generate(side, ASK, 1, BURST_S))
    finally:
        stop.set()
        changing.join()
    return bursts, changes


def _figure(name: str, unit: str, values: list[float]) -> Figure:
    return Figure(part="retention", name=name, unit=unit, values={"gateway": values})
