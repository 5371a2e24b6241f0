"""Rows of the ledger: what goes in comes out, once, and a row changed behind our back is found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core.errors import AppError
from app.core.ids import call_id
from app.core.records import Exchange, Tokens
from app.store import audit, exchanges, ledger
from app.store.database import Store
from tests.store.rows import KEY, NOW_US, any_row, opened, row, rows

EACH = settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def test_every_field_of_an_exchange_is_kept() -> None:
    plain = {field.name for field in fields(Exchange)} - {"tokens"}
    assert set(exchanges.FIELDS) == plain | {f"tokens.{field.name}" for field in fields(Tokens)}


@EACH
@given(st.lists(any_row(), max_size=20, unique_by=lambda made: made.id))
def test_rows_come_back_as_they_went_in_newest_first(tmp_path_factory: pytest.TempPathFactory, made: list[Exchange]) -> None:
    with opened(tmp_path_factory.mktemp("ledger") / "g.db") as store:
        with store.write() as connection:
            assert ledger.record(connection, made) == len(made)
        with store.read() as connection:
            assert ledger.page(connection, 1000) == sorted(map(exchanges.bounded, made), key=lambda one: one.id, reverse=True)
            verdict = ledger.verify(connection)
            assert (verdict.rows, verdict.finding) == (len(made), "")


def test_recording_again_changes_nothing(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store:
        with store.write() as connection:
            assert ledger.record(connection, rows(10)) == 10
        with store.write() as connection:
            assert ledger.record(connection, rows(12)) == 2
            assert ledger.record(connection, [*rows(12), row(12), row(12, outcome="interrupted")]) == 1
            assert ledger.record(connection, rows(13)) == 0
            assert ledger.record(connection, []) == 0
        with store.read() as connection:
            assert ledger.page(connection, 100) == rows(13)[::-1]
            assert ledger.usage(connection, (), 0, NOW_US * 2)[0].requests == 13
            assert [entry.kind for entry in audit.page(connection, 10)] == ["ledger.batch"] * 3


def test_pages_follow_one_another_without_a_gap_or_a_repeat(data_dir: Path) -> None:
    many = rows(95)
    with opened(data_dir / "g.db") as store:
        with store.write() as connection:
            ledger.record(connection, many[::2])
            ledger.record(connection, many[1::2])
        seen: list[Exchange] = []
        before: str | None = None
        with store.read() as connection:
            while page := ledger.page(connection, 10, before):
                seen += page
                before = page[-1].id
            assert seen == many[::-1]
            assert ledger.one(connection, many[7].id) == many[7]
            assert ledger.one(connection, call_id(5, 5)) is None
            for bad in ("", "req_", "req_0OIL0000000000000000000000", "' OR 1=1 --", "req_8ZZZZZZZZZZZZZZZZZZZZZZZZZ"):
                with pytest.raises(AppError, match="body_invalid"):
                    ledger.page(connection, 10, bad)


def test_whatever_a_client_or_provider_sends_is_recorded(data_dir: Path) -> None:
    hostile = [
        row(0, asked="x" * 1_000_000, message="é" * 1_000_000),
        row(1, asked="\ud800 half a pair", model="nul\0nul"),
        row(2, tokens=Tokens(input=10**30, output=-5), cost_microusd=2**63),
        row(3, asked="'; DROP TABLE exchanges; --", host="=cmd|' /C calc'!A0"),
        row(5, opened_us=-1, closed_us=2**80, bytes_in=2**62, status=-7),
        row(4, asked="line\nfeed\r\t\x1b[31m\u2028", connection=10**40),
    ]
    with opened(data_dir / "g.db") as store:
        with store.write() as connection:
            assert ledger.record(connection, hostile) == 6
        with store.read() as connection:
            kept = ledger.page(connection, 10)[::-1]
            assert kept == [exchanges.bounded(one) for one in sorted(hostile, key=lambda one: one.id)]
            assert ledger.verify(connection).finding == ""
    assert len(kept[0].asked) <= 256
    assert len(kept[0].message) <= 500
    assert kept[1].model == "nul\N{REPLACEMENT CHARACTER}nul"
    assert kept[2].tokens == Tokens(input=exchanges.MOST, output=0)
    assert (kept[5].opened_us, kept[5].closed_us, kept[5].status) == (0, exchanges.LATEST_US, 0)
    assert kept[3].asked == "'; DROP TABLE exchanges; --"


def test_a_batch_that_was_undone_leaves_no_word_behind(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store:
        with pytest.raises(RuntimeError), store.write() as connection:
            ledger.record(connection, [row(1, client="Undone")])
            raise RuntimeError
        with store.write() as connection:
            ledger.record(connection, [row(2, client="Other"), row(3, client="Undone")])
        with store.read() as connection:
            assert [one.client for one in ledger.page(connection, 10)] == ["Undone", "Other"]


def test_the_digest_of_a_batch_can_be_made_with_the_standard_library(data_dir: Path) -> None:
    """The form that the docstring of the ledger promises, made here a second time from the rows alone."""
    made = [row(2, asked='quote " back \\ slash / é ☃ \x7f \x1f'), row(1, message="tab\tline\n"), row(3)]
    lines = []
    for one in sorted(made, key=lambda one: one.id):
        values = []
        for name in exchanges.FIELDS:
            owner, _, field = name.rpartition(".")
            values.append(getattr(one.tokens if owner else one, field))
        lines.append(json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
    with opened(data_dir / "g.db") as store, store.write() as connection:
        ledger.record(connection, made)
        detail = audit.page(connection, 1)[0].body["detail"]
    assert detail == {
        "count": 3,
        "first": min(one.id for one in made),
        "last": max(one.id for one in made),
        "digest": "2:" + hashlib.sha256(b"".join(lines)).hexdigest(),
    }


@settings(deadline=None)
@given(st.text())
def test_both_json_writers_spell_every_text_alike(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    assert ledger._line([text, None, True, -1]) == json.dumps([text, None, True, -1], ensure_ascii=False, separators=(",", ":")).encode()


def _edit(sql: str) -> Callable[[Store], None]:
    def act(store: Store) -> None:
        with store.write() as connection:
            connection.exec_driver_sql(sql)

    return act


def _copy_a_row(store: Store) -> None:
    with store.write() as connection:
        found = connection.exec_driver_sql("SELECT * FROM exchanges LIMIT 1").one()
        values = (b"\x01" * 16, *found[1:])
        connection.exec_driver_sql(f"INSERT INTO exchanges VALUES ({','.join('?' * len(values))})", values)


@pytest.mark.parametrize(
    ("attack", "finding"),
    [
        (_edit("UPDATE exchanges SET cost_microusd = 1 WHERE id = (SELECT id FROM exchanges LIMIT 1 OFFSET 7)"), "do not match"),
        (_edit("UPDATE exchanges SET input = NULL WHERE id = (SELECT id FROM exchanges LIMIT 1 OFFSET 7)"), "do not match"),
        (_edit("UPDATE words SET text = 'Someone else' WHERE text = 'Cursor'"), "do not match"),
        (_edit("DELETE FROM exchanges WHERE id = (SELECT id FROM exchanges LIMIT 1 OFFSET 7)"), "missing"),
        (_edit("DELETE FROM exchanges WHERE batch = 2"), "knows 4 batches"),
        (_edit("UPDATE exchanges SET batch = 99 WHERE id = (SELECT id FROM exchanges LIMIT 1 OFFSET 7)"), "belongs to no batch"),
        (_edit("UPDATE exchanges SET batch = 3 WHERE id = (SELECT max(id) FROM exchanges WHERE batch = 2)"), "do not match"),
        (_copy_a_row, "do not match"),
    ],
)
def test_a_row_changed_behind_our_back_is_found(data_dir: Path, attack: Callable[[Store], None], finding: str) -> None:
    many = rows(40)
    with opened(data_dir / "g.db") as store:
        for start in range(4):
            with store.write() as connection:
                ledger.record(connection, many[start::4])
        with store.read() as connection:
            assert ledger.verify(connection) == ledger.Verdict(rows=40, batches=4)
        attack(store)
    with opened(data_dir / "g.db", KEY) as store, store.read() as connection:
        assert finding in ledger.verify(connection).finding


def test_rows_keep_the_names_of_clients_and_accounts_that_are_gone(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store:
        with store.write() as connection:
            ledger.record(connection, [row(1, client="Gone", account="old-work")])
        with store.read() as connection:
            assert ledger.page(connection, 1)[0] == replace(row(1), client="Gone", account="old-work")
            assert ledger.usage(connection, ("client", "provider"), 0, NOW_US * 2)[0].key == ("Gone", "old-work")


@EACH
@given(any_row(), st.sampled_from(["asked", "model", "message", "dropped"]), st.text(max_size=600), st.integers(-(2**70), 2**70))
def test_a_row_is_left_alone_exactly_when_it_can_be_stored_as_it_is(one: Exchange, name: str, text: str, number: int) -> None:
    for changed in (one, replace(one, **{name: text}), replace(one, cost_microusd=number), replace(one, tokens=Tokens(output=number))):
        kept = exchanges.bounded(changed)
        assert exchanges.bounded(kept) is kept or exchanges.bounded(kept) == kept
        fine = (
            all(
                "\0" not in value and len(value) <= (500 if place in ("message", "dropped") else 256) and _is_utf8(value)
                for place, value in ((place, getattr(changed, place)) for place in ("asked", "model", "message", "dropped"))
            )
            and 0 <= (changed.cost_microusd or 0) <= exchanges.MOST
            and 0 <= (changed.tokens.output or 0) <= exchanges.MOST
        )
        assert (kept == changed) is fine


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
