"""What the tests need to run as an ordinary user when root started them. Linux. Standard library only.

A person uses the program as themselves, and root may do what they may not, so a suite that only root has run says little. The user is
`nobody`: every Linux has it, and a bus or a keyring refuses a number without a name. It gets, in a private folder: a copy of the project
(tests write beside it), an environment whose files are links to `.venv`'s (650 MB; they stay root's, so it cannot change them), a home.
Root's own Python is often out of its reach (pyenv in /root is 0700); another of the same version, which loads the same packages, stands in.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import environment

NAME = "nobody"
LEFT_OUT = {
    ".git", ".venv", ".venv.lock", ".hypothesis", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".import_linter_cache", "build", "dist",
}  # fmt: skip
# What the tests import first; a library or package that this user cannot read says so here, before any test does.
TRY = "import app, ctypes, pytest, hypothesis, httpx2, msgspec, sqlcipher3, cryptography, keyring, psutil, PySide6.QtWidgets"
# These write where root said, read what root's last run left, or want root's terminal.
ROOTS_FILES = (
    "--junit", "--basetemp", "--report", "--cov", "--lf", "--last-failed", "--ff", "--failed-first", "--nf", "--new-first", "--sw",
    "--stepwise", "--cache", "--debug", "--pdb", "--trace", "-s",
)  # fmt: skip


class CannotError(Exception):
    """The tests cannot run as an ordinary user here; the text is the reason."""


@dataclass(frozen=True)
class Ordinary:
    """Who runs the tests, and with what. root: their copy of the project. base: the interpreter of their environment."""

    uid: int
    gid: int
    root: str
    variables: dict[str, str]
    base: str = ""
    original: str = ""

    @property
    def python(self) -> str:
        return os.path.join(self.root, ".venv", "bin", "python")

    def identity(self) -> dict[str, Any]:
        """For `subprocess`: this user, without any other group; capabilities go with root."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def run(self, command: list[str], folder: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            command, check=False, cwd=folder, env=self.variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=120, **self.identity(),
        )  # fmt: skip

    def has_namespaces(self) -> bool:
        """Whether this user can be root of a network and of mounts of their own; many tests are."""
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            return self.run(["unshare", "-Urnm", "ip", "link", "set", "lo", "up"], self.root).returncode == 0
        return False

    def translated(self, arguments: list[str]) -> list[str]:
        """pytest's arguments with their copy's places, and its folders in theirs, where they go when the run ends."""
        return [f"--basetemp={self.variables['HOME']}/t", *(word.replace(self.original, self.root) for word in arguments)]


@contextlib.contextmanager
def folder() -> Iterator[str]:
    """A new folder of root's where another user can get to, gone afterwards. The name is short: sockets' paths are."""
    places = [place for place in (tempfile.gettempdir(), "/tmp", "/var/tmp") if _reachable(place) and os.stat(place).st_mode & stat.S_IWOTH]
    with tempfile.TemporaryDirectory(prefix="gh-", dir=places[0] if places else None, ignore_cleanup_errors=True) as made:
        yield made


def prepare(root: str, python: str, private: str, arguments: list[str]) -> Ordinary:
    """private: an empty folder of root's, which it stays. python: that of `root`'s environment. CannotError with the reason."""
    for word in arguments:
        if word.startswith(ROOTS_FILES):
            raise CannotError(f"{word} is about files or a terminal of root's")
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        raise CannotError(f"there is no user {NAME} here") from None
    if entry.pw_uid == 0:
        raise CannotError(f"{NAME} is root here")
    try:
        os.chmod(private, 0o711)
        user = Ordinary(entry.pw_uid, entry.pw_gid, os.path.join(private, "gatehouse"), _variables(private, entry), original=root)
        user = replace(user, base=_interpreter(user, python, private))
        copy_project(root, user)
        copy_environment(root, python, user)
        give(user)
        _try(user)
    except (OSError, shutil.Error, subprocess.SubprocessError) as error:
        raise CannotError(f"what {NAME} needs could not be made: {error}") from error
    return user


def copy_project(root: str, user: Ordinary) -> None:
    """Everything but what tools keep there."""
    shutil.copytree(root, user.root, symlinks=True, ignore=lambda _, names: LEFT_OUT & set(names))


def copy_environment(root: str, python: str, user: Ordinary) -> None:
    """`.venv` again, started by the user's interpreter. Its files are the same ones."""
    ours, theirs = os.path.join(root, ".venv"), os.path.join(user.root, ".venv")
    for place, folders, files in os.walk(ours):
        here = os.path.join(theirs, os.path.relpath(place, ours))
        os.makedirs(here, exist_ok=True)
        for name in [*files, *(each for each in folders if os.path.islink(os.path.join(place, each)))]:
            _link(os.path.join(place, name), os.path.join(here, name))
    programs = os.path.dirname(user.python)
    for name in os.listdir(programs):
        if name.startswith("python"):
            os.unlink(os.path.join(programs, name))
    os.symlink(user.base, user.python)
    for name in ("python3", f"python3.{sys.version_info[1]}"):
        os.symlink("python", os.path.join(programs, name))
    home = os.path.dirname(user.base)
    _write(os.path.join(theirs, "pyvenv.cfg"), f"home = {home}\ninclude-system-site-packages = false\nversion = {_version()}\n")
    packages = os.path.relpath(environment.site_packages(python), ours)
    _write(os.path.join(theirs, packages, "gatehouse-source.pth"), user.root + "\n")


def give(user: Ordinary) -> None:
    """All of the copy becomes the user's, except files that `.venv` has, too. From within: in a folder that is theirs already they, or
    another program of theirs, could put a link to something of root's."""
    for place, folders, files in os.walk(user.root, topdown=False):
        for name in (*folders, *files):
            path = os.path.join(place, name)
            found = os.lstat(path)
            if not (stat.S_ISREG(found.st_mode) and found.st_nlink > 1) and not stat.S_ISDIR(found.st_mode):
                os.chown(path, user.uid, user.gid, follow_symlinks=False)
        os.chown(place, user.uid, user.gid)


def _link(source: str, place: str) -> None:
    found = os.lstat(source)
    if stat.S_ISREG(found.st_mode) and found.st_mode & stat.S_IROTH:
        with contextlib.suppress(OSError):  # on another disk, or a disk without links
            os.link(source, place)
            return
    shutil.copy2(source, place, follow_symlinks=False)


def _write(path: str, text: str) -> None:
    """A new file in the place of a link: the one that it led to stays as it is."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o644)


def _variables(private: str, entry: pwd.struct_passwd) -> dict[str, str]:
    """Ours, with a home and a name of the user's, without what leads into root's folders."""
    home = os.path.join(private, "home")
    os.mkdir(home, 0o700)
    os.chown(home, entry.pw_uid, entry.pw_gid)
    # What leads into root's folders or sessions.
    dropped = (
        "XDG_", "SUDO_", "VIRTUAL_ENV", "PYENV", "MAIL", "OLDPWD", "XAUTHORITY", "ICEAUTHORITY", "GNOME_KEYRING", "DBUS_", "PIP_CONFIG",
    )  # fmt: skip
    kept = {name: value for name, value in environment.of_children().items() if not name.startswith(dropped)}
    path = os.pathsep.join(place for place in kept.get("PATH", os.defpath).split(os.pathsep) if _reachable(place))
    places = {"HOME": home, "TMPDIR": os.path.dirname(private), "PATH": path}
    return {**kept, **places, "USER": entry.pw_name, "LOGNAME": entry.pw_name, "SHELL": "/bin/sh"}


def _reachable(place: str) -> bool:
    """Whether every user can go there: the folder and all above it let them pass."""
    try:
        path = os.path.realpath(place)
        while os.path.isabs(place) and os.stat(path).st_mode & stat.S_IXOTH:
            if path == os.path.dirname(path):
                return os.path.isdir(place)
            path = os.path.dirname(path)
    except OSError:
        pass
    return False


def _interpreter(user: Ordinary, python: str, private: str) -> str:
    """A Python of this version that the user can start: root's own, or another on the path."""
    code = "import sys; print(sys._base_executable)"
    own = subprocess.run([python, "-I", "-c", code], check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout.strip()
    name = f"python3.{sys.version_info[1]}"
    places = [*user.variables["PATH"].split(os.pathsep), "/usr/local/bin", "/usr/bin"]
    for each in dict.fromkeys([own, *(os.path.join(place, name) for place in places)]):
        if os.path.exists(each) and _starts(user, each, private):
            return os.path.realpath(each)
    raise CannotError(f"{own} is out of {NAME}'s reach, and no other {name} was found")


def _starts(user: Ordinary, python: str, private: str) -> bool:
    code = f"import ssl, ctypes, sqlite3, zlib, sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]!r})"
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return user.run([python, "-I", "-c", code], private).returncode == 0
    return False


def _version() -> str:
    return ".".join(str(part) for part in sys.version_info[:3])


def _try(user: Ordinary) -> None:
    """Screen, bus and packages, as this user."""
    done = user.run(["dbus-run-session", "--", "xvfb-run", "-a", user.python, "-P", "-c", TRY], user.root)
    if done.returncode != 0:
        last = done.stdout.decode(errors="replace").strip().splitlines()[-1:]
        raise CannotError(f"screen, bus and packages were not to be had as {NAME}: {''.join(last)}")
