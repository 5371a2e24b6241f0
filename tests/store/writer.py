"""A process that journals and records exchanges until it is killed: `python -m tests.store.writer FOLDER FIRST-NUMBER`.

Each line on stdout is an acknowledgement: `o NUMBER` after "opened" was written, `c NUMBER` after "closed" was. What the run before
left is recorded first, as the engine does.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from app.core.records import Exchange
from app.store import ledger
from app.store.database import Store
from app.store.journal import Journal
from tests.store.rows import KEY, row

LONG_EVERY = 17


def main(folder: Path, first: int) -> None:
    store = Store.open(folder / "g.db", KEY)
    journal, replay = Journal.open(folder / "journal", KEY, segment_bytes=30_000)
    left = [*replay.closed, *replay.interrupted]
    with store.write() as connection:
        ledger.record(connection, left)
    journal.committed([one.id for one in left])
    journal.sync()

    waiting: list[Exchange] = []
    lock = threading.Lock()

    def commit() -> None:
        while True:
            with lock:
                batch = waiting[:40]
                del waiting[:40]
            with store.write() as connection:
                ledger.record(connection, batch)
            journal.committed([one.id for one in batch])
            journal.sync()

    threading.Thread(target=commit, daemon=True).start()
    long: list[int] = []
    for number in range(first, first + 10**6):
        journal.opened(row(number))
        os.write(1, f"o {number}\n".encode())
        if number % LONG_EVERY == 0:
            long.append(number)  # closed much later, or never
            if len(long) < 30:
                continue
        done = long.pop(0) if len(long) == 30 else number
        journal.closed(row(done))
        os.write(1, f"c {done}\n".encode())
        with lock:
            waiting.append(row(done))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
