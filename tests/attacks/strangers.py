"""C: another user of the machine. Needs to be root, who can become one; others see these SKIPPED."""

from __future__ import annotations

import os
import select
import shutil
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.attacks import wire
from tests.attacks.judge import every
from tests.attacks.registry import NOT_PROMISED, OTHERS, Seen, Skip, attack
from tests.attacks.stage import Gateway, Stage, random_key

# The child does one thing and ends; it takes no lock that a thread of its parent could hold.
warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)

EVE, VICTIM = 61_234, 61_235


def _need_root() -> None:
    if os.getuid() != 0:
        raise Skip("only root can become another user")


def as_eve(act: Callable[[], str], seconds: float = 20.0) -> str:
    """What `act` returns when a user without any rights runs it, in a child."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            os.setgroups([])
            os.setgid(EVE)
            os.setuid(EVE)
            try:
                said = act()
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
            os.write(writer, said.encode()[:4096])
        finally:
            os._exit(0)
    os.close(writer)
    ready = select.select([reader], [], [], seconds)[0]
    said = os.read(reader, 4096).decode() if ready else "no end"
    os.close(reader)
    with suppress(ProcessLookupError):
        if not ready:
            os.kill(child, 9)
    os.waitpid(child, 0)
    return said


def _reads(path: Path) -> str:
    return f"read {len(path.read_bytes())} bytes"


def _speaks(path: Path) -> str:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(str(path))
        sock.sendall(b"GET /v0/snapshot HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        said = wire.read(sock, 5)
    return f"status {wire.parse(said)[0].status}" if said else "closed"


@attack("C20", "another user opens the channels and the data folder", promise=OTHERS, expected="no permission")
def doors(stage: Stage) -> Seen:
    """As the folders are, nothing of it can be opened. The folder above them lets anybody through."""
    _need_root()
    one, rows = stage.gateway, []
    for name in ("control.sock", "instance.sock"):
        path = one.socket(name)
        said = as_eve(lambda path=path: _speaks(path))
        rows.append((name, "Permission" in said, said))
    files = [path for base in (one.data, one.folder / "tmp") for path in base.rglob("*") if path.is_file()]
    for path in files:
        said = as_eve(lambda path=path: _reads(path))
        rows.append((path.name, "Permission" in said, said))
    said = as_eve(lambda: str(list(one.data.iterdir())))
    return every([*rows, ("data folder", "Permission" in said, said)], "places")


@attack("C21", "the same with the channels' folders opened by hand", promise=OTHERS, expected="403, by the peer's user id")
def opened_doors(stage: Stage) -> Seen:
    """Modes can be spoiled by a careless backup or script: then who is at the other end must decide."""
    _need_root()
    path = stage.gateway.socket()
    instance = stage.gateway.socket("instance.sock")
    modes = {place: place.stat().st_mode for place in (path, instance, path.parent, path.parent.parent, stage.gateway.folder / "run")}
    try:
        for place in modes:
            place.chmod(0o777)
        control, asked = as_eve(lambda: _speaks(path)), as_eve(lambda: _speaks(instance))
    finally:
        for place, mode in modes.items():
            place.chmod(mode & 0o7777)
    return every([
        ("control", control in ("status 403", "closed") or "Error" in control, control),
        ("instance", "status" not in asked, asked),
    ], "channels")  # fmt: skip


class _Eve:
    """A process of another user that listens on a unix socket and keeps what it is sent."""

    def __init__(self, path: Path, heard: Path) -> None:
        heard.touch()
        os.chown(heard, EVE, EVE)
        self.child = os.fork()
        if self.child == 0:
            try:
                os.setgroups([])
                os.setgid(EVE)
                os.setuid(EVE)
                _listen(path, heard)
            finally:
                os._exit(0)
        end = time.monotonic() + 5
        while not path.exists() and time.monotonic() < end:
            time.sleep(0.05)

    def end(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.child, 9)
        os.waitpid(self.child, 0)


def _listen(path: Path, heard: Path) -> None:
    """Answer every request with an empty list: enough for a client that believes to go on and send its secret."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o777)
        listener.listen()
        while True:
            sock, _ = listener.accept()
            with sock, suppress(OSError):
                sock.settimeout(3)
                data = wire.read(sock, 3, 0.2)
                with heard.open("ab") as file:
                    file.write(data + b"\n")
                body = KINDS if b"/v0/kinds" in data else b"{}"
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


KINDS = (
    b'[{"id":"openai","label":"OpenAI","base_url":"https://api.openai.com/v1","dialect":"openai","needs_key":true,"local":false,'
    b'"key_url":"","key_example":""}]'
)


def _victim(stage: Stage, folder: Path) -> tuple[Gateway, int]:
    """A user without a runtime folder of the system's, and their user id: a throw-away one when the installation lets it run."""
    one = Gateway(stage.command, folder)
    (folder / "tmp").chmod(0o1777)
    for name in ("home", "run"):
        os.chown(folder / name, VICTIM, VICTIM)
    try:
        done = subprocess.run([*stage.command, "--version"], env=one.environment(), user=VICTIM, group=VICTIM, extra_groups=[],
                              capture_output=True, timeout=30, check=False)  # fmt: skip
        able = done.returncode == 0
    except OSError:
        able = False
    if able:
        return one, VICTIM
    for name in ("home", "run"):
        os.chown(folder / name, 0, 0)
    return one, 0


def _as_victim(one: Gateway, user: int, words: list[str], stdin: str = "", wait_s: float = 30.0) -> tuple[int, str]:
    environment = one.environment()
    del environment["XDG_RUNTIME_DIR"]
    asked: dict[str, object] = {"user": user, "group": user, "extra_groups": []} if user else {}
    try:
        done = subprocess.run([*one.command, *words, "--data-dir", str(one.data)], input=stdin, text=True, env=environment, cwd="/",
                              capture_output=True, timeout=wait_s, check=False, **asked)  # type: ignore[call-overload]  # fmt: skip
    except subprocess.TimeoutExpired as late:
        return 0, str(late.stdout or b"")
    return done.returncode, done.stdout + done.stderr


def _runtime(one: Gateway, user: int) -> Path:
    """Where the victim's sockets would be in the shared temporary folder: seen by starting a gateway there once."""
    environment = one.environment()
    del environment["XDG_RUNTIME_DIR"]
    asked: dict[str, object] = {"user": user, "group": user, "extra_groups": []} if user else {}
    words = [*one.command, "serve", "--port", "0", "--vault", "session", "--data-dir", str(one.data)]
    with subprocess.Popen(words, env=environment, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **asked) as process:  # type: ignore[call-overload]
        try:
            process.stdout.readline()
            found = list((one.folder / "tmp").rglob("control.sock"))
        finally:
            process.terminate()
            process.wait(20)
    if not found:
        raise Skip("this user's channels are not in the temporary folder: /run/user is used, or another place")
    return found[0].parent


@attack("C22", "another user's link where the channels will be", promise=OTHERS, expected="refused; nothing is sent to a stranger")
def squatted_link(stage: Stage) -> Seen:
    """Without a runtime folder of the system's, the channels are in the shared temporary folder. Another user made that folder first, with
    a link to a place of root's where her own socket listens. The victim then adds a provider, unlocks, asks for the status."""
    _need_root()
    folder = stage.folder / f"squat{len(os.listdir(stage.folder))}"
    folder.mkdir(mode=0o755)
    one, user = _victim(stage, folder)
    runtime = _runtime(one, user)
    shared = folder / "tmp"
    heard = folder / "heard"
    rows = []
    for name, make in (
        ("folder and link", lambda: _make(runtime.parent, runtime, shared)),
        ("link of the upper folder", lambda: _make(None, runtime.parent, shared)),
    ):
        _clear(shared)
        (shared / runtime.name).mkdir()
        (shared / runtime.name).chmod(0o1777)
        said = as_eve(make)
        eve = _Eve((shared if name.startswith("folder") else shared / runtime.name) / "control.sock", heard)
        try:
            key = random_key("sk-proj-")
            for words, stdin in (
                (["status"], ""), (["unlock", "--passphrase-stdin"], "a passphrase\n"),
                (["provider", "add", "openai", "--kind", "openai", "--key-stdin"], key + "\n"), (["client", "add", "x"], ""),
            ):  # fmt: skip
                _as_victim(one, user, words, stdin)
        finally:
            eve.end()
        got = heard.read_bytes()
        told = f"{len(got)} bytes reached another user{', the key among them' if key.encode() in got else ''}"
        rows.append((name, not got and said == "made", told if said == "made" else said))
        heard.unlink()
    who = "" if user else " (the victim is root here: another user may not run this installation)"
    seen = every(rows, "links")
    return Seen(seen.held, seen.observed + who)


def _make(upper: Path | None, link: Path, target: Path) -> str:
    if upper is not None:
        upper.mkdir(mode=0o755)
    link.symlink_to(target)
    return "made"


def _clear(shared: Path) -> None:
    for entry in shared.iterdir():
        if entry.is_symlink() or not entry.is_dir():
            entry.unlink()
        else:
            shutil.rmtree(entry)


@attack("C23", "another user's plain folder where the channels will be", promise=NOT_PROMISED, expected="serve takes another place")
def squatted_folder(stage: Stage) -> Seen:
    """She cannot listen to anything there, but must not be able to keep the gateway from starting either."""
    _need_root()
    folder = stage.folder / f"squat{len(os.listdir(stage.folder))}"
    folder.mkdir(mode=0o755)
    one, user = _victim(stage, folder)
    runtime = _runtime(one, user)
    _clear(folder / "tmp")
    as_eve(lambda: str(runtime.parent.mkdir(mode=0o755)))
    environment = one.environment()
    del environment["XDG_RUNTIME_DIR"]
    asked: dict[str, object] = {"user": user, "group": user, "extra_groups": []} if user else {}
    words = [*one.command, "serve", "--port", "0", "--vault", "session", "--data-dir", str(one.data)]
    with subprocess.Popen(words, env=environment, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **asked) as process:  # type: ignore[call-overload]
        try:
            line = process.stdout.readline().decode()
            code, said = _as_victim(one, user, ["status"])
        finally:
            process.terminate()
            process.wait(20)
    return every([("serve", line.startswith("ready"), line.strip()[:120]), ("status", code == 0, f"exit {code}: {said[:80]}")], "commands")


if sys.platform == "win32":
    raise ImportError("the kit runs on Linux and macOS")
