"""What must not be lost: journal at once, ledger and audit log in batches off the loop.

`opened` and `closed` write to the journal before they return; if that fails the exchange does not go on. Rows then wait for the store
thread, which commits a batch at most every `BATCH_S` seconds, and the journal is trimmed after the commit. While the store cannot
commit or the journal cannot be written, `problem` says why, new requests get 503, and the recorder tries again every second until it can.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final, NamedTuple, TypeVar

from app.core.errors import AppError
from app.core.events import AccessRefused, DestinationRefused, Event, KeyRefused, Who
from app.core.records import EgressRecord, Exchange, RefusedAttempt
from app.engine import tasks
from app.engine.clients import Clients
from app.store import audit, clients, egress, hosts, ledger
from app.store.database import Store
from app.store.journal import Journal

_log: Final = logging.getLogger(__name__)

BATCH_S: Final = 0.25
BATCH_ROWS: Final = 1_000
MOST_ROWS: Final = 4_000  # in one transaction, after a time in which none was possible
RETRY_S: Final = 1.0
SYNC_S: Final = 1.0
FOLD_S: Final = 2.0
REFUSALS_S: Final = 60.0
MOST_WAITING: Final = 100_000
MOST_ATTEMPTS: Final = 1_000
MOST_FLOODS: Final = 1_000
REFUSED_ROWS_BURST: Final = 100
REFUSED_ROWS_PER_S: Final = 5.0

T = TypeVar("T")

# An event of many that are alike, made from how many they are, the first's time and the last's.
Flood = Callable[[int, int, int], Event]


class _Left(NamedTuple):
    """What a batch writes about the network."""

    connections: dict[int, EgressRecord]
    attempts: list[RefusedAttempt]
    names: list[tuple[str, int, int]]

    def __bool__(self) -> bool:
        return bool(self.connections or self.attempts or self.names)


class StoreThreads:
    """One thread for writing, two for reading: the database never runs on the event loop.

    `written` is called on the loop after each thing that was written. `long_work`: held by whoever reads or changes rows of the ledger
    in many steps, so that the rows one has read are not taken away by another. Every `FOLD_S` the write-ahead log is folded into the
    file, on another thread, so that no commit has to; `unfolded`: how many of its pages somebody's reading held back.
    """

    def __init__(self, store: Store) -> None:
        self.store: Final = store
        self.written: Callable[[], None] = lambda: None
        self.long_work: Final = asyncio.Lock()
        self.unfolded = 0
        self._folded_s = time.monotonic()
        self._writer = ThreadPoolExecutor(1, "store-write")
        self._readers = ThreadPoolExecutor(2, "store-read")

    async def write(self, work: Callable[[], T]) -> T:
        result = await asyncio.get_running_loop().run_in_executor(self._writer, work)
        self.written()
        if time.monotonic() - self._folded_s > FOLD_S:
            self._folded_s = time.monotonic()
            tasks.start(self.fold(), "fold")
        return result

    async def fold(self) -> None:
        """AppError store_unavailable."""
        self.unfolded = await asyncio.get_running_loop().run_in_executor(None, self.store.fold)

    async def read(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    def close(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        self.store.close()


class Recorder:
    """`on_rows(rows)` is called on the loop after a batch was committed, `on_problem()` when `problem` changed."""

    def __init__(
        self,
        journal: Journal,
        threads: StoreThreads,
        known: Clients,
        now_us: Callable[[], int],
        on_rows: Callable[[list[Exchange]], None],
        on_problem: Callable[[], None],
    ) -> None:
        self._journal: Final = journal
        self._threads: Final = threads
        self._clients: Final = known
        self._now_us: Final = now_us
        self._on_rows: Final = on_rows
        self._on_problem: Final = on_problem
        self._waiting: list[Exchange] = []
        self._events: list[tuple[Event, str | Who, int]] = []
        self._then: list[Callable[[], None]] = []
        self._hosts: dict[tuple[str, bool], list[int]] = {}
        self._seen: dict[str, int] = {}
        self._egress: dict[int, EgressRecord] = {}
        self._attempts: list[RefusedAttempt] = []
        self._names: list[tuple[str, int, int]] = []
        self._floods: dict[tuple[str, ...], tuple[list[int], Flood, str]] = {}
        self._refused_tokens = float(REFUSED_ROWS_BURST)
        self._refused_at_us = now_us()
        self._wake = asyncio.Event()
        self._dirty = False
        self._stopping = False
        self._store_problem = self._journal_problem = ""
        self.stops_on_problem = True

    @property
    def problem(self) -> str:
        """Why nothing can be recorded, in a sentence, or ""."""
        return self._journal_problem or self._store_problem

    @property
    def refuses(self) -> bool:
        """No exchange can begin now."""
        return bool(self.problem and self.stops_on_problem) or len(self._waiting) > MOST_WAITING

    def opened(self, row: Exchange) -> None:
        """Before the first byte goes to a provider. AppError store_unavailable: the exchange must not go out.

        `stops_on_problem` is the person's choice for the time in which the database takes nothing: to stop, or to go on as long as the
        journal can be written, which is where such exchanges wait.
        """
        if self.refuses:
            raise self.unavailable()
        try:
            self._journal.opened(row)
        except AppError as error:
            self._set_problem(journal=error.sentence())
            raise self.unavailable() from error
        self._dirty = True

    def closed(self, row: Exchange) -> None:
        """Before the last byte goes to the client. AppError store_unavailable: it must not go out.

        An exchange that did go to a provider waits for the store also then, for it may have cost something; it failed for the client.
        """
        try:
            self._journal.closed(row)
        except AppError as error:
            if self._journal.is_open(row.id):
                status = row.status if row.stream else error.status
                failed = replace(row, outcome="failed", error="store_unavailable", status=status) if row.outcome == "completed" else row
                self._waiting.append(failed)
                self._wake.set()
            self._set_problem(journal=error.sentence())
            raise self.unavailable() from error
        self._dirty = True
        self._waiting.append(row)
        if not self._wake.is_set():
            self._wake.set()

    def unavailable(self) -> AppError:
        reason = self.problem or "The ledger cannot keep up."
        return AppError("store_unavailable", f"{reason} Requests are not passed on while they cannot be recorded.", retry_after_s=5)

    def may_record_refusal(self, client: str) -> bool:
        """Whether a refused request gets a row of its own. A flood of guessed keys must not fill the disk, and neither must a client
        that asks again and again while nothing can be recorded."""
        if client and not self.problem:
            return True
        if len(self._waiting) > MOST_WAITING:
            return False
        now = self._now_us()
        earned = (now - self._refused_at_us) / 1e6 * REFUSED_ROWS_PER_S
        self._refused_at_us = now
        self._refused_tokens = min(float(REFUSED_ROWS_BURST), self._refused_tokens + max(0.0, earned))
        if self._refused_tokens < 1:
            return False
        self._refused_tokens -= 1
        return True

    def refused(self, reason: str, client: str) -> None:
        """Note a refused key for the audit log: the first at once, those that follow within a minute as one entry."""
        self._flood(("key", reason, client), lambda n, a, z: KeyRefused(reason=reason, client=client, count=n, first_us=a, last_us=z))

    def turned_away(self, where: str, reason: str) -> None:
        """Note a request that was refused for where it came from."""
        self._flood(("access", where, reason), lambda n, a, z: AccessRefused(where=where, reason=reason, count=n, first_us=a, last_us=z))

    def not_dialled(self, name: str, destination: str, reason: str) -> None:
        """Note a destination that the keeper would not dial."""

        def event(count: int, first_us: int, last_us: int) -> Event:
            return DestinationRefused(name=name, destination=destination, reason=reason, count=count, first_us=first_us, last_us=last_us)

        self._flood(("egress", name, destination), event, "keeper")

    def _flood(self, key: tuple[str, ...], event: Flood, actor: str = "gateway") -> None:
        now = self._now_us()
        known = self._floods.get(key)
        if known is None and len(self._floods) >= MOST_FLOODS:
            key = (key[0], "others")
            known = self._floods.get(key)
        if known is None:
            self._floods[key] = ([0, now, now], event, actor)
            self.note(event(1, now, now), actor)
        else:
            counts = known[0]
            counts[0] += 1
            counts[1] = counts[1] if counts[0] > 1 else now
            counts[2] = now

    def note(self, event: Event, actor: str | Who, then: Callable[[], None] | None = None) -> None:
        """An audit entry that belongs to no change; written with the next batch. then: called once it is in the log."""
        self._events.append((event, actor, self._now_us()))
        if then is not None:
            self._then.append(then)
        self._wake.set()

    def host(self, host: str, local: bool, connections: int, bytes_out: int, bytes_in: int) -> None:
        counts = self._hosts.setdefault((host, local), [0, 0, 0, 0])
        counts[0] += connections
        counts[1] += bytes_out
        counts[2] += bytes_in
        counts[3] = self._now_us()
        self._wake.set()

    def connection(self, record: EgressRecord) -> None:
        """How a connection is now; the last word before a batch counts."""
        self._egress[record.connection] = record
        self._wake.set()

    def attempt(self, attempt: RefusedAttempt) -> None:
        if len(self._attempts) < MOST_ATTEMPTS:
            self._attempts.append(attempt)
        self._wake.set()

    def asked(self, name: str, found: int, at_us: int) -> None:
        """The resolver was asked for a name."""
        if len(self._names) < MOST_ATTEMPTS:
            self._names.append((name, found, at_us))
        self._wake.set()

    async def run(self) -> None:
        """Commit batches until `stop`."""
        while not self._stopping:
            try:
                async with asyncio.timeout(SYNC_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            else:
                if len(self._waiting) < BATCH_ROWS:
                    await asyncio.sleep(BATCH_S)
            self._wake.clear()
            self._settle_floods()
            await self._sync()
            while not await self._commit() and not self._stopping:
                await asyncio.sleep(RETRY_S)  # only time can mend a full disk
                await self._sync()  # meanwhile requests may go on, and what they wrote is all there is of them

    async def stop(self) -> None:
        """Commit what is left; what cannot be committed stays in the journal for the next start."""
        self._stopping = True
        self._wake.set()
        self._settle_floods(every_us=0)
        while await self._commit() and self._waiting:
            pass
        await self._sync()
        self._journal.close()

    async def _commit(self) -> bool:
        rows, self._waiting = self._waiting[:MOST_ROWS], self._waiting[MOST_ROWS:]
        events, self._events = self._events, []
        then, self._then = self._then, []
        counts, self._hosts = self._hosts, {}
        left = _Left(self._egress, self._attempts, self._names)
        self._egress, self._attempts, self._names = {}, [], []
        seen = {name: at for name, at in self._clients.seen.items() if self._seen.get(name) != at}
        if not (rows or events or counts or seen or left):
            return True
        try:
            await self._threads.write(lambda: self._write(rows, events, counts, seen, left))
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing may be lost and nothing more may go out unrecorded
            self._waiting = rows + self._waiting
            self._events = events + self._events
            self._then = then + self._then
            self._egress = left.connections | self._egress
            self._attempts, self._names = left.attempts + self._attempts, left.names + self._names
            for key, added in counts.items():
                now = self._hosts.setdefault(key, [0, 0, 0, 0])
                self._hosts[key] = [now[0] + added[0], now[1] + added[1], now[2] + added[2], max(now[3], added[3])]
            if not isinstance(error, AppError):
                _log.exception("a batch could not be recorded")
                error = AppError("internal", "The ledger cannot be written; the log has the details.")
            self._set_problem(store=error.sentence())
            return False
        self._seen.update(seen)
        self._set_problem(store="")
        if self._waiting:
            self._wake.set()
        if rows:
            self._journal.committed([row.id for row in rows])
        self._on_rows(rows)
        for call in then:
            call()
        return True

    def _write(
        self,
        rows: list[Exchange],
        events: list[tuple[Event, str | Who, int]],
        counts: dict[tuple[str, bool], list[int]],
        seen: dict[str, int],
        left: _Left,
    ) -> None:
        with self._threads.store.write() as connection:
            if rows:
                ledger.record(connection, rows)
            for (host, local), (connections, bytes_out, bytes_in, at_us) in counts.items():
                hosts.record(connection, host, local, connections, bytes_out, bytes_in, at_us)
            egress.put(connection, left.connections.values())
            egress.refuse(connection, left.attempts)
            egress.ask(connection, left.names)
            if seen:
                clients.touch(connection, seen)
            if events:
                audit.append_all(connection, events)

    async def _sync(self) -> None:
        """Have the journal on the disk; when it could not be written, see whether it can be now."""
        if not self._dirty and not self._journal_problem:
            return
        self._dirty = False
        try:
            await self._threads.write(self._journal.sync)
        except AppError as error:
            self._dirty = True
            self._set_problem(journal=error.sentence())
        else:
            self._set_problem(journal="")

    def _settle_floods(self, every_us: float = REFUSALS_S * 1e6) -> None:
        now = self._now_us()
        for key, (counts, event, actor) in list(self._floods.items()):
            count, first_us, last_us = counts
            if count and now - first_us >= every_us:
                self.note(event(count, first_us, last_us), actor)
                counts[:] = [0, now, now]
            elif not count and now - last_us >= REFUSALS_S * 1e6:
                del self._floods[key]

    def _set_problem(self, *, store: str | None = None, journal: str | None = None) -> None:
        before = self.problem
        self._store_problem = self._store_problem if store is None else store
        self._journal_problem = self._journal_problem if journal is None else journal
        if self.problem != before:
            self._on_problem()
