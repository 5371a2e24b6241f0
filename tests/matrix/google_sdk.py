"""The package `google-genai`."""

from __future__ import annotations

from typing import Any

from google import genai
from google.genai import errors as google_errors
from google.genai import types

from tests.matrix.exchange import (
    IMAGE_URL,
    PDF,
    PNG,
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
    **dict.fromkeys((400, 401, 403, 404, 429), google_errors.ClientError),
    **dict.fromkeys((500, 529), google_errors.ServerError),
}


class Gemini:
    name = "google-genai"
    dialect = "gemini"
    errors = ERRORS
    broken: type[Exception] = google_errors.APIError
    no_thoughts = no_refusals = ""
    lacks = frozenset({"cache marks", "embeddings"})

    def __init__(self, url: str, key: str) -> None:
        self.sdk = genai.Client(
            api_key=key,
            vertexai=False,
            http_options=types.HttpOptions(base_url=url, timeout=20_000),
        )

    def _contents(self, ask: Ask) -> list[types.Content]:
        parts = [types.Part.from_text(text=ask.text)]
        if ask.image:
            parts.append(types.Part.from_bytes(data=PNG, mime_type="image/png"))
        if ask.image_url:
            parts.append(types.Part.from_uri(file_uri=IMAGE_URL, mime_type="image/png"))
        if ask.document:
            parts.append(types.Part.from_bytes(data=PDF, mime_type="application/pdf"))
        return [types.Content(role="user", parts=parts)]

    def _config(self, ask: Ask) -> types.GenerateContentConfig:
        config = types.GenerateContentConfig(max_output_tokens=ask.max_tokens)
        if ask.system:
            config.system_instruction = ask.system
        if ask.schema:
            config.response_mime_type = "application/json"
            config.response_json_schema = SCHEMA
        if ask.tools:
            tool = types.FunctionDeclaration(name=TOOL, description=TOOL_WORDS, parameters_json_schema=TOOL_SCHEMA)
            config.tools = [types.Tool(function_declarations=[tool])]
            config.automatic_function_calling = types.AutomaticFunctionCallingConfig(disable=True)
        if ask.thinking:
            config.thinking_config = types.ThinkingConfig(include_thoughts=True, thinking_budget=2048)
        if ask.stop:
            config.stop_sequences = [ask.stop]
        return config

    def _ask(self, ask: Ask, contents: list[types.Content]) -> tuple[Got, types.Content]:
        arguments: dict[str, Any] = {"model": ask.model, "contents": contents, "config": self._config(ask)}
        if ask.stream:
            replies = list(self.sdk.models.generate_content_stream(**arguments))
        else:
            replies = [self.sdk.models.generate_content(**arguments)]
        got = Got()
        whole: list[types.Part] = []
        for reply in replies:
            for candidate in reply.candidates or []:
                got.stop = candidate.finish_reason.name if candidate.finish_reason else got.stop
                for part in (candidate.content.parts if candidate.content else None) or []:
                    whole.append(part)
                    if part.function_call is not None:
                        got.calls.append((part.function_call.name or "", part.function_call.args or {}))
                    elif part.thought:
                        got.thinking += part.text or ""
                    elif part.text:
                        got.text += part.text
                        got.pieces += 1
            usage = reply.usage_metadata
            if usage is not None and usage.prompt_token_count is not None:
                thoughts = usage.thoughts_token_count
                spoken = (usage.candidates_token_count or 0) + (thoughts or 0)
                got.counts = Counts(usage.prompt_token_count, usage.cached_content_token_count, None, spoken, thoughts)
        return got, types.Content(role="model", parts=whole)

    def say(self, ask: Ask) -> Got:
        return self._ask(ask, self._contents(ask))[0]

    def converse(self, ask: Ask) -> tuple[Got, Got]:
        contents = self._contents(ask)
        first, said = self._ask(ask, contents)
        results = []
        for part in said.parts or []:
            if (call := part.function_call) is not None:
                answer = types.FunctionResponse(id=call.id, name=call.name, response={"output": WEATHER[(call.args or {})["city"]]})
                results.append(types.Part(function_response=answer))
        return first, self._ask(ask, [*contents, said, types.Content(role="user", parts=results)])[0]

    def count(self, ask: Ask) -> int:
        return self.sdk.models.count_tokens(model=ask.model, contents=self._contents(ask)).total_tokens or 0

    def leave(self, ask: Ask) -> None:
        stream = self.sdk.models.generate_content_stream(model=ask.model, contents=self._contents(ask), config=self._config(ask))
        next(iter(stream))
        stream.close()  # type: ignore[attr-defined]  # a generator

    def status(self, error: Exception) -> int:
        return error.code if isinstance(error, google_errors.APIError) else 0

    def header(self, error: Exception, name: str) -> str | None:
        return error.response.headers.get(name) if isinstance(error, google_errors.APIError) else None

    def close(self) -> None:
        self.sdk.close()
