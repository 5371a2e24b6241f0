"""The steps of the schema as they were released: frozen text. Nothing here is ever edited; a change is a new step at the end.

A step imports nothing of ours, because what it does must not change with the rest of the program. `tests/store/test_steps.py` knows the
source of each step and the schema after it.
"""

from __future__ import annotations

import time
from typing import Final

import sqlcipher3  # type: ignore[import-untyped]  # it ships no types


def first(connection: sqlcipher3.Connection) -> None:
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


def checkpoints(connection: sqlcipher3.Connection) -> None:
    for statement in (_CHECKPOINTS, _CHECKPOINT_PLACES, _TREE_EDGE, _SETTINGS):
        connection.execute(statement)


# Answers of the Responses API (store/responses.py).
_KEPT: Final = """
CREATE TABLE responses (
    id TEXT NOT NULL PRIMARY KEY,
    client TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    account TEXT NOT NULL,      -- that made it, and keeps it when input and body are empty
    input BLOB NOT NULL,        -- JSON array of items
    body BLOB NOT NULL          -- the response object as JSON
) STRICT"""
_KEPT_BY_AGE: Final = "CREATE INDEX responses_by_age ON responses (created_us)"


def responses(connection: sqlcipher3.Connection) -> None:
    connection.execute("ALTER TABLE clients ADD COLUMN keeps_content INTEGER NOT NULL DEFAULT 0")
    for statement in (_KEPT, _KEPT_BY_AGE):
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

_COUNT_DAYS: Final = """
INSERT INTO daily (ahead, day, client, account, kind, model, requests, failed, local, input, cached, cache_write, output, reasoning,
    cost_microusd, unpriced, estimated)
SELECT ?3, (quarter + ?3) / 96, client, account, kind, model, sum(requests), sum(failed), sum(local), sum(input), sum(cached),
    sum(cache_write), sum(output), sum(reasoning), sum(cost_microusd), sum(unpriced), sum(estimated)
FROM rollups WHERE quarter >= ?1 AND quarter < ?2 GROUP BY 2, 3, 4, 5, 6"""


def _count_days(connection: sqlcipher3.Connection) -> None:
    """By the days of this machine's zone, as far as its clock stands still relative to UTC."""
    for statement in ("DELETE FROM daily", "DELETE FROM day_spans"):
        connection.execute(statement)
    first, last = connection.execute("SELECT (SELECT min(quarter) FROM rollups), (SELECT max(quarter) FROM rollups)").fetchone()
    for span in [] if first is None else _spans(first, last):
        connection.execute(_COUNT_DAYS, span)
        connection.execute("INSERT INTO day_spans VALUES (?, ?, ?)", span)


def _spans(first: int, last: int) -> list[tuple[int, int, int]]:
    """Quarters of an hour `first` to `last` in order as (first, until, quarters ahead of UTC)."""
    found: list[tuple[int, int, int]] = []
    start, here, ahead = first, first, _ahead(first)
    while here <= last:
        step = min(here + 96, last + 1)
        then = _ahead(step)
        if then != ahead:
            low, high = here, step
            while high - low > 1:
                middle = (low + high) // 2
                if _ahead(middle) == ahead:
                    low = middle
                else:
                    high = middle
            found.append((start, high, ahead))
            start, step, ahead = high, high, _ahead(high)
        here = step
    return [*found, (start, last + 1, ahead)]


def _ahead(quarter: int) -> int:
    return time.localtime(quarter * 900).tm_gmtoff // 900


def ways_to_ask(connection: sqlcipher3.Connection) -> None:
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
    _count_days(connection)


# store/egress.py
_EGRESS: Final = """
CREATE TABLE egress (
    connection INTEGER PRIMARY KEY,
    opened_us INTEGER NOT NULL,
    closed_us INTEGER,         -- NULL: open, or ended by a crash
    purpose TEXT NOT NULL,
    account TEXT NOT NULL,
    host TEXT NOT NULL,
    port INTEGER NOT NULL,
    local INTEGER NOT NULL,
    address TEXT NOT NULL,     -- what was dialled, after the look-up
    tls TEXT NOT NULL,
    issuer TEXT NOT NULL,
    spki TEXT NOT NULL,        -- SHA-256 of the certificate's public key
    resolve_us INTEGER NOT NULL,
    connect_us INTEGER NOT NULL,
    used INTEGER NOT NULL,     -- exchanges sent on it
    other_out INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL,
    bytes_in INTEGER NOT NULL,
    counted INTEGER NOT NULL   -- whether the operating system counted the bytes
) STRICT"""
_EGRESS_TIMES: Final = "CREATE INDEX egress_times ON egress (opened_us)"
_REFUSALS: Final = """
CREATE TABLE refusals (
    id INTEGER PRIMARY KEY,
    at_us INTEGER NOT NULL,
    process TEXT NOT NULL,
    what TEXT NOT NULL,
    target TEXT NOT NULL,
    account TEXT NOT NULL,
    address TEXT NOT NULL,
    rule TEXT NOT NULL,
    sentence TEXT NOT NULL,
    stack TEXT NOT NULL,       -- JSON list of module.function
    count INTEGER NOT NULL
) STRICT"""
_NAMES: Final = """
CREATE TABLE names (
    quarter INTEGER NOT NULL,
    name TEXT NOT NULL,
    times INTEGER NOT NULL,
    found INTEGER NOT NULL,
    last_us INTEGER NOT NULL,
    PRIMARY KEY (quarter, name)
) STRICT, WITHOUT ROWID"""


def egress(connection: sqlcipher3.Connection) -> None:
    for statement in (_EGRESS, _EGRESS_TIMES, _REFUSALS, _NAMES):
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


def prices(connection: sqlcipher3.Connection) -> None:
    for statement in (_REPRICED, _OWN_PRICES):
        connection.execute(statement)


def rides_along(connection: sqlcipher3.Connection) -> None:
    connection.execute("ALTER TABLE clients ADD COLUMN identifiers TEXT NOT NULL DEFAULT 'pseudonym'")


# Ids that a new name does not change. What is there already has its name as id, so that pseudonyms stay what they were; rows of the
# ledger from before have none (0 is no word).
_IDS: Final = (
    "ALTER TABLE clients ADD COLUMN id TEXT NOT NULL DEFAULT ''",
    "UPDATE clients SET id = name",
    "ALTER TABLE accounts ADD COLUMN id TEXT NOT NULL DEFAULT ''",
    "UPDATE accounts SET id = name",
    "ALTER TABLE exchanges ADD COLUMN client_id INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE exchanges ADD COLUMN account_id INTEGER NOT NULL DEFAULT 0",
)


def ids(connection: sqlcipher3.Connection) -> None:
    for statement in _IDS:
        connection.execute(statement)


# The sums of rows that went with retention, as `rollups` counts them.
_TAKEN: Final = """
CREATE TABLE taken (
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

# What went before this was kept: what the rollups say beyond the rows that are there, each with the cost last worked out.
_TAKEN_BEFORE: Final = """
INSERT INTO taken
SELECT quarter, client, account, kind, model, sum(requests), sum(failed), sum(local), sum(input), sum(cached), sum(cache_write),
       sum(output), sum(reasoning), sum(cost_microusd), sum(unpriced), sum(estimated)
FROM (
    SELECT * FROM rollups
    UNION ALL
    SELECT quarter, client, account, kind, model, -count(*), -sum(failed), -sum(local), -sum(input), -sum(cached), -sum(cache_write),
           -sum(output), -sum(reasoning), -sum(ifnull(cost, 0)), -sum(cost IS NULL AND named AND NOT failed), -sum(estimated)
    FROM (
        SELECT e.opened_us / 900000000 AS quarter, e.client, e.account, e.kind, e.model,
               e.outcome IN (SELECT id FROM words WHERE text IN ('failed', 'refused', 'interrupted')) AS failed,
               CASE WHEN l.exchange IS NULL THEN e.price ELSE l.price END IN (SELECT id FROM words WHERE text = 'local') AS local,
               CASE WHEN l.exchange IS NULL THEN e.cost_microusd ELSE l.cost_microusd END AS cost,
               e.model NOT IN (SELECT id FROM words WHERE text = '') AS named,
               ifnull(e.input, 0) AS input, ifnull(e.cached, 0) AS cached, ifnull(e.cache_write, 0) AS cache_write,
               ifnull(e.output, 0) AS output, ifnull(e.reasoning, 0) AS reasoning, e.estimated
        FROM exchanges e
        LEFT JOIN repriced l ON l.exchange = e.id AND l.run = (SELECT max(run) FROM repriced WHERE exchange = e.id)
    )
    GROUP BY 1, 2, 3, 4, 5
)
GROUP BY 1, 2, 3, 4, 5
HAVING sum(requests) OR sum(failed) OR sum(local) OR sum(input) OR sum(cached) OR sum(cache_write) OR sum(output) OR sum(reasoning)
    OR sum(cost_microusd) OR sum(unpriced) OR sum(estimated)"""


def retention(connection: sqlcipher3.Connection) -> None:
    connection.execute(_TAKEN)
    connection.execute(_TAKEN_BEFORE)


def tags(connection: sqlcipher3.Connection) -> None:
    # Beside each link, empty for entries from before.
    connection.execute("ALTER TABLE audit ADD COLUMN tag BLOB NOT NULL DEFAULT x''")
