"""The OpenAI dialect of chat/completions, completions, embeddings and models.

Sources: the typed models of the package `openai` (3.54: types/chat, completion_usage, shared/error_object) and, where other providers
deviate, their documentation as noted at the line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from app.core.errors import AppError
from app.core.unreadable import UNREADABLE
from app.wire import openai_family, replies
from app.wire.body import Understood
from app.wire.dialect import NOTHING, Edits, Heard, ModelEntry
from app.wire.usage import Usage, count

_encode: Final = msgspec.json.encode

_USAGE: Final = re.compile(rb'"usage"\s*:\s*\{').search
_FINISH: Final = re.compile(rb'"finish_reason"\s*:\s*"').search


class _Reply(msgspec.Struct):
    """What is read of a whole reply; text and vectors are skipped over."""

    usage: object = None
    error: object = None
    service_tier: object = None
    x_groq: object = None


class _Chunk(_Reply):
    choices: object = None


_reply: Final = msgspec.json.Decoder(_Reply).decode
_chunk: Final = msgspec.json.Decoder(_Chunk).decode


class OpenAIChat:
    """Stateless; see `Dialect`."""

    name: Final[Literal["openai"]] = "openai"

    request_headers: Final = openai_family.REQUEST_HEADERS

    own_headers: Final = ()

    response_headers: Final = openai_family.RESPONSE_HEADERS

    words: Final = re.compile(rb'"(?:content|text|arguments|reasoning_content|reasoning|refusal)"\s*:\s*"(?!")([^"\\]*+(?:\\.[^"\\]*+)*+)"')

    def notable(self, block: bytes) -> bool:
        # `"usage":null` is in every chunk once usage was asked for; only an object is worth reading. A quote inside generated text is
        # escaped, so text never matches a pattern. Each pattern begins with a literal, which is what makes the search quick.
        return b"[DONE]" in block or b"error" in block or _USAGE(block) is not None or _FINISH(block) is not None

    def edits(self, call: Understood, endpoint: str, model: str, *, ask_usage: bool) -> Edits:
        """`model`, and for streams `stream_options.include_usage`, so that the exchange can be priced."""
        values: dict[str, bytes] = {} if model == call.model and "model" in call.members else {"model": _encode(model)}
        if not (ask_usage and call.stream and not call.usage_asked and endpoint in ("chat/completions", "completions")):
            return Edits(values=values)
        raw = call.members.get("stream_options")
        options: dict[str, msgspec.Raw] = {}
        if raw is not None:
            try:
                options = msgspec.json.decode(raw, type=dict[str, msgspec.Raw] | None) or {}
            except UNREADABLE:
                return Edits(values=values)  # the provider will say what is wrong with it
        options["include_usage"] = msgspec.Raw(b"true")
        values["stream_options"] = _encode(options)
        return Edits(values=values, strip_usage=True)

    def path(self, endpoint: str, model: str) -> str:
        return endpoint

    def hear(self, name: str, data: bytes) -> Heard:
        if data.startswith(b"[DONE]"):
            return Heard(end=True)
        try:
            reply = _chunk(data)
        except UNREADABLE:
            return NOTHING
        if name == "error" or reply.error is not None:
            return Heard(error=_error(reply, data))
        finished = False
        if isinstance(reply.choices, list):
            finished = any(isinstance(choice, dict) and choice.get("finish_reason") for choice in reply.choices)
        usage = _usage(reply)
        return Heard(usage=usage, finished=finished, bare_usage=usage is not None and reply.choices == [])

    def hear_reply(self, endpoint: str, body: bytes) -> Heard:
        try:
            reply = _reply(body)
        except UNREADABLE:
            raise AppError("provider_not_json", "The provider's answer is not JSON.", replies.PORTAL) from None
        if reply.error is not None:
            return Heard(error=_error(reply, body))
        return Heard(usage=_usage(reply), finished=True, end=True)

    def error_body(self, error: AppError, call_id: str) -> bytes:
        return openai_family.error_body(error)

    def error_event(self, error: AppError, call_id: str) -> bytes:
        return b"data: " + self.error_body(error, call_id) + b"\n\ndata: [DONE]\n\n"

    def ping(self) -> bytes:
        return b": ping\n\n"

    def models(self, entries: Sequence[ModelEntry]) -> bytes:
        return openai_family.models(entries)

    def model(self, entry: ModelEntry) -> bytes:
        return openai_family.model(entry)

    def read_models(self, body: bytes) -> tuple[str, ...]:
        return replies.model_names(body)


DIALECT: Final = OpenAIChat()


def _error(reply: _Reply, data: bytes) -> AppError:
    """The error a provider put into a 200."""
    status = 502
    if isinstance(reply.error, dict):
        code = reply.error.get("code", reply.error.get("status"))
        if isinstance(code, str) and code.isdecimal() and len(code) == 3:
            code = int(code)
        if isinstance(code, int) and 400 <= code < 600:  # OpenRouter: error.code is the HTTP status
            status = code
    return replies.error(reply.error if reply.error is not None else replies.decoded(data), status)


def _usage(reply: _Reply) -> Usage | None:
    raw = reply.usage
    if raw is None and isinstance(reply.x_groq, dict):
        raw = reply.x_groq.get("usage")  # Groq, streams without include_usage
    if not isinstance(raw, dict):
        return None
    went_in = _details(raw, "prompt_tokens_details")
    came_out = _details(raw, "completion_tokens_details")
    prompt, output = count(raw.get("prompt_tokens")), count(raw.get("completion_tokens"))
    total, reasoning = count(raw.get("total_tokens")), count(came_out.get("reasoning_tokens"))
    if prompt is None and output is None:
        return None
    if output is None and total is not None and total == prompt:
        output = 0  # embeddings
    if reasoning and prompt is not None and output is not None and total == prompt + output + reasoning:
        output += reasoning  # xAI counts reasoning beside completion_tokens, not within
    cached = _first(
        went_in.get("cached_tokens"),
        raw.get("prompt_cache_hit_tokens"),  # DeepSeek
        raw.get("cached_tokens"),  # Moonshot
        raw.get("num_cached_tokens"),  # Mistral
    )
    return Usage(
        input=prompt,
        cached=cached,
        cache_write=_first(went_in.get("cache_write_tokens"), went_in.get("cache_creation_tokens")),
        output=output,
        reasoning=_first(reasoning, raw.get("reasoning_tokens")),  # Perplexity: beside the details
        input_audio=count(went_in.get("audio_tokens")),
        output_audio=count(came_out.get("audio_tokens")),
        citation=count(raw.get("citation_tokens")),  # Perplexity
        service_tier=reply.service_tier if isinstance(reply.service_tier, str) else "",
    )


def _details(raw: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = raw.get(name)
    return value if isinstance(value, dict) else {}


def _first(*values: object) -> int | None:
    return next((found for value in values if (found := count(value)) is not None), None)
