"""The package `anthropic`."""

from __future__ import annotations

from typing import Any

import anthropic

from tests.matrix.exchange import (
    IMAGE_URL,
    PDF_64,
    PNG_64,
    SCHEMA,
    TOOL,
    TOOL_SCHEMA,
    TOOL_WORDS,
    WEATHER,
    Ask,
    Counts,
    Got,
)

ERRORS: dict[int, type[Exception]] = {
    400: anthropic.BadRequestError,
    401: anthropic.AuthenticationError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    429: anthropic.RateLimitError,
    500: anthropic.InternalServerError,
    529: anthropic.InternalServerError,
}


class Messages:
    name = "anthropic"
    dialect = "anthropic"
    errors = ERRORS
    broken: type[Exception] = anthropic.APIStatusError
    no_thoughts = no_refusals = ""
    lacks = frozenset({"embeddings"})

    def __init__(self, url: str, key: str) -> None:
        self.sdk = anthropic.Anthropic(base_url=url, api_key=key, max_retries=0, timeout=20)

    def _arguments(self, ask: Ask) -> dict[str, Any]:
        content: list[dict[str, Any]] = []
        if ask.image:
            content.append({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG_64}})
        if ask.image_url:
            content.append({"type": "image", "source": {"type": "url", "url": IMAGE_URL}})
        if ask.document:
            source = {"type": "base64", "media_type": "application/pdf", "data": PDF_64}
            content.append({"type": "document", "title": "paper.pdf", "source": source})
        content.append({"type": "text", "text": ask.text})
        arguments: dict[str, Any] = {"model": ask.model, "max_tokens": ask.max_tokens, "messages": [{"role": "user", "content": content}]}
        if ask.system:
            mark = {"cache_control": {"type": "ephemeral"}} if ask.cache else {}
            arguments["system"] = [{"type": "text", "text": ask.system, **mark}]
        if ask.schema:
            arguments["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
        if ask.tools:
            arguments["tools"] = [{"name": TOOL, "description": TOOL_WORDS, "input_schema": TOOL_SCHEMA}]
        if ask.thinking:
            arguments["thinking"] = {"type": "enabled", "budget_tokens": 2048}
        if ask.stop:
            arguments["stop_sequences"] = [ask.stop]
        return arguments

    def _ask(self, arguments: dict[str, Any], stream: bool) -> tuple[Got, Any]:
        got = Got()
        if stream:
            with self.sdk.messages.stream(**arguments) as events:
                for event in events:
                    got.pieces += event.type == "content_block_delta" and event.delta.type == "text_delta"
                reply: Any = events.get_final_message()
        else:
            reply = self.sdk.messages.create(**arguments)
        for block in reply.content:
            if block.type == "text":
                got.text += block.text
            elif block.type == "thinking":
                got.thinking += block.thinking
            elif block.type == "tool_use":
                got.calls.append((block.name, block.input))
        got.stop = reply.stop_reason or ""
        usage = reply.usage
        cached, wrote = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
        told = usage.output_tokens_details
        got.counts = Counts(
            usage.input_tokens + (cached or 0) + (wrote or 0), cached, wrote, usage.output_tokens, told and told.thinking_tokens
        )
        return got, reply

    def say(self, ask: Ask) -> Got:
        return self._ask(self._arguments(ask), ask.stream)[0]

    def converse(self, ask: Ask) -> tuple[Got, Got]:
        arguments = self._arguments(ask)
        first, reply = self._ask(arguments, ask.stream)
        arguments["messages"].append(reply.to_param())
        results = [{"type": "tool_result", "tool_use_id": block.id, "content": WEATHER[block.input["city"]]}
                   for block in reply.content if block.type == "tool_use"]  # fmt: skip
        arguments["messages"].append({"role": "user", "content": results})
        return first, self._ask(arguments, ask.stream)[0]

    def count(self, ask: Ask) -> int:
        return self.sdk.messages.count_tokens(model=ask.model, messages=self._arguments(ask)["messages"]).input_tokens

    def leave(self, ask: Ask) -> None:
        with self.sdk.messages.stream(**self._arguments(ask)) as events:
            next(iter(events.text_stream))

    def status(self, error: Exception) -> int:
        return error.status_code if isinstance(error, anthropic.APIStatusError) else 0

    def header(self, error: Exception, name: str) -> str | None:
        return error.response.headers.get(name) if isinstance(error, anthropic.APIStatusError) else None

    def close(self) -> None:
        self.sdk.close()
