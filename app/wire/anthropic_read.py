"""Requests of messages and messages/count_tokens, read into the neutral call.

Source: the package `anthropic` (2.12: types/message_create_params and the block params).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from app.wire import carry, shape
from app.wire.chat import Call, Choice, Format, Media, Message, Opaque, Part, Reasoning, Text, Thinking, Tool, ToolCall, ToolResult
from app.wire.shape import Table

NAME: Final = "anthropic"
_encode: Final = msgspec.json.encode

_KNOWN: Final = frozenset({
    "model", "messages", "system", "stream", "tools", "tool_choice", "max_tokens", "temperature", "top_p", "top_k", "stop_sequences",
    "metadata", "thinking", "output_config", "service_tier", "cache_control",
})  # fmt: skip

# Where the work is done, or with which tools and files: without them the answer would be another one.
_VITAL: Final = frozenset({"container", "mcp_servers", "inference_geo", "user_profile_id"})


def read(body: Table) -> Call:
    """AppError body_invalid."""
    call = Call(origin=NAME, model=shape.text(body.get("model", ""), "model"))
    call.stream = bool(shape.flag(body.get("stream"), "stream"))
    system = body.get("system")
    if system is not None:
        parts: list[Part] = [Text(system)] if isinstance(system, str) else _blocks(system, "system")
        call.messages.append(Message("system", parts))
    for at, item in enumerate(shape.rows(body.get("messages"), "messages")):
        call.messages.append(_message(item, f"messages[{at}]"))
    if body.get("tools") is not None:
        call.tools = [_tool(item, f"tools[{at}]") for at, item in enumerate(shape.rows(body["tools"], "tools"))]
    _choose(call, body.get("tool_choice"))
    call.max_tokens = shape.whole(body.get("max_tokens"), "max_tokens")
    call.temperature = shape.number(body.get("temperature"), "temperature")
    call.top_p = shape.number(body.get("top_p"), "top_p")
    call.top_k = shape.whole(body.get("top_k"), "top_k")
    call.stop = [] if body.get("stop_sequences") is None else shape.texts(body["stop_sequences"], "stop_sequences")
    metadata = body.get("metadata")
    if metadata is not None:
        call.user = shape.text_or_none(shape.table(metadata, "metadata").get("user_id"), "metadata.user_id")
    call.service_tier = shape.text_or_none(body.get("service_tier"), "service_tier")
    cache = body.get("cache_control")
    call.cache = None if cache is None else shape.table(cache, "cache_control")
    output = {} if body.get("output_config") is None else shape.table(body["output_config"], "output_config")
    _think(call, body.get("thinking"), output)
    form = output.get("format")
    if form is not None:
        schema = shape.table(form, "output_config.format").get("schema")
        call.format = Format(kind="schema", schema=shape.table(schema, "output_config.format.schema"), strict=True)
    call.verbatim = {name: body[name] for name in ("thinking", "output_config", "metadata") if body.get(name) is not None}
    for name, value in body.items():
        if name not in _KNOWN and value is not None:
            (call.vital if name in _VITAL else call.extra)[name] = value
    return call


def _think(call: Call, thinking: object, output: Table) -> None:
    effort = shape.text_or_none(output.get("effort"), "output_config.effort")
    if thinking is None:
        call.reasoning = Reasoning(effort=effort) if effort else None
        return
    given = shape.table(thinking, "thinking")
    shown = given.get("display") != "omitted"
    kind = given.get("type")
    if kind == "disabled":
        call.reasoning = Reasoning(effort="none")
    elif kind == "enabled":
        budget = shape.whole(given.get("budget_tokens"), "thinking.budget_tokens")
        call.reasoning = Reasoning(budget=budget, effort=effort, shown=shown)
    else:
        call.reasoning = Reasoning(effort=effort, shown=shown)


def _choose(call: Call, value: object) -> None:
    if value is None:
        return
    given = shape.table(value, "tool_choice")
    kind = given.get("type")
    if kind == "tool":
        call.choice = Choice("tool", (shape.text(given.get("name"), "tool_choice.name"),))
    elif kind == "auto":
        call.choice = Choice("auto")
    elif kind == "any":
        call.choice = Choice("required")
    elif kind == "none":
        call.choice = Choice("none")
    else:
        raise shape.wrong("tool_choice.type", "auto, any, tool or none")
    alone = shape.flag(given.get("disable_parallel_tool_use"), "tool_choice.disable_parallel_tool_use")
    if alone is not None:
        call.parallel = not alone


def _tool(item: Table, where: str) -> Tool:
    kind = item.get("type")
    if kind not in (None, "custom"):
        name = item.get("name")
        return Tool(name=name if isinstance(name, str) else shape.text(kind, f"{where}.type"), hosted=item)
    cache = item.get("cache_control")
    return Tool(
        name=shape.text(item.get("name"), f"{where}.name"),
        description=shape.text_or_none(item.get("description"), f"{where}.description"),
        schema=shape.table(item.get("input_schema"), f"{where}.input_schema"),
        strict=shape.flag(item.get("strict"), f"{where}.strict"),
        cache=None if cache is None else shape.table(cache, f"{where}.cache_control"),
        extra=shape.without(item, "name", "description", "input_schema", "strict", "cache_control", "type"),
    )


def _message(item: Table, where: str) -> Message:
    role = item.get("role")
    if role not in ("user", "assistant", "system"):
        raise shape.wrong(f"{where}.role", "user, assistant or system")
    content = item.get("content")
    parts: list[Part] = [Text(content)] if isinstance(content, str) else _blocks(content, f"{where}.content")
    return Message(role, parts)


def _blocks(value: object, where: str) -> list[Part]:
    return [_block(block, f"{where}[{at}]") for at, block in enumerate(shape.rows(value, where))]


def _block(block: Table, where: str) -> Part:
    kind = block.get("type")
    given = block.get("cache_control")
    cache = None if given is None else shape.table(given, f"{where}.cache_control")
    if kind == "text":
        extra = _present(shape.without(block, "type", "text", "cache_control"))
        return Text(shape.text(block.get("text"), f"{where}.text"), cache, extra)
    if kind == "image":
        media = _source(block, where, "image")
    elif kind == "document":
        media = _source(block, where, "document")
        media.name = shape.text_or_none(block.get("title"), f"{where}.title")
    elif kind == "thinking":
        origin, seal, redacted = carry.unseal(shape.text_or_none(block.get("signature"), f"{where}.signature"), NAME)
        return Thinking(text=shape.text(block.get("thinking"), f"{where}.thinking"), signature=seal, redacted=redacted, origin=origin)
    elif kind == "redacted_thinking":
        origin, seal, _ = carry.unseal(shape.text(block.get("data"), f"{where}.data"), NAME)
        return Thinking(signature=seal, redacted=True, origin=origin)
    elif kind == "tool_use":
        identifier, seal, origin = carry.unmark(shape.text(block.get("id"), f"{where}.id"))
        return ToolCall(
            id=identifier,
            name=shape.text(block.get("name"), f"{where}.name"),
            arguments=_encode(shape.table(block.get("input"), f"{where}.input")).decode(),
            signature=seal,
            origin=origin,
            cache=cache,
            extra=_present(shape.without(block, "type", "id", "name", "input", "cache_control")),
        )
    elif kind == "tool_result":
        return _result(block, where, cache)
    elif kind == "search_result":
        return Opaque(NAME, kind, block, _found(block))
    elif kind == "compaction":  # what stands for the turns before it
        return Opaque(NAME, kind, block, shape.text_or_none(block.get("content"), f"{where}.content"))
    else:
        return Opaque(NAME, shape.text(kind, f"{where}.type"), block)
    media.cache = cache
    media.extra = _present(shape.without(block, "type", "source", "title", "cache_control"))
    return media


def _present(value: Table) -> Table:
    return {name: item for name, item in value.items() if item is not None}


def _result(block: Table, where: str, cache: Table | None) -> ToolResult:
    content = block.get("content")
    blocks: list[Part] = [] if content is None else [Text(content)] if isinstance(content, str) else _blocks(content, f"{where}.content")
    parts: list[Text | Media] = []
    odd: list[Table] = []
    for part in blocks:
        if isinstance(part, Text | Media):
            parts.append(part)
        elif isinstance(part, Opaque):
            odd.append(part.value)
            parts.append(Text(part.text or _encode(part.value).decode()))
        else:
            raise shape.wrong(f"{where}.content", "texts, images and documents")
    extra = _present(shape.without(block, "type", "tool_use_id", "content", "is_error", "cache_control"))
    return ToolResult(
        id=carry.unmark(shape.text(block.get("tool_use_id"), f"{where}.tool_use_id"))[0],
        parts=parts,
        error=bool(shape.flag(block.get("is_error"), f"{where}.is_error")),
        cache=cache,
        extra=extra,
    )


def _source(block: Table, where: str, kind: Any) -> Media:
    source = shape.table(block.get("source"), f"{where}.source")
    sort = source.get("type")
    if sort == "base64":
        media_type = shape.text(source.get("media_type"), f"{where}.source.media_type")
        data = shape.text(source.get("data"), f"{where}.source.data")
        return Media(kind=kind, media_type=shape.picture_type(media_type), data=data)
    if sort == "url":
        return Media(kind=kind, url=shape.text(source.get("url"), f"{where}.source.url"))
    if sort == "file":
        return Media(kind=kind, file_id=shape.text(source.get("file_id"), f"{where}.source.file_id"))
    if sort == "text" and kind == "document":
        return Media(kind=kind, media_type="text/plain", text=shape.text(source.get("data"), f"{where}.source.data"))
    if sort == "content" and kind == "document":
        inner = source.get("content")
        parts = [Text(inner)] if isinstance(inner, str) else _blocks(inner, f"{where}.source.content")
        if not all(isinstance(part, Text) for part in parts):
            raise shape.wrong(f"{where}.source.content", "texts")
        text = "\n".join(part.text for part in parts if isinstance(part, Text))
        return Media(kind=kind, media_type="text/plain", text=text)
    raise shape.wrong(f"{where}.source.type", "base64, url, file, text or content")


def _found(block: Table) -> str:
    """A search result in words."""
    inner = block.get("content")
    texts = [part.get("text") for part in inner if isinstance(part, dict)] if isinstance(inner, list) else []
    lines = [block.get("title"), block.get("source"), *texts]
    return "\n".join(line for line in lines if isinstance(line, str))
