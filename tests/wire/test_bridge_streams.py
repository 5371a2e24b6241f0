"""Recorded streams and replies of every dialect, translated for the clients of every other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.core.errors import AppError
from app.wire.bridge import Bridge
from app.wire.sse import events
from tests.wire.bridging import ENDPOINTS, NAMES, called, chunk, crossing, fits, frame, said
from tests.wire.recordings import REPLIES, STREAMS, Case

TRANSLATED = {*ENDPOINTS.values(), "streamGenerateContent"}
CROSSED = [(case, name) for case in STREAMS if case.expected["endpoint"] in TRANSLATED for name in NAMES if name != case.dialect]
# Every stream for one client each: the others get the same pieces.
ONE_EACH = [next((case, name) for at in range(4) if (name := NAMES[(number + at) % 4]) != case.dialect) for number, case in enumerate(
    case for case in STREAMS if case.expected["endpoint"] in TRANSLATED)]  # fmt: skip
WHOLE = [(case, name) for case in REPLIES if case.expected["endpoint"] in TRANSLATED for name in NAMES if name != case.dialect]
STREAMED = pytest.mark.parametrize(("case", "client"), CROSSED, ids=[f"{case}-{name}" for case, name in CROSSED])


def bridge(case: Case, client: str, *, stream: bool = True) -> Bridge:
    made = crossing(client, case.dialect, stream=stream)
    assert isinstance(made, Bridge)
    return made


def run(case: Case, client: str, pieces: list[bytes]) -> tuple[bytes, Bridge]:
    made = bridge(case, client)
    return b"".join([*[made.feed(piece) for piece in pieces], made.finish()]), made


def outcome(made: Bridge) -> tuple[Any, ...]:
    error = None if made.error is None else (made.error.code, made.error.status, made.error.message)
    return made.usage, made.complete, made.started, error


@STREAMED
def test_a_translated_stream_is_what_the_clients_package_expects(case: Case, client: str) -> None:
    out, made = run(case, client, [case.answer])
    values = said(out)
    assert values
    for value in values:
        fits(client, value)
    assert made.complete == (made.error is None)
    if made.error is None:
        _ends_properly(client, out, values)


def _ends_properly(client: str, out: bytes, values: list[dict[str, Any]]) -> None:
    if client == "openai":
        assert out.endswith(b"data: [DONE]\n\n")
        assert sum(bool(value["choices"] and value["choices"][0]["finish_reason"]) for value in values) == 1
    elif client == "responses":
        assert values[-1]["type"] in ("response.completed", "response.incomplete")
        assert [value["sequence_number"] for value in values] == list(range(len(values)))
    elif client == "anthropic":
        assert [value["type"] for value in values[-2:]] == ["message_delta", "message_stop"]
        assert sum(value["type"] == "message_delta" for value in values) == 1
    else:
        assert values[-1]["candidates"][0]["finishReason"]


@STREAMED
def test_a_translated_stream_counts_what_the_same_stream_counts_untranslated(case: Case, client: str) -> None:
    _, made = run(case, client, [case.answer])
    expected = case.tokens
    if not expected.estimated and made.error is None:
        assert made.tokens == expected
    if case.expected["error"] is not None:
        assert made.error is not None
        assert (made.error.code, made.error.status) == (case.expected["error"]["code"], case.expected["error"]["status"])


@pytest.mark.parametrize(("case", "client"), ONE_EACH, ids=[f"{case}-{name}" for case, name in ONE_EACH])
def test_a_translated_stream_cut_in_two_at_every_byte_is_the_same(case: Case, client: str) -> None:
    whole, reference = run(case, client, [case.answer])
    for at in range(1, len(case.answer)):
        out, made = run(case, client, [case.answer[:at], case.answer[at:]])
        assert out == whole, at
        assert outcome(made) == outcome(reference), at


@STREAMED
def test_a_translated_stream_one_byte_at_a_time_comes_out_in_whole_events(case: Case, client: str) -> None:
    whole, _ = run(case, client, [case.answer])
    made = bridge(case, client)
    out = []
    for at in range(len(case.answer)):
        piece = made.feed(case.answer[at : at + 1])
        assert not piece or piece.endswith(b"\n\n")
        out.append(piece)
    assert b"".join([*out, made.finish()]) == whole


@STREAMED
def test_anthropics_blocks_never_overlap(case: Case, client: str) -> None:
    if client != "anthropic":
        return
    out, _ = run(case, client, [case.answer])
    opened: dict[str, Any] | None = None
    kinds = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "thinking", "input_json_delta": "tool_use"}
    number = -1
    for value in said(out):
        if value["type"] == "content_block_start":
            assert opened is None
            number += 1
            assert value["index"] == number
            opened = value["content_block"]
        elif value["type"] == "content_block_delta":
            assert opened is not None
            assert value["index"] == number
            assert opened["type"] == kinds[value["delta"]["type"]]
        elif value["type"] == "content_block_stop":
            assert opened is not None
            opened = None


@pytest.mark.parametrize(("case", "client"), WHOLE, ids=[f"{case}-{name}" for case, name in WHOLE])
def test_a_translated_reply_is_what_the_clients_package_expects(case: Case, client: str) -> None:
    made = bridge(case, client, stream=False)
    expected = case.expected
    if expected["status"] != 200:
        refusal = made.refusal(expected["status"], case.answer, "req_1")
        assert refusal.status == expected["status"]
        assert refusal.error is made.error
        assert expected["error"]["message"][:20] in refusal.body.decode()
        return
    if expected["error"] is not None:
        with pytest.raises(AppError) as caught:
            made.reply(case.answer)
        assert caught.value.status == expected["error"]["status"]
        return
    fits(client, json.loads(made.reply(case.answer)), whole=True)
    assert made.tokens == case.tokens or (made.tokens.estimated and case.tokens.estimated)
    assert made.complete


@STREAMED
def test_a_stream_that_ends_without_a_word_is_an_error_the_client_is_told(case: Case, client: str) -> None:
    first = next(events(case.answer))
    made = bridge(case, client)
    out = made.feed(first)
    if made.error is None and not made.complete and b"finish" not in first and b"blockReason" not in first:
        out += made.finish()
        assert made.error is not None
        assert made.error.code == "provider_broken"
        assert b"broke off" in out
        assert not made.complete
        assert made.error_event(made.error, "x") == b""


@pytest.mark.parametrize("cuts", [[3, 9], [1, 2, 3, 4, 5, 6, 7], [5, 12, 13, 14]])
def test_a_call_is_over_when_its_arguments_are_whole_and_another_begins(cuts: list[int]) -> None:
    """Whatever is in its strings, and wherever these are cut: then the next call is passed on as it comes."""
    arguments = '{"a":"}\\\\\\"{[","b":[{}]} '
    passing = crossing("anthropic", "openai", stream=True)
    chunks = [chunk(called(0, "c0", "get_weather", ""))]
    chunks += [chunk(called(0, arguments=arguments[start:end])) for start, end in zip([0, *cuts], [*cuts, None], strict=True)]
    whole = passing.feed(frame(*chunks))
    assert b"content_block_stop" not in whole
    after = passing.feed(frame(chunk(called(1, "c1", "get_weather", '{"location":'))))
    assert after.count(b"event: content_block_stop") == 1
    assert b'"id":"c1"' in after
    # What is not whole holds the next one back.
    passing = crossing("anthropic", "openai", stream=True)
    passing.feed(frame(*chunks[:-1]))
    assert b'"id":"c1"' not in passing.feed(frame(chunk(called(1, "c1", "get_weather", "{}"))))
