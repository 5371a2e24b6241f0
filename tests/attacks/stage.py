"""The place where attacks happen: a throw-away gateway with providers and clients of its own, all of it beneath one temporary folder."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import string
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from tests.attacks import wire
from tests.attacks.processes import Watch, family, resident
from tests.attacks.registry import Skip
from tests.attacks.upstream import Upstream

START_S: Final = 60.0
COMMAND_S: Final = 60.0
LEAN: Final = 16 << 20
# name: kind, path of the base URL, dialect, how its keys begin.
ACCOUNTS: Final = {
    "oa": ("openai-compatible", "/v1", "openai", "sk-proj-"),
    "an": ("anthropic-compatible", "", "anthropic", "sk-ant-api03-"),
    "ge": ("gemini-compatible", "/v1beta", "gemini", "AIza"),
    "az": ("azure", "/openai", "openai", ""),  # its keys have no shape that could be known
    "re": ("responses-compatible", "/v1", "responses", "sk-"),
}
_SHED: Final = ("PYTHON", "LD_", "DYLD_", "SSL", "XDG_", "DBUS_")


def random_key(begins: str, length: int = 44) -> str:
    letters = string.ascii_letters + string.digits
    return begins + "".join(secrets.choice(letters) for _ in range(length))


class Gateway:
    """`COMMAND serve` with a data folder of its own. folder: where its home, runtime and temporary folders are made."""

    def __init__(self, command: Sequence[str], folder: Path, vault: str = "session") -> None:
        self.command = list(command)
        self.folder = folder
        self.vault = vault
        self.data = folder / "home" / "data"
        self.passphrase = random_key("pass ")
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        for name, mode in (("home", 0o711), ("run", 0o700), ("tmp", 0o1777)):
            (folder / name).mkdir(exist_ok=True)
            (folder / name).chmod(mode)

    def environment(self, **more: str) -> dict[str, str]:
        """This process's own without what steers a gateway, and with folders of the kit's in place of the person's."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_SHED) and not name.lower().endswith("_proxy")}
        folders = {"HOME": "home", "XDG_RUNTIME_DIR": "run", "TMPDIR": "tmp", "XDG_DATA_HOME": "home", "XDG_CONFIG_HOME": "home"}
        return kept | {name: str(self.folder / place) for name, place in folders.items()} | more

    def start(self, *, port: int = 0, umask: int = -1, open_s: float = START_S, **environment: str) -> None:
        """Until it says that it answers, and then at most `open_s` until its store is open. RuntimeError with what it said instead."""
        words = [*self.command, "serve", "--port", str(port or free_port()), "--vault", self.vault, "--data-dir", str(self.data)]
        if self.vault == "passphrase":
            secret = self.folder / "passphrase"
            secret.write_text(self.passphrase + "\n")
            secret.chmod(0o600)
            words += ["--passphrase-file", str(secret)]
        log = self.folder / "serve.log"
        with log.open("wb") as said:
            self.process = subprocess.Popen(
                words, env=self.environment(**environment), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=said, umask=umask, start_new_session=True,
            )  # fmt: skip
        line = _line(self.process, START_S)
        if not line.startswith(b"ready http://"):
            self.stop()
            raise RuntimeError(
                f"the gateway did not start: {line.decode(errors='replace').strip()} {log.read_text(errors='replace')[-600:]}"
            )
        self.port = int(line.split()[1].rpartition(b":")[2])
        end = time.monotonic() + open_s  # it listens before its store is open
        while open_s and self.json("status").get("state") != "running" and time.monotonic() < end:
            time.sleep(0.1)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def stop(self) -> None:
        if self.process is None:
            return
        pids = family(self.process.pid)
        if self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(12)
        self.kill(pids)
        self.process.wait(10)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None

    def kill(self, pids: Sequence[int]) -> None:
        """End those of these processes that are still in the session that `start` made."""
        assert self.process is not None
        for pid in pids:
            with suppress(OSError):
                if os.getsid(pid) == self.process.pid or pid == self.process.pid:
                    os.kill(pid, signal.SIGKILL)

    def cli(
        self, *words: str, stdin: str = "", check: bool = True, timeout_s: float = COMMAND_S, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """A verb for this gateway. `verify`, which needs none, gets no data folder."""
        where = [] if words[0] == "verify" else ["--data-dir", str(self.data)]
        done = subprocess.run(
            [*self.command, *words, *where], input=stdin, env=self.environment(), cwd=cwd or self.folder, capture_output=True, text=True,
            errors="replace", timeout=timeout_s, check=False,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(words[:2])} gave {done.returncode}: {done.stderr.strip()[:300]}")
        return done

    def json(self, *words: str) -> Any:
        done = self.cli(*words, "--json", check=False)
        return json.loads(done.stdout) if done.returncode in (0, 1) and done.stdout.strip()[:1] in ("{", "[") else {}

    def socket(self, name: str = "control.sock") -> Path:
        """Where a channel of this gateway is. Skip where there is none, as on Windows."""
        for base in (self.folder / "run", self.folder / "tmp", self.folder / "home"):
            for path in base.rglob(name):
                if path.is_socket():
                    return path
        raise Skip(f"this installation has no {name} that can be found")

    def control(self, method: str, path: str, body: bytes | None = None, headers: Sequence[tuple[str, str]] = ()) -> wire.Reply:
        """A request on the control channel, past the command line."""
        given = [*headers, ("Connection", "close")]
        if body is not None:
            given += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(20)
            sock.connect(str(self.socket()))
            sock.sendall(wire.head(0, method, path, given, host="control") + (body or b""))
            replies = wire.parse(wire.read(sock, 20))
        return replies[0] if replies else wire.Reply(0)


class Stage:
    """command: how Gatehouse is started, e.g. ["gatehouse"]. Everything is made on entering and taken away on leaving."""

    def __init__(self, command: Sequence[str], *, short: bool = False) -> None:
        self.command, self.short = list(command), short
        base = "/tmp" if os.path.isdir("/tmp") else None  # the path of a unix socket may have 104 characters
        self.folder = Path(tempfile.mkdtemp(prefix="gh-attacks-", dir=base))
        self.folder.chmod(0o711)  # another user may pass through: what keeps them out must be the gateway's own doing
        self.upstreams: dict[str, Upstream] = {}
        self.keys: dict[str, str] = {}
        self.key = ""
        self._at_first = 0
        self._gateway: Gateway | None = None
        self._others: list[Gateway] = []
        self.closing: list[Callable[[], None]] = []  # what else is taken away at the end
        self.shared: dict[str, Any] = {}  # what several attacks use, by name

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for close in reversed(self.closing):
            close()
        for one in self._others:
            one.stop()
        for upstream in self.upstreams.values():
            upstream.close()
        for place in self.folder.rglob("*"):
            if place.is_dir() and not place.is_symlink():
                place.chmod(0o700)
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- the gateway that most attacks are aimed at

    @property
    def gateway(self) -> Gateway:
        if self._gateway is None:
            self._gateway = self._furnished()
            self._at_first = resident(family(self._gateway.pid))
        return self._gateway

    @property
    def port(self) -> int:
        return self.gateway.port

    def ready(self, *, fresh: bool) -> None:
        """Before each attack: a gateway that answers; a new one when the last attack spoiled it. fresh: also when it holds more memory
        than it did at first, because that would hide how much the next attack takes."""
        if self._gateway is not None and not (self.alive() and (not fresh or self._lean())):
            self._gateway.stop()
            self._gateway = None
        for upstream in self.upstreams.values():
            upstream.reset()
        _ = self.gateway

    def _lean(self) -> bool:
        return resident(family(self.gateway.pid)) < self._at_first + LEAN

    def alive(self, within_s: float = 8.0) -> bool:
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            with suppress(OSError):
                if self.good(3.0):
                    return True
            time.sleep(0.2)
        return False

    def good(self, timeout_s: float = 30.0) -> bool:
        """One request of an honest client, answered by the model inside the gateway."""
        return self.chat("gatehouse/echo", timeout_s=timeout_s).status == 200

    def chat(self, model: str, timeout_s: float = 30.0, **more: object) -> wire.Reply:
        return wire.ask(self.port, "POST", "/v1/chat/completions", wire.chat(model, **more), key=self.key, timeout_s=timeout_s)

    def post(self, path: str, body: bytes, *headers: tuple[str, str], timeout_s: float = 30.0) -> wire.Reply:
        return wire.ask(self.port, "POST", path, body, headers, key=self.key, timeout_s=timeout_s)

    def watch(self) -> Watch:
        """Measures the gateway while something is done to it."""
        return Watch(self.gateway.pid, self.good)

    def rekey(self, *accounts: str) -> None:
        """Give accounts keys that nothing has seen yet."""
        for name in accounts:
            self.keys[name] = random_key(ACCOUNTS[name][3])
            self.gateway.cli("provider", "key", name, "--key-stdin", stdin=self.keys[name] + "\n")

    def ledger(self, *, everywhere: bool = False) -> bytes:
        """What an export of the ledger holds; everywhere: also its other form, and the list on the command line."""
        said = self.gateway.cli("export", "-", "--form", "jsonl").stdout.encode()
        if everywhere or not self.short:
            said += self.gateway.cli("export", "-", "--form", "csv").stdout.encode()
            said += self.gateway.cli("activity", "--limit", "1000", "--json").stdout.encode()
        return said

    def other(self, vault: str = "session", command: Sequence[str] = ()) -> Gateway:
        """Another gateway, in a folder of its own, not started yet. command: of another installation."""
        folder = self.folder / f"other{len(self._others)}"
        folder.mkdir()
        folder.chmod(0o711)
        one = Gateway(command or self.command, folder, vault)
        self._others.append(one)
        return one

    def _furnished(self) -> Gateway:
        folder = self.folder / f"g{secrets.token_hex(2)}"
        folder.mkdir()
        folder.chmod(0o711)
        made = Gateway(self.command, folder)
        self._others.append(made)  # before it starts, so that it ends whatever comes
        made.start()
        for name, (kind, path, dialect, begins) in ACCOUNTS.items():
            if name not in self.upstreams:
                self.upstreams[name] = Upstream(dialect)
                self.keys[name] = random_key(begins)
            url = f"http://{wire.HOST}:{self.upstreams[name].port}{path}"
            made.cli("provider", "add", name, "--kind", kind, "--base-url", url, "--local", "--key-stdin", stdin=self.keys[name] + "\n")
        self.key = made.cli("client", "add", "attacker").stdout.strip()
        return made


def free_port() -> int:
    with socket.create_server((wire.HOST, 0)) as one:
        port: int = one.getsockname()[1]
        return port


def _line(process: subprocess.Popen[bytes], seconds: float) -> bytes:
    """The first line that a process writes, or b"" when it ends or takes too long."""
    got: list[bytes] = []
    assert process.stdout is not None
    reader = threading.Thread(target=lambda: got.append(process.stdout.readline()), daemon=True)  # type: ignore[union-attr]
    reader.start()
    reader.join(seconds)
    return got[0] if got else b""
