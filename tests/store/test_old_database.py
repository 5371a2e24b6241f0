"""A database that an older version wrote opens, migrates and verifies, for ever; `data/make_d009451.py` says how it was made."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import app
from app.core.records import Exchange
from app.store import accounts, audit, clients, floors, forms, judging, ledger, migrations, repricing, retention, sealing, taken
from app.store.database import Store
from app.store.retention import Plan
from app.store.sealing import Signer
from app.verifier import Anchor
from tests.store.rows import NOW_US, opened, row, rows

DATA = Path(__file__).parent / "data"


class Old:
    """The database, copied, and what the vault held."""

    def __init__(self, folder: Path) -> None:
        told: dict[str, Any] = json.loads((DATA / "d009451.json").read_bytes())
        self.path = folder / "g.db"
        shutil.copy(DATA / "d009451.db", self.path)
        self.path.chmod(0o600)
        self.rows: list[str] = told["rows"]
        self.signer = Signer(bytes.fromhex(told["private"]), told["epoch"])
        assert self.signer.public.hex() == told["key"]
        self.anchor: Anchor | None = Anchor(
            log=told["log"],
            seq=told["seq"],
            head=bytes.fromhex(told["head"]),
            epoch=told["epoch"],
            number=told["number"],
            record=bytes.fromhex(told["record"]),
            at_us=told["at_us"],
        )

    def verdict(self, store: Store) -> tuple[str, list[str]]:
        with store.read() as connection:
            verdict, _ = judging.verify(connection, self.anchor, self.signer.public)
        return verdict.state, [finding.sentence for finding in verdict.findings]

    def record(self, store: Store, made: list[Exchange]) -> None:
        with store.write() as connection:
            ledger.record(connection, made)
            sealing.checkpoint(connection, self.signer, NOW_US + 1)
            self.anchor = sealing.anchor_of(connection)


@pytest.fixture
def old(data_dir: Path) -> Old:
    return Old(data_dir)


def test_it_opens_migrates_and_verifies(old: Old) -> None:
    with opened(old.path) as store:
        assert old.verdict(store) == ("intact", [])
        with store.read() as connection:
            assert connection.exec_driver_sql("PRAGMA user_version").scalar_one() == len(migrations.ALL)
            shown = ledger.page(connection, 1000)
            assert [one.id for one in shown] == old.rows
            assert {one.price for one in shown} == {"own 2026-11-01", "2025-11-01", ""}
            assert connection.exec_driver_sql("SELECT count(*) FROM exchanges WHERE batch <= ?", (floors.known(connection).upto,)).scalar()
            assert {one.name: one.blocked for one, _ in clients.all(connection)} == {"Cursor": False, "Zed": True, "größe ☃": False}
            assert {one.name for one in accounts.all(connection)} == {"work", "home"}
            assert floors.known(connection).upto > 1
            assert floors.trimmed_upto(connection) > 1
        with store.write() as connection:  # it was really looked at
            connection.exec_driver_sql("UPDATE exchanges SET bytes_in = bytes_in + 1 WHERE id = (SELECT min(id) FROM exchanges)")
        assert old.verdict(store)[0] == "tampered"


def test_new_batches_beside_the_old_ones_verify(old: Old) -> None:
    with opened(old.path) as store:
        old.record(store, rows(5))
        assert old.verdict(store) == ("intact", [])
    with opened(old.path) as store:
        assert old.verdict(store) == ("intact", [])


def test_pruned_and_trimmed_again_after_the_upgrade_it_verifies(old: Old) -> None:
    """A digest over rows of both forms is in the newest."""
    with opened(old.path) as store:
        old.record(store, rows(5))
        with store.read() as connection:
            upto = audit.newest(connection)
            pinned = ledger.pinned(connection, upto)
        with store.write() as connection:
            sealing.prune(connection, old.signer, upto, pinned, "person", NOW_US + 2)
            old.anchor = sealing.anchor_of(connection)
        assert old.verdict(store) == ("intact", [])
        old.record(store, [row(900)])
        plan = Plan(upto=upto, until_us=NOW_US - 9 * retention.DAY_US, reason="age")
        with store.read() as connection:
            weighed = retention.weigh(connection, plan)
        with store.write() as connection:
            retention.begin(connection, old.signer, plan, weighed, "person", NOW_US + 3)
            gone, _ = retention.remove(connection, plan, b"", 1000)
            retention.finish(connection, old.signer, plan, weighed, gone, taken.digest(connection), "person", NOW_US + 4)
        assert gone
        assert old.verdict(store) == ("intact", [])


def test_costs_worked_out_again_leave_the_old_batches_as_they_are(old: Old) -> None:
    with opened(old.path) as store:
        with store.write() as connection:
            repricing.step(connection, 1 << 40, b"", b"\xff" * 16, b"", 1000, lambda _: (9, "own 2026-12-01"), unpriced_only=False)
        with store.read() as connection:
            assert ledger.verify(connection).finding == ""


READ = """
import sys
from pathlib import Path
from app.core.records import Exchange
from app.store import forms, ledger
from app.store.database import Store
from tests.store.rows import KEY, NOW_US, row
store = Store.open(Path(sys.argv[1]), KEY)
with store.write() as connection:
    ledger.record(connection, [row(77, at_us=NOW_US + 10**9, colour="red")])
    print(ledger.verify(connection).finding or "fine", forms.NEWEST, ledger.page(connection, 1)[0].colour)
    connection.exec_driver_sql("UPDATE exchanges SET colour = 'blue' WHERE batch = (SELECT min(batch) FROM exchanges)")
    print(ledger.verify(connection).finding)
store.close()
"""


def changed(text: str, old_text: str, new_text: str) -> str:
    assert text.count(old_text) == 1, old_text
    return text.replace(old_text, new_text)


def test_a_further_form_leaves_the_older_ones_as_they_are(old: Old, tmp_path: Path) -> None:
    """The program with one field more, as a later version would have it: what this one and the old one wrote still verifies there."""
    with opened(old.path) as store:
        old.record(store, rows(5))
    home = Path(app.__file__).parent.parent
    ignore = shutil.ignore_patterns("__pycache__", "gui", "data")
    shutil.copytree(home / "app", tmp_path / "app", ignore=ignore)
    (tmp_path / "tests" / "store").mkdir(parents=True)
    shutil.copy(home / "tests" / "store" / "rows.py", tmp_path / "tests" / "store")
    for name, pairs in {
        "core/records.py": [('    dropped: str = ""\n', '    dropped: str = ""\n    colour: str = ""\n')],
        "store/exchanges.py": [('_TEXTS: Final = ("message", "dropped")', '_TEXTS: Final = ("message", "dropped", "colour")')],
        "store/forms.py": [
            (f'NEWEST: Final = "{len(forms.FORMS)}"', 'NEWEST: Final = "later"'),
            ("\n}  # fmt: skip", '\n    "later": exchanges.FIELDS,\n}  # fmt: skip'),
            ("ABSENT: Final[Mapping[str, object]] = {", 'ABSENT: Final[Mapping[str, object]] = {"colour": "", '),
        ],
        "store/migrations.py": [
            ("\n)\n", '\n    Migration("later", lambda connection: connection.execute(LATER)),\n)\n'),
            ("\nALL: Final", "\nLATER = \"ALTER TABLE exchanges ADD COLUMN colour TEXT NOT NULL DEFAULT ''\"\nALL: Final"),
        ],
    }.items():
        path = tmp_path / "app" / name
        text = path.read_text(encoding="utf-8")
        for pair in pairs:
            text = changed(text, *pair)
        path.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-P", "-c", READ, str(old.path)], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    fine, edited = done.stdout.splitlines()
    assert fine == "fine later red"
    assert "not those that were there when it was signed" in edited


def test_what_was_there_keeps_its_pseudonym_and_its_rows_have_no_ids(old: Old) -> None:
    """Pseudonyms are made of the client's id; of a client from before there were ids that is its name, as pseudonyms were made then."""
    with opened(old.path) as store:
        with store.read() as connection:
            assert {one.name: one.id for one, _ in clients.all(connection)} == {name: name for name in ("Cursor", "Zed", "größe ☃")}
            assert {one.name: one.id for one in accounts.all(connection)} == {"work": "work", "home": "home"}
            assert {(one.client_id, one.account_id) for one in ledger.page(connection, 1000)} == {("", "")}
        new = row(800, client_id="cli_1", account_id="acc_1")
        old.record(store, [new])
        with store.read() as connection:
            assert ledger.one(connection, new.id) == new
        assert old.verdict(store) == ("intact", [])


@pytest.mark.parametrize(("column", "batch"), [("client_id", "min"), ("account_id", "max")])
def test_an_id_that_somebody_puts_into_a_row_is_found(old: Old, column: str, batch: str) -> None:
    with opened(old.path) as store:
        with store.write() as connection:
            ledger.record(connection, [row(800, client_id="cli_1", account_id="acc_1")])
            (number,) = connection.exec_driver_sql(f"SELECT {batch}(batch) FROM exchanges").one()
            (word,) = connection.exec_driver_sql("SELECT id FROM words WHERE text = 'Zed'").one()
            connection.exec_driver_sql(f"UPDATE exchanges SET {column} = ? WHERE batch = ?", (word, number))
        assert old.verdict(store)[0] == "tampered"
