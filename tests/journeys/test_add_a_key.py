"""A provider key goes into a real GNOME Keyring, and the gateway lives with that keyring locked, emptied and back again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from app.system.paths import Paths
from tests.gateway import Gateway, wait_for
from tests.system.keyring_daemon import KeyringDaemon
from tests.upstream import Upstream

ITEMS = """
import json, secretstorage
bus = secretstorage.dbus_init()
items = secretstorage.get_default_collection(bus).get_all_items()
print(json.dumps([[i.get_attributes().get("service"), i.get_attributes().get("username"), i.get_secret().decode()] for i in items]))
"""
FORGET = """
import secretstorage
bus = secretstorage.dbus_init()
for item in secretstorage.get_default_collection(bus).get_all_items():
    if item.get_attributes().get("username") == "master-key":
        item.delete()
"""


@pytest.fixture
def keyring(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyringDaemon]:
    daemon = KeyringDaemon(tmp_path_factory.mktemp("k"))
    for name, value in daemon.environment.items():
        if name != "HOME":
            monkeypatch.setenv(name, value)
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.close()


def items(keyring: KeyringDaemon) -> dict[str, str]:
    return {user: secret for _, user, secret in json.loads(keyring.tool(ITEMS))}


def ask(one: Gateway, key: str) -> httpx2.Response:
    body = {"model": "work/gpt-4o-mini", "messages": [{"role": "user", "content": "x"}]}
    with httpx2.Client(trust_env=False, timeout=20) as http:
        return http.post(f"{one.url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"})


def test_a_key_lives_in_the_keyring_and_nowhere_else(tmp_path: Path, keyring: KeyringDaemon, up: Upstream) -> None:
    one = Gateway(tmp_path / "data", vault="keyring")
    one.start()
    try:
        one.wait_open()
        one.cli("provider", "add", "work", "--kind", "openai", "--base-url", f"{up.url}/v1", "--local", "--key-stdin", stdin=up.key)
        assert items(keyring)["provider/work"] == up.key
        key = one.client()
        assert ask(one, key).status_code == 200
        (shown,) = one.cli_json("provider", "list")
        assert shown["key_place"] == "In GNOME Keyring"
        assert up.key not in json.dumps(shown)

        one.stop()
        one.start()
        one.wait_open()
        assert ask(one, key).status_code == 200, "the key is read from the keyring again"
        for path in (tmp_path / "data").rglob("*"):
            if path.is_file():
                assert up.key.encode() not in path.read_bytes(), path

        one.cli("provider", "remove", "work")
        wait_for(lambda: "provider/work" not in items(keyring), "the key to leave the keyring with its provider")
    finally:
        one.stop()


def test_a_locked_keyring_is_said_and_waited_for_without_a_prompt(tmp_path: Path, keyring: KeyringDaemon, up: Upstream) -> None:
    one = Gateway(tmp_path / "data", vault="keyring")
    one.start()
    try:
        one.wait_open()
        one.cli("provider", "add", "work", "--kind", "openai", "--base-url", f"{up.url}/v1", "--local", "--key-stdin", stdin=up.key)
        key = one.client()
        keyring.lock()
        assert ask(one, key).status_code == 200, "an engine that holds its keys goes on"

        one.stop()
        one.start()
        with one.control() as control:
            shown = wait_for(lambda: (now := control.snapshot()).state == "locked" and now, "the locked state")
        assert shown.vault.state == "locked"
        refused = ask(one, key)
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "vault_locked"
        assert "unlock" in refused.json()["error"]["message"].lower()
        assert one.cli("client", "list", check=None).returncode == 4

        keyring.start()
        wait_for(lambda: ask(one, key).status_code == 200, "the gateway to find the keyring unlocked", 40)
    finally:
        one.stop()


def test_a_missing_master_key_never_makes_a_new_one(tmp_path: Path, keyring: KeyringDaemon) -> None:
    one = Gateway(tmp_path / "data", vault="keyring")
    one.start()
    try:
        one.wait_open()
        one.stop()
        before = Paths(one.folder).database.read_bytes()
        keyring.tool(FORGET)
        one.start()
        with one.control() as control:
            shown = wait_for(lambda: (now := control.snapshot()).vault.state == "empty" and now, "the state to be told")
        assert shown.state == "locked"
        assert "master-key" not in items(keyring)
        assert Paths(one.folder).database.read_bytes() == before
        assert ask(one, "sk-gh-" + "x" * 43).json()["error"]["code"] == "vault_empty"
    finally:
        one.stop()
