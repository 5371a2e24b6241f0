"""The story, inside a namespace of its own: `python -m tests.packet.inside RESULT [--unlocked] [--idle SECONDS]`.

First start, keys, twenty exchanges in two dialects, every page, idle time, a crash of the engine, no resolver, planted leaks, quit. Writes
what was seen to RESULT as JSON; asserts nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from app.control.client import ControlClient
from app.control.contract import NewProvider
from app.control.granter import OwnSocket
from app.core.errors import AppError
from app.system.paths import Paths
from tests.gateway import free_port, wait_for
from tests.packet import world
from tests.packet.capture import Allowed, Capture, judge
from tests.system.keyring_daemon import KeyringDaemon

ROOT = Path(__file__).resolve().parents[2]
METADATA = (
    "169.254.169.254", "169.254.169.254.", "2852039166", "0xA9FEA9FE", "0xa9.0xfe.0xa9.0xfe", "0251.0376.0251.0376", "169.254.43518",
    "169.16689662", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::1]", "[fd00:ec2::254]",
    "\uff11\uff16\uff19.254.169.254", "169\u3002254\u3002169\u3002254", "metadata.test", "mixed.test",
)  # fmt: skip
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy")
HOSTILE = "![x](http://198.51.100.61/p.png) <img src=http://198.51.100.62/> <svg><image href='http://198.51.100.63/'/></svg>"
KEEPER = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from app.keeper.main import Options, run
settings = sys.argv[2]
given = json.loads(sys.argv[3])
given["data_dir"] = Path(given["data_dir"])
child = str(Path(sys.argv[1]) / "tests" / "packet" / "child.py")
sys.exit(run(Options(**given, command=lambda verb: [sys.executable, "-s", "-P", child, settings, verb])))
"""


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("result", type=Path)
    parser.add_argument("--unlocked", action="store_true")
    parser.add_argument("--idle", type=float, default=6.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gatehouse-packets-") as folder:
        found = Story(Path(folder), locked=not options.unlocked, idle_s=options.idle).tell()
    options.result.write_text(json.dumps(found))
    return 0


@contextmanager
def display() -> Iterator[str]:
    """A screen under a number that nothing else on the machine uses; its socket in /tmp is outside the network's namespace."""
    read, write = os.pipe()
    words = ["Xvfb", "-displayfd", str(write), "-nolisten", "tcp", "-screen", "0", "1300x900x24"]
    screen = subprocess.Popen(words, pass_fds=(write,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with open(read) as told:
            number = told.readline().strip()
        assert number, "Xvfb did not start"
        yield f":{number}"
    finally:
        screen.terminate()
        screen.wait()


class Story:
    def __init__(self, folder: Path, *, locked: bool, idle_s: float) -> None:
        self.folder, self.locked, self.idle_s = folder, locked, idle_s
        self.port = free_port_here()
        self.data = folder / "data"
        self.results = folder / "results"
        self.results.mkdir()
        self.trigger = folder / "trigger"
        self.settings = folder / "settings.json"
        self.statuses: list[int] = []

    def tell(self) -> dict[str, Any]:
        authority = world.build(self.folder)
        resolver = world.Resolver()
        captures = Capture("exit0"), Capture("lo")
        keyring = KeyringDaemon(self.folder / "session")
        keyring.start()
        os.environ["XDG_RUNTIME_DIR"] = keyring.environment["XDG_RUNTIME_DIR"]  # where the control socket will be
        listening = self._local_resolver()
        self.settings.write_text(
            json.dumps(
                {
                    "locked": self.locked, "trigger": str(self.trigger), "results": str(self.results), "resolver": str(listening),
                    "bus": keyring.environment["DBUS_SESSION_BUS_ADDRESS"].removeprefix("unix:path="),
                }
            )
        )  # fmt: skip
        try:
            with display() as name, world.providers(authority) as providers:
                found = self._run(keyring.environment | {"DISPLAY": name}, resolver, providers)
        finally:
            keyring.close()
            for capture in captures:
                capture.stop()
        bad, good = judge(
            captures[0].packets,
            captures[1].packets,
            Allowed(self.port, frozenset((address, 443) for address in world.PROVIDERS.values()), world.RESOLVER),
        )
        return found | {"undeclared": bad, "declared": good, "names": sorted(set(resolver.asked)), "statuses": self.statuses}

    def _run(self, environment: dict[str, str], resolver: world.Resolver, providers: dict[str, Any]) -> dict[str, Any]:
        environment |= dict.fromkeys(PROXIES, "http://198.51.100.82:3128")
        environment |= {"SSLKEYLOGFILE": str(self.folder / "tls-keys"), "LD_PRELOAD": "libm.so.6"}
        given = json.dumps({"data_dir": str(self.data), "port": self.port, "vault": "keyring", "window": True})
        keeper = subprocess.Popen(
            [sys.executable, "-c", KEEPER, str(ROOT), str(self.settings), given],
            env=environment, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            paths = Paths(self.data)
            with ControlClient(paths.control, timeout_s=30, granter=OwnSocket(paths)) as control:
                wait_for(lambda: self._state(control) == "running", "the engine", 60)
                self._use(control, providers)
                refusals = self._misdirect(control, resolver, providers)
                pages = json.loads(wait_for(lambda: self._result("pages"), "every page to be opened", 60))
                time.sleep(self.idle_s)
                self._crash(control)
                self._without_names(control, resolver)
                view = control.network()
                leaks = self._leaks(control)
                after = control.network()
                written = wait_for(lambda: self._written(control), "the leaks in the audit log", 30)
                tests = list(control.try_to_leak()) if self.locked else []
                control.quit()
            code = keeper.wait(20)
        except BaseException:
            log = "\n".join(path.read_text(errors="replace")[-3000:] for path in Paths(self.data).logs.glob("*.log"))
            print(log, file=sys.stderr)
            raise
        finally:
            if keeper.poll() is None:
                keeper.kill()
                keeper.wait()
            if keeper.stdout is not None:
                keeper.stdout.close()
        import msgspec

        return {
            "exit": code,
            "pages": pages,
            "refusals": refusals,
            "tls_keys": (self.folder / "tls-keys").exists(),
            "environments": {verb: json.loads(self._result(f"environment of {verb}")) for verb in ("engine", "gui")},
            "leaks": leaks,
            "view": msgspec.to_builtins(view),
            "after": msgspec.to_builtins(after),
            "self_test": [msgspec.to_builtins(each) for each in tests],
            "reached": self.reached,
            "written": written,
            "log": (Paths(self.data).logs / "keeper.log").read_text(errors="replace"),
        }

    def _written(self, control: ControlClient) -> list[str]:
        """The kinds of entries about the network, once the kinds that leaks leave are there."""
        kinds = sorted({entry.kind for entry in control.audit(limit=500, group="network").entries})
        return kinds if not self.locked or {"egress.tripped", "egress.unexplained", "egress.held"} <= set(kinds) else []

    def _use(self, control: ControlClient, providers: dict[str, Any]) -> None:
        for name, kind, host in (("one", "openai", "api.one.test"), ("two", "anthropic", "api.two.test")):
            base = f"https://{host}/v1" if kind == "openai" else f"https://{host}"
            control.add_provider(NewProvider(name=name, kind=kind, base_url=base, key=providers[host].key))
        self.key = control.add_client("tools").key
        for number in range(20):
            self.statuses.append(self._ask(number))

    def _ask(self, number: int) -> int:
        message = [{"role": "user", "content": f"{number} {HOSTILE}"}]
        stream = number % 4 > 1
        base = f"http://127.0.0.1:{self.port}"
        if number % 2:
            body = {"model": "two/claude-sonnet-4-5", "max_tokens": 50, "messages": message, "stream": stream}
            headers = {"x-api-key": self.key, "anthropic-version": "2023-06-01"}
            return httpx2.post(f"{base}/v1/messages", json=body, headers=headers, timeout=30).status_code
        body = {"model": "one/gpt-4o-mini", "messages": message, "stream": stream}
        return httpx2.post(
            f"{base}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {self.key}"}, timeout=30
        ).status_code

    def _misdirect(self, control: ControlClient, resolver: world.Resolver, providers: dict[str, Any]) -> dict[str, str]:
        """What would send a request, or its key, to where nobody wanted it: each spelling or trick, and what the program said."""
        key, said = providers["api.one.test"].key, dict[str, str]()
        for spelling in METADATA:
            for local, scheme in ((True, "http"), (False, "https")):
                try:
                    control.add_provider(
                        NewProvider(name="trap", kind="openai-compatible", base_url=f"{scheme}://{spelling}/v1", key=key, local=local)
                    )
                    tested = control.test_provider("trap").account
                    said[f"{spelling} {'local' if local else 'remote'}"] = "reached" if tested.test_ok else tested.test_message
                    control.remove_provider("trap")
                except AppError as error:
                    said[f"{spelling} {'local' if local else 'remote'}"] = error.message
        for time_asked in ("first", "second"):
            control.add_provider(NewProvider(name="trap", kind="openai-compatible", base_url="https://rebinding.test/v1", key=key))
            tested = control.test_provider("trap").account
            said[f"rebinding, {time_asked}"] = "reached" if tested.test_ok else tested.test_message
            control.remove_provider("trap")
            resolver.answers["rebinding.test"] = ["127.0.0.1"]
        for model in ("one/fault/redirect?to=https://198.51.100.81/steal", "gatehouse/echo"):
            reply = httpx2.post(
                f"http://127.0.0.1:{self.port}/v1/chat/completions", headers={"authorization": f"Bearer {self.key}"}, timeout=30,
                json={"model": model, "messages": [{"role": "user", "content": HOSTILE}]},
            )  # fmt: skip
            said[model.partition("?")[0]] = reply.text
        return said

    def _crash(self, control: ControlClient) -> None:
        pid = next(each.pid for each in control.network().processes if each.role == "engine")
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: self._other_engine(control, pid), "the engine to come back", 60)
        self.statuses.append(self._ask(0))

    def _other_engine(self, control: ControlClient, pid: int) -> bool:
        try:
            return control.snapshot().state == "running" and any(
                each.role == "engine" and each.pid != pid for each in control.network().processes
            )
        except AppError:
            return False

    def _without_names(self, control: ControlClient, resolver: world.Resolver) -> None:
        resolver.take_down()
        tested = control.test_provider("two")
        self.statuses.append(0 if tested.account.test_ok is False else 200)
        resolver.bring_up()

    def _leaks(self, control: ControlClient) -> dict[str, str]:
        """With a client's connection open, for the leak that wants to re-aim one."""
        with socket.create_connection(("127.0.0.1", self.port)) as idle:
            idle.sendall(b"GET /health/liveliness HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            idle.recv(1000)
            self.trigger.touch()
            found: dict[str, str] = {}
            for name in ("engine", "window"):
                found |= json.loads(wait_for(lambda name=name: self._result(name), f"the {name}'s leaks", 60))  # type: ignore[misc]
        time.sleep(3)
        return found

    def _result(self, name: str) -> str:
        """What a child wrote before its lock, or said on standard error since."""
        path = self.results / f"{name}.json"
        if path.exists():
            return path.read_text()
        lines = [line for log in Paths(self.data).logs.glob("*.log*") for line in log.read_text(errors="replace").splitlines()]
        return next((line.partition(f"@@{name} ")[2] for line in lines if f"@@{name} " in line), "")

    def _state(self, control: ControlClient) -> str:
        try:
            return control.snapshot().state
        except AppError:
            return ""

    def _local_resolver(self) -> Path:
        """A stand-in for a resolver's local socket: notes who reaches it."""
        self.reached: list[str] = []
        path = self.folder / "resolver.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()

        def take() -> None:
            while True:
                made, _ = listener.accept()
                with made:
                    self.reached.append(made.recv(100).decode("latin-1"))

        threading.Thread(target=take, daemon=True).start()
        return path


def free_port_here() -> int:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    return free_port()


if __name__ == "__main__":
    sys.exit(main())
