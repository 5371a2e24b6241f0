"""The keyring locks while the gateway runs, and opens again: seen everywhere, without a question, and nothing in memory stops."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.gateway import Gateway, wait_for
from tests.system.keyring_daemon import KeyringDaemon
from tests.upstream import Upstream

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="GNOME Keyring on D-Bus")

# Every call on the bus that could put a question on the screen: an eavesdropper of its own writes them down.
LISTEN = """
import sys
from jeepney import MatchRule, message_bus
from jeepney.io.blocking import open_dbus_connection
from jeepney.low_level import HeaderFields, MessageType
bus = open_dbus_connection("SESSION")
from jeepney import DBusAddress, new_method_call
monitoring = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus.Monitoring")
bus.send_and_get_reply(new_method_call(monitoring, "BecomeMonitor", "asu", (["type='method_call'"], 0)))
print("listening", flush=True)
while True:
    message = bus.receive()
    fields = message.header.fields
    interface, member = fields.get(HeaderFields.interface, ""), fields.get(HeaderFields.member, "")
    if interface.startswith("org.freedesktop.Secret."):
        print(interface.rpartition(".")[2], member, flush=True)
"""
MAY_ASK = {"Prompt Prompt", "Service Unlock", "Service CreateCollection"}


class Listener:
    def __init__(self, keyring: KeyringDaemon) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", LISTEN], env=keyring.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "listening\n"
        self.calls: list[str] = []
        lines = self._process.stdout
        self._reader = threading.Thread(target=lambda: self.calls.extend(line.strip() for line in lines), daemon=True)
        self._reader.start()

    def asked(self) -> list[str]:
        return [call for call in self.calls if call in MAY_ASK]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join(5)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()


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


@pytest.fixture
def running(tmp_path: Path, keyring: KeyringDaemon, up: Upstream) -> Iterator[Gateway]:
    """Three accounts: one whose key is used before the keyring locks, one whose key is not, and one without a key."""
    one = Gateway(tmp_path / "data", vault="keyring")
    one.start()
    try:
        one.wait_open()
        for name in ("used", "unused"):
            one.cli("provider", "add", name, "--kind", "openai", "--base-url", f"{up.url}/v1", "--local", "--key-stdin", stdin=up.key)
        yield one
    finally:
        one.stop()


def ask(one: Gateway, key: str, account: str, path: str = "/v1/chat/completions") -> httpx2.Response:
    body: dict[str, Any] = {"model": f"{account}/gpt-4o-mini", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
    with httpx2.Client(trust_env=False, timeout=20) as http:
        return http.post(f"{one.url}{path}", json=body, headers={"authorization": f"Bearer {key}"})


def health(one: Gateway, name: str) -> tuple[int, dict[str, Any]]:
    with httpx2.Client(trust_env=False, timeout=20) as http:
        reply = http.get(f"{one.url}/health/{name}")
    return reply.status_code, reply.json()


def restarted(one: Gateway) -> None:
    """So that no key is in memory."""
    one.stop()
    one.start()
    one.wait_open()


def vault_state(one: Gateway, state: str, timeout_s: float = 15) -> Any:
    with one.control() as control:
        return wait_for(lambda: (now := control.snapshot()).vault.state == state and now, f"the vault to be {state}", timeout_s)


def changes(one: Gateway) -> list[tuple[str, str, str]]:
    entries = one.cli_json("audit", "list", "--limit", "200")
    changed = [entry for entry in entries if entry["kind"] == "vault.changed"]
    bodies = [json.loads(entry["body"]) if isinstance(entry["body"], str) else entry["body"] for entry in changed]
    return [(body["detail"]["before"], body["detail"]["state"], entry["actor"]) for entry, body in zip(changed, bodies, strict=True)]


def test_a_lock_is_seen_and_heals_without_a_question(running: Gateway, keyring: KeyringDaemon, up: Upstream) -> None:
    one, key = running, running.client()
    restarted(one)
    assert ask(one, key, "used").status_code == 200
    listener = Listener(keyring)
    try:
        keyring.lock_collection()
        shown = vault_state(one, "locked")
        assert (shown.state, shown.vault.place) == ("running", "GNOME Keyring")
        assert {view.account.name: view.key_state for view in shown.providers} == {"used": "held", "unused": "unknown"}
        assert shown.vault.since_us > shown.started_us

        said = one.cli("status", check=4).stdout
        assert "locked, GNOME Keyring" in said
        assert "Requests get 503 for: unused." in said
        assert "In memory and used: used." in said
        assert one.cli("provider", "test", "unused", check=4).stderr == "gatehouse: GNOME Keyring is locked. Unlock it in Gatehouse.\n"
        (tested,) = [view for view in one.cli_json("provider", "list") if view["account"]["name"] == "unused"]
        assert tested["account"]["test_ok"] is True, "what could not be asked is not a failed test"

        assert ask(one, key, "used").status_code == 200
        refused = ask(one, key, "unused")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "vault_locked")
        refused = ask(one, key, "unused", "/v1/messages")
        assert (refused.status_code, refused.json()["type"], refused.json()["error"]["type"]) == (503, "error", "api_error")
        assert refused.json()["error"]["message"] == "GNOME Keyring is locked. Unlock it in Gatehouse."
        assert health(one, "readiness") == (200, {"status": "ready"}), "one account can be asked"
        added = ("provider", "add", "third", "--kind", "openai", "--base-url", f"{up.url}/v1", "--local", "--key-stdin")
        assert "GNOME Keyring is locked" in one.cli(*added, stdin=up.key, check=4).stderr
        assert one.cli("provider", "remove", "unused", check=4).returncode == 4, "its key could not be removed"
        assert listener.asked() == [], "nothing in the background asks"

        keyring.unlock_collection()
        shown = vault_state(one, "ready")
        assert {view.key_state for view in shown.providers} == {"stored"}
        assert ask(one, key, "unused").status_code == 200
        assert one.cli("status").returncode == 0
        assert listener.asked() == []
        assert any(call.startswith("Service") for call in listener.calls), "the listener hears what is called"

        # a person asks: now, and only now, the system is asked to unlock; nobody can be shown a question here
        keyring.lock_collection()
        vault_state(one, "locked")
        refused_words = one.cli("unlock", check=4).stderr
        assert "was not unlocked: its question was dismissed or could not be shown" in refused_words
        assert wait_for(listener.asked, "the one question") == ["Service Unlock", "Prompt Prompt"]
        keyring.unlock_collection()
        vault_state(one, "ready")
        assert "The vault is open" in one.cli("unlock").stdout
        assert len(listener.asked()) == 2, "an open keyring is not unlocked again"
    finally:
        listener.close()

    seen = wait_for(lambda: len(found := changes(one)) >= 4 and found, "the entries of the audit log")
    assert ("ready", "locked", "keeper") in seen
    assert ("locked", "ready", "keeper") in seen
    assert [actor for _, state, actor in seen if state == "ready"][-1] == "keeper", "another program opened it, after a click in vain"
    assert "Intact" in one.cli("audit", "verify").stdout


def test_the_audit_log_goes_on_while_locked_and_finds_nothing_later(running: Gateway, keyring: KeyringDaemon) -> None:
    """The vault cannot be told how far the log has come; that is caught up with, and never a finding."""
    one, key = running, running.client()
    restarted(one)
    assert ask(one, key, "used").status_code == 200
    keyring.lock_collection()
    vault_state(one, "locked")
    engine = one.pids()["engine"]
    for number in range(5):
        one.cli("client", "add", f"while-locked-{number}")
    assert ask(one, key, "used").status_code == 200
    assert one.pids()["engine"] == engine, "no crash loop"
    one.stop()

    keyring.unlock_collection()
    one.start()
    one.wait_open()
    said = wait_for(lambda: (now := one.cli_json("audit", "status"))["anchored"] == now["seq"] and now, "the vault to be told", 20)
    assert (said["held"], said["trouble"]) == (None, "")
    assert "Intact" in one.cli("audit", "verify").stdout


def test_keys_are_forgotten_on_lock_where_a_person_chose_so(running: Gateway, keyring: KeyringDaemon) -> None:
    one, key = running, running.client()
    assert "go on being used" in one.cli("keys", "policy").stdout
    assert "leave the memory" in one.cli("keys", "policy", "--forget-on-lock", "on").stdout
    restarted(one)
    assert one.cli_json("keys", "policy")["forgets"] is True, "it is kept"
    assert ask(one, key, "used").status_code == 200
    keyring.lock_collection()
    shown = vault_state(one, "locked")
    assert {view.key_state for view in shown.providers} == {"unknown"}
    refused = ask(one, key, "used")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "vault_locked")
    code, body = health(one, "readiness")
    assert (code, body["code"]) == (503, "vault_locked"), "no request to a provider would be answered"
    assert health(one, "liveliness") == health(one, "liveness") == (200, {"status": "alive"})
    keyring.unlock_collection()
    vault_state(one, "ready")
    assert ask(one, key, "used").status_code == 200
    assert health(one, "readiness")[0] == 200
    (chosen,) = [entry for entry in one.cli_json("audit", "list", "--limit", "200") if entry["kind"] == "setting.changed"]
    assert chosen["body"]["detail"] == {"name": "vault.forget_on_lock", "before": "off", "after": "on"}
    assert chosen["actor"] == "person"
    # chosen while it is locked, it counts at once
    one.cli("keys", "policy", "--forget-on-lock", "off")
    keyring.lock_collection()
    vault_state(one, "locked")
    assert ask(one, key, "used").status_code == 200
    one.cli("keys", "policy", "--forget-on-lock", "on")
    assert ask(one, key, "used").status_code == 503


def test_an_account_without_a_key_keeps_the_gateway_ready(running: Gateway, keyring: KeyringDaemon, up: Upstream) -> None:
    one = running
    restarted(one)
    keyring.lock_collection()
    vault_state(one, "locked")
    assert health(one, "readiness")[0] == 503
    one.cli("provider", "add", "open", "--kind", "openai-compatible", "--base-url", f"{up.url}/v1", "--local", "--no-key")
    assert health(one, "readiness")[0] == 200


def test_a_bus_that_goes_away_is_absent_and_nothing_stops(running: Gateway, keyring: KeyringDaemon) -> None:
    one, key = running, running.client()
    restarted(one)
    assert ask(one, key, "used").status_code == 200
    keyring.lose_bus()
    shown = vault_state(one, "absent")
    assert "No keyring service runs" in shown.vault.message
    assert ask(one, key, "used").status_code == 200
    assert ask(one, key, "unused").json()["error"]["code"] == "vault_absent"
    assert "engine" in one.pids()
    keyring.find_bus()
    keyring.start()
    vault_state(one, "ready", 60)
    assert ask(one, key, "unused").status_code == 200
