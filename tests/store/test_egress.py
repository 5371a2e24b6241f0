"""The second book as it is stored: connections by destination and period, certificates that changed, refusals, names, what was removed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.core.ids import call_id, call_id_bytes
from app.core.records import HIDDEN, EgressRecord, RefusedAttempt
from app.store import egress, ledger
from app.store.database import Store
from tests.store.rows import NOW_US, opened, row

HOUR_US = 3_600_000_000


@pytest.fixture
def store(data_dir: Path) -> Iterator[Store]:
    with opened(data_dir / "g.db") as made:
        yield made


def record(number: int, **changes: Any) -> EgressRecord:
    fields: dict[str, Any] = {
        "connection": number, "opened_us": NOW_US + number, "closed_us": NOW_US + number + 5, "account": "work", "host": "api.one.test",
        "port": 443, "address": "198.51.100.7:443", "tls": "TLSv1.3", "issuer": "Good CA", "spki": "aa" * 32, "used": 2, "bytes_out": 100,
        "bytes_in": 1_000, "counted": True,
    }  # fmt: skip
    return EgressRecord(**fields | changes)


def put(store: Store, *records: EgressRecord) -> None:
    with store.write() as connection:
        egress.put(connection, records)


def test_a_record_is_written_when_it_opens_and_again_when_it_ends(store: Store) -> None:
    put(store, record(1, closed_us=None, used=0))
    put(store, record(1), record(2))
    with store.read() as connection:
        assert egress.since(connection, 1) == [record(1), record(2)]
        assert egress.since(connection, 2) == [record(2)]
        assert egress.page(connection, 0, 1) == [record(2)]
        assert egress.page(connection, 0, 9, before=2) == [record(1)]
        assert egress.last_number(connection) == 2  # type: ignore[arg-type]


def test_uses_are_summed_by_destination_and_only_of_the_period(store: Store) -> None:
    put(
        store, record(1), record(2, bytes_out=7), record(3, host="nas", port=80, local=True, tls="", issuer="", spki=""),
        record(4, port=8443), record(5, opened_us=NOW_US + HOUR_US, closed_us=None),
    )  # fmt: skip
    with store.read() as connection:
        found = {(use.host, use.port, use.local): use for use in egress.uses(connection, NOW_US)}
        later = egress.uses(connection, NOW_US + HOUR_US)
        assert egress.uses(connection, NOW_US + 2 * HOUR_US) == []
    assert set(found) == {("api.one.test", 443, False), ("api.one.test", 8443, False), ("nas", 80, True)}
    one = found["api.one.test", 443, False]
    assert (one.connections, one.bytes_out, one.bytes_in) == (3, 207, 3_000)
    assert one.last_us == NOW_US + HOUR_US  # of an open connection, when it was opened
    assert [(use.port, use.connections) for use in later] == [(443, 1)]


def test_a_certificate_of_another_issuer_is_noticed_and_stays_noticed_until_it_is_the_first_again(store: Store) -> None:
    """What an intercepting proxy whose authority the machine trusts looks like: everything works, and somebody else signs."""
    changed = []
    for number, issuer, spki in (
        (1, "Good CA", "aa"), (2, "Good CA", "bb"), (3, "", ""), (4, "Corporate inspection", "cc"), (5, "", ""), (6, "Good CA", "dd"),
    ):  # fmt: skip
        put(store, record(number, issuer=issuer, spki=spki))
        with store.read() as connection:
            (use,) = egress.uses(connection, 0)
        changed.append((use.issuer, use.issuer_changed))
    assert changed == [
        ("Good CA", False), ("Good CA", False), ("Good CA", False), ("Corporate inspection", True), ("Corporate inspection", True),
        ("Good CA", False),
    ]  # fmt: skip


def test_refusals_come_newest_first_and_whole(store: Store) -> None:
    attempts = [
        RefusedAttempt(
            at_us=NOW_US + n, process="engine", what="look-up", target="'; DROP TABLE refusals; --", rule="tripwire", sentence="<b>x</b>",
            stack=("vendor.report", "größe"), count=n,
        )
        for n in range(3)
    ]  # fmt: skip
    with store.write() as connection:
        egress.refuse(connection, attempts)
    with store.read() as connection:
        assert egress.refusals(connection, NOW_US + 1, 10) == [attempts[2], attempts[1]]
        assert egress.refusals(connection, 0, 1) == [attempts[2]]


def test_names_are_counted_and_an_older_one_is_not_of_the_period(store: Store) -> None:
    with store.write() as connection:
        egress.ask(connection, [("a.test", 2, NOW_US), ("a.test", 0, NOW_US + 1), ("b.test", 1, NOW_US + HOUR_US)])
    with store.read() as connection:
        assert [(each.name, each.times, each.found, each.last_us) for each in egress.names(connection, NOW_US)] == [
            ("a.test", 2, 0, NOW_US + 1), ("b.test", 1, 1, NOW_US + HOUR_US),
        ]  # fmt: skip
        assert [each.name for each in egress.names(connection, NOW_US + 2)] == ["b.test"]  # also within the same quarter


def test_what_the_ledger_says_of_connections_and_what_was_removed_is_of_the_period(store: Store) -> None:
    rows = [
        row(at_us=NOW_US + n * HOUR_US, connection=number, bytes_out=10, bytes_in=20, **{"removed_headers": 0, "dropped": "", **more})
        for n, number, more in (
            (0, 1, {"removed_headers": 3}), (1, 1, {"dropped": f"{HIDDEN}user, {HIDDEN}metadata.user_id"}), (2, 2, {}), (3, None, {}),
        )
    ]  # fmt: skip
    with store.write() as connection:
        ledger.record(connection, rows)
    start = call_id_bytes(call_id(NOW_US, 0))
    later = call_id_bytes(call_id(NOW_US + HOUR_US, 0))
    with store.read() as connection:
        assert egress.ledger(connection, 1, start) == {1: (2, 20, 40), 2: (1, 10, 20)}
        assert egress.ledger(connection, 2, start) == {2: (1, 10, 20)}
        assert egress.removed(connection, start) == (3, 2, 2)
        assert egress.removed(connection, later) == (0, 1, 2)
        assert egress.last_number(connection) == 2  # type: ignore[arg-type]
