"""The schema, step by step. What was released is never edited (`steps`); a change is a new step at the end.

`PRAGMA user_version` holds the number of the last step, the table `migrations` when each was taken. All steps that are due run in one
transaction, after a copy of the file was made and checked.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlcipher3  # type: ignore[import-untyped]  # it ships no types

from app.core.errors import AppError
from app.store import disk, steps
from app.system.files import open_own


@dataclass(frozen=True, slots=True)
class Migration:
    """One step. Its number is its place in the list, from 1."""

    name: str
    apply: Callable[[sqlcipher3.Connection], None]


def run(connection: sqlcipher3.Connection, due: Sequence[Migration]) -> None:
    """Take the steps that are due, all or none."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        for number, step in enumerate(due[version:], version + 1):
            step.apply(connection)
            connection.execute("INSERT INTO migrations VALUES (?, ?, ?)", (number, step.name, time.time_ns() // 1000))
            # No bound parameter is allowed here; the number is a place in our own list.
            connection.execute(f"PRAGMA user_version = {number:d}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def back_up(path: Path, connect: Callable[[Path], sqlcipher3.Connection], version: int) -> Path:
    """Copy the database as `NAME.before-N` (encrypted as it is, 0600), check every page of the copy, and only then give it that name.

    AppError store_unavailable when there is no room, or when the copy does not check out: then nothing has been changed.
    """
    if shutil.disk_usage(path.parent).free < path.stat().st_size:
        raise disk.full()
    target = path.with_name(f"{path.name}.before-{version + 1}")
    part = target.with_name(target.name + ".part")
    source = connect(path)
    try:
        # Everything into the file, and nobody else writing while it is copied.
        source.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        source.execute("BEGIN IMMEDIATE")
        try:
            with path.open("rb") as original, os.fdopen(open_own(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as copy:
                shutil.copyfileobj(original, copy, 1 << 20)
                copy.flush()
                os.fsync(copy.fileno())
        except OSError as error:
            part.unlink(missing_ok=True)
            raise disk.refused(part, error) from error
        source.execute("ROLLBACK")
    finally:
        source.close()
    copied = connect(part)
    try:
        findings = copied.execute("PRAGMA cipher_integrity_check").fetchall()
    finally:
        copied.close()
    if findings:
        part.unlink(missing_ok=True)
        raise AppError(
            "store_unavailable",
            f"The database was not changed to the new form, because {len(findings)} of its pages are damaged.",
            "Put a backup back, or go on with the version of Gatehouse you had.",
        )
    part.replace(target)
    return target


ALL: Final[tuple[Migration, ...]] = (
    Migration("first", steps.first),
    Migration("checkpoints and settings", steps.checkpoints),
    Migration("kept responses", steps.responses),
    Migration("egress records", steps.egress),
    Migration("families of rows and whole days", steps.ways_to_ask),
    Migration("own prices and later costs", steps.prices),
    Migration("what rides along", steps.rides_along),
    Migration("forms and ids", steps.ids),
    Migration("what retention took", steps.retention),
    Migration("tags", steps.tags),
)
