"""What is known of an engine that stood still: from whatever it said, and in words."""

from __future__ import annotations

import json

import pytest

from app.core.stuck import Stuck, advice, printable

SAID = Stuck(at_us=5, silent_s=20, cpu_s=19, request="req_1", client="Tool", endpoint="chat/completions", model="work/m", also=("req_2",))


def test_a_message_comes_back_as_it_was() -> None:
    assert Stuck.of(json.loads(json.dumps(SAID.fields()))) == SAID


@pytest.mark.parametrize(
    "value",
    [None, 1, -1, 1e300, float("nan"), True, "x" * 10_000, "\x1b]0;\x07\n\u202e\ud800", [], ["\n" * 999] * 999, {}, {"a": []}, b"x"],
)
def test_whatever_is_said_is_short_and_can_be_printed(value: object) -> None:
    found = Stuck.of(dict.fromkeys(SAID.fields(), value))
    assert found.sentence().isprintable()
    assert len(found.sentence()) < 1200
    assert all(text.isprintable() and len(text) <= 200 for text in (found.request, found.client, found.endpoint, found.model, *found.also))
    assert len(found.also) <= 8
    assert json.loads(json.dumps(found.fields()))


@pytest.mark.parametrize(
    ("fields", "work"),
    [
        ({"request": "req_1", "client": "Tool", "endpoint": "chat", "model": "m"}, "request req_1 of “Tool” for m (chat)"),
        ({"request": "req_1", "client": "Tool"}, "request req_1 of “Tool”"),
        ({"endpoint": "control", "model": "GET /v0/usage"}, "GET /v0/usage of the control channel"),
        ({"endpoint": "task", "model": "recorder"}, "its own task recorder"),
        ({}, ""),
    ],
)
def test_what_it_was_at_in_words(fields: dict[str, str], work: str) -> None:
    stuck = Stuck(at_us=1, silent_s=20, cpu_s=20, **fields)  # type: ignore[arg-type]
    assert stuck.work == work
    assert stuck.sentence().startswith("The engine did not answer for 20 s while it ")
    assert (f"worked on {work}, as it says;" if work else "worked and did not say on which request;") in stuck.sentence()


def test_advice_is_given_when_the_same_comes_again() -> None:
    other = Stuck.of(SAID.fields() | {"client": "Other"})
    control = Stuck(at_us=1, silent_s=20, cpu_s=20, endpoint="control", model="GET /v0/usage")
    unknown = Stuck(at_us=1, silent_s=20, cpu_s=20)
    assert advice([]) == advice([SAID]) == advice([SAID, other]) == advice([unknown] * 3) == advice([control] * 3) == ""
    assert advice([SAID, other, SAID]) == "2 times it was requests of “Tool” for work/m. Block “Tool” until the cause is known."


def test_control_characters_of_a_name_are_not_shown() -> None:
    assert printable("a\x1b[2Jb\u202ec") == "a?[2Jb?c"
