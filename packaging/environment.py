"""`.venv` with exactly what a lock file names: made once, checked by hash, taken up again after an interruption. Standard library only."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import needs

LOCKS = {"run": "packaging/requirements.txt", "test": "packaging/requirements-dev.txt"}
SYSTEMS = "Linux with glibc 2.34 or newer (on ARM 2.39), macOS 13 or newer on Apple silicon, 64-bit Windows; CPython 3.11 to 3.14"


class InstallError(Exception):
    """The environment could not be made; the text says what to do."""


def missing(root: str) -> list[tuple[str, ...]]:
    """The system packages without which no environment can be made; none when there is one."""
    return [] if os.path.isdir(os.path.join(root, ".venv")) else needs.missing_modules()


def ready(root: str, purpose: str) -> str:
    """The environment's Python, with everything installed that `purpose` needs."""
    python = os.path.join(root, ".venv", *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))
    wanted = digest(root, purpose)
    if read_stamp(root).get(purpose) == wanted and version_of([python]) == sys.version_info[:2]:
        return python
    with only_one(root):
        stamp = read_stamp(root)
        if stamp.get(purpose) == wanted and version_of([python]) == sys.version_info[:2]:
            return python  # another command has just done it
        fits = version_of([python]) == sys.version_info[:2] and works([python, "-I", "-m", "pip", "--version"])
        began = stamp.get("began")
        # What an earlier lock put there must not stay behind: another lock, another environment.
        others_current = all(stamp[other] == digest(root, other) for other in LOCKS if other in stamp)
        if not fits or not others_current or began not in (None, *(digest(root, known) for known in LOCKS)):
            make(root)
            stamp = {}
        write_stamp(root, {**stamp, "began": wanted})
        install(root, python, LOCKS[purpose])
        stamp.pop("began", None)
        done = {**stamp, purpose: wanted}
        if purpose == "test":  # the development lock holds everything that running needs, at the same versions
            done["run"] = digest(root, "run")
        write_stamp(root, done)
    return python


def make(root: str) -> None:
    if sys.platform == "linux":
        needs.provide(needs.missing_modules(), "A virtual environment needs")
    print("Making .venv ...", flush=True)
    folder = os.path.join(root, ".venv")
    if subprocess.call([sys.executable, "-m", "venv", "--clear", folder], env=of_children()) != 0:
        raise InstallError("Python could not make the folder .venv; its own message is above.")


def install(root: str, python: str, lock: str) -> None:
    print(f"Installing what {lock} names ...", flush=True)
    drop_unfinished(python)
    pip = [python, "-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-compile"]
    command = [*pip, "--require-hashes", "--only-binary", ":all:", "-r", os.path.join(root, lock)]
    # A person's own `user = true` in pip's configuration would be refused inside a virtual environment.
    if subprocess.call(command, env={**of_children(), "PIP_USER": "0"}) != 0:
        raise InstallError(
            "The installation did not finish; pip's own message is above. Run the same command again: it goes on where it stopped.\n"
            f"If pip says that nothing matches: there are ready-made packages for {SYSTEMS}."
        )
    packages = site_packages(python)
    link(root, python, packages)
    print("Compiling ...", flush=True)
    quiet = ["-I", "-W", "ignore", "-m", "compileall", "-q", "-j", "0"]
    subprocess.call([python, *quiet, packages, os.path.join(root, "app")], env=of_children(), stdout=subprocess.DEVNULL)


def link(root: str, python: str, packages: str) -> None:
    """Lets this environment import `app` from the source folder, whatever the working directory, and adds the command `gatehouse`."""
    with open(os.path.join(packages, "gatehouse-source.pth"), "w", encoding="utf-8") as file:
        file.write(root + "\n")
    folder = os.path.dirname(python)
    if os.name == "nt":
        with open(os.path.join(folder, "gatehouse.cmd"), "w", encoding="ascii") as file:
            file.write('@"%~dp0python.exe" -I -m app %*\n')
        return
    command = os.path.join(folder, "gatehouse")
    with open(command, "w", encoding="utf-8") as file:
        file.write('#!/bin/sh\nexec "$(dirname "$(readlink -f "$0")")/python" -I -m app "$@"\n')
    os.chmod(command, 0o755)


def drop_unfinished(python: str) -> None:
    """Forgets packages that pip was putting in place when it was killed: it would take them for installed.

    pip writes RECORD last; a package counts when that list is there and every file on it has the length it names.
    """
    packages = site_packages(python)
    for entry in sorted(os.listdir(packages)):
        if entry.endswith(".dist-info") and not _complete(packages, entry):
            shutil.rmtree(os.path.join(packages, entry))


def _complete(packages: str, entry: str) -> bool:
    try:
        with open(os.path.join(packages, entry, "RECORD"), encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        return bool(rows) and all(os.path.getsize(os.path.join(packages, row[0])) == int(row[2]) for row in rows if row[2])
    except (OSError, ValueError, IndexError):
        return False


def site_packages(python: str) -> str:
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return subprocess.run([python, "-I", "-c", code], check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout.strip()


def digest(root: str, purpose: str) -> str:
    """Changes when anything changes that the installation depends on: the lock, the place of the folder."""
    with open(os.path.join(root, LOCKS[purpose]), "rb") as file:
        return hashlib.sha256(file.read() + b"\0" + os.fsencode(root)).hexdigest()


def read_stamp(root: str) -> dict[str, str]:
    try:
        with open(os.path.join(root, ".venv", "gatehouse-stamp.json"), encoding="utf-8") as file:
            stamp = json.load(file)
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write_stamp(root: str, stamp: dict[str, str]) -> None:
    path = os.path.join(root, ".venv", "gatehouse-stamp.json")
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(stamp, file)
    os.replace(path + ".new", path)


@contextlib.contextmanager
def only_one(root: str) -> Iterator[None]:
    """Two commands at once: the second waits until the first has installed."""
    with open(os.path.join(root, ".venv.lock"), "a+b") as file:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415  there is none elsewhere

            file.seek(0)
            while True:
                with contextlib.suppress(OSError):  # it gives up after ten seconds of its own accord
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                    break
        else:
            import fcntl  # noqa: PLC0415  there is none on Windows

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print("Another dev.py is installing; waiting for it ...", flush=True)
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def version_of(python: list[str]) -> tuple[int, int] | None:
    """The version of an interpreter; None when it does not run."""
    code = "import sys; print(sys.version_info[0], sys.version_info[1])"
    try:
        out = subprocess.run(
            [*python, "-I", "-S", "-c", code], check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60
        ).stdout
        major, minor = out.split()
        return int(major), int(minor)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def works(command: list[str]) -> bool:
    return subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def of_children() -> dict[str, str]:
    """Ours without what would change how Python starts: byte code is kept, so that the second start is a quick one."""
    drop = {"PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "__PYVENV_LAUNCHER__"}
    return {name: value for name, value in os.environ.items() if name not in drop}
