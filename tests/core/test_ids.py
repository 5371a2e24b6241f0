"""Call ids: their order is the order of time, and every form of them says the same."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.ids import call_id, call_id_bytes, call_id_of, call_id_time_us

_times = st.integers(0, (1 << 48) * 1000 - 1)
_chances = st.integers(0, (1 << 80) - 1)


@settings(deadline=None)
@given(_times, _chances)
def test_an_id_is_a_ulid_with_a_prefix_and_holds_its_time(time_us: int, chance: int) -> None:
    identifier = call_id(time_us, chance)
    assert re.fullmatch(r"req_[0-7][0-9A-HJKMNP-TV-Z]{25}", identifier)
    assert call_id_time_us(identifier) == time_us // 1000 * 1000
    assert call_id_of(call_id_bytes(identifier)) == identifier
    assert call_id_bytes(identifier) == (time_us // 1000).to_bytes(6) + chance.to_bytes(10)


@settings(deadline=None)
@given(_times, _chances, _times, _chances)
def test_texts_and_bytes_sort_by_time(time_us: int, chance: int, other_us: int, other: int) -> None:
    first, second = call_id(time_us, chance), call_id(other_us, other)
    assert (first < second) is (call_id_bytes(first) < call_id_bytes(second))
    if time_us // 1000 < other_us // 1000:
        assert first < second


@pytest.mark.parametrize(
    "text",
    [
        "",
        "req_",
        "req_" + "0" * 25,
        "req_" + "0" * 27,
        "REQ_" + "0" * 26,
        "req_" + "8" + "0" * 25,  # more than 128 bits
        "req_" + "0" * 25 + "U",
        "req_" + "0" * 25 + "a",
        "req_" + "0" * 25 + "\n",
        "req_" + "0" * 25 + "٣",
        "req_" + "0" * 26 + "\n",
    ],
)
def test_what_is_no_call_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        call_id_bytes(text)


def test_known_values() -> None:
    assert call_id(0, 0) == "req_" + "0" * 26
    assert call_id(1_469_918_176_385_000, 0)[4:14] == "01ARYZ6S41"  # the example of the ULID specification
