"""Keys from end to end: keeper, vault child, real GNOME Keyring; a puppet for the engine, which is all that may learn them."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.keeper.stage import Puppeteer, Stage
from tests.keeper.test_keeper import up
from tests.system.keyring_daemon import KeyringDaemon

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="GNOME Keyring on D-Bus")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[KeyringDaemon]:
    made = KeyringDaemon(tmp_path / "session")
    yield made
    made.close()


def stage(tmp_path: Path, daemon: KeyringDaemon | None, **options: Any) -> Stage:
    environment = {} if daemon is None else daemon.environment
    return Stage(tmp_path / "data", vault=options.pop("vault", "auto"), environment=environment, **options)


def vault_children(keeper: int) -> list[int]:
    """Process ids of the keeper's vault children."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if parent == keeper and b"vault" in words:
            found.append(int(entry.name))
    return found


def keys_of(engine: Puppeteer) -> dict[str, str]:
    return dict(engine.message("vault", state="ready")["keys"])


def told(engine: Puppeteer) -> dict[str, Any]:
    """The newest word on the vault that came before the last answer."""
    return next(line["message"] for line in reversed(engine._seen) if (line.get("message") or {}).get("op") == "vault")


def test_keys_live_in_the_keyring_and_are_the_same_next_time(tmp_path: Path, daemon: KeyringDaemon) -> None:
    daemon.start()
    with stage(tmp_path, daemon) as first:
        engine, _ = up(first)
        vault = engine.message("vault")
        assert (vault["mode"], vault["state"], vault["place"], vault["message"]) == ("keyring", "ready", "GNOME Keyring", "")
        assert engine.ask("secret_put", name="work", secret="sk-canary-0123456789")["place"] == "GNOME Keyring"
        assert "DBUS_SESSION_BUS_ADDRESS" not in engine.environment
        keys = vault["keys"]
    with stage(tmp_path, daemon) as second:
        engine, _ = up(second)
        assert keys_of(engine) == keys
        assert engine.ask("secret_get", name="work")["secret"] == "sk-canary-0123456789"
        engine.ask("secret_remove", name="work")
        assert engine.ask("secret_get", name="work")["error"]["code"] == "provider_key_missing"
        assert "canary" not in second.log()
    for path in (tmp_path / "data").rglob("*"):
        text = path.read_bytes() if path.is_file() else b""
        assert b"canary" not in text
        assert not any(key.encode() in text for key in keys.values())


def test_the_default_folder_uses_the_name_that_a_person_looks_for(tmp_path: Path, daemon: KeyringDaemon) -> None:
    daemon.start()
    folder = daemon.home / ".local" / "share" / "Gatehouse"
    with Stage(folder, vault="auto", environment=daemon.environment) as made:
        keys_of(up(made)[0])
    code = "import secretstorage as s; print([i.get_label() for i in s.Collection(s.dbus_init()).get_all_items()])"
    assert "'master-key' on 'Gatehouse'" in daemon.tool(code)
    assert json.loads((folder / "vault.json").read_text())["service"] == "Gatehouse"


def test_a_keyring_locked_at_the_start_prompts_nobody_and_opens_on_a_click(tmp_path: Path, daemon: KeyringDaemon) -> None:
    daemon.start()
    with stage(tmp_path, daemon) as first:
        keys = keys_of(up(first)[0])
    daemon.lock()
    with stage(tmp_path, daemon) as second:
        engine, _ = up(second)
        vault = engine.message("vault")
        assert (vault["state"], vault["place"], vault["keys"]) == ("locked", "GNOME Keyring", None)
        assert "Click Unlock" in vault["message"]
        second.until(lambda: second.printed)
        second.until(lambda: any("is locked" in line for line in second.said))
        error = engine.ask("secret_get", name="work")["error"]
        assert (error["code"], error["message"]) == ("vault_locked", vault["message"])
        # the click: nobody can be shown a question here, which is a refusal in words
        denied = second.unlock(engine, passphrase=None)
        assert denied["state"] == "denied"
        assert "could not be shown" in denied["message"]
        assert told(engine)["state"] == "denied", "told before the answer"
        assert engine.ask("secret_get", name="work")["error"]["code"] == "vault_denied"
        # the person unlocks it elsewhere, and clicks again
        daemon.start()
        assert second.unlock(engine, passphrase=None)["state"] == "ready"
        assert told(engine)["keys"] == keys


def test_a_keyring_that_opens_later_is_noticed_without_a_click(tmp_path: Path, daemon: KeyringDaemon) -> None:
    daemon.start()
    with stage(tmp_path, daemon) as first:
        keys_of(up(first)[0])
    daemon.lock()
    with stage(tmp_path, daemon) as second:
        engine, _ = up(second)
        assert engine.message("vault")["state"] == "locked"
        daemon.start()  # another daemon takes its place: for a moment there may be none
        engine.message("vault", state="ready", timeout_s=30)


def test_a_keyring_that_locks_later_does_not_stop_a_running_engine_or_the_next_one(tmp_path: Path, daemon: KeyringDaemon) -> None:
    daemon.start()
    with stage(tmp_path, daemon) as made:
        engine, _ = up(made)
        keys = keys_of(engine)
        engine.ask("secret_put", name="work", secret="sk-1")
        daemon.lock()
        assert engine.ask("secret_get", name="work")["error"]["code"] == "vault_locked"
        daemon.stop()
        assert engine.ask("secret_get", name="work")["error"]["code"] == "vault_absent"
        engine.order(kill=signal.SIGKILL)
        engine, _ = up(made)
        assert engine.message("vault", state="absent")["keys"] == keys
        daemon.start()
        assert engine.ask("secret_get", name="work")["secret"] == "sk-1"


def test_without_a_keyring_the_person_chooses_and_nothing_was_written(tmp_path: Path) -> None:
    with stage(tmp_path, None) as made:
        engine, _ = up(made)
        vault = engine.message("vault")
        assert (vault["mode"], vault["state"], vault["keys"]) == ("keyring", "absent", None)
        made.until(lambda: any("--vault passphrase" in line for line in made.said))
        assert not (made.folder / "vault.json").exists()
        assert engine.ask("secret_put", name="work", secret="sk-1")["error"]["code"] == "vault_absent"
        assert made.unlock(engine, passphrase="short")["error"]["code"] == "vault_passphrase"
        chosen = made.unlock(engine, passphrase="long enough to keep", timeout_s=30)
        assert (chosen["mode"], chosen["state"]) == ("passphrase", "ready")
        keys = told(engine)["keys"]
    with stage(tmp_path, None) as again:
        engine, _ = up(again)
        assert engine.message("vault")["state"] == "locked"
        assert engine.ask("unlock", passphrase="another one entirely", timeout_s=30)["error"]["code"] == "vault_passphrase"
        assert engine.ask("unlock", passphrase="long enough to keep", timeout_s=30)["state"] == "ready"
        assert told(engine)["keys"] == keys


def test_a_deleted_master_key_is_said_and_never_made_anew(tmp_path: Path, daemon: KeyringDaemon) -> None:
    daemon.start()
    with stage(tmp_path, daemon) as first:
        keys_of(up(first)[0])
    (tmp_path / "data" / "gatehouse.db").write_bytes(b"precious")
    daemon.tool("import secretstorage as s; [i.delete() for i in list(s.Collection(s.dbus_init()).get_all_items())]")
    with stage(tmp_path, daemon) as second:
        engine, _ = up(second)
        vault = engine.message("vault")
        assert (vault["state"], vault["keys"]) == ("empty", None)
        assert "does not make a new one" in vault["message"]
        assert second.unlock(engine, passphrase=None)["state"] == "empty"
        assert engine.ask("secret_put", name="work", secret="x")["error"]["code"] == "vault_empty"
    assert daemon.tool("import secretstorage as s; print(len(list(s.Collection(s.dbus_init()).get_all_items())))") == "0"


def test_a_wrong_passphrase_file_ends_in_one_sentence(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text("the right passphrase\n")
    bad.write_text("the wrong passphrase\n")
    with stage(tmp_path, None, vault="passphrase", passphrase_file=str(good)) as made:
        keys_of(up(made)[0])
    with stage(tmp_path, None, vault="passphrase", passphrase_file=str(bad)) as made:
        assert made.exited() == 2
        assert made.said == ["vault_passphrase: This is not the passphrase of this data folder. Try again."]
    with stage(tmp_path, None, vault="keyring") as made:
        assert made.exited() == 2
        assert made.said[0].startswith("vault_denied: The keys of this data folder are in a file locked by your passphrase.")


def test_the_vault_child_comes_when_asked_and_goes_when_idle(tmp_path: Path, daemon: KeyringDaemon) -> None:
    """One stays, which watches whether the keyring locks."""
    daemon.start()
    with stage(tmp_path, daemon) as made:
        engine, _ = up(made)
        keys_of(engine)
        made.until(lambda: len(vault_children(made.process.pid)) == 2)
        made.until(lambda: len(vault_children(made.process.pid)) == 1, 25)
        watcher = vault_children(made.process.pid)
        engine.ask("secret_put", name="work", secret="sk-1")
        assert len(vault_children(made.process.pid)) == 2
        os.kill(watcher[0], signal.SIGKILL)
        made.until(lambda: watcher[0] not in vault_children(made.process.pid))
        daemon.lock_collection()
        assert engine.message("vault", state="locked", timeout_s=30), "another one watches"


def test_a_keyring_that_locks_and_opens_is_told_at_once(tmp_path: Path, daemon: KeyringDaemon) -> None:
    daemon.start()
    with stage(tmp_path, daemon) as made:
        engine, _ = up(made)
        keys = keys_of(engine)
        made.until(lambda: len(vault_children(made.process.pid)) == 2)
        for _ in range(3):
            daemon.lock_collection()
            locked = engine.message("vault", state="locked")
            assert (locked["place"], locked["keys"]) == ("GNOME Keyring", keys), "the engine's own keys stay"
            daemon.unlock_collection()
            assert keys_of(engine) == keys


def test_the_first_refusal_tells_too(tmp_path: Path, daemon: KeyringDaemon) -> None:
    """Where nothing watches, as on systems that do not tell: the watcher is stopped, so that it hears nothing."""
    daemon.start()
    with stage(tmp_path, daemon) as made:
        engine, _ = up(made)
        keys_of(engine)
        engine.ask("secret_put", name="work", secret="sk-1")
        made.until(lambda: len(vault_children(made.process.pid)) == 2)
        shared, watcher = sorted(vault_children(made.process.pid))
        os.kill(watcher, signal.SIGSTOP)
        daemon.lock_collection()
        assert engine.ask("secret_get", name="work")["error"]["message"] == "GNOME Keyring is locked."
        engine.message("vault", state="locked")
        daemon.unlock_collection()
        assert engine.ask("secret_get", name="work")["secret"] == "sk-1"
        assert engine.message("vault", state="ready"), "an answer tells that it is open"
        os.kill(watcher, signal.SIGCONT)
        assert shared in vault_children(made.process.pid)


def test_the_master_key_is_forgotten_when_told_and_comes_back_with_the_keyring(tmp_path: Path, daemon: KeyringDaemon) -> None:
    daemon.start()
    with stage(tmp_path, daemon) as made:
        engine, _ = up(made)
        keys = keys_of(engine)
        engine.ask("secret_put", name="work", secret="sk-1")
        engine.send("forget")
        assert engine.ask("secret_get", name="work")["secret"] == "sk-1", "an open keyring is not forgotten"
        daemon.lock_collection()
        engine.message("vault", state="locked")
        engine.send("forget")
        made.until(lambda: engine.ask("secret_get", name="work")["error"]["message"].endswith("give its password."))
        engine.order(kill=signal.SIGKILL)
        engine, _ = up(made)
        assert engine.message("vault", state="locked")["keys"] is None, "another engine gets nothing"
        daemon.unlock_collection()
        assert keys_of(engine) == keys
        assert engine.ask("secret_get", name="work")["secret"] == "sk-1"


def test_a_vault_child_that_dies_is_replaced_by_the_next_question(tmp_path: Path, daemon: KeyringDaemon) -> None:
    daemon.start()
    with stage(tmp_path, daemon) as made:
        engine, _ = up(made)
        keys_of(engine)
        engine.ask("secret_put", name="work", secret="sk-1")
        for child in vault_children(made.process.pid):
            os.kill(child, signal.SIGKILL)
        made.until(lambda: not vault_children(made.process.pid))
        assert engine.ask("secret_get", name="work")["secret"] == "sk-1"


def test_a_vault_child_that_cannot_work_is_absent_in_words(tmp_path: Path) -> None:
    with Stage(tmp_path / "data", vault="auto", real=()) as made:
        engine, _ = up(made)
        for _ in range(2):  # the second one is a second try
            broken = made.child("vault")
            broken.message("open")
            broken.order(exit=1)
        vault = engine.message("vault")
        assert vault["state"] == "absent"
        assert "does not answer" in vault["message"]


def test_no_child_with_a_question_on_the_screen_is_left_behind(tmp_path: Path) -> None:
    """A person who quits while the system asks for a password."""
    with Stage(tmp_path / "data", vault="auto", real=()) as made:
        engine, _ = up(made)
        made.child("vault").message("open", prompt=False)
        made.want("unlock")
        engine.send("unlock", id=1, passphrase=None)
        time.sleep(0.2)
        started = time.monotonic()
        made.process.send_signal(signal.SIGTERM)
        assert made.exited() == 0
        assert time.monotonic() - started < 30
        assert not vault_children(made.process.pid)


@pytest.mark.parametrize("place", ["cmdline", pytest.param("environ", marks=pytest.mark.needs("hidden processes"))])
def test_the_master_key_is_in_no_process_that_does_not_need_it(tmp_path: Path, daemon: KeyringDaemon, place: str) -> None:
    """Neither arguments nor environments nor logs; and the engine learns the derived keys only."""
    daemon.start()
    with stage(tmp_path, daemon) as made:
        engine, _ = up(made)
        keys_of(engine)
        items = "s.Collection(s.dbus_init()).get_all_items()"
        code = f"import secretstorage as s; print(next(i.get_secret().decode() for i in {items} if 'master-key' in i.get_label()))"
        master = daemon.tool(code)
        assert len(master) == 64
        public = made.log()
        for pid in [made.process.pid, engine.pid, *vault_children(made.process.pid)]:
            public += Path(f"/proc/{pid}/{place}").read_bytes().decode()
        assert master not in public
        assert master not in json.dumps(engine._seen)


def test_what_was_refused_is_asked_for_again_when_a_person_clicks(tmp_path: Path) -> None:
    """A puppet for a keyring that is open and still refuses one item."""

    def reply(vault: Puppeteer, op: str, **fields: Any) -> dict[str, Any]:
        asked = vault.message(op)
        vault.order(send={"re": asked["id"]} | fields)
        return asked

    is_open = {"mode": "keyring", "state": "ready", "place": "macOS Keychain", "message": "", "service": "s", "master": "5a" * 32}
    is_open |= {"runs": {"keys": ["6b" * 32], "untagged": False}}
    shut = is_open | {"state": "locked", "message": "macOS Keychain wants to ask you first. Click Unlock."}
    with Stage(tmp_path / "data", vault="keyring", real=()) as made:
        engine, _ = up(made)
        vault = made.child("vault")
        assert reply(vault, "open", **is_open)["refused"] == []
        keys_of(engine)
        engine.send("secret_get", id=1, name="work")
        error = {"code": "vault_locked", "message": "macOS Keychain wants to ask you first.", "hint": "Click Unlock."}
        reply(vault, "secret_get", error=error)
        assert reply(vault, "open", **shut)["refused"] == ["provider/work"]
        assert engine.message("vault", state="locked")["message"] == shut["message"]
        made.want("unlock")
        engine.send("unlock", id=2, passphrase=None)
        while True:  # the watcher is a puppet as well
            if (apart := made.child("vault")).message("boot").get("watch") is None:
                break
        asked = reply(apart, "open", **is_open)
        assert (asked["prompt"], asked["refused"]) == (True, ["provider/work"])
        engine.message("vault", state="ready")
