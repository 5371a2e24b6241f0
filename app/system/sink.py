"""New files for a person: made beside their final name, which they get only when they are whole. One way for every export.

    name.1f2e3d4c.part    while it is written, and left behind by a process that was killed
    name                  when everything is on the disk; never in the place of something that is there

No link is followed at the name, links on the way only where this user or the system made them. What is removed after a failure is
compared with what was made: something of somebody else at that name stays. A file is 0600; a folder 0700, its files 0600.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import app
from app.core.errors import AppError
from app.core.exports import Kind
from app.system import owners
from app.system.renaming import rename_new

NAME_MAX: Final = 240  # of the 255 bytes that file systems give a name; the rest is for what is added while it is written
_WINDOWS: bool = sys.platform == "win32"
_FOLDER: Final = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_PASSING: Final = getattr(os, "O_PATH", os.O_RDONLY) | _FOLDER  # a folder on the way need not be readable
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})

Identity = tuple[int, int]


class Folder:
    """An open folder: what is done in it by name is done in that very one, whatever its path leads to meanwhile (openat(2)).

    path, number: Windows has no such calls, there it is by path. levels: what the folders from the root to this one are, this one last.
    """

    def __init__(self, path: Path, number: int, levels: tuple[Identity, ...] = ()) -> None:
        self.path: Final = path
        self.levels: Final = levels
        self._number: Final = number

    @classmethod
    def at(cls, path: Path) -> Folder:
        """AppError data_folder where it is not there, or somebody else decides what it leads to."""
        try:
            place, planted = owners.resolved(path)
            if planted:
                raise AppError("data_folder", f"“{path.name}” is not written into: {planted}.", "Choose a folder of your own.")
            return cls(place, -1, _levels_of(place)) if _WINDOWS else _walk(place)
        except OSError as error:
            raise refused(path.name or str(path), error) from None

    @property
    def identity(self) -> Identity:
        return _identity(self.path.stat() if _WINDOWS else os.fstat(self._number))

    def make_file(self, name: str) -> int:
        """A descriptor to write to. OSError."""
        return os.open(self.path / name, _NEW, 0o600) if _WINDOWS else os.open(name, _NEW, 0o600, dir_fd=self._number)

    def make_folder(self, name: str) -> Folder:
        """OSError."""
        if _WINDOWS:
            (self.path / name).mkdir(mode=0o700)
            return Folder(self.path / name, -1)
        os.mkdir(name, 0o700, dir_fd=self._number)
        try:
            return Folder(self.path / name, os.open(name, os.O_RDONLY | _FOLDER, dir_fd=self._number))
        except OSError:
            os.rmdir(name, dir_fd=self._number)
            raise

    def facts(self, name: str) -> os.stat_result:
        """Of what has that name, a link itself. OSError."""
        return (self.path / name).lstat() if _WINDOWS else os.stat(name, dir_fd=self._number, follow_symlinks=False)

    def has(self, name: str) -> bool:
        try:
            self.facts(name)
        except FileNotFoundError:
            return False
        return True

    def rename_new(self, old: str, new: str) -> None:
        """FileExistsError when something has the new name; other OSErrors."""
        if _WINDOWS:
            (self.path / old).rename(self.path / new)
        else:
            rename_new(old, new, self._number)

    def remove(self, name: str, identity: Identity) -> None:
        """That very file, or that very folder when it is empty. Nothing else, and no error when it cannot be."""
        with contextlib.suppress(OSError):
            facts = self.facts(name)
            if _identity(facts) != identity:
                return
            folder = stat.S_ISDIR(facts.st_mode)
            if _WINDOWS:
                (self.path / name).rmdir() if folder else (self.path / name).unlink()
            elif folder:
                os.rmdir(name, dir_fd=self._number)
            else:
                os.unlink(name, dir_fd=self._number)

    def sync(self) -> None:
        """Wait until the names in it are on the disk. OSError. Some file systems, and Windows, offer no such thing."""
        if not _WINDOWS:
            try:
                os.fsync(self._number)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.EROFS):
                    raise

    def close(self) -> None:
        if not _WINDOWS:
            os.close(self._number)


class Sink:
    """One file, or one folder with the files of its kind, under construction. numbers: descriptors to write to, in the kind's order.

    In a `with` block: what was not kept when the block ends is removed.
    """

    def __init__(self, folder: Folder, name: str, kind: Kind) -> None:
        """Takes the folder over. AppError name_taken, name_invalid, data_folder: nothing is made then."""
        self.name: Final = name
        self.kind: Final = kind
        self._parent: Final = folder
        self._part: Final = f"{name}.{os.urandom(4).hex()}.part"
        self._inner: Folder | None = None
        self._made: list[tuple[str, Identity]] = []
        self._whole: Identity | None = None
        self.numbers: list[int] = []
        try:
            self._make()
        except OSError as error:
            self.close()
            raise refused(name, error) from None
        except BaseException:
            self.close()
            raise

    def _make(self) -> None:
        if len(os.fsencode(self.name)) > NAME_MAX:
            raise AppError("name_invalid", "That name is too long for a file.", "Choose a shorter one.")
        if self._parent.has(self.name):
            raise taken(self.name)
        if not self.kind.names:
            self.numbers.append(self._parent.make_file(self._part))
            self._whole = _identity(os.fstat(self.numbers[0]))
            return
        self._inner = self._parent.make_folder(self._part)
        self._whole = self._inner.identity
        for name in self.kind.names:
            self.numbers.append(self._inner.make_file(name))
            self._made.append((name, _identity(os.fstat(self.numbers[-1]))))

    @property
    def paths(self) -> list[Path]:
        """Where the files lie while they are written."""
        part = self._parent.path / self._part
        return [part / name for name in self.kind.names] or [part]

    def write(self, number: int, piece: bytes) -> None:
        """AppError as `refused`."""
        try:
            write(self.numbers[number], piece)
        except OSError as error:
            raise refused(self.name, error) from None

    def finish(self) -> int:
        """Write what is the program's own, wait for the disk; how many bytes there are. AppError as `refused`."""
        try:
            return finish(self.kind, self.numbers)
        except OSError as error:
            raise refused(self.name, error) from None

    def keep(self) -> None:
        """Give it its name. AppError name_taken, data_folder: it is not kept then."""
        if _WINDOWS:
            self.let_go()
        try:
            if self._inner is not None:
                self._inner.sync()
            self._parent.rename_new(self._part, self.name)
        except OSError as error:
            raise refused(self.name, error) from None
        whole, self._whole = self._whole, None
        try:
            self._parent.sync()
        except OSError as error:
            self._whole = whole
            raise refused(self.name, error) from None

    def let_go(self) -> None:
        """Close the files; whoever has them open goes on."""
        for number in self.numbers:
            os.close(number)
        self.numbers = []

    def close(self) -> None:
        """Remove what was not kept."""
        if self._whole is not None and _WINDOWS:
            self.let_go()
        if self._whole is not None:
            for name, identity in self._made:
                if self._inner is not None:
                    self._inner.remove(name, identity)
            for name in (self._part, self.name):
                self._parent.remove(name, self._whole)
            self._whole = None
        self.let_go()
        if self._inner is not None:
            self._inner.close()
            self._inner = None
        self._parent.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def new(target: Path, kind: Kind) -> Sink:
    """For a program that the person started and that writes by itself. AppError name_taken, name_invalid, data_folder."""
    target = target.absolute()
    if target.name in ("", ".."):
        raise AppError("name_invalid", "That is no name for something new.", "Name a file or folder that does not exist yet.")
    return Sink(Folder.at(target.parent), target.name, kind)


def write(number: int, piece: bytes) -> None:
    """All of it. OSError."""
    left = memoryview(piece)
    while left:
        left = left[os.write(number, left) :]


def finish(kind: Kind, numbers: list[int]) -> int:
    """The end of what was sent: the program's own files beside it, everything on the disk; how many bytes. OSError."""
    for number, content in zip(numbers[kind.count :], own(kind).values(), strict=True):
        write(number, content)
    size = 0
    for number in numbers:
        os.fsync(number)
        size += os.fstat(number).st_size
    return size


def own(kind: Kind) -> dict[str, bytes]:
    """The files of an export that are the program's own, by name. OSError."""
    package = Path(app.__file__)
    programs = {name: package.with_name(program).read_bytes() for name, program in kind.programs.items()}
    return programs | {name: text.encode() for name, text in kind.texts.items()}


def refused(name: str, error: OSError) -> AppError:
    """What to tell a person. Names the last part of a path only."""
    if isinstance(error, FileExistsError):
        return taken(name)
    if error.errno in _NO_ROOM:
        return AppError("data_folder", f"The disk is full: {name} was not written.", "Free some space and try again. Nothing was kept.")
    if error.errno == errno.ENAMETOOLONG:
        return AppError("name_invalid", "That name is too long for a file.", "Choose a shorter one.")
    reason = (error.strerror or type(error).__name__).lower()
    return AppError("data_folder", f"{name} cannot be written: {reason}.", "Choose another place.")


def taken(name: str) -> AppError:
    return AppError("name_taken", f"{name} exists already.", "Choose another name; nothing is overwritten.")


def _walk(place: Path) -> Folder:
    """Level by level, so that a link that appears on the way after it was looked at is an error. OSError."""
    number = os.open(place.anchor, _PASSING)
    levels = [_identity(os.fstat(number))]
    try:
        for name in place.parts[1:]:
            following = os.open(name, _PASSING, dir_fd=number)
            os.close(number)
            number = following
            levels.append(_identity(os.fstat(number)))
        whole = os.open(".", os.O_RDONLY | _FOLDER, dir_fd=number)
    finally:
        os.close(number)
    return Folder(place, whole, tuple(levels))


def _levels_of(place: Path) -> tuple[Identity, ...]:
    """Windows. OSError, also where it is no folder."""
    if not stat.S_ISDIR(place.lstat().st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    return tuple(_identity(level.stat()) for level in reversed((place, *place.parents)))


def _identity(facts: os.stat_result) -> Identity:
    return facts.st_dev, facts.st_ino
