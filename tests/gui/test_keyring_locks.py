"""A keyring that locks while Gatehouse runs, in a real window on a real gateway with a real keyring: seen, unlocked, seen again."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtWidgets import QApplication

from app.control.contract import VaultView
from app.gui import accounts
from app.gui.notices import Banner, banner
from app.gui.palette_commands import commands
from app.gui.session import Session
from app.gui.state import Boot, pill
from app.gui.tray import present
from app.gui.window import Window
from app.system import instance
from app.system.paths import Paths
from tests.gateway import Gateway
from tests.gui.conftest import Wait
from tests.gui.desk import START_US, Notes, provider, snapshot
from tests.gui.test_tray import UP
from tests.system.keyring_daemon import KeyringDaemon
from tests.upstream import Upstream

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="GNOME Keyring on D-Bus")


@pytest.fixture
def keyring(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyringDaemon]:
    daemon = KeyringDaemon(tmp_path_factory.mktemp("k"))
    for name, value in daemon.environment.items():
        if name != "HOME":
            monkeypatch.setenv(name, value)
    daemon.start()
    yield daemon
    daemon.close()


class Wishing(Notes):
    """The real keeper hears what the person wants; the rest is noted."""

    def __init__(self, paths: Paths) -> None:
        super().__init__(paths.data_dir)
        self.paths = paths

    def call(
        self, op: str, fields: dict[str, object] | None = None, *, timeout_s: float = 30
    ) -> tuple[dict[str, Any], list[socket.socket]]:
        if op != "grant":
            return super().call(op, fields, timeout_s=timeout_s)
        return instance.ask(self.paths, {"op": op} | (fields or {})), []


class Real:
    """A window on a real gateway; only the keeper's end is a notebook, which says that the listener proved itself."""

    def __init__(self, one: Gateway) -> None:
        boot = Boot(data_dir=str(one.folder), control=str(Paths(one.folder).control), port=4141, addresses=("127.0.0.1:4141",))
        self.session = Session(boot)
        self.session.attach(Wishing(Paths(one.folder)))
        self.window = Window(self.session)
        self.window.resize(1240, 820)
        self.window.show()
        self.session.start()
        for message in (
            {"op": "engine", "state": "up", "restarts": 0, "next_s": None, "exit": None, "log": [], "at_us": START_US},
            {"op": "proof", "ok": True, "message": "", "at_us": time.time_ns() // 1000},
        ):
            self.session.hear(message, [])

    def prove(self) -> None:
        self.session.hear({"op": "proof", "ok": True, "message": "", "at_us": time.time_ns() // 1000}, [])

    def vault(self) -> str:
        snapshot = self.session.state.snapshot
        return "" if snapshot is None else snapshot.vault.state

    def shown(self) -> Banner | None:
        """The banner that is on the screen."""
        return self.window.banner.banner()

    def found(self) -> list[str]:
        return [command.words for command in commands(self.window, self.session.state)]

    def end(self) -> None:
        self.window.hide()
        self.session.stop()
        self.window.deleteLater()
        self.session.deleteLater()


def test_a_lock_is_on_the_screen_within_seconds_and_unlock_ends_it(
    tmp_path: Path, keyring: KeyringDaemon, up: Upstream, application: QApplication, wait: Wait
) -> None:
    one = Gateway(tmp_path / "data", vault="keyring")
    one.start()
    one.cli("provider", "add", "unused", "--kind", "openai", "--base-url", f"{up.url}/v1", "--local", "--key-stdin", stdin=up.key)
    one.stop()
    one.start()
    real = Real(one)
    try:
        wait(lambda: real.vault() == "ready" and real.session.state.snapshot.providers)  # type: ignore[union-attr]
        wait(lambda: real.shown() is None)
        assert pill(real.session.state, time.monotonic()).word == "Running"
        assert not any("Unlock" in words for words in real.found())

        keyring.lock_collection()
        wait(lambda: real.vault() == "locked")
        real.prove()
        wait(lambda: real.session.state.proof is not None and time.monotonic() - real.session.state.proof.heard_s < 5)
        state = real.session.state
        seen = pill(state, time.monotonic())
        assert (seen.word, seen.tone, seen.shape) == ("Keys locked", "wa", "attention")
        tray = present(state, time.monotonic())
        assert (tray.shape, tray.locked) == ("attention", True)
        shown = banner(state)
        assert shown is not None
        assert shown.fact.startswith("GNOME Keyring was locked at ")
        assert shown.consequence == "Clients get 503 “keys locked” for unused. Nothing is lost."
        assert [choice.words for choice in shown.choices] == ["Unlock…"]
        wait(lambda: real.shown() == shown)
        assert any("Unlock" in words for words in real.found())
        assert state.snapshot is not None
        assert accounts.short_words(state, state.snapshot.providers[0], time.time_ns() // 1000)[0].word == "Key locked"
        assert accounts.keys_words(state) == "1 key, locked"

        # The click. Nobody can be shown a question here, and that is said; then the keyring is opened elsewhere.
        real.window.unlock()
        assert real.session.state.is_busy("unlock")
        asking = banner(real.session.state)
        assert asking is not None
        assert [choice.words for choice in asking.choices] == ["Waiting for an answer…"]
        wait(lambda: real.vault() == "denied" and not real.session.state.is_busy("unlock"))
        told = banner(real.session.state)
        assert told is not None
        assert told.below == "GNOME Keyring was not unlocked: its question was dismissed or could not be shown."

        keyring.unlock_collection()
        wait(lambda: real.vault() == "ready")
        real.prove()
        wait(lambda: real.shown() is None)
        assert pill(real.session.state, time.monotonic()).word == "Running"
    finally:
        real.end()
        application.processEvents()
        one.stop()


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (("unknown", "none"), "Clients get 503 “keys locked” for p0. The others go on. Nothing is lost."),
        (("unknown", "held", "unknown"), "Clients get 503 “keys locked” for p0, p2. The others go on. Nothing is lost."),
        (("unknown",) * 3, "Clients get 503 “keys locked” for 3 providers. Nothing is lost."),
        (("held", "none"), "Requests go on with what is in memory. A key cannot be added or read now."),
        ((), "A key cannot be added or read now. Nothing is lost."),
    ],
)
def test_the_banner_says_which_requests_are_refused(states: tuple[Any, ...], said: str) -> None:
    providers = tuple(provider(f"p{number}", key_state=state) for number, state in enumerate(states))
    vault = VaultView(mode="keyring", state="locked", place="GNOME Keyring", since_us=START_US)
    shown = banner(replace(UP, snapshot=snapshot(vault=vault, providers=providers)))
    assert shown is not None
    assert shown.consequence == said
