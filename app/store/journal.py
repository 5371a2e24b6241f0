"""The journal: what must not be lost between a byte on the wire and the commit in the ledger.

A folder of sealed, append-only segments (form: `segments`, `journal_form`; reading at start: `replay`). "opened" is written before the
first byte goes to a provider and "closed" before the last byte goes to the client; "written" means the system has it, so it outlives
every process of ours. After a crash `Journal.open` gives back what was not committed: closed rows, and exchanges that never closed.

A segment is removed when everything in it is committed; exchanges still open are first written again into the newest one. A damaged
one is kept as `damaged-N.journal`. Threads: `opened`, `closed` and `committed` are quick and may run on the event loop; `open`, `sync`
and `close` wait for the disk and belong on a thread.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from app.core.errors import AppError
from app.core.records import Exchange
from app.store import disk, exchanges, replay, segments
from app.store.journal_form import CLOSED, COMMITTED, ENDED, OPENED, TRIMMED, Begun, of_begun, of_list, of_row
from app.store.replay import Replay, Segment
from app.system import locks

SEGMENT_BYTES: Final = 4 << 20
_IDS_AT_ONCE: Final = 10_000
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class _Current:
    """The segment that is written to."""

    __slots__ = ("bytes", "descriptor", "sealer", "segment")

    def __init__(self, segment: Segment, sealer: segments.Sealer, descriptor: int, written: int) -> None:
        self.segment: Final = segment
        self.sealer: Final = sealer
        self.descriptor: Final = descriptor
        self.bytes = written


class Journal:
    def __init__(self, folder: Path, key: bytes, held: int, found: replay.Found, segment_bytes: int) -> None:
        """Use `Journal.open`."""
        self._folder: Final = folder
        self._key: Final = key
        self._held: Final = held
        self._segment_bytes: Final = segment_bytes
        self._lock: Final = threading.Lock()  # everything below; held for microseconds
        self._sync_lock: Final = threading.Lock()  # one `sync` at a time; held while the disk works
        self._open: dict[str, Exchange] = {}
        self._old: Final = deque(found.segments)
        self._current: _Current | None = None
        self._previous = found.last_count
        self._number = found.last_number
        self._retired: list[int] = []
        self._unsynced = False
        self._folder_unsynced = False
        self._ended = False

    @staticmethod
    def open(folder: Path, key: bytes, segment_bytes: int = SEGMENT_BYTES) -> tuple[Journal, Replay]:
        """The journal in `folder` (made if absent), and what the run before left in it.

        What it gave back goes to `committed` once it is recorded. AppError: store_wrong_key; store_unavailable (another process has
        it, disk full); data_folder.
        """
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            held = locks.hold(folder / "lock")
            if held is None:
                raise AppError(
                    "store_unavailable", "Another Gatehouse is using this data folder.", "Quit it first.", retry_after_s=disk.AGAIN_S
                )
            try:
                found = replay.read(folder, key)
            except BaseException:
                os.close(held)
                raise
            journal = Journal(folder, key, held, found, segment_bytes)
            try:
                with journal._lock:
                    journal._begin()
                journal.sync()
            except BaseException:
                journal._let_go()
                raise
        except OSError as error:
            raise disk.refused(folder, error) from error
        return journal, found.replay

    def opened(self, row: Exchange) -> None:
        """Write down that `row` is about to go out. AppError store_unavailable: it must not."""
        record = of_row(OPENED, row)
        with self._lock:
            self._append(record).ids.add(row.id)
            self._open[row.id] = row

    def closed(self, row: Exchange) -> None:
        """Write down how `row` ended. AppError store_unavailable: its last byte must not go to the client."""
        record = of_row(CLOSED, row)
        with self._lock:
            self._append(record).ids.add(row.id)
            self._open.pop(row.id, None)

    def is_open(self, identifier: str) -> bool:
        """Whether "opened" was written for this exchange and "closed" was not."""
        with self._lock:
            return identifier in self._open

    def committed(self, ids: Iterable[str]) -> None:
        """Note that these rows are in the ledger, for good. Never raises: a journal that cannot say so is only read longer at start."""
        done = list(ids)
        with self._lock:
            for segment in self._segments():
                segment.ids.difference_update(done)
            for identifier in done:
                self._open.pop(identifier, None)
            with contextlib.suppress(AppError):
                for start in range(0, len(done), _IDS_AT_ONCE):
                    self._append(of_list(COMMITTED, done[start : start + _IDS_AT_ONCE]))

    def sync(self) -> None:
        """Wait until all that was written is on the disk, then remove the segments nobody needs.

        AppError store_unavailable; also when the last write failed and the next one would. So this tells when there is room again.
        """
        with self._sync_lock:
            try:
                with self._lock:
                    if self._current is None:
                        self._begin()
                self._flush()
                self._trim()
            except OSError as error:
                raise _unwritten(self._folder, error) from error

    def close(self) -> None:
        """Say that the run ends in an orderly way, and let go of the folder. Nothing can be written afterwards."""
        with self._sync_lock:
            with self._lock:
                if self._ended:
                    return
                with contextlib.suppress(AppError):  # then the next start finds a run that did not end, and loses nothing
                    if not any(segment.ids for segment in self._segments()):
                        self._begin()
                    self._append(of_list(ENDED, ()))
                self._ended = True
            with contextlib.suppress(OSError):
                self._flush()
                self._trim()
            self._let_go()

    def _let_go(self) -> None:
        with self._lock:
            self._ended = True
            self._retire()
            for descriptor in (*self._retired, self._held):
                os.close(descriptor)
            self._retired = []

    def _segments(self) -> list[Segment]:
        return [*self._old, self._current.segment] if self._current is not None else list(self._old)

    def _append(self, record: bytes) -> Segment:
        """Write one record and give the segment it is in; the caller holds the lock. AppError store_unavailable."""
        current = self._current
        if current is None or current.bytes > self._segment_bytes:
            current = self._begin()
        frame = current.sealer.seal(record)
        try:
            _write(current.descriptor, frame)
        except OSError as error:
            self._abandon(current)
            raise _unwritten(self._folder, error) from error
        current.bytes += len(frame)
        self._unsynced = True
        return current.segment

    def _begin(self) -> _Current:
        """Start the next segment; the caller holds the lock. AppError store_unavailable: then the one before is as it was."""
        if self._ended:
            raise AppError("store_unavailable", "The journal is closed.")
        self._number += 1
        number, path = self._number, replay.segment_path(self._folder, self._number)
        before = self._current
        previous = self._previous if before is None else (before.segment.number, before.sealer.records)
        live = tuple(segment.number for segment in self._segments())
        sealer = segments.Sealer(self._key, number, os.urandom(segments.SALT_BYTES))
        head = sealer.head + sealer.seal(of_begun(Begun(exchanges.FIELDS, *previous, live)))
        try:
            descriptor = os.open(path, _FLAGS, 0o600)
            try:
                _write(descriptor, head)
            except BaseException:
                os.close(descriptor)
                path.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise _unwritten(self._folder, error) from error
        self._retire()
        self._current = _Current(Segment(number, path), sealer, descriptor, len(head))
        self._unsynced = self._folder_unsynced = True
        return self._current

    def _abandon(self, current: _Current) -> None:
        """Leave a segment whose last write failed: what follows in the file is uncertain, and its next index may have been used."""
        with contextlib.suppress(OSError):  # else a part of a record stays; the next segment says how many whole ones there are
            os.ftruncate(current.descriptor, current.bytes)
        self._previous = (current.segment.number, current.sealer.records - 1)
        self._retire()

    def _retire(self) -> None:
        if self._current is not None:
            self._old.append(self._current.segment)
            self._retired.append(self._current.descriptor)
            self._current = None

    def _flush(self) -> None:
        """Wait for the disk. OSError: nothing of it counts as written to the disk."""
        with self._lock:
            if not self._unsynced:
                return
            retired = list(self._retired)
            descriptors = [*retired, self._current.descriptor] if self._current is not None else retired
            folder, self._unsynced, self._folder_unsynced = self._folder_unsynced, False, False
        try:
            for descriptor in descriptors:
                os.fsync(descriptor)
            if folder:
                disk.sync_folder(self._folder)
        except OSError:
            with self._lock:
                self._unsynced, self._folder_unsynced = True, self._folder_unsynced or folder
            raise
        with self._lock:
            self._retired = self._retired[len(retired) :]
        for descriptor in retired:
            os.close(descriptor)

    def _trim(self) -> None:
        """Remove the oldest segments as long as they speak of nothing but committed and still open exchanges."""
        with self._lock:
            candidates = list(self._old)
        gone: list[Segment] = []
        with contextlib.suppress(AppError):  # what cannot be written now is tried again at the next sync
            for segment in candidates:
                self._carry_over(segment)
                with self._lock:
                    if not segment.ids <= self._open.keys():
                        break
                    gone.append(segment)
            if gone:
                with self._lock:
                    self._append(of_list(TRIMMED, [segment.number for segment in gone]))
                    for _ in gone:
                        self._old.popleft()
                self._flush()
                for segment in gone:
                    if segment.damaged:
                        segment.path.replace(segment.path.with_name(f"damaged-{segment.path.name}"))
                    else:
                        segment.path.unlink(missing_ok=True)

    def _carry_over(self, segment: Segment) -> None:
        """Write the exchanges of an old segment that are still open into the current one, each for itself: requests go on between."""
        with self._lock:
            ids = segment.ids if segment.ids <= self._open.keys() else set()
            ids = ids - (self._current.segment.ids if self._current is not None else set())
        for identifier in ids:
            with self._lock:
                row = self._open.get(identifier)
                if row is not None:
                    self._append(of_row(OPENED, row)).ids.add(identifier)


def _write(descriptor: int, data: bytes) -> None:
    written = os.write(descriptor, data)
    while written < len(data):
        written += os.write(descriptor, data[written:])


def _unwritten(folder: Path, error: OSError) -> AppError:
    refused = disk.refused(folder, error)
    return AppError("store_unavailable", refused.message, refused.hint, retry_after_s=refused.retry_after_s)
