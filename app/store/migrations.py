"""The schema, step by step. A step that was released is never edited; a change is a new step at the end.

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
from app.store import daily, disk, egress, responses
from app.store.statements import Direct
from app.system.files import open_own


@dataclass(frozen=True, slots=True)
class Migration:
    """One step. Its number is its place in the list, from 1."""

    name: str
    apply: Callable[[sqlcipher3.Connection], None]


def run(connection: sqlcipher3.Connection, steps: Sequence[Migration]) -> None:
    """Take the steps that are due, all or none."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        for number, step in enumerate(steps[version:], version + 1):
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


def _first(connection: sqlcipher3.Connection) -> None:
    for statement in (_MIGRATIONS, _ACCOUNTS, _CLIENTS, _AUDIT, _AUDIT_KINDS, _WORDS, _EXCHANGES, _ROLLUPS, _HOSTS):
        connection.execute(statement)


_MIGRATIONS: Final = "CREATE TABLE migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, at_us INTEGER NOT NULL) STRICT"

_ACCOUNTS: Final = """
CREATE TABLE accounts (
    name TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    base_url TEXT NOT NULL,
    local INTEGER NOT NULL,
    keyed INTEGER NOT NULL,
    key_hint TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    models TEXT NOT NULL,      -- JSON list of names
    tested_us INTEGER,
    test_ok INTEGER,
    test_message TEXT NOT NULL,
    test_ms INTEGER
) STRICT, WITHOUT ROWID"""

_CLIENTS: Final = """
CREATE TABLE clients (
    name TEXT NOT NULL PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,  -- HMAC-SHA256 of the client's key
    prefix TEXT NOT NULL,
    last4 TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    blocked INTEGER NOT NULL,
    last_seen_us INTEGER
) STRICT, WITHOUT ROWID"""

# `kind` is read out of the hashed body by SQLite itself, so it cannot say anything else than the body does.
_AUDIT: Final = """
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    body BLOB NOT NULL,        -- canonical JSON
    hash BLOB NOT NULL,
    kind TEXT AS (CASE WHEN json_valid(CAST(body AS TEXT)) THEN json_extract(CAST(body AS TEXT), '$.kind') END) VIRTUAL
) STRICT"""

_AUDIT_KINDS: Final = "CREATE INDEX audit_kinds ON audit (kind, seq)"

_WORDS: Final = "CREATE TABLE words (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT"

# Clustered by id: its order is the order of time, so pages, days and retention are ranges.
_EXCHANGES: Final = """
CREATE TABLE exchanges (
    id BLOB NOT NULL PRIMARY KEY,  -- the 16 bytes of the call id
    batch INTEGER NOT NULL,        -- audit.seq of the entry that holds the digest of this row's batch
    client INTEGER NOT NULL,       -- from here to `host` numbers of words
    endpoint INTEGER NOT NULL,
    dialect INTEGER NOT NULL,
    asked INTEGER NOT NULL,
    account INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    model INTEGER NOT NULL,
    outcome INTEGER NOT NULL,
    error INTEGER NOT NULL,
    price INTEGER NOT NULL,
    host INTEGER NOT NULL,
    message TEXT NOT NULL,
    dropped TEXT NOT NULL,
    stream INTEGER NOT NULL,
    opened_us INTEGER NOT NULL,
    closed_us INTEGER,
    duration_us INTEGER,
    first_byte_us INTEGER,
    status INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    cost_microusd INTEGER,
    connection INTEGER,
    bytes_out INTEGER NOT NULL,
    bytes_in INTEGER NOT NULL,
    removed_headers INTEGER NOT NULL,
    input INTEGER,
    cached INTEGER,
    cache_write INTEGER,
    output INTEGER,
    reasoning INTEGER,
    estimated INTEGER NOT NULL
) STRICT, WITHOUT ROWID"""

_ROLLUPS: Final = """
CREATE TABLE rollups (
    quarter INTEGER NOT NULL,
    client INTEGER NOT NULL,
    account INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    model INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    local INTEGER NOT NULL,
    input INTEGER NOT NULL,
    cached INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    output INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    cost_microusd INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    PRIMARY KEY (quarter, client, account, kind, model)
) STRICT, WITHOUT ROWID"""

_HOSTS: Final = """
CREATE TABLE hosts (
    quarter INTEGER NOT NULL,
    host INTEGER NOT NULL,
    local INTEGER NOT NULL,
    connections INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL,
    bytes_in INTEGER NOT NULL,
    last_us INTEGER NOT NULL,
    PRIMARY KEY (quarter, host, local)
) STRICT, WITHOUT ROWID"""

# What was signed over the audit log. lasting: those that no prune drops.
_CHECKPOINTS: Final = """
CREATE TABLE checkpoints (
    number INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL,
    lasting INTEGER NOT NULL,
    body BLOB NOT NULL,        -- canonical JSON
    signature BLOB NOT NULL
) STRICT"""

_CHECKPOINT_PLACES: Final = "CREATE INDEX checkpoint_places ON checkpoints (seq)"

# The right edge of the tree over the entries at the newest record, so that the next one need not read them all. Only a memory: it is
# held against the signed root before it is used.
_TREE_EDGE: Final = "CREATE TABLE tree_edge (id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, edge BLOB NOT NULL) STRICT"

_SETTINGS: Final = "CREATE TABLE settings (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID"


def _checkpoints(connection: sqlcipher3.Connection) -> None:
    for statement in (_CHECKPOINTS, _CHECKPOINT_PLACES, _TREE_EDGE, _SETTINGS):
        connection.execute(statement)


def _responses(connection: sqlcipher3.Connection) -> None:
    connection.execute("ALTER TABLE clients ADD COLUMN keeps_content INTEGER NOT NULL DEFAULT 0")
    for statement in (responses.TABLE, responses.INDEX):
        connection.execute(statement)


# Rows alike in everything that is filtered by (store/families.py), and where each family's rows are.
_FAMILIES: Final = """
CREATE TABLE families (
    id INTEGER PRIMARY KEY,
    client INTEGER NOT NULL,
    account INTEGER NOT NULL,
    model INTEGER NOT NULL,
    status INTEGER NOT NULL,
    outcome INTEGER NOT NULL,
    error INTEGER NOT NULL,
    UNIQUE (client, account, model, status, outcome, error)
) STRICT"""

_FAMILY_ROWS: Final = """
CREATE TABLE family_rows (family INTEGER NOT NULL, exchange BLOB NOT NULL, PRIMARY KEY (family, exchange)) STRICT, WITHOUT ROWID"""

# What a search in the errors reads: of failed rows alone the texts, and what else they may be filtered by.
_FAILURES: Final = """
CREATE INDEX failures ON exchanges (id, message, error, client, account, model, status, outcome) WHERE message <> ''"""

# The rollups by whole local days (store/daily.py).
_DAILY: Final = """
CREATE TABLE daily (
    ahead INTEGER NOT NULL,
    day INTEGER NOT NULL,
    client INTEGER NOT NULL,
    account INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    model INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    local INTEGER NOT NULL,
    input INTEGER NOT NULL,
    cached INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    output INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    cost_microusd INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    PRIMARY KEY (ahead, day, client, account, kind, model)
) STRICT, WITHOUT ROWID"""

_DAY_SPANS: Final = "CREATE TABLE day_spans (first INTEGER PRIMARY KEY, until INTEGER NOT NULL, ahead INTEGER NOT NULL) STRICT"


def _ways_to_ask(connection: sqlcipher3.Connection) -> None:
    for statement in (_FAMILIES, _FAMILY_ROWS, _FAILURES, _DAILY, _DAY_SPANS):
        connection.execute(statement)
    connection.execute(
        "INSERT INTO families (client, account, model, status, outcome, error) "
        "SELECT DISTINCT client, account, model, status, outcome, error FROM exchanges"
    )
    connection.execute(
        "INSERT INTO family_rows SELECT f.id, e.id FROM exchanges e JOIN families f "
        "USING (client, account, model, status, outcome, error) ORDER BY 1, 2"
    )
    daily.count(Direct(connection))


def _egress(connection: sqlcipher3.Connection) -> None:
    for statement in (egress.CONNECTIONS, egress.CONNECTIONS_BY_TIME, egress.REFUSALS, egress.NAMES):
        connection.execute(statement)


# What costs were worked out as later. The rows themselves are never changed: `exchanges` holds what was first written for ever.
_REPRICED: Final = """
CREATE TABLE repriced (
    exchange BLOB NOT NULL,
    run INTEGER NOT NULL,          -- audit.seq when the run began
    cost_microusd INTEGER,
    price INTEGER NOT NULL,        -- a word, as in exchanges
    before_microusd INTEGER,
    before_price INTEGER NOT NULL,
    PRIMARY KEY (exchange, run)
) STRICT, WITHOUT ROWID"""

# Dollars for a million tokens, as decimal texts; "" where another unit's price is taken. model: "" for all of the account's.
_OWN_PRICES: Final = """
CREATE TABLE own_prices (
    account TEXT NOT NULL,
    model TEXT NOT NULL,
    input TEXT NOT NULL,
    output TEXT NOT NULL,
    cached TEXT NOT NULL,
    cache_write TEXT NOT NULL,
    set_us INTEGER NOT NULL,
    PRIMARY KEY (account, model)
) STRICT, WITHOUT ROWID"""


def _prices(connection: sqlcipher3.Connection) -> None:
    for statement in (_REPRICED, _OWN_PRICES):
        connection.execute(statement)


def _rides_along(connection: sqlcipher3.Connection) -> None:
    connection.execute("ALTER TABLE clients ADD COLUMN identifiers TEXT NOT NULL DEFAULT 'pseudonym'")


ALL: Final[tuple[Migration, ...]] = (
    Migration("first", _first),
    Migration("checkpoints and settings", _checkpoints),
    Migration("kept responses", _responses),
    Migration("egress records", _egress),
    Migration("families of rows and whole days", _ways_to_ask),
    Migration("own prices and later costs", _prices),
    Migration("what rides along", _rides_along),
)
