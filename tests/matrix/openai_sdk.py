"""The package `openai`: Chat Completions and Responses."""

from __future__ import annotations

import json
from typing import Any

import openai

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
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    529: openai.InternalServerError,
}


EMBEDDED = [0.25, -0.5, 0.75, 0.0]


class _OpenAI:
    errors = ERRORS
    broken: type[Exception] = openai.APIError
    no_thoughts = no_refusals = ""
    lacks = frozenset({"cache marks", "counting tokens"})

    def __init__(self, url: str, key: str) -> None:
        self.sdk = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=20)

    def status(self, error: Exception) -> int:
        return error.status_code if isinstance(error, openai.APIStatusError) else 0

    def header(self, error: Exception, name: str) -> str | None:
        return error.response.headers.get(name) if isinstance(error, openai.APIStatusError) else None

    def count(self, ask: Ask) -> int:
        raise NotImplementedError

    def close(self) -> None:
        self.sdk.close()


class Chat(_OpenAI):
    name = "openai, chat"
    dialect = "openai"

    def _arguments(self, ask: Ask) -> dict[str, Any]:
        content: list[dict[str, Any]] = [{"type": "text", "text": ask.text}]
        if ask.image:
            content.append({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG_64}"}})
        if ask.image_url:
            content.append({"type": "image_url", "image_url": {"url": IMAGE_URL}})
        if ask.document:
            content.append({"type": "file", "file": {"filename": "paper.pdf", "file_data": f"data:application/pdf;base64,{PDF_64}"}})
        messages: list[dict[str, Any]] = [{"role": "system", "content": ask.system}] if ask.system else []
        messages.append({"role": "user", "content": ask.text if len(content) == 1 else content})
        arguments: dict[str, Any] = {"model": ask.model, "messages": messages, "max_completion_tokens": ask.max_tokens}
        if ask.schema:
            style = {"name": "weather", "schema": SCHEMA, "strict": True}
            arguments["response_format"] = {"type": "json_schema", "json_schema": style}
        if ask.tools:
            tool = {"name": TOOL, "description": TOOL_WORDS, "parameters": TOOL_SCHEMA}
            arguments["tools"] = [{"type": "function", "function": tool}]
        if ask.thinking:
            arguments["reasoning_effort"] = "medium"
        if ask.stop:
            arguments["stop"] = [ask.stop]
        return arguments

    def _ask(self, arguments: dict[str, Any], stream: bool) -> tuple[Got, Any]:
        """What came, and the message to send back."""
        if not stream:
            reply = self.sdk.chat.completions.create(**arguments)
            choice = reply.choices[0]
            message = choice.message
            got = Got(
                message.content or message.refusal or "", getattr(message, "reasoning_content", None) or "", stop=choice.finish_reason
            )
            got.calls = [(call.function.name, json.loads(call.function.arguments or "{}")) for call in message.tool_calls or []
                         if call.type == "function"]  # fmt: skip
            got.counts = _counts(reply.usage)
            return got, message
        got = Got()
        calls: dict[int, dict[str, str]] = {}
        for chunk in self.sdk.chat.completions.create(**arguments, stream=True, stream_options={"include_usage": True}):
            if chunk.usage is not None:
                got.counts = _counts(chunk.usage)
            for piece in chunk.choices:
                delta = piece.delta
                got.pieces += bool(delta.content)
                got.text += delta.content or delta.refusal or ""
                got.thinking += getattr(delta, "reasoning_content", None) or ""
                got.stop = piece.finish_reason or got.stop
                for part in delta.tool_calls or []:
                    call = calls.setdefault(part.index, {"name": "", "arguments": ""})
                    if part.function is not None:
                        call["name"] += part.function.name or ""
                        call["arguments"] += part.function.arguments or ""
        listed = [calls[index] for index in sorted(calls)]
        got.calls = [(call["name"], json.loads(call["arguments"] or "{}")) for call in listed]
        return got, None

    def say(self, ask: Ask) -> Got:
        return self._ask(self._arguments(ask), ask.stream)[0]

    def _gathered(self, arguments: dict[str, Any]) -> tuple[Got, dict[str, Any]]:
        """With the package's own way of putting a stream together, which keeps fields that it does not know."""
        with self.sdk.chat.completions.stream(**arguments, stream_options={"include_usage": True}) as events:
            pieces = sum(event.type == "content.delta" for event in events)
            reply = events.get_final_completion()
        message = reply.choices[0].message
        got = Got(message.content or "", getattr(message, "reasoning_content", ""), stop=reply.choices[0].finish_reason, pieces=pieces)
        got.calls = [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or []]
        got.counts = _counts(reply.usage)
        # What it adds itself must not be sent back.
        added: Any = {"parsed": True, "tool_calls": {"__all__": {"index": True, "function": {"parsed_arguments"}}}}
        return got, message.model_dump(exclude=added, exclude_none=True)

    def converse(self, ask: Ask) -> tuple[Got, Got]:
        arguments = self._arguments(ask)
        first, message = self._gathered(arguments) if ask.stream else self._ask(arguments, stream=False)
        arguments["messages"].append(message)
        calls = message["tool_calls"] if isinstance(message, dict) else [call.model_dump() for call in message.tool_calls]
        for call in calls:
            city = json.loads(call["function"]["arguments"])["city"]
            arguments["messages"].append({"role": "tool", "tool_call_id": call["id"], "content": WEATHER[city]})
        return first, self._ask(arguments, ask.stream)[0]

    def leave(self, ask: Ask) -> None:
        with self.sdk.chat.completions.create(**self._arguments(ask), stream=True) as stream:
            next(chunk for chunk in stream if chunk.choices and chunk.choices[0].delta.content)


def _counts(usage: Any) -> Counts:
    told, wrote = usage.prompt_tokens_details, usage.completion_tokens_details
    return Counts(usage.prompt_tokens, told and told.cached_tokens, told and told.cache_write_tokens, usage.completion_tokens,
                  wrote and wrote.reasoning_tokens)  # fmt: skip


class Responses(_OpenAI):
    name = "openai, responses"
    dialect = "responses"
    lacks = frozenset({"cache marks", "stop sequences", "embeddings"})

    def count(self, ask: Ask) -> int:
        arguments = self._arguments(ask)
        return self.sdk.responses.input_tokens.count(model=ask.model, input=arguments["input"]).input_tokens

    def _arguments(self, ask: Ask) -> dict[str, Any]:
        content: list[dict[str, Any]] = [{"type": "input_text", "text": ask.text}]
        if ask.image:
            content.append({"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{PNG_64}"})
        if ask.image_url:
            content.append({"type": "input_image", "detail": "auto", "image_url": IMAGE_URL})
        if ask.document:
            content.append({"type": "input_file", "filename": "paper.pdf", "file_data": f"data:application/pdf;base64,{PDF_64}"})
        arguments: dict[str, Any] = {
            "model": ask.model,
            "input": [{"role": "user", "content": content}],
            "max_output_tokens": ask.max_tokens,
            "store": False,
        }
        if ask.system:
            arguments["instructions"] = ask.system
        if ask.schema:
            arguments["text"] = {"format": {"type": "json_schema", "name": "weather", "schema": SCHEMA, "strict": True}}
        if ask.tools:
            arguments["tools"] = [{"type": "function", "name": TOOL, "description": TOOL_WORDS, "parameters": TOOL_SCHEMA, "strict": False}]
        if ask.thinking:
            arguments["reasoning"] = {"effort": "medium", "summary": "auto"}
            arguments["include"] = ["reasoning.encrypted_content"]
        return arguments

    def _ask(self, arguments: dict[str, Any], stream: bool) -> tuple[Got, Any]:
        got = Got()
        if stream:
            reply = None
            numbers = []
            for event in self.sdk.responses.create(**arguments, stream=True):
                if event.type == "error":
                    raise openai.APIError(event.message, request=None, body=None)  # type: ignore[arg-type]  # as the package does
                numbers.append(event.sequence_number)
                got.pieces += event.type == "response.output_text.delta"
                if event.type in ("response.completed", "response.incomplete", "response.failed"):
                    reply = event.response
            assert reply is not None, "the stream had no last event"
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), numbers
            if reply.status == "failed":
                raise openai.APIError(reply.error.message, request=None, body=None)  # type: ignore[arg-type,union-attr]
        else:
            reply = self.sdk.responses.create(**arguments)
        got.text = reply.output_text
        for item in reply.output:
            if item.type == "reasoning":
                got.thinking += "".join(part.text for part in item.summary) or "".join(part.text for part in item.content or [])
            elif item.type == "function_call":
                got.calls.append((item.name, json.loads(item.arguments or "{}")))
            elif item.type == "message":
                got.text += "".join(part.refusal for part in item.content if part.type == "refusal")
        why = reply.incomplete_details
        got.stop = (why.reason or "") if why is not None else str(reply.status)
        usage = reply.usage
        assert usage is not None
        got.counts = Counts(
            usage.input_tokens,
            usage.input_tokens_details.cached_tokens,
            usage.input_tokens_details.cache_write_tokens,
            usage.output_tokens,
            usage.output_tokens_details.reasoning_tokens,
        )
        return got, reply

    def say(self, ask: Ask) -> Got:
        return self._ask(self._arguments(ask), ask.stream)[0]

    def converse(self, ask: Ask) -> tuple[Got, Got]:
        arguments = self._arguments(ask)
        first, reply = self._ask(arguments, ask.stream)
        arguments["input"] += [item.model_dump(exclude_none=True) for item in reply.output]
        for item in reply.output:
            if item.type == "function_call":
                told = WEATHER[json.loads(item.arguments)["city"]]
                arguments["input"].append({"type": "function_call_output", "call_id": item.call_id, "output": told})
        return first, self._ask(arguments, ask.stream)[0]

    def leave(self, ask: Ask) -> None:
        with self.sdk.responses.create(**self._arguments(ask), stream=True) as stream:
            next(event for event in stream if event.type == "response.output_text.delta")
