"""Keyed connections to the encrypted file, by the driver alone.

The file's first 16 bytes are the cipher's salt. Ours is made of a mark, four random bytes and a check value of the key, so that a
wrong key, a file that is not ours and a damaged one are told apart (the cipher itself gives one error for all three).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import sqlcipher3  # type: ignore[import-untyped]  # it ships no types

from app.core.errors import AppError
from app.store import disk, keycheck
from app.system.files import open_own, read_own

MARK: Final = b"GHDB"
KEY_BYTES: Final = 32
BUSY_S: Final = 5.0
_WAL_KEPT_BYTES: Final = 16 << 20
_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = FAST",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA cache_size = -2000",
    f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES}",
    # A commit folds the log itself only when nobody has done it beside the commits for long (`Store.fold`).
    f"PRAGMA wal_autocheckpoint = {_WAL_KEPT_BYTES // 4096}",
)


def prepare(path: Path, key: bytes) -> bool:
    """Whether the database is yet to be made; if so an empty file of the person's own is there now.

    AppError: store_wrong_key; store_unavailable when it is no database of ours; data_folder.
    """
    if len(key) != KEY_BYTES:
        raise ValueError("a database key has 32 bytes")
    try:
        if not os.path.lexists(path):
            os.close(open_own(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
        head = read_own(path, keycheck.BYTES)
    except OSError as error:
        raise disk.refused(path, error) from error
    if not head:
        return True
    judgement = keycheck.judged(MARK, key, head)
    if judgement == "foreign":
        raise AppError(
            "store_unavailable",
            f"{path.name} is not a Gatehouse database, or its beginning is damaged.",
            "Put a backup back, or move the file away to begin with an empty one. It was not changed.",
        )
    if judgement == "wrong":
        raise AppError(
            "store_wrong_key",
            f"{path.name} was written under another master key.",
            "Restore the key that belongs to this data folder, or put the data folder back that belongs to this key. Nothing was changed.",
        )
    return False


def connect(path: Path, key: bytes, *, read_only: bool = False) -> sqlcipher3.Connection:
    """A keyed connection in autocommit mode, with our settings. `read_only` ones do not even fold the write-ahead log into the file."""
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
    connection = sqlcipher3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_S)
    try:
        new = not read_only and path.stat().st_size == 0
        salt = keycheck.made(MARK, key, os.urandom(4)) if new else b""
        # PRAGMA key takes no bound parameter. This is the one place where a statement is put together, from bytes turned to hex, and
        # it goes to the driver directly: no log and no exception of SQLAlchemy can repeat it.
        connection.execute("PRAGMA cipher_log_level = NONE")
        connection.execute(f"PRAGMA key = \"x'{key.hex()}{salt.hex()}'\"")
        if read_only:
            return connection
        if new:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        for pragma in _PRAGMAS:
            connection.execute(pragma)
    except BaseException:
        connection.close()
        raise
    return connection
