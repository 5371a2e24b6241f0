"""Killed at any moment, or without power: what was acknowledged is there, the log verifies, and no crash looks like a rollback."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from app.store import audit, judging, sealing, verified
from app.store.database import Store
from app.store.verified import Verified
from tests.audit.appender import FileVault, start
from tests.audit.book import book, kinds
from tests.store.rows import KEY


def killed_after(folder: Path, acknowledgements: int) -> int:
    """The last acknowledged entry of a writer that was killed."""
    writer = subprocess.Popen(
        [sys.executable, "-m", "tests.audit.appender", str(folder)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    guard = threading.Timer(60, writer.kill)
    guard.start()
    last = seen = 0
    assert writer.stdout is not None
    try:
        for line in writer.stdout:
            if line.endswith(b"\n"):
                last = int(line)
            seen += 1
            if seen == acknowledgements:
                writer.kill()
        code = writer.wait()
    finally:
        guard.cancel()
        writer.kill()
        writer.stdout.close()
    assert code == -signal.SIGKILL, f"the writer ended by itself after {seen} acknowledgements"
    return last


def check(folder: Path, acknowledged: int, known: Verified | None) -> Verified | None:
    """Reads everything, and from where the check before this one ended; the place from which to go on."""
    store = Store.open(folder / "g.db", KEY)
    try:
        with store.read() as connection:
            verdict, _ = judging.verify(connection, FileVault(folder).anchor())
            assert audit.newest(connection) >= acknowledged
            assert sealing.first_look(connection, FileVault(folder).anchor()) is None
            looked = verified.look(connection, FileVault(folder).anchor(), b"", known, lambda so_far: None)
        assert verdict.findings == looked.verdict.findings == []
        assert verdict.seq == looked.verdict.seq >= acknowledged
        return looked.remembered(known, 1)
    finally:
        store.close()


def campaign(folder: Path, rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    known = None
    for _ in range(rounds):
        known = check(folder, killed_after(folder, chance.choice((1, 2, 4, 5, 6, chance.randint(1, 120)))), known)


def test_killed_five_times_the_log_verifies_and_nothing_acknowledged_is_lost(data_dir: Path) -> None:
    campaign(data_dir, 5, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_a_hundred_times_the_log_verifies_and_nothing_acknowledged_is_lost(data_dir: Path) -> None:
    campaign(data_dir, 100, seed=2)


def test_killed_between_the_commit_and_the_vault_is_no_finding(data_dir: Path) -> None:
    with book(data_dir / "g.db") as made:
        made.filled()
        made.append(7)
        made.seal()  # and killed here
        verdict = made.verify()
        assert (verdict.state, verdict.seq) == ("intact", 311)
        with made.store.read() as connection:
            assert sealing.first_look(connection, made.anchor) is None


def test_killed_in_the_middle_of_a_turn_the_next_start_knows_which_key_counts(data_dir: Path) -> None:
    store, vault = Store.open(data_dir / "g.db", KEY), FileVault(data_dir)
    try:
        signer = start(store, vault)
        following = sealing.Signer.fresh(signer.epoch + 1)
        vault.put(key=signer.private.hex(), epoch=str(signer.epoch), next=following.private.hex())
        # 1. killed before the commit
        assert start(store, vault).epoch == 1
        # 2. killed after it, before the old key was dropped
        said = vault.read()
        signer = sealing.Signer(bytes.fromhex(said["key"]), int(said["epoch"]))
        following = sealing.Signer(bytes.fromhex(said["next"]), signer.epoch + 1)
        with store.write() as connection:
            sealing.turn(connection, signer, following, 1)
        assert start(store, vault).epoch == 3
        with store.read() as connection:
            verdict, _ = judging.verify(connection, vault.anchor())
        assert verdict.findings == []
    finally:
        store.close()


def test_power_lost_after_the_vault_was_told_is_not_taken_for_a_rollback(data_dir: Path) -> None:
    """The vault is told after a commit that waits for the disk (`synchronous=FULL`), so what it remembers is in the part of the
    write-ahead log that a power loss cannot take. Everything written after that moment may be gone, torn or rubbish."""
    chance = random.Random(3)
    with book(data_dir / "g.db") as made:
        made.filled()
        with made.store.read() as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
        wal = made.path.with_name("g.db-wal")
        synced = wal.stat().st_size
        known = made.anchor
        made.append(40)
        made.seal()
        made.record(30)
        database, log = made.path.read_bytes(), wal.read_bytes()
        assert len(log) > synced
    lost = 0
    for turn in range(40):
        folder = data_dir / f"lost-{turn}"
        folder.mkdir()
        kept = chance.randint(synced, len(log))
        rest = bytes(chance.randrange(256) for _ in range(200)) if turn % 2 else b"\0" * (len(log) - kept)
        (folder / "g.db").write_bytes(database)
        (folder / "g.db-wal").write_bytes(log[:kept] + rest)
        with book(folder / "g.db") as after:
            after.anchor, after.signer = known, made.signer
            verdict = after.verify()
            lost += verdict.seq < 344
            assert verdict.state == "intact", (turn, verdict.findings)
            assert verdict.seq >= 304
    assert lost > 10
    # To see that this test can fail: what was synced before the vault was told is cut as well.
    folder = data_dir / "more"
    folder.mkdir()
    (folder / "g.db").write_bytes(database)
    (folder / "g.db-wal").write_bytes(log[: synced // 2])
    with book(folder / "g.db") as after:
        after.anchor, after.signer = known, made.signer
        assert kinds(after.verify()) == ["rolled back"]
