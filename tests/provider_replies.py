"""The built-in replies of the local upstream: what OpenAI and Anthropic answer, in their shapes, with numbers that are always the same.

Shapes follow the typed models of the packages `openai`, `anthropic` and `google-genai`, which parse them in the tests. A model name may
carry options after a question mark, e.g. `any?chunks=50&every_ms=100&input=1200`, or, where it stands in a path, after tildes:
`any~chunks=50~every_ms=100`. `say` asks for what `tests/scripted_replies.py` has. Options:

    chunks    pieces of text in a stream (default 8)          every_ms  pause before each event of a stream, or before the reply
    bytes     length of each piece (default: the words below) text      the whole text of the reply instead
    input, cached, wrote, output, reasoning   the token counts reported
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl

CREATED = 1_760_000_000
TEXT = "Hello from the upstream. Grüße, 你好 and 👋 to you all."
MODELS = ("gpt-4o-mini", "gpt-4.1", "text-embedding-3-small", "claude-sonnet-4-5", "claude-haiku-4-5")
GEMINI_MODELS = ("gemini-2.5-flash", "gemini-3-pro", "gemini-embedding-001")

JSON_TYPE = "application/json"
SSE_TYPE = "text/event-stream; charset=utf-8"

# As the real ones: some to pass on, some that must not reach a client program (set-cookie, server, alt-svc).
OPENAI_HEADERS = (
    ("x-request-id", "req_upstream_0001"),
    ("openai-processing-ms", "7"),
    ("openai-organization", "org-upstream"),
    ("x-ratelimit-limit-requests", "10000"),
    ("x-ratelimit-remaining-requests", "9999"),
    ("set-cookie", "__cf_bm=tracking; path=/; HttpOnly"),
    ("server", "upstream"),
    ("alt-svc", 'h3=":443"; ma=86400'),
)
ANTHROPIC_HEADERS = (
    ("request-id", "req_upstream_0001"),
    ("anthropic-organization-id", "00000000-0000-0000-0000-000000000000"),
    ("anthropic-ratelimit-requests-limit", "4000"),
    ("anthropic-ratelimit-requests-remaining", "3999"),
    ("set-cookie", "__cf_bm=tracking; path=/; HttpOnly"),
    ("server", "upstream"),
)
GEMINI_HEADERS = (
    ("server-timing", "gfet4t7; dur=7"),
    ("vary", "Origin"),
    ("server", "upstream"),
    ("alt-svc", 'h3=":443"; ma=86400'),
)


@dataclass(frozen=True, slots=True)
class Options:
    """What a model name asks for beyond its name. say: the kind of answer. counts: input, cached, wrote, output, reasoning."""

    model: str
    pieces: tuple[str, ...]
    every_s: float
    input: int
    cached: int
    output: int
    reasoning: int
    wrote: int = 0
    say: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply before it is framed. pieces: one per event of a stream, or the whole body. every_s: pause before each piece."""

    status: int
    content_type: str
    headers: tuple[tuple[str, str], ...]
    pieces: tuple[bytes, ...]
    stream: bool = False
    every_s: float = 0.0

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


@lru_cache(maxsize=1024)
def options(model: str) -> Options:
    query = dict(parse_qsl(model.partition("?")[2] or model.partition("~")[2].replace("~", "&")))
    text = query.get("text", TEXT)
    count = int(query.get("chunks", "0"))
    if size := int(query.get("bytes", "0")):
        pieces = tuple("x" * size for _ in range(count or 8))
    else:
        words = [word + " " for word in text.split(" ")]
        words[-1] = words[-1][:-1]
        pieces = tuple(words) if not count else tuple(words[i % len(words)] for i in range(count))
    return Options(
        model=model,
        pieces=pieces,
        every_s=float(query.get("every_ms", "0")) / 1000,
        input=int(query.get("input", "19")),
        cached=int(query.get("cached", "4")),
        output=int(query.get("output", "10")),
        reasoning=int(query.get("reasoning", "3")),
        wrote=int(query.get("wrote", "0")),
        say=query.get("say", ""),
    )


def dumps(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def sse(value: object, event: str = "") -> bytes:
    return (f"event: {event}\n".encode() if event else b"") + b"data: " + dumps(value) + b"\n\n"


def gemini_error(status: int, message: str) -> dict[str, object]:
    """google.rpc.Status, as Google's APIs send it."""
    words = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED",
             499: "CANCELLED", 500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}  # fmt: skip
    body: dict[str, object] = {"code": status, "message": message, "status": words.get(status, "UNKNOWN")}
    if status == 400 and message.startswith("API key not valid"):
        body["details"] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}]
    return {"error": body}


def error(dialect: str, status: int, message: str, *, param: str | None = None, code: str | None = None) -> Answer:
    """An error as the provider words it. param, code: OpenAI's."""
    if dialect == "anthropic":
        kinds = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
                 413: "request_too_large", 429: "rate_limit_error", 529: "overloaded_error"}  # fmt: skip
        body: object = {
            "type": "error",
            "error": {"type": kinds.get(status, "api_error"), "message": message},
            "request_id": "req_upstream_0001",
        }
        return Answer(status, JSON_TYPE, ANTHROPIC_HEADERS, (dumps(body),))
    if dialect == "gemini":
        return Answer(status, JSON_TYPE, GEMINI_HEADERS, (dumps(gemini_error(status, message)),))
    kinds = {401: "invalid_request_error", 400: "invalid_request_error", 403: "invalid_request_error", 404: "invalid_request_error",
             429: "requests"}  # fmt: skip
    codes = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
    body = {"error": {"message": message, "type": kinds.get(status, "server_error"), "param": param, "code": code or codes.get(status)}}
    return Answer(status, JSON_TYPE, OPENAI_HEADERS, (dumps(body),))


def _openai_usage(o: Options) -> dict[str, object]:
    return {
        "prompt_tokens": o.input,
        "completion_tokens": o.output,
        "total_tokens": o.input + o.output,
        "prompt_tokens_details": {"cached_tokens": o.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": o.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


@lru_cache(maxsize=1024)
def chat(model: str) -> Answer:
    o = options(model)
    said: dict[str, object] = {"role": "assistant", "content": "".join(o.pieces), "refusal": None, "annotations": []}
    body = {
        "id": "chatcmpl-upstream0001",
        "object": "chat.completion",
        "created": CREATED,
        "model": model,
        "choices": [{"index": 0, "message": said, "logprobs": None, "finish_reason": "stop"}],
        "usage": _openai_usage(o),
        "service_tier": "default",
        "system_fingerprint": "fp_upstream",
    }
    return Answer(200, JSON_TYPE, OPENAI_HEADERS, (dumps(body),), every_s=o.every_s)


@lru_cache(maxsize=1024)
def chat_stream(model: str, include_usage: bool) -> Answer:
    """With `include_usage` every chunk carries `usage: null` and one more, without choices, carries the counts: as the real one does."""
    o = options(model)

    def chunk(choices: list[object], usage: object = None) -> bytes:
        body: dict[str, object] = {
            "id": "chatcmpl-upstream0001",
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": model,
            "service_tier": "default",
            "system_fingerprint": "fp_upstream",
            "choices": choices,
        }
        if include_usage:
            body["usage"] = usage
        return sse(body)

    def choice(delta: dict[str, object], finish: str | None = None) -> list[object]:
        return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]

    events = [chunk(choice({"role": "assistant", "content": "", "refusal": None}))]
    events += [chunk(choice({"content": piece})) for piece in o.pieces]
    events.append(chunk(choice({}, "stop")))
    if include_usage:
        events.append(chunk([], _openai_usage(o)))
    events.append(b"data: [DONE]\n\n")
    return Answer(200, SSE_TYPE, OPENAI_HEADERS, tuple(events), stream=True, every_s=o.every_s)


@lru_cache(maxsize=1024)
def completion(model: str) -> Answer:
    o = options(model)
    body = {
        "id": "cmpl-upstream0001",
        "object": "text_completion",
        "created": CREATED,
        "model": model,
        "choices": [{"text": "".join(o.pieces), "index": 0, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": o.input, "completion_tokens": o.output, "total_tokens": o.input + o.output},
    }
    return Answer(200, JSON_TYPE, OPENAI_HEADERS, (dumps(body),), every_s=o.every_s)


@lru_cache(maxsize=1024)
def completion_stream(model: str, include_usage: bool) -> Answer:
    o = options(model)

    def chunk(choices: list[object], usage: object = None) -> bytes:
        body: dict[str, object] = {
            "id": "cmpl-upstream0001", "object": "text_completion", "created": CREATED, "model": model, "choices": choices,
        }  # fmt: skip
        if include_usage:
            body["usage"] = usage
        return sse(body)

    events = [chunk([{"text": piece, "index": 0, "logprobs": None, "finish_reason": None}]) for piece in o.pieces]
    events.append(chunk([{"text": "", "index": 0, "logprobs": None, "finish_reason": "stop"}]))
    if include_usage:
        usage = {"prompt_tokens": o.input, "completion_tokens": o.output, "total_tokens": o.input + o.output}
        events.append(chunk([], usage))
    events.append(b"data: [DONE]\n\n")
    return Answer(200, SSE_TYPE, OPENAI_HEADERS, tuple(events), stream=True, every_s=o.every_s)


def embeddings(model: str, inputs: int, base64: bool) -> Answer:
    """`inputs` vectors of four numbers; the Python SDK asks for base64 (little-endian float32) unless told otherwise."""
    o = options(model)
    vector: object = "AACAPgAAAL8AAEA/AAAAAA==" if base64 else [0.25, -0.5, 0.75, 0.0]
    data = [{"object": "embedding", "index": index, "embedding": vector} for index in range(inputs)]
    body = {"object": "list", "data": data, "model": model, "usage": {"prompt_tokens": o.input, "total_tokens": o.input}}
    return Answer(200, JSON_TYPE, OPENAI_HEADERS, (dumps(body),), every_s=o.every_s)


@lru_cache(maxsize=64)
def openai_models(names: tuple[str, ...]) -> Answer:
    data = [{"id": name, "object": "model", "created": CREATED, "owned_by": "upstream"} for name in names]
    return Answer(200, JSON_TYPE, OPENAI_HEADERS, (dumps({"object": "list", "data": data}),))


def openai_model(name: str) -> Answer:
    return Answer(200, JSON_TYPE, OPENAI_HEADERS, (dumps({"id": name, "object": "model", "created": CREATED, "owned_by": "upstream"}),))


def _anthropic_model(name: str) -> dict[str, object]:
    return {"type": "model", "id": name, "display_name": name, "created_at": "2025-10-09T08:53:20Z"}


@lru_cache(maxsize=64)
def anthropic_models(names: tuple[str, ...]) -> Answer:
    body = {"data": [_anthropic_model(n) for n in names], "has_more": False, "first_id": names[0] if names else None,
            "last_id": names[-1] if names else None}  # fmt: skip
    return Answer(200, JSON_TYPE, ANTHROPIC_HEADERS, (dumps(body),))


def anthropic_model(name: str) -> Answer:
    return Answer(200, JSON_TYPE, ANTHROPIC_HEADERS, (dumps(_anthropic_model(name)),))


def _anthropic_usage(o: Options, output: int) -> dict[str, object]:
    """Anthropic's `input_tokens` leaves out what was read from or written to its cache."""
    return {
        "input_tokens": o.input - o.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": o.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "service_tier": "standard",
    }


def _anthropic_message(o: Options, content: list[object], stop: str | None, output: int) -> dict[str, object]:
    return {
        "id": "msg_upstream0001",
        "type": "message",
        "role": "assistant",
        "model": o.model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": _anthropic_usage(o, output),
    }


@lru_cache(maxsize=1024)
def message(model: str) -> Answer:
    o = options(model)
    body = _anthropic_message(o, [{"type": "text", "text": "".join(o.pieces)}], "end_turn", o.output)
    return Answer(200, JSON_TYPE, ANTHROPIC_HEADERS, (dumps(body),), every_s=o.every_s)


@lru_cache(maxsize=1024)
def message_stream(model: str) -> Answer:
    o = options(model)
    events = [
        sse({"type": "message_start", "message": _anthropic_message(o, [], None, 1)}, "message_start"),
        sse({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}, "content_block_start"),
        sse({"type": "ping"}, "ping"),
    ]
    events += [
        sse({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}, "content_block_delta")
        for piece in o.pieces
    ]
    events += [
        sse({"type": "content_block_stop", "index": 0}, "content_block_stop"),
        sse(
            {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": o.output}},
            "message_delta",
        ),
        sse({"type": "message_stop"}, "message_stop"),
    ]
    return Answer(200, SSE_TYPE, ANTHROPIC_HEADERS, tuple(events), stream=True, every_s=o.every_s)


def count_tokens(model: str) -> Answer:
    return Answer(200, JSON_TYPE, ANTHROPIC_HEADERS, (dumps({"input_tokens": options(model).input}),))


def _gemini_model(name: str) -> dict[str, object]:
    return {"name": f"models/{name}", "version": "001", "displayName": name, "description": "A model of the upstream.",
            "inputTokenLimit": 1048576, "outputTokenLimit": 65536, "temperature": 1, "topP": 0.95, "topK": 64, "maxTemperature": 2,
            "supportedGenerationMethods": ["generateContent", "countTokens"]}  # fmt: skip


def gemini_models(names: tuple[str, ...]) -> Answer:
    return Answer(200, JSON_TYPE, GEMINI_HEADERS, (dumps({"models": [_gemini_model(name) for name in names]}),))


def gemini_model(name: str) -> Answer:
    return Answer(200, JSON_TYPE, GEMINI_HEADERS, (dumps(_gemini_model(name)),))


def gemini_count(model: str) -> Answer:
    o = options(model)
    body = {"totalTokens": o.input, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": o.input}]}
    return Answer(200, JSON_TYPE, GEMINI_HEADERS, (dumps(body),))


def input_tokens(model: str) -> Answer:
    """What `responses/input_tokens` counts."""
    return Answer(200, JSON_TYPE, OPENAI_HEADERS, (dumps({"object": "response.input_tokens", "input_tokens": options(model).input}),))
