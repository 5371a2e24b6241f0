"""Where things are, and how they are written: folders 0700, files 0600.

One data folder is one installation. The sockets are not in it but in a short *runtime folder*, because the path of a unix socket
may have 104 characters on macOS (`sockaddr_un`, 108 on Linux) and because it should vanish with the login session.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.core.errors import AppError

_SOCKET_PATH_MAX: Final = 100
_LONGEST_SOCKET_NAME: Final = "instance.sock"
_TEMPORARY: Final = "gatehouse-session-"


@dataclass(frozen=True, slots=True)
class Paths:
    """The files of one data folder.

    named: the folder the person speaks of, where it is not the folder with the data: a session keeps its data in an ephemeral
    folder, and is still found (lock and sockets) under the name that commands use.
    """

    data_dir: Path
    named: Path | None = None

    @property
    def vault(self) -> Path:
        return self.data_dir / "vault.json"

    @property
    def database(self) -> Path:
        return self.data_dir / "gatehouse.db"

    @property
    def journal(self) -> Path:
        return self.data_dir / "journal"

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
        """The folder of the sockets. The same for every process of this user that names the same data folder."""
        name = hashlib.sha256(os.fsencode(os.path.realpath(self._name))).hexdigest()[:8]
        return _runtime_root(len(name) + len(_LONGEST_SOCKET_NAME) + 2) / name

    @property
    def control(self) -> Path:
        return self.runtime / "control.sock"

    @property
    def instance(self) -> Path:
        return self.runtime / _LONGEST_SOCKET_NAME

    @property
    def _name(self) -> Path:
        return self.data_dir if self.named is None else self.named

    def prepare(self) -> None:
        """Make the folders and prove that the data folder can be written. AppError `data_folder` where not."""
        private_folder(self.data_dir)
        if self.named is not None:
            private_folder(self.named)
        private_folder(self.logs)
        if self.runtime.parent.is_symlink():  # in a shared temporary folder anybody may have put one there
            raise AppError("data_folder", f"“{self.runtime.parent}” is a link, not a folder of yours.", "Remove it, then start again.")
        private_folder(self.runtime.parent)
        private_folder(self.runtime)
        probe = self.data_dir / f".probe-{os.getpid()}"
        write_private(probe, b"probe")
        probe.unlink(missing_ok=True)

    def remove_temporary(self) -> None:
        """Remove a data folder that `temporary_folder` named, with everything in it; never another one."""
        import shutil  # noqa: PLC0415 - 1 MB, needed once at the end of a session

        if self.data_dir.name.startswith(_TEMPORARY) and not self.data_dir.is_symlink():
            shutil.rmtree(self.data_dir, ignore_errors=True)


def temporary_folder() -> Path:
    """A name for a data folder that lives as long as a session. Not made yet; nobody else can guess it."""
    return _temporary_root() / f"{_TEMPORARY}{os.urandom(8).hex()}"


def default_data_dir() -> Path:
    """The data folder when none is named, e.g. `~/.local/share/Gatehouse`."""
    import platformdirs  # noqa: PLC0415 - 2 MB that a process with a named data folder need not carry

    return Path(platformdirs.user_data_dir("Gatehouse", appauthor=False, roaming=False))


def private_folder(folder: Path) -> None:
    """Make `folder` (and what is above it), open to this user alone. AppError `data_folder` if that cannot be.

    A folder that was there already and holds other things keeps its mode: narrowing somebody's documents is not ours to do.
    """
    try:
        made = not folder.exists()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if sys.platform != "win32":  # there, a folder under the user's profile is the user's alone by inheritance
            facts = folder.stat()
            if facts.st_uid != os.getuid():
                raise AppError(
                    "data_folder",
                    f"The folder “{folder.name}” belongs to another user.",
                    "Use a folder of your own with --data-dir, or start Gatehouse as its owner.",
                )
            if stat.S_IMODE(facts.st_mode) & 0o077 and (made or _is_ours(folder)):
                folder.chmod(0o700)
    except FileExistsError:
        raise AppError("data_folder", f"“{folder.name}” is a file, not a folder.", "Name a folder with --data-dir.") from None
    except OSError as error:
        raise unusable(folder, error) from None


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` as a whole: temporary file, fsync, rename, 0600. AppError `data_folder` if that fails; the old file then stays."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if sys.platform != "win32":
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        raise unusable(path.parent, error) from None


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


def _is_ours(folder: Path) -> bool:
    """A folder is ours to close when it is empty or holds what only we put there."""
    names = {entry.name for entry in folder.iterdir()}
    return not names or bool({"lock", "vault.json", "gatehouse.db", "logs", "keeper.log", "control.sock", "instance.sock"} & names)


def _runtime_root(room: int) -> Path:
    """The first fitting folder: the login session's own, else one of our own in the temporary folder."""
    if sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "Gatehouse-run"
    else:
        own = os.getuid()
        for session in (Path(os.environ.get("XDG_RUNTIME_DIR") or "/nonexistent"), Path(f"/run/user/{own}")):
            if _fits(session / "gatehouse", room) and _owned(session, own):
                return session / "gatehouse"
        name = f"gatehouse-{own}"
        root = _temporary_root() / name  # checked for owner and mode when it is made
        if not _fits(root, room) or not root.parent.is_dir():
            root = Path("/tmp") / name  # noqa: S108
    return root


def _temporary_root() -> Path:
    return Path(os.environ.get("TMPDIR") or os.environ.get("TEMP") or "/tmp")  # noqa: S108


def _fits(root: Path, room: int) -> bool:
    return len(os.fsencode(root)) + room <= _SOCKET_PATH_MAX


def _owned(folder: Path, user: int) -> bool:
    try:
        facts = folder.stat()
    except OSError:
        return False
    return facts.st_uid == user and stat.S_ISDIR(facts.st_mode) and os.access(folder, os.W_OK | os.X_OK)
