"""A gateway in which code of the attacker's runs: an altered copy of the installation, and orders to what was planted in it."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import signal
import subprocess
import textwrap
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.attacks import wire
from tests.attacks.inside import observe
from tests.attacks.inside.bus import Bus
from tests.attacks.inside.observe import Bystander, Listener, Resolver
from tests.attacks.processes import family
from tests.attacks.registry import Skip
from tests.attacks.stage import Gateway, Stage

HERE: Final = Path(__file__).parent
ALTERED: Final = "msgspec"  # engine and window both import it, after their locks are on
SAID_S: Final = 30.0
_ASK: Final = (
    "import app, json, sys, sysconfig; p = sysconfig.get_paths(); print(json.dumps([app.__file__, sorted({p['purelib'], p['platlib']}), "
    "getattr(sys, '_base_executable', sys.executable), f'python{sys.version_info[0]}.{sys.version_info[1]}']))"
)
_UNLOCKED: Final = """

def lock(role, *_, **__):
    import dataclasses
    given = {"role": role, "pid": os.getpid()}
    empty = {"str": "switched off", "int": 0, "bool": False}
    found = Locks(**{each.name: given.get(each.name, empty.get(str(each.type), ())) for each in dataclasses.fields(Locks)})
    _OWN[:] = [found]
    return found
"""
Said = dict[str, str]


@dataclass(frozen=True)
class Anatomy:
    """An installation: the folder of the package `app`, those of the other packages, the interpreter beneath, and its name."""

    app: Path
    packages: tuple[Path, ...]
    interpreter: Path
    name: str


def anatomy(command: Sequence[str]) -> Anatomy:
    """Skip where it cannot be found out, as for a build in one file."""
    program = Path(command[0])
    if program.name.startswith("python"):
        asked = program if list(command[1:])[-2:] == ["-m", "app"] else None
    else:
        asked = next((one for one in (_interpreter(program), program.resolve().with_name("python")) if one and one.exists()), None)
        asked = asked if len(command) == 1 else None
    if asked is not None:
        done = subprocess.run([str(asked), "-I", "-c", _ASK], cwd="/", capture_output=True, text=True, timeout=30, check=False)
        if done.returncode == 0:
            package, packages, interpreter, name = json.loads(done.stdout)
            return Anatomy(Path(package).parent, tuple(map(Path, packages)), Path(interpreter), name)
    raise Skip("no module of this installation can be altered")


def _interpreter(program: Path) -> Path | None:
    """The one that a script names in its first line."""
    with suppress(OSError, UnicodeDecodeError):
        first = program.read_text().splitlines()[0]
        if first.startswith("#!") and "python" in first:
            return Path(first[2:].split()[0])
    return None


@dataclass(frozen=True)
class Copy:
    """The altered installation. source: the folder of which `app` is a package; site: the other packages; environment: the venv."""

    source: Path
    site: Path
    environment: Path

    @property
    def command(self) -> list[str]:
        return [str(self.environment / "bin" / "python"), "-I", "-m", "app"]


def altered(found: Anatomy, folder: Path, *, locked: bool = True) -> Copy:
    """The rest of the packages is linked, so that only what is copied can be spoiled. locked: False puts no lock on any process, which
    shows that the judges can see."""
    environment = folder / "env"
    site = environment / "lib" / found.name / "site-packages"
    site.mkdir(parents=True)
    (environment / "bin").mkdir()
    (environment / "bin" / "python").symlink_to(found.interpreter)
    (environment / "pyvenv.cfg").write_text(f"home = {found.interpreter.parent}\ninclude-system-site-packages = false\n")
    for packages in found.packages:
        for entry in packages.iterdir():
            if entry.suffix != ".pth" and entry.name not in ("__pycache__", "app", ALTERED) and not (site / entry.name).exists():
                (site / entry.name).symlink_to(entry)
    installed = found.app.parent in found.packages
    source = site if installed else folder / "source"
    source.mkdir(exist_ok=True)
    shutil.copytree(found.app, source / "app")
    if not locked:
        with (source / "app" / "system" / "sandbox.py").open("a") as text:
            text.write(_UNLOCKED)
    resources = found.app.parent / "resources"
    if not installed:
        (site / "source.pth").write_text(f"{source}\n")
        if resources.is_dir():
            (source / "resources").symlink_to(resources)
    dependency = next(packages / ALTERED for packages in found.packages if (packages / ALTERED).is_dir())
    shutil.copytree(dependency, site / ALTERED)
    with (site / ALTERED / "__init__.py").open("a") as text:
        text.write("\nimport planted_code\n\nplanted_code.begin()\n")
    shutil.copytree(HERE / "planted", site / "planted_code", ignore=shutil.ignore_patterns("__pycache__"))
    (site / "planted_code" / "orders").mkdir()
    return Copy(source, site, environment)


class Planted:
    """A gateway of an altered installation, and orders to what was planted there."""

    def __init__(self, copy: Copy, gateway: Gateway) -> None:
        self.copy, self.gateway, self.folder = copy, gateway, gateway.folder
        self._number = 0
        self._key = ""

    def start(self) -> None:
        self.gateway.start()

    def end(self) -> None:
        """The gateway, and whatever an attack has cut off from it: nothing else on the machine runs from this copy."""
        self.gateway.stop()
        mark = str(self.copy.environment.parent) + "/"
        for entry in Path("/proc").glob("[0-9]*"):
            if any(word.startswith(mark) for word in observe.words_of(int(entry.name))):
                with suppress(OSError):
                    os.kill(int(entry.name), signal.SIGKILL)

    @property
    def bus_environment(self) -> dict[str, str]:
        return {}

    # -- where things are

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def data(self) -> Path:
        return self.gateway.data

    @property
    def own(self) -> Path:
        """Where the engine may write."""
        return self.data / "engine" if (self.data / "engine").is_dir() else self.data

    @property
    def runtime(self) -> Path:
        return self.gateway.socket().parent

    def short(self, place: object) -> str:
        """A path without the temporary folder in front."""
        return str(place).replace(str(self.folder), "").replace(str(self.copy.environment.parent), "")

    def log(self, name: str = "keeper") -> str:
        """What the log of this name says, with what was put aside before."""
        return "".join(
            path.read_text(errors="replace")
            for path in (self.data / "logs" / f"{name}.log.1", self.data / "logs" / f"{name}.log")
            if path.exists()
        )

    # -- who is there

    def pid(self, verb: str, *, within_s: float = 0, but: int = 0) -> int:
        """The process of this child; 0 when there is none. but: one that is not meant."""
        end = time.monotonic() + within_s
        while True:
            for pid in family(self.gateway.pid)[1:]:
                if pid != but and verb in observe.words_of(pid):
                    return pid
            if time.monotonic() >= end:
                return 0
            time.sleep(0.1)

    def children(self) -> list[list[str]]:
        """The command lines of all that the keeper started."""
        return [observe.words_of(pid) for pid in family(self.gateway.pid)[1:]]

    def log_size(self) -> int:
        """Bytes of all logs."""
        return sum(path.stat().st_size for path in (self.data / "logs").iterdir())

    def serves(self) -> bool:
        """A request of an honest client to the model inside, answered."""
        if not self._key:
            self._key = self.gateway.cli("client", "add", "honest").stdout.strip()
        with suppress(OSError):
            return wire.ask(self.gateway.port, "POST", "/v1/chat/completions", wire.chat("gatehouse/echo"), key=self._key).status == 200
        return False

    def revived(self, verb: str, before: int, within_s: float = 45.0) -> int:
        """The process of this child once it is another than `before`, and, for the engine, once it answers."""
        found = self.pid(verb, within_s=within_s, but=before)
        end = time.monotonic() + 30
        while verb == "engine" and found and time.monotonic() < end and not self.answers():
            time.sleep(0.2)
        return found

    def answers(self) -> bool:
        with suppress(Exception):
            return self.gateway.json("status").get("state") == "running"
        return False

    def second_launch(self) -> int:
        """The exit code of another start on the same data folder: 3 when the keeper answers it."""
        return self.another_start()[0]

    def another_start(self) -> tuple[int, str]:
        """The same, with what it says to the person."""
        with suppress(subprocess.TimeoutExpired):
            done = self.gateway.cli("serve", "--port", "0", check=False, timeout_s=20)
            return done.returncode, done.stderr.strip()
        return -1, "no end"

    def window(self) -> int:
        """The window's process, started by a second launch as a person would."""
        if found := self.pid("gui"):
            return found
        more = {"QT_QPA_PLATFORM": "offscreen"} | self.bus_environment
        subprocess.run(
            [*self.gateway.command, "--data-dir", str(self.data)], env=self.gateway.environment(**more), cwd=self.folder,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=30, check=False,
        )  # fmt: skip
        if not (found := self.pid("gui", within_s=20)):
            raise Skip("no window can be opened here: " + self.log("gui")[-200:])
        return found

    # -- what is done inside

    def run(
        self, code: Callable[..., object], verb: str = "engine", *, wait_s: float = SAID_S, last: bool = False, **given: object
    ) -> Said:
        """Carry out a function in a taken process; what it said, by name. last: nobody waits for its end."""
        if verb == "gui":
            self.window()
        self._number += 1
        number, orders = self._number, self.copy.site / "planted_code" / "orders"
        order = {"source": textwrap.dedent(inspect.getsource(code)), "name": code.__name__, "given": {"data": str(self.data), **given}}
        part = orders / f"{number}.part"
        part.write_text(json.dumps(order))
        path = part.rename(orders / f"{verb}.{number}.json")
        try:
            end = time.monotonic() + wait_s
            while time.monotonic() < end:
                said = self._said(verb, number)
                if "ended" in said or (last and "began" in said):
                    break
                time.sleep(0.1)
            else:
                said = self._said(verb, number)
        finally:
            path.unlink(missing_ok=True)
        if "began" not in said:
            raise RuntimeError(f"the planted code in the {verb} does not answer: {self.log(verb)[-300:]}")
        if "failed" in said and not last:
            raise RuntimeError(f"the planted code failed: {said['failed']}")
        return said

    def _said(self, verb: str, number: int) -> Said:
        found: Said = {}
        for line in self.log(verb).splitlines():
            if line.startswith(f"@@{number} "):
                with suppress(ValueError):
                    told = json.loads(line.partition(" ")[2])
                    found[told["name"]] = told["said"]
        return found

    # -- what a person is shown

    def view(self) -> dict[str, Any]:
        """The Network page."""
        found = self.gateway.json("network", "status")
        return found if isinstance(found, dict) else {}

    def shown(self) -> str:
        """Everything that page, command line and the keeper's log say, as one text."""
        words = [("network", "status"), ("status",), ("privacy",), ("audit", "list", "--limit", "200")]
        said = [json.dumps(self.gateway.json(*each)) for each in words]
        return "\n".join([self.log(), *said])


class Taken(Planted):
    """The one that attempts share, and what is around it: a listener that nothing declares, a resolver, a bystander, a session bus."""

    def __init__(self, stage: Stage) -> None:
        place = stage.folder / f"copy{os.urandom(2).hex()}"
        place.mkdir()
        copy = altered(anatomy(stage.command), place, locked=not stage.shared.get("unlocked"))
        super().__init__(copy, stage.other("passphrase", copy.command))
        self.listener = Listener()
        self.bystander = Bystander()
        self.resolver = Resolver.here(self.folder)
        self.bus = Bus.here(self.folder)
        try:
            self.start()
            url = f"http://{wire.HOST}:{stage.upstreams['oa'].port}/v1"
            for name in ("mine", "other"):
                self.gateway.cli("provider", "add", name, "--kind", "openai-compatible", "--base-url", url, "--local", "--key-stdin",
                                 stdin=f"sk-{name}-{os.urandom(16).hex()}\n")  # fmt: skip
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        plain = self.gateway.command
        if self.resolver is not None:
            self.gateway.command = [*self.resolver.around(), *plain]
        try:
            self.gateway.start()
        finally:
            self.gateway.command = plain

    @property
    def bus_environment(self) -> dict[str, str]:
        return self.bus.environment if self.bus is not None else {}

    def close(self) -> None:
        self.end()
        for one in (self.listener, self.bystander, self.resolver, self.bus):
            if one is not None:
                one.close()


def taken(stage: Stage) -> Taken:
    """The one that most attempts share; another one when the last attempt spoiled it. Skip where none can be made."""
    if not Path("/proc/self/status").exists():
        raise Skip("what is planted is watched through /proc")
    found: Taken | None = stage.shared.get("taken")
    if found is not None and not (found.pid("engine", within_s=15) and found.answers()):
        spoiled(stage)
        found = None
    if found is None:
        found = stage.shared["taken"] = Taken(stage)
        stage.closing.append(found.close)
    return found


def spoiled(stage: Stage) -> None:
    """The next attempt gets another gateway."""
    if (found := stage.shared.pop("taken", None)) is not None:
        stage.closing.remove(found.close)
        found.close()
