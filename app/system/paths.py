"""Where things are, and how they are written: folders 0700, files 0600.

One data folder is one installation. Its sockets may be elsewhere: see `places`. What may be in a data folder: see `folders`.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from app.core.errors import AppError
from app.system import access_list, places
from app.system.files import PROBE
from app.system.folders import examine, private_folder, unusable

_TEMPORARY: Final = "gatehouse-session-"
# What lay in the data folder itself before each process had one of its own.
_MOVED: Final = (
    ("window.json", "window"),
    ("journal", "engine"),
    ("gatehouse.db.*", "engine"),
    ("gatehouse.db-*", "engine"),
    ("gatehouse.db", "engine"),
)


@dataclass(slots=True)
class Paths:
    """The files of one data folder.

    named: the folder the person speaks of, where it is not the folder with the data: a session keeps its data in an ephemeral
    folder, and is still found (lock and sockets) under the name that commands use. place: where a keeper has its sockets, once it has
    chosen; it then keeps to that, whatever becomes of the other places.
    """

    data_dir: Path
    named: Path | None = None
    place: Path | None = field(default=None, compare=False)

    @property
    def vault(self) -> Path:
        return self.data_dir / "vault.json"

    @property
    def engine(self) -> Path:
        """The folder in which the engine may change files; nothing in it is run or trusted by another process."""
        return self.data_dir / "engine"

    @property
    def window(self) -> Path:
        """The same for the window."""
        return self.data_dir / "window"

    @property
    def database(self) -> Path:
        return self.engine / "gatehouse.db"

    @property
    def journal(self) -> Path:
        return self.engine / "journal"

    @property
    def logs(self) -> Path:
        return self.data_dir / "logs"

    @property
    def lock(self) -> Path:
        return self._name / "lock"

    @property
    def control_file(self) -> Path:
        """Windows only: host, port and token of the control listener, as JSON."""
        return self._name / "control.json"

    @property
    def runtime(self) -> Path:
        """The folder of the sockets: for a keeper the one it chose, for everybody else where the keeper is found."""
        return places.find(self._name, self.lock) if self.place is None else self.place

    @property
    def control(self) -> Path:
        return self.runtime / "control.sock"

    @property
    def instance(self) -> Path:
        return self.runtime / places.LONGEST_SOCKET_NAME

    @property
    def _name(self) -> Path:
        return self.data_dir if self.named is None else self.named

    def prepare(self) -> None:
        """Make the folders, see that nothing in them is somebody else's, and prove that the data folder can be written.

        AppError `data_folder` where not. A place for the sockets that another user has taken is no reason: there are others.
        """
        for folder in (self.data_dir, *((self.named,) if self.named is not None else ())):
            private_folder(folder)
            examine(folder)
        for folder in (self.logs, self.engine, self.journal, self.window):
            private_folder(folder)
        self.settle()
        write_private(self.data_dir / PROBE, b"")

    def move_in(self) -> None:
        """Bring what an earlier version kept in the data folder itself to where it is now. For who holds the lock: nobody else has it open.

        AppError `data_folder` when something is in both places, or cannot be moved. Killed half-way, the next start goes on: each step is
        one name.
        """
        for name, place in _MOVED:
            for old in sorted(self.data_dir.glob(name)):
                _move(old, self.data_dir / place / old.name)

    def settle(self) -> None:
        """Choose and make the folder of the sockets. AppError `data_folder`."""
        self.place = places.settle(self._name)

    def remove_temporary(self) -> None:
        """Remove a data folder that `temporary_folder` named, with everything in it; never another one."""
        import shutil  # noqa: PLC0415 - 1 MB, needed once at the end of a session

        if self.data_dir.name.startswith(_TEMPORARY) and not self.data_dir.is_symlink():
            shutil.rmtree(self.data_dir, ignore_errors=True)


def temporary_folder() -> Path:
    """A name for a data folder that lives as long as a session. Not made yet; nobody else can guess it."""
    return places.temporary_root() / f"{_TEMPORARY}{os.urandom(8).hex()}"


def default_data_dir() -> Path:
    """The data folder when none is named, e.g. `~/.local/share/Gatehouse`."""
    import platformdirs  # noqa: PLC0415 - 2 MB that a process with a named data folder need not carry

    return Path(platformdirs.user_data_dir("Gatehouse", appauthor=False, roaming=False))


def _move(old: Path, new: Path) -> None:
    try:
        if new.is_dir() and not any(new.iterdir()):
            new.rmdir()
        if os.path.lexists(new):
            raise AppError(
                "data_folder",
                f"“{old.name}” is both in the data folder and in its folder “{new.parent.name}”, so it is not clear which one counts.",
                "Move the one that you do not want out of the data folder, and start Gatehouse again.",
            )
        old.rename(new)
        for folder in (old.parent, new.parent):
            _sync(folder)
    except OSError as error:
        raise unusable(new.parent, error) from None


def _sync(folder: Path) -> None:
    """What was named and unnamed in it survives a power cut. Windows does that by itself."""
    if sys.platform != "win32":
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` as a whole: temporary file, fsync, rename, 0600. AppError `data_folder` if that fails; the old file then stays."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                if sys.platform == "win32":
                    access_list.close(temporary)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync(path.parent)
    except OSError as error:
        raise unusable(path.parent, error) from None
