"""What is in force is what the log says: whoever changes a table past the log is found, at once and after later changes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core.events import ClientAdded, PriceSet, ProviderAdded, SettingChanged
from app.core.records import Account, Client, OwnPrice
from app.store import accounts, clients, own_prices, sealing, settings, states
from tests.audit.book import Book, book, kinds

EDITS = {
    "clients": [
        "UPDATE clients SET blocked = 1", "UPDATE clients SET digest = x'00'", "UPDATE clients SET name = 'z'", "DELETE FROM clients",
        "UPDATE clients SET prefix = 'z'", "UPDATE clients SET last4 = 'z'", "UPDATE clients SET created_us = 9",
        "UPDATE clients SET keeps_content = 1", "UPDATE clients SET identifiers = 'pass'",
        "INSERT INTO clients (name, digest, prefix, last4, created_us, blocked) VALUES ('q', x'11', 'p', 'l', 1, 0)",
    ],
    "accounts": [f"UPDATE accounts SET {column} = 9" for column in states.COVERED["accounts"]] + ["DELETE FROM accounts"],
    "settings": ["UPDATE settings SET value = '9'", "DELETE FROM settings", "INSERT INTO settings VALUES ('held/q/', '1')"],
    "own_prices": [f"UPDATE own_prices SET {column} = 9" for column in states.COVERED["own_prices"]] + ["DELETE FROM own_prices"],
}  # fmt: skip
ALL = [edit for edits in EDITS.values() for edit in edits]


def set_to(made: Book, value: str) -> None:
    event = SettingChanged(name="audit.keep_days", before="", after=value)
    with made.store.change(event, "person", made.now()) as connection:
        settings.put(connection, "audit.keep_days", value)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Book]:
    with book(tmp_path / "a.db") as made:
        made.begin()
        with made.store.change(ClientAdded(name="x", key_hint="…"), "person", made.now()) as connection:
            clients.add(connection, Client(name="x", prefix="p", last4="abcd", created_us=1), b"digest")
        added = ProviderAdded(name="y", kind="openai", destination="", local=False, keyed=False)
        with made.store.change(added, "person", made.now()) as connection:
            accounts.put(connection, Account(name="y", kind="openai", base_url="https://a.example", local=False, keyed=False))
        with made.store.change(PriceSet(name="y", model="m", before="", after="in 1"), "person", made.now()) as connection:
            own_prices.put(connection, OwnPrice(account="y", model="m", input="1", output="2"))
        set_to(made, "30")
        made.seal()
        made.remember()
        yield made


def test_unedited_is_intact_through_everything(made: Book) -> None:
    assert made.verify().state == "intact"
    with made.store.write() as connection:
        clients.touch(connection, {"x": 7})
    made.prune(made.anchor.seq)  # type: ignore[union-attr]
    assert made.verify().state == "intact"
    set_to(made, "31")
    made.turn()
    made.remember()
    assert made.verify().state == "intact"


@pytest.mark.parametrize("edit", ALL)
def test_an_edit_is_found_at_once_and_after_a_later_change(made: Book, edit: str) -> None:
    made.sql(edit)
    assert set(kinds(made.verify())) == {"state"}
    set_to(made, "40")
    made.seal()
    assert "state" in kinds(made.verify())


@pytest.mark.parametrize("edit", [edits[0] for edits in EDITS.values()])
def test_a_prune_keeps_what_the_log_says_and_a_restore_takes_what_is_there(made: Book, edit: str) -> None:
    made.sql(edit)
    made.prune(made.anchor.seq)  # type: ignore[union-attr]
    assert kinds(made.verify()) == ["state"]
    made.restore()
    assert made.verify().state == "intact"
    made.sql("DELETE FROM clients")
    assert "state" in kinds(made.verify())


def test_a_log_that_says_nothing_yet_is_covered_from_a_claim_on(tmp_path: Path) -> None:
    with book(tmp_path / "a.db") as made:
        made.begin()
        made.sql("INSERT INTO settings VALUES ('audit.keep_days', '9')")
        assert (made.verify().state, len(made.verify().notes)) == ("intact", 1)
        with made.store.write() as connection:
            sealing.state(connection, made.signer, made.now())
        made.remember()
        assert (made.verify().state, made.verify().notes) == ("intact", [])
        made.sql("DELETE FROM settings")
        assert kinds(made.verify()) == ["state"]


def test_every_writer_of_the_engine_is_inside_a_change() -> None:
    """What is in force is written where its entry is: lexically inside `with ... .change(...)`, or in what is called from there."""
    writers = {"clients": {"add", "set_blocked", "set_keeps_content", "set_identifiers", "remove"}, "table": {"put", "remove"}}
    writers |= {"settings": {"put", "remove"}, "own_prices": {"put", "remove"}, "retention": {"choose"}}
    outside, inside = set[str](), 0
    for path in sorted((Path(__file__).parents[2] / "app" / "engine").glob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        changes = [node for node in ast.walk(tree) if isinstance(node, ast.With) and ".change(" in ast.unparse(node.items[0].context_expr)]
        covered = {id(node) for change in changes for node in ast.walk(change)}
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name)):
                continue
            if node.func.attr in writers.get(node.func.value.id, set()):
                inside += id(node) in covered
                if id(node) not in covered:
                    outside.add(f"{path.name}: {ast.unparse(node.func)}")
    assert inside > 8
    assert outside == {"marks.py: settings.put", "marks.py: settings.remove"}  # in `_put`, which `settle` calls inside a change
