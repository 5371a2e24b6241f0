"""Requests of responses, read into the neutral call.

Source: the package `openai` (3.54: types/responses/response_create_params, response_input_item_param).
"""

from __future__ import annotations

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

NAME: Final = "responses"

_KNOWN: Final = frozenset({
    "model", "input", "instructions", "stream", "stream_options", "tools", "tool_choice", "parallel_tool_calls", "max_output_tokens",
    "temperature", "top_p", "top_logprobs", "text", "reasoning", "metadata", "store", "service_tier", "prompt_cache_key", "user",
    "safety_identifier", "include",
})  # fmt: skip

# What is kept at the provider, or runs there: without it the answer would be another one.
_VITAL: Final = frozenset({"previous_response_id", "conversation", "prompt", "background", "context_management"})
# As if it had not been said.
_INCLUDED: Final = frozenset({"message.output_text.logprobs", "reasoning.encrypted_content"})
_USUAL: Final[Table] = {"truncation": "disabled", "background": False}

# What the model did with tools of the provider's; without it the conversation still says what was said. Everything else that is no
# message decides what the model knows or may do.
_DOINGS: Final = frozenset({"mcp_list_tools", "mcp_approval_request", "program"})

_ECHOED: Final = (
    "instructions", "tools", "tool_choice", "parallel_tool_calls", "max_output_tokens", "temperature", "top_p", "top_logprobs", "text",
    "reasoning", "metadata", "store", "service_tier", "prompt_cache_key", "user", "safety_identifier", "truncation", "include",
)  # fmt: skip


def read(body: Table) -> Call:
    """AppError body_invalid."""
    call = Call(origin=NAME, model=shape.text(body.get("model", ""), "model"))
    call.stream = bool(shape.flag(body.get("stream"), "stream"))
    instructions = shape.text_or_none(body.get("instructions"), "instructions")
    if instructions:
        call.messages.append(Message("system", [Text(instructions)]))
    given = body.get("input")
    if isinstance(given, str):
        call.messages.append(Message("user", [Text(given)]))
    else:
        for at, item in enumerate(shape.rows([] if given is None else given, "input")):
            _item(call.messages, item, f"input[{at}]")
    if body.get("tools") is not None:
        call.tools = [_tool(item, f"tools[{at}]") for at, item in enumerate(shape.rows(body["tools"], "tools"))]
    call.choice = _choice(body.get("tool_choice"))
    call.parallel = shape.flag(body.get("parallel_tool_calls"), "parallel_tool_calls")
    call.max_tokens = shape.whole(body.get("max_output_tokens"), "max_output_tokens")
    call.temperature = shape.number(body.get("temperature"), "temperature")
    call.top_p = shape.number(body.get("top_p"), "top_p")
    call.top_logprobs = shape.whole(body.get("top_logprobs"), "top_logprobs")
    include = [] if body.get("include") is None else shape.texts(body["include"], "include")
    if "message.output_text.logprobs" in include:
        call.logprobs = True
    call.extra.update({f"include.{name}": True for name in include if name not in _INCLUDED})
    form = {} if body.get("text") is None else shape.table(body["text"], "text")
    call.format = _format(form.get("format"))
    call.verbosity = shape.text_or_none(form.get("verbosity"), "text.verbosity")
    if body.get("reasoning") is not None:
        thinking = shape.table(body["reasoning"], "reasoning")
        summary = shape.text_or_none(thinking.get("summary") or thinking.get("generate_summary"), "reasoning.summary")
        effort = shape.text_or_none(thinking.get("effort"), "reasoning.effort")
        call.reasoning = Reasoning(effort=effort, summary=summary, shown=bool(summary)) if effort or summary else None
        beside = shape.without(thinking, "effort", "summary", "generate_summary")
        call.extra.update({f"reasoning.{name}": value for name, value in beside.items() if value is not None})
    call.user = shape.text_or_none(body.get("safety_identifier") or body.get("user"), "user")
    metadata = body.get("metadata")
    call.metadata = None if metadata is None else shape.table(metadata, "metadata")
    call.store = shape.flag(body.get("store"), "store")
    call.service_tier = shape.text_or_none(body.get("service_tier"), "service_tier")
    call.cache_key = shape.text_or_none(body.get("prompt_cache_key"), "prompt_cache_key")
    call.verbatim = {name: body[name] for name in _ECHOED if body.get(name) is not None}
    for name, value in body.items():
        if name in _KNOWN or value is None or (name in _USUAL and value == _USUAL[name]):
            continue
        (call.vital if name in _VITAL else call.extra)[name] = value
    return call


def _item(out: list[Message], item: Table, where: str) -> None:
    kind = item.get("type", "message")
    if kind == "message":
        role = item.get("role")
        if role not in ("user", "assistant", "system", "developer"):
            raise shape.wrong(f"{where}.role", "one of user, assistant, system, developer")
        parts = _content(item.get("content"), f"{where}.content")
        if role == "assistant":
            _assistant(out).extend(parts)
            if item.get("phase") is not None:
                out[-1].extra["phase"] = item["phase"]
        else:
            known: Role = role
            out.append(Message(known, parts))
    elif kind == "reasoning":
        _assistant(out).append(_thinking(item, where))
    elif kind in ("function_call", "custom_tool_call"):
        custom = kind == "custom_tool_call"
        identifier, seal, origin = carry.unmark(shape.text(item.get("call_id"), f"{where}.call_id"))
        name = "input" if custom else "arguments"
        call = ToolCall(
            id=identifier,
            name=shape.text(item.get("name"), f"{where}.name"),
            arguments=shape.text_or_none(item.get(name), f"{where}.{name}"),
            custom=custom,
            signature=seal,
            origin=origin,
            extra={name: item[name] for name in ("namespace",) if item.get(name) is not None},
        )
        _assistant(out).append(call)
    elif kind in ("function_call_output", "custom_tool_call_output"):
        result = ToolResult(
            id=carry.unmark(shape.text(item.get("call_id"), f"{where}.call_id"))[0],
            parts=told(_content(item.get("output"), f"{where}.output"), f"{where}.output"),
            custom=kind == "custom_tool_call_output",
        )
        last = out[-1] if out else None
        # A turn holds results alone, or none.
        if last is not None and last.role == "user" and (not last.parts or isinstance(last.parts[0], ToolResult)):
            last.parts.append(result)
        else:
            out.append(Message("user", [result]))
    else:
        opaque = Opaque(NAME, shape.text(kind, f"{where}.type"), item)
        if opaque.kind.endswith("_call") or opaque.kind in _DOINGS:
            _assistant(out).append(opaque)
        else:
            out.append(Message("user", [opaque]))


def _assistant(out: list[Message]) -> list[Part]:
    """The parts of the assistant's turn that is under way."""
    if not out or out[-1].role != "assistant":
        out.append(Message("assistant", []))
    return out[-1].parts


def pack(identifier: str, sealed: str) -> str:
    """What OpenAI needs back of a thought: its id and its encrypted content."""
    return f"{identifier}:{sealed}"


def unpack(signature: str) -> tuple[str, str]:
    identifier, _, sealed = signature.partition(":")
    return identifier, sealed


def _thinking(item: Table, where: str) -> Thinking:
    said = [
        shape.text(part.get("text"), f"{where}.{name}.text")
        for name in ("summary", "content")
        if item.get(name) is not None
        for part in shape.rows(item[name], f"{where}.{name}")
    ]
    sealed = shape.text_or_none(item.get("encrypted_content"), f"{where}.encrypted_content")
    origin, signature, redacted = carry.unseal(sealed, NAME)
    if origin == NAME:
        signature = pack(shape.text_or_none(item.get("id"), f"{where}.id"), sealed)
    return Thinking(text="\n\n".join(said), signature=signature, redacted=redacted, origin=origin)


def _content(content: object, where: str) -> list[Part]:
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(content)] if content else []
    return [_part(part, f"{where}[{at}]") for at, part in enumerate(shape.rows(content, where))]


def _part(part: Table, where: str) -> Part:
    kind = part.get("type")
    if kind in ("input_text", "output_text", "text", "summary_text"):
        return Text(shape.text(part.get("text"), f"{where}.text"))
    if kind == "refusal":
        return Refused(shape.text(part.get("refusal"), f"{where}.refusal"))
    if kind == "input_image":
        detail = shape.text_or_none(part.get("detail"), f"{where}.detail")
        if part.get("file_id") is not None:
            return Media(kind="image", file_id=shape.text(part["file_id"], f"{where}.file_id"), detail=detail)
        return _media("image", shape.text(part.get("image_url"), f"{where}.image_url"), f"{where}.image_url", detail=detail)
    if kind == "input_file":
        name = shape.text_or_none(part.get("filename"), f"{where}.filename")
        if part.get("file_id") is not None:
            return Media(kind="document", file_id=shape.text(part["file_id"], f"{where}.file_id"), name=name)
        if part.get("file_url") is not None:
            return Media(kind="document", url=shape.text(part["file_url"], f"{where}.file_url"), name=name)
        data = shape.text(part.get("file_data"), f"{where}.file_data")
        if shape.pictured(data) is None:
            data = "data:application/pdf;base64," + data
        return _media("document", data, f"{where}.file_data", name=name)
    if kind == "input_audio":
        given = shape.table(part.get("input_audio"), f"{where}.input_audio")
        form = shape.text(given.get("format"), f"{where}.input_audio.format")
        sound = {"wav": "audio/wav", "mp3": "audio/mpeg"}.get(form, f"audio/{form}")
        return Media(kind="audio", media_type=sound, data=shape.text(given.get("data"), f"{where}.input_audio.data"))
    return Opaque(NAME, shape.text(kind, f"{where}.type"), part)


def _media(kind: Any, url: str, where: str, **more: Any) -> Media:
    found = shape.pictured(url)
    if found is not None:
        return Media(kind=kind, media_type=found[0], data=found[1], **more)
    if not url.startswith(("http://", "https://", "gs://")):
        raise shape.wrong(where, "an http(s) URL or a data URL in base64")
    return Media(kind=kind, url=url, **more)


def _tool(item: Table, where: str) -> Tool:
    kind = item.get("type")
    if kind == "function":
        schema = item.get("parameters")
        return Tool(
            name=shape.text(item.get("name"), f"{where}.name"),
            description=shape.text_or_none(item.get("description"), f"{where}.description"),
            schema=None if schema is None else shape.table(schema, f"{where}.parameters"),
            strict=shape.flag(item.get("strict"), f"{where}.strict"),
            extra=_present(shape.without(item, "type", "name", "description", "parameters", "strict")),
        )
    if kind == "custom":
        grammar = item.get("format")
        return Tool(
            name=shape.text(item.get("name"), f"{where}.name"),
            description=shape.text_or_none(item.get("description"), f"{where}.description"),
            custom=True,
            grammar=grammar if isinstance(grammar, dict) else None,
        )
    return Tool(name=shape.text(kind, f"{where}.type"), hosted=item)


def _present(value: Table) -> Table:
    return {name: item for name, item in value.items() if item is not None}


def _choice(value: object) -> Choice | None:
    if value is None:
        return None
    if isinstance(value, str):
        if value not in ("auto", "none", "required"):
            raise shape.wrong("tool_choice", "auto, none, required or a named tool")
        return Choice(value)  # type: ignore[arg-type]  # one of the three, as the line before says
    given = shape.table(value, "tool_choice")
    kind = given.get("type")
    if kind == "allowed_tools":
        allowed = shape.rows(given.get("tools"), "tool_choice.tools")
        names = tuple(shape.text(item.get("name", item.get("type")), "tool_choice.tools") for item in allowed)
        return Choice("required" if given.get("mode") == "required" else "auto", names)
    name = given.get("name") if kind in ("function", "custom") else kind
    return Choice("tool", (shape.text(name, "tool_choice.name"),))


def _format(value: object) -> Format | None:
    if value is None:
        return None
    given = shape.table(value, "text.format")
    kind = given.get("type")
    if kind == "text":
        return Format(kind="text")
    if kind == "json_object":
        return Format(kind="json")
    if kind != "json_schema":
        raise shape.wrong("text.format.type", "text, json_object or json_schema")
    return Format(
        kind="schema",
        name=shape.text_or_none(given.get("name"), "text.format.name"),
        description=shape.text_or_none(given.get("description"), "text.format.description"),
        schema=shape.table(given.get("schema"), "text.format.schema"),
        strict=shape.flag(given.get("strict"), "text.format.strict"),
    )
