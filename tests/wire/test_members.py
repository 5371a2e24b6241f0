"""Each member of a request once, not too many of them, and what a large body would cost is known before it is decoded."""

from __future__ import annotations

import json
import time
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import AppError
from app.wire.body import HOST_NAMES, LARGE, understand
from app.wire.outline import MAX_MEMBERS, MAX_VALUES, outline

# What each endpoint is asked with, in every dialect; each of these members must stand once.
REQUESTS: dict[str, dict[str, Any]] = {
    "chat/completions": {"model": "m", "messages": [], "stream": False, "stream_options": {}, "tools": [], "max_tokens": 1, "n": 1},
    "completions": {"model": "m", "prompt": "p", "stream": False, "suffix": "s"},
    "embeddings": {"model": "m", "input": "p", "dimensions": 3},
    "responses": {"model": "m", "input": [], "instructions": "i", "store": False, "previous_response_id": None, "stream": False},
    "messages": {"model": "m", "messages": [], "system": "s", "max_tokens": 1, "metadata": {}, "stream": False, "tools": []},
    "messages/count_tokens": {"model": "m", "messages": [], "system": "s"},
    "generateContent": {"contents": [], "systemInstruction": {}, "generationConfig": {}, "tools": []},
    "streamGenerateContent": {"contents": [], "systemInstruction": {}, "generationConfig": {}, "tools": []},
    "countTokens": {"contents": [], "generateContentRequest": {}},
}
CASES = [(endpoint, name) for endpoint, asked in REQUESTS.items() for name in asked]


def text(pairs: list[tuple[str, str]], *, comma: str = ",", colon: str = ":") -> bytes:
    """JSON of names and values as they are, names already quoted."""
    return ("{" + comma.join(name + colon + value for name, value in pairs) + "}").encode()


def pairs_of(asked: dict[str, Any]) -> list[tuple[str, str]]:
    return [(json.dumps(name), json.dumps(value)) for name, value in asked.items()]


def asked_again(endpoint: str, body: bytes) -> AppError | None:
    try:
        understand(body, endpoint, model="" if "model" in REQUESTS[endpoint] else "m", stream=None)
    except AppError as error:
        return error
    return None


@pytest.mark.parametrize(("endpoint", "name"), CASES)
@pytest.mark.parametrize(("comma", "colon"), [(",", ":"), (", ", ": "), (" ,\n\t", "\t:\r\n ")])
def test_a_member_that_stands_twice_is_refused_and_named(endpoint: str, name: str, comma: str, colon: str) -> None:
    pairs = pairs_of(REQUESTS[endpoint])
    assert asked_again(endpoint, text(pairs, comma=comma, colon=colon)) is None
    value = json.dumps(REQUESTS[endpoint][name])
    escaped = f'"{name[:-1]}\\u{ord(name[-1]):04x}"'
    for again in ((json.dumps(name), value), (json.dumps(name), '"other"'), (escaped, value), (escaped, '"other"')):
        for doubled in ([*pairs, again], [again, *pairs], [pairs[0], again, *pairs[1:]]):
            error = asked_again(endpoint, text(doubled, comma=comma, colon=colon))
            assert error is not None and error.code == "body_invalid", doubled
            assert error.param == name
            assert f"`{name}`" in error.message
    shouted = (json.dumps(name.upper()), value)
    error = asked_again(endpoint, text([*pairs, shouted], comma=comma, colon=colon))
    assert error is not None and error.code == "body_invalid"


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(lambda name: name.casefold() not in HOST_NAMES)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
FREE = st.dictionaries(NAMES.map(lambda name: "x" + name), VALUES, max_size=6).filter(
    lambda members: len({name.casefold() for name in members}) == len(members)
)


@given(members=FREE, compact=st.booleans(), plain=st.booleans())
def test_what_has_each_name_once_passes(members: dict[str, Any], compact: bool, plain: bool) -> None:
    body = json.dumps({"model": "m", "input": [members]} | members, separators=(",", ":") if compact else None, ensure_ascii=plain)
    assert understand(body.encode(), "embeddings").model == "m"


@given(members=FREE, twice=st.data(), compact=st.booleans(), other=VALUES)
def test_whatever_stands_twice_is_found(members: dict[str, Any], twice: st.DataObject, compact: bool, other: Any) -> None:
    pairs = pairs_of({"model": "m"} | members)
    again = twice.draw(st.sampled_from(pairs))[0], json.dumps(other)
    at = twice.draw(st.integers(0, len(pairs)))
    body = text([*pairs[:at], again, *pairs[at:]], comma="," if compact else ", ", colon=":" if compact else ": ")
    with pytest.raises(AppError, match="body_invalid"):
        understand(body, "embeddings")


def test_a_member_that_looks_as_long_as_the_blanks_is_found_too() -> None:
    """A compact body is recognised by its length; what is as long as the blanks of a loose one is no proof of blanks."""
    for name in ("a", "bc", "def"):
        body = text([('"model"', '"m"'), (f'"{name}"', "1"), (f'"{name}"', "1")])
        with pytest.raises(AppError, match="stands twice"):
            understand(body, "embeddings")


@pytest.mark.parametrize("member", ['"\u017ftream":true', '"ba\u017fe_url":"x"', '"extra":{"api_ba\u017fe":"x"}', '"\\u017ftream":true'])
def test_a_name_that_another_reader_takes_for_one_of_ours_is_refused(member: str) -> None:
    with pytest.raises(AppError, match="body_"):
        understand(('{"model":"m","stream":false,' + member + "}").encode(), "chat/completions")


def test_too_many_members_are_refused() -> None:
    most = {"model": "m"} | {f"x{n}": 1 for n in range(MAX_MEMBERS - 1)}
    assert understand(json.dumps(most).encode(), "embeddings").model == "m"
    with pytest.raises(AppError, match="too many members"):
        understand(json.dumps(most | {"y": 1}).encode(), "embeddings")


LONG = b'{"model":"m","input":"' + b"a" * LARGE + b'",'


@pytest.mark.parametrize(
    "rest",
    [
        b'"x":[' + b"0," * MAX_VALUES + b"0]}",
        b'"x":[' + b"{}," * MAX_VALUES + b"0]}",
        b'"input2":[' + b'{"a":[]},' * (MAX_VALUES // 2) + b"0]}",
        b",".join(b'"x%d":0' % n for n in range(MAX_MEMBERS)) + b"}",
    ],
    ids=["numbers", "objects", "both", "members"],
)
def test_a_large_body_of_many_values_is_refused_before_it_is_decoded(rest: bytes) -> None:
    with pytest.raises(AppError, match="too many members"):
        understand(LONG + rest, "embeddings")


@pytest.mark.parametrize("inside", [b",", b"[", b"{", b'\\"', b"\\\\", b"},{", b"\\u002c,"])
def test_marks_within_a_text_are_no_structure(inside: bytes) -> None:
    body = b'{"model":"m","input":"' + inside * (3 * LARGE // len(inside)) + b'"}'
    seen = outline(body)
    assert (seen.members, seen.values, seen.depth) == (2, 2, 1)
    assert understand(body, "embeddings").model == "m"


def counted(value: Any) -> tuple[int, int]:
    """Values inside lists and objects, and the depth."""
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else None
    if inner is None:
        return 0, 0
    below = [counted(each) for each in inner]
    return len(inner) + sum(values for values, _ in below), 1 + max((depth for _, depth in below), default=0)


@given(value=st.dictionaries(NAMES, VALUES, max_size=5) | st.lists(VALUES, max_size=5), cut=st.integers(1, 40), plain=st.booleans())
def test_an_outline_is_that_of_the_value_however_it_is_cut(value: Any, cut: int, plain: bool) -> None:
    body = json.dumps(value, ensure_ascii=plain).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.wire.outline._SLICE", cut)
        seen = outline(body)
    values, depth = counted(value)
    assert values <= seen.values <= 2 * values + 1
    assert seen.depth == depth
    assert seen.members == max(1, len(value))


SHAPES = {
    "numbers": lambda n: b"[" + b"0," * n + b"0]",
    "texts": lambda n: b"[" + b'"a",' * n + b'""]',
    "quotes": lambda n: b'["' + b'\\"' * n + b'"]',
    "backslashes": lambda n: b'["' + b"\\" * (2 * n) + b'"]',
    "nested": lambda n: b"[" * n + b"]" * n,
    "open": lambda n: b'["' * n,
    "one text": lambda n: b'["' + b"a" * (8 * n) + b'"]',
}


@pytest.mark.parametrize("shape", SHAPES)
def test_an_outline_takes_as_long_as_its_text(shape: str) -> None:
    def took(n: int) -> float:
        body, times = SHAPES[shape](n), []
        for _ in range(5):
            began = time.thread_time()
            outline(body, most=10**9)
            times.append(time.thread_time() - began)
        return median(times)

    assert took(800_000) < 9 * max(took(200_000), 0.001), "four times the text, not sixteen times the work"
