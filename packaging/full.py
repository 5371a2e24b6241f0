"""What takes too long for every push: `.ci/full [PART ...]`. Standard library only.

Each part has minutes of its own and either runs or says why it cannot here; the table at the end has them all. The exit code is 1 when
one of them failed or took too long. What a part prints goes to the terminal and, with FULL_LOGS set, to a file for each in that folder.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import environment

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TEST = [sys.executable, os.path.join(ROOT, "packaging", "dev.py"), "test"]
LIMIT_S = 75 * 60
SUITE = "trixie"
# What a Debian without anything needs to be told; the commands install the rest by themselves.
FIRST = "python3,ca-certificates"
# In a namespace of its own, so that nothing is mounted any more when the folder is removed.
INSIDE = 'cd "$1"; mount -t proc proc proc; mount -t sysfs sys sys; mount --rbind /dev dev; exec chroot "$@"'


class SkipError(Exception):
    """This part cannot run here; the text is the reason."""


@dataclass(frozen=True)
class Part:
    name: str
    what: str
    minutes: int
    run: Callable[[Part, float], int]


@dataclass(frozen=True)
class Ending:
    part: Part
    said: str
    seconds: float


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(prog=".ci/full", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(part.name for part in PARTS)}; all when none is named")
    wanted = parser.parse_args(arguments).parts
    unknown = sorted(set(wanted) - {part.name for part in PARTS})
    if unknown:
        parser.error(f"there is no part called {', '.join(unknown)}")
    began = time.monotonic()
    endings = [ended(part, LIMIT_S - (time.monotonic() - began)) for part in PARTS if not wanted or part.name in wanted]
    print(table(endings), flush=True)
    return 1 if any(each.said.startswith(("failed", "took")) for each in endings) else 0


def ended(part: Part, left_s: float) -> Ending:
    """Run it, for its own minutes or what is left of the whole."""
    print(f"\n== {part.name}: {part.what}", flush=True)
    began = time.monotonic()
    try:
        if left_s < 60:
            raise SkipError("the time of the whole is over")
        code = part.run(part, min(part.minutes * 60.0, left_s))
        said = "ran, good" if code == 0 else f"failed ({code})"
    except SkipError as why:
        said = f"skipped: {why}"
    except subprocess.TimeoutExpired:
        said = "took too long, was ended"
    except (OSError, environment.InstallError) as error:
        said = f"failed: {error}"
    return Ending(part, said, time.monotonic() - began)


def table(endings: list[Ending]) -> str:
    width = max(len(each.part.name) for each in endings)
    lines = [f"{each.part.name:{width}}  {each.seconds:7.1f} s  {each.said}" for each in endings]
    return "\n".join(["", *lines, f"{'whole':{width}}  {sum(each.seconds for each in endings):7.1f} s"])


def run(part: Part, command: list[str], within_s: float, folder: str = ROOT, **variables: str) -> int:
    """The exit code; after `within_s` it and all that it started are ended, and TimeoutExpired."""
    inherited = environment.of_children()
    logs = inherited.pop("FULL_LOGS", "")
    log = open(os.path.join(logs, f"{part.name}.log"), "ab") if logs else None  # noqa: SIM115 - closed below
    child = subprocess.Popen(
        command, cwd=folder, env={**inherited, **variables}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        start_new_session=True,
    )  # fmt: skip
    try:
        return child.wait(within_s)
    finally:
        if child.poll() is None:
            for number in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(child.pid, number)
                    child.wait(20)
                    break
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    continue
        if log is not None:
            log.close()


# -- the parts


def slow(part: Part, within_s: float) -> int:
    return run(part, [*TEST, "--slow", "-m", "slow"], within_s)


def packets(part: Part, within_s: float) -> int:
    """Two idle minutes in the middle, in which the program has nothing to do and may have nothing to say."""
    return run(part, [*TEST, "--slow", "tests/journeys/test_nothing_else_leaves.py"], within_s)


def newest(part: Part, within_s: float) -> int:
    """The whole suite on the newest Python that is here, in a copy: its environment is another one."""
    python, version = newest_python()
    if version == sys.version_info[:2]:
        raise SkipError(f"Python 3.{version[1]} is the newest here, and the one that started this")
    with copy() as root:
        return run(part, [python, os.path.join(root, "packaging", "dev.py"), "test"], within_s, root)


def clean(part: Part, within_s: float) -> int:
    """A Debian with nothing in it but Python: the commands install what they need, and an ordinary user runs the tests of the journeys."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        raise SkipError("needs root, for a system in a folder")
    if shutil.which("debootstrap") is None:
        raise SkipError("needs debootstrap")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gh-", ignore_cleanup_errors=True) as made, copy() as project:
        os.chmod(made, 0o755)
        system, wheels = os.path.join(made, "system"), os.path.join(made, "wheels")
        mirror = mirror_of_this_machine()
        build = ["debootstrap", "--variant=minbase", f"--include={FIRST}", SUITE, system, *([mirror] if mirror else [])]
        if code := run(part, build, within_s):
            return code
        # Inside, no registry need be reachable: the wheels come along, checked by the same hashes.
        inside = subprocess.run(
            ["chroot", system, "python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            check=True, stdout=subprocess.PIPE, encoding="utf-8",
        ).stdout.strip()  # fmt: skip
        fetch = [
            os.path.join(ROOT, ".venv", "bin", "python"), "-I", "-m", "pip", "download", "-q", "--require-hashes", "--only-binary", ":all:",
            "--no-deps", "--python-version", inside, "-d", wheels, "-r", os.path.join(ROOT, environment.LOCKS["test"]),
        ]  # fmt: skip
        if code := run(part, fetch, within_s - (time.monotonic() - began)):
            return code
        shutil.copytree(project, os.path.join(system, "srv", "gatehouse"), symlinks=True)
        shutil.move(wheels, os.path.join(system, "srv", "wheels"))
        words = ["python3", "/srv/gatehouse/packaging/dev.py", "test", "tests/journeys", "tests/packaging", "tests/system"]
        for name in ("resolv.conf", "hosts"):
            if os.path.exists(f"/etc/{name}"):
                shutil.copyfile(f"/etc/{name}", os.path.join(system, "etc", name))
        return run(
            part, ["unshare", "--mount", "--propagation", "private", "sh", "-euc", INSIDE, "sh", system, *words],
            within_s - (time.monotonic() - began), "/", HOME="/root", TMPDIR="/tmp", PATH="/usr/sbin:/usr/bin:/sbin:/bin",
            PIP_NO_INDEX="1", PIP_FIND_LINKS="/srv/wheels", PIP_CONFIG_FILE="/dev/null", LC_ALL="C.UTF-8", DEBIAN_FRONTEND="noninteractive",
        )  # fmt: skip


def programs(part: Part, within_s: float) -> int:
    if shutil.which("npm") is None:
        raise SkipError("needs npm")
    return run(part, [*TEST, "--programs", "tests/programs"], within_s)


def others(part: Part, within_s: float) -> int:
    """Tests that say themselves what of a browser or of wine they need."""
    places = [place for place in ("tests/browsers", "tests/windows") if os.path.isdir(os.path.join(ROOT, place))]
    if not places:
        raise SkipError("no test of that kind is here yet")
    return run(part, [*TEST, "--slow", *places], within_s)


PARTS = (
    Part("slow", "the long campaigns: fuzzing, kills, tampering, figures", 30, slow),
    Part("packets", "every packet of the whole program, with two idle minutes", 10, packets),
    Part("python", "the suite on the newest Python here", 20, newest),
    Part("clean", f"a bare Debian {SUITE} in a folder", 20, clean),
    Part("programs", "coding agents from npm, unchanged", 12, programs),
    Part("others", "browsers, and Windows' program", 10, others),
)


# -- what they need


def newest_python() -> tuple[str, tuple[int, int]]:
    """The newest interpreter on the path, or beside pyenv's, that has what an environment needs."""
    pyenv = os.path.join(os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv")), "versions")
    folders = [os.path.join(pyenv, name, "bin") for name in sorted(os.listdir(pyenv), reverse=True)] if os.path.isdir(pyenv) else []
    folders += os.environ.get("PATH", "").split(os.pathsep)
    for minor in range(14, 11, -1):
        for folder in folders:
            python = os.path.join(folder, f"python3.{minor}")
            if os.path.exists(python) and environment.works([python, "-I", "-c", "import venv, ensurepip, ssl, sqlite3"]):
                return python, (3, minor)
    return sys.executable, (sys.version_info[0], sys.version_info[1])


@contextmanager
def copy() -> Iterator[str]:
    """The project without what tools keep in it, in a folder that every user can read."""
    import ordinary  # noqa: PLC0415 - there is none on Windows

    with ordinary.folder() as made:
        os.chmod(made, 0o755)
        root = os.path.join(made, "gatehouse")
        shutil.copytree(ROOT, root, symlinks=True, ignore=lambda _, names: ordinary.LEFT_OUT & set(names))
        yield root


def mirror_of_this_machine() -> str:
    """Where this system's own packages come from, when it is a Debian; "" leaves the choice to debootstrap."""
    if shutil.which("apt-get") is None:
        return ""
    words = ["apt-get", "indextargets", "--format", "$(SITE) $(ORIGIN)", "Created-By: Packages"]
    out = subprocess.run(words, check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8").stdout
    return next((line.split()[0] for line in out.splitlines() if line.endswith(" Debian")), "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
