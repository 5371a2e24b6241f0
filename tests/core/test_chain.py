"""The audit chain as pure functions."""

from __future__ import annotations

import hashlib
import json
import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core import chain

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=12,
)
_bodies = st.dictionaries(_texts, _values, max_size=5)
_logs = st.lists(st.fixed_dictionaries({"at_us": st.integers(0, 2**60), "subject": _texts}), max_size=8)
quick = settings(deadline=None, max_examples=40)


def grown(bodies: list[dict[str, object]]) -> list[tuple[int, bytes, bytes]]:
    head, rows = chain.GENESIS, []
    for seq, body in enumerate(bodies, 1):
        encoded = chain.canonical(body)
        head = chain.link(head, seq, encoded)
        rows.append((seq, encoded, head))
    return rows


def test_a_link_is_what_its_definition_says() -> None:
    body = b'{"a":1}'
    said = hashlib.sha256(b"gatehouse-audit-v1\0" + b"\x01" * 32 + struct.pack(">Q", 7) + struct.pack(">I", len(body)) + body)
    assert chain.link(b"\x01" * 32, 7, body) == said.digest()
    known = chain.link(chain.GENESIS, 1, b"{}")
    assert known.hex() == hashlib.sha256(b"gatehouse-audit-v1\0" + bytes(32) + bytes(7) + b"\x01\0\0\0\x02{}").hexdigest()


@quick
@given(_bodies)
def test_one_value_has_one_encoding(body: dict[str, object]) -> None:
    encoded = chain.canonical(body)
    assert json.loads(encoded) == body
    assert chain.canonical(dict(reversed(body.items()))) == encoded
    assert chain.canonical(json.loads(encoded)) == encoded
    assert b"\n" not in encoded


@pytest.mark.parametrize(
    "body",
    [
        {"a": 0.5},
        {"a": [1, {"b": math.nan}]},
        {"a": (1.0,)},
        {1: "a"},
        {"a": {2: "b"}},
        {"a": "\ud800"},
        {"\udc00": 1},
    ],
)
def test_what_has_no_exact_encoding_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        chain.canonical(body)


@quick
@given(_logs)
def test_an_untouched_chain_is_intact(bodies: list[dict[str, object]]) -> None:
    rows = grown(bodies)
    head = rows[-1][2] if rows else chain.GENESIS
    assert chain.verify(rows) == chain.Verdict(entries=len(rows), seq=len(rows), head=head)
    if rows:
        assert chain.verify(rows[1:], seq=1, head=rows[0][2]) == chain.Verdict(entries=len(rows) - 1, seq=len(rows), head=head)


@quick
@given(_logs.filter(bool), st.data())
def test_a_changed_row_breaks_the_chain_from_there_on(bodies: list[dict[str, object]], data: st.DataObject) -> None:
    rows = grown(bodies)
    place = data.draw(st.integers(0, len(rows) - 1))
    seq, body, digest = rows[place]
    field = data.draw(st.sampled_from(["body", "hash"]))
    if field == "body":
        changed = bytearray(body)
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at] ^= 1 << data.draw(st.integers(0, 7))
        rows[place] = (seq, bytes(changed), digest)
    else:
        changed = bytearray(digest)
        changed[data.draw(st.integers(0, 31))] ^= 1 << data.draw(st.integers(0, 7))
        rows[place] = (seq, body, bytes(changed))
    verdict = chain.verify(rows)
    assert verdict.finding == chain.Finding("edited", seq)
    assert (verdict.entries, verdict.seq) == (place, place)


@quick
@given(_logs.filter(lambda log: len(log) > 1), st.data())
def test_a_missing_row_is_a_gap(bodies: list[dict[str, object]], data: st.DataObject) -> None:
    rows = grown(bodies)
    gone = data.draw(st.integers(0, len(rows) - 2))  # without an anchor a cut tail cannot be seen
    del rows[gone]
    assert chain.verify(rows).finding == chain.Finding("gap", gone + 2)


@quick
@given(_logs.filter(lambda log: len(log) > 1 and len({chain.canonical(body) for body in log}) == len(log)), st.data())
def test_rows_that_changed_places_are_found(bodies: list[dict[str, object]], data: st.DataObject) -> None:
    rows = grown(bodies)
    first = data.draw(st.integers(0, len(rows) - 2))
    second = data.draw(st.integers(first + 1, len(rows) - 1))
    rows[first], rows[second] = rows[second], rows[first]
    assert chain.verify(rows).finding is not None
    renumbered = [(seq, body, digest) for seq, (_, body, digest) in enumerate(rows, 1)]
    assert chain.verify(renumbered).finding == chain.Finding("edited", first + 1)


@pytest.mark.parametrize("hostile", [(2, "text", b""), (2, None, None), (2, b"{}", "text"), (2, 7, 7)])
def test_a_row_that_is_not_even_bytes_is_a_finding_and_no_error(hostile: tuple[int, bytes, bytes]) -> None:
    rows = [*grown([{"a": 1}]), hostile]
    assert chain.verify(rows).finding == chain.Finding("edited", 2)


def test_a_finding_says_what_and_where() -> None:
    assert "Entry 7 " in chain.Finding("gap", 7).sentence()
    assert "missing" in chain.Finding("gap", 7).sentence()
    assert "changed" in chain.Finding("edited", 7).sentence()


@quick
@given(_bodies, _bodies, st.integers(1, 2**63), st.integers(1, 2**63))
def test_no_two_entries_share_a_hash(one: dict[str, object], other: dict[str, object], seq: int, other_seq: int) -> None:
    first, second = chain.canonical(one), chain.canonical(other)
    same = (first, seq) == (second, other_seq)
    assert (chain.link(chain.GENESIS, seq, first) == chain.link(chain.GENESIS, other_seq, second)) is same
