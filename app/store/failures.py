"""What SQLite reports, said as an `AppError` once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import sqlcipher3  # type: ignore[import-untyped]  # it ships no types

from app.core.errors import AppError
from app.store import disk

_BY_ITSELF: Final = "Gatehouse goes on by itself."
# By the beginning of SQLite's own name of the result code (sqlite.org/rescode.html).
_SENTENCES: Final = (
    ("SQLITE_FULL", "The disk is full, so nothing more can be recorded.", f"Free some space; {_BY_ITSELF}"),
    ("SQLITE_IOERR_WRITE", "The disk does not take any more data.", f"Free some space or check the disk; {_BY_ITSELF}"),
    ("SQLITE_READONLY", "The data folder cannot be written to.", f"Make it writable again; {_BY_ITSELF}"),
    ("SQLITE_CANTOPEN", "The database file cannot be opened.", f"Check that the data folder exists and belongs to you; {_BY_ITSELF}"),
    ("SQLITE_BUSY", "Another program holds the database.", f"Close it; {_BY_ITSELF}"),
    ("SQLITE_LOCKED", "Another program holds the database.", f"Close it; {_BY_ITSELF}"),
    ("SQLITE_NOTADB", "The database is damaged and cannot be read.", "Put a backup back. The damaged file is left as it is."),
    ("SQLITE_CORRUPT", "A part of the database is damaged.", "Put a backup back. The damaged file is left as it is."),
    ("SQLITE_IOERR", "The disk reports an error.", "Check the disk; put a backup back if the file is damaged."),
)
# After one of these the connection keeps failing even for good pages, or after the file can be written again (SQLite opens it only for
# reading where it cannot do more, and leaves it so); a new one does not (tried).
_BREAKING: Final = ("SQLITE_READONLY", "SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_MISUSE")


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the database that leave the block are AppErrors: store_unavailable, or internal for a mistake of ours."""
    try:
        yield
    except sqlcipher3.Error as error:
        raise ours(error) from error
    except (OverflowError, UnicodeEncodeError) as error:  # what the driver says, in Python's words, of a value that SQLite cannot hold
        raise AppError("body_invalid", "A number or a text does not fit into the database.", "Give another one.") from error


def breaks_connection(error: BaseException | None) -> bool:
    """Whether the connection that met `error` must not be used again."""
    return _name(error).startswith(_BREAKING)


def ours(error: BaseException) -> AppError:
    """`error` of the driver as ours."""
    name = _name(error)
    for beginning, message, hint in _SENTENCES:
        if name.startswith(beginning):
            again = disk.AGAIN_S if hint.endswith(_BY_ITSELF) else None
            return AppError("store_unavailable", message, hint, retry_after_s=again)
    return AppError("internal", f"The database refused a statement ({name or type(error).__name__}).", "Please report this.")


def _name(error: BaseException | None) -> str:
    return str(getattr(error, "sqlite_errorname", None) or "")
