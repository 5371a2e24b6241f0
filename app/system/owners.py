"""Who could have put what lies at a path: owner, mode and kind of every level, read with lstat(2), never through a link unasked.

A folder of ours is a folder, ours, closed to everybody else, and nobody but us can put another in its place: every level above it is the
system's or ours, and those that others can write to have the sticky bit. Links on the way to it are followed if they are the system's or
the person's own (`~/.local/share` on another disk); those that others made decide nothing here.

The administrator's folders count on the way, because that user can do anything; the folder itself must be ours, also from the
administrator. On Windows modes say nothing; there `access_list` looks at owner and access list.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

_LINKS_MAX: Final = 40
_OTHERS_WRITE: Final = 0o022
_ANYBODY_ELSE: Final = 0o077
_ROOT: Final = 0


def own_uid() -> int:
    """The user that the kernel holds this process for: files it makes belong to that user."""
    if sys.platform == "win32":
        return -1
    else:  # noqa: RET505 - for the type checker, which looks at one system at a time
        return os.geteuid()


def resolved(path: Path) -> tuple[Path, str]:
    """Where `path` leads, and why somebody else may have decided that, or "". A part that does not exist yet is taken as written.

    OSError where a level cannot be looked at, or links go in circles.
    """
    at = Path(path.absolute().anchor)
    for at, facts in _levels(path):
        if facts is not None and stat.S_ISLNK(facts.st_mode) and not _counts_on_the_way(facts.st_uid):
            return at, f"“{at.name}” on the way to it is a link that another user made"
    return at, ""


def movable(folder: Path) -> str:
    """Why somebody else could put another folder in the place of what is in `folder`, or "". That it cannot be looked at is a reason."""
    try:
        for at, facts in _levels(folder):
            if facts is None:
                return f"“{at.name}” does not exist"
            name = at.name or str(at)
            if not _counts_on_the_way(facts.st_uid):
                return f"“{name}” belongs to another user"
            if stat.S_ISDIR(facts.st_mode) and _others_may_rename(facts):
                return f"“{name}” can be written by other users"
    except OSError as error:
        return f"“{folder.name}” cannot be looked at ({error.strerror})"
    return ""


def exposed(folder: Path) -> str:
    """Why a socket in `folder` may be somebody else's, or "". It must be a folder, ours, with mode 0700, where nobody can exchange it."""
    try:
        facts = folder.lstat()
    except OSError as error:
        return f"“{folder.name}” cannot be looked at ({error.strerror})"
    return not_private(folder.name, facts) or movable(folder.parent)


def not_private(name: str, facts: os.stat_result) -> str:
    """Why that entry is no folder of ours that is closed to everybody else, or ""."""
    if stat.S_ISLNK(facts.st_mode):
        return f"“{name}” is a link"
    if not stat.S_ISDIR(facts.st_mode):
        return f"“{name}” is not a folder"
    if facts.st_uid != own_uid():
        return f"“{name}” belongs to another user"
    if stat.S_IMODE(facts.st_mode) & _ANYBODY_ELSE:
        return f"“{name}” is open to other users (mode {stat.S_IMODE(facts.st_mode):04o})"
    return ""


def others_may_write(facts: os.stat_result) -> bool:
    return bool(stat.S_IMODE(facts.st_mode) & _OTHERS_WRITE)


def open_to_others(facts: os.stat_result) -> bool:
    return bool(stat.S_IMODE(facts.st_mode) & _ANYBODY_ELSE)


def _levels(path: Path) -> Iterator[tuple[Path, os.stat_result | None]]:
    """Every level from the root to where `path` leads; links among them, each before what it points to. None: nothing is there yet."""
    path = path.absolute()
    at, pending, links = Path(path.anchor), [*reversed(path.parts[1:])], 0
    yield at, at.lstat()
    while pending:
        name = pending.pop()
        if name == "..":  # of a place, not of a text: what links lead to is known here
            at = at.parent
            continue
        step = at / name
        try:
            facts = step.lstat()
        except FileNotFoundError:
            yield step.joinpath(*reversed(pending)), None
            return
        yield step, facts
        if not stat.S_ISLNK(facts.st_mode):
            at = step
            continue
        links += 1
        if links > _LINKS_MAX:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        target = step.readlink()
        if target.is_absolute():
            at = Path(target.anchor)
        pending += reversed(target.parts[1:] if target.is_absolute() else target.parts)
    yield at, at.lstat()


def _counts_on_the_way(uid: int) -> bool:
    return uid in (own_uid(), _ROOT) or uid == _hidden_root()


def _others_may_rename(facts: os.stat_result) -> bool:
    """Whether a user that is neither the owner nor us can take an entry out of this folder and put another one there."""
    mode = stat.S_IMODE(facts.st_mode)
    if mode & stat.S_ISVTX or not mode & _OTHERS_WRITE:
        return False
    return bool(mode & stat.S_IWOTH) or not _is_own_group(facts.st_gid)


@cache
def _is_own_group(gid: int) -> bool:
    """Whether a group is the one that many systems make for each user, with nobody else in it."""
    if sys.platform == "win32":
        return False
    else:  # noqa: RET505 - for the type checker, which looks at one system at a time
        import grp  # noqa: PLC0415 - POSIX only
        import pwd  # noqa: PLC0415 - POSIX only

        try:
            group, user = grp.getgrgid(gid), pwd.getpwuid(own_uid())
        except (KeyError, OverflowError):
            return False
        if user.pw_gid != gid or group.gr_name != user.pw_name or not set(group.gr_mem) <= {user.pw_name}:
            return False
        # Whose first group it is, is not among its members.
        return all(each.pw_gid != gid or each.pw_uid == user.pw_uid for each in pwd.getpwall())


@cache
def _hidden_root() -> int | None:
    """In a user namespace that does not know the system's administrator (a sandbox of the desktop), the number its files show instead.

    Asked of a file that is always the administrator's: a namespace's map names numbers of the one around it, which may be hidden itself.
    """
    try:
        return Path("/proc/sys/kernel/overflowuid").lstat().st_uid or None
    except OSError:
        return None
