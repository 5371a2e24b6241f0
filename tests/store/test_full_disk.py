"""A disk that is full, read-only, or takes half a record: nothing acknowledged is lost, and it goes on when there is room again."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from app.core.errors import AppError
from app.core.records import Exchange
from app.store import audit, ledger
from app.store.journal import Journal
from tests.disks import fill
from tests.store.rows import KEY, NOW_US, opened, row
from tests.store.test_journal import crashed, reopened

resource = pytest.importorskip("resource", reason="only POSIX systems limit the size of a file")


def write_until_refused(journal: Journal, first: int) -> list[Exchange]:
    """What was acknowledged before the refusal."""
    written: list[Exchange] = []
    for number in range(first, first + 100_000):
        one = row(number)
        try:
            journal.closed(one)
        except AppError as error:
            assert error.code == "store_unavailable"
            assert "full" in error.message
            return written
        written.append(one)
    raise AssertionError("the disk was never full")


def test_a_full_disk_stops_the_journal_and_room_lets_it_go_on(small_disk: Path) -> None:
    folder = small_disk / "journal"
    journal, _ = Journal.open(folder, KEY)
    filler = fill(small_disk)
    written = write_until_refused(journal, 0)
    for _ in range(5):
        with pytest.raises(AppError, match="store_unavailable"):
            journal.opened(row(200_000))
    journal.committed([])
    os.truncate(filler, 100_000)
    written += write_until_refused(journal, 300_000)
    assert len(written) > 300
    filler.unlink()
    journal.closed(row(900_000))
    written.append(row(900_000))
    journal.sync()
    crashed(journal)
    replay = reopened(folder)
    assert replay.damage == ""
    assert replay.closed == tuple(written)


def test_a_full_disk_stops_the_ledger_and_room_lets_it_go_on(small_disk: Path) -> None:
    with opened(small_disk / "g.db") as store:
        filler = small_disk / "filler"
        filler.write_bytes(b"x" * 300_000)
        written = 0
        with pytest.raises(AppError) as caught:
            while True:
                with store.write() as connection:
                    assert ledger.record(connection, [row(number) for number in range(written, written + 50)]) == 50
                written += 50
        assert (caught.value.code, "full" in caught.value.message) == ("store_unavailable", True)
        for _ in range(3):
            with pytest.raises(AppError, match="store_unavailable"), store.write() as connection:
                ledger.record(connection, [row(number) for number in range(written, written + 50)])
        with store.read() as connection:
            assert len(ledger.page(connection, 100_000)) == written
        filler.unlink()
        with store.write() as connection:
            assert ledger.record(connection, [row(number) for number in range(written + 50)]) == 50
        with store.read() as connection:
            assert ledger.usage(connection, (), 0, NOW_US * 2)[0].requests == written + 50
            assert audit.verify(connection).finding is None
            assert ledger.verify(connection).finding == ""


def test_a_disk_full_from_the_beginning_is_named(small_disk: Path) -> None:
    fill(small_disk)
    with pytest.raises(AppError) as caught, opened(small_disk / "g.db"):
        pass
    assert (caught.value.code, "full" in caught.value.message) == ("store_unavailable", True)
    with pytest.raises(AppError) as caught:
        Journal.open(small_disk / "journal", KEY)
    assert (caught.value.code, "full" in caught.value.message) == ("store_unavailable", True)
    (small_disk / "filler").unlink()
    with opened(small_disk / "g.db") as store, store.write() as connection:
        assert ledger.record(connection, [row(1)]) == 1
    assert reopened(small_disk / "journal").damage == ""


def test_a_folder_that_becomes_read_only_is_named_and_goes_on_afterwards(small_disk: Path) -> None:
    mount = shutil.which("mount")
    assert mount is not None
    with opened(small_disk / "g.db") as store, store.write() as connection:
        ledger.record(connection, [row(1)])
    journal, _ = Journal.open(small_disk / "journal", KEY)
    journal.close()
    subprocess.run([mount, "-o", "remount,bind,ro", str(small_disk)], check=True)
    try:
        with pytest.raises(AppError) as caught, opened(small_disk / "g.db"):
            pass
        assert caught.value.code in ("store_unavailable", "data_folder")
        assert "cannot be" in caught.value.message
        with pytest.raises(AppError) as caught:
            Journal.open(small_disk / "journal", KEY)
        assert (caught.value.code, "cannot be written to" in caught.value.message) == ("data_folder", True)
    finally:
        subprocess.run([mount, "-o", "remount,bind,rw", str(small_disk)], check=True)
    with opened(small_disk / "g.db") as store, store.read() as connection:
        assert ledger.page(connection, 5) == [row(1)]


def test_half_a_record_on_the_disk_makes_no_later_one_unreadable(data_dir: Path) -> None:
    """The limit on a file's size cuts a write short in the middle of a record, as a full disk does."""
    journal, _ = Journal.open(data_dir, KEY)
    journal.closed(row(0))
    (segment,) = data_dir.glob("*.journal")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for cut in (1, 13, 20, 100):
        resource.setrlimit(resource.RLIMIT_FSIZE, (max(file.stat().st_size for file in data_dir.glob("*.journal")) + cut, hard))
        try:
            with pytest.raises(AppError) as caught:
                journal.closed(row(1, message="long" * 100))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert caught.value.code == "store_unavailable"
        journal.closed(row(2 + cut))
    crashed(journal)
    assert reopened(data_dir) == reopened(data_dir)
    replay = reopened(data_dir)
    assert replay.damage == ""
    assert replay.closed == (row(0), row(3), row(15), row(22), row(102))

    # Even where the half record cannot be taken back, it stands at the end of a segment whose count the next one tells.
    with segment.open("ab") as file:
        file.write(b"\xa7G\0\0\0\x02half of a head and then something else")
    replay = reopened(data_dir)
    assert replay.closed == (row(0), row(3), row(15), row(22), row(102))
