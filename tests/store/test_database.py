"""Opening the encrypted database, refusing to, and transactions on it."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import sqlcipher3
from sqlalchemy.engine import Connection

from app.core.errors import AppError
from app.core.events import ClientAdded, ClientBlocked, Event, ExchangeClosed
from app.core.records import Client
from app.store import accounts, audit, clients, families, ledger, migrations, rows_out, tables
from app.store.database import Store
from app.store.search import Filter
from tests.store.rows import KEY, NOW_US, opened, row, rows

CANARY = "canary-Schneewittchen-7"


def client(name: str) -> Client:
    return Client(name=name, prefix="sk-gh-", last4="abcd", created_us=NOW_US)


def fingerprint(folder: Path) -> dict[str, str]:
    """What every file holds, but for the shared-memory index that readers keep beside the database."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir() if not file.name.endswith("-shm")}


def refusal(path: Path, key: bytes = KEY) -> AppError:
    with pytest.raises(AppError) as caught:
        Store.open(path, key)
    return caught.value


def test_a_new_database_is_the_persons_own_file(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store, store.write() as connection:
        ledger.record(connection, rows(3))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in data_dir.iterdir()}
    assert set(modes) == {"g.db", "g.db-wal", "g.db-shm"}
    assert set(modes.values()) == {0o600}


def test_nothing_in_the_files_can_be_read_without_the_key(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store:
        with store.write() as connection:
            ledger.record(connection, [row(1, client=CANARY, message=CANARY)])
            clients.add(connection, client(CANARY), b"d" * 32)
        on_disk = b"".join(file.read_bytes() for file in data_dir.iterdir())
    on_disk += (data_dir / "g.db").read_bytes()
    for text in (CANARY, "SQLite format", "exchanges", "gpt-5"):
        assert text.encode() not in on_disk


def test_what_was_written_is_there_after_opening_again(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store, store.write() as connection:
        ledger.record(connection, rows(10))
    with opened(data_dir / "g.db") as store, store.read() as connection:
        assert ledger.page(connection, 100) == rows(10)[::-1]


def test_another_key_is_told_apart_from_a_damaged_file_and_changes_nothing(data_dir: Path) -> None:
    path = data_dir / "g.db"
    with opened(path) as store, store.write() as connection:
        ledger.record(connection, rows(1))
    before = fingerprint(data_dir)
    assert refusal(path, bytes(32)).code == "store_wrong_key"
    assert fingerprint(data_dir) == before

    (data_dir / "garbage.db").write_bytes(os.urandom(8192))
    (data_dir / "short.db").write_bytes(b"GHDB")
    (data_dir / "text.db").write_text("SQLite format 3\0 and so on")
    for name in ("garbage.db", "short.db", "text.db"):
        error = refusal(data_dir / name)
        assert error.code == "store_unavailable"
        assert "not a Gatehouse database" in error.message

    damaged = bytearray(path.read_bytes())
    damaged[100] ^= 1  # in the first page, after the key check
    path.write_bytes(damaged)
    error = refusal(path)
    assert error.code == "store_unavailable"
    assert "damaged" in error.message


def test_the_key_is_in_no_error_and_no_repr(data_dir: Path) -> None:
    path = data_dir / "g.db"
    with opened(path) as store:
        assert KEY.hex() not in repr(store)
        with pytest.raises(AppError) as caught, store.read() as connection:
            connection.exec_driver_sql("SELECT nothing FROM nowhere")
    error: BaseException | None = caught.value
    assert caught.value.code == "internal"
    while error is not None:
        assert KEY.hex() not in str(error)
        error = error.__cause__


def test_an_empty_file_as_a_crash_may_leave_it_becomes_a_database(data_dir: Path) -> None:
    (data_dir / "g.db").touch()
    with opened(data_dir / "g.db") as store, store.read() as connection:
        assert ledger.page(connection, 1) == []


def test_a_folder_that_cannot_be_used_is_named_without_its_path(tmp_path: Path) -> None:
    error = refusal(tmp_path / "absent" / "g.db")
    assert error.code == "data_folder"
    assert "g.db" in error.message
    assert str(tmp_path) not in error.sentence()
    (tmp_path / "is-a-folder").mkdir()
    assert refusal(tmp_path / "is-a-folder").code == "data_folder"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwritable(Event):
    """An event of a form that the log cannot hold."""

    KIND: ClassVar[str] = "test.unwritable"
    share: float = 0.5


def test_a_change_and_its_audit_entry_commit_together_or_not_at_all(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store:
        with store.change([ClientAdded(name="Zed", key_hint="…abcd"), ClientBlocked(name="Zed")], "person", NOW_US) as connection:
            clients.add(connection, client("Zed"), b"1" * 32)

        with (
            pytest.raises(AppError, match="name_taken"),
            store.change(ClientAdded(name="Zed", key_hint=""), "person", NOW_US) as connection,
        ):
            clients.add(connection, client("Zed"), b"2" * 32)
        with pytest.raises(RuntimeError), store.change(ClientAdded(name="Amp", key_hint=""), "person", NOW_US) as connection:
            clients.add(connection, client("Amp"), b"3" * 32)
            raise RuntimeError("the caller gave up")
        with pytest.raises(AppError, match="could not be written down"), store.change(Unwritable(), "person", NOW_US) as connection:
            clients.add(connection, client("Goose"), b"4" * 32)
        with pytest.raises(ValueError, match="not an audited"), store.change(ExchangeClosed(row=row()), "person", NOW_US) as connection:
            clients.add(connection, client("Roo"), b"5" * 32)

        with store.read() as connection:
            assert [known.name for known, _ in clients.all(connection)] == ["Zed"]
            assert [entry.kind for entry in audit.page(connection, 10)] == ["client.blocked", "client.added"]
            assert audit.verify(connection).finding is None


@pytest.mark.parametrize("value", [2**63, -(2**70), "half a pair: \ud800"])
def test_a_value_that_sqlite_cannot_hold_is_an_error_of_ours_and_the_store_goes_on(data_dir: Path, value: object) -> None:
    with closing(Store.open(data_dir / "g.db", KEY)) as store:
        for begin in (store.read, store.write):
            with pytest.raises(AppError) as caught, begin() as connection:
                connection.exec_driver_sql("SELECT ?", (value,))
            assert caught.value.code == "body_invalid"
        with store.write() as connection:
            assert connection.exec_driver_sql("SELECT 1").scalar() == 1


def test_a_reader_cannot_write_and_sees_one_state_until_it_is_done(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store:
        with pytest.raises(AppError), store.read() as connection:
            connection.exec_driver_sql("DELETE FROM audit")
        with store.read() as reader:
            assert ledger.page(reader, 10) == []
            with store.write() as writer:
                ledger.record(writer, rows(1))
            assert ledger.page(reader, 10) == []
        with store.read() as reader:
            assert ledger.page(reader, 10) == rows(1)


def test_many_threads_write_and_read_at_once(data_dir: Path) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(5):
                with store.change(ClientAdded(name=f"{number}-{turn}", key_hint=""), "person", NOW_US) as connection:
                    clients.add(connection, client(f"{number}-{turn}"), os.urandom(32))
                with store.read() as connection:
                    assert len(clients.all(connection)) >= turn + 1
        except BaseException as error:
            failures.append(error)

    with opened(data_dir / "g.db") as store:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        with store.read() as connection:
            assert len(clients.all(connection)) == 40
            verdict = audit.verify(connection)
    assert (verdict.entries, verdict.finding) == (40, None)


def test_another_program_that_holds_the_database_is_waited_for_and_then_named(data_dir: Path) -> None:
    path = data_dir / "g.db"
    with opened(path) as store:
        other = sqlcipher3.connect(str(path), isolation_level=None, check_same_thread=False)
        other.execute(f"PRAGMA key = \"x'{KEY.hex()}'\"")
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.5, lambda: other.execute("ROLLBACK"))
        release.start()
        with store.write() as connection:
            ledger.record(connection, rows(1))
        release.join()

        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with pytest.raises(AppError) as caught, store.write():
            pass
        assert caught.value.code == "store_unavailable"
        assert "Another program" in caught.value.message
        assert time.monotonic() - began < 60
        with store.read() as connection:  # reading goes on meanwhile
            assert ledger.page(connection, 10) == rows(1)
        other.execute("ROLLBACK")
        with store.write() as connection:
            assert ledger.record(connection, rows(2)) == 1
        other.close()


def _export(connection: Connection) -> None:
    """Reads every row with the driver's own cursor."""
    after: str | None = ""
    while after is not None:
        after = rows_out.part(connection, "csv", Filter(), after or None)[2]


@pytest.mark.parametrize("read", [ledger.verify, _export])
def test_a_damaged_page_fails_what_needs_it_and_nothing_else(data_dir: Path, read: Callable[[Connection], object]) -> None:
    path = data_dir / "g.db"
    many = rows(3000)
    with opened(path) as store, store.write() as connection:
        ledger.record(connection, many)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2 + 100] ^= 1
    path.write_bytes(damaged)
    with opened(path) as store:
        with pytest.raises(AppError) as caught, store.read() as connection:
            read(connection)
        assert caught.value.code == "store_unavailable"
        assert "damaged" in caught.value.message
        # The pool gives a connection that works: the newest rows are on other pages.
        for _ in range(5):
            with store.read() as connection:
                assert ledger.page(connection, 20) == many[::-1][:20]
        with store.write() as connection:
            assert ledger.record(connection, [row(5000)]) == 1


def test_an_older_copy_put_back_is_whole_in_itself(data_dir: Path) -> None:
    path = data_dir / "g.db"
    with opened(path) as store, store.write() as connection:
        ledger.record(connection, rows(20))
    shutil.copy(path, data_dir / "copy")
    with opened(path) as store, store.write() as connection:
        ledger.record(connection, rows(40))
    (data_dir / "copy").replace(path)
    with opened(path) as store:
        with store.write() as connection:
            assert ledger.record(connection, rows(40)) == 20
        with store.read() as connection:
            assert len(ledger.page(connection, 100)) == 40
            assert audit.verify(connection).finding is None
            assert ledger.verify(connection).finding == ""


def test_a_first_look_reads_what_the_start_needs_and_cannot_write(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store:
        with store.first_look() as look:
            assert (accounts.all(look), clients.all(look), audit.last(look, ("gateway.started",))) == ([], [], None)
        with store.change(ClientAdded(name="Zed", key_hint=""), "person", NOW_US) as connection:
            clients.add(connection, client("Zed"), b"1" * 32)
        with store.first_look() as look:
            assert clients.all(look) == [(client("Zed"), b"1" * 32)]
            found = audit.last(look, ("client.added", "client.removed"))
            assert found is not None
            assert found.subject == "Zed"
            with pytest.raises(AppError, match="store_unavailable"), store.first_look() as other:
                list(other.exec_driver_sql("DELETE FROM clients"))


def test_the_start_does_not_wait_for_sqlalchemy(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store, store.write() as connection:
        ledger.record(connection, rows(1))
    program = f"""
import sys
from pathlib import Path
from app.store import accounts, audit, clients, hosts, ledger, rollups
from app.store.database import Store
from app.store.journal import Journal
store = Store.open(Path({str(data_dir / "g.db")!r}), bytes.fromhex({KEY.hex()!r}))
journal, replay = Journal.open(Path({str(data_dir / "journal")!r}), bytes.fromhex({KEY.hex()!r}))
with store.first_look() as look:
    assert accounts.all(look) == [] and clients.all(look) == []
assert "sqlalchemy" not in sys.modules
journal.close()
store.close()
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2], timeout=60)


# Migrations


def _add_colour(connection: sqlcipher3.Connection) -> None:
    connection.execute("ALTER TABLE clients ADD COLUMN colour TEXT")


def _fail(connection: sqlcipher3.Connection) -> None:
    connection.execute("DELETE FROM clients")
    raise RuntimeError("power cut")


NEXT = (*migrations.ALL, migrations.Migration("colour", _add_colour))
FAILING = (*NEXT, migrations.Migration("fails", _fail))


def leave_as_killed(path: Path, target: Path, steps: tuple[migrations.Migration, ...]) -> None:
    """A database as a killed process leaves it: the write-ahead log beside it, not folded in."""
    store = Store.open(path, KEY, steps)
    with store.write() as connection:
        clients.add(connection, client("Zed"), b"1" * 32)
    for ending in ("", "-wal"):
        shutil.copy(f"{path}{ending}", f"{target}{ending}")
    store.close()


def test_a_newer_schema_is_refused_and_no_byte_of_it_is_touched(data_dir: Path) -> None:
    folder = data_dir / "killed"
    folder.mkdir()
    leave_as_killed(data_dir / "g.db", folder / "g.db", NEXT)
    before = fingerprint(folder)
    assert set(before) == {"g.db", "g.db-wal"}
    error = refusal(folder / "g.db")
    assert error.code == "store_newer"
    assert f"schema {len(NEXT)}" in error.message
    assert fingerprint(folder) == before
    with opened(folder / "g.db", steps=NEXT) as store, store.read() as connection:
        assert [known.name for known, _ in clients.all(connection)] == ["Zed"]


def test_an_older_schema_is_brought_up_to_date_after_a_checked_copy(data_dir: Path) -> None:
    path, backup = data_dir / "g.db", data_dir / f"g.db.before-{len(NEXT)}"
    leave_as_killed(data_dir / "first.db", path, migrations.ALL)
    with opened(path, steps=NEXT) as store, store.read() as connection:
        assert [known.name for known, _ in clients.all(connection)] == ["Zed"]
        steps = connection.exec_driver_sql("SELECT number, name FROM migrations").all()
        assert [tuple(step) for step in steps] == [(number, step.name) for number, step in enumerate(NEXT, 1)]
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert not backup.with_name(backup.name + ".part").exists()
    with opened(backup) as store, store.read() as connection:  # opened by the version before
        assert [known.name for known, _ in clients.all(connection)] == ["Zed"]


def test_a_step_that_fails_leaves_the_database_as_it_was(data_dir: Path) -> None:
    path = data_dir / "g.db"
    with opened(path) as store, store.write() as connection:
        clients.add(connection, client("Zed"), b"1" * 32)
    with pytest.raises(RuntimeError, match="power cut"):
        Store.open(path, KEY, FAILING)
    with opened(path) as store, store.read() as connection:
        assert [known.name for known, _ in clients.all(connection)] == ["Zed"]
        assert connection.exec_driver_sql("PRAGMA user_version").scalar_one() == len(migrations.ALL)
        assert "colour" not in {column[1] for column in connection.exec_driver_sql("PRAGMA table_info(clients)")}


def test_a_damaged_database_is_not_migrated(data_dir: Path) -> None:
    path = data_dir / "g.db"
    with opened(path) as store, store.write() as connection:
        ledger.record(connection, rows(3000))
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(AppError) as caught:
        Store.open(path, KEY, NEXT)
    assert caught.value.code == "store_unavailable"
    assert path.read_bytes() == damaged
    assert {file.name for file in data_dir.iterdir()} == {"g.db"}


def test_the_tables_named_for_queries_are_the_ones_that_exist(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store, store.read() as connection:
        for table, named in {
            "rollups": tables.ROLLUP_KEY + tables.ROLLUP_SUMS,
            "daily": ("ahead", "day", *tables.ROLLUP_KEY[1:], *tables.ROLLUP_SUMS),
            "families": ("id", *families.COLUMNS),
            "exchanges": ledger._COLUMNS,
            "accounts": accounts._FIELDS,
        }.items():
            columns = {column[1] for column in connection.exec_driver_sql("SELECT * FROM pragma_table_info(?)", (table,))}
            assert columns == set(named)


def test_space_can_be_given_back_later(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store, store.read() as connection:
        assert connection.exec_driver_sql("PRAGMA auto_vacuum").scalar_one() == 2  # incremental: cannot be switched on afterwards
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1
        assert connection.exec_driver_sql("PRAGMA temp_store").scalar_one() == 2
        assert connection.exec_driver_sql("PRAGMA secure_delete").scalar_one() == 2
