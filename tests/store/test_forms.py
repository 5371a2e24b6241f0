"""A batch is verified in the form that its digest names, whatever forms came later."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.core.events import LedgerBatch
from app.store import audit, exchanges, floors, forms, ledger, sealing, taken
from app.store.database import Store
from app.store.sealing import Signer
from tests.store.rows import NOW_US, opened, row, rows


def finding(store: Store) -> str:
    with store.read() as connection:
        return ledger.verify(connection).finding


def test_every_field_is_in_the_newest_form_and_absent_in_those_before_it() -> None:
    assert set(forms.FORMS[forms.NEWEST]) == set(exchanges.FIELDS)
    assert list(forms.FORMS)[-1] == forms.NEWEST
    for fields in forms.FORMS.values():
        assert set(exchanges.FIELDS) - set(fields) <= forms.ABSENT.keys() <= set(exchanges.FIELDS)


def test_form_1_is_what_it_was() -> None:
    made = exchanges.flat(row(7, message='größe "☃"\n'))
    line = forms.line(made, "1")
    assert line == LINE_OF_7.encode() + b"\n"
    assert forms.digest([made], "1") == DIGEST_OF_7


def test_a_form_is_read_by_name_and_in_its_own_order() -> None:
    """As after a new field in the middle: old lines stay, and a value in the new field is a line of no old form."""
    fields = (*exchanges.FIELDS[:3], "colour", *exchanges.FIELDS[3:])
    values = list(exchanges.flat(row(7)))
    line = forms.liner("1", fields, {**forms.ABSENT, "colour": ""})
    assert line([*values[:3], "", *values[3:]]) == forms.line(values, "1")
    assert line([*values[:3], "red", *values[3:]]) != forms.line(values, "1")


@pytest.mark.parametrize(
    ("digest", "said"),
    [
        ("99:" + "0" * 64, "has the form '99', which this version does not know: a newer version of Gatehouse wrote it."),
        ("0" * 64, "is none."),
        ("1:" + "0" * 64, "do not match their digest"),
    ],
)
def test_a_batch_in_a_form_that_is_not_known_is_said_to_be(data_dir: Path, digest: str, said: str) -> None:
    with opened(data_dir / "g.db") as store:
        with store.write() as connection:
            ledger.record(connection, rows(3))
            later = row(500)
            ledger.record(connection, [later])
            newest = audit.newest(connection)
            connection.exec_driver_sql("DELETE FROM audit WHERE seq = ?", (newest,))
            audit.append(connection, LedgerBatch(count=1, first=later.id, last=later.id, digest=digest), "gateway", NOW_US)
        assert said in finding(store)


def test_rows_of_pruned_entries_are_held_against_the_form_of_their_own_digest(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store:
        with store.write() as connection:
            ledger.record(connection, rows(3))
            upto = audit.newest(connection)
            flat = [exchanges.flat(one) for one in rows(3)]
            ledger.record(connection, [row(500)])
            signer = Signer.fresh(0)
            sealing.genesis(connection, signer, NOW_US)
        for form in forms.FORMS:
            with store.write() as connection:
                connection.exec_driver_sql("DELETE FROM audit WHERE seq <= ?", (upto,))
                pinned = ledger.Pinned(upto, 3, forms.digest(flat, form), taken.NOTHING, 0)
                sealing.claim(connection, signer, floors.LEDGER, pinned.said(), NOW_US)
            assert finding(store) == ""
        with store.write() as connection:
            pinned = ledger.Pinned(upto, 3, "99:" + "0" * 64, taken.NOTHING, 0)
            sealing.claim(connection, signer, floors.LEDGER, pinned.said(), NOW_US)
        assert "a newer version of Gatehouse wrote it" in finding(store)


LINE_OF_7 = (
    '["req_01M7Q5CQG74TFF59TDWH9EDD1R","Cursor","chat/completions","openai","work/gpt-5","work","openai","gpt-5",'
    '"completed","","2025-11-01","api.openai.com",'
    '"größe \\"☃\\"\\n","x-stainless-os",false,1795000000007000,1795000000907000,'
    "900000,300000,200,1,12352,0,5007,23456,9,1207,1000,null,345,100,false]"
)
DIGEST_OF_7 = "1:8e592cbeca13cbf142ec0d8aa768a8d510f47238a9dd622b2a5ebb63a1937965"
