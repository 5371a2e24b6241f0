"""What is said of a provider comes from the requests that went to it."""

from __future__ import annotations

from typing import Any

import pytest

from app.engine.health import LAST, Health, told
from tests.store.rows import NOW_US, row

OK: dict[str, Any] = {"outcome": "completed", "status": 200}
LIMITED: dict[str, Any] = {"outcome": "failed", "status": 429, "error": "provider_error", "message": "Slow down."}
BUSY: dict[str, Any] = {"outcome": "failed", "status": 503, "error": "provider_error", "message": "Come back."}
KEY: dict[str, Any] = {"outcome": "failed", "status": 401, "error": "provider_error", "message": "Wrong key."}
DOWN: dict[str, Any] = {"outcome": "failed", "status": 502, "error": "provider_unreachable", "message": "Nobody listens."}
WRONG: dict[str, Any] = {"outcome": "failed", "status": 400, "error": "provider_error"}


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        (OK, "answers"), (LIMITED, "limited"), ({**LIMITED, "status": 529}, "limited"), (BUSY, "failing"), (KEY, "refused"),
        ({**KEY, "status": 402}, "refused"), (DOWN, "failing"), ({**DOWN, "error": "provider_timeout", "status": 408}, "failing"),
        ({**DOWN, "error": "provider_broken", "status": 200}, "failing"), ({**DOWN, "error": "destination_refused"}, "failing"),
        (WRONG, "answers"), ({**WRONG, "status": 404}, "answers"),
        ({"outcome": "cancelled", "status": 499}, None), ({"outcome": "interrupted", "status": 200, "error": "draining"}, None),
        ({"outcome": "refused", "status": 401, "error": "key_unknown"}, None), ({**BUSY, "error": "store_unavailable"}, None),
        ({**BUSY, "error": "body_invalid"}, None), ({**OK, "account": ""}, None), ({**OK, "attempts": 0}, None),
    ],
)  # fmt: skip
def test_what_one_request_says_of_its_provider(fields: dict[str, Any], state: str | None) -> None:
    assert told(row(**fields)) == state


def after(*kinds: dict[str, Any]) -> Any:
    health = Health()
    health.note([row(number, **kind) for number, kind in enumerate(kinds)])
    return health.of("work")


def test_without_requests_nothing_is_said() -> None:
    assert Health().of("work") is None
    assert after({"outcome": "cancelled", "status": 499}) is None


def test_a_hundred_limited_requests_are_not_called_an_answer() -> None:
    found = after(OK, *[LIMITED] * 100)
    assert (found.state, found.requests, found.failed, found.message) == ("limited", LAST, LAST, "Slow down.")
    assert found.at_us == NOW_US + 100_000 + 900_000


def test_what_went_wrong_most_counts_once_half_of_them_went_wrong() -> None:
    assert after(*[OK] * 6, *[LIMITED] * 4).state == "answers"
    assert after(*[OK] * 5, *[LIMITED] * 5).state == "limited"
    assert after(*[LIMITED] * 4, *[DOWN] * 6).state == "failing"
    assert after(*[LIMITED] * 5, *[DOWN] * 5).state == "failing", "of two as often, the newer"
    assert after(*[DOWN] * 50, *[OK] * 10).state == "answers"
    assert after(DOWN, OK).first_byte_us == 300_000


def test_rows_in_any_order_and_twice_come_to_the_same() -> None:
    rows = [row(number, **(LIMITED if number > 4 else OK)) for number in range(12)]
    straight, mixed = Health(), Health()
    straight.note(rows)
    mixed.note([rows[11], rows[3], *rows, *reversed(rows)])
    assert straight.of("work") == mixed.of("work")
    mixed.forget("work")
    assert mixed.of("work") is None
