"""The audit log in the real database: appended in order, shown, and every change behind our back found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.engine import Connection

from app.core import chain
from app.core.events import ClientAdded, GatewayStarted, GatewayStopped, KeyRefused, ProviderAdded
from app.store import audit
from app.store.database import Store
from tests.store.rows import NOW_US, opened


def fill(store: Store, count: int = 50) -> None:
    with store.write() as connection:
        audit.append_all(connection, [(ClientAdded(name=f"client-{n}", key_hint="…abcd"), "person", NOW_US + n) for n in range(count)])


def test_entries_are_shown_newest_first_as_they_were_hashed(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store:
        with store.write() as connection:
            event = ProviderAdded(name="wörk", kind="openai", destination="https://api.openai.com:443", local=False, keyed=True)
            assert audit.append(connection, event, "person", NOW_US) == 1
            assert audit.append(connection, GatewayStopped(reason="quit"), "gateway", NOW_US + 1) == 2
        with store.read() as connection:
            stopped, added = audit.page(connection, 10)
            assert audit.page(connection, 10, before=2) == [added]
            assert audit.page(connection, 1) == [stopped]
            assert audit.newest(connection) == 2
    assert (added.seq, added.at_us, added.kind, added.actor, added.subject) == (1, NOW_US, "provider.added", "person", "wörk")
    assert added.body["detail"] == event.detail()
    first = chain.link(chain.GENESIS, 1, chain.canonical(added.body))
    assert added.hash == first.hex()
    assert stopped.hash == chain.link(first, 2, chain.canonical(stopped.body)).hex()


def test_an_empty_log_is_intact(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store, store.read() as connection:
        assert audit.verify(connection) == chain.Verdict(entries=0, seq=0, head=chain.GENESIS)
        assert (audit.newest(connection), audit.last(connection, ("gateway.started",)), audit.page(connection, 5)) == (0, None, [])


def test_the_newest_entry_of_some_kinds_is_found(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store:
        fill(store)
        with store.write() as connection:
            audit.append(connection, GatewayStarted(version="1", port=4141), "gateway", NOW_US)
            audit.append(connection, GatewayStopped(reason="quit"), "gateway", NOW_US)
        fill(store)
        with store.read() as connection:
            newest = audit.last(connection, (GatewayStarted.KIND, GatewayStopped.KIND))
            plan = connection.exec_driver_sql(
                "EXPLAIN QUERY PLAN SELECT seq, body, hash FROM audit WHERE kind = ? ORDER BY seq DESC LIMIT 1", ("a",)
            ).all()
    assert newest is not None
    assert (newest.seq, newest.kind) == (52, "gateway.stopped")
    assert "audit_kinds" in str(plan)


def _sql(statement: str) -> Callable[[Connection], None]:
    def act(connection: Connection) -> None:
        connection.exec_driver_sql(statement)

    return act


def _untyped(statement: str) -> Callable[[Connection], None]:
    """Somebody who makes the table forget that its columns have types."""

    def act(connection: Connection) -> None:
        connection.exec_driver_sql("DROP INDEX audit_kinds")
        connection.exec_driver_sql("CREATE TABLE other AS SELECT seq, body, hash FROM audit")
        connection.exec_driver_sql("DROP TABLE audit")
        connection.exec_driver_sql("ALTER TABLE other RENAME TO audit")
        connection.exec_driver_sql(statement)

    return act


def _swap(connection: Connection) -> None:
    entries = {
        seq: (body, digest) for seq, body, digest in connection.exec_driver_sql("SELECT seq, body, hash FROM audit WHERE seq IN (20, 21)")
    }
    for seq, other in ((20, 21), (21, 20)):
        connection.exec_driver_sql("UPDATE audit SET body = ?, hash = ? WHERE seq = ?", (*entries[other], seq))


def _edit_and_rehash_one(connection: Connection) -> None:
    previous = connection.exec_driver_sql("SELECT hash FROM audit WHERE seq = 19").scalar_one()
    body = connection.exec_driver_sql("SELECT body FROM audit WHERE seq = 20").scalar_one().replace(b"client-19", b"client-77")
    connection.exec_driver_sql("UPDATE audit SET body = ?, hash = ? WHERE seq = 20", (body, chain.link(previous, 20, body)))


def _insert(connection: Connection) -> None:
    connection.exec_driver_sql("UPDATE audit SET seq = seq + 1000 WHERE seq > 20")
    connection.exec_driver_sql("UPDATE audit SET seq = seq - 999 WHERE seq > 1000")
    connection.exec_driver_sql("INSERT INTO audit (seq, body, hash) SELECT 21, body, hash FROM audit WHERE seq = 20")


@pytest.mark.parametrize(
    ("attack", "kind", "seq", "intact"),
    [
        (_sql("UPDATE audit SET body = CAST(replace(CAST(body AS TEXT), 'person', 'nobody') AS BLOB) WHERE seq = 20"), "edited", 20, 19),
        (_sql("UPDATE audit SET hash = zeroblob(32) WHERE seq = 20"), "edited", 20, 19),
        (_sql("UPDATE audit SET body = x'ff00', hash = x'' WHERE seq = 20"), "edited", 20, 19),
        (_untyped("UPDATE audit SET body = 'a text' WHERE seq = 20"), "edited", 20, 19),
        (_untyped("UPDATE audit SET body = NULL, hash = 7 WHERE seq = 20"), "edited", 20, 19),
        (_sql("DELETE FROM audit WHERE seq = 20"), "gap", 21, 19),
        (_sql("DELETE FROM audit WHERE seq < 20"), "gap", 20, 0),
        (_sql("UPDATE audit SET seq = 200 WHERE seq = 50"), "gap", 200, 49),
        (_sql("UPDATE audit SET seq = -5 WHERE seq = 20"), "gap", -5, 0),
        (_swap, "edited", 20, 19),
        (_edit_and_rehash_one, "edited", 21, 20),
        (_insert, "edited", 21, 20),
    ],
)
def test_a_changed_log_is_found_from_there_on(
    data_dir: Path, attack: Callable[[Connection], None], kind: str, seq: int, intact: int
) -> None:
    with opened(data_dir / "g.db") as store:
        fill(store)
        with store.write() as connection:
            attack(connection)
        with store.read() as connection:
            verdict = audit.verify(connection)
            assert (verdict.finding, verdict.entries, verdict.seq) == (chain.Finding(kind, seq), intact, intact)
            assert len(audit.page(connection, 100)) >= 31  # the log can still be read


def test_an_entry_that_is_no_longer_ours_is_shown_not_hidden(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store:
        fill(store, 4)
        with store.write() as connection:
            for seq, body in ((1, b"\xff\xfe"), (2, b"[" * 100_000), (3, b'{"kind": 7, "at_us": "now", "actor": null}')):
                connection.exec_driver_sql("UPDATE audit SET body = ? WHERE seq = ?", (body, seq))
        with store.read() as connection:
            entries = audit.page(connection, 10)
    assert [entry.kind for entry in entries] == ["client.added", "unreadable", "unreadable", "unreadable"]
    assert entries[1].at_us == 0


def test_a_flood_of_entries_is_one_transaction(data_dir: Path) -> None:
    entries = [(KeyRefused(reason="key_unknown", count=n, first_us=1, last_us=2), "gateway", NOW_US) for n in range(5000)]
    with opened(data_dir / "g.db") as store:
        with store.write() as connection:
            assert audit.append_all(connection, entries) == 5000
            assert audit.append_all(connection, []) == 5000
        with store.read() as connection:
            assert audit.verify(connection).entries == 5000
