"""Minutes counted are those that reading all rows would count; a row names its audit entries; errors searched are exported, too."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core.errors import AppError
from app.core.events import AccessRefused, KeyRefused
from app.core.records import Exchange, MinuteBar
from app.store import audit, exchanges, ledger, minutes, refusals, rollups, rows_out
from app.store.minutes import MINUTE_US
from app.store.search import Filter
from tests.store.rows import NOW_US, any_row, opened, row
from tests.store.test_search import fits

HOUR_US = 60 * MINUTE_US


@settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
@given(
    st.lists(any_row(NOW_US, NOW_US + HOUR_US), max_size=40, unique_by=lambda made: made.id),
    st.sampled_from([(), ("Cursor",), ("Zed", "nobody")]),
    st.sampled_from([(), ("a/b",)]),
    st.sampled_from([(), ("4xx",), ("completed", "failed")]),
    st.integers(0, 30),
)
def test_minutes_are_what_reading_all_rows_counts(
    tmp_path_factory: pytest.TempPathFactory,
    made: list[Exchange],
    clients: tuple[str, ...],
    models: tuple[str, ...],
    statuses: tuple[str, ...],
    first: int,
) -> None:
    since = (NOW_US // MINUTE_US + first) * MINUTE_US
    wanted = Filter(since_us=since, until_us=since + 20 * MINUTE_US, clients=clients, models=models, statuses=statuses)
    with opened(tmp_path_factory.mktemp("minutes") / "g.db") as store:
        with store.write() as connection:
            ledger.record(connection, made)
        kept = [one for one in map(exchanges.bounded, made) if fits(one, wanted)]
        requests = Counter(one.opened_us // MINUTE_US * MINUTE_US for one in kept)
        failed = Counter(one.opened_us // MINUTE_US * MINUTE_US for one in kept if one.outcome in rollups.FAILED)
        with store.read() as connection:
            found = minutes.per_minute(connection, wanted)
    assert found == [MinuteBar(at_us=at, requests=requests[at], failed=failed[at]) for at in sorted(requests)]


def test_a_time_too_long_for_minutes_is_refused(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store, store.read() as connection:
        for wanted in (Filter(), Filter(since_us=0), Filter(since_us=0, until_us=181 * MINUTE_US)):
            with pytest.raises(AppError, match="body_invalid"):
                minutes.per_minute(connection, wanted)
        assert minutes.per_minute(connection, Filter(since_us=NOW_US, until_us=NOW_US)) == []


def test_a_row_names_the_entry_of_its_batch_and_of_its_refusal(data_dir: Path) -> None:
    late = NOW_US + 5 * MINUTE_US
    answered = row(1)
    unknown = row(2, outcome="refused", error="key_unknown", client="")
    flooded = row(3, at_us=late, outcome="refused", error="key_unknown", client="")
    barred = row(4, at_us=late, outcome="refused", error="origin_not_allowed", client="")
    unwritten = row(5, at_us=late + MINUTE_US, outcome="refused", error="key_unknown", client="")
    with opened(data_dir / "g.db") as store:
        with store.write() as connection:
            first = KeyRefused(reason="key_unknown", client="", count=1, first_us=unknown.opened_us + 9, last_us=unknown.opened_us + 9)
            flood = KeyRefused(reason="key_unknown", client="", count=9, first_us=late - 1000, last_us=late + MINUTE_US // 2)
            away = AccessRefused(where="gateway", reason="origin_not_allowed", count=1, first_us=late + 5000, last_us=late + 5000)
            numbers = [audit.append(connection, event, "gateway", event.last_us) for event in (first, flood, away)]
            ledger.record(connection, [answered, unknown, flooded, barred, unwritten])
            batch = audit.newest_link(connection)[0]
        with store.read() as connection:
            assert ledger.batch_of(connection, answered.id) == batch
            assert ledger.batch_of(connection, row(99).id) is None
            found = [refusals.entry_of(connection, one) for one in (answered, unknown, flooded, barred, unwritten)]
            assert found == [None, *numbers, None]


def test_a_flood_that_ended_earlier_and_was_written_later_hides_no_refusal(data_dir: Path) -> None:
    known = row(1, outcome="refused", error="key_blocked", client="Zed")
    before, after = known.opened_us - 40 * 1_000_000, known.opened_us + 10 * 1_000_000
    with opened(data_dir / "g.db") as store:
        with store.write() as connection:
            ledger.record(connection, [known])
            first = KeyRefused(reason="key_blocked", client="Zed", count=1, first_us=known.opened_us + 9, last_us=known.opened_us + 9)
            flood = KeyRefused(reason="key_unknown", client="", count=9, first_us=before - 1000, last_us=before)
            number = audit.append(connection, first, "gateway", known.opened_us + 9)
            audit.append(connection, flood, "gateway", after)
        with store.read() as connection:
            assert refusals.entry_of(connection, known) == number


@pytest.mark.parametrize("form", rows_out.FORMS)
def test_what_was_searched_in_errors_is_exported_alone(data_dir: Path, form: rows_out.Form) -> None:
    made = [row(n, outcome="failed", error="provider_error", message=f"Rate limit {n}") for n in range(30)]
    made += [row(40, error="rate_limit"), row(41, outcome="failed", error="rate limits", message="other", client="Zed")]
    with opened(data_dir / "g.db") as store:
        with store.write() as connection:
            ledger.record(connection, made)
        with store.read() as connection:
            for wanted, count in (
                (Filter(text="rate limit"), 31),
                (Filter(text="RATE LIMIT", clients=("Zed",)), 1),
                (Filter(text="1"), 12),
            ):
                assert rows_out.part(connection, form, wanted, None)[1] == count
