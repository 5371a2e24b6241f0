"""Numbers, money and times as a person reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from app.core.records import Tokens
from app.gui import format as fmt
from tests.gui.desk import exchange

NOW = datetime(2026, 11, 20, 14, 32, 7, 212_000, tzinfo=UTC)
NOW_US = int(NOW.timestamp() * 1_000_000)


def ago_us(**delta: int) -> int:
    return int((NOW - timedelta(**delta)).timestamp() * 1_000_000)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0"), (640, "640"), (999, "999"), (1000, "1.0k"), (12_400, "12.4k"), (99_949, "99.9k"), (640_000, "640k"),
        (999_999, "1.00M"), (2_070_000, "2.07M"), (48_200_000, "48.2M"), (3_000_000_000, "3.00G"), (None, "–"),
    ],
)  # fmt: skip
def test_a_count_keeps_four_figures_at_most(value: int | None, words: str) -> None:
    assert fmt.compact(value) == words


@pytest.mark.parametrize(
    ("microusd", "words"),
    [(0, "$0"), (50, "<$0.0001"), (400, "$0.0004"), (3000, "$0.003"), (18_600, "$0.019"), (4_370_000, "$4.37"), (1_204_000_000, "$1,204")],
)
def test_small_sums_keep_their_figures(microusd: int, words: str) -> None:
    assert fmt.money(microusd) == words


def test_what_has_no_price_is_never_shown_as_zero() -> None:
    assert fmt.cost(exchange(cost_microusd=None, price="")) == "Unpriced"
    assert fmt.cost(exchange(cost_microusd=None, price="", endpoint="models", asked="", account="", model="")) == "–"
    assert fmt.cost(exchange(cost_microusd=None, price="", outcome="cancelled", tokens=Tokens(input=9, output=3))) == "Unpriced"
    assert fmt.cost(exchange(cost_microusd=None, price="", outcome="failed", tokens=Tokens(input=9, output=0))) == "–"
    assert fmt.cost(exchange(cost_microusd=0, price="2026-11-03")) == "$0"
    assert fmt.cost(exchange(cost_microusd=0, price="local")) == "local"


def test_absent_tokens_are_a_dash_and_zero_is_zero() -> None:
    assert fmt.tokens(exchange(tokens=Tokens())) == "–"
    assert fmt.tokens(exchange(tokens=Tokens(input=5900, output=0))) == "5.9k / 0"
    assert fmt.tokens(exchange(tokens=Tokens(input=5900))) == "5.9k / –"
    assert fmt.tokens(exchange(tokens=Tokens(input=10, output=4, estimated=True))) == "~10 / 4"


@pytest.mark.parametrize(
    ("duration_us", "words"),
    [
        (None, "–"), (0, "0 ms"), (400, "<1 ms"), (8_000, "8 ms"), (240_000, "240 ms"), (999_600, "1.0 s"), (3_800_000, "3.8 s"),
        (59_990_000, "1 min 0 s"), (125_000_000, "2 min 5 s"),
    ],
)  # fmt: skip
def test_durations(duration_us: int | None, words: str) -> None:
    assert fmt.duration(duration_us) == words


def test_durations_in_narrow_cells() -> None:
    assert [fmt.took(us) for us in (None, 8_000, 900_000, 11_200_000, 125_000_000)] == ["–", "8 ms", "0.9 s", "11.2 s", "125 s"]
    assert [fmt.seconds(us) for us in (None, 0, 400, 1_000, 640_000, 3_800_000)] == ["–", "0", "<0.001", "0.001", "0.6", "3.8"]


@pytest.mark.parametrize(("number", "words"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (41_200, "41.2 kB"), (8_400_000, "8.4 MB")])
def test_sizes(number: int, words: str) -> None:
    assert fmt.size(number) == words


def test_times_name_the_day_only_when_it_is_another() -> None:
    assert fmt.moment(ago_us(hours=2, minutes=28), NOW_US, UTC) == "today 12:04"
    assert fmt.moment(ago_us(hours=21), NOW_US, UTC) == "yesterday 17:32"
    assert fmt.moment(ago_us(days=2), NOW_US, UTC) == "18 Nov 14:32"
    assert fmt.moment(ago_us(days=400), NOW_US, UTC) == "16 Oct 2025 14:32"
    assert fmt.table_time(ago_us(seconds=7), NOW_US, UTC) == "14:32:00"
    assert fmt.table_time(ago_us(days=1), NOW_US, UTC) == "19 Nov 14:32"
    assert fmt.clock_exact(NOW_US, UTC) == "14:32:07.212"


def test_the_day_is_the_day_of_the_zone() -> None:
    east = timezone(timedelta(hours=13))
    assert fmt.long_day(NOW_US, UTC) == "Friday 20 November"
    assert fmt.long_day(NOW_US, east) == "Saturday 21 November"
    assert fmt.day(ago_us(hours=5), NOW_US, east) == "yesterday"


def test_how_long_ago() -> None:
    assert fmt.ago(ago_us(seconds=59), NOW_US, UTC) == "just now"
    assert fmt.ago(ago_us(minutes=2), NOW_US, UTC) == "2 min ago"
    assert fmt.ago(ago_us(hours=3), NOW_US, UTC) == "3 h ago"
    assert fmt.ago(ago_us(hours=21), NOW_US, UTC) == "yesterday 17:32"
    assert fmt.ago(NOW_US + 5_000_000, NOW_US, UTC) == "just now"  # a clock that was set back


def test_how_long_it_runs() -> None:
    assert fmt.lasted(NOW_US, NOW_US) == "1 min"
    assert fmt.lasted(ago_us(hours=3, minutes=12), NOW_US) == "3 h 12 min"
    assert fmt.lasted(ago_us(days=3, hours=5), NOW_US) == "3 d 5 h"


def test_a_date_that_is_not_one_is_left_as_it_is() -> None:
    assert fmt.iso_day("2026-11-03") == "3 Nov 2026"
    assert fmt.iso_day("2026-13-03") == "2026-13-03"
    assert fmt.iso_day("local") == "local"


def test_a_short_id_can_be_recognised() -> None:
    row = exchange(1)
    assert fmt.short_id(row.id) == f"{row.id[:9]}…{row.id[-3:]}"
