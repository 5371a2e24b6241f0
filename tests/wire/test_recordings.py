"""Recorded exchanges go through unchanged, whole or in any pieces, and what they used is known."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import Message, MessageTokensCount, RawMessageStreamEvent
from google.genai.types import GenerateContentResponse
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from app.wire.bridge import Relay
from app.wire.sse import events, fields
from tests.wire.recordings import CASES, REPLIES, STREAMS, Case


def run(case: Case, pieces: list[bytes]) -> tuple[bytes, Relay]:
    relay = case.relay()
    out = [relay.feed(piece) for piece in pieces]
    return b"".join([*out, relay.finish()]), relay


def outcome(relay: Relay) -> dict[str, Any]:
    error = relay.error
    return {
        "tokens": relay.tokens,
        "usage": relay.usage,
        "complete": relay.complete,
        "started": relay.started,
        "error": None if error is None else {"code": error.code, "status": error.status, "message": error.message},
    }


def check(case: Case, relay: Relay) -> None:
    expected, got = case.expected, outcome(relay)
    assert got["tokens"] == case.tokens
    assert {name: got[name] for name in ("complete", "started", "error")} == {
        name: expected[name] for name in ("complete", "started", "error")
    }
    for name in ("cache_write_1h", "web_searches"):
        if name in expected:
            assert getattr(got["usage"], name) == expected[name]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_provider_gets_the_clients_bytes_but_for_model_and_stream_options(case: Case) -> None:
    assert case.relay().request_body.decode() == case.expected["sent"]


@pytest.mark.parametrize("case", STREAMS, ids=str)
def test_a_stream_in_one_piece(case: Case) -> None:
    out, relay = run(case, [case.answer])
    assert out == case.passed_on() + (b"" if relay.complete or case.answer.endswith(b"\n\n") or not out.endswith(b"}") else b"\n\n")
    check(case, relay)


@pytest.mark.parametrize("case", STREAMS, ids=str)
def test_a_stream_cut_in_two_at_every_byte(case: Case) -> None:
    stream = case.answer
    whole, reference = run(case, [stream])
    for at in range(1, len(stream)):
        out, relay = run(case, [stream[:at], stream[at:]])
        assert out == whole, at
        assert outcome(relay) == outcome(reference), at


@pytest.mark.parametrize("case", STREAMS, ids=str)
def test_a_stream_one_byte_at_a_time_comes_out_in_whole_events(case: Case) -> None:
    stream = case.answer
    whole, reference = run(case, [stream])
    relay = case.relay()
    out = []
    for at in range(len(stream)):
        piece = relay.feed(stream[at : at + 1])
        assert not piece or piece.endswith((b"\n\n", b"\r\n\r\n"))
        out.append(piece)
    out.append(relay.finish())
    assert b"".join(out) == whole
    assert outcome(relay) == outcome(reference)


@pytest.mark.parametrize("case", STREAMS, ids=str)
def test_what_was_used_is_known_at_every_moment_of_a_stream(case: Case) -> None:
    relay = case.relay()
    before = -1
    for event in events(case.answer):
        relay.feed(event)
        tokens = relay.tokens
        if tokens.output is not None and tokens.estimated:
            assert tokens.output >= before
            before = tokens.output


@pytest.mark.parametrize("case", REPLIES, ids=str)
def test_a_whole_reply(case: Case) -> None:
    expected, relay = case.expected, case.relay()
    if expected["status"] == 200:
        body = relay.reply(case.answer)
    else:
        refusal = relay.refusal(expected["status"], case.answer, "req_1")
        assert refusal.status == expected["status"]
        assert refusal.error is relay.error
        body = refusal.body
    assert body == case.passed_on()
    check(case, relay)


@pytest.mark.parametrize("case", [case for case in REPLIES if case.expected["error"] is None], ids=str)
def test_recorded_replies_are_what_the_official_package_expects(case: Case) -> None:
    kind: Any = {
        "chat/completions": ChatCompletion,
        "completions": Completion,
        "embeddings": CreateEmbeddingResponse,
        "messages": Message,
        "messages/count_tokens": MessageTokensCount,
        "responses": Response,
        "generateContent": GenerateContentResponse,
    }[case.expected["endpoint"]]
    kind.model_validate_json(case.answer)


@pytest.mark.parametrize("case", STREAMS, ids=str)
def test_recorded_events_are_what_the_official_package_expects(case: Case) -> None:
    endpoint = case.expected["endpoint"]
    kind: Any = {
        "chat/completions": ChatCompletionChunk,
        "completions": Completion,
        "messages": RawMessageStreamEvent,
        "responses": ResponseStreamEvent,
        "streamGenerateContent": GenerateContentResponse,
    }[endpoint]
    read = TypeAdapter(kind)
    for event in events(case.answer):
        name, data = fields(event)
        value = json.loads(data) if data.startswith(b"{") and data.endswith(b"}") else {}
        if "prompt_filter_results" in value:  # Azure's own first chunk leaves `object` empty
            continue
        for choice in value.get("choices", []):
            if kind is Completion and choice["finish_reason"] is None:  # as OpenAI sends it; the package's type is that of the last chunk
                choice["finish_reason"] = "stop"
        if value and "error" not in value and name != "ping":
            read.validate_python(value)
