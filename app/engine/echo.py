"""The built-in account `gatehouse` with its one model `echo`: it says the prompt back, so that everything can be tried without a key.

It stands where a provider's reply stands, in the provider's own format, so relay, ledger and price see nothing special. Its tokens are
words. It answers chat/completions, completions, messages and messages/count_tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from app.core.errors import AppError
from app.wire import shape

ACCOUNT: Final = "gatehouse"
MODEL: Final = "echo"
OFFERED: Final = (MODEL,)
SPEAKS: Final = frozenset({"openai", "anthropic"})

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


class EchoReply:
    """What `egress.upstream.Reply` is for a provider: status, headers, then chunks until b""."""

    connection: Final = None
    host: Final = ""
    bytes_out: Final = 0

    def __init__(self, body: bytes, events: Iterator[bytes] | None = None) -> None:
        self.status: Final = 200
        kind = "application/json" if events is None else "text/event-stream"
        self.headers: Final[tuple[tuple[str, str], ...]] = (("content-type", kind),)
        self.bytes_in = 0
        self._chunks = iter((body,)) if events is None else events

    async def chunk(self) -> bytes:
        data = next(self._chunks, b"")
        self.bytes_in += len(data)
        return data

    async def chunk_within(self, seconds: float) -> bytes | None:
        return await self.chunk()

    def header(self, name: str) -> str:
        return dict(self.headers).get(name, "")

    async def read(self, limit: int, hold: Callable[[int], None] | None = None) -> bytes:
        parts = []
        while data := await self.chunk():
            parts.append(data)
        return b"".join(parts)

    def abort(self) -> None:
        self._chunks = iter(())


def reply(endpoint: str, body: bytes, stream: bool, call_id: str, now_s: int) -> EchoReply:
    """The echo of one request. AppError body_not_json, body_invalid where the prompt cannot be found, model_unknown for other endpoints."""
    asked = shape.body(body)
    if endpoint == "chat/completions":
        text = _last_user_text(asked)
        return _chat(text, stream, asked, call_id, now_s)
    if endpoint == "completions":
        prompt = asked.get("prompt", "")
        return _completion(prompt if isinstance(prompt, str) else " ".join(map(str, prompt)), stream, asked, call_id, now_s)
    if endpoint == "messages":
        return _message(_last_user_text(asked), stream, call_id, _words(_all_text(asked)))
    if endpoint == "messages/count_tokens":
        return EchoReply(_encode({"input_tokens": _words(_all_text(asked))}))
    raise AppError(
        "model_unknown", f"gatehouse/echo does not answer {endpoint}.", "Try it with chat/completions or messages.", param="model"
    )


def text_of(body: bytes) -> str:
    """What a chat reply of this model says."""
    return str(_decode(body)["choices"][0]["message"]["content"])


def _chat(text: str, stream: bool, asked: dict[str, Any], call_id: str, now_s: int) -> EchoReply:
    base = {"id": f"chatcmpl-{call_id}", "created": now_s, "model": MODEL}
    usage = _openai_usage(_all_text(asked), text)
    if not stream:
        choice = {"index": 0, "message": {"role": "assistant", "content": text, "refusal": None}, "logprobs": None, "finish_reason": "stop"}
        return EchoReply(_encode(base | {"object": "chat.completion", "choices": [choice], "usage": usage}))

    def event(choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
        return b"data: " + _encode(base | {"object": "chat.completion.chunk", "choices": choices, "usage": usage}) + b"\n\n"

    def events() -> Iterator[bytes]:
        yield event([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
        for word in _pieces(text):
            yield event([{"index": 0, "delta": {"content": word}, "finish_reason": None}])
        yield event([{"index": 0, "delta": {}, "finish_reason": "stop"}])
        yield event([], usage)
        yield b"data: [DONE]\n\n"

    return EchoReply(b"", events())


def _completion(text: str, stream: bool, asked: dict[str, Any], call_id: str, now_s: int) -> EchoReply:
    base = {"id": f"cmpl-{call_id}", "object": "text_completion", "created": now_s, "model": MODEL}
    usage = _openai_usage(text, text)
    if not stream:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": "stop"}
        return EchoReply(_encode(base | {"choices": [choice], "usage": usage}))

    def events() -> Iterator[bytes]:
        for word in _pieces(text):
            yield b"data: " + _encode(base | {"choices": [{"index": 0, "text": word, "logprobs": None, "finish_reason": None}]}) + b"\n\n"
        yield b"data: " + _encode(base | {"choices": [{"index": 0, "text": "", "logprobs": None, "finish_reason": "stop"}]}) + b"\n\n"
        yield b"data: " + _encode(base | {"choices": [], "usage": usage}) + b"\n\n"
        yield b"data: [DONE]\n\n"

    return EchoReply(b"", events())


def _message(text: str, stream: bool, call_id: str, words_in: int) -> EchoReply:
    usage = {"input_tokens": words_in, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": _words(text)}
    base = {"id": f"msg_{call_id}", "type": "message", "role": "assistant", "model": MODEL, "stop_sequence": None}
    if not stream:
        return EchoReply(_encode(base | {"content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "usage": usage}))

    def event(kind: str, **fields: Any) -> bytes:
        return f"event: {kind}\ndata: ".encode() + _encode({"type": kind} | fields) + b"\n\n"

    def events() -> Iterator[bytes]:
        yield event("message_start", message=base | {"content": [], "stop_reason": None, "usage": usage | {"output_tokens": 0}})
        yield event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        for word in _pieces(text):
            yield event("content_block_delta", index=0, delta={"type": "text_delta", "text": word})
        yield event("content_block_stop", index=0)
        end = {"stop_reason": "end_turn", "stop_sequence": None}
        yield event("message_delta", delta=end, usage={"output_tokens": _words(text)})
        yield event("message_stop")

    return EchoReply(b"", events())


def _openai_usage(prompt: str, text: str) -> dict[str, Any]:
    count_in, count_out = _words(prompt), _words(text)
    return {"prompt_tokens": count_in, "completion_tokens": count_out, "total_tokens": count_in + count_out}


def _last_user_text(asked: dict[str, Any]) -> str:
    messages = asked.get("messages")
    if not isinstance(messages, list):
        raise AppError("body_invalid", "The field messages is not a list.", param="messages")
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            return _text_of(message.get("content"))
    raise AppError("body_invalid", "No message has the role user, so there is nothing to say back.", param="messages")


def _all_text(asked: dict[str, Any]) -> str:
    parts = [_text_of(asked.get("system"))]
    messages = asked.get("messages")
    if isinstance(messages, list):
        parts += [_text_of(message.get("content")) for message in messages if isinstance(message, dict)]
    return " ".join(parts)


def _text_of(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        return "\n".join(text for text in texts if isinstance(text, str))
    return ""


def _words(text: str) -> int:
    return len(text.split())


def _pieces(text: str) -> Iterator[str]:
    """`text` cut after each blank, so that joining gives it back."""
    start = 0
    while start < len(text):
        end = text.find(" ", start) + 1 or len(text)
        yield text[start:end]
        start = end
