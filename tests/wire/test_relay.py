"""What a relay knows and forwards beyond the recorded cases: estimates, cancellation, hostile and broken streams."""

from __future__ import annotations

import base64
import json
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import AppError
from app.core.records import Tokens
from app.core.secret import Secret
from app.wire.body import understand
from app.wire.bridge import Relay, text_bytes
from app.wire.dialects import DIALECTS
from app.wire.redact import Redactor
from app.wire.usage import Usage, count
from tests.wire.recordings import CASES, STREAMS, Case

KEY = Secret("key-of-no-known-shape-7Q2x9Zb4")


def relay(dialect: str = "openai", *, stream: bool = True, body: dict[str, Any] | None = None, **more: Any) -> Relay:
    raw = json.dumps(body or {"model": "a/m", "messages": [{"role": "user", "content": "hi"}], "stream": stream}).encode()
    endpoint = "messages" if dialect == "anthropic" else "chat/completions"
    return Relay(DIALECTS[dialect], endpoint, raw, understand(raw, endpoint), "m", **more)  # type: ignore[index]


def words(*texts: str) -> bytes:
    return b"".join([b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode() + b"\n\n" for text in texts])


# -- estimates


def test_before_anything_came_nothing_was_used() -> None:
    assert relay().tokens == Tokens()


def test_a_cancelled_stream_is_estimated_from_what_came() -> None:
    passing = relay()
    passing.feed(words("a" * 40, "b" * 41))
    assert passing.tokens == replace(passing.tokens, output=21, estimated=True)
    assert passing.tokens.input == -(-len(passing.request_body) // 4)


def test_each_piece_counts_at_least_one_token() -> None:
    passing = relay()
    passing.feed(words("你", "好", "!", ""))
    assert passing.tokens.output == 4  # thirteen bytes, because this provider escapes the first two
    passing = relay()
    passing.feed(words("a", "b", "c", ""))
    assert passing.tokens.output == 3


def test_a_report_replaces_the_estimate() -> None:
    passing = relay()
    passing.feed(words("a" * 400))
    assert passing.tokens.estimated
    passing.feed(b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":99}}\n\n')
    assert passing.tokens == Tokens(input=7, output=99)


def test_running_reports_are_taken_as_they_rise() -> None:
    passing = relay()
    for said in (1, 2, 5):
        passing.feed(
            b'data: {"choices":[{"index":0,"delta":{"content":"x"}}],"usage":{"prompt_tokens":7,"completion_tokens":%d}}\n\n' % said
        )
        assert passing.tokens == Tokens(input=7, output=said)


def test_what_anthropic_says_at_the_start_is_no_end() -> None:
    passing = relay("anthropic")
    passing.feed(b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":11,"output_tokens":1}}}\n\n')
    assert passing.tokens == Tokens(input=11, output=1, estimated=True)
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "y" * 80}}
    passing.feed(b"event: content_block_delta\ndata: " + json.dumps(delta).encode() + b"\n\n")
    assert passing.tokens == Tokens(input=11, output=20, estimated=True)


def test_embedded_files_are_not_counted_as_text() -> None:
    picture = base64.b64encode(random.Random(1).randbytes(30_000)).decode()
    openai = {
        "model": "m",
        "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}}]}],
    }
    source = {"type": "base64", "media_type": "image/png", "data": picture}
    anthropic = {
        "model": "m",
        "messages": [{"role": "user", "content": [{"type": "image", "source": source}, {"type": "image", "source": source}]}],
    }
    audio = {
        "model": "m",
        "messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": picture, "format": "wav"}}]}],
    }
    assert text_bytes(json.dumps(openai).encode()) < 300
    assert text_bytes(json.dumps(anthropic).encode()) < 400
    assert text_bytes(json.dumps(audio).encode()) < 300
    plain = json.dumps({"model": "m", "prompt": 'what is base64? and "data"? base64'}).encode()
    assert text_bytes(plain) == len(plain)


@given(st.binary(max_size=300) | st.text(alphabet='base64"dat ;,:{}', max_size=300).map(str.encode))
@settings(max_examples=200)
def test_the_size_of_any_text_is_between_nothing_and_all(raw: bytes) -> None:
    assert 0 <= text_bytes(raw) <= len(raw)


# -- usage as a value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (7, 7),
        (7.0, 7),
        (7.5, None),
        (-1, None),
        (True, None),
        ("7", None),
        (None, None),
        (10**13, None),
        (float("inf"), None),
        (float("nan"), None),
    ],
)
def test_a_count_is_a_whole_number_that_can_be_one(value: object, expected: int | None) -> None:
    assert count(value) == expected


COUNTS = st.none() | st.integers(0, 100)
USAGES = st.builds(
    Usage, input=COUNTS, cached=COUNTS, output=COUNTS, reasoning=COUNTS, estimated=st.booleans(), service_tier=st.sampled_from(["", "a"])
)


@given(USAGES, USAGES)
def test_merging_reports_never_loses_a_count(earlier: Usage, later: Usage) -> None:
    merged = earlier.merged(later)
    for name in ("input", "cached", "output", "reasoning"):
        ours, theirs, both = getattr(earlier, name), getattr(later, name), getattr(merged, name)
        assert both == (max(ours, theirs) if ours is not None and theirs is not None else theirs if ours is None else ours)
    assert earlier.merged(Usage()) == earlier
    assert Usage.of(merged.tokens()).tokens() == merged.tokens()


# -- errors and ends


def test_an_error_before_anything_else_can_still_become_a_status() -> None:
    passing = relay()
    out = passing.feed(b': hello\n\ndata: {"error":{"message":"Slow down","code":"429"}}\n\n')
    assert passing.error is not None
    assert (passing.error.status, passing.error.message, passing.started) == (429, "Slow down", False)
    assert out.startswith(b": hello")


def test_a_named_error_event_without_an_error_member_is_one_too() -> None:
    passing = relay()
    passing.feed(b'event: error\ndata: {"message":"out of memory"}\n\n')
    assert passing.error is not None
    assert passing.error.message == "out of memory"


def test_text_that_speaks_of_errors_is_no_error() -> None:
    passing = relay()
    chunk = words('{"error": {"message": "x"}} event: error [DONE] "usage": {"prompt_tokens": 5}')
    assert passing.feed(chunk) == chunk
    assert (passing.error, passing.complete, passing.tokens.estimated) == (None, False, True)


def test_a_null_error_beside_a_choice_is_no_error() -> None:
    passing = relay()
    passing.feed(b'data: {"error":null,"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}\n\n')
    assert passing.error is None
    assert passing.started


def test_half_an_event_at_the_end_is_dropped_and_the_stream_is_not_complete() -> None:
    passing = relay()
    assert passing.feed(words("Hi") + b'data: {"choices":[{"ind') == words("Hi")
    assert (passing.finish(), passing.complete) == (b"", False)


def test_an_error_event_can_follow_a_last_event_without_its_end() -> None:
    passing = relay()
    passing.feed(words("Hi"))
    passing.feed(words("there")[:-2])
    assert passing.finish() == words("there")
    assert not passing.complete


def test_blank_lines_and_comments_after_the_end_pass() -> None:
    passing = relay()
    assert passing.feed(b"data: [DONE]\n\n\n: bye\n") + passing.finish() == b"data: [DONE]\n\n\n: bye\n"
    assert passing.complete


def test_a_captive_portal_is_not_taken_for_a_reply() -> None:
    with pytest.raises(AppError) as caught:
        relay(stream=False).reply(b"<!doctype html><title>Sign in</title>")
    assert (caught.value.code, caught.value.status) == ("provider_not_json", 502)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":"No such model","type":"x"}}', "No such model"),
        (b'{"error":"No such model"}', "No such model"),
        (b'{"message":"No such model"}', "No such model"),
        (b'{"detail":"No such model"}', "No such model"),
        (b'{"detail":[{"loc":["body"],"msg":"No such model","type":"missing"}]}', "No such model"),
        (b'[{"error":{"code":404,"message":"No such model","status":"NOT_FOUND"}}]', "No such model"),
        (b'{"error":{}}', "The provider answered with status 404."),
        (b"{}", "The provider answered with status 404."),
    ],
)
def test_an_error_in_json_passes_and_its_message_is_known(body: bytes, message: str) -> None:
    refusal = relay().refusal(404, body, "req_1")
    assert (refusal.status, refusal.body, refusal.error.message, refusal.error.status) == (404, body, message, 404)


@pytest.mark.parametrize("body", [b"", b"<html>502 Bad Gateway</html>", b"upstream connect error", b'"x"', b"\xff", b"[" * 50_000])
@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_an_error_that_is_no_json_is_said_in_the_dialect(body: bytes, dialect: str) -> None:
    refusal = relay(dialect).refusal(502, body, "req_1", retry_after_s=3)
    said = json.loads(refusal.body)
    cut = " (Only this is shown of its answer of 50,000 bytes.)" if len(body) > 16_384 else ""
    assert said["error"]["message"] in (f"The provider answered with status 502.{cut}", "x")
    assert refusal.error.retry_after_s == 3


# -- keys


def test_the_accounts_key_never_comes_back_in_an_error() -> None:
    echo = json.dumps({"error": {"message": f"Bad key {KEY.reveal()} and {KEY.reveal()[:12]}****9Zb4"}}).encode()
    refusal = relay(redactor=Redactor(KEY)).refusal(401, echo, "req_1")
    assert b"key-of-no" not in refusal.body
    assert "key-of-no" not in refusal.error.message
    passing = relay(redactor=Redactor(KEY))
    out = passing.feed(b"data: " + echo + b"\n\n")
    assert b"key-of-no" not in out
    assert passing.error is not None
    assert "key-of-no" not in passing.error.sentence()
    json.loads(refusal.body)
    assert b"key-of-no" not in relay(redactor=Redactor(KEY)).reply(echo)


def test_generated_text_that_looks_like_a_key_passes() -> None:
    passing = relay(redactor=Redactor(KEY))
    chunk = words("export OPENAI_API_KEY=sk-proj-abcdefghijklmnop1234567890")
    assert passing.feed(chunk) == chunk


# -- broken and hostile streams


@pytest.mark.parametrize("piece", ["[],", "{},", "0,", '"",'])
@pytest.mark.parametrize("around", ['{"choices":[%s0]}', '{"error":[%s0]}'])
def test_an_answer_that_would_fill_the_memory_is_not_read(piece: str, around: str) -> None:
    body = (around % (piece * 5_000_000)).encode()
    with pytest.raises(AppError) as caught:
        relay().reply(body)
    assert caught.value.code == "provider_broken"


@pytest.mark.parametrize("end", [b"\n\n", b""])
def test_an_event_that_would_fill_the_memory_is_not_read(end: bytes) -> None:
    passing = relay()
    with pytest.raises(AppError, match="provider_broken"):
        passing.feed(b'data: {"choices":[' + b"[]," * 3_000_000 + b"0]}" + end)
        passing.finish()


def test_a_long_answer_is_read() -> None:
    text = "a, b; [c] {d} " * 300_000
    body = json.dumps({"choices": [{"message": {"content": text}}], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}).encode()
    assert relay().reply(body) == body


def test_a_large_event_in_one_piece_passes() -> None:
    event = words("x" * 9_000_000)
    passing = relay()
    assert passing.feed(event) == event
    assert passing.tokens.output == 2_250_000


@pytest.mark.parametrize("case", CASES, ids=str)
def test_mutated_answers_never_break_the_relay(case: Case) -> None:
    chance = random.Random(case.folder.name)
    for _ in range(40):
        mutate_and_run(case, chance)


@pytest.mark.slow
def test_many_mutated_answers_never_break_the_relay() -> None:
    chance = random.Random(7)
    for _ in range(200_000):
        mutate_and_run(chance.choice(CASES), chance)


ANSWERS = {str(case): (case.request, case.answer, case.expected) for case in CASES}
SNIPPETS = (
    b"\n",
    b"\r",
    b"\n\n",
    b"data: ",
    b"[DONE]",
    b'"usage":{',
    b'"error":',
    b"{",
    b"}",
    b'"',
    b"\\",
    b"\xff",
    b"\x00",
    b"null",
    b"9" * 40,
)


def mutate_and_run(case: Case, chance: random.Random) -> None:
    """Whatever a provider sends: whole events come out, nothing is invented but the key's mask, and only our own error is raised."""
    request, answer, expected = ANSWERS[str(case)]
    data = bytearray(answer)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0:
                data[at : at + chance.randint(1, 30)] = b""
            case 1:
                data[at:at] = chance.choice(SNIPPETS)
            case 2:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case _:
                piece = data[at : at + chance.randint(1, 200)]
                to = chance.randrange(len(data) + 1)
                data[to:to] = piece
    gemini = case.dialect == "gemini"
    call = understand(request, expected["endpoint"], model="m" if gemini else "", stream=case.streams if gemini else None)
    passing = Relay(DIALECTS[case.dialect], expected["endpoint"], request, call, "m", redactor=Redactor(KEY))  # type: ignore[index]
    raw = bytes(data)
    try:
        if not case.streams:
            passing.refusal(500, raw, "req_1")
            passing.reply(raw)
        else:
            size = chance.choice((1, 7, 100, 10_000))
            out = [passing.feed(raw[at : at + size]) for at in range(0, len(raw), size)]
            # Line ends alone are left of an event that was ours: between two events as well.
            assert all(not piece.strip(b"\r\n") or piece.endswith((b"\n\n", b"\n\r\n", b"\r\r")) for piece in out)
            passing.finish()
    except AppError as error:
        assert error.code == "provider_not_json"
    tokens = passing.tokens
    assert all(value is None or 0 <= value <= 2 * 10**12 for value in (tokens.input, tokens.cached, tokens.output, tokens.reasoning))


def test_every_stream_is_forwarded_with_usage_stripped_only_when_we_asked() -> None:
    for case in STREAMS:
        asked = case.relay()
        asked.feed(case.answer)
        silent = Relay(
            DIALECTS[case.dialect],  # type: ignore[index]
            case.expected["endpoint"], case.request, case.call, "m", ask_usage=False,
        )  # fmt: skip
        out = silent.feed(case.answer)
        if not case.expected["replaced"]:
            assert case.answer.startswith(out)
