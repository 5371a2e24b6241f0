"""Requests of chat/completions, read into the neutral call.

Sources: the package `openai` (3.54: types/chat/completion_create_params and the message params), and what other providers and their
clients add: `reasoning_content` (DeepSeek), `reasoning` (OpenRouter), `thinking_blocks` and `cache_control` (LiteLLM).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.wire import carry, shape
from app.wire.chat import (
    Call,
    Choice,
    Format,
    Media,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refused,
    Role,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    told,
)
from app.wire.shape import Table

NAME: Final = "openai"

_KNOWN: Final = frozenset({
    "model", "messages", "stream", "stream_options", "tools", "tool_choice", "parallel_tool_calls", "max_tokens",
    "max_completion_tokens", "temperature", "top_p", "top_k", "stop", "seed", "frequency_penalty", "presence_penalty", "logprobs",
    "top_logprobs", "response_format", "reasoning_effort", "user", "safety_identifier", "metadata", "store", "service_tier",
    "prompt_cache_key", "verbosity", "functions", "function_call", "n",
})  # fmt: skip

# Without these the answer would be another one.
_VITAL: Final = frozenset({"audio", "web_search_options"})
_SOUNDS: Final[Mapping[str, str]] = {"wav": "audio/wav", "mp3": "audio/mpeg"}
_ROLES: Final[Mapping[str, Role]] = {"system": "system", "developer": "developer", "user": "user", "assistant": "assistant"}


def read(body: Table) -> Call:
    """AppError body_invalid."""
    call = Call(origin=NAME, model=shape.text(body.get("model", ""), "model"))
    call.stream = bool(shape.flag(body.get("stream"), "stream"))
    call.usage_asked = call.stream and shape.got(body.get("stream_options"), dict, {}).get("include_usage") is True
    ids: dict[str, str] = {}
    for at, item in enumerate(shape.rows(body.get("messages"), "messages")):
        _read_message(call.messages, item, f"messages[{at}]", ids)
    if body.get("tools") is not None:
        call.tools = [_read_tool(item, f"tools[{at}]") for at, item in enumerate(shape.rows(body["tools"], "tools"))]
    elif body.get("functions") is not None:
        call.old_functions, call.parallel = True, False  # which are called one at a time
        call.tools = [_read_function(item, f"functions[{at}]") for at, item in enumerate(shape.rows(body["functions"], "functions"))]
    call.choice = _read_choice(body.get("tool_choice", body.get("function_call")))
    alone = shape.flag(body.get("parallel_tool_calls"), "parallel_tool_calls")
    call.parallel = alone if alone is not None else call.parallel
    most = body.get("max_completion_tokens")
    call.max_tokens = shape.whole(most if most is not None else body.get("max_tokens"), "max_completion_tokens")
    for name in ("temperature", "top_p", "frequency_penalty", "presence_penalty"):
        setattr(call, name, shape.number(body.get(name), name))
    for name in ("seed", "top_k", "top_logprobs"):
        setattr(call, name, shape.whole(body.get(name), name))
    stop = body.get("stop")
    call.stop = [] if stop is None else [stop] if isinstance(stop, str) else shape.texts(stop, "stop")
    call.logprobs = shape.flag(body.get("logprobs"), "logprobs")
    call.format = _read_format(body.get("response_format"))
    effort = shape.text_or_none(body.get("reasoning_effort"), "reasoning_effort")
    call.reasoning = Reasoning(effort=effort) if effort else None
    call.user = shape.text_or_none(body.get("safety_identifier") or body.get("user"), "user")
    metadata = body.get("metadata")
    call.metadata = None if metadata is None else shape.table(metadata, "metadata")
    call.store = shape.flag(body.get("store"), "store")
    call.service_tier = shape.text_or_none(body.get("service_tier"), "service_tier")
    call.cache_key = shape.text_or_none(body.get("prompt_cache_key"), "prompt_cache_key")
    call.verbosity = shape.text_or_none(body.get("verbosity"), "verbosity")
    call.verbatim = {name: body[name] for name in ("max_tokens", "max_completion_tokens", "user", "safety_identifier") if body.get(name)}
    more = shape.whole(body.get("n"), "n")
    if more is not None and more != 1:
        call.vital["n"] = more
    for name, value in body.items():
        if name in _KNOWN or value is None:
            continue
        if name in _VITAL or (name == "modalities" and value != ["text"]):
            call.vital[name] = value
        else:
            call.extra[name] = value
    return call


def _read_message(out: list[Message], item: Table, where: str, ids: dict[str, str]) -> None:
    role = item.get("role")
    if role in ("tool", "function"):
        content, name = item.get("content"), item.get("name")
        identifier = item.get("tool_call_id") if role == "tool" else ids.get(shape.text(name, f"{where}.name"), name)
        identifier = carry.unmark(shape.text(identifier, f"{where}.tool_call_id"))[0]
        parts = told(_read_content(content, f"{where}.content"), f"{where}.content")
        cache = item.get("cache_control")
        out.append(
            Message(
                "user",
                [
                    ToolResult(
                        id=identifier,
                        name=name if isinstance(name, str) else "",
                        parts=parts,
                        cache=cache if isinstance(cache, dict) else None,
                    )
                ],
            )
        )
        return
    known = _ROLES.get(role) if isinstance(role, str) else None
    if known is None:
        raise shape.wrong(f"{where}.role", "one of system, developer, user, assistant, tool")
    parts_read = _read_content(item.get("content"), f"{where}.content")
    if known == "assistant":
        parts_read = [*_read_thinking(item, where), *parts_read]
        if item.get("refusal") is not None:
            parts_read.append(Refused(shape.text(item["refusal"], f"{where}.refusal")))
        parts_read += _read_calls(item, where, ids)
    elif item.get("content") is None:
        raise shape.wrong(f"{where}.content", "a text or a list of parts")
    known_names = (
        "role", "content", "name", "tool_calls", "function_call", "refusal", "reasoning_content", "reasoning", "thinking_blocks",
        "cache_control", "annotations",
    )  # fmt: skip
    extra = {name: value for name, value in shape.without(item, *known_names).items() if value is not None}
    message = Message(known, parts_read, shape.text_or_none(item.get("name"), f"{where}.name"), extra)
    cache = item.get("cache_control")
    if isinstance(cache, dict) and message.parts and isinstance(message.parts[-1], Text | Media):
        message.parts[-1].cache = cache
    out.append(message)


def _read_content(content: object, where: str) -> list[Part]:
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(content)] if content else []
    return [_read_part(part, f"{where}[{at}]") for at, part in enumerate(shape.rows(content, where))]


def _read_part(part: Table, where: str) -> Part:
    kind = part.get("type")
    cache = part.get("cache_control")
    mark = cache if isinstance(cache, dict) else None
    if kind == "text":
        return Text(shape.text(part.get("text"), f"{where}.text"), mark, shape.without(part, "type", "text", "cache_control"))
    if kind == "refusal":
        return Refused(shape.text(part.get("refusal"), f"{where}.refusal"))
    if kind == "image_url":
        inner = part.get("image_url")
        given = {"url": inner} if isinstance(inner, str) else shape.table(inner, f"{where}.image_url")
        url = shape.text(given.get("url"), f"{where}.image_url.url")
        detail = shape.text_or_none(given.get("detail"), f"{where}.image_url.detail")
        return _media("image", url, f"{where}.image_url.url", detail=detail, cache=mark)
    if kind == "input_audio":
        given = shape.table(part.get("input_audio"), f"{where}.input_audio")
        form = shape.text(given.get("format"), f"{where}.input_audio.format")
        sound = _SOUNDS.get(form, f"audio/{form}")
        return Media(kind="audio", media_type=sound, data=shape.text(given.get("data"), f"{where}.input_audio.data"), cache=mark)
    if kind == "file":
        given = shape.table(part.get("file"), f"{where}.file")
        name = shape.text_or_none(given.get("filename"), f"{where}.file.filename")
        if given.get("file_id") is not None:
            return Media(kind="document", file_id=shape.text(given["file_id"], f"{where}.file.file_id"), name=name, cache=mark)
        data = shape.text(given.get("file_data"), f"{where}.file.file_data")
        if shape.pictured(data) is None and not data.startswith(("http://", "https://")):
            data = "data:application/pdf;base64," + data
        return _media("document", data, f"{where}.file.file_data", name=name, cache=mark)
    return Opaque(NAME, shape.text(kind, f"{where}.type"), part)


def _media(kind: Any, url: str, where: str, **more: Any) -> Media:
    found = shape.pictured(url)
    if found is not None:
        return Media(kind=kind, media_type=found[0], data=found[1], **more)
    if not url.startswith(("http://", "https://", "gs://")):
        raise shape.wrong(where, "an http(s) URL or a data URL in base64")
    return Media(kind=kind, url=url, **more)


def _read_thinking(item: Table, where: str) -> list[Part]:
    out: list[Part] = []
    blocks = item.get("thinking_blocks")
    if isinstance(blocks, list):
        for block in blocks:
            if not isinstance(block, dict):
                continue
            data = block.get("data") if block.get("type") == "redacted_thinking" else block.get("signature")
            origin, seal, redacted = carry.unseal(data if isinstance(data, str) else "", "anthropic")
            redacted = redacted or block.get("type") == "redacted_thinking"
            text = block.get("thinking")
            out.append(Thinking(text=text if isinstance(text, str) else "", signature=seal, redacted=redacted, origin=origin))
    if out:
        return out
    said = item.get("reasoning_content") or item.get("reasoning")
    return [Thinking(text=said)] if isinstance(said, str) and said else []


def _read_calls(item: Table, where: str, ids: dict[str, str]) -> list[Part]:
    calls: list[Part] = []
    for at, call in enumerate(shape.rows(item.get("tool_calls") or [], f"{where}.tool_calls")):
        spot = f"{where}.tool_calls[{at}]"
        identifier, seal, origin = carry.unmark(shape.text(call.get("id"), f"{spot}.id"))
        google = shape.got(shape.got(call.get("extra_content"), dict, {}).get("google"), dict, {})
        if not seal and isinstance(google.get("thought_signature"), str):
            seal, origin = google["thought_signature"], "gemini"
        custom = call.get("type") == "custom"
        inner = shape.table(call.get("custom" if custom else "function"), f"{spot}.function")
        given = inner.get("input" if custom else "arguments")
        calls.append(
            ToolCall(
                id=identifier,
                name=shape.text(inner.get("name"), f"{spot}.function.name"),
                arguments=shape.text_or_none(given, f"{spot}.function.arguments"),
                custom=custom,
                signature=seal,
                origin=origin,
            )
        )
    old = item.get("function_call")
    if isinstance(old, dict) and not calls:
        name = shape.text(old.get("name"), f"{where}.function_call.name")
        ids[name] = f"call_{len(ids)}_{carry.fit_id(name, 40)}"
        arguments = shape.text_or_none(old.get("arguments"), f"{where}.function_call.arguments")
        calls.append(ToolCall(id=ids[name], name=name, arguments=arguments))
    return calls


def _read_tool(item: Table, where: str) -> Tool:
    kind = item.get("type")
    cache = item.get("cache_control")
    mark = cache if isinstance(cache, dict) else None
    if kind == "function":
        tool = _read_function(shape.table(item.get("function"), f"{where}.function"), f"{where}.function")
        tool.cache = tool.cache or mark
        return tool
    if kind == "custom":
        inner = shape.table(item.get("custom"), f"{where}.custom")
        grammar = inner.get("format")
        return Tool(
            name=shape.text(inner.get("name"), f"{where}.custom.name"),
            description=shape.text_or_none(inner.get("description"), f"{where}.custom.description"),
            custom=True,
            grammar=grammar if isinstance(grammar, dict) else None,
        )
    return Tool(name=shape.text(kind, f"{where}.type"), hosted=item)


def _read_function(item: Table, where: str) -> Tool:
    schema, cache = item.get("parameters"), item.get("cache_control")
    return Tool(
        name=shape.text(item.get("name"), f"{where}.name"),
        description=shape.text_or_none(item.get("description"), f"{where}.description"),
        schema=None if schema is None else shape.table(schema, f"{where}.parameters"),
        strict=shape.flag(item.get("strict"), f"{where}.strict"),
        cache=cache if isinstance(cache, dict) else None,
        extra=shape.without(item, "name", "description", "parameters", "strict", "cache_control"),
    )


def _read_choice(value: object) -> Choice | None:
    if value is None:
        return None
    if isinstance(value, str):
        if value not in ("auto", "none", "required"):
            raise shape.wrong("tool_choice", "auto, none, required or a named tool")
        return Choice(value)  # type: ignore[arg-type]  # one of the three, as the line before says
    given = shape.table(value, "tool_choice")
    if given.get("type") == "allowed_tools":
        inner = shape.table(given.get("allowed_tools"), "tool_choice.allowed_tools")
        allowed = shape.rows(inner.get("tools"), "tool_choice.allowed_tools.tools")
        names = tuple(
            shape.text(shape.got(item.get("function"), dict, item).get("name"), "tool_choice.allowed_tools.tools") for item in allowed
        )
        return Choice("required" if inner.get("mode") == "required" else "auto", names)
    named = given.get("function", given.get("custom", given))
    return Choice("tool", (shape.text(shape.table(named, "tool_choice").get("name"), "tool_choice.function.name"),))


def _read_format(value: object) -> Format | None:
    if value is None:
        return None
    given = shape.table(value, "response_format")
    kind = given.get("type")
    if kind == "text":
        return Format(kind="text")
    if kind == "json_object":
        return Format(kind="json")
    if kind != "json_schema":
        raise shape.wrong("response_format.type", "text, json_object or json_schema")
    inner = shape.table(given.get("json_schema"), "response_format.json_schema")
    schema = inner.get("schema")
    return Format(
        kind="schema",
        name=shape.text_or_none(inner.get("name"), "response_format.json_schema.name"),
        description=shape.text_or_none(inner.get("description"), "response_format.json_schema.description"),
        schema=None if schema is None else shape.table(schema, "response_format.json_schema.schema"),
        strict=shape.flag(inner.get("strict"), "response_format.json_schema.strict"),
    )
