"""Where the sockets of a data folder are: a short folder of this user alone, which no other user can have prepared.

Sockets are not simply in the data folder, because the path of one may have 104 characters on macOS (`sockaddr_un`, 108 on Linux), and
because they should vanish with the login session. So there is a list of places, and the keeper takes the first that is its user's own
or still free: the login session's folder, the system's for that session, one in the temporary folders. There another user may have made
a folder or a link of that name first (they are guessable, and anybody can write there): such a place is passed over, and so is every one
that somebody else could exchange later. The last two are always left: the data folder itself, where its path is short enough, and a
temporary folder with a name that nobody can guess.

Who looks for the keeper finds its place in the lock's file, which only this user can write; so programs find it that were started with
other variables (cron, ssh, su). Without a keeper it is the first of the list. Either way whoever connects looks at the place once more,
and asks the system who is at the other end (`peers`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from app.core.errors import AppError
from app.system import owners
from app.system.files import read_own
from app.system.folders import make_level

LONGEST_SOCKET_NAME: Final = "instance.sock"
_SOCKET_PATH_MAX: Final = 100
_COMMON: Final = Path("/tmp")  # noqa: S108 - every user's; what is taken there is looked at
_RECORD_MAX: Final = 16 * 1024
_WINDOWS: bool = sys.platform == "win32"
_TRIES: Final = 8


def find(named: Path, lock: Path) -> Path:
    """The folder of the sockets for the data folder called `named`, as a keeper's lock file says, else where a keeper would put it."""
    if _WINDOWS:
        return _on_windows(named)
    return _recorded(named, lock) or next(_free(named), _beside_the_data(named))


def settle(named: Path) -> Path:
    """Make the folder for the sockets, for a keeper. AppError `data_folder` when there is no place for it at all."""
    if _WINDOWS:
        place = _on_windows(named)
        place.mkdir(parents=True, exist_ok=True)
        return place
    for place in _free(named):
        if _made(place):
            return place
    for _ in range(_TRIES):
        place = _COMMON / f"{_name_for_all()}-{os.urandom(6).hex()}" / _hashed(named)
        if _made(place):
            return place
    raise AppError(
        "data_folder",
        "There is no folder for Gatehouse's sockets that other users cannot get at.",
        "Set XDG_RUNTIME_DIR to a folder of your own with mode 0700, or name a data folder with a shorter path.",
    )


def leave(place: Path) -> None:
    """Remove what is empty of a place that a keeper had; the folder for all data folders stays, unless its name served this one alone."""
    with contextlib.suppress(OSError):
        place.rmdir()
        if not _WINDOWS and place.parent.name.startswith(f"{_name_for_all()}-"):
            place.parent.rmdir()


def temporary_root() -> Path:
    """Where temporary folders go: as the environment says, unless others could exchange what is there."""
    given = Path(os.environ.get("TMPDIR") or os.environ.get("TEMP") or _COMMON)
    return given if _WINDOWS or not owners.movable(given) else _COMMON


def _free(named: Path) -> Iterator[Path]:
    """The places in their order, without those where somebody else is or could be."""
    for place in _places(named):
        if len(os.fsencode(place / LONGEST_SOCKET_NAME)) <= _SOCKET_PATH_MAX and _is_free(place):
            yield place


def _places(named: Path) -> Iterator[Path]:
    uid, hashed = owners.own_uid(), _hashed(named)
    # Only a session of one's own: that of somebody who happens to be logged in as well ends, and its folder with it.
    if (given := os.environ.get("XDG_RUNTIME_DIR")) and _is_own_session(session := Path(given), uid):
        yield session / "gatehouse" / hashed
    for temporary in (temporary_root(), _COMMON):
        yield temporary / _name_for_all() / hashed
    yield _beside_the_data(named)


def _is_own_session(folder: Path, uid: int) -> bool:
    try:
        facts = folder.lstat()
    except OSError:
        return False
    return facts.st_uid == uid and stat.S_ISDIR(facts.st_mode) and os.access(folder, os.W_OK | os.X_OK)


def _is_free(place: Path) -> bool:
    """Whether both levels of a place are our folders or not there yet, where nobody else can exchange what is made."""
    root = place.parent if place.name != "run" else None
    if owners.movable(root.parent if root is not None else place.parent):
        return False
    return all(_is_own_or_absent(level) for level in (root, place) if level is not None)


def _is_own_or_absent(folder: Path) -> bool:
    try:
        facts = folder.lstat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == owners.own_uid()


def _made(place: Path) -> bool:
    """Make both levels and close what of ours is open; whether sockets can be made there, and by nobody else."""
    levels = (place,) if place.name == "run" else (place.parent, place)
    try:
        for level in levels:
            make_level(level)
            facts = level.lstat()
            if stat.S_ISDIR(facts.st_mode) and facts.st_uid == owners.own_uid() and owners.open_to_others(facts):
                level.chmod(0o700)
            if owners.exposed(level):
                return False
        _try_socket(place)
    except OSError:
        return False
    return True


def _try_socket(place: Path) -> None:
    """OSError where the file system has no sockets, as on some shared folders."""
    path = place / f".{os.getpid()}"
    with socket.socket(socket.AddressFamily["AF_UNIX"]) as tried:
        try:
            tried.bind(os.fspath(path))
        finally:
            path.unlink(missing_ok=True)


def _recorded(named: Path, lock: Path) -> Path | None:
    """Where the keeper that holds the lock, or held it when it died, has its sockets."""
    with contextlib.suppress(OSError, ValueError, RecursionError, TypeError, AttributeError):
        place = Path(json.loads(read_own(lock, _RECORD_MAX))["instance"]).parent
        # A copied data folder brings its lock's file along: the original's keeper is not the copy's.
        if place.is_absolute() and (place.name == _hashed(named) or place == _beside_the_data(named)):
            return place
    return None


def _beside_the_data(named: Path) -> Path:
    return Path(os.path.realpath(named)) / "run"


def _hashed(named: Path) -> str:
    """The same for every spelling of the data folder, and short."""
    return hashlib.sha256(os.fsencode(os.path.realpath(named))).hexdigest()[:8]


def _name_for_all() -> str:
    return f"gatehouse-{owners.own_uid()}"


def _on_windows(named: Path) -> Path:
    """Nothing secret is in it: there the channels are loopback connections with a token, which is in the data folder."""
    local = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return local / "Gatehouse-run" / _hashed(named)
