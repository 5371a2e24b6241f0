"""Requests of generateContent and streamGenerateContent, read into the neutral call.

Sources: the package `google-genai` (3.4: types.Content, Part, Tool, GenerationConfig) and the API reference
(ai.google.dev/api/generate-content). Function calls have no ids in older requests: then the calls of a turn and the responses of the
next belong together by name and order.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Any, Final

import msgspec

from app.wire import carry, shape
from app.wire.chat import Call, Choice, Format, Media, Message, Opaque, Part, Reasoning, Text, Thinking, Tool, ToolCall, ToolResult
from app.wire.shape import Table

NAME: Final = "gemini"

# The ids of the calls that wait for their responses, by name.
Pending = dict[str, deque[str]]
_encode: Final = msgspec.json.encode

_KNOWN: Final = frozenset({
    "model", "contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings", "labels", "cachedContent",
})  # fmt: skip
_CONFIG: Final = frozenset({
    "maxOutputTokens", "temperature", "topP", "topK", "stopSequences", "seed", "frequencyPenalty", "presencePenalty",
    "responseLogprobs", "logprobs", "responseMimeType", "responseSchema", "responseJsonSchema", "thinkingConfig", "candidateCount",
    "responseModalities", "responseFormat",
})  # fmt: skip
_SNAKE: Final = re.compile(r"_([a-z])")
_LEVELS: Final = {"MINIMAL": "minimal", "LOW": "low", "MEDIUM": "medium", "HIGH": "high", "XHIGH": "xhigh"}
_KINDS: Final = {"image": "image", "audio": "audio", "video": "video"}
# Members whose own members are the person's words, which are left as they are spelled.
_OWN_WORDS: Final = frozenset({
    "args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema", "labels", "responseJson",
})  # fmt: skip


def camel(value: Any) -> Any:
    """The API reads names in camel case and in snake case."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    out: Table = {}
    for name, item in value.items():
        spelled = _SNAKE.sub(lambda found: found[1].upper(), name)
        out[spelled] = item if spelled in _OWN_WORDS else camel(item)
    return out


def read(body: Table) -> Call:
    """AppError body_invalid."""
    body = camel(body)
    call = Call(origin=NAME, model="")
    system = body.get("systemInstruction")
    if system is not None:
        given = {"parts": [{"text": system}]} if isinstance(system, str) else shape.table(system, "systemInstruction")
        parts = _parts(given.get("parts"), "systemInstruction.parts", {})
        if parts:
            call.messages.append(Message("system", parts))
    contents = body.get("contents")
    if isinstance(contents, dict):
        contents = [contents]
    pending: Pending = {}
    for at, item in enumerate(shape.rows(contents, "contents")):
        role = item.get("role", "user")
        if role not in ("user", "model", "function"):
            raise shape.wrong(f"contents[{at}].role", "user or model")
        if role == "model":
            pending = {}
        parts = _parts(item.get("parts"), f"contents[{at}].parts", pending, turn=at)
        call.messages.append(Message("assistant" if role == "model" else "user", parts))
    for at, item in enumerate(shape.rows(body.get("tools") or [], "tools")):
        _tools(call.tools, item, f"tools[{at}]")
    _choose(call, body.get("toolConfig"))
    config = {} if body.get("generationConfig") is None else shape.table(body["generationConfig"], "generationConfig")
    _configure(call, config)
    if body.get("cachedContent"):
        call.vital["cachedContent"] = body["cachedContent"]
    for name, value in body.items():
        if name in ("safetySettings", "labels") or (name not in _KNOWN and value is not None):
            call.extra[name] = value
    call.verbatim = {
        name: body[name] for name in ("tools", "toolConfig", "generationConfig", "cachedContent") if body.get(name) is not None
    }
    return call


def _configure(call: Call, config: Table) -> None:
    where = "generationConfig"
    call.max_tokens = shape.whole(config.get("maxOutputTokens"), f"{where}.maxOutputTokens")
    call.temperature = shape.number(config.get("temperature"), f"{where}.temperature")
    call.top_p = shape.number(config.get("topP"), f"{where}.topP")
    call.top_k = shape.whole(config.get("topK"), f"{where}.topK")
    call.seed = shape.whole(config.get("seed"), f"{where}.seed")
    call.frequency_penalty = shape.number(config.get("frequencyPenalty"), f"{where}.frequencyPenalty")
    call.presence_penalty = shape.number(config.get("presencePenalty"), f"{where}.presencePenalty")
    call.stop = [] if config.get("stopSequences") is None else shape.texts(config["stopSequences"], f"{where}.stopSequences")
    call.logprobs = shape.flag(config.get("responseLogprobs"), f"{where}.responseLogprobs")
    call.top_logprobs = shape.whole(config.get("logprobs"), f"{where}.logprobs")
    kind = shape.text_or_none(config.get("responseMimeType"), f"{where}.responseMimeType")
    schema = config.get("responseJsonSchema")
    if schema is None and config.get("responseSchema") is not None:
        schema = json_schema(shape.table(config["responseSchema"], f"{where}.responseSchema"))
    if kind == "application/json":
        given = None if schema is None else shape.table(schema, f"{where}.responseJsonSchema")
        call.format = Format(kind="json") if given is None else Format(kind="schema", schema=given)
    elif kind not in ("", "text/plain"):
        call.vital["generationConfig.responseMimeType"] = kind
    thinking = config.get("thinkingConfig")
    if thinking is not None:
        _think(call, shape.table(thinking, f"{where}.thinkingConfig"))
    more = shape.whole(config.get("candidateCount"), f"{where}.candidateCount")
    if more not in (None, 1):
        call.vital["generationConfig.candidateCount"] = more
    if config.get("responseFormat") is not None:
        call.vital["generationConfig.responseFormat"] = config["responseFormat"]
    modes = config.get("responseModalities")
    if modes and modes != ["TEXT"]:
        call.vital["generationConfig.responseModalities"] = modes
    for name, value in config.items():
        if name not in _CONFIG and value is not None:
            call.extra[f"generationConfig.{name}"] = value


def _think(call: Call, given: Table) -> None:
    level = shape.text_or_none(given.get("thinkingLevel"), "generationConfig.thinkingConfig.thinkingLevel").upper()
    budget = shape.whole(given.get("thinkingBudget"), "generationConfig.thinkingConfig.thinkingBudget")
    shown = shape.flag(given.get("includeThoughts"), "generationConfig.thinkingConfig.includeThoughts")
    call.reasoning = Reasoning(effort=_LEVELS.get(level, ""), budget=None if budget is not None and budget < 0 else budget, shown=shown)


def _choose(call: Call, value: object) -> None:
    if value is None:
        return
    whole = shape.table(value, "toolConfig")
    _beside(call, shape.without(whole, "functionCallingConfig"), "toolConfig.")
    given = whole.get("functionCallingConfig")
    if given is None:
        return
    given = shape.table(given, "toolConfig.functionCallingConfig")
    _beside(call, shape.without(given, "mode", "allowedFunctionNames"), "toolConfig.functionCallingConfig.")
    mode = shape.text_or_none(given.get("mode"), "toolConfig.functionCallingConfig.mode").upper()
    names: tuple[str, ...] = ()
    if given.get("allowedFunctionNames") is not None:
        names = tuple(shape.texts(given["allowedFunctionNames"], "toolConfig.functionCallingConfig.allowedFunctionNames"))
    if mode == "NONE":
        call.choice = Choice("none")
    elif mode == "ANY":
        call.choice = Choice("tool", names) if len(names) == 1 else Choice("required", names)
    elif mode in ("AUTO", "VALIDATED"):
        call.choice = Choice("auto", names)


def _beside(call: Call, members: Table, prefix: str) -> None:
    """What no other dialect has; in this one it goes along with what it is a member of."""
    call.extra.update({prefix + name: value for name, value in members.items() if value is not None and value is not False})


def _tools(out: list[Tool], item: Table, where: str) -> None:
    for name, value in item.items():
        if value is None:
            continue
        if name != "functionDeclarations":
            out.append(Tool(name=name, hosted={name: value}))
            continue
        for at, declared in enumerate(shape.rows(value, f"{where}.functionDeclarations")):
            spot = f"{where}.functionDeclarations[{at}]"
            schema = declared.get("parametersJsonSchema")
            if schema is None and declared.get("parameters") is not None:
                schema = json_schema(shape.table(declared["parameters"], f"{spot}.parameters"))
            extra = shape.without(declared, "name", "description", "parameters", "parametersJsonSchema")
            out.append(
                Tool(
                    name=shape.text(declared.get("name"), f"{spot}.name"),
                    description=shape.text_or_none(declared.get("description"), f"{spot}.description"),
                    schema=None if schema is None else shape.table(schema, f"{spot}.parametersJsonSchema"),
                    extra={name: value for name, value in extra.items() if value is not None},
                )
            )


def json_schema(schema: Any) -> Any:
    """Gemini's own schema (types in capitals, `nullable`) as a JSON schema."""
    if isinstance(schema, list):
        return [json_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out: Table = {}
    for name, value in schema.items():
        spelled = _SNAKE.sub(lambda found: found[1].upper(), name)
        if spelled == "type" and isinstance(value, str):
            out["type"] = value.lower()
        elif spelled == "properties" and isinstance(value, dict):
            out["properties"] = {key: json_schema(item) for key, item in value.items()}
        elif spelled in ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties") and isinstance(value, str):
            out[spelled] = int(value) if value.isdecimal() and len(value) < 16 else value
        elif spelled in ("enum", "example", "default", "required"):
            out[spelled] = value
        elif spelled not in ("nullable", "propertyOrdering"):
            out[spelled] = json_schema(value)
    if schema.get("nullable") is True:
        if isinstance(out.get("type"), str):
            out["type"] = [out["type"], "null"]
        if isinstance(out.get("enum"), list):
            out["enum"] = [*out["enum"], None]
    return out


def _parts(value: object, where: str, pending: Pending, turn: int = 0) -> list[Part]:
    out: list[Part] = []
    pieces: list[str] = []  # of the thought that is last
    for at, part in enumerate(shape.rows([] if value is None else value, where)):
        for read_part in _part(part, f"{where}[{at}]", pending, f"{turn}_{at}"):
            last = out[-1] if out else None
            # A thought of another model came in pieces, its seal in the last: its provider wants the whole back.
            if isinstance(read_part, Thinking) and isinstance(last, Thinking) and _continues(last, read_part):
                pieces.append(read_part.text)
                last.signature, last.origin = read_part.signature, read_part.origin
                continue
            if len(pieces) > 1 and isinstance(last, Thinking):
                last.text = "".join(pieces)
            pieces = [read_part.text] if isinstance(read_part, Thinking) else []
            out.append(read_part)
    if len(pieces) > 1 and isinstance(out[-1], Thinking):
        out[-1].text = "".join(pieces)
    return out


def _continues(earlier: Thinking, later: Thinking) -> bool:
    return not (earlier.signature or later.redacted) and (later.origin != NAME or not later.signature)


def _part(part: Table, where: str, pending: Pending, place: str) -> list[Part]:
    origin, seal, redacted = carry.unpacked(shape.text_or_none(part.get("thoughtSignature"), f"{where}.thoughtSignature"), NAME)
    if part.get("functionCall") is not None:
        inner = shape.table(part["functionCall"], f"{where}.functionCall")
        name = shape.text(inner.get("name"), f"{where}.functionCall.name")
        args = shape.table(inner.get("args") or {}, f"{where}.functionCall.args")
        identifier = shape.text_or_none(inner.get("id"), f"{where}.functionCall.id")
        identifier, own, from_id = carry.unmark(identifier)
        identifier = identifier or f"call_{place}"
        pending.setdefault(name, deque()).append(identifier)
        call = ToolCall(id=identifier, name=name, arguments=_encode(args).decode(), signature=own or seal)
        call.origin = from_id if own else origin if seal else ""
        return [call]
    if part.get("functionResponse") is not None:
        return [_result(shape.table(part["functionResponse"], f"{where}.functionResponse"), f"{where}.functionResponse", pending, place)]
    if part.get("text") is not None:
        text = shape.text(part["text"], f"{where}.text")
        if part.get("thought"):
            return [Thinking(text=text, signature=seal, redacted=redacted, origin=origin)]
        beside = shape.without(part, "text", "thought", "thoughtSignature")
        said: list[Part] = [Text(text, extra=beside)] if text or not seal else []
        return [*said, Thinking(signature=seal, redacted=True, origin=origin)] if seal else said
    for name in ("inlineData", "fileData"):
        if part.get(name) is not None:
            return [_media(shape.table(part[name], f"{where}.{name}"), f"{where}.{name}", shape.without(part, name))]
    if seal:
        return [Thinking(signature=seal, redacted=True, origin=origin)]
    kind = next(iter(part), "")
    return [Opaque(NAME, kind, part)] if kind else []


def _result(inner: Table, where: str, pending: Pending, place: str) -> ToolResult:
    name = shape.text_or_none(inner.get("name"), f"{where}.name")
    identifier = carry.unmark(shape.text_or_none(inner.get("id"), f"{where}.id"))[0]
    if not identifier:
        waiting = pending.get(name)
        identifier = waiting.popleft() if waiting else f"call_{place}"
    said = shape.table(inner.get("response") or {}, f"{where}.response")
    error = set(said) == {"error"}
    whole = said.get("error") if error else said.get("output", said.get("result")) if len(said) == 1 else None
    text = whole if isinstance(whole, str) else shape.as_json(said if whole is None else whole)
    parts: list[Text | Media] = [Text(text)] if text else []
    for at, extra in enumerate(shape.rows(inner.get("parts") or [], f"{where}.parts")):
        spot = f"{where}.parts[{at}]"
        given = [extra[form] for form in ("inlineData", "fileData") if extra.get(form) is not None]
        parts += [_media(shape.table(form, spot), spot, {}) for form in given]
    beside = shape.without(inner, "id", "name", "response", "parts")
    return ToolResult(id=identifier, name=name, parts=parts, error=error, extra={key: value for key, value in beside.items() if value})


def _media(inner: Table, where: str, beside: Table) -> Media:
    media_type = shape.picture_type(shape.text_or_none(inner.get("mimeType"), f"{where}.mimeType"))
    kind: Any = _KINDS.get(media_type.partition("/")[0], "document")
    name = shape.text_or_none(inner.get("displayName"), f"{where}.displayName")
    extra = {key: value for key, value in shape.without(beside, "thoughtSignature", "thought").items() if value is not None}
    if inner.get("fileUri") is not None:
        uri = shape.text(inner["fileUri"], f"{where}.fileUri")
        if uri.startswith("https://generativelanguage.googleapis.com/"):
            return Media(kind=kind, media_type=media_type, file_id=uri, name=name, extra=extra)
        return Media(kind=kind, media_type=media_type, url=uri, name=name, extra=extra)
    # The API takes base64 of either alphabet; the others take only the first.
    data = shape.text(inner.get("data"), f"{where}.data").replace("-", "+").replace("_", "/")
    return Media(kind=kind, media_type=media_type, data=data, name=name, extra=extra)
