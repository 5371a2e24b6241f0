"""An audit log in a real encrypted database, with a vault that is two variables: for tests that need no processes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.engine import Connection

from app import verifier
from app.core.events import ClientAdded, ClientBlocked
from app.core.runs import Runs
from app.store import audit, floors, judging, ledger, retention, sealing, sums, taken
from app.store.database import Store
from app.store.retention import Plan
from app.store.sealing import Signer
from app.store.tags import Tags
from app.verifier import Anchor, Verdict
from tests.store.rows import KEY, NOW_US, rows

EPOCHS = 3
RUN = Runs((bytes([7]) * 32,))
ENTRIES = 300


class Book:
    """signer, anchor: what the vault holds."""

    def __init__(self, path: Path, key: bytes = KEY) -> None:
        self.path = path
        self.key = key
        self.tags = Tags(RUN)
        self.store = Store.open(path, key, tagging=self.tags)
        self.signer = Signer.fresh(0)
        self.anchor: Anchor | None = None
        self.at_us = NOW_US

    def begin(self) -> Book:
        with self.store.write() as connection:
            sealing.genesis(connection, self.signer, self.now())
        self.remember()
        return self

    def now(self) -> int:
        self.at_us += 1_000_000
        return self.at_us

    def append(self, count: int, word: str = "client") -> None:
        with self.store.write() as connection:
            first = audit.newest(connection)
            entries = [(ClientAdded(name=f"{word}-{first + n}", key_hint="…abcd"), "person", self.now()) for n in range(count)]
            audit.append_all(connection, entries)

    def record(self, count: int) -> None:
        """Rows of the ledger."""
        with self.store.write() as connection:
            ledger.record(connection, rows(count, at_us=self.now()))

    def seal(self) -> None:
        with self.store.write() as connection:
            sealing.checkpoint(connection, self.signer, self.now())

    def turn(self) -> None:
        following = Signer.fresh(self.signer.epoch + 1)
        with self.store.write() as connection:
            sealing.turn(connection, self.signer, following, self.now())
        self.signer = following

    def remember(self) -> None:
        with self.store.read() as connection:
            self.anchor = sealing.anchor_of(connection)

    def prune(self, upto: int) -> None:
        with self.store.write() as connection:
            sealing.prune(connection, self.signer, upto, ledger.pinned(connection, upto), "person", self.now())
        self.remember()

    def restore(self) -> None:
        signer = Signer.fresh(self.signer.epoch + 1)
        found = tuple(finding.sentence for finding in self.verify().findings)
        with self.store.write() as connection:
            rows = sums.as_found(connection, ledger.as_found(connection))
            sealing.restore(connection, signer, found, self.anchor, "person", self.now(), rows)
        self.signer = signer
        self.remember()

    def found_ledger(self) -> None:
        """What the engine signs when no claim about the ledger was signed yet."""
        with self.store.write() as connection:
            sealing.claim(connection, self.signer, floors.LEDGER, ledger.pinned(connection).said(), self.now())
        self.remember()

    def retain(self, plan: Plan, steps: int | None = None, most: int = 7) -> None:
        """Let rows go as the engine does; steps: it dies after so many."""
        with self.store.read() as connection:
            weighed = retention.weigh(connection, plan)
        with self.store.write() as connection:
            retention.begin(connection, self.signer, plan, weighed, "gateway", self.now())
        self.remember()
        rows, after, left = 0, b"", steps
        while left is None or left > 0:
            with self.store.write(durable=False) as connection:
                gone, following = retention.remove(connection, plan, after, most)
            rows += gone
            left = None if left is None else left - 1
            if following is None:
                break
            after = following
        if steps is not None:
            return
        with self.store.read() as connection:
            said = taken.digest(connection)
        with self.store.write() as connection:
            retention.finish(connection, self.signer, plan, weighed, rows, said, "gateway", self.now())
        self.remember()

    def verify(self) -> Verdict:
        with self.store.read() as connection:
            verdict, _ = judging.verify(connection, self.anchor, self.signer.public)
        return verdict

    def edit(self, act: Callable[[Connection], object]) -> None:
        """Somebody who has the database's key, and not the vault."""
        with self.store.write() as connection:
            act(connection)

    def sql(self, *statements: str) -> None:
        self.edit(lambda connection: [connection.exec_driver_sql(statement) for statement in statements])

    def copy(self, target: Path) -> None:
        """The file as a backup program would take it while Gatehouse is stopped."""
        self.store.close()
        shutil.copy(self.path, target)

    def put_back(self, source: Path) -> None:
        self.store.close()
        for leftover in ("-wal", "-shm"):
            self.path.with_name(self.path.name + leftover).unlink(missing_ok=True)
        shutil.copy(source, self.path)
        self.start()

    def start(self, runs: Runs = RUN) -> None:
        """Open the database again, as a run does that has these secrets."""
        self.store.close()
        self.tags = Tags(runs)
        self.store = Store.open(self.path, self.key, tagging=self.tags)

    def filled(self) -> Book:
        """300 entries and 40 rows in three epochs, sealed at every fiftieth."""
        self.begin()
        self.record(40)
        for round_ in range(1, 7):
            self.append(50 if round_ > 1 else 49)
            self.seal()
            if round_ in (2, 4):
                self.turn()
        self.append(3, "blocked")
        with self.store.write() as connection:
            audit.append(connection, ClientBlocked(name="client-3"), "person", self.now())
        self.seal()
        self.remember()
        return self


@contextmanager
def book(path: Path, key: bytes = KEY) -> Iterator[Book]:
    made = Book(path, key)
    try:
        yield made
    finally:
        made.store.close()


def kinds(verdict: Verdict) -> list[str]:
    return [finding.kind for finding in verdict.findings]


def forge(connection: Connection, *bodies: bytes, tag: bytes = b"") -> None:
    """Append entries that fit the chain, without a secret of a run."""
    seq, head = audit.newest_link(connection)
    for body in bodies:
        seq, head = seq + 1, verifier.link(head, seq + 1, body)
        connection.exec_driver_sql("INSERT INTO audit (seq, body, hash, tag) VALUES (?, ?, ?, ?)", (seq, body, head, tag))


def rehash(connection: Connection, first: int, change: Callable[[int, bytes], bytes]) -> None:
    """Write the entries from `first` on anew, with hashes that fit."""
    head = connection.exec_driver_sql("SELECT hash FROM audit WHERE seq = ?", (first - 1,)).scalar() or verifier.GENESIS
    for seq, body in connection.exec_driver_sql("SELECT seq, body FROM audit WHERE seq >= ? ORDER BY seq", (first,)).all():
        changed = change(seq, body)
        head = verifier.link(head, seq, changed)
        connection.exec_driver_sql("UPDATE audit SET body = ?, hash = ? WHERE seq = ?", (changed, head, seq))
