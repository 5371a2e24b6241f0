"""The journal in a real folder: what it gives back after a crash, a full disk, damage."""

from __future__ import annotations

import gc
import os
import random
import stat
import threading
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from app.core.errors import AppError
from app.core.records import Exchange, Tokens
from app.store import exchanges, segments
from app.store.journal import Journal
from app.store.journal_form import BEGUN, CLOSED, OPENED, Begun
from app.store.replay import Replay
from tests.store.rows import KEY, row, rows


def crashed(journal: Journal) -> None:
    """Leave the journal as a process that was killed leaves it: descriptors and lock gone, nothing said."""
    for descriptor in (*journal._retired, *([journal._current.descriptor] if journal._current else []), journal._held):
        os.close(descriptor)


def segment_files(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.glob("[0-9]*.journal"))


def reopened(folder: Path) -> Replay:
    journal, replay = Journal.open(folder, KEY)
    crashed(journal)
    return replay


def test_a_first_start_finds_nothing_and_is_clean(data_dir: Path) -> None:
    journal, replay = Journal.open(data_dir / "journal", KEY)
    assert replay == Replay()
    assert stat.S_IMODE((data_dir / "journal").stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in (data_dir / "journal").iterdir()} == {0o600}
    journal.close()


def test_closed_rows_come_back_whole_and_open_ones_as_interrupted(data_dir: Path) -> None:
    journal, _ = Journal.open(data_dir, KEY)
    opened_only = replace(row(3), closed_us=None, status=0, outcome="completed")
    for one in rows(3):
        journal.opened(replace(one, closed_us=None, status=0))
    journal.opened(opened_only)
    for one in rows(3):
        journal.closed(one)
    crashed(journal)
    replay = reopened(data_dir)
    assert replay == Replay(closed=tuple(rows(3)), interrupted=(replace(opened_only, outcome="interrupted"),), clean=False)
    assert reopened(data_dir) == replay  # nobody said yet that they are recorded


def test_a_row_can_close_without_having_been_opened(data_dir: Path) -> None:
    """As a request that was refused before any provider was asked."""
    journal, _ = Journal.open(data_dir, KEY)
    journal.closed(row(1, outcome="refused"))
    crashed(journal)
    assert reopened(data_dir).closed == (row(1, outcome="refused"),)


def test_committed_rows_do_not_come_back(data_dir: Path) -> None:
    journal, _ = Journal.open(data_dir, KEY)
    for one in rows(10):
        journal.opened(one)
        journal.closed(one)
    journal.committed([one.id for one in rows(9)])
    crashed(journal)
    assert reopened(data_dir) == Replay(closed=(row(9),), clean=False)

    journal, replay = Journal.open(data_dir, KEY)
    journal.committed([one.id for one in replay.closed])
    journal.sync()
    assert len(segment_files(data_dir)) == 1
    crashed(journal)
    assert reopened(data_dir) == Replay(clean=False)


def test_an_orderly_stop_leaves_one_small_file_and_is_told_from_a_crash(data_dir: Path) -> None:
    journal, _ = Journal.open(data_dir, KEY)
    for one in rows(500):
        journal.closed(one)
    journal.committed([one.id for one in rows(500)])
    journal.close()
    journal.close()
    (name,) = segment_files(data_dir)
    assert (data_dir / name).stat().st_size < 2000
    assert reopened(data_dir) == Replay()
    assert reopened(data_dir).clean is False

    journal, _ = Journal.open(data_dir, KEY)
    journal.closed(row(1))
    journal.close()  # the store could not commit: the row stays
    assert reopened(data_dir) == Replay(closed=(row(1),))
    with pytest.raises(AppError, match="store_unavailable"):
        journal.opened(row(2))


def test_segments_are_removed_while_a_long_exchange_stays_open(data_dir: Path) -> None:
    journal, _ = Journal.open(data_dir, KEY, segment_bytes=10_000)
    long = row(0, client="Long")
    journal.opened(long)
    for start in range(1, 2001, 100):
        batch = [row(number) for number in range(start, start + 100)]
        for one in batch:
            journal.opened(one)
            journal.closed(one)
        journal.committed([one.id for one in batch])
        journal.sync()
        assert len(segment_files(data_dir)) <= 2
    crashed(journal)
    replay = reopened(data_dir)
    assert replay == Replay(interrupted=(replace(long, outcome="interrupted"),), clean=False)


def test_what_is_not_committed_is_kept_over_many_segments(data_dir: Path) -> None:
    journal, _ = Journal.open(data_dir, KEY, segment_bytes=5_000)
    for one in rows(300):
        journal.opened(one)
        journal.closed(one)
        journal.sync()
    assert len(segment_files(data_dir)) > 10
    crashed(journal)
    assert reopened(data_dir) == Replay(closed=tuple(rows(300)), clean=False)


def test_nothing_in_the_folder_can_be_read_without_the_key(data_dir: Path) -> None:
    journal, _ = Journal.open(data_dir, KEY)
    journal.closed(row(1, client="canary-Rumpelstilzchen", message="canary-Rumpelstilzchen"))
    journal.close()
    for file in data_dir.iterdir():
        content = file.read_bytes()
        assert b"Rumpelstilzchen" not in content
        assert b"api.openai.com" not in content
        assert KEY not in content


def test_another_key_is_refused_and_changes_nothing(data_dir: Path) -> None:
    journal, _ = Journal.open(data_dir, KEY)
    journal.closed(row(1))
    crashed(journal)
    before = {file.name: file.read_bytes() for file in data_dir.iterdir()}
    for _ in range(2):
        with pytest.raises(AppError, match="store_wrong_key"):
            Journal.open(data_dir, bytes(32))
    assert {file.name: file.read_bytes() for file in data_dir.iterdir()} == before
    (data_dir / "key").unlink()
    with pytest.raises(AppError, match="store_wrong_key"):
        Journal.open(data_dir, bytes(32))
    assert reopened(data_dir).closed == (row(1),)
    (data_dir / "key").write_bytes(b"damaged")
    assert reopened(data_dir).closed == (row(1),)
    assert reopened(data_dir).damage == ""


def test_a_second_journal_on_the_folder_is_refused(data_dir: Path) -> None:
    journal, _ = Journal.open(data_dir, KEY)
    with pytest.raises(AppError) as caught:
        Journal.open(data_dir, KEY)
    assert caught.value.code == "store_unavailable"
    assert "Another Gatehouse" in caught.value.message
    journal.opened(row(1))
    journal.close()
    again, _ = Journal.open(data_dir, KEY)
    again.close()


def test_a_refused_open_leaves_no_descriptor_behind(data_dir: Path) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("this system does not list the open descriptors of a process")
    journal, _ = Journal.open(data_dir, KEY)
    gc.collect()
    count = len(os.listdir("/proc/self/fd"))
    with pytest.raises(AppError):
        Journal.open(data_dir, KEY)
    journal.close()
    with pytest.raises(AppError):
        Journal.open(data_dir, bytes(32))
    assert len(os.listdir("/proc/self/fd")) == count - 2


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("not a folder")
    with pytest.raises(AppError) as caught:
        Journal.open(tmp_path / "journal", KEY)
    assert caught.value.code == "data_folder"
    assert str(tmp_path) not in caught.value.sentence()


def test_a_torn_end_is_tolerated_at_every_byte(data_dir: Path) -> None:
    journal, _ = Journal.open(data_dir, KEY)
    journal.closed(row(0))
    (name,) = segment_files(data_dir)
    whole = (data_dir / name).stat().st_size
    journal.closed(row(1))
    crashed(journal)
    content = (data_dir / name).read_bytes()
    key = (data_dir / "key").read_bytes()
    for cut in range(whole, len(content), 5):
        folder = data_dir / f"cut-{cut}"
        folder.mkdir()
        (folder / name).write_bytes(content[:cut])
        (folder / "key").write_bytes(key)
        assert reopened(folder) == Replay(closed=(row(0),), clean=False)
        # The segment is not the newest any more and still only torn.
        assert reopened(folder) == Replay(closed=(row(0),), clean=False)


@pytest.mark.parametrize("left", [b"", b"GHJ", b"GHJOURN1\0\0\0\0\0\0\0\x32", bytes(4096)])
def test_a_segment_whose_making_was_cut_short_is_no_damage(data_dir: Path, left: bytes) -> None:
    journal, _ = Journal.open(data_dir, KEY)
    journal.closed(row(0))
    journal.close()
    (data_dir / "00000050.journal").write_bytes(left)
    journal, replay = Journal.open(data_dir, KEY)
    assert replay == Replay(closed=(row(0),))
    journal.committed([row(0).id])
    journal.sync()
    assert segment_files(data_dir) == ["00000051.journal"]
    journal.close()


def test_damage_is_reported_the_rest_is_saved_and_the_file_is_kept(data_dir: Path) -> None:
    journal, _ = Journal.open(data_dir, KEY)
    for one in rows(20):
        journal.closed(one)
    crashed(journal)
    (name,) = segment_files(data_dir)
    damaged = bytearray((data_dir / name).read_bytes())
    damaged[len(damaged) // 2] ^= 4
    (data_dir / name).write_bytes(damaged)

    journal, replay = Journal.open(data_dir, KEY)
    assert len(replay.closed) == 19
    assert set(replay.closed) < set(rows(20))
    assert f"damaged-{name}" in replay.damage
    assert "1 records" in replay.damage
    journal.committed([one.id for one in replay.closed])
    journal.sync()
    assert (data_dir / f"damaged-{name}").read_bytes() == damaged
    journal.close()
    assert reopened(data_dir) == Replay()


def test_records_cut_off_the_end_of_an_earlier_segment_are_missed(data_dir: Path) -> None:
    journal, _ = Journal.open(data_dir, KEY)
    journal.closed(row(0))
    whole = (data_dir / segment_files(data_dir)[0]).stat().st_size
    journal.closed(row(1))
    crashed(journal)
    first = segment_files(data_dir)[0]
    reopened(data_dir)
    os.truncate(data_dir / first, whole)
    replay = reopened(data_dir)
    assert replay.closed == (row(0),)
    assert "1 records at its end are missing" in replay.damage


def test_a_segment_taken_away_or_renamed_is_missed(data_dir: Path) -> None:
    journal, _ = Journal.open(data_dir, KEY, segment_bytes=2_000)
    for one in rows(60):
        journal.closed(one)
    crashed(journal)
    names = segment_files(data_dir)
    assert len(names) > 5
    (data_dir / names[2]).unlink()
    (data_dir / names[3]).rename(data_dir / "00000900.journal")
    replay = reopened(data_dir)
    assert f"Segment {int(names[2][:8])} of the journal is missing." in replay.damage
    assert "Segment 900 of the journal is damaged" in replay.damage
    assert set(replay.closed) < set(rows(60))

    for name in segment_files(data_dir):
        (data_dir / name).unlink()
    assert reopened(data_dir) == Replay(damage="The segments of the journal are missing.", clean=False)


def test_whatever_others_put_into_a_row_is_written_down(data_dir: Path) -> None:
    hostile = [
        row(0, asked="\ud800", message="x" * 3_000_000),
        row(1, tokens=Tokens(input=10**40, output=-(10**40)), cost_microusd=2**64),
    ]
    journal, _ = Journal.open(data_dir, KEY)
    for one in hostile:
        journal.opened(one)
        journal.closed(one)
    crashed(journal)
    assert reopened(data_dir).closed == tuple(exchanges.bounded(one) for one in hostile)


def test_a_journal_of_another_version_is_read_by_the_names_of_its_fields(data_dir: Path) -> None:
    def write(folder: Path, fields: tuple[str, ...], values: tuple[object, ...]) -> None:
        folder.mkdir()
        sealer = segments.Sealer(KEY, 3, b"s" * 16)
        pack = msgspec.msgpack.encode
        content = sealer.head + sealer.seal(BEGUN + pack(Begun(fields, 0, 0, ())))
        content += sealer.seal(OPENED + pack((values[0], *values[1:]))) + sealer.seal(CLOSED + pack(values))
        (folder / "00000003.journal").write_bytes(content)

    write(data_dir / "later", ("id", "opened_us", "colour", "tokens.input", "tokens.shade"), (row(1).id, 5, "red", 7, 8))
    replay = reopened(data_dir / "later")
    assert replay == Replay(closed=(Exchange(id=row(1).id, opened_us=5, tokens=Tokens(input=7)),), clean=False)

    write(data_dir / "strange", ("name", "time"), (row(1).id, 5))
    replay = reopened(data_dir / "strange")
    assert replay.closed == ()
    assert "1 records of the journal are not understood" in replay.damage


def test_writing_committing_and_syncing_go_on_at_once(data_dir: Path) -> None:
    journal, _ = Journal.open(data_dir, KEY, segment_bytes=20_000)
    many = rows(3000)
    waiting: list[str] = []
    done = threading.Event()
    failures: list[BaseException] = []
    committed: list[str] = []

    def commit() -> None:
        try:
            while not done.is_set() or waiting:
                ids = [waiting.pop(0) for _ in range(min(len(waiting), 50))]
                if random.Random(len(committed)).random() < 0.8:
                    journal.committed(ids)
                    committed.extend(ids)
                journal.sync()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=commit)
    thread.start()
    for number, one in enumerate(many):
        journal.opened(one)
        if number % 10:  # every tenth stays open
            journal.closed(one)
            waiting.append(one.id)
    done.set()
    thread.join()
    crashed(journal)
    assert not failures
    replay = reopened(data_dir)
    assert replay.damage == ""
    assert {one.id for one in replay.closed} == {one.id for number, one in enumerate(many) if number % 10} - set(committed)
    assert {one.id for one in replay.interrupted} == {one.id for number, one in enumerate(many) if number % 10 == 0}
