"""What is understood of a request body, what is refused, and that nothing but the named members changes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.core.errors import AppError
from app.wire.body import HOST_NAMES, OWN_DATA, Understood, rewrite, too_deep, understand

CHAT = "chat/completions"


def refused(body: bytes, endpoint: str = CHAT) -> AppError:
    with pytest.raises(AppError) as caught:
        understand(body, endpoint)
    return caught.value


def body(**members: Any) -> bytes:
    return json.dumps({"model": "a/m", "messages": [], **members}).encode()


# -- understanding


def test_the_fields_needed_are_read() -> None:
    call = understand(body(stream=True, stream_options={"include_usage": True}), CHAT)
    assert (call.model, call.stream, call.usage_asked) == ("a/m", True, True)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, (False, False)),
        ({"stream": None}, (False, False)),
        ({"stream": False, "stream_options": {"include_usage": True}}, (False, False)),
        ({"stream": True, "stream_options": None}, (True, False)),
        ({"stream": True, "stream_options": {"include_usage": False}}, (True, False)),
        ({"stream": True, "stream_options": "odd"}, (True, False)),
    ],
)
def test_a_stream_and_its_usage_are_asked_for_by_true_alone(members: dict[str, Any], expected: tuple[bool, bool]) -> None:
    call = understand(body(**members), CHAT)
    assert (call.stream, call.usage_asked) == expected


def test_an_endpoint_that_never_streams_is_not_taken_to_stream() -> None:
    assert not understand(body(stream=True), "embeddings").stream
    assert not understand(body(stream=True), "messages/count_tokens").stream


@pytest.mark.parametrize("stream", ["true", 1, "", [], {}])
def test_stream_must_be_true_or_false(stream: object) -> None:
    error = refused(body(stream=stream))
    assert (error.code, error.param, error.status) == ("body_invalid", "stream", 400)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{",
        b'{"model":"m"',
        b'{"model":"m"}}',
        b'{"model":"m"} x',
        b"{'model':'m'}",
        b'{"model":"m","n":NaN}',
        b'{"model":"m","n":Infinity}',
        b'{"model":"m","n":01}',
        b'{"model":"m","a":[1,]}',
        b'{"model":"m","t":"\n"}',
        b'{"model":"m","t":"\\q"}',
        b'{"model":"m","t":"\\ud83d"}',
        b'{"model":"m","t":"\xff"}',
        b'{"model":"m","t":"\xc0\xa2"}',
        b'{"model":"m","\xff":1}',
        b'{"model":"m","t":"\xed\xa0\x80"}',
        b'\xef\xbb\xbf{"model":"m"}',
        '{"model":"m"}'.encode("utf-16"),
        '{"model":"m"}'.encode("utf-32"),
        b"<html>",
        b"\x1f\x8b\x08\x00",
        b"model=m&prompt=x",
    ],
)
def test_what_is_not_json_in_utf_8_is_refused_as_such(raw: bytes) -> None:
    error = refused(raw)
    assert (error.code, error.status) == ("body_not_json", 400)


@pytest.mark.parametrize("raw", [b"[]", b"null", b'"model"', b"1", b"true", b'[{"model":"m"}]'])
def test_json_that_is_no_object_is_refused(raw: bytes) -> None:
    assert refused(raw).code == "body_invalid"


@pytest.mark.parametrize("raw", [b'{"model":"m","n":1e999999}', b'{"model":"m","n":%b}' % (b"9" * 100_000), b'{"model":"m","n":-0.0}'])
def test_numbers_of_any_size_pass_untouched(raw: bytes) -> None:
    call = understand(raw, CHAT)
    assert rewrite(raw, call.members, {"model": b'"x"'}) == raw.replace(b'"m"', b'"x"')


@pytest.mark.parametrize("depth", [10_000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")])
@pytest.mark.parametrize("where", [b'{"model":"m","x":%b}', b'{"model":%b}', b'{"model":"m","messages":%b}', b"%b"])
def test_deep_nesting_is_a_clean_refusal(depth: int, opening: bytes, closing: bytes, where: bytes) -> None:
    for raw in (where % (opening * depth + b"1" + closing * depth), where % (opening * depth)):
        error = refused(raw)
        assert error.status == 400
        assert error.code in {"body_too_deep", "body_not_json", "body_invalid"}


def test_valid_json_that_nests_too_deeply_says_so() -> None:
    assert refused(b'{"model":"m","messages":%b}' % (b"[" * 10_000 + b"]" * 10_000)).code == "body_too_deep"


def test_reasonable_nesting_passes() -> None:
    raw = b'{"model":"m","messages":%b}' % (b"[" * 400 + b"]" * 400)
    assert understand(raw, CHAT).model == "m"


@pytest.mark.parametrize(
    ("raw", "deep"),
    [
        (b"[" * 6000 + b"]" * 6000, True),
        (b"[" * 5000 + b"]" * 5000, False),
        (b"[" + b"[]," * 20_000 + b"[]]", False),
        (b'["' + b"[" * 20_000 + b'"]', False),
        (b'["\\"' + b"{" * 20_000 + b'\\\\"]', False),
        (b"[" + b'{"a":[]},' * 9_000 + b"[" * 5_001 + b"]" * 5_001 + b"]", True),
        (b"[1," * 3000 + b'{"k":' * 3000 + b"1" + b"}" * 3000 + b"]" * 3000, True),
    ],
)
def test_depth_is_counted_outside_texts(raw: bytes, deep: bool) -> None:
    assert too_deep(raw) is deep


@given(
    st.recursive(
        st.text(alphabet='[]{}"\\a', max_size=4),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='[{"', max_size=2), inner, max_size=2),
    )
)
@settings(max_examples=200)
def test_depth_is_counted_exactly(value: Any) -> None:
    def depth(item: Any) -> int:
        if isinstance(item, dict):
            return 1 + max([depth(part) for part in item.values()], default=0)
        return 1 + max([depth(part) for part in item], default=0) if isinstance(item, list) else 0

    raw = json.dumps(value).encode() + b" " * 40
    for limit in (1, 2, 3, 4):
        assert too_deep(raw, limit) is (depth(value) > limit)


# -- the model


@pytest.mark.parametrize(
    "model",
    [
        None,
        "",
        1,
        1.5,
        True,
        [],
        ["m"],
        {"id": "m"},
        "x" * 257,
        "a\nb",
        "a\rb",
        "a\x00b",
        "a\x7fb",
        "a\x85b",
        "a\u202eb",
        "a\u200bb",
        "\ufeffm",
    ],
)
def test_a_model_that_is_no_name_is_refused(model: object) -> None:
    error = refused(json.dumps({"model": model, "messages": []}).encode())
    assert (error.code, error.status, error.param) == ("model_missing", 400, "model")


def test_a_request_without_a_model_is_refused() -> None:
    assert refused(b"{}").code == "model_missing"


@pytest.mark.parametrize("model", ["../../etc/passwd", "=cmd|' /C calc'!A0", "a/b:free", "x" * 256, "модель", "gpt-4o mini", "<b>"])
def test_odd_but_printable_names_are_names(model: str) -> None:
    assert understand(json.dumps({"model": model}).encode(), CHAT).model == model


@pytest.mark.parametrize("name", ["Model", "MODEL", "mOdEl"])
def test_a_second_spelling_of_model_is_refused_because_some_readers_ignore_case(name: str) -> None:
    for raw in (b'{"model":"allowed","%b":"other"}' % name.encode(), b'{"%b":"other"}' % name.encode()):
        error = refused(raw)
        assert (error.code, error.param) == ("body_invalid", "model")


# -- hosts and keys


@pytest.mark.parametrize("name", sorted(HOST_NAMES))
def test_a_body_cannot_choose_where_it_goes(name: str) -> None:
    for members in (
        {name: "x"},
        {name.upper(): "x"},
        {"extra_body": {name: "x"}},
        {"x": [{"y": [{name: None}]}]},
        {"tool_choice": {name: 1}},
    ):
        error = refused(body(**members))
        assert (error.code, error.status) == ("body_names_host", 400)
        assert name in (error.param or "").lower()


def test_a_name_spelled_with_escapes_is_found_too() -> None:
    assert refused(b'{"model":"m","\\u0061pi_base":"x"}').code == "body_names_host"
    assert refused(b'{"model":"m","x":{"api\\u005fbase":"x"}}').code == "body_names_host"


@pytest.mark.parametrize("place", sorted(OWN_DATA))
def test_the_persons_own_data_may_hold_such_words(place: str) -> None:
    tool = {
        "type": "function",
        "function": {"name": "fetch", "parameters": {"properties": {name: {"type": "string"} for name in HOST_NAMES}}},
    }
    call = understand(json.dumps({"model": "m", place: [tool, {"base_url": "x"}]}).encode(), CHAT)
    assert call.model == "m"


def test_a_value_that_mentions_a_host_is_no_setting() -> None:
    assert understand(body(user="base_url", stop=["api_base", '"api_key":']), CHAT).model == "a/m"


def test_a_large_harmless_member_is_searched_without_harm() -> None:
    assert understand(body(logit_bias={str(token): -100 for token in range(5000)}), CHAT).model == "a/m"


# -- rewriting


def first_wins(raw: bytes) -> dict[str, Any]:
    def keep_first(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            found.setdefault(name, value)
        return found

    value: dict[str, Any] = json.loads(raw, object_pairs_hook=keep_first)
    return value


def ignoring_case(raw: bytes) -> list[Any]:
    """Every value that a reader which ignores case could take for the model."""

    def pairs_of(pairs: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        return pairs

    return [value for name, value in json.loads(raw, object_pairs_hook=pairs_of) if name.lower() == "model"]


def understood(raw: bytes) -> Understood | None:
    try:
        return understand(raw, CHAT)
    except AppError as error:
        assert error.status == 400
        return None


ESCAPED = st.sampled_from(['"model"', '"mod\\u0065l"', '"\\u006dodel"', '"\\u006D\\u006f\\u0064el"'])
BLANKS = st.text(alphabet=" \t\r\n", max_size=2)
JSON_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='model":,{}\\ é你', max_size=8) | st.just("model"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["model", "stream", "x", "stream_options"]), inner, max_size=3)
    ),
    max_leaves=6,
).map(lambda value: json.dumps(value, ensure_ascii=False))
MEMBER = st.one_of(
    st.tuples(ESCAPED, st.sampled_from(['"m"', '"acc/m"', '"\\u006d"', '"other"'])),
    st.tuples(
        st.sampled_from(['"messages"', '"stream_options"', '"x"', '"Model"', '"é"', '"\\u00e9"', '"a\\"model\\":"', '""']), JSON_VALUE
    ),
)


@st.composite
def objects(draw: st.DrawFn) -> str:
    members = draw(st.lists(MEMBER, min_size=1, max_size=6))
    parts = [f"{draw(BLANKS)}{name}{draw(BLANKS)}:{draw(BLANKS)}{value}{draw(BLANKS)}" for name, value in members]
    return draw(BLANKS) + "{" + ",".join(parts) + "}" + draw(BLANKS)


@given(objects())
@settings(max_examples=600)
@example('{"model":"a","model":"b"}')
@example('{"model":"a","x":{"model":"a"},"mod\\u0065l":"b"}')
@example('{"x":"\\"model\\":\\"a\\"","model":"a"}')
@example('{"model":"a","y":"z","model":"a"}')
def test_whatever_reader_the_provider_uses_it_reads_the_model_we_authorised(text: str) -> None:
    raw = text.encode()
    call = understood(raw)
    if call is None:
        return
    out = rewrite(raw, call.members, {"model": b'"authorised"'})
    assert json.loads(out)["model"] == "authorised"
    assert first_wins(out)["model"] == "authorised"
    assert ignoring_case(out) == ["authorised"]
    expected = json.loads(raw)
    expected["model"] = "authorised"
    assert json.loads(out) == expected


def top_level(text: str) -> list[tuple[str, int, int]]:
    """Name and span of the value of each top-level member, found with the standard library's own scanner."""
    found, at = [], text.index("{") + 1
    read = json.JSONDecoder().raw_decode
    while True:
        at += len(text[at:]) - len(text[at:].lstrip(" \t\r\n"))
        name, at = read(text, at)
        at = text.index(":", at) + 1
        at += len(text[at:]) - len(text[at:].lstrip(" \t\r\n"))
        _, end = read(text, at)
        found.append((name, at, end))
        at = end + len(text[end:]) - len(text[end:].lstrip(" \t\r\n")) + 1
        if text[at - 1] == "}":
            return found


@given(objects(), st.booleans())
@settings(max_examples=800)
def test_everything_outside_the_replaced_values_is_the_same_byte_for_byte(text: str, pad: bool) -> None:
    text += " " * (20_000 if pad else 0)  # beyond the length up to which the quick way is tried
    raw = text.encode()
    call = understood(raw)
    if call is None:
        return
    members = top_level(text)
    names = [name for name, _, _ in members]
    if len(set(names)) < len(names) or "\\u00" in text:
        return  # may be written anew: the property above holds
    values = {"model": '"authorised"', "stream_options": '{"include_usage":true}'}
    expected, at = "", 0
    for name, start, end in members:
        expected += text[at:start] + values.get(name, text[start:end])
        at = end
    expected += text[at:]
    if "stream_options" not in names:
        brace = expected.index("{") + 1
        expected = expected[:brace] + '"stream_options":{"include_usage":true},' + expected[brace:]
    assert rewrite(raw, call.members, {name: value.encode() for name, value in values.items()}).decode() == expected


def test_nothing_to_change_means_the_very_same_bytes() -> None:
    raw = b'{ "model" : "m" , "x" : [ 1 ] }'
    assert rewrite(raw, understand(raw, CHAT).members, {}) == raw


def test_an_object_written_anew_keeps_each_values_bytes() -> None:
    raw = b'{"a": [ 1.50,  2e3 ], "mod\\u0065l" : "y" }'
    call = understand(raw, CHAT)
    assert call.model == "y"
    assert rewrite(raw, call.members, {"model": b'"m"'}) == b'{"a":[ 1.50,  2e3 ],"model":"m"}'


@given(
    st.binary(max_size=60)
    | st.text(max_size=60).map(str.encode)
    | objects()
    .map(str.encode)
    .flatmap(
        lambda raw: st.integers(0, 255).flatmap(
            lambda byte: st.integers(0, max(0, len(raw) - 1)).map(lambda at: raw[:at] + bytes([byte]) + raw[at + 1 :])
        )
    )
)
@settings(max_examples=800)
def test_any_bytes_are_understood_or_refused_with_400(raw: bytes) -> None:
    call = understood(raw)
    if call is not None:
        out = rewrite(raw, call.members, {"model": b'"m"', "stream_options": b"null"})
        assert bytes(msgspec.json.decode(out, type=dict[str, msgspec.Raw])["model"]) == b'"m"'
