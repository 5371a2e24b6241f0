"""Readiness before anything is opened, and at the end; what it is while the gateway runs is told by the journeys with real processes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.control.contract import VaultView
from app.core.errors import AppError
from app.core.records import Account
from app.core.secret import Secret
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
    entry.forget()
    assert entry.secret is None
    assert KEY.reveal() not in repr([(base[1].headers, base[0]) for base in entry._bases.values()])
    assert not entry._bases
