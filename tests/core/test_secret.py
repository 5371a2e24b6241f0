"""A secret shows itself only when asked by name."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback

import pytest

from app.core.secret import Secret

TEXT = "sk-proj-0123456789abcdefghijklmnopqrstuvwxyzm2Ka"


def test_reveal_is_the_one_way_to_the_text() -> None:
    secret = Secret(TEXT)
    assert secret.reveal() == TEXT
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r}",
        f"{secret:>80}",
        "".join(["", str(secret)]),
        repr([secret]),
        repr({"key": secret}),
    ]
    logging.getLogger(__name__).warning("%s %r", secret, secret)
    try:
        raise ValueError(secret)
    except ValueError as error:
        shown.append("".join(traceback.format_exception(error)))
    assert all("0123456789" not in text for text in shown)


def test_a_secret_is_neither_pickled_nor_written_as_json() -> None:
    for attempt in (pickle.dumps, json.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            attempt(Secret(TEXT))


def test_a_secret_equals_nothing_but_itself() -> None:
    secret = Secret(TEXT)
    assert secret != Secret(TEXT)
    assert secret != TEXT
    assert not hasattr(secret, "__dict__")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (TEXT, "sk-proj…m2Ka"),
        ("0123456789abcdef", "0123456…cdef"),
        ("0123456789abcde", "…de"),
        ("01234567", "…67"),
        ("0123456", "…"),
        ("", "…"),
    ],
)
def test_the_mask_gives_little_of_a_short_one_away(text: str, masked: str) -> None:
    assert Secret(text).masked() == masked


def test_an_empty_secret_is_false() -> None:
    assert not Secret("")
    assert Secret("x")
