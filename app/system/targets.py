"""Where the window may have something written. Its word is not enough: what asks may be code that was put into it.

So the name is one that nothing starts, reads at a sign-in or imports (`core.exports`), it is not hidden, nothing has it yet, and the
folder is one that is there already, neither hidden nor one of the program's own, where nobody else could put another in its place.
A person's own command line is bound by `system.sink` alone.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import app
from app.core.errors import AppError
from app.core.exports import Kind
from app.system import owners
from app.system.sink import Folder

_WINDOWS: bool = sys.platform == "win32"
_PATH_MAX: Final = 4096
# Below the home folder, what a session or a shell reads by itself, also where a link leads out of its hidden folder.
_READ_BY_SYSTEMS: Final = (
    ".config", ".config/autostart", ".config/autostart-scripts", ".config/environment.d", ".config/plasma-workspace", ".config/systemd",
    ".config/fish", ".local", ".local/bin", ".local/share", ".local/share/applications", ".local/share/systemd", ".ssh", ".gnupg", "bin",
)  # fmt: skip
_MACOS: Final = ("Library",)
_MACOS_CLOUDS: Final = ("Library/Mobile Documents", "Library/CloudStorage")
_VARIABLES: Final = ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "APPDATA", "LOCALAPPDATA")
_NOT_IN_NAMES: Final = frozenset('<>:"/\\|?*') if _WINDOWS else frozenset("/")


def choose(kind: Kind, path: object, ours: Iterable[Path], environment: Mapping[str, str]) -> tuple[Folder, str]:
    """The open folder and the name in it. ours: folders of this gateway. AppError name_invalid, data_folder, otherwise."""
    target = _named(kind, path)
    folder = Folder.at(target.parent)
    try:
        _judge(folder, ours, environment)
    except BaseException:
        folder.close()
        raise
    return folder, target.name


def _named(kind: Kind, path: object) -> Path:
    """AppError name_invalid where the text is no path, or its last part no name for that kind."""
    if not isinstance(path, str) or not path or len(path) > _PATH_MAX:
        raise AppError("name_invalid", "An export needs the path of something new.", "Choose where it goes.")
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in path):
        raise AppError("name_invalid", "A path with control characters is not written to.", "Choose another place.")
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise AppError("name_invalid", "That is no path of this system.", "Choose another place.") from None
    target = Path(path)
    if not target.is_absolute() or ".." in target.parts:
        raise AppError("name_invalid", "The path of an export begins at the root and goes down only.", "Choose where it goes.")
    name = target.name
    if name.startswith("."):
        raise AppError("name_invalid", "An export gets no hidden name.", "Choose one that does not begin with a dot.")
    if not name.isprintable() or _NOT_IN_NAMES & set(name):
        raise AppError("name_invalid", "That is no name for a file.", "Choose another one.")
    if not kind.fits(name):
        wanted = f"{kind.prefix} and a number" if kind.prefix else f"an ending: {', '.join(kind.endings)}"
        raise AppError("name_invalid", f"{name} is not a name for this export, which has {wanted}.", "Choose another one.")
    return target


def _judge(folder: Folder, ours: Iterable[Path], environment: Mapping[str, str]) -> None:
    """AppError data_folder where no export goes."""
    place, home = folder.path, Path.home()
    if _hidden(place, home):
        raise _refused(place, "is hidden, or lies in a hidden folder")
    if set(folder.levels) & _identities((*ours, *_own())):
        raise _refused(place, "belongs to Gatehouse itself")
    if set(folder.levels) & _identities(_read_by_systems(home, environment)):
        raise _refused(place, "is one that this system reads by itself")
    if reason := owners.movable(place) if not _WINDOWS else "":
        raise AppError(
            "data_folder",
            f"Nothing is exported into “{place.name or place}”: {reason}.",
            "Choose a folder that only you can write to, or export with the command line.",
        )


def _hidden(place: Path, home: Path) -> bool:
    """Whether a part of the path begins with a dot; those above the home folder are the administrator's business."""
    with contextlib.suppress(OSError):
        home = home.resolve()
    parts = place.relative_to(home).parts if place.is_relative_to(home) else place.parts
    return any(part.startswith(".") for part in parts)


def _own() -> list[Path]:
    """Where this program and its interpreter lie."""
    package = Path(app.__file__).parent
    return [package, package.parent, Path(sys.prefix), Path(sys.executable).parent]


def _read_by_systems(home: Path, environment: Mapping[str, str]) -> list[Path]:
    found = [home / name for name in _READ_BY_SYSTEMS]
    if sys.platform == "darwin":
        clouds = _identities(home / name for name in _MACOS_CLOUDS)
        found += [each for name in _MACOS for each in (home / name).glob("*") if not _identities((each,)) & clouds]
    return found + [Path(value) for name in _VARIABLES if (value := environment.get(name))]


def _identities(paths: Iterable[Path]) -> set[tuple[int, int]]:
    """Of what is there; links are followed. The home folder and what is above it are not meant, whatever leads there."""
    found = set()
    for path in paths:
        with contextlib.suppress(OSError, ValueError):
            facts = os.stat(path)  # noqa: PTH116 - a path of the environment may be no Path at all
            found.add((facts.st_dev, facts.st_ino))
    home = Path.home().resolve()
    for above in (home, *home.parents):
        with contextlib.suppress(OSError):
            facts = above.stat()
            found.discard((facts.st_dev, facts.st_ino))
    return found


def _refused(place: Path, why: str) -> AppError:
    return AppError("data_folder", f"Nothing is exported into “{place.name or place}”: it {why}.", "Choose another folder.")
