"""`kill -9` at random moments: nothing acknowledged is lost, nothing is there twice, the log verifies."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from app.store import audit, ledger
from app.store.journal import Journal
from tests.store.rows import KEY, NOW_US, opened, row
from tests.store.test_journal import segment_files
from tests.store.writer import LONG_EVERY

STEP = 100_000


def acknowledged_until_killed(folder: Path, first: int, after: int) -> tuple[set[int], set[int]]:
    """Run the writer, kill it once it has acknowledged about `after` things: numbers opened, numbers closed."""
    command = [sys.executable, "-m", "tests.store.writer", str(folder), str(first)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    guard = threading.Timer(60, writer.kill)
    guard.start()
    seen: list[bytes] = []
    assert writer.stdout is not None
    try:
        for line in writer.stdout:
            seen.append(line)
            if len(seen) == after:
                writer.kill()
        code = writer.wait()
    finally:
        guard.cancel()
        writer.kill()
        writer.stdout.close()
    assert code == -signal.SIGKILL, f"the writer ended by itself after {len(seen)} acknowledgements"
    whole = [line.split() for line in seen if line.endswith(b"\n")]
    return {int(number) for kind, number in whole if kind == b"o"}, {int(number) for kind, number in whole if kind == b"c"}


def check(folder: Path, opened_numbers: set[int], closed_numbers: set[int]) -> None:
    journal, replay = Journal.open(folder / "journal", KEY)
    assert replay.damage == ""
    assert replay.clean is False
    with opened(folder / "g.db") as store:
        left = [*replay.closed, *replay.interrupted]
        with store.write() as connection:
            ledger.record(connection, left)
        with store.read() as connection:
            kept = ledger.page(connection, 10**7)
            by_id = {one.id: one for one in kept}
            assert len(by_id) == len(kept)
            for number in closed_numbers:
                assert by_id[row(number).id] == row(number), number
            for number in opened_numbers - closed_numbers:
                assert by_id[row(number).id].outcome in ("completed", "interrupted"), number
            # Only a row whose "closed" was never acknowledged may be interrupted.
            interrupted = {one.id for one in kept if one.outcome == "interrupted"}
            assert interrupted.isdisjoint(row(number).id for number in closed_numbers)
            (total,) = ledger.usage(connection, (), 0, NOW_US * 2)
            assert total.requests == len(kept)
            assert total.cost_microusd == sum(one.cost_microusd or 0 for one in kept)
            assert audit.verify(connection).finding is None
            assert ledger.verify(connection).finding == ""
    journal.committed([one.id for one in left])
    journal.sync()
    assert len(segment_files(folder / "journal")) == 1
    journal.close()
    again, replay = Journal.open(folder / "journal", KEY)
    assert (replay.closed, replay.interrupted, replay.clean) == ((), (), True)
    again.close()


def campaign(folder: Path, rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    opened_numbers: set[int] = set()
    closed_numbers: set[int] = set()
    for turn in range(rounds):
        ours, done = acknowledged_until_killed(folder, turn * STEP + 1, chance.choice((1, 2, 40, 300, chance.randint(1, 3000))))
        assert any(number % LONG_EVERY == 0 for number in ours) or len(ours) < LONG_EVERY
        opened_numbers |= ours
        closed_numbers |= done
        if turn % 2:  # otherwise the next writer replays
            check(folder, opened_numbers, closed_numbers)
    journal, _ = Journal.open(folder / "journal", KEY)
    journal.close()


def test_killed_five_times_nothing_acknowledged_is_lost_or_doubled(data_dir: Path) -> None:
    campaign(data_dir, 6, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_a_hundred_times_nothing_acknowledged_is_lost_or_doubled(data_dir: Path) -> None:
    campaign(data_dir, 100, seed=2)
