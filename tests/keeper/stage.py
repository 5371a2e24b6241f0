"""A real keeper in a process of its own, and puppets for its children."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.system import instance
from app.system.paths import Paths

ROOT = Path(__file__).resolve().parents[2]
PUPPET = Path(__file__).with_name("puppet.py")

PROGRAM = """
import json, sys
from pathlib import Path
from app.core.errors import AppError
from app.keeper.main import Options, run
from app.keeper.watchdog import Patience
from app.system.children import own_command
given = json.loads(sys.argv[1])
real = given.pop("real")
puppet = [sys.executable, "-s", "-P", given.pop("puppet"), given.pop("wires")]
given["data_dir"] = Path(given["data_dir"])
if "passphrase_file" in given:
    given["passphrase_file"] = Path(given["passphrase_file"])
if "patience" in given:
    given["patience"] = Patience(**given["patience"])
try:
    sys.exit(run(Options(**given, command=lambda verb: own_command(verb) if verb in real else [*puppet, verb])))
except AppError as error:
    print(f"{error.code}: {error.sentence()}", file=sys.stderr)
    sys.exit(2)
"""


class Puppeteer:
    """One child, as the test drives it."""

    def __init__(self, wires: socket.socket) -> None:
        self._wires = wires
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self._seen: list[dict[str, Any]] = []
        self._reader = wires.makefile()
        hello = json.loads(self._reader.readline())
        self.verb: str = hello["verb"]
        self.pid: int = hello["pid"]
        self.environment: dict[str, str] = hello["environment"]
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with self._reader, self._wires:
            try:
                for line in self._reader:
                    self._lines.put(json.loads(line))
            except OSError:
                pass
            self._lines.put({"gone": True})

    def order(self, **order: Any) -> None:
        """Do something; nothing happens when it is gone."""
        with contextlib.suppress(OSError):
            self._wires.sendall(json.dumps(order).encode() + b"\n")

    def stubborn(self) -> None:
        """From now on it does not end when it is told to."""
        self.order(stubborn=True)
        self.wait(lambda line: line.get("done") == "stubborn")

    def send(self, op: str, **fields: Any) -> None:
        self.order(send={"op": op, **fields})

    def wait(self, what: Callable[[dict[str, Any]], bool], timeout_s: float = 10) -> dict[str, Any]:
        """The next line for which `what` is true; others are kept in `seen`."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"nothing of the kind came; seen: {self._seen[-5:]}") from None
            if what(line):
                return line
            self._seen.append(line)

    def message(self, op: str, timeout_s: float = 10, **fields: Any) -> dict[str, Any]:
        """The next message with this op and these fields."""

        def right(line: dict[str, Any]) -> bool:
            message = line.get("message") or {}
            return message.get("op") == op and fields.items() <= message.items()

        line = self.wait(right, timeout_s)
        return dict(line["message"]) | {"_sockets": line["sockets"]}

    def ask(self, op: str, timeout_s: float = 10, **fields: Any) -> dict[str, Any]:
        """A request and its reply."""
        number = time.monotonic_ns()
        self.send(op, id=number, **fields)
        line = self.wait(lambda line: (line.get("message") or {}).get("re") == number, timeout_s)
        return dict(line["message"]) | {"_sockets": line["sockets"]}

    def gone(self, timeout_s: float = 10) -> None:
        self.wait(lambda line: "gone" in line, timeout_s)


class Stage:
    """real: the verbs whose real child is started instead of a puppet."""

    def __init__(
        self, folder: Path, *, real: tuple[str, ...] = ("vault",), environment: dict[str, str] | None = None, **options: Any
    ) -> None:
        self.folder = folder
        self.paths = Paths(folder)
        self._wires_path = f"/tmp/gh-wires-{os.urandom(6).hex()}"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self._wires_path)
        self._listener.listen()
        self._puppets: list[Puppeteer] = []
        self.said: list[str] = []
        self.printed: list[str] = []
        given = {"data_dir": str(folder), "port": 0, "vault": "session", "window": False, "real": real} | options
        given |= {"puppet": str(PUPPET), "wires": self._wires_path}
        # The folder of the sockets follows from it, and the test looks for them there, too.
        session = {name: os.environ[name] for name in ("XDG_RUNTIME_DIR",) if name in os.environ}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, json.dumps(given)],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "HOME": str(folder.parent), "TMPDIR": "/tmp"} | session | (environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._threads = [
            threading.Thread(target=self._collect, args=(self.process.stdout, self.printed), daemon=True),
            threading.Thread(target=self._collect, args=(self.process.stderr, self.said), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _collect(stream: Any, lines: list[str]) -> None:
        with stream:
            lines.extend(line.rstrip("\n") for line in iter(stream.readline, ""))

    def child(self, verb: str, timeout_s: float = 15) -> Puppeteer:
        """The next puppet with this verb."""
        self._listener.settimeout(timeout_s)
        for waiting in self._puppets:
            if waiting.verb == verb:
                self._puppets.remove(waiting)
                return waiting
        while True:
            try:
                puppet = Puppeteer(self._listener.accept()[0])
            except TimeoutError:
                raise AssertionError(f"no {verb} came; said: {self.said}, log: {self.log()}") from None
            if puppet.verb == verb:
                return puppet
            self._puppets.append(puppet)

    def log(self) -> str:
        """What the keeper and its children wrote, wherever this run has its data."""
        try:
            ephemeral = json.loads(self.paths.lock.read_text() or "{}").get("ephemeral")
        except (OSError, ValueError):
            ephemeral = None
        folder = Path(ephemeral) / "logs" if ephemeral else self.paths.logs
        return "\n".join(path.read_text(errors="replace") for path in sorted(folder.glob("*.log")))

    def until(self, what: Callable[[], Any], timeout_s: float = 10) -> Any:
        deadline = time.monotonic() + timeout_s
        while not (got := what()):
            assert time.monotonic() < deadline, f"waited {timeout_s} s; printed {self.printed}, said {self.said}"
            time.sleep(0.02)
        return got

    def want(self, what: str, subject: str = "", value: str = "", **more: Any) -> int:
        """A person says on the command line that they want that; the number of the grant."""
        return int(instance.ask(self.paths, {"op": "grant", "what": what, "subject": subject, "value": value, **more})["number"])

    def declare(self, engine: Puppeteer, *, account: str, scheme: str, host: str, port: int, local: bool) -> dict[str, Any]:
        """The engine declares what a person wants."""
        self.want("destination", account, kind="openai-compatible", base_url=f"{scheme}://{host}:{port}", local=local)
        return engine.ask("declare", account=account, scheme=scheme, host=host, port=port, local=local)

    def unlock(self, engine: Puppeteer, **given: Any) -> dict[str, Any]:
        self.want("unlock")
        return engine.ask("unlock", **given)

    def steer(self, op: str, **fields: Any) -> dict[str, Any]:
        """What a person says on the command line, and the keeper's answer."""
        return instance.ask(self.paths, {"op": op, **fields})

    def end(self, number: int = signal.SIGTERM, timeout_s: float = 20) -> int:
        """The exit code after a signal (or after it ended by itself)."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.exited(timeout_s)

    def exited(self, timeout_s: float = 20) -> int:
        code = self.process.wait(timeout_s)
        for thread in self._threads:
            thread.join(5)
        return code

    def close(self) -> None:
        self.end()
        self._listener.close()
        os.unlink(self._wires_path)

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
