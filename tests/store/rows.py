"""Exchanges and stores for the tests of this folder."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hypothesis import strategies as st

from app.core.ids import call_id
from app.core.records import Exchange, Outcome, Tokens
from app.store import migrations
from app.store.database import Store

KEY = bytes(range(32))
NOW_US = 1_795_000_000_000_000
_OUTCOMES: tuple[Outcome, ...] = ("completed", "failed", "cancelled", "interrupted", "refused")


def row(number: int = 0, *, at_us: int = NOW_US, outcome: Outcome = "completed", client: str = "Cursor", **fields: object) -> Exchange:
    """A finished exchange; the same arguments give the same one."""
    base = dict[str, object](
        id=call_id(at_us + number * 1000, random.Random(number).getrandbits(80)),
        opened_us=at_us + number * 1000,
        closed_us=at_us + number * 1000 + 900_000,
        duration_us=900_000,
        first_byte_us=300_000,
        client=client,
        endpoint="chat/completions",
        dialect="openai",
        asked="work/gpt-5",
        account="work",
        kind="openai",
        model="gpt-5",
        stream=number % 2 == 0,
        status=200,
        outcome=outcome,
        attempts=1,
        tokens=Tokens(input=1200 + number % 77, cached=1000, output=345, reasoning=100),
        cost_microusd=12_345 + number,
        price="2025-11-01",
        host="api.openai.com",
        connection=number // 50,
        bytes_out=5000 + number % 999,
        bytes_in=23_456,
        removed_headers=9,
        dropped="x-stainless-os",
    )
    return Exchange(**(base | fields))  # type: ignore[arg-type]  # the names are checked by the class


def rows(count: int, *, at_us: int = NOW_US) -> list[Exchange]:
    return [row(number, at_us=at_us) for number in range(count)]


@contextmanager
def opened(path: Path, key: bytes = KEY, steps: Sequence[migrations.Migration] = migrations.ALL) -> Iterator[Store]:
    store = Store.open(path, key, steps)
    try:
        yield store
    finally:
        store.close()


_counts = st.none() | st.integers(0, 10**7)
_names = st.sampled_from(["", "Cursor", "Zed", "größe ☃", "=cmd()", "a/b"])


@st.composite
def any_row(draw: st.DrawFn, first_us: int = NOW_US, last_us: int = NOW_US + 4 * 86_400_000_000) -> Exchange:
    """Any exchange the engine could hand over, opened between the two times."""
    at_us = draw(st.integers(first_us, last_us))
    return Exchange(
        id=call_id(at_us, draw(st.integers(0, 2**80 - 1))),
        opened_us=at_us,
        closed_us=draw(st.none() | st.integers(at_us, at_us + 10**9)),
        client=draw(_names),
        account=draw(_names),
        kind=draw(st.sampled_from(["", "openai", "anthropic"])),
        model=draw(_names),
        asked=draw(st.text(max_size=8)),
        message=draw(st.text(max_size=8)),
        stream=draw(st.booleans()),
        status=draw(st.sampled_from([0, 200, 401, 499, 502])),
        outcome=draw(st.sampled_from(_OUTCOMES)),
        tokens=Tokens(
            input=draw(_counts),
            cached=draw(_counts),
            cache_write=draw(_counts),
            output=draw(_counts),
            reasoning=draw(_counts),
            estimated=draw(st.booleans()),
        ),
        cost_microusd=draw(_counts),
        price=draw(st.sampled_from(["", "local", "2025-11-01"])),
        bytes_out=draw(st.integers(0, 10**9)),
        bytes_in=draw(st.integers(0, 10**9)),
    )
