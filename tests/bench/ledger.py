"""What the ledger costs at size: every question of the Activity and Usage pages, recording, bytes a row, and reading everything out."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from app.engine.clients import Clients
from app.engine.recorder import Recorder, StoreThreads
from app.store import ledger, minutes, rows_out, search, usage
from app.store.database import Store
from app.store.journal import Journal
from app.store.search import Filter
from tests.bench import seed_ledger
from tests.bench.figures import FULL, Figure, Scale
from tests.bench.rig import Rig

_DAY_US: Final = 86_400_000_000
_NOW: Final = seed_ledger.END_US
DAYS: Final = 365
SAMPLE: Final = 20_000
# Everything that recording fills; `families` are numbered in the order they are met, so they are compared joined.
_TABLES: Final = (
    "SELECT * FROM exchanges ORDER BY id", "SELECT * FROM rollups ORDER BY 1, 2, 3, 4, 5", "SELECT * FROM daily ORDER BY 1, 2, 3, 4, 5, 6",
    "SELECT * FROM day_spans", "SELECT seq, body FROM audit", "SELECT id, text FROM words",
    "SELECT client, account, model, status, outcome, error, exchange FROM families JOIN family_rows ON family = id ORDER BY exchange",
)  # fmt: skip

FILTERS: Final[dict[str, Filter]] = {
    "no filter": Filter(),
    "a client": Filter(clients=("Codex",)),
    "a rare client": Filter(clients=("Continue",)),
    "a provider": Filter(providers=("work",)),
    "a rare model": Filter(models=("llama3.3:70b",)),
    "a status": Filter(statuses=("429",)),
    "failed": Filter(statuses=("failed",)),
    "client, model and status": Filter(clients=("scripts",), models=("gemini-2.5-flash",), statuses=("5xx",)),
    "a client without that model": Filter(clients=("Codex",), models=("llama3.3:70b",)),
    "a month half a year ago": Filter(since_us=_NOW - 200 * _DAY_US, until_us=_NOW - 170 * _DAY_US),
    "a client, a month ago": Filter(clients=("Zed",), until_us=_NOW - 30 * _DAY_US),
    "common words in errors": Filter(text="rate limit"),
    "rare words in errors": Filter(text="number 77"),
    "words in no error": Filter(text="no such words"),
    "words, client and status": Filter(text="overloaded", clients=("scripts",), statuses=("529",)),
    "beginning of an id": Filter(id="req_01M"),
}
VIEWS: Final[dict[str, tuple[tuple[str, ...], int]]] = {
    "a day by hour and model": (("hour", "model"), 1),
    "two weeks by hour and model": (("hour", "model"), 13),
    "30 days by day and model": (("day", "model"), 30),
    "30 days by day and client": (("day", "client"), 30),
    "30 days by model, provider": (("model", "provider"), 30),
    "a year by day and model": (("day", "model"), 365),
    "a year by month and provider": (("month", "provider"), 365),
    "a year by day, client, model": (("day", "client", "model"), 365),
    "a year in one sum": ((), 365),
}


def questions(store: Store) -> Iterator[tuple[str, str, Callable[[Any], object], float]]:
    """Every question: what for, its name, how it is asked of a connection, and what it may take with a million rows in ms."""
    for name, wanted in FILTERS.items():
        yield "first page", name, lambda connection, wanted=wanted: search.find(connection, wanted, 100), 150.0
    for name, (by, days) in VIEWS.items():
        yield "usage", name, lambda connection, by=by, days=days: usage.usage(connection, by, _NOW - days * _DAY_US, _NOW + _DAY_US), 100.0
    only = {"client": ("Zed",)}
    yield "usage", "a year by day, one client", lambda connection: usage.usage(connection, ("day",), 0, _NOW, None, only), 100.0
    yield "usage", "today, hour bars", lambda connection: ledger.today(connection, _NOW), 100.0
    hour = Filter(since_us=_NOW - 3_600_000_000, until_us=_NOW)
    yield "usage", "an hour by minute", lambda connection: minutes.per_minute(connection, hour), 100.0
    yield "first page", "names to choose from", search.names, 150.0


def ask(store: Store, question: Callable[[Any], object], times: int) -> list[float]:
    """Milliseconds of each time, on a connection of the pool as the engine uses it, every fifth time a fresh one."""
    took = []
    for number in range(times):
        if number % 5 == 4:
            store.close()
        with store.read() as connection:
            connection.exec_driver_sql("SELECT 1 FROM words LIMIT 1").first()
            began = time.perf_counter()
            question(connection)
            took.append((time.perf_counter() - began) * 1e3)
    return took


def p95(took: list[float]) -> float:
    return sorted(took)[max(0, -(-len(took) * 95 // 100) - 1)]


def compared(folder: Path) -> None:
    """AssertionError unless a seeded ledger is, table for table, the one that recording the same rows makes."""
    contents = []
    made = seed_ledger.sample(SAMPLE, 20)
    for name in ("seeded", "recorded"):
        path = folder / f"{name}.db"
        store = seed_ledger.seed(path, SAMPLE, 20) if name == "seeded" else Store.open(path, seed_ledger.KEY)
        with store.write() as connection:
            if name == "recorded":
                for start in range(0, SAMPLE, seed_ledger.BATCH):
                    ledger.record(connection, made[start : start + seed_ledger.BATCH])
            contents.append([connection.exec_driver_sql(query).all() for query in _TABLES])
        store.close()
    for query, seeded, recorded in zip(_TABLES, *contents, strict=True):
        assert sorted(seeded) == sorted(recorded), f"seeding and recording differ: {query}"


def at_size(_rig: Rig, scale: Scale) -> Iterator[Figure]:
    """Ledgers of every size in `scale.ledgers`, made anew each time."""
    with tempfile.TemporaryDirectory(prefix="gatehouse-ledger-") as folder:
        compared(Path(folder))
        yield on_the_loop(Path(folder), scale)
        yield recording(Path(folder), scale)
        for size in scale.ledgers:
            path = Path(folder) / f"{size}.db"
            store = seed_ledger.seed(path, size, DAYS)
            yield from measured(store, path, size, scale.asks)
            yield exported(store, size, scale)
            store.close()
            path.unlink()


def on_the_loop(folder: Path, scale: Scale) -> Figure:
    """What the event loop itself does to record a request: "opened" and "closed" in the journal, and that it is committed.

    CPU of this thread, the system's part of it included; nothing else runs meanwhile.
    """
    made = seed_ledger.sample(SAMPLE, 3)
    spent = []
    for number in range(scale.rounds):
        journal, _ = Journal.open(folder / f"journal-{number}", seed_ledger.KEY)
        threads = StoreThreads(Store.open(folder / f"loop-{number}.db", seed_ledger.KEY))
        recorder = Recorder(journal, threads, Clients(seed_ledger.KEY), lambda: _NOW, lambda rows: None, lambda: None)
        began = time.thread_time()
        for row in made:
            recorder.opened(row)
            recorder.closed(row)
        for start in range(0, len(made), 50):  # at 200 requests a second
            journal.committed([row.id for row in made[start : start + 50]])
        spent.append((time.thread_time() - began) / len(made) * 1e6)
        journal.close()
        threads.close()
    return Figure(part="ledger", name="recording on the event loop, CPU per request", unit="us", values={"gateway": spent}, goal=30)


def exported(store: Store, size: int, scale: Scale) -> Figure:
    """Rows as CSV, as the engine reads them for an export; at most a million of them."""
    rates = []
    for _ in range(scale.rounds):
        rows, after, began = 0, None, time.perf_counter()
        while True:
            with store.read() as connection:
                _, count, after = rows_out.part(connection, "csv", Filter(), after)
            rows += count
            if after is None or rows >= 1_000_000:
                break
        rates.append((time.perf_counter() - began) / rows * 1e6)
    label = f"{size // 1_000_000}M" if size >= 1_000_000 else f"{size:,}"
    return Figure(
        part=f"ledger {label}", name="export, per row (150,000 a second: 6.7)", unit="us", values={"gateway": rates}, goal=1e6 / 150_000
    )


def recording(folder: Path, scale: Scale) -> Figure:
    """Through `record`, in the batches that the recorder makes under load."""
    made = seed_ledger.sample(30_000, 3)
    rates = []
    for number in range(scale.rounds):
        store = Store.open(folder / f"record-{number}.db", seed_ledger.KEY)
        with store.write() as connection:
            connection.exec_driver_sql("SELECT 1")
        began = time.perf_counter()
        for start in range(0, len(made), 1_000):
            with store.write() as connection:
                ledger.record(connection, made[start : start + 1_000])
        rates.append((time.perf_counter() - began) / len(made) * 1e6)
        store.close()
    return Figure(part="ledger", name="record, per row (20,000 a second: 50)", unit="us", values={"gateway": rates}, goal=50)


def measured(store: Store, path: Path, size: int, asks: int) -> Iterator[Figure]:
    """The figures of one ledger: each value is a 95th percentile. A ledger of ten million may take twice as long as one of a million."""
    times = 1 if size <= 1_000_000 else 2
    label = f"{size // 1_000_000}M" if size >= 1_000_000 else f"{size:,}"
    yield Figure(part=f"ledger {label}", name="bytes a row", unit="B", values={"gateway": [path.stat().st_size / size]}, goal=350)
    for part, name, question, most_ms in questions(store):
        values = {"gateway": [p95(ask(store, question, asks))]}
        yield Figure(part=f"ledger {label}", name=f"{part}: {name}", unit="ms", values=values, goal=most_ms * times)


def main() -> None:
    """`python -m tests.bench.ledger FILE ROWS`: the questions alone, of a ledger made with `seed_ledger`."""
    import sys

    from tests.bench import report

    path = Path(sys.argv[1])
    store = Store.open(path, seed_ledger.KEY)
    print(report.table({}, " ".join(sys.argv), [*measured(store, path, int(sys.argv[2]), 20), exported(store, int(sys.argv[2]), FULL)]))
    store.close()


if __name__ == "__main__":
    main()
