"""Readiness before anything is opened, and at the end; what it is while the gateway runs is told by the journeys with real processes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from app.control.contract import VaultView
from app.core.errors import AppError
from app.core.records import Account
from app.core.secret import Secret
from app.engine.accounts import Accounts
from app.engine.entry import Entry
from app.engine.ready import readiness
from app.engine.status import Boot, Status
from app.providers import catalogue
from app.wire.dialects import DIALECTS

ACCOUNT = Account(name="work", kind="openai", base_url="https://api.openai.example/v1", local=False, keyed=True)
KEY = Secret("sk-canary-0123456789")
BOOT = Boot("data", "control", 4141, ("127.0.0.1:4141",), "", b"x" * 32, "", 0)


def status(**changes: Any) -> Status:
    made = Status(BOOT, 0, lambda: 0)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def vault(state: Any, message: str = "") -> VaultView:
    return VaultView(mode="keyring", state=state, place="GNOME Keyring", message=message)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, "store_unavailable"),
        ({"vault": vault("ready")}, "store_unavailable"),
        ({"vault": vault("locked")}, "vault_locked"),
        ({"vault": vault("absent", "No keyring service runs.")}, "vault_absent"),
        ({"vault": vault("empty")}, "vault_empty"),
        ({"vault": vault("denied")}, "vault_denied"),
        ({"vault": vault("ready"), "failure": AppError("store_newer", "A newer Gatehouse wrote it.", "Start that one.")}, "store_newer"),
        ({"vault": vault("ready"), "draining": True}, "draining"),
    ],
)
def test_nothing_is_ready_before_the_store_is_open_or_when_it_stops(changes: dict[str, Any], code: str) -> None:
    reply = readiness(status(**changes).unreadiness())
    said = json.loads(reply.body)
    assert (reply.status, said["status"], said["code"]) == (503, "not ready", code)
    assert said["message"].endswith(".")
    assert "asked" not in said["message"]
    assert int(dict(reply.headers)["retry-after"]) >= 1


def test_the_state_before_the_answer_is_a_state_with_a_sentence() -> None:
    first = status().vault
    assert (first.state, first.message) == ("starting", "Gatehouse is still starting.")
    assert status().state() == "starting"


def test_a_key_that_is_forgotten_is_in_nothing_that_was_made_with_it() -> None:
    """An account keeps the headers it sends, so that they are not made for each request: the key is in them."""
    entry = Entry(ACCOUNT, catalogue.KINDS["openai"], None, frozenset(), secret=KEY)
    sent = entry.outgoing("chat/completions", KEY, (), DIALECTS["openai"], "gpt-5")
    assert any(KEY.reveal() in value for _, value in sent.headers)
    assert KEY.reveal() not in entry.redactor(KEY).text(f"no: {KEY.reveal()}")
    entry.forget()
    # a request that has the key already goes on with it
    assert entry.outgoing("chat/completions", KEY, (), DIALECTS["openai"], "gpt-5").headers == sent.headers
    assert KEY.reveal() not in entry.redactor(KEY).text(f"no: {KEY.reveal()}")
    assert entry.secret is None
    assert entry._redactor[0] is None
    assert not entry._bases


def test_a_key_that_comes_after_the_keyring_was_locked_is_not_kept() -> None:
    class Line:
        async def ask(self, op: str, fields: dict[str, object]) -> tuple[dict[str, object], list[object]]:
            accounts.forget_keys()
            return {"secret": KEY.reveal()}, []

    unused: Any = None
    line: Any = Line()
    accounts = Accounts(line, unused, unused, unused, unused, lambda: 0, lambda: None)
    entry = Entry(ACCOUNT, catalogue.KINDS["openai"], None, frozenset())
    accounts._entries["work"] = entry
    found = asyncio.run(accounts.secret(entry))
    assert found is not None
    assert (found.reveal(), entry.secret) == (KEY.reveal(), None)
