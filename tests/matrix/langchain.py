"""The packages `langchain-openai` and `langchain-anthropic`."""

from __future__ import annotations

import os
from typing import Any

os.environ.update({"LANGSMITH_TRACING": "false", "LANGCHAIN_TRACING_V2": "false"})  # before the import: they report to nobody

import anthropic
import openai
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI

from tests.matrix import anthropic_sdk, openai_sdk
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

_TOOL = {"type": "function", "function": {"name": TOOL, "description": TOOL_WORDS, "parameters": TOOL_SCHEMA}}


class _LangChain:
    name = ""
    dialect = ""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.key = url, key

    def _model(self, ask: Ask) -> BaseChatModel:
        raise NotImplementedError

    def _schema(self) -> dict[str, Any]:
        """How a schema is bound: https://docs.langchain.com on structured output."""
        raise NotImplementedError

    def _stop(self, reply: AIMessage) -> str:
        raise NotImplementedError

    def _messages(self, ask: Ask) -> list[BaseMessage]:
        content: list[Any] = [{"type": "text", "text": ask.text}]
        if ask.image:
            content.append({"type": "image", "base64": PNG_64, "mime_type": "image/png"})
        if ask.image_url:
            content.append({"type": "image", "url": IMAGE_URL})
        if ask.document:
            content.append({"type": "file", "base64": PDF_64, "mime_type": "application/pdf", "filename": "paper.pdf"})
        messages: list[BaseMessage] = []
        if ask.system:
            mark = {"cache_control": {"type": "ephemeral"}} if ask.cache else {}
            messages.append(SystemMessage([{"type": "text", "text": ask.system, **mark}]))
        return [*messages, HumanMessage(content)]

    def _ask(self, ask: Ask, messages: list[BaseMessage]) -> tuple[Got, AIMessage]:
        bound: dict[str, Any] = {"stop": [ask.stop]} if ask.stop else {}
        if ask.schema:
            bound |= self._schema()
        if ask.tools:
            model: Any = self._model(ask).bind_tools([_TOOL])
        else:
            model = self._model(ask)
        got = Got()
        if ask.stream:
            reply: Any = None
            for chunk in model.stream(messages, **bound):
                reply = chunk if reply is None else reply + chunk
                got.pieces += bool(chunk.text)
            assert reply is not None
        else:
            reply = model.invoke(messages, **bound)
        got.text = str(reply.text) or reply.additional_kwargs.get("refusal", "")
        got.thinking = "".join(str(block.get("reasoning", "")) for block in reply.content_blocks if block["type"] == "reasoning")
        got.calls = [(call["name"], call["args"]) for call in reply.tool_calls]
        got.stop = self._stop(reply)
        if (usage := reply.usage_metadata) is not None:
            told, spent = usage.get("input_token_details", {}), usage.get("output_token_details", {})
            wrote = told.get("cache_creation")
            if not wrote and "ephemeral_5m_input_tokens" in told:
                wrote = told["ephemeral_5m_input_tokens"]
            got.counts = Counts(usage["input_tokens"], told.get("cache_read"), wrote, usage["output_tokens"], spent.get("reasoning"))
        return got, reply

    def say(self, ask: Ask) -> Got:
        return self._ask(ask, self._messages(ask))[0]

    def converse(self, ask: Ask) -> tuple[Got, Got]:
        messages = self._messages(ask)
        first, reply = self._ask(ask, messages)
        results = [ToolMessage(WEATHER[call["args"]["city"]], tool_call_id=call["id"]) for call in reply.tool_calls]
        return first, self._ask(ask, [*messages, reply, *results])[0]

    def leave(self, ask: Ask) -> None:
        stream = self._model(ask).stream(self._messages(ask))
        next(chunk for chunk in stream if chunk.text)
        stream.close()  # type: ignore[attr-defined]  # a generator

    def count(self, ask: Ask) -> int:
        raise NotImplementedError

    def close(self) -> None:
        pass


class OpenAI(_LangChain):
    name = "langchain-openai"
    dialect = "openai"
    errors = openai_sdk.ERRORS
    broken: type[Exception] = openai.APIError
    no_thoughts = "langchain-openai reads no thoughts from Chat Completions"
    no_refusals = "langchain-openai reads no streamed refusal"
    lacks = frozenset({"cache marks", "counting tokens", "embeddings"})

    def _model(self, ask: Ask) -> BaseChatModel:
        more: dict[str, Any] = {"reasoning_effort": "medium"} if ask.thinking else {}
        return ChatOpenAI(model=ask.model, base_url=f"{self.url}/v1", api_key=self.key, max_retries=0, timeout=20, stream_usage=True,
                          max_completion_tokens=ask.max_tokens, **more)  # type: ignore[call-arg,arg-type]  # fmt: skip

    def _schema(self) -> dict[str, Any]:
        style = {"name": "weather", "schema": SCHEMA, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": style}}

    def _stop(self, reply: AIMessage) -> str:
        return str(reply.response_metadata.get("finish_reason", ""))

    def status(self, error: Exception) -> int:
        return error.status_code if isinstance(error, openai.APIStatusError) else 0

    def header(self, error: Exception, name: str) -> str | None:
        return error.response.headers.get(name) if isinstance(error, openai.APIStatusError) else None


class Anthropic(_LangChain):
    name = "langchain-anthropic"
    dialect = "anthropic"
    errors = anthropic_sdk.ERRORS
    broken: type[Exception] = anthropic.APIStatusError
    no_thoughts = no_refusals = ""
    lacks = frozenset({"counting tokens", "embeddings"})

    def _model(self, ask: Ask) -> BaseChatModel:
        more: dict[str, Any] = {"thinking": {"type": "enabled", "budget_tokens": 2048}} if ask.thinking else {}
        return ChatAnthropic(model_name=ask.model, base_url=self.url, api_key=self.key, max_retries=0, timeout=20,
                             max_tokens_to_sample=ask.max_tokens, **more)  # type: ignore[call-arg,arg-type]  # fmt: skip

    def _schema(self) -> dict[str, Any]:
        return {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}

    def _stop(self, reply: AIMessage) -> str:
        return str(reply.response_metadata.get("stop_reason", ""))

    def status(self, error: Exception) -> int:
        return error.status_code if isinstance(error, anthropic.APIStatusError) else 0

    def header(self, error: Exception, name: str) -> str | None:
        return error.response.headers.get(name) if isinstance(error, anthropic.APIStatusError) else None
