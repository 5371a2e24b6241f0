"""Requests in every dialect that ask for the same, and what the official packages make of answers in each."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from google.genai.types import GenerateContentResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from app.core.errors import AppError
from app.core.secret import Secret
from app.wire.body import understand
from app.wire.bridge import Bridge, Relay, passage
from app.wire.dialect import Name
from app.wire.dialects import DIALECTS
from app.wire.redact import Redactor
from app.wire.sse import events, fields

NAMES: tuple[Name, ...] = ("openai", "responses", "anthropic", "gemini")
KEY = Secret("key-of-no-known-shape-7Q2x9Zb4")

ENDPOINTS: dict[str, str] = {"openai": "chat/completions", "responses": "responses", "anthropic": "messages", "gemini": "generateContent"}
_SCHEMA = {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]}

# The same question in each dialect: a prompt and one tool.
ASKS: dict[str, dict[str, Any]] = {
    "openai": {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather?"}],
        "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": _SCHEMA}}],
        "stream_options": {"include_usage": True},
    },
    "responses": {
        "instructions": "Be brief.",
        "input": "Weather?",
        "tools": [{"type": "function", "name": "get_weather", "parameters": _SCHEMA, "strict": False}],
    },
    "anthropic": {
        "max_tokens": 1000,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "Weather?"}],
        "tools": [{"name": "get_weather", "input_schema": _SCHEMA}],
    },
    "gemini": {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [{"role": "user", "parts": [{"text": "Weather?"}]}],
        "tools": [{"functionDeclarations": [{"name": "get_weather", "parametersJsonSchema": _SCHEMA}]}],
    },
}


def crossing(
    client: str, provider: str, body: dict[str, Any] | bytes | None = None, *, stream: bool = False, **more: Any
) -> Relay | Bridge:
    """`body` (without model and stream), asked in one dialect of a provider of another."""
    model = more.pop("model", {"anthropic": "claude-sonnet-4-5", "gemini": "gemini-2.5-pro"}.get(provider, "gpt-4.1"))
    endpoint = ENDPOINTS[client]
    given = ASKS[client] if body is None else body
    gemini = client == "gemini"
    if gemini and stream:
        endpoint = "streamGenerateContent"
    if isinstance(given, bytes):
        raw = given
    else:
        whole = dict(given) if gemini else {"model": "work/m", **given, **({"stream": True} if stream else {})}
        if not stream:
            whole.pop("stream_options", None)
        raw = json.dumps(whole).encode()
    call = understand(raw, endpoint, model="work/m" if gemini else "", stream=stream if gemini else None)
    more = {"call_id": "01JX", "now_s": 1_793_000_000, "redactor": Redactor(KEY), **more}
    return passage(DIALECTS[client], DIALECTS[provider], endpoint, raw, call, model, **more)  # type: ignore[index]


def sent(passing: Relay | Bridge) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(passing.request_body)
    return found


def said(stream: bytes) -> list[dict[str, Any]]:
    """The events of a stream, decoded."""
    datas = [fields(event)[1] for event in events(stream)]
    return [json.loads(data) for data in datas if data and data != b"[DONE]"]


_EVENTS: dict[str, TypeAdapter[Any]] = {
    "openai": TypeAdapter(ChatCompletionChunk),
    "responses": TypeAdapter(ResponseStreamEvent),
    "anthropic": TypeAdapter(RawMessageStreamEvent),
    "gemini": TypeAdapter(GenerateContentResponse),
}
_REPLIES: dict[str, TypeAdapter[Any]] = {
    "openai": TypeAdapter(ChatCompletion),
    "responses": TypeAdapter(Response),
    "anthropic": TypeAdapter(Message),
    "gemini": TypeAdapter(GenerateContentResponse),
}


def fits(dialect: str, value: dict[str, Any], *, whole: bool = False) -> Any:
    """The package's own value; an error where it would not read it. Errors are no values of these types."""
    if "error" in value and dialect != "responses":
        return None
    return (_REPLIES if whole else _EVENTS)[dialect].validate_python(value)


def frame(*values: dict[str, Any] | str, named: bool = False) -> bytes:
    lines = []
    for value in values:
        text = value if isinstance(value, str) else json.dumps(value)
        name = f"event: {value['type']}\n" if named and isinstance(value, dict) else ""
        lines.append(f"{name}data: {text}\n\n")
    return "".join(lines).encode()


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **more,
    }


def called(index: int, identifier: str = "", name: str = "", arguments: str = "") -> dict[str, Any]:
    call: dict[str, Any] = {"index": index, "function": {"arguments": arguments}}
    if identifier:
        call["id"] = identifier
    if name:
        call["function"]["name"] = name
    return {"tool_calls": [call]}


def refused(client: str, provider: str, body: dict[str, Any]) -> AppError:
    """The error with which a request is turned away."""
    with pytest.raises(AppError) as caught:
        crossing(client, provider, body)
    assert caught.value.status == 400
    return caught.value
