"""Grants: one change exactly, once, for two minutes; and what waits for a person is listed under numbers that mean one thing for ever."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from app.core import wishes
from app.core.errors import AppError
from app.core.records import Destination
from app.core.wishes import Wish
from app.keeper.grants import GRANT_S, NEW_MAX, REFUSED_S, ROOM, Grants

WORK = Wish("destination", "work", "https://api.example.com:443")
KEEP = Wish("audit.keep_days", "", "30")


class Ground:
    def __init__(self) -> None:
        self.now = 1_000.0
        self.log: list[str] = []
        self.changes = 0
        self.grants = Grants(self.log.append, self._changed, lambda: self.now)

    def _changed(self) -> None:
        self.changes += 1

    def numbers(self) -> list[int]:
        return [each.number for each in self.grants.waiting()]


@pytest.fixture
def ground() -> Ground:
    return Ground()


def test_a_grant_is_good_for_that_change_once(ground: Ground) -> None:
    ground.grants.deposit(WORK, "window")
    assert ground.grants.has(WORK)
    assert ground.grants.use(WORK) == "window"
    assert not ground.grants.has(WORK)
    assert ground.grants.use(WORK) == ""
    assert [line.split(":")[0] for line in ground.log] == ["granted by the window", "used, as the window granted"]


@pytest.mark.parametrize(
    "other",
    [
        Wish("destination", "Work", WORK.value), Wish("destination", "work ", WORK.value), Wish("destination", "other", WORK.value),
        Wish("destination", "work", "https://api.example.com:8443"), Wish("destination", "work", "http://api.example.com:443"),
        Wish("destination", "work", "https://api.example.com.:443"), Wish("destination", "work", "https://API.example.com:443"),
        Wish("destination", "work", "https://api.example.com:443 (this machine or its network)"), Wish("destination", "work", ""),
        Wish("audit.keep_days", "work", WORK.value), Wish("unlock", "", ""),
    ],
)  # fmt: skip
def test_no_other_change_can_use_it(ground: Ground, other: Wish) -> None:
    ground.grants.deposit(WORK, "window")
    assert ground.grants.use(other) == ""
    assert ground.grants.has(WORK)


def test_it_ends_after_two_minutes_of_a_clock_that_cannot_be_set(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    ground.grants.deposit(WORK, "window")
    monkeypatch.setattr("time.time_ns", lambda: 1 << 62)  # somebody sets the wall clock far ahead
    ground.now += GRANT_S - 1
    assert ground.grants.has(WORK)
    ground.now += 1
    assert ground.grants.use(WORK) == ""


def test_it_can_be_taken_back_by_its_number_alone(ground: Ground) -> None:
    first, second = ground.grants.deposit(WORK, "window"), ground.grants.deposit(WORK, "command line")
    for wrong in (None, "1", -1, 99, [first], True + 98):
        ground.grants.take_back(wrong, "window")
    ground.grants.take_back(first, "window")
    assert ground.grants.use(WORK) == "command line"
    ground.grants.take_back(second, "command line")
    assert "taken back" not in ground.log[-1], "what was used was not taken back"


def test_there_are_only_so_many_at_once(ground: Ground) -> None:
    for _ in range(50):
        ground.grants.deposit(WORK, "command line")
    with pytest.raises(AppError):
        ground.grants.deposit(KEEP, "command line")
    ground.now += GRANT_S
    ground.grants.deposit(KEEP, "command line")


def test_of_two_askers_at_once_each_grant_serves_one(ground: Ground) -> None:
    for _ in range(20):
        ground.grants.deposit(WORK, "window")
    used: list[str] = []
    threads = [threading.Thread(target=lambda: used.append(ground.grants.use(WORK))) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(used) == [""] * 20 + ["window"] * 20


def test_what_waits_is_listed_once_and_its_number_is_never_anothers(ground: Ground) -> None:
    assert ground.grants.hold("held", WORK) == "new"
    assert ground.grants.hold("held", WORK) == "known"
    assert ground.grants.hold("refused", KEEP) == "new"
    assert ground.numbers() == [1, 2]
    assert ground.grants.take(1).wish == WORK
    with pytest.raises(AppError, match="unknown_name"):
        ground.grants.take(1)
    ground.grants.hold("held", WORK)
    assert ground.numbers() == [2, 3]
    for wrong in (None, "2", 0, -2, 2.0, [2]):
        with pytest.raises(AppError, match="unknown_name"):
            ground.grants.take(wrong if wrong != 2.0 else "2.0")


def test_a_refused_change_waits_ten_minutes_a_held_one_until_it_is_answered(ground: Ground) -> None:
    ground.grants.hold("refused", KEEP)
    ground.grants.hold("held", WORK)
    ground.now += REFUSED_S - 1
    ground.grants.hold("refused", KEEP)  # asked again
    ground.now += REFUSED_S - 1
    assert ground.numbers() == [1, 2]
    ground.now += 1
    assert ground.numbers() == [2]


def test_a_grant_that_is_used_ends_the_waiting_for_it(ground: Ground) -> None:
    ground.grants.hold("refused", KEEP)
    ground.grants.deposit(KEEP, "window")
    ground.grants.use(KEEP)
    assert ground.numbers() == []


def held(number: int) -> Wish:
    return Wish("destination", f"a{number}", f"https://h{number}.example:443")


def test_a_flood_hides_nothing_and_grows_nothing(ground: Ground) -> None:
    ground.grants.hold("held", WORK)
    listed = [ground.grants.hold("held", held(number)) for number in range(10_000)]
    assert listed.count("new") == ROOM["held"] - 1
    assert ground.grants.waiting()[0].wish == WORK
    assert len(ground.numbers()) == ROOM["held"]
    assert ground.grants.unlisted == 10_000 - ROOM["held"] + 1
    assert len(ground.log) == ROOM["held"] + 1, "the log is not flooded either"
    assert ground.changes == ROOM["held"] + 1
    assert ground.grants.hold("refused", KEEP) == "new", "each kind has its own room"


def test_a_flood_that_asks_for_no_more_of_it_makes_no_more_lines_than_one_life_may(ground: Ground) -> None:
    for number in range(3 * NEW_MAX):
        ground.grants.hold("held", held(number))
        ground.grants.drop("held", "destination", f"a{number}")
    assert len(ground.log) == NEW_MAX + 1
    assert len(ground.numbers()) == ROOM["held"]


def test_who_asks_now_and_then_for_months_is_listed_each_time(ground: Ground) -> None:
    for _ in range(3 * NEW_MAX):
        assert ground.grants.hold("refused", KEEP) == "new"
        ground.now += REFUSED_S + 1
    assert ground.grants.hold("held", WORK) == "new"
    assert ground.grants.unlisted == 0


def test_what_a_dead_engine_asked_for_gives_way_to_what_the_next_one_asks_for(ground: Ground) -> None:
    for number in range(10_000):
        ground.grants.hold("held", held(number))
    ground.grants.engine_ended()
    assert all(not each.asked for each in ground.grants.waiting())
    assert ground.grants.hold("held", WORK) == "new"
    assert ground.grants.hold("held", held(49)) in ("new", "known")
    assert [each.wish for each in ground.grants.waiting() if each.asked][-1] in (WORK, held(49))


# -- what a wish can be


@pytest.mark.parametrize(
    ("what", "subject", "value"),
    [
        ("nothing", "", ""), (None, "", ""), ("audit.keep_days", "", "030"), ("audit.keep_days", "", "-1"), ("audit.keep_days", "", "1e3"),
        ("audit.keep_days", "", "٣"), ("audit.keep_days", "x", "30"), ("audit.keep_days", "", 30), ("audit.keep_days", "", "9" * 17),
        ("audit.on_failure", "", "maybe"), ("client.identifiers", "", "pass"), ("client.identifiers", "a\nb", "pass"),
        ("client.identifiers", "tool", "everything"), ("unlock", "", "now"), ("destination", "wörk", "https://a.example:443"),
        ("destination", "w\u043erk", "https://a.example:443"), ("destination", "work\u200b", "https://a.example:443"),
        ("destination", "gatehouse", "https://a.example:443"), ("destination", "work", "https://a\x1b[2J.example:443"),
        ("destination", "work", "https://bücher.example:443"), ("destination", "work", "nowhere. Everything is as you left it: confirm"),
        ("destination", "work", "https://a.example:443 (as before)"), ("destination", "work", "https://a.example:443/"),
        ("destination", "work", "https://a.example"), ("destination", "work", "HTTPS://a.example:443"),
        ("destination", "work", "https://a.example:443 (this machine or its network) (this machine or its network)"),
        ("audit.accept", "", "a\nb"), ("audit.accept", "", "{0}"),
    ],
)  # fmt: skip
def test_what_is_no_change_is_no_wish(what: Any, subject: Any, value: Any) -> None:
    with pytest.raises(AppError):
        wishes.wish(what, subject, value)


def test_a_finding_of_each_kind_can_be_gone_on_from() -> None:
    from app.verifier import ADVICE

    for kind in ADVICE:
        assert wishes.wish("audit.accept", "", kind).value == kind


def test_a_destination_is_what_the_person_gave_and_not_what_the_engine_says() -> None:
    said = {"what": "destination", "subject": "work", "kind": "openai", "base_url": "", "value": "https://evil.example:443"}
    assert wishes.wish_of(said).value == "https://api.openai.com:443"
    said |= {"base_url": "HTTPS://Proxy.Example./v1", "local": True}
    assert wishes.wish_of(said).value == "https://proxy.example:443 (this machine or its network)"


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("host", ["api.example.com", "1.2.3.4", "::1"])
def test_a_destination_comes_back_from_its_wish(host: str, local: bool) -> None:
    destination = Destination("https", host, 8443, local)
    assert wishes.there(wishes.place(destination)) == destination


def test_every_wish_can_be_said_and_each_default_is_a_value() -> None:
    for what, row in wishes.WISHES.items():
        if row.default is not None:
            subject = "" if row.about == "nothing" else "tool"
            assert row.default in str(wishes.wish(what, subject, row.default))
