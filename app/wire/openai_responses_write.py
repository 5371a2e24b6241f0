"""Requests of responses, written from the neutral call. Nothing is stored at the provider unless the client asked for it.

Source: the package `openai` (3.54: types/responses/response_create_params, response_input_item_param).
"""

from __future__ import annotations

import re
from typing import Final

from app.wire import carry, openai_family
from app.wire.chat import (
    Call,
    Choice,
    Facts,
    Format,
    Losses,
    Media,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refused,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    inexpressible,
    plain,
)
from app.wire.openai_responses_read import unpack
from app.wire.shape import Table

NAME: Final = "responses"
_ENCRYPTED: Final = "reasoning.encrypted_content"
# Models that think; the others refuse to be asked for their thoughts.
_REASONS: Final = re.compile(r"(?:^|/)(?:o\d|gpt-(?:[5-9]|\d\d)|codex)")
_LOGPROBS: Final = "message.output_text.logprobs"


def write(call: Call, facts: Facts, losses: Losses) -> Table:
    """AppError not_expressible."""
    own = call.origin == NAME
    out: Table = {"model": facts.model}
    messages = call.messages
    # A prompt of the system alone is the input: without one the request is refused.
    if len(messages) > 1 and messages[0].role == "system" and all(isinstance(part, Text) for part in messages[0].parts):
        out["instructions"] = plain(messages[0].parts)
        _note_cache(messages[0].parts, losses)
        messages = messages[1:]
    items: list[Table] = []
    for message in messages:
        _items(items, message, losses, own=own)
    out["input"] = items
    tools = [_tool(tool, losses, own=own) for tool in call.tools]
    if tools:
        out["tools"] = tools
        if call.choice is not None:
            out["tool_choice"] = _choice(call, call.choice)
        if call.parallel is not None:
            out["parallel_tool_calls"] = call.parallel
    include = []
    most = call.max_tokens if own else openai_family.fit_max_tokens(call.max_tokens, facts.model)
    if call.logprobs:
        include.append(_LOGPROBS)
    given = {
        "max_output_tokens": None if most is None else max(most, 16),  # its least
        "temperature": call.temperature, "top_p": call.top_p, "top_logprobs": call.top_logprobs if call.logprobs else None,
        "metadata": call.metadata, "prompt_cache_key": call.cache_key or None,
        "service_tier": call.service_tier if call.origin in ("openai", NAME) and call.service_tier else None,
    }  # fmt: skip
    out.update({name: value for name, value in given.items() if value is not None})
    if call.max_tokens is not None and call.max_tokens < 16:
        losses.drop("max_tokens")
    text: Table = {}
    if call.format is not None:
        text["format"] = _format(call.format)
    if call.verbosity:
        text["verbosity"] = call.verbosity
    if text:
        out["text"] = text
    thinking = _reasoning(call.reasoning)
    if thinking and not own:
        thinking = _fit_reasoning(thinking, facts.model, losses)
    if thinking:
        out["reasoning"] = thinking
    if call.user:
        out["safety_identifier"] = call.user if len(call.user) <= 64 else carry.fit_id(call.user)
    if not own:
        out["store"] = bool(call.store)
        if _REASONS.search(facts.model):
            include.append(_ENCRYPTED)
        _lost(call, losses)
    if include:
        out["include"] = include
    if own:
        out.update({name: value for name, value in call.extra.items() if "." not in name})
        out.update(call.vital)
        out.update(call.verbatim)
    if call.stream:
        out["stream"] = True
    return out


def _lost(call: Call, losses: Losses) -> None:
    names = {
        "stop": call.stop or None, "seed": call.seed, "top_k": call.top_k, "cache_control": call.cache,
        "frequency_penalty": call.frequency_penalty or None, "presence_penalty": call.presence_penalty or None,
        "service_tier": call.service_tier if call.service_tier and call.origin != "openai" else None,
    }  # fmt: skip
    if call.stop:
        raise inexpressible("stop", "the Responses API cannot stop at a text.")
    losses.drop(*[name for name, value in names.items() if value is not None])


def _reasoning(wanted: Reasoning | None) -> Table:
    if wanted is None:
        return {}
    out: Table = {}
    effort = wanted.effort
    if not effort and wanted.budget is not None and wanted.budget >= 0:
        budget = wanted.budget
        effort = "high" if budget >= 4096 else "medium" if budget >= 2048 else "low" if budget >= 1024 else "minimal" if budget else "none"
    if effort:
        out["effort"] = effort
    if wanted.summary:
        out["summary"] = wanted.summary
    elif wanted.shown and effort != "none":
        out["summary"] = "auto"
    return out


def _fit_reasoning(given: Table, model: str, losses: Losses) -> Table:
    effort = given.get("effort", "")
    fit = openai_family.fit_effort(effort, model)
    if openai_family.UNTHINKING.search(model):
        if effort != "none":
            losses.drop("reasoning_effort")
        return {}
    if effort != fit:
        losses.drop("reasoning_effort")
    return {**{name: value for name, value in given.items() if name != "effort"}, **({"effort": fit} if fit else {})}


def _note_cache(parts: list[Part], losses: Losses) -> None:
    if any(isinstance(part, Text | Media) and part.cache is not None for part in parts):
        losses.drop("cache_control")


def _items(out: list[Table], message: Message, losses: Losses, *, own: bool) -> None:
    if message.name:
        losses.drop("messages.name")
    if not own:
        losses.drop_all(message.extra, "messages.")
    _note_cache(message.parts, losses)
    if message.role == "assistant":
        _assistant(out, message, losses, own=own)
        return
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    out += [_result(part, losses) for part in results]
    content: list[Table] = []
    for part in message.parts:
        if isinstance(part, Text):
            content.append({"type": "input_text", "text": part.text})
        elif isinstance(part, Media):
            content.append(_media(part, losses))
        elif isinstance(part, Opaque):
            if message.role == "user" and not part.kind.startswith("input_"):
                out.append(part.value)
            else:
                content.append(part.value)
    if content or not message.parts:
        out.append({"type": "message", "role": message.role, "content": content})


def _assistant(out: list[Table], message: Message, losses: Losses, *, own: bool) -> None:
    """In the order in which it was said: the thought belongs before what it led to."""
    for part in message.parts:
        if isinstance(part, Text | Refused):
            said: Table = (
                {"type": "output_text", "text": part.text} if isinstance(part, Text) else {"type": "refusal", "refusal": part.text}
            )
            if out and out[-1].get("role") == "assistant":
                out[-1]["content"].append(said)
            else:
                out.append({"type": "message", "role": "assistant", "content": [said], **(message.extra if own else {})})
        elif isinstance(part, Thinking):
            if part.origin == NAME and part.signature:
                identifier, sealed = unpack(part.signature)
                item: Table = {"type": "reasoning", "id": identifier, "summary": _summary(part.text)}
                if sealed:
                    item["encrypted_content"] = sealed
                out.append(item)
            elif part.text:
                losses.drop("thinking")
        elif isinstance(part, ToolCall):
            kind, name = ("custom_tool_call", "input") if part.custom else ("function_call", "arguments")
            arguments = part.arguments if part.custom else part.arguments or "{}"
            out.append({"type": kind, "call_id": carry.fit_id(part.id), "name": part.name, name: arguments, **(part.extra if own else {})})
            if part.cache is not None:
                losses.drop("cache_control")
        elif isinstance(part, Opaque):
            out.append(part.value)
        elif isinstance(part, Media):
            raise inexpressible("messages.content", "an assistant's message cannot hold pictures.")


def _summary(text: str) -> list[Table]:
    return [{"type": "summary_text", "text": text}] if text else []


def _result(part: ToolResult, losses: Losses) -> Table:
    if part.cache is not None or any(inner.cache for inner in part.parts):
        losses.drop("cache_control")
    kind = "custom_tool_call_output" if part.custom else "function_call_output"
    said = plain(part.parts)
    if part.error and said[:5].lower() != "error":
        said = f"Error: {said}"
    if not any(isinstance(inner, Media) for inner in part.parts):
        return {"type": kind, "call_id": carry.fit_id(part.id), "output": said}
    content = [{"type": "input_text", "text": inner.text} if isinstance(inner, Text) else _media(inner, losses) for inner in part.parts]
    if part.error:
        content.insert(0, {"type": "input_text", "text": "Error:"})
    return {"type": kind, "call_id": carry.fit_id(part.id), "output": content}


def _media(part: Media, losses: Losses) -> Table:
    losses.drop_all(part.extra, "content.")
    if part.text is not None:
        return {"type": "input_text", "text": f"{part.name}\n\n{part.text}" if part.name else part.text}
    if part.kind == "image":
        out: Table = {"type": "input_image", "detail": part.detail or "auto"}
        if part.file_id:
            out["file_id"] = part.file_id
        else:
            out["image_url"] = part.url or f"data:{part.media_type or 'image/png'};base64,{part.data}"
        return out
    if part.kind == "document":
        if part.file_id:
            return {"type": "input_file", "file_id": part.file_id}
        if part.url:
            return {"type": "input_file", "file_url": part.url}
        kind = part.media_type or "application/pdf"
        name = part.name or f"document.{kind.rpartition('/')[2]}"
        return {"type": "input_file", "filename": name, "file_data": f"data:{kind};base64,{part.data}"}
    raise inexpressible(f"content.{part.kind}", "the Responses API takes neither sound nor film.")


def _tool(tool: Tool, losses: Losses, *, own: bool) -> Table:
    if tool.hosted is not None:
        return tool.hosted
    if tool.cache is not None:
        losses.drop("cache_control")
    out: Table = {"type": "custom" if tool.custom else "function", "name": tool.name}
    if tool.description:
        out["description"] = tool.description
    if tool.custom:
        if tool.grammar is not None:
            inner = tool.grammar.get("grammar")
            out["format"] = {"type": "grammar", **inner} if isinstance(inner, dict) else tool.grammar
        return out
    out["parameters"] = tool.schema if tool.schema is not None else {"type": "object", "properties": {}}
    # Left out it means true here and false in the other dialects.
    out["strict"] = bool(tool.strict) if not own else tool.strict
    if own:
        out.update(tool.extra)
    else:
        losses.drop_all(tool.extra, "tools.")
    return out


def _choice(call: Call, choice: Choice) -> str | Table:
    kinds = {tool.name: "custom" if tool.custom else "function" for tool in call.tools}
    if choice.mode == "tool":
        kind = kinds.get(choice.names[0], choice.names[0])
        return {"type": kind, "name": choice.names[0]} if kind in ("custom", "function") else {"type": kind}
    if choice.names:
        tools = [{"type": kinds.get(name, "function"), "name": name} for name in choice.names]
        return {"type": "allowed_tools", "mode": choice.mode, "tools": tools}
    return choice.mode


def _format(given: Format) -> Table:
    if given.kind == "text":
        return {"type": "text"}
    if given.kind == "json":
        return {"type": "json_object"}
    out: Table = {"type": "json_schema", "name": given.name or "answer", "schema": given.schema or {}}
    if given.strict is not None:
        out["strict"] = given.strict
    if given.description:
        out["description"] = given.description
    return out
