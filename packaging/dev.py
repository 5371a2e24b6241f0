"""The two commands: make the environment once, then start the app or run every check.

    python3 packaging/dev.py run [ARGS]           starts the app; without ARGS the window
    python3 packaging/dev.py test [PYTEST ARGS]   runs ruff, mypy, import-linter and pytest

Standard library only. What is installed is exactly what `requirements.txt` (for `test`: `requirements-dev.txt`) names, each file checked
against its hash. When nothing changed, nothing is done; an interrupted installation is taken up where it stopped.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

import environment
import needs

if TYPE_CHECKING:
    import ordinary

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VERBS = (
    "serve", "status", "provider", "client", "activity", "usage", "price", "reprice", "export", "retention", "audit", "network", "privacy",
    "verify", "unlock", "keys", "confirm", "quit", "shortcut",
)  # fmt: skip
OLDEST, NEWEST = (3, 11), (3, 14)
LINUX = str(sys.platform) == "linux"


class Stop(Exception):  # noqa: N818  it is not always an error
    """The command ends here; the text is for the person."""


def main(arguments: list[str]) -> int:
    # A shell starts what it puts into the background with Ctrl-C ignored, and every child would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if not arguments or arguments[0] not in environment.LOCKS:
            print(__doc__)
            return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
        python = right_python()
        if python is not None:
            return hand_over([*python, os.path.abspath(__file__), *arguments], dict(os.environ))
        return run(arguments[1:]) if arguments[0] == "run" else test(arguments[1:])
    except (Stop, needs.NeedError, environment.InstallError) as stop:
        print(f"dev.py: {stop}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndev.py: stopped. Run the same command again to go on.", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"dev.py: {error}", file=sys.stderr)
        return 1


# -- the commands


def run(arguments: list[str]) -> int:
    windowed = not set(arguments) & {*VERBS, "-h", "--help", "--version"}
    if windowed and not display():
        print("There is no display here, so the gateway runs without a window.", flush=True)
        arguments, windowed = ["serve", *arguments], False
    if LINUX:
        missing = needs.missing_libraries() if windowed else []
        needs.provide([*missing, *needs.missing_certificates(), *environment.missing(ROOT)], "Gatehouse needs")
    python = environment.ready(ROOT, "run")
    return hand_over([python, "-I", "-m", "app", *arguments], environment.of_children())


def test(arguments: list[str]) -> int:
    if LINUX:
        missing = [*needs.missing_libraries(), *needs.missing_programs(), *needs.missing_certificates()]
        needs.provide([*missing, *environment.missing(ROOT)], "The tests need")
    python = environment.ready(ROOT, "test")
    for name, command in checks(python):
        began = time.monotonic()
        done = subprocess.run(
            command, check=False, cwd=ROOT, env=environment.of_children(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if done.returncode != 0:
            sys.stdout.flush()
            sys.stdout.buffer.write(done.stdout)
            sys.stdout.flush()
            raise Stop(f"{name} failed, so nothing after it was run.")
        print(f"{name}: ok, {time.monotonic() - began:.1f} s", flush=True)
    return run_pytest(python, arguments)


def checks(python: str) -> list[tuple[str, list[str]]]:
    mypy = [python, "-I", "-m", "mypy", "--no-error-summary", "-p", "app"]
    # mypy keeps one cache per Python version, not per platform: sharing it would make each run undo the one before.
    platforms = [
        (f"mypy for {platform}", [*mypy, "--platform", platform, "--cache-dir", f".mypy_cache/{platform}"])
        for platform in ("linux", "darwin", "win32")
    ]
    lint = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    return [
        ("ruff check", [python, "-I", "-m", "ruff", "check", "--quiet", "."]),
        ("ruff format", [python, "-I", "-m", "ruff", "format", "--quiet", "--check", "--diff", "."]),
        *platforms,
        ("import-linter", [python, "-P", "-c", lint, "--no-logo"]),
    ]


def run_pytest(python: str, arguments: list[str]) -> int:
    """As who started it. Root (Linux) runs what only root may do, and as an ordinary user everything else."""
    if not LINUX or os.geteuid() != 0:
        return pytest(python, arguments, ROOT, environment.of_children())
    import ordinary  # noqa: PLC0415 - Linux only

    began = time.monotonic()
    with ordinary.folder() as folder:
        try:
            user = ordinary.prepare(ROOT, python, folder, arguments)
        except ordinary.CannotError as why:
            said = f"NOT RUN AS AN ORDINARY USER: {why}. The tests run as root instead, which is less than a person's own run tells."
            print(said, flush=True)
            code = pytest(python, arguments, ROOT, environment.of_children())
            print(said, flush=True)
            return code
        print(f"made ready for the user {ordinary.NAME}, with {user.base}: {time.monotonic() - began:.1f} s", flush=True)
        print("What needs root, as root:", flush=True)
        which = "few" if user.has_namespaces() else "more"
        roots = pytest(python, [f"--root-cases={which}", *arguments], ROOT, environment.of_children())
        print(f"Everything else, as {ordinary.NAME}:", flush=True)
        rest = pytest(user.python, user.translated(arguments), user.root, user.variables, user)
    return together(roots, rest)


def together(roots: int, rest: int) -> int:
    """The worse of both. 5 is pytest's "no test fits these words", which one of both may say."""
    if 5 in (roots, rest):
        return roots if rest == 5 else rest
    return roots or rest


def pytest(python: str, arguments: list[str], root: str, variables: dict[str, str], user: ordinary.Ordinary | None = None) -> int:
    """pytest on a screen and a message bus of its own (Linux), so that it never meets the person's windows or keyring. user: as them."""
    # Most tests wait for processes and sockets, so more of them run at once than there are cores; a file's tests stay together.
    workers = (
        [] if any(word in ("-n", "--pdb", "-s") or word.startswith("-n=") for word in arguments) else ["-n", "3", "--dist", "loadfile"]
    )
    command = [python, "-P", "-m", "pytest", *workers, *arguments]
    # The workers must find the same tests under the same names, also where names are made from a set.
    seeded = variables | {"PYTHONHASHSEED": "0"}
    if not LINUX:
        return wait_for(command, seeded, root)
    command = ["dbus-run-session", "--", "xvfb-run", "-a", "-s", "-screen 0 1600x1200x24", *command]
    place = None if user is None else user.variables["TMPDIR"]
    with tempfile.TemporaryDirectory(prefix="gh-", dir=place, ignore_cleanup_errors=True) as private:
        private_environment = dict(seeded)
        for name in ("XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
            folder = os.path.join(private, name[4:].split("_")[0].lower())
            os.mkdir(folder, 0o700)
            if user is not None:
                os.chown(folder, user.uid, user.gid)
            private_environment[name] = folder
        for name in ("WAYLAND_DISPLAY", "DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "GNOME_KEYRING_CONTROL"):
            private_environment.pop(name, None)
        if user is not None:
            os.chmod(private, 0o711)
        return wait_for(command, private_environment, root, user)


def display() -> bool:
    """Whether a window could be shown. On Linux the display must answer, because Qt ends the process when it does not."""
    if not LINUX:
        return True
    if os.environ.get("QT_QPA_PLATFORM", "").split(":")[0] in ("offscreen", "minimal", "vnc", "eglfs", "linuxfb"):
        return True
    wayland = os.environ.get("WAYLAND_DISPLAY", "")
    if wayland and answers(socket.AF_UNIX, os.path.join(os.environ.get("XDG_RUNTIME_DIR", ""), wayland)):
        return True
    host, colon, rest = os.environ.get("DISPLAY", "").rpartition(":")
    number = rest.split(".")[0]
    if not colon or not number.isdigit():
        return False
    if host in ("", "unix"):
        path = f"/tmp/.X11-unix/X{number}"
        return answers(socket.AF_UNIX, "\0" + path) or answers(socket.AF_UNIX, path)
    return answers(socket.AF_INET, (host, 6000 + int(number)))


def answers(family: int, address: object) -> bool:
    try:
        with socket.socket(family) as sock:
            sock.settimeout(2)
            sock.connect(address)  # type: ignore[arg-type]  # an address fits its family
    except OSError:
        return False
    return True


# -- which Python


def right_python() -> list[str] | None:
    """None: this one will do. Otherwise the command of one that will. Stop when there is none."""
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return None
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        for command in ([f"python3.{minor}"], ["py", f"-3.{minor}"]):
            if shutil.which(command[0]) and environment.version_of(command) == (3, minor):
                return command
    here = ".".join(str(part) for part in sys.version_info[:2])
    if sys.version_info[:2] > NEWEST:
        return None  # newer than anything tried: let it try
    raise Stop(
        f"Gatehouse needs Python 3.{OLDEST[1]} or newer; this is {here}, and no newer one was found. "
        "Install one from your system's packages (for example python3.12) and run the command with it."
    )


# -- children


def hand_over(command: list[str], variables: dict[str, str]) -> int:
    """Becomes the command, so that signals reach it. Windows cannot: there this process waits and passes the exit code on."""
    if os.name != "nt":
        sys.stdout.flush()
        program = shutil.which(command[0]) or command[0]
        os.execve(program, command, variables)
    return wait_for(command, variables)


def wait_for(command: list[str], variables: dict[str, str], folder: str | None = None, user: ordinary.Ordinary | None = None) -> int:
    """The exit code. user: who it runs as, when not as us."""
    child = subprocess.Popen(command, env=variables, cwd=folder, **({} if user is None else user.identity()))
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue  # the child got it, too, and ends in its own time


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
