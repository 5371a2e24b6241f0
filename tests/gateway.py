"""A real Gatehouse for tests: keeper and engine as processes, steered through the control channel as the window does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.__main__ import CHILDREN
from app.control.client import ControlClient
from app.control.granter import OwnSocket
from app.core.runs import Runs
from app.core.secret import Secret
from app.keeper.sealing import ENGINE_LABELS, SEALED_LABEL, derived
from app.keeper.strongbox import Strongbox
from app.system.keyrings import Keyring
from app.system.paths import Paths

ROOT = Path(__file__).resolve().parent.parent
START_S = 30.0


class Gateway:
    """`gatehouse serve` on a free port in `folder`. line: what it said when it was ready. url: where clients go.

    Stops when the block ends.
    """

    def __init__(self, folder: Path, *extra: str, vault: str = "passphrase") -> None:
        self.folder = folder
        self.passphrase = folder.parent / f"{folder.name}.passphrase"
        self.passphrase.write_text("correct horse battery staple\n")
        self.passphrase.chmod(0o600)
        self.arguments = ["--vault", vault, *extra]
        if vault == "passphrase":
            self.arguments += ["--passphrase-file", str(self.passphrase)]
        self.program = [sys.executable, "-m", "app"]
        self.process: subprocess.Popen[str] | None = None
        self.said: list[str] = []
        self.line = self.url = ""
        self.reader = threading.Thread()

    def start(self, port: int = 0) -> Gateway:
        """Start and wait until it says that it answers."""
        port = port or free_port()
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self.process = subprocess.Popen(
            [*self.program, "serve", "--data-dir", str(self.folder), "--port", str(port), *self.arguments],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        errors = self.process.stderr
        assert errors is not None
        self.reader = threading.Thread(target=lambda: self.said.extend(errors), daemon=True)
        self.reader.start()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("ready http://127.0.0.1:"), (line, self.said, self.log())
        self.line = line.strip()
        self.url = self.line.split()[1]
        return self

    def control(self, timeout_s: float = 30.0) -> ControlClient:
        """As the person's own program, which tells the keeper what the person wants."""
        paths = Paths(self.folder)
        return ControlClient(paths.control, timeout_s=timeout_s, granter=OwnSocket(paths))

    def stranger(self, timeout_s: float = 30.0) -> ControlClient:
        """A program that asks the engine alone, as any script can."""
        return ControlClient(Paths(self.folder).control, timeout_s=timeout_s)

    def wait_open(self) -> None:
        """Until the store is open."""
        with self.control() as control:
            wait_for(lambda: control.snapshot().state == "running", "the gateway to run")

    def cli(self, *arguments: str, stdin: str = "", check: int | None = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "app", *arguments, "--data-dir", str(self.folder)],
            cwd=ROOT, input=stdin, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert check is None or done.returncode == check, (done.returncode, done.stdout, done.stderr)
        return done

    def cli_json(self, *arguments: str, stdin: str = "") -> Any:
        return json.loads(self.cli(*arguments, "--json", stdin=stdin).stdout)

    def client(self, name: str = "tests") -> str:
        with self.control() as control:
            return control.add_client(name).key

    def keys(self) -> dict[str, bytes]:
        """What the vault gives to the engine, by its uses. Only with a passphrase."""
        _, master = self._vault()
        return {label: derived(master, label) for label in ENGINE_LABELS}

    def runs(self) -> Runs:
        """The secrets that the vault holds for runs whose entries are not all signed, and for the last one. Only with a passphrase."""
        box, master = self._vault()
        kept = box._item("audit-run", derived(master, SEALED_LABEL))
        return Runs.of(None if kept is None else kept.reveal())

    def _vault(self) -> tuple[Strongbox, bytes]:
        paths, passphrase = Paths(self.folder), Secret(self.passphrase.read_text().strip())
        box = Strongbox(paths, Keyring(None, "none"), default_folder=False)
        opened = box.open("auto", prompt=False, passphrase=passphrase)
        assert opened.master is not None
        return box, opened.master

    def pids(self) -> dict[str, int]:
        """Process ids by role: keeper, engine, gui, vault (those that run)."""
        assert self.process is not None
        found = {"keeper": self.process.pid}
        for entry in Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
            role = next((word.decode() for word in words[1:] if word.decode() in CHILDREN), "") if parent == self.process.pid else ""
            if role:
                found[role] = int(entry.name)
        return found

    def stop(self, kill: bool = False) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        code = self.process.wait(20)
        if self.reader.ident is not None:
            self.reader.join(10)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        return code

    def log(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-4000:] for path in sorted(Paths(self.folder).logs.glob("*.log")))

    def __enter__(self) -> Gateway:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


@contextmanager
def gateway(folder: Path, *extra: str, vault: str = "passphrase") -> Iterator[Gateway]:
    running = Gateway(folder, *extra, vault=vault)
    with running:
        running.wait_open()
        yield running


def free_port() -> int:
    """A port that is free on both families just now."""
    import socket

    while True:
        with socket.create_server(("127.0.0.1", 0)) as four:
            port: int = four.getsockname()[1]
            try:
                with socket.create_server(("::1", port), family=socket.AF_INET6):
                    return port
            except OSError:
                if not socket.has_ipv6:
                    return port


def wait_for(condition: Any, what: str, timeout_s: float = 15.0) -> Any:
    """The first true value of `condition()`."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited {timeout_s:g} s for {what}")
