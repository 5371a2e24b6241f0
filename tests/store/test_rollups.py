"""Usage: sums over the rollups are sums over the rows, by local days of any zone."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core.errors import AppError
from app.core.records import Exchange, HourBar, UsageRow
from app.store import daily, days, hosts, ledger, rollups, usage
from tests.store.rows import NOW_US, any_row, opened, row

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US


def us(year: int, month: int, day: int, hour: int = 0, minute: int = 0, zone: tzinfo = UTC) -> int:
    return int(datetime(year, month, day, hour, minute, tzinfo=zone).timestamp()) * 1_000_000


class Shifting(tzinfo):
    """A zone made for tests: `before` ahead of UTC until `change`, `after` from then on. Needs no zone database."""

    def __init__(self, before: timedelta, after: timedelta, change: datetime) -> None:
        self.before, self.after, self.change = before, after, change

    def fromutc(self, moment: datetime) -> datetime:
        ahead = self.before if moment.replace(tzinfo=UTC) < self.change else self.after
        return (moment + ahead).replace(fold=int(ahead == self.after))

    def utcoffset(self, moment: datetime | None) -> timedelta:
        assert moment is not None
        late = (moment.replace(tzinfo=UTC) - self.after) >= self.change
        early = (moment.replace(tzinfo=UTC) - self.before) < self.change
        return self.before if early and (not late or moment.fold == 0) else self.after

    def dst(self, moment: datetime | None) -> timedelta:
        return timedelta(0)

    def tzname(self, moment: datetime | None) -> str:
        return "Shifting"

    def __repr__(self) -> str:
        return f"Shifting({self.before}, {self.after}, {self.change})"


CHANGE = datetime(2026, 11, 20, 1, tzinfo=UTC)
ZONES: list[tzinfo] = [
    UTC,
    timezone(timedelta(hours=5, minutes=30)),
    timezone(-timedelta(hours=3, minutes=30)),
    timezone(timedelta(hours=5, minutes=45)),
    Shifting(timedelta(hours=1), timedelta(hours=2), CHANGE),  # a day of 23 hours
    Shifting(timedelta(hours=2), timedelta(hours=1), CHANGE),  # a day of 25 hours
    Shifting(timedelta(hours=11), timedelta(hours=10, minutes=30), CHANGE),  # half an hour
    Shifting(-timedelta(hours=10), timedelta(hours=14), CHANGE),  # a day that does not exist
]
FIRST_US = us(2026, 11, 18)
LAST_US = us(2026, 11, 22)


def group(made: list[Exchange], by: tuple[str, ...], zone: tzinfo) -> list[UsageRow]:
    """The same question answered from the rows, the slow and plain way."""
    groups: defaultdict[tuple[str, ...], list[Exchange]] = defaultdict(list)
    for one in made:
        moment = datetime.fromtimestamp(one.opened_us // 1_000_000, zone)
        local = moment.date().isoformat()
        # The offset is that of the row: where the clock moves by half an hour, the zone's own for the full hour may be another.
        ahead = moment.utcoffset()
        assert ahead is not None
        at = moment.replace(minute=0, second=0, tzinfo=timezone(ahead))
        texts = {
            "hour": at.isoformat(timespec="minutes"),
            "day": local,
            "month": local[:7],
            "client": one.client,
            "model": one.model,
            "provider": one.account,
        }
        groups[tuple(texts[name] for name in by)].append(one)
    return [
        UsageRow(
            key=key,
            requests=len(members),
            failed=sum(one.outcome in ("failed", "refused", "interrupted") for one in members),
            input=sum(one.tokens.input or 0 for one in members),
            cached=sum(one.tokens.cached or 0 for one in members),
            cache_write=sum(one.tokens.cache_write or 0 for one in members),
            output=sum(one.tokens.output or 0 for one in members),
            reasoning=sum(one.tokens.reasoning or 0 for one in members),
            cost_microusd=sum(one.cost_microusd or 0 for one in members),
            unpriced=sum(rollups.is_unpriced(one) for one in members),
            estimated=sum(one.tokens.estimated for one in members),
            local=sum(one.price == "local" for one in members),
        )
        for key, members in groups.items()
    ]


@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@given(
    st.lists(any_row(FIRST_US, LAST_US), max_size=60, unique_by=lambda made: made.id),
    st.sampled_from(ZONES),
    st.sampled_from(ZONES),
    st.integers(1, 5),
)
def test_usage_equals_the_sum_over_the_rows_however_it_is_grouped(
    tmp_path_factory: pytest.TempPathFactory, made: list[Exchange], zone: tzinfo, counted: tzinfo, batches: int
) -> None:
    with opened(tmp_path_factory.mktemp("rollups") / "g.db") as store:
        for start in range(batches):
            with store.write() as connection:
                ledger.record(connection, made[start::batches], zone=counted)
                ledger.record(connection, made[start::batches], zone=counted)  # replayed: counts once
        for mended in (False, True):
            with store.write() as connection:
                if mended:
                    daily.mend(connection, zone)
                assert daily.fits(connection, zone) or not mended
            with store.read() as connection:
                for by in (by for size in range(5) for by in itertools.combinations(usage.DIMENSIONS, size)):
                    if len(set(by) & set(usage.TIMES)) > 1:
                        continue
                    found = ledger.usage(connection, by, FIRST_US, LAST_US + DAY_US, zone)
                    assert sorted(found, key=lambda one: one.key) == sorted(group(made, by, zone), key=lambda one: one.key)


@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@given(st.lists(any_row(FIRST_US, LAST_US), min_size=1, max_size=40, unique_by=lambda made: made.id), st.sampled_from(ZONES))
def test_today_and_yesterday_are_local_days(tmp_path_factory: pytest.TempPathFactory, made: list[Exchange], zone: tzinfo) -> None:
    now = max(one.opened_us for one in made)
    today = datetime.fromtimestamp(now // 1_000_000, zone).date()
    of_today = [one for one in made if datetime.fromtimestamp(one.opened_us // 1_000_000, zone).date() == today]
    with opened(tmp_path_factory.mktemp("today") / "g.db") as store:
        with store.write() as connection:
            ledger.record(connection, made)
        with store.read() as connection:
            shown = ledger.today(connection, now, zone)
            accounts = ledger.today_by_account(connection, now, zone)
            by_day = {found.key[0]: found.requests for found in ledger.usage(connection, ("day",), 0, now + 1, zone)}
    (expected,) = group(of_today, (), zone)
    assert shown.requests == sum(accounts.values()) == expected.requests == by_day[today.isoformat()]
    assert (shown.failed, shown.cost_microusd, shown.unpriced) == (expected.failed, expected.cost_microusd, expected.unpriced)
    assert (shown.input, shown.cached, shown.output) == (expected.input, expected.cached, expected.output)
    assert shown.local == sum(one.price == "local" for one in of_today)
    assert sum(bar.answered + bar.failed for bar in shown.hours) == expected.requests
    before = max((day for day in by_day if day < today.isoformat()), default=None)
    start = datetime.fromtimestamp(days.start_of_day(zone, days.quarter_of(now)) * 900 - 1, zone).date().isoformat()
    assert shown.yesterday == (by_day[start] if start == before else 0)


@pytest.mark.parametrize(
    ("name", "day", "hours"),
    [
        ("Europe/Berlin", (2026, 3, 29), 23),
        ("Europe/Berlin", (2026, 10, 25), 25),
        ("Europe/Berlin", (2026, 6, 1), 24),
        ("Australia/Lord_Howe", (2026, 10, 4), 23.5),
        ("Asia/Kolkata", (2026, 10, 4), 24),
        ("America/St_Johns", (2026, 11, 1), 25),
    ],
)
def test_days_of_real_zones_have_the_hours_they_have(name: str, day: tuple[int, int, int], hours: float) -> None:
    try:
        zone = ZoneInfo(name)
    except ZoneInfoNotFoundError:
        pytest.skip("this machine has no zone database; the zones made for tests cover the arithmetic")
    noon = days.quarter_of(us(*day, 12, zone=zone))
    start, end = days.start_of_day(zone, noon), days.end_of_day(zone, noon)
    assert start * days.QUARTER_US == us(*day, zone=zone)
    assert (end - start) / 4 == hours


def test_an_hour_bar_for_each_hour_that_has_begun_also_when_one_comes_twice(data_dir: Path) -> None:
    zone = Shifting(timedelta(hours=2), timedelta(hours=1), CHANGE)  # 03:00 becomes 02:00
    now = us(2026, 11, 20, 3, 20)
    with opened(data_dir / "g.db") as store:
        with store.write() as connection:
            ledger.record(connection, [row(1, at_us=us(2026, 11, 20, 0, 59)), row(2, at_us=us(2026, 11, 20, 1, 0), outcome="failed")])
        with store.read() as connection:
            bars = ledger.today(connection, now, zone).hours
    assert [bar.hour for bar in bars] == [0, 1, 2, 2, 3, 4]
    assert bars[2:4] == (HourBar(hour=2, answered=1, failed=0), HourBar(hour=2, answered=0, failed=1))


def test_a_clock_set_back_moves_no_request_to_another_day(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store:
        with store.write() as connection:
            ledger.record(connection, [row(1, at_us=us(2026, 11, 20, 15)), row(2, at_us=us(2026, 11, 20, 9))])
        with store.read() as connection:
            shown = ledger.today(connection, us(2026, 11, 20, 9, 1), UTC)  # six hours before the newest row
            assert shown.requests == 2
            assert sum(bar.answered for bar in shown.hours) == 2
            assert ledger.today(connection, us(2026, 11, 21), UTC).yesterday == 2


def test_an_empty_ledger_has_an_empty_day(data_dir: Path) -> None:
    with opened(data_dir / "g.db") as store, store.read() as connection:
        shown = ledger.today(connection, us(2026, 11, 20, 2, 30), UTC)
        assert (shown.requests, [bar.hour for bar in shown.hours]) == (0, [0, 1, 2])
        assert ledger.usage(connection, ("day",), 0, NOW_US) == []
        assert ledger.usage(connection, (), 0, NOW_US) == []
        assert ledger.today_by_account(connection, NOW_US) == {}


def test_bounds_of_usage_are_quarters_of_an_hour(data_dir: Path) -> None:
    at = us(2026, 11, 20, 9, 7)
    with opened(data_dir / "g.db") as store:
        with store.write() as connection:
            ledger.record(connection, [row(1, at_us=at)])
        with store.read() as connection:
            count = lambda since, until: sum(found.requests for found in ledger.usage(connection, (), since, until))  # noqa: E731
            assert count(us(2026, 11, 20, 9), us(2026, 11, 20, 9, 15)) == 1
            assert count(us(2026, 11, 20, 9, 14), us(2026, 11, 20, 9, 15)) == 1
            assert count(us(2026, 11, 20, 9, 15), us(2026, 11, 20, 12)) == 0
            assert count(0, us(2026, 11, 20, 9)) == 0
            assert count(us(2026, 11, 21), us(2026, 11, 20)) == 0


@pytest.mark.parametrize("by", [("year",), ("hour", "day"), ("day", "day"), ("client; DROP TABLE rollups",), ("quarter",)])
def test_an_unknown_dimension_is_refused(data_dir: Path, by: tuple[str, ...]) -> None:
    with opened(data_dir / "g.db") as store, store.read() as connection, pytest.raises(AppError) as caught:
        ledger.usage(connection, by, 0, NOW_US)
    assert (caught.value.code, caught.value.param) == ("body_invalid", "by")


def test_without_a_zone_days_are_those_of_this_machine(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(time, "tzset"):
        pytest.skip("the zone of a running process cannot be changed on this system")
    monkeypatch.setenv("TZ", "XXX-05:30")
    time.tzset()
    try:
        with opened(data_dir / "g.db") as store:
            with store.write() as connection:
                ledger.record(connection, [row(1, at_us=us(2026, 11, 20, 18, 29)), row(2, at_us=us(2026, 11, 20, 18, 30))])
            with store.read() as connection:
                assert [found.key for found in ledger.usage(connection, ("day",), 0, NOW_US * 2)] == [("2026-11-20",), ("2026-11-21",)]
                assert ledger.today(connection, us(2026, 11, 20, 19)).requests == 1
    finally:
        monkeypatch.undo()
        time.tzset()


def test_hosts_add_up_and_only_those_of_today_are_shown(data_dir: Path) -> None:
    now = us(2026, 11, 20, 12)
    with opened(data_dir / "g.db") as store:
        with store.write() as connection:
            hosts.record(connection, "api.openai.com", False, 1, 100, 900, now - DAY_US)
            hosts.record(connection, "api.openai.com", False, 2, 10, 20, now - HOUR_US)
            hosts.record(connection, "api.openai.com", False, 1, 1, 2, now)
            hosts.record(connection, "localhost", True, 1, 5, 6, now - 2 * HOUR_US)
        with store.read() as connection:
            shown = hosts.today(connection, now, UTC)
    assert [(one.host, one.connections, one.bytes_out, one.bytes_in, one.last_us, one.local) for one in shown] == [
        ("api.openai.com", 3, 11, 22, now, False),
        ("localhost", 1, 5, 6, now - 2 * HOUR_US, True),
    ]
