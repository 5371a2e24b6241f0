"""The start: `ready` names the vault's first answer, commands wait for it, and readiness says whether a request would be answered."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.control.client import ControlClient
from app.control.granter import OwnSocket
from tests.gateway import ROOT, Gateway, wait_for
from tests.keeper.stage import Puppeteer, Stage
from tests.system.keyring_daemon import KeyringDaemon
from tests.upstream import Upstream

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="GNOME Keyring on D-Bus")
MASTER = "5a" * 32
RUNS = {"keys": ["6b" * 32], "untagged": False}


def health(url: str, name: str) -> tuple[int, dict[str, Any]]:
    with httpx2.Client(trust_env=False, timeout=20) as http:
        reply = http.get(f"{url}/health/{name}")
    return reply.status_code, reply.json()


@pytest.fixture
def keyring(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyringDaemon]:
    daemon = KeyringDaemon(tmp_path_factory.mktemp("k"))
    for name, value in daemon.environment.items():
        if name != "HOME":
            monkeypatch.setenv(name, value)
    try:
        yield daemon
    finally:
        daemon.close()


@pytest.mark.parametrize(
    ("vault", "extra", "daemon", "said", "code"),
    [
        ("session", (), "none", "ready", ""),
        ("passphrase", ("file",), "none", "ready", ""),
        ("passphrase", (), "none", "passphrase-needed", "vault_locked"),
        ("keyring", (), "open", "ready", ""),
        ("keyring", (), "locked", "locked", "vault_locked"),
        ("keyring", (), "none", "unavailable", "vault_absent"),
        ("keyring", (), "forgotten", "missing", "vault_empty"),
    ],
)
def test_ready_names_the_vaults_answer_and_is_the_truth(
    tmp_path: Path, keyring: KeyringDaemon, up: Upstream, vault: str, extra: tuple[str, ...], daemon: str, said: str, code: str
) -> None:
    one = Gateway(tmp_path / "data", vault=vault)
    if daemon != "none":
        keyring.start()
    if daemon in ("locked", "forgotten"):
        one.start()
        one.wait_open()
        one.stop()
        if daemon == "locked":
            keyring.lock()
        else:
            keyring.tool("import secretstorage as s; [i.delete() for i in list(s.Collection(s.dbus_init()).get_all_items())]")
    if vault == "passphrase" and not extra:
        one.arguments = ["--vault", "passphrase"]
    one.start()
    try:
        assert one.line == f"ready {one.url} keys={said}"
        status, body = health(one.url, "readiness")
        assert (status, body.get("code", "")) == ((200, "") if not code else (503, code)), body
        assert health(one.url, "liveliness") == health(one.url, "liveness") == (200, {"status": "alive"})
        add = ("provider", "add", "work", "--kind", "openai", "--base-url", f"{up.url}/v1", "--local", "--key-stdin")
        done = one.cli(*add, stdin=up.key, check=None)
        assert done.returncode == (4 if code else 0), done.stderr
        assert "asked" not in done.stderr
        with one.control() as control:
            assert control.snapshot().vault.state == (code.removeprefix("vault_") or "ready")
    finally:
        one.stop()


class Starting:
    """A real engine whose vault is answered for by the test. ask: what a client of the control channel gets meanwhile."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.vault: Puppeteer = stage.child("vault")
        self.question = self.vault.message("open", prompt=False)
        self.control = ControlClient(stage.paths.control, timeout_s=30, granter=OwnSocket(stage.paths))
        self.url = self.control.snapshot().base_url
        self._started: list[subprocess.Popen[str]] = []

    def cli(self, *words: str, stdin: str = "") -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "app", *words, "--data-dir", str(self.stage.folder)]
        made = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._started.append(made)
        assert made.stdin is not None
        with made.stdin as typed:
            typed.write(stdin)
        made.stdin = None
        return made

    def close(self) -> None:
        self.control.close()
        for each in self._started:
            each.kill()
            each.communicate()

    def answer(self, **fields: Any) -> None:
        said = {"mode": "keyring", "state": "ready", "place": "GNOME Keyring", "message": "", "service": "s"}
        said |= {"master": MASTER, "runs": RUNS} | fields
        self.vault.order(send={"re": self.question["id"]} | said)

    def serve(self) -> None:
        """Answer the vault's next questions as a keyring with nothing in it, until a key is put."""
        while True:
            asked = self.vault.wait(lambda line: "id" in (line.get("message") or {}))["message"]
            replies: dict[str, dict[str, Any]] = {"audit_get": {"secret": None}}
            self.vault.order(send={"re": asked["id"]} | replies.get(asked["op"], {"place": "GNOME Keyring"}))
            if asked["op"] == "secret_put":
                return


@pytest.fixture
def starting(tmp_path: Path) -> Iterator[Starting]:
    with Stage(tmp_path / "data", vault="keyring", real=("engine",)) as stage:
        made = Starting(stage)
        yield made
        made.close()


def test_commands_wait_for_the_vaults_first_answer(starting: Starting) -> None:
    address = ("--base-url", "http://127.0.0.1:9/v1", "--local")
    add = starting.cli("provider", "add", "work", "--kind", "openai", *address, "--key-stdin", stdin="sk-canary-1")
    shown = starting.control.snapshot()
    assert (shown.state, shown.vault.state, shown.vault.message) == ("starting", "starting", "Gatehouse is still starting.")
    status, body = health(starting.url, "readiness")
    assert (status, body["code"]) == (503, "store_unavailable")
    assert body["message"].startswith("Gatehouse is still starting.")
    assert health(starting.url, "liveliness") == (200, {"status": "alive"})
    assert starting.stage.printed == [], "no word of ready before the vault's answer"
    status_words = starting.cli("status")
    with pytest.raises(subprocess.TimeoutExpired):
        add.wait(1.5)
    with pytest.raises(subprocess.TimeoutExpired):
        status_words.wait(0.1)

    starting.answer()
    starting.serve()
    out, err = add.communicate(timeout=20)
    assert (add.returncode, err) == (0, "")
    assert "work is declared" in out
    assert "ready, GNOME Keyring" in status_words.communicate(timeout=20)[0]
    starting.stage.until(lambda: starting.stage.printed)
    assert starting.stage.printed == [f"ready {starting.url} keys=ready"]
    assert health(starting.url, "readiness") == (200, {"status": "ready"})


@pytest.mark.parametrize(("state", "word"), [("locked", "locked"), ("absent", "unavailable"), ("denied", "refused"), ("empty", "missing")])
def test_whatever_the_answer_is_commands_say_it(starting: Starting, state: str, word: str) -> None:
    commands = [
        starting.cli(*words)
        for words in (("provider", "list"), ("client", "add", "x"), ("audit", "verify"), ("keys", "policy"), ("retention", "show"))
    ]
    starting.answer(state=state, message="What is wrong. What to do.", master=None)
    for command in commands:
        out, err = command.communicate(timeout=20)
        assert command.returncode == 4, (command.args, out, err)
        assert "What is wrong. What to do." in err
    starting.stage.until(lambda: starting.stage.printed)
    assert starting.stage.printed == [f"ready {starting.url} keys={word}"]
    status, body = health(starting.url, "readiness")
    assert (status, body["code"], body["message"]) == (503, f"vault_{state}", "What is wrong. What to do.")


def test_ready_as_json_names_the_keys(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "app", "serve", "--json", "--vault", "session", "--port", "0", "--data-dir", str(tmp_path / "data")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        said = json.loads(child.stdout.readline())
        assert said["ready"].startswith("http://127.0.0.1:")
        assert said["keys"] == "ready"
        child.terminate()
        assert child.wait(20) == 0


def test_a_data_folder_that_is_a_link_of_ones_own_is_used_as_any_other(tmp_path: Path) -> None:
    """Every process writes where it must: keys into the vault's file, too."""
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder = tmp_path / "data"
    folder.symlink_to(tmp_path / "elsewhere")
    with Gateway(folder) as gateway, gateway.control() as control:
        wait_for(lambda: control.snapshot().state == "running", "the gateway to run")
        gateway.cli("provider", "add", "near", "--kind", "ollama", "--no-key")
        assert "keys=ready" in gateway.line
    assert {"vault.json", "declared.json", "engine", "window"} <= {entry.name for entry in (tmp_path / "elsewhere").iterdir()}
