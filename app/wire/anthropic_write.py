"""Requests of messages, written from the neutral call.

Sources: the package `anthropic` (2.12: types/message_create_params), the API's documentation on thinking, tool use and structured
outputs, and its own error messages where these say more.
"""

from __future__ import annotations

import re
from typing import Final

from app.core.errors import AppError
from app.wire import anthropic_schema, carry, shape
from app.wire.chat import (
    Call,
    Facts,
    Format,
    Losses,
    Media,
    Message,
    Opaque,
    Part,
    Refused,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    inexpressible,
)
from app.wire.shape import Table

NAME: Final = "anthropic"

_VERSION: Final = re.compile(r"claude-(?:[a-z]+-)?(\d+)(?:[-.](\d{1,2})(?!\d))?")
_BUDGETS: Final = {"minimal": 1024, "low": 1024, "medium": 2048, "high": 4096, "xhigh": 8192, "max": 16384}
_EFFORTS: Final = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_LEAST_BUDGET: Final = 1024
_IMAGES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_JSON: Final = "Answer with one JSON object and nothing else."
_SCHEMA: Final = "Answer with one JSON value and nothing else. It must be valid against this JSON schema:\n"


def version(model: str) -> tuple[int, int] | None:
    """Of a Claude model; None for any other."""
    found = _VERSION.search(model)
    return (int(found[1]), int(found[2] or 0)) if found else None


def default_max_tokens(model: str) -> int:
    """What a model of this generation can give out, as the API's model overview says; a careful number for others."""
    known = version(model)
    if known is None:
        return 8_192
    if known < (3, 5):
        return 4_096
    if known < (3, 7):
        return 8_192
    return 32_000 if "opus" in model and known < (4, 5) else 64_000


def write(call: Call, facts: Facts, losses: Losses) -> Table:
    """AppError not_expressible, body_invalid (no message at all)."""
    own = call.origin == NAME
    known = version(facts.model)
    out: Table = {"model": facts.model}
    most = call.max_tokens
    limit = facts.max_tokens or default_max_tokens(facts.model)
    if most is not None and not own and (known is not None or facts.max_tokens):
        most = min(most, limit)  # more than the model can give out is refused
    out["max_tokens"] = most if most is not None else limit
    system, turns = _turns(call, losses, own=own)
    _reason(out, call, known, turns, losses, own=own)
    form = call.format
    if form is not None and not own and form.kind != "text":
        system += _format(out, form, known, losses)
    if system:
        out["system"] = system if any(len(block) > 2 for block in system) or len(system) > 1 or own else system[0]["text"]
    out["messages"] = turns
    _tools(out, call, known, losses, own=own)
    _sampling(out, call, known, losses, own=own)
    if call.stop:
        # Blank sequences are refused by the API.
        kept = [stop for stop in call.stop if stop.strip()]
        if len(kept) < len(call.stop):
            losses.drop("stop")
        if kept:
            out["stop_sequences"] = kept
    if own:
        out.update(call.extra)
        out.update(call.vital)
        out.update(call.verbatim)
        if call.service_tier:
            out["service_tier"] = call.service_tier
        if call.cache is not None:
            out["cache_control"] = call.cache
    elif call.user:
        out["metadata"] = {"user_id": call.user[:256]}
    if not own:
        names = {
            "seed": call.seed, "frequency_penalty": call.frequency_penalty or None, "presence_penalty": call.presence_penalty or None,
            "logprobs": call.logprobs or None, "top_logprobs": call.top_logprobs or None, "metadata": call.metadata or None,
            "service_tier": call.service_tier or None, "prompt_cache_key": call.cache_key or None, "verbosity": call.verbosity or None,
            "store": call.store or None,
        }  # fmt: skip
        losses.drop(*[name for name, value in names.items() if value is not None])
    if call.stream:
        out["stream"] = True
    return out


def _sampling(out: Table, call: Call, known: tuple[int, int] | None, losses: Losses, *, own: bool) -> None:
    given: Table = {
        name: value
        for name, value in (("temperature", call.temperature), ("top_p", call.top_p), ("top_k", call.top_k))
        if value is not None
    }
    if own:
        out.update(given)
        return
    thinking = "thinking" in out and out["thinking"]["type"] != "disabled"
    if known is not None and known >= (4, 7):
        losses.drop(*given)  # later models choose for themselves and refuse these
        return
    if thinking:
        losses.drop(*[name for name in ("temperature", "top_k") if name in given and given[name] != 1])
        given = {"top_p": given["top_p"]} if given.get("top_p", 0) >= 0.95 else {}
        if call.top_p is not None and not given:
            losses.drop("top_p")
    if given.get("temperature", 0) > 1:
        given["temperature"] = 1
        losses.drop("temperature")
    if known is not None and known >= (4, 1) and "temperature" in given and "top_p" in given:
        del given["top_p"]  # one of the two, says the API
        losses.drop("top_p")
    out.update(given)


def _reason(out: Table, call: Call, known: tuple[int, int] | None, turns: list[Table], losses: Losses, *, own: bool) -> None:
    """Adds `thinking`, and for models that choose themselves `output_config.effort`."""
    wanted = call.reasoning
    if wanted is None or own:
        return
    forced = call.choice is not None and call.choice.mode in ("required", "tool") and bool(call.tools)
    if wanted.effort == "none" or wanted.budget == 0:
        if known is None or known < (5, 0):
            out["thinking"] = {"type": "disabled"}
        return
    if known is not None and known >= (4, 6):
        if forced:
            losses.drop("reasoning_effort")
            return
        out["thinking"] = {"type": "adaptive", "display": "summarized"} if known >= (4, 7) else {"type": "adaptive"}
        effort = _EFFORTS.get(wanted.effort or _effort(wanted.budget), "")
        if effort == "xhigh" and known < (4, 7):
            effort = "high"
        if effort:
            out["output_config"] = {"effort": effort}
        return
    if known is not None and known < (3, 7):
        losses.drop("reasoning_effort")
        return
    budget = wanted.budget if wanted.budget is not None and wanted.budget > 0 else _BUDGETS.get(wanted.effort, 2048)
    budget = max(budget, _LEAST_BUDGET)
    if call.max_tokens is None:
        out["max_tokens"] = max(out["max_tokens"], budget + 4096)
    elif budget >= out["max_tokens"]:
        budget = out["max_tokens"] - 1
    if budget < _LEAST_BUDGET or forced or not _thoughtful(turns):
        losses.drop("reasoning_effort")
        return
    out["thinking"] = {"type": "enabled", "budget_tokens": budget}


def _effort(budget: int | None) -> str:
    if budget is None or budget < 0:
        return ""
    return "high" if budget >= 4096 else "medium" if budget >= 2048 else "low"


def _thoughtful(turns: list[Table]) -> bool:
    """Whether thinking may be on: while tools are being called, the turn that called them must begin with its sealed thought."""
    for turn in reversed(turns):
        if turn["role"] == "assistant":
            if not any(block["type"] == "tool_use" for block in turn["content"]):
                return True
            return turn["content"][0]["type"] in ("thinking", "redacted_thinking")
        if not any(block["type"] == "tool_result" for block in turn["content"]):
            return True
    return True


def _format(out: Table, form: Format, known: tuple[int, int] | None, losses: Losses) -> list[Table]:
    """Adds the schema where the model takes one; else what the system prompt must say."""
    if form.kind == "schema" and form.schema is not None:
        if known is not None and known >= (4, 5):
            schema = anthropic_schema.fitted(form.schema)
            if anthropic_schema.lost(form.schema, schema):
                losses.drop("response_format")  # a part of it is said in words
            out["output_config"] = {**out.get("output_config", {}), "format": {"type": "json_schema", "schema": schema}}
            return []
        losses.drop("response_format")  # asked for in words, which promises less
        return [{"type": "text", "text": _SCHEMA + shape.as_json(form.schema)}]
    losses.drop("response_format")
    return [{"type": "text", "text": _JSON}]


def _tools(out: Table, call: Call, known: tuple[int, int] | None, losses: Losses, *, own: bool) -> None:
    choice = call.choice
    tools = call.tools
    if choice is not None and choice.mode != "tool" and choice.names:
        allowed = set(choice.names)
        tools = [tool for tool in tools if tool.name in allowed]
    if not tools:
        # A conversation with calls in it needs their tools, even when none may be called any more.
        called = {part.name: None for message in call.messages for part in message.parts if isinstance(part, ToolCall)}
        if called and not own:
            out["tools"] = [{"name": name, "input_schema": {"type": "object"}} for name in called]
            out["tool_choice"] = {"type": "none"}
        return
    out["tools"] = [_tool(tool, known, losses, own=own) for tool in tools]
    alone = call.parallel is False
    if choice is None and not alone and not (own and call.parallel is not None):
        return
    mode = choice.mode if choice is not None else "auto"
    written: Table = {"type": {"auto": "auto", "none": "none", "required": "any", "tool": "tool"}[mode]}
    if choice is not None and mode == "tool":
        written["name"] = choice.names[0]
    if mode != "none" and (alone or (own and call.parallel is not None)):
        written["disable_parallel_tool_use"] = alone
    out["tool_choice"] = written


def _tool(tool: Tool, known: tuple[int, int] | None, losses: Losses, *, own: bool) -> Table:
    if tool.hosted is not None:
        return tool.hosted
    written: Table = {"name": tool.name}
    if tool.description:
        written["description"] = tool.description
    schema = tool.schema or {}
    written["input_schema"] = schema if schema.get("type") == "object" or own else {**schema, "type": "object"}
    if tool.strict is not None:
        takes = known is not None and known >= (4, 5) and not anthropic_schema.lost(schema, anthropic_schema.fitted(schema))
        if own or (tool.strict and takes):
            written["strict"] = tool.strict
        elif tool.strict:
            losses.drop("tools.strict")
    if tool.cache is not None:
        written["cache_control"] = tool.cache
    if own:
        written.update(tool.extra)
    else:
        losses.drop_all(tool.extra, "tools.")
    return written


def _turns(call: Call, losses: Losses, *, own: bool) -> tuple[list[Table], list[Table]]:
    """The system prompt's blocks, and the turns: roles alternate, results stand before the text of their turn."""
    system: list[Table] = []
    turns: list[Table] = []
    for at, message in enumerate(call.messages):
        if message.name:
            losses.drop("messages.name")
        if not own:
            losses.drop_all(message.extra, "messages.")
        if message.role in ("system", "developer"):
            blocks = _blocks(message, losses, own=own)
            if own and at > 0:
                turns.append({"role": "system", "content": blocks})
            else:
                if turns and blocks:
                    losses.drop("messages.order")  # its one system prompt stands before everything
                system += blocks
            continue
        blocks = _blocks(message, losses, own=own)
        if not blocks:
            continue
        if turns and turns[-1]["role"] == message.role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": message.role, "content": blocks})
    if not turns:
        raise AppError("body_invalid", "`messages` holds no message with content.", param="messages")
    if turns[0]["role"] == "assistant" and not own:
        turns.insert(0, {"role": "user", "content": [{"type": "text", "text": "Continue."}]})  # the first turn is the user's
    for turn in turns:
        if turn["role"] == "user":
            turn["content"].sort(key=lambda block: block["type"] != "tool_result")
    last = turns[-1]
    if last["role"] == "assistant" and last["content"][-1]["type"] == "text":
        block = last["content"][-1]
        block["text"] = block["text"].rstrip()  # refused otherwise: "final assistant content cannot end with trailing whitespace"
    return system, turns


def _blocks(message: Message, losses: Losses, *, own: bool) -> list[Table]:
    out: list[Table] = []
    for part in message.parts:
        written = _block(part, message.role, losses, own=own)
        if written is not None:
            out.append(written)
    return out


def _block(part: Part, role: str, losses: Losses, *, own: bool) -> Table | None:
    out: Table
    if isinstance(part, Text):
        if not part.text.strip():
            return None  # refused: "text content blocks must contain non-whitespace text"
        out = {"type": "text", "text": part.text}
        if part.cache is not None:
            out["cache_control"] = part.cache
        if own:
            out.update(part.extra)
        return out
    if isinstance(part, Media):
        if role in ("system", "developer"):
            raise inexpressible("messages.content", "its system prompt holds text alone.")
        return _media(part, losses, own=own)
    if isinstance(part, Thinking):
        if part.origin != NAME or not part.signature:
            if part.text:
                losses.drop("thinking")
            return None
        if part.redacted:
            return {"type": "redacted_thinking", "data": part.signature}
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}
    if isinstance(part, ToolCall):
        given = shape.arguments(part.arguments)
        if given is None:
            given = {"input": part.arguments}  # what a model wrote that is no object; the API takes objects alone
        out = {"type": "tool_use", "id": carry.fit_id(part.id), "name": part.name, "input": given}
        if part.cache is not None:
            out["cache_control"] = part.cache
        if own:
            out.update(part.extra)
        return out
    if isinstance(part, ToolResult):
        return _result(part, losses, own=own)
    if isinstance(part, Refused):
        return {"type": "text", "text": part.text} if part.text.strip() else None
    assert isinstance(part, Opaque)
    return part.value


def _result(part: ToolResult, losses: Losses, *, own: bool) -> Table:
    content: list[Table] = []
    for inner in part.parts:
        written = _block(inner, "user", losses, own=own)
        if written is not None:
            content.append(written)
    out: Table = {"type": "tool_result", "tool_use_id": carry.fit_id(part.id)}
    if len(content) == 1 and set(content[0]) == {"type", "text"}:
        out["content"] = content[0]["text"]
    elif content:
        out["content"] = content
    if part.error:
        out["is_error"] = True
    if part.cache is not None:
        out["cache_control"] = part.cache
    if own:
        out.update(part.extra)
    return out


def _media(part: Media, losses: Losses, *, own: bool) -> Table:
    source: Table
    if part.kind in ("audio", "video"):
        raise inexpressible(f"content.{part.kind}", "it takes neither sound nor film.")
    if part.file_id:
        if not own:
            raise inexpressible("content.file_id", "a file kept at one provider is unknown to another.")
        source = {"type": "file", "file_id": part.file_id}
    elif part.url:
        source = {"type": "url", "url": part.url}
    elif part.text is not None:
        source = {"type": "text", "media_type": "text/plain", "data": part.text}
    elif part.kind == "document" and part.media_type.startswith("text/"):
        source = {"type": "text", "media_type": "text/plain", "data": shape.unpacked(part.data, "file_data")}
    elif (part.kind == "document" and part.media_type != "application/pdf") or (part.kind == "image" and part.media_type not in _IMAGES):
        raise inexpressible(f"content.{part.kind}", f"it does not take {part.media_type or 'this kind of file'}.")
    else:
        source = {"type": "base64", "media_type": part.media_type, "data": part.data}
    out: Table = {"type": "image" if part.kind == "image" else "document", "source": source}
    if part.name and part.kind == "document":
        out["title"] = part.name
    if part.detail and part.detail != "auto":
        losses.drop("image_url.detail")
    if part.cache is not None:
        out["cache_control"] = part.cache
    if own:
        out.update(part.extra)
    else:
        losses.drop_all(part.extra, "content.")
    return out
