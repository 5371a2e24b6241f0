"""Requests of chat/completions, written from the neutral call.

Sources: as for reading, `openai_chat_read`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.wire import carry, openai_family, shape
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
from app.wire.shape import Table

NAME: Final = "openai"
_FORMATS: Final[Mapping[str, str]] = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}
_BYTES_ONLY: Final = "it takes documents as bytes only, and Gatehouse fetches nothing."


def write(call: Call, facts: Facts, losses: Losses) -> Table:
    """AppError not_expressible."""
    out: Table = {"model": facts.model, "messages": _messages(call, facts, losses)}
    own = call.origin == NAME
    if own:
        out.update(call.extra)
        out.update(call.vital)
        out.update(call.verbatim)
    choice, wanted = call.choice, call.tools
    if choice is not None and choice.mode != "tool" and choice.names and not own and "openai_own" not in facts.quirks:
        # `allowed_tools` is OpenAI's own: elsewhere those that are not allowed are not there.
        allowed = set(choice.names)
        wanted = [tool for tool in wanted if tool.name in allowed]
        choice = Choice(choice.mode)
    tools = [written for tool in wanted if (written := _tool(tool, losses, own=own)) is not None]
    if tools:
        out["tools"] = tools
        if choice is not None:
            out["tool_choice"] = _choice(call, choice)
        if call.parallel is not None:
            out["parallel_tool_calls"] = call.parallel
    if call.max_tokens is not None and not own:
        most = openai_family.fit_max_tokens(call.max_tokens, facts.model)
        out["max_completion_tokens" if "max_completion_tokens" in facts.quirks else "max_tokens"] = most
    simple = {
        "temperature": call.temperature, "top_p": call.top_p, "seed": call.seed, "frequency_penalty": call.frequency_penalty,
        "presence_penalty": call.presence_penalty, "logprobs": call.logprobs, "top_logprobs": call.top_logprobs,
    }  # fmt: skip
    out.update({name: value for name, value in simple.items() if value is not None})
    _own_members(out, call, facts, losses, own=own)
    if call.user and not own:
        out["user"] = call.user if len(call.user) <= 64 else carry.fit_id(call.user)
    if call.top_k is not None:
        if own:
            out["top_k"] = call.top_k
        else:
            losses.drop("top_k")
    if call.stop:
        out["stop"] = call.stop
    if call.format is not None:
        out["response_format"] = _format(call.format)
    effort = effort_of(call.reasoning)
    if effort and not own:
        effort = _fit_effort(effort, facts, losses)
    if effort:
        out["reasoning_effort"] = effort
    if call.cache is not None:
        losses.drop("cache_control")
    if call.stream:
        out["stream"] = True
        if "no_stream_options" not in facts.quirks:
            out["stream_options"] = {"include_usage": True}
    return out


def _own_members(out: Table, call: Call, facts: Facts, losses: Losses, *, own: bool) -> None:
    """What OpenAI itself knows, and other servers of the dialect often refuse."""
    given = {
        "metadata": call.metadata, "store": call.store, "verbosity": call.verbosity or None, "prompt_cache_key": call.cache_key or None,
        "service_tier": call.service_tier or None if own or call.origin == "responses" else None,
    }  # fmt: skip
    for name, value in given.items():
        if value is None:
            continue
        if own or "openai_own" in facts.quirks:
            out[name] = value
        elif value not in (False, {}):
            losses.drop(name)
    if call.service_tier and given["service_tier"] is None:
        losses.drop("service_tier")


def effort_of(reasoning: Reasoning | None) -> str:
    """OpenAI's word for how much to think. A budget in tokens becomes one of four."""
    if reasoning is None:
        return ""
    if reasoning.effort:
        return reasoning.effort
    if reasoning.budget is None or reasoning.budget < 0:
        return ""
    budget = reasoning.budget
    return "high" if budget >= 4096 else "medium" if budget >= 2048 else "low" if budget >= 1024 else "minimal" if budget else "none"


def _fit_effort(effort: str, facts: Facts, losses: Losses) -> str:
    fit = openai_family.fit_effort(effort, facts.model)
    if fit != effort and (effort != "none" or not openai_family.UNTHINKING.search(facts.model)):
        losses.drop("reasoning_effort")
    return fit


def _messages(call: Call, facts: Facts, losses: Losses) -> list[Table]:
    out: list[Table] = []
    for message in call.messages:
        if message.role == "assistant":
            out.append(_assistant(message, facts, losses, own=call.origin == NAME))
            continue
        if message.role != "user":
            role = message.role if message.role == "system" or "openai_own" in facts.quirks else "system"
            written: Table = {"role": role, "content": _content(message.parts, losses, role)}
            out.append(_named(written, message, losses, own=call.origin == NAME))
            continue
        pictures: list[Table] = []
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        out += [_result(result, pictures, losses) for result in results]
        rest: list[Part] = [part for part in message.parts if not isinstance(part, ToolResult)]
        if rest or pictures or not results:
            content = _content(rest, losses, "user")
            if pictures:
                content = [*pictures, *([{"type": "text", "text": content}] if isinstance(content, str) and content else content or [])]
            out.append(_named({"role": "user", "content": content}, message, losses, own=call.origin == NAME))
    return out


def _named(written: Table, message: Message, losses: Losses, *, own: bool) -> Table:
    if message.name:
        written["name"] = message.name
    if own:
        written.update(message.extra)
    else:
        losses.drop_all(message.extra, "messages.")
    return written


def _result(result: ToolResult, pictures: list[Table], losses: Losses) -> Table:
    """A tool's message holds text alone; its pictures follow in the user's message."""
    said = plain(result.parts)
    seen = [part for part in result.parts if isinstance(part, Media)]
    if seen:
        said = said or "[See the user's message that follows.]"
    if result.error and said[:5].lower() != "error":
        said = f"Error: {said}"
    if seen:
        pictures.append({"type": "text", "text": f"[What tool call {result.id} returned:]"})
        pictures += [_media_part(part, losses) for part in seen]
    if result.cache is not None or any(part.cache for part in result.parts):
        losses.drop("cache_control")
    return {"role": "tool", "tool_call_id": carry.fit_id(result.id, 40), "content": said}


def _content(parts: list[Part], losses: Losses, role: str) -> str | list[Table]:
    out: list[Table] = []
    simple = True
    for part in parts:
        if isinstance(part, Text):
            if part.cache is not None:
                losses.drop("cache_control")
            out.append({"type": "text", "text": part.text})
        elif isinstance(part, Media):
            if role != "user":
                raise inexpressible("messages.content", "only a user's message can hold pictures and files.")
            simple = False
            out.append(_media_part(part, losses))
        elif isinstance(part, Opaque):
            simple = False
            out.append(part.value)
    if simple and len(out) <= 1:
        return str(out[0]["text"]) if out else ""
    return out


def _media_part(part: Media, losses: Losses) -> Table:
    if part.cache is not None:
        losses.drop("cache_control")
    losses.drop_all(part.extra, "content.")
    if part.text is not None:
        return {"type": "text", "text": f"{part.name}\n\n{part.text}" if part.name else part.text}
    if part.kind == "image":
        if part.file_id:
            raise inexpressible("image.file_id", "a file kept at one provider is unknown to another.")
        inner: Table = {"url": part.url or f"data:{part.media_type or 'image/png'};base64,{part.data}"}
        if part.detail:
            inner["detail"] = part.detail
        return {"type": "image_url", "image_url": inner}
    if part.kind == "document":
        if part.file_id:
            inner = {"file_id": part.file_id}
        elif part.url:
            raise inexpressible("document.url", _BYTES_ONLY, "Send the document in base64.")
        else:
            kind = part.media_type or "application/pdf"
            inner = {"filename": part.name or f"document.{kind.rpartition('/')[2]}", "file_data": f"data:{kind};base64,{part.data}"}
        return {"type": "file", "file": inner}
    if part.kind == "audio" and part.data and part.media_type in _FORMATS:
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": _FORMATS[part.media_type]}}
    raise inexpressible(f"content.{part.kind}", "it takes sound as WAV or MP3 bytes only, and no film.")


def _assistant(message: Message, facts: Facts, losses: Losses, *, own: bool) -> Table:
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[Table] = []
    blocks: list[Table] = []
    out: Table = {"role": "assistant", "content": None}
    for part in message.parts:
        if isinstance(part, Text):
            if part.cache is not None:
                losses.drop("cache_control")
            texts.append(part.text)
        elif isinstance(part, Refused):
            out["refusal"] = part.text
        elif isinstance(part, Thinking):
            if part.text and not part.redacted:
                thoughts.append(part.text)
            if part.signature:
                blocks.append(thinking_block(part))
        elif isinstance(part, ToolCall):
            calls.append(_call(part))
            if part.cache is not None:
                losses.drop("cache_control")
        elif isinstance(part, Opaque):
            losses.drop(f"messages.{part.kind}")  # of this dialect; those of others were left out before
        elif isinstance(part, Media):
            raise inexpressible("messages.content", "an assistant's message cannot hold pictures.")
    # Which providers want old thoughts back differs: some refuse them, some need them next to tool calls, most ignore them.
    if texts:
        out["content"] = "".join(texts)
    if calls:
        out["tool_calls"] = calls
    elif out["content"] is None and "refusal" not in out:
        out["content"] = ""
    if own:
        if thoughts:
            out["reasoning_content"] = "\n".join(thoughts)
        if blocks:
            out["thinking_blocks"] = blocks
    elif thoughts and "wants_reasoning" in facts.quirks:
        out["reasoning_content"] = "\n".join(thoughts)
    elif thoughts or blocks:
        losses.drop("thinking")
    return _named(out, message, losses, own=own)


def thinking_block(part: Thinking) -> Table:
    foreign = part.origin not in ("", "anthropic")
    if part.redacted:
        return {"type": "redacted_thinking", "data": carry.seal(part.origin, part.signature, redacted=True) if foreign else part.signature}
    return {
        "type": "thinking",
        "thinking": part.text,
        "signature": carry.seal(part.origin, part.signature) if foreign else part.signature,
    }  # fmt: skip


def _call(part: ToolCall) -> Table:
    identifier = carry.fit_id(part.id, 40)
    if part.custom:
        return {"id": identifier, "type": "custom", "custom": {"name": part.name, "input": part.arguments}}
    return {"id": identifier, "type": "function", "function": {"name": part.name, "arguments": part.arguments or "{}"}}


def _tool(tool: Tool, losses: Losses, *, own: bool) -> Table | None:
    if tool.hosted is not None:
        return tool.hosted  # of this dialect; those of others were left out before
    if tool.cache is not None:
        losses.drop("cache_control")
    if tool.custom:
        inner: Table = {"name": tool.name}
        if tool.description:
            inner["description"] = tool.description
        if tool.grammar is not None:
            inner["format"] = _grammar(tool.grammar)
        return {"type": "custom", "custom": inner}
    inner = {"name": tool.name}
    if tool.description:
        inner["description"] = tool.description
    inner["parameters"] = tool.schema if tool.schema is not None else {"type": "object", "properties": {}}
    if tool.strict is not None:
        inner["strict"] = tool.strict
    if own:
        inner.update(tool.extra)
    else:
        losses.drop_all(tool.extra, "tools.")
    return {"type": "function", "function": inner}


def _grammar(value: Table) -> Table:
    """chat/completions nests what Responses has flat: {"type": "grammar", "grammar": {"syntax", "definition"}}."""
    if value.get("type") == "grammar" and "grammar" not in value:
        return {"type": "grammar", "grammar": shape.without(value, "type")}
    return value


def _choice(call: Call, choice: Choice) -> str | Table:
    if choice.mode == "tool":
        custom = any(tool.custom and tool.name == choice.names[0] for tool in call.tools)
        kind = "custom" if custom else "function"
        return {"type": kind, kind: {"name": choice.names[0]}}
    if choice.names:
        allowed = [{"type": "function", "function": {"name": name}} for name in choice.names]
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": allowed}}
    return choice.mode


def _format(given: Format) -> Table:
    if given.kind == "text":
        return {"type": "text"}
    if given.kind == "json":
        return {"type": "json_object"}
    inner: Table = {"name": given.name or "answer", "schema": given.schema or {}}
    if given.strict is not None:
        inner["strict"] = given.strict
    if given.description:
        inner["description"] = given.description
    return {"type": "json_schema", "json_schema": inner}
