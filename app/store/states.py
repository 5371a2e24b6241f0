"""What is in force, held against the log: clients, accounts, settings and prices of one's own.

Each entry of a change says the digest of these tables before and after it (`"state"` in its body), so what one entry left is what the next
must find, and the tables are what the newest left. A change without an entry shows at either place, also after later changes. A prune
carries the state of the log on, a restore begins with what was found, and a claim `state` covers a log that said nothing of it yet.
When clients were last seen and costs worked out again are not covered.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from app.core.events import AuditPruned, AuditRestored, audited
from app.store import checkpoints
from app.store.statements import Statements
from app.store.tables import select_from

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from app.store.judging import Scope
    from app.verifier import Verdict

State = Mapping[str, Any]
CLAIM: Final = "state"
# What of each table is covered, in the order of a key of it. `last_seen_us` comes with no entry.
COVERED: Final = {
    "clients": ("name", "digest", "prefix", "last4", "created_us", "blocked", "keeps_content", "identifiers", "id"),
    "accounts": (
        "name", "kind", "base_url", "local", "keyed", "key_hint", "created_us", "models", "tested_us", "test_ok", "test_message", "test_ms",
        "id",
    ),
    "settings": ("name", "value"),
    "own_prices": ("account", "model", "input", "output", "cached", "cache_write", "set_us"),
}  # fmt: skip
_WORDS: Final = {"clients": "clients", "accounts": "accounts", "settings": "settings", "own_prices": "prices of your own"}
_READ: Final = {table: f"{select_from(table, columns)} ORDER BY {columns[0]}, {columns[1]}" for table, columns in COVERED.items()}
# Entries that say a state: those of changes, and those that carry a state on or begin one.
_KINDS: Final = (*(kind for kind, event in audited().items() if event.GROUP == "changes"), AuditPruned.KIND, AuditRestored.KIND)
_TOLD: Final = f"SELECT seq, kind, body FROM audit WHERE kind IN ({', '.join('?' * len(_KINDS))}) AND seq > ? ORDER BY seq"  # noqa: S608 - question marks
_LAST: Final = "SELECT seq, kind, body FROM audit WHERE kind = ? AND seq <= ? ORDER BY seq DESC LIMIT 1"
_NEWEST: Final = (1 << 63) - 1
_MOST: Final = 20


def digests(connection: Statements) -> dict[str, str]:
    """SHA-256 of what is in force, by table."""
    found = {}
    for table, statement in _READ.items():
        digest = hashlib.sha256()
        for row in connection.exec_driver_sql(statement):
            digest.update(repr(tuple(row)).encode("utf-8", "surrogatepass") + b"\n")
        found[table] = digest.hexdigest()
    return found


def newest(connection: Connection) -> State | None:
    """What the log says is in force; None when it says nothing of it."""
    told = _told(connection, _NEWEST)
    return told[-1][1]["after"] if told else None


def check(connection: Connection, scope: Scope, verdict: Verdict) -> None:
    """Findings "state": what was changed between two entries, or after the newest, without one."""
    told = _told(connection, scope.since)
    if not told:
        verdict.notes.append("Clients, accounts, settings and prices are held against the log from the next change or start on.")
        return
    seq, state = told[0]
    for following, said in told[1:]:
        _compare(verdict, state["after"], said["before"], seq, f"between entries {seq} and {following}")
        seq, state = following, said
    _compare(verdict, state["after"], digests(connection), seq, f"after entry {seq}")


def _compare(verdict: Verdict, left: State, found: State, seq: int, when: str) -> None:
    for table, word in _WORDS.items():
        if left.get(table) != found.get(table) and sum(one.kind == "state" for one in verdict.findings) < _MOST:
            verdict.find("state", seq, f"The {word} were changed {when}, and no entry says so.")


def _told(connection: Connection, since: int) -> list[tuple[int, State]]:
    """Entry and state of all that says one, in order, from the newest restore on; of those up to `since` the newest alone. Every entry
    of a kind that says a state does, from the first on, so the newest of each kind is enough to find it."""
    rows = [row for kind in _KINDS for row in connection.exec_driver_sql(_LAST, (kind, since))] if since else []
    told = sorted((row for row in map(_state, rows) if row is not None), key=lambda row: row[0])[-1:]
    for row in connection.exec_driver_sql(_TOLD, (*_KINDS, since)):
        if (said := _state(row)) is not None:
            if row[1] == AuditRestored.KIND:
                told.clear()
            told.append(said)
    claim = checkpoints.newest_claim(connection, CLAIM)
    if claim is not None and (not told or told[0][0] > claim.seq) and not _restored_after(connection, claim.number):
        said_then = {table: claim.claim.get(table) for table in COVERED}
        told.insert(0, (claim.seq, {"before": said_then, "after": said_then}))
    return told


def _state(row: tuple[int, str, bytes]) -> tuple[int, State] | None:
    try:
        state = json.loads(row[2]).get("state")
    except (ValueError, TypeError, AttributeError, RecursionError):  # somebody edited it, and the log was not judged yet
        return None
    fits = isinstance(state, dict) and isinstance(state.get("after"), dict) and isinstance(state.get("before"), dict)
    return (int(row[0]), state) if fits else None


def _restored_after(connection: Connection, number: int) -> bool:
    restored = checkpoints.newest_of(connection, "restore")
    return restored is not None and restored.number > number
