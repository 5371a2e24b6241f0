"""Accounts and clients as they are stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from app.core.errors import AppError
from app.core.records import Account, Client
from app.store import accounts, clients
from tests.store.rows import NOW_US, opened

WORK = Account(
    name="work",
    kind="openai",
    base_url="https://api.openai.com/v1",
    local=False,
    keyed=True,
    key_hint="sk-proj…m2Ka",
    created_us=NOW_US,
    models=("gpt-5", "größe ☃", 'quo"te'),
    tested_us=NOW_US + 5,
    test_ok=True,
    test_message="Works, 3 models",
    test_ms=123,
)
HOME = Account(name="home", kind="ollama", base_url="http://localhost:11434", local=True, keyed=False, created_us=NOW_US - 1)
ZED = Client(name="Zed", prefix="sk-gh-", last4="abcd", created_us=NOW_US)


def test_accounts_come_back_as_they_were_put_oldest_first(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store, store.write() as connection:
        accounts.put(connection, WORK)
        accounts.put(connection, HOME)
        assert accounts.all(connection) == [HOME, WORK]
        changed = replace(WORK, test_ok=False, test_message="The key was refused", tested_us=NOW_US + 9, models=())
        accounts.put(connection, changed)
        assert accounts.all(connection) == [HOME, changed]
        accounts.remove(connection, "home")
        assert accounts.all(connection) == [changed]
        with pytest.raises(AppError, match="unknown_name"):
            accounts.remove(connection, "home")


@pytest.mark.parametrize("text", ["", "{", '{"a": 1}', "[1]", '["\\ud800"]', "[" * 100_000])
def test_a_list_of_models_that_cannot_be_read_costs_the_list_and_not_the_account(data_dir: Path, text: str) -> None:
    with opened(data_dir / "g.db") as store, store.write() as connection:
        accounts.put(connection, WORK)
        connection.exec_driver_sql("UPDATE accounts SET models = ?", (text,))
        assert accounts.all(connection) == [replace(WORK, models=())]


def test_clients_are_added_blocked_seen_and_removed(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store, store.write() as connection:
        clients.add(connection, ZED, b"z" * 32)
        clients.add(connection, replace(ZED, name="Amp", created_us=NOW_US - 1), b"a" * 32)
        clients.set_blocked(connection, "Zed", True)
        clients.touch(connection, {"Zed": NOW_US + 7, "gone": NOW_US})
        clients.touch(connection, {})
        assert clients.all(connection) == [
            (replace(ZED, name="Amp", created_us=NOW_US - 1), b"a" * 32),
            (replace(ZED, blocked=True, last_seen_us=NOW_US + 7), b"z" * 32),
        ]
        clients.set_blocked(connection, "Zed", False)
        clients.remove(connection, "Amp")
        assert [(known.name, known.blocked) for known, _ in clients.all(connection)] == [("Zed", False)]
        for attempt in (lambda: clients.remove(connection, "Amp"), lambda: clients.set_blocked(connection, "Amp", True)):
            with pytest.raises(AppError, match="unknown_name"):
                attempt()


def test_a_name_or_key_is_taken_once(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store:
        with store.write() as connection:
            clients.add(connection, ZED, b"z" * 32)
        for name, digest in (("Zed", b"y" * 32), ("Other", b"z" * 32)):
            with pytest.raises(AppError, match="name_taken"), store.write() as connection:
                clients.add(connection, replace(ZED, name=name), digest)
        with store.read() as connection:
            assert clients.all(connection) == [(ZED, b"z" * 32)]
