"""A folder of ours and what is in it: made for this user alone, and refused where somebody else may have put something into it.

What counts as planted: a link where a file or folder of ours should be, an entry that belongs to another user, and everything in a folder
that others can write to. It is refused in a sentence, and nothing is removed or followed. What only lets others *read* is closed (0700,
0600): nobody can have changed anything through it.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path
from typing import Final

from app.core.errors import AppError
from app.system import access_list, owners
from app.system.files import PROBE, open_own

# `journal`, `gatehouse.db` and `window.json` are where an earlier version had them.
FOLDERS: Final = ("logs", "run", "engine", "window", "journal")
FILES: Final = ("vault.json", "declared.json", "lock", "control.json", PROBE, "gatehouse.db", "window.json")
_INNER: Final = ("engine/journal",)
_CHILDRENS: Final = ("engine", "window")
_WINDOWS: bool = sys.platform == "win32"
_ELSEWHERE: Final = "Use a folder of your own with --data-dir"
_LOOK: Final = "Look at who put it there and take it away, or name another folder with --data-dir."


def private_folder(folder: Path) -> None:
    """Make `folder` (and what is above it), open to this user alone. AppError `data_folder` if that cannot be.

    It may be reached through links of this user or of the system, but must lie where nobody else can put another in its place: keys would
    be written into that one. One of this user's that others can only read is closed, unless it
    holds other things: narrowing somebody's documents is not ours to do, and nobody else writes there. One that others can write to is
    closed when it is empty, and refused when it is not: what is in it may be theirs. That is so for every folder, also of an earlier run;
    ours were never made like that.
    """
    try:
        place, planted = owners.resolved(folder)
        if planted := planted or _exchangeable(folder) or _exchangeable(place):
            raise _planted(folder, planted)
        made = _make(place)
        facts = place.lstat()
        if not stat.S_ISDIR(facts.st_mode):
            raise FileExistsError
        if _WINDOWS:
            _close_on_windows(place, made=made)
            return
        if facts.st_uid != owners.own_uid():
            raise AppError(
                "data_folder", f"The folder “{folder.name}” belongs to another user.", f"{_ELSEWHERE}, or start Gatehouse as its owner."
            )
        _close(place, facts, made=made)
    except FileExistsError:
        raise AppError("data_folder", f"“{folder.name}” is a file, not a folder.", "Name a folder with --data-dir.") from None
    except OSError as error:
        raise unusable(folder, error) from None


def examine(folder: Path) -> None:
    """Look at everything of ours in a data folder, before any of it is opened. AppError `data_folder` naming the first that is not ours."""
    if _WINDOWS:
        _examine_on_windows(folder)
        return
    try:
        for entry in sorted(folder.iterdir()):
            if entry.name in FOLDERS:
                _own_folder(entry, entry.name)
            elif is_ours(entry.name):
                _own_file(entry, entry.name)
    except OSError as error:
        raise unusable(folder, error) from None


def is_ours(name: str) -> bool:
    """Whether an entry of a data folder is one that Gatehouse makes; others are the person's business."""
    return name in FOLDERS or name in FILES or name.startswith(("gatehouse.db-", "gatehouse.db."))


def unusable(folder: Path, error: OSError) -> AppError:
    """What to tell a person about a folder that cannot be used. Names its last part only: texts like this get copied around."""
    reasons = {
        errno.ENOSPC: ("the disk is full", "Free some space, then start Gatehouse again."),
        errno.EDQUOT: ("your disk quota is used up", "Free some space, then start Gatehouse again."),
        errno.EROFS: ("it is on a read-only disk", "Name a folder that can be written with --data-dir."),
    }
    reason, hint = reasons.get(
        error.errno or 0,
        (
            (error.strerror or type(error).__name__).lower(),
            "Make it writable for your user, or name another folder with --data-dir.",
        ),
    )
    return AppError("data_folder", f"The folder “{folder.name}” cannot be used: {reason}.", hint)


def make_level(folder: Path) -> None:
    """One folder, mode 0700 whatever the umask says; that it is there already is no error."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        return
    if _WINDOWS:
        access_list.close(folder)


def _exchangeable(folder: Path) -> str:
    """Why somebody else could put another folder there, or another link on the way, judged by what is there already: the rest will be
    ours."""
    if _WINDOWS:
        return ""
    level = folder.parent
    while not level.exists():
        level = level.parent
    reason = owners.movable(level)
    return f"{reason}, and so it could be exchanged for another" if reason else ""


def _make(folder: Path) -> bool:
    """Whether it had to be made. What is above it is made as private as itself: others could otherwise put theirs in its place."""
    missing = []
    level = folder
    while not level.exists():
        missing.append(level)
        level = level.parent
    for each in reversed(missing):
        make_level(each)
    return bool(missing)


def _close(place: Path, facts: os.stat_result, *, made: bool) -> None:
    """Close an own folder, or say why not. Emptiness is looked at once nobody else can put anything in any more."""
    if not owners.open_to_others(facts):
        return
    if not owners.others_may_write(facts):
        if made or _holds_ours(place):
            place.chmod(0o700)
        return
    if any(place.iterdir()):
        raise _wide(place.name, facts)
    place.chmod(0o700)
    if any(place.iterdir()):
        raise _wide(place.name, facts)


def _holds_ours(folder: Path) -> bool:
    """A folder is ours to close when it is empty or holds what only we put there."""
    names = {entry.name for entry in folder.iterdir()}
    return not names or any(is_ours(name) for name in names) or bool({"keeper.log", "control.sock", "instance.sock"} & names)


def _own_folder(folder: Path, name: str) -> None:
    """And all that is in it, but sockets, which are looked at by those who connect to them."""
    facts = folder.lstat()
    if stat.S_ISDIR(facts.st_mode) and facts.st_uid == owners.own_uid():
        _close(folder, facts, made=True)
    elif reason := owners.not_private(name, facts):
        raise AppError("data_folder", f"{reason[0].upper()}{reason[1:]}; in a data folder it must be a folder of yours.", _LOOK)
    for inner in sorted(folder.iterdir()) if name != "run" else ():
        if f"{name}/{inner.name}" in _INNER:
            _own_folder(inner, f"{name}/{inner.name}")
        else:
            _own_file(inner, f"{name}/{inner.name}", sheltered=name.startswith(_CHILDRENS) and not owners.open_to_others(facts))


def _own_file(path: Path, name: str, *, sheltered: bool = False) -> None:
    """sheltered: in a closed folder whose process makes files as it likes. Others never came to it, so that one of its is open is closed,
    and is no reason to refuse the next start."""
    facts = path.lstat()
    if stat.S_ISLNK(facts.st_mode):
        raise AppError("data_folder", f"“{name}” in the data folder is a link, and Gatehouse writes through none.", _LOOK)
    if not stat.S_ISREG(facts.st_mode):
        raise AppError("data_folder", f"“{name}” in the data folder is not a file.", _LOOK)
    if facts.st_uid != owners.own_uid():
        raise AppError("data_folder", f"“{name}” in the data folder belongs to another user.", _LOOK)
    if owners.others_may_write(facts) and not sheltered:
        raise _wide(name, facts)
    if owners.open_to_others(facts):
        descriptor = open_own(path, os.O_RDONLY)
        try:
            if sys.platform != "win32":
                os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)


def _wide(name: str, facts: os.stat_result) -> AppError:
    return AppError(
        "data_folder",
        f"Other users can write to “{name}” (mode {stat.S_IMODE(facts.st_mode):04o}), so what is in it may be theirs.",
        "If you trust what is in it, close it with chmod -R go= and start again; else name another folder with --data-dir.",
    )


def _planted(folder: Path, reason: str) -> AppError:
    return AppError("data_folder", f"The folder “{folder.name}” is not used: {reason}.", f"{_ELSEWHERE}, in a place that is yours as well.")


def _close_on_windows(place: Path, *, made: bool) -> None:
    if (reason := access_list.exposed(place)) and (made or not any(place.iterdir())):
        access_list.close(place)
        reason = access_list.exposed(place)
    if reason:
        raise AppError("data_folder", f"The folder “{place.name}” is not used: {reason}.", f"{_ELSEWHERE}, below your user profile.")


def _examine_on_windows(folder: Path) -> None:
    for entry in sorted(folder.iterdir()):
        if is_ours(entry.name) and (reason := access_list.exposed(entry)):
            raise AppError("data_folder", f"“{entry.name}” in the data folder is not used: {reason}.", _LOOK)
