"""What can happen to a disk, with the whole gateway: it says what is wrong, loses nothing it acknowledged, and goes on by itself."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from app.control.contract import Snapshot
from app.core.records import Exchange
from app.store import cipher, ledger, migrations
from app.store.database import Store
from app.store.journal import Journal
from app.store.tables import insert_into, select_from
from app.store.tags import Tags
from app.system.paths import Paths
from tests.disks import fill, unchangeable
from tests.gateway import ROOT, Gateway, gateway, wait_for
from tests.store.rows import rows

fcntl = pytest.importorskip("fcntl", reason="only POSIX systems lock bytes of a file like that")

# SQLite locks the byte of its `-shm` file that stands for writing (sqlite.org/walformat.html, "WAL locks").
WAL_WRITE_LOCK = 120
PATIENCE_S = 40.0
PAGE_BYTES = 4096


class Caller:
    """A client program of one gateway. acknowledged: the call ids of the whole answers it got."""

    def __init__(self, one: Gateway) -> None:
        self._key = one.client("caller")
        self.url = one.url
        self.acknowledged: list[str] = []

    def ask(self, *, anthropic: bool = False) -> httpx2.Response:
        body = {"model": "gatehouse/echo", "messages": [{"role": "user", "content": "Hello"}]}
        if anthropic:
            headers = {"x-api-key": self._key, "anthropic-version": "2023-06-01"}
            reply = self._post(f"{self.url}/v1/messages", json=body | {"max_tokens": 9}, headers=headers)
        else:
            reply = self._post(f"{self.url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {self._key}"})
        if reply.status_code == 200:
            self.acknowledged.append(reply.headers["x-gatehouse-call-id"])
        return reply

    def _post(self, url: str, json: object, headers: dict[str, str]) -> httpx2.Response:
        return httpx2.post(url, json=json, headers=headers, trust_env=False, timeout=20)

    def until(self, status: int, what: str) -> httpx2.Response:
        found: httpx2.Response = wait_for(lambda: (reply := self.ask()).status_code == status and reply, what, PATIENCE_S)
        return found

    def check_refused(self, *words: str, for_good: bool = False) -> None:
        """Both dialects are told the reason, in their own shape, and when to come again, unless only a person can mend it."""
        openai, anthropic = self.ask(), self.ask(anthropic=True)
        assert (openai.status_code, anthropic.status_code) == (503, 503), (openai.text, anthropic.text)
        assert openai.json()["error"]["code"] == "store_unavailable"
        assert anthropic.json()["type"] == "error"
        for reply in (openai, anthropic):
            assert reply.json()["error"]["type"] in ("internal_server_error", "api_error")
            assert int(reply.headers.get("retry-after", 0)) == (0 if for_good else 5)
            for word in words:
                assert word in reply.json()["error"]["message"]
        ready = httpx2.get(f"{self.url}/health/readiness", trust_env=False, timeout=20)
        assert (ready.status_code, ready.json()["code"]) == (503, "store_unavailable")
        assert all(word in ready.json()["message"] for word in words)


def snapshot(one: Gateway) -> Snapshot:
    with one.control() as control:
        return control.snapshot()


def check_status(one: Gateway, *words: str) -> None:
    """The window and the command line say it too."""
    shown = wait_for(lambda: (now := snapshot(one)).state == "failing" and now, "the snapshot to say so")
    told = one.cli("status", check=None)
    for word in words:
        assert word in shown.problem
        assert word in told.stdout + told.stderr


def check_everything(one: Gateway, acknowledged: list[str]) -> None:
    """The oracle: what was acknowledged is there, once, the sums agree and the log verifies."""
    with one.control() as control:

        def recorded() -> list[str]:
            ids = [row.id for row in control.activity(limit=1000).rows]
            return ids if set(acknowledged) <= set(ids) else []

        ids = wait_for(recorded, "every acknowledged row", PATIENCE_S)
        assert len(ids) == len(set(ids))
        assert sum(group.requests for group in control.usage(("client",))) == len(ids)
        wait_for(lambda: one.cli("audit", "verify", check=None).returncode == 0, "the log to be verified against the vault")


def test_a_full_disk_is_said_and_requests_go_on_when_there_is_room(small_disk: Path) -> None:
    with gateway(small_disk / "data") as one:
        caller = Caller(one)
        caller.until(200, "an answer")
        for _ in range(2):
            filler = fill(small_disk)
            caller.until(503, "the disk to be full")
            caller.check_refused("The disk is full", "Free some space")
            check_status(one, "The disk is full", "goes on by itself")
            assert caller.ask().status_code == 503
            filler.unlink()
            caller.until(200, "an answer, now that there is room")
            assert httpx2.get(f"{one.url}/health/readiness", trust_env=False, timeout=20).status_code == 200
            wait_for(lambda: snapshot(one).state == "running", "the snapshot to be as before", PATIENCE_S)
        check_everything(one, caller.acknowledged)


def test_what_was_acknowledged_before_a_full_disk_outlives_a_crash_on_it(small_disk: Path) -> None:
    one = Gateway(small_disk / "data").start()
    one.wait_open()
    caller = Caller(one)
    for _ in range(20):
        caller.until(200, "an answer")
    filler = fill(small_disk)
    caller.until(503, "the disk to be full")
    port = int(one.url.rpartition(":")[2])
    one.stop(kill=True)
    filler.unlink()
    wait_for(lambda: _started(one, port), "the gateway to start again")
    try:
        one.wait_open()
        check_everything(one, caller.acknowledged)
    finally:
        one.stop()


def _started(one: Gateway, port: int) -> bool:
    try:
        one.start(port)
    except AssertionError:  # the engine of before still has the port
        one.stop()
        return False
    return True


@pytest.mark.needs("an unchangeable file")
@pytest.mark.parametrize("busy", [False, True], ids=["before anything is recorded", "while requests flow"])
def test_a_data_folder_that_becomes_read_only_is_said_and_gone_on_with(tmp_path: Path, busy: bool) -> None:
    """SQLite opens a file for reading alone where it cannot do more, so it matters when the connections are made."""
    with gateway(tmp_path / "data") as one:
        caller, paths = Caller(one), Paths(one.folder)
        if busy:
            caller.until(200, "an answer")
            check_everything(one, caller.acknowledged)
        # Not the `-shm` file: SQLite has it mapped, and a process that may not write to what it has mapped is killed.
        closed = [paths.journal, *paths.journal.iterdir(), paths.database, paths.database.with_name("gatehouse.db-wal")]
        with unchangeable(closed):
            caller.until(503, "writing to be refused")
            caller.check_refused("cannot be written to")
            check_status(one, "cannot be written to", "goes on by itself")
        caller.until(200, "an answer, now that the folder can be written")
        wait_for(lambda: snapshot(one).state == "running", "the snapshot to be as before", PATIENCE_S)
        check_everything(one, caller.acknowledged)


@pytest.mark.needs("an unchangeable file")
def test_a_data_folder_that_is_read_only_from_the_start_is_said_and_gone_on_with(tmp_path: Path) -> None:
    with gateway(tmp_path / "data") as one:
        caller = Caller(one)
        caller.until(200, "an answer")
    paths = Paths(one.folder)
    with unchangeable([paths.journal, *paths.journal.iterdir(), paths.database]):
        one.start()
        caller.url = one.url
        try:
            assert snapshot(one).state in ("starting", "failing")
            check_status(one, "cannot be written to")
            assert caller.ask().status_code == 503
        except BaseException:
            one.stop()
            raise
    try:
        caller.until(200, "an answer, now that the folder can be written")
        assert snapshot(one).state == "running"
        check_everything(one, caller.acknowledged)
    finally:
        one.stop()


def test_another_program_that_holds_the_database_is_waited_for(tmp_path: Path) -> None:
    with gateway(tmp_path / "data") as one:
        caller = Caller(one)
        caller.until(200, "an answer")
        with Paths(one.folder).database.with_name("gatehouse.db-shm").open("r+b") as shared:
            wait_for(lambda: _locked(shared.fileno()), "the database to be free for a moment")
            caller.until(200, "an answer: the journal has it, the database may wait")
            caller.until(503, "the gateway to lose patience with the other program")
            caller.check_refused("Another program holds the database")
            check_status(one, "Another program holds the database", "goes on by itself")
            fcntl.lockf(shared, fcntl.LOCK_UN, 1, WAL_WRITE_LOCK)
            caller.until(200, "an answer, now that the database is free")
        wait_for(lambda: snapshot(one).state == "running", "the snapshot to be as before", PATIENCE_S)
        check_everything(one, caller.acknowledged)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, WAL_WRITE_LOCK)
    except OSError:
        return False
    return True


def test_a_flipped_bit_is_found_without_being_asked_and_named(tmp_path: Path) -> None:
    with gateway(tmp_path / "data") as one:
        caller = Caller(one)
        caller.until(200, "an answer")
        check_everything(one, caller.acknowledged)
    path = Paths(one.folder).database
    tagging = Tags(one.runs())  # as if the last run had written them
    with closing(Store.open(path, one.keys()["db"], tagging=tagging)) as store, store.write() as connection:
        ledger.record(connection, rows(20_000))
    content = bytearray(path.read_bytes())
    place = len(content) // 4 // PAGE_BYTES * PAGE_BYTES  # old rows, which only somebody who reads everything meets
    content[place + 100] ^= 1
    path.write_bytes(content)
    with one, one.control() as control:
        caller.url = one.url
        one.wait_open()
        held = wait_for(lambda: control.audit_status().held, "the finding", PATIENCE_S)
        assert held.kind == "damaged"
        assert "damaged" in held.sentence and "Put a backup back" in held.sentence
        told = one.cli("audit", "verify", check=None)
        assert told.returncode != 0
        assert "damaged" in told.stdout + told.stderr
        # What does not need that page goes on.
        caller.until(200, "an answer")
        wait_for(lambda: caller.acknowledged[-1] in {row.id for row in control.activity(limit=5).rows}, "its row")
    assert path.read_bytes()[place : place + PAGE_BYTES] == content[place : place + PAGE_BYTES], "the evidence was changed"


def test_a_database_too_damaged_to_record_in_refuses_requests_and_says_what_to_do(tmp_path: Path) -> None:
    with gateway(tmp_path / "data") as one:
        caller = Caller(one)
        caller.until(200, "an answer")
    path = Paths(one.folder).database
    with closing(cipher.connect(path, one.keys()["db"])) as connection:
        page = int(connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'exchanges'").fetchone()[0])
    content = bytearray(path.read_bytes())
    content[(page - 1) * PAGE_BYTES + 2000] ^= 1
    path.write_bytes(content)
    with one:
        caller.url = one.url
        check_status(one, "damaged", "Put a backup back")
        caller.check_refused("damaged", "Put a backup back", "left as it is", for_good=True)
    assert path.read_bytes() == content, "the evidence was changed"


def test_an_older_copy_put_back_is_named_and_requests_are_still_recorded(tmp_path: Path) -> None:
    with gateway(tmp_path / "data") as one:
        caller = Caller(one)
        for _ in range(5):
            caller.until(200, "an answer")
        check_everything(one, caller.acknowledged)
    path, old = Paths(one.folder).database, tmp_path / "old.db"
    shutil.copy(path, old)
    before = list(caller.acknowledged)
    with one:
        caller.url = one.url
        for _ in range(5):
            caller.until(200, "an answer")
        check_everything(one, caller.acknowledged)
    lost = set(caller.acknowledged) - set(before)
    shutil.copy(old, path)
    with one:
        caller.url = one.url
        one.wait_open()
        told = wait_for(lambda: (done := one.cli("audit", "verify", "--json", check=None)).returncode == 1 and done, "the finding")
        assert "rolled back" in told.stdout
        assert "an older state was put back" in told.stdout
        kinds = wait_for(lambda: "audit.finding" in (got := [e["kind"] for e in one.cli_json("audit", "list")]) and got, "its entry")
        assert kinds.count("audit.finding") == 1
        # What stands in the copy stands there as it was, and what comes now is recorded: the ledger itself is consistent.
        caller.acknowledged = list(before)
        caller.until(200, "an answer")
        with one.control() as control:
            recorded = wait_for(
                lambda: len(got := {row.id for row in control.activity(limit=1000).rows}) >= len(caller.acknowledged) and got, "its row"
            )
            assert set(caller.acknowledged) <= recorded
            assert not lost & recorded
            assert sum(group.requests for group in control.usage(("client",))) == len(recorded)
    with closing(Store.open(path, one.keys()["db"])) as store, store.read() as connection:
        assert ledger.verify(connection).finding == ""
    journal, replay = Journal.open(Paths(one.folder).journal, one.keys()["journal"])
    journal.close()
    assert (replay.closed, replay.interrupted, replay.damage, replay.clean) == ((), (), "", True)


def test_a_newer_schema_is_refused_and_the_file_is_not_touched(tmp_path: Path) -> None:
    with gateway(tmp_path / "data") as one:
        caller = Caller(one)
        caller.until(200, "an answer")
    path = Paths(one.folder).database
    with closing(cipher.connect(path, one.keys()["db"])) as connection:
        connection.execute(f"PRAGMA user_version = {len(migrations.ALL) + 1:d}")
    content = path.read_bytes()
    with one:
        caller.url = one.url
        check_status(one, "newer Gatehouse", "Nothing was changed")
        reply = caller.ask()
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "store_newer")
        assert "Start the newer version" in reply.json()["error"]["message"]
    assert path.read_bytes() == content
    assert not [file.name for file in path.parent.iterdir() if file.name.startswith("gatehouse.db.before")]


def older_ledger(path: Path, key: bytes, steps: int, made: list[Exchange]) -> None:
    """A database after so many steps of the schema, with these rows as far as it has columns for them."""
    whole = path.with_name("whole.db")
    with closing(Store.open(whole, key)) as store, store.write() as connection:
        ledger.record(connection, made)
    Store.open(path, key, migrations.ALL[:steps]).close()
    with closing(cipher.connect(whole, key)) as source, closing(cipher.connect(path, key)) as target:
        target.execute("BEGIN")
        for table in ("audit", "words", "exchanges"):
            columns = [row[0] for row in target.execute("SELECT name FROM pragma_table_info(?)", (table,))]
            found = source.execute(select_from(table, columns)).fetchall()
            target.executemany(insert_into(table, columns), found)
        target.execute("COMMIT")
    for file in path.parent.glob("whole.db*"):
        file.unlink()


def test_an_older_ledger_is_copied_checked_and_brought_up_to_date(tmp_path: Path) -> None:
    with gateway(tmp_path / "data") as one:
        key = one.keys()["db"]
    path, older = Paths(one.folder).database, len(migrations.ALL) - 1
    made = rows(30)
    for file in path.parent.glob("gatehouse.db*"):
        file.unlink()
    older_ledger(path, key, older, made)
    with one:
        one.wait_open()
        with one.control() as control:
            assert [row.id for row in control.activity(limit=100).rows] == [row.id for row in made][::-1]
        copy = path.with_name(f"{path.name}.before-{older + 1}")
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        with closing(cipher.connect(copy, key)) as connection:
            assert connection.execute("PRAGMA user_version").fetchone()[0] == older
            assert connection.execute("SELECT count(*) FROM exchanges").fetchone()[0] == len(made)


def test_no_room_for_the_copy_before_a_migration_is_said_and_gone_on_with(small_disk: Path) -> None:
    with gateway(small_disk / "data") as one:
        key = one.keys()["db"]
    path, older = Paths(one.folder).database, len(migrations.ALL) - 1
    for file in path.parent.glob("gatehouse.db*"):
        file.unlink()
    older_ledger(path, key, older, rows(30))
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * (shutil.disk_usage(small_disk).free - 100_000))
    content = path.read_bytes()
    with one:
        check_status(one, "The disk is full", "goes on by itself")
        assert path.read_bytes() == content
        filler.unlink()
        one.wait_open()
        assert path.with_name(f"{path.name}.before-{older + 1}").exists()


@pytest.mark.needs("an ordinary user", "a disk of its own")
def test_full_disks_without_being_root(tmp_path: Path) -> None:
    """What needs a small disk, here and elsewhere, as root of a user namespace; as root those tests themselves have run.

    That root is 0 and finds what the machine's root left under that number, so the folder for temporary files is another one.
    """
    names = ("journeys/test_storage_faults.py", "store/test_full_disk.py", "engine/test_recorder.py")
    command = [
        sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 't'}", "-m", "small_disk",
        *(str(ROOT / "tests" / name) for name in names),
    ]  # fmt: skip
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", *command],
        capture_output=True, text=True, check=False, cwd=ROOT, env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout, done.stdout
