"""The audit log: appending in batches, reading and judging all of it, and what a change through the control channel costs."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from app.core import chain
from app.core.events import KeyRefused
from app.core.runs import Runs
from app.store import audit, judging, sealing
from app.store.database import Store
from app.store.sealing import Signer
from app.store.tags import Tags
from tests.bench.figures import Figure, Scale
from tests.bench.rig import Rig, gatehouse

BATCH = 1_000
AT_US = 1_795_000_000_000_000


def audit_log(rig: Rig, scale: Scale) -> Iterator[Figure]:
    """Entries: ten times as many as the requests of a memory run, so a million in a full one."""
    entries = scale.requests[1] * 10
    with tempfile.TemporaryDirectory(dir=rig.folder) as folder:
        store = Store.open(Path(folder) / "log.db", bytes(32), tagging=Tags(Runs((bytes(32),))))
        try:
            yield from _log(store, scale, entries)
        finally:
            store.close()
    yield _change(rig, scale)


def _log(store: Store, scale: Scale, entries: int) -> Iterator[Figure]:
    signer = Signer.fresh(0)
    with store.write() as connection:
        sealing.genesis(connection, signer, AT_US)
    appending = []
    for first in range(0, entries, BATCH):
        batch = [
            (KeyRefused(reason="key_unknown", count=number, first_us=AT_US, last_us=AT_US, client="a client"), "gateway", AT_US + number)
            for number in range(first, first + BATCH)
        ]
        began = time.perf_counter()
        with store.write() as connection:
            audit.append_all(connection, batch)
            sealing.checkpoint(connection, signer, AT_US + first)
        appending.append((time.perf_counter() - began) / BATCH * 1e6)
    yield _figure(f"append, {BATCH:,} to a batch, each signed (20,000/s)", "us/entry", appending, 50.0)
    with store.read() as connection:
        anchor = sealing.anchor_of(connection)
        chained, whole = [], []
        for _ in range(scale.rounds):
            began = time.perf_counter()
            assert audit.verify(connection).entries == entries
            chained.append((time.perf_counter() - began) / entries * 1e6)
            told: list[int] = []
            add = told.append
            began = time.perf_counter()
            verdict, _ = judging.verify(connection, anchor, progress=lambda entries, _, add=add: add(entries))
            whole.append(time.perf_counter() - began)
            assert (verdict.state, verdict.entries, len(told) >= entries // 2_000) == ("intact", entries, True)
    yield _figure("verify the chain (300,000/s)", "us/entry", chained, 1 / 0.3)
    yield _figure(f"verify {entries:,} entries, tree, signatures and vault, with progress", "s", whole, 5.0 * entries / 1_000_000)
    rows = [(number, b"{}", b"") for number in range(1, 100_001)]
    head, linked = chain.GENESIS, []
    for number, body, _ in rows:
        head = chain.link(head, number, body)
        linked.append((number, body, head))
    began = time.perf_counter()
    assert chain.verify(linked).entries == len(rows)
    yield _figure("the hashes alone, without a database", "us/entry", [(time.perf_counter() - began) / len(rows) * 1e6], None)


def _change(rig: Rig, scale: Scale) -> Figure:
    took = []
    with gatehouse(rig.folder / "audit", rig.stub.url, rig.stub.key) as gate, gate.gateway.control() as control:
        control.add_client("changed")
        for _ in range(max(20, scale.rounds * 10)):
            began = time.perf_counter()
            control.block_client("changed")
            took.append((time.perf_counter() - began) * 1e3)
            control.unblock_client("changed")
    return _figure("a change through the control channel, committed with its entry", "ms", took, 15.0)


def _figure(name: str, unit: str, values: list[float], goal: float | None) -> Figure:
    return Figure(part="audit", name=name, unit=unit, values={"gateway": values}, goal=goal)
