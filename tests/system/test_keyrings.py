"""The system's keyring as it is: ready, locked, absent, without a keyring yet; real daemon, real bus; and it never prompts unasked."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from shutil import which

import keyring.errors
import pytest

from app.core.errors import AppError
from app.core.secret import Secret
from app.system.keyrings import WINDOWS_LIMIT, Keyring, system_keyring
from tests.strangers import common_ground, needs_root
from tests.system.keyring_daemon import CONFIGURATION, KeyringDaemon, wait

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="GNOME Keyring on D-Bus")


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyringDaemon]:
    made = KeyringDaemon(tmp_path)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    yield made
    made.close()


def code_of(work: object) -> str:
    with pytest.raises(AppError) as caught:
        work()  # type: ignore[operator]
    return caught.value.code


def test_an_open_keyring_keeps_gives_and_forgets(daemon: KeyringDaemon) -> None:
    daemon.start()
    ours = system_keyring()
    standing = ours.standing(prompt=False)
    assert (standing.state, standing.place, standing.message) == ("ready", "GNOME Keyring", "")
    assert ours.get("Gatehouse-test", "provider/work") is None
    ours.put("Gatehouse-test", "provider/work", Secret("sk-ü✓" + "x" * 5000))
    found = ours.get("Gatehouse-test", "provider/work")
    assert found is not None
    assert found.reveal() == "sk-ü✓" + "x" * 5000
    ours.put("Gatehouse-test", "provider/work", Secret("second"))
    again = ours.get("Gatehouse-test", "provider/work")
    assert again is not None
    assert again.reveal() == "second"
    ours.remove("Gatehouse-test", "provider/work")
    ours.remove("Gatehouse-test", "provider/work")
    assert ours.get("Gatehouse-test", "provider/work") is None


def test_a_person_finds_our_items_under_our_name(daemon: KeyringDaemon) -> None:
    daemon.start()
    system_keyring().put("Gatehouse", "provider/openai", Secret("sk-x"))
    code = "import secretstorage as s; print([i.get_label() for i in s.Collection(s.dbus_init()).get_all_items()])"
    assert "'provider/openai' on 'Gatehouse'" in daemon.tool(code)


def test_a_locked_keyring_is_locked_and_is_not_asked_to_open(daemon: KeyringDaemon) -> None:
    daemon.start()
    system_keyring().put("Gatehouse-test", "master-key", Secret("x"))
    daemon.lock()
    ours = system_keyring()
    standing = ours.standing(prompt=False)
    assert (standing.state, standing.place) == ("locked", "GNOME Keyring")
    assert "Unlock" in standing.message
    assert code_of(lambda: ours.get("Gatehouse-test", "master-key")) == "vault_locked"
    assert code_of(lambda: ours.put("Gatehouse-test", "master-key", Secret("y"))) == "vault_locked"
    assert code_of(lambda: ours.remove("Gatehouse-test", "master-key")) == "vault_locked"
    daemon.start()
    found = ours.get("Gatehouse-test", "master-key")
    assert found is not None
    assert found.reveal() == "x"


def test_a_question_that_cannot_be_shown_is_a_refusal_in_words(daemon: KeyringDaemon) -> None:
    daemon.start()
    daemon.lock()
    standing = system_keyring().standing(prompt=True)
    assert standing.state == "denied"
    assert "dismissed or could not be shown" in standing.message


def test_no_bus_and_no_service_are_absent(daemon: KeyringDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    assert system_keyring().standing(prompt=False).state == "absent", "a bus without a service"
    assert code_of(lambda: system_keyring().get("Gatehouse-test", "x")) == "vault_absent"
    daemon.start()
    assert system_keyring().standing(prompt=False).state == "ready"
    for address in ("unix:path=/nonexistent", ""):
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        standing = system_keyring().standing(prompt=True)
        assert standing.state == "absent"
        assert "No keyring service" in standing.message


def test_a_service_without_a_keyring_makes_one_only_on_a_click(daemon: KeyringDaemon) -> None:
    daemon.start(None)
    standing = system_keyring().standing(prompt=False)
    assert standing.state == "locked"
    assert "has no keyring yet" in standing.message
    assert code_of(lambda: system_keyring().get("Gatehouse-test", "x")) in ("vault_absent", "vault_locked")
    assert not list((daemon.home).rglob("*.keyring"))


def test_a_daemon_that_dies_in_between_is_absent(daemon: KeyringDaemon) -> None:
    daemon.start()
    ours = system_keyring()
    ours.put("Gatehouse-test", "x", Secret("y"))
    daemon.stop()
    assert code_of(lambda: ours.get("Gatehouse-test", "x")) == "vault_absent"


class Refusing:
    """A backend whose library raises with the secret in its text."""

    def get_password(self, service: str, username: str) -> str | None:
        raise keyring.errors.KeyringError(f"cannot read {service} sk-canary")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise RuntimeError(f"cannot store {password}")

    def delete_password(self, service: str, username: str) -> None:
        raise keyring.errors.KeyringLocked(username)


def test_errors_of_a_backend_never_carry_a_secret() -> None:
    ours = Keyring(Refusing(), "Somebody's Keyring")
    for work in (lambda: ours.get("s", "n"), lambda: ours.put("s", "n", Secret("sk-canary"))):
        with pytest.raises(AppError) as caught:
            work()
        assert caught.value.code == "vault_denied"
        assert "canary" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


def test_the_limit_counts_as_windows_counts() -> None:
    ours = Keyring(Refusing(), "Windows Credential Manager", WINDOWS_LIMIT)
    assert ours.holds(Secret("x" * 1280))
    assert not ours.holds(Secret("x" * 1281))
    assert not ours.holds(Secret("😀" * 641)), "one such character takes two units"
    assert Keyring(Refusing(), "x").holds(Secret("x" * 100_000))


def test_a_system_without_its_library_is_absent() -> None:
    ours = Keyring(None, "the system's keyring")
    assert ours.standing(prompt=True).state == "absent"
    assert code_of(lambda: ours.get("s", "n")) == "vault_absent"


@needs_root
def test_a_bus_of_another_user_is_told_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name in an old variable may be somebody else's by now, who lets everybody in."""
    if which("dbus-daemon") is None:
        pytest.skip("needs dbus-daemon (package dbus)")
    import secretstorage

    from app.system import keyrings

    with common_ground() as ground:
        configuration = ground / "bus.conf"
        anybody = CONFIGURATION.format(folder=ground).replace('<policy context="default">', '<policy context="default"><allow user="*"/>')
        configuration.write_text(anybody)
        bus = subprocess.Popen(["dbus-daemon", f"--config-file={configuration}", "--nofork"], user="nobody", group=65534, extra_groups=[])
        try:
            wait((ground / "bus").exists)
            monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={ground}/bus")
            secretstorage.dbus_init().close()  # it does let us in
            with pytest.raises(secretstorage.SecretServiceNotAvailableException, match="another user"):
                keyrings._session_bus()
            ours = system_keyring()
            assert ours.standing(prompt=False).state == "absent"
            assert code_of(lambda: ours.put("Gatehouse-test", "provider/work", Secret("sk-x"))) == "vault_absent"
        finally:
            bus.kill()
            bus.wait()


WATCH = """
import sys
from app.system.keyrings import watch_locks
def told(locked):
    assert not {"keyring", "cryptography", "secretstorage"} & set(sys.modules), "what costs 20 MB"
    print(locked, flush=True)
watch_locks(told)
"""


def test_whether_it_is_locked_is_told_through_locks_deaths_and_a_lost_bus(daemon: KeyringDaemon) -> None:
    """The same process goes on watching through all of it."""
    daemon.start()
    child = subprocess.Popen(
        [sys.executable, "-c", WATCH], cwd=ROOT, env=daemon.environment | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    )
    lines: queue.Queue[str] = queue.Queue()
    assert child.stdout is not None
    out = child.stdout
    reader = threading.Thread(target=lambda: [lines.put(line.strip()) for line in out], daemon=True)
    reader.start()

    def told(wanted: str) -> None:
        """The next different word; the same one may be told more than once."""
        while (word := lines.get(timeout=20)) != wanted:
            assert word == before[-1], (word, before)
        before.append(wanted)

    before = ["nothing yet"]
    try:
        told("False")
        daemon.lock_collection()
        told("True")
        daemon.unlock_collection()
        told("False")
        daemon.stop()
        told("None")
        daemon.start()
        told("False")
        daemon.lose_bus()
        told("None")
        daemon.find_bus()
        daemon.start()
        told("False")
        daemon.lock_collection()
        told("True")
    finally:
        child.kill()
        child.wait()
        reader.join(5)
        out.close()
