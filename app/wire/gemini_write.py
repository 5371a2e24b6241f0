"""Requests of generateContent, written from the neutral call.

Sources: as for reading, `gemini_read`; thought signatures: ai.google.dev/gemini-api/docs/thought-signatures.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from app.core.errors import AppError
from app.wire import shape
from app.wire.chat import (
    Call,
    Facts,
    Losses,
    Media,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refused,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    inexpressible,
    plain,
)
from app.wire.shape import Table

NAME: Final = "gemini"

_THIRD: Final = re.compile(r"gemini-(?:[3-9]|\d\d)")
_LATER: Final = re.compile(r"gemini-(?:2\.5|[3-9]|\d\d)")
_UNTHINKING: Final = re.compile(r"gemini-(?:1\.|2\.0)")
_BOUNDS: Final = (
    ("gemini-2.5-pro", 128, 32_768, False),
    ("gemini-2.5-flash-lite", 512, 24_576, True),
    ("gemini-2.5-flash", 0, 24_576, True),
)
_BUDGETS: Final = {"none": 0, "minimal": 512, "low": 1024, "medium": 2048, "high": 4096, "xhigh": 8192, "max": 16384}
_LEVELS: Final = {"none": "MINIMAL", "minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "HIGH", "max": "HIGH"}
_BESIDE: Final = frozenset({"videoMetadata", "mediaResolution"})
# What the documentation names for calls that another model made, which nothing has sealed.
_UNSEALED: Final = "skip_thought_signature_validator"


def write(call: Call, facts: Facts, losses: Losses) -> Table:
    """The model is in the path. AppError not_expressible, body_invalid (no message at all)."""
    own = call.origin == NAME
    out: Table = {}
    system, contents = _contents(call, facts, losses)
    if not contents:
        raise AppError("body_invalid", "`messages` holds no message with content.", param="messages")
    out["contents"] = contents
    if system:
        out["systemInstruction"] = {"parts": system}
    if own:
        out.update({name: value for name, value in call.extra.items() if "." not in name})
        out.update(call.verbatim)
        return out
    if call.tools:
        out["tools"] = [{"functionDeclarations": [_declared(call, at, losses) for at in range(len(call.tools))]}]
        choice = call.choice
        if choice is not None:
            mode = {"auto": "AUTO", "none": "NONE", "required": "ANY", "tool": "ANY"}[choice.mode]
            if choice.mode == "auto" and choice.names:
                mode = "VALIDATED"
            given: Table = {"mode": mode}
            if choice.names:
                given["allowedFunctionNames"] = list(choice.names)
            out["toolConfig"] = {"functionCallingConfig": given}
        if call.parallel is False:
            losses.drop("parallel_tool_calls")
    config = _config(call, facts, losses)
    if config:
        out["generationConfig"] = config
    names = {
        "user": call.user or None, "metadata": call.metadata or None, "store": call.store or None,
        "service_tier": call.service_tier or None, "prompt_cache_key": call.cache_key or None, "verbosity": call.verbosity or None,
        "cache_control": call.cache,
    }  # fmt: skip
    losses.drop(*[name for name, value in names.items() if value is not None])
    return out


def _declared(call: Call, at: int, losses: Losses) -> Table:
    tool = call.tools[at]
    out: Table = {"name": tool.name, "description": tool.description}
    if tool.schema and (tool.schema.get("properties") or tool.schema.get("type") != "object"):
        out["parametersJsonSchema"] = tool.schema
    if tool.strict:
        losses.drop("tools.strict")
    if tool.cache is not None:
        losses.drop("cache_control")
    losses.drop_all(tool.extra, "tools.")
    return out


def _config(call: Call, facts: Facts, losses: Losses) -> Table:
    most, limit = call.max_tokens, facts.max_tokens or _most_tokens(facts.model)
    given = {
        "maxOutputTokens": min(most, limit) if most is not None and limit else most, "temperature": call.temperature,
        "topP": call.top_p, "topK": call.top_k, "seed": call.seed, "frequencyPenalty": call.frequency_penalty,
        "presencePenalty": call.presence_penalty, "stopSequences": call.stop or None,
        "responseLogprobs": call.logprobs or None, "logprobs": call.top_logprobs if call.logprobs else None,
    }  # fmt: skip
    out: Table = {name: value for name, value in given.items() if value is not None}
    form = call.format
    if form is not None and form.kind != "text":
        out["responseMimeType"] = "application/json"
        if form.kind == "schema" and form.schema is not None:
            out["responseJsonSchema"] = form.schema
    if call.reasoning is not None:
        thinking = _thinking(call.reasoning, facts.model, losses)
        if thinking:
            out["thinkingConfig"] = thinking
    return out


def _thinking(wanted: Reasoning, model: str, losses: Losses) -> Table:
    if _UNTHINKING.search(model):
        if wanted.effort != "none" and wanted.budget != 0:
            losses.drop("reasoning_effort")
        return {}
    effort, budget = wanted.effort, wanted.budget
    out: Table = {}
    if _THIRD.search(model):
        if not effort and budget is not None:
            effort = "high" if budget >= 4096 else "medium" if budget >= 2048 else "low" if budget >= 1024 else "minimal"
        if effort in _LEVELS:
            out["thinkingLevel"] = "LOW" if "-pro" in model and _LEVELS[effort] == "MINIMAL" else _LEVELS[effort]
    else:
        budget = budget if budget is not None else _BUDGETS.get(effort)
        if budget is not None:
            out["thinkingBudget"] = _fit_budget(budget, model)
    if effort != "none" and budget != 0 and wanted.shown is not False:
        out["includeThoughts"] = True
    return out


def _fit_budget(budget: int, model: str) -> int:
    """Within what the model takes; others are refused. The bounds are ai.google.dev/gemini-api/docs/thinking's from memory."""
    for name, least, most, may_be_off in _BOUNDS:
        if name in model:
            return budget if budget == 0 and may_be_off else min(max(budget, least), most)
    return budget


def _most_tokens(model: str) -> int:
    """What a model of that generation gives out; 0: unknown. To ask for more is refused.

    65,536: docs.cloud.google.com, "Gemini 2.5 Flash-Lite" (2026-11-28); the others are taken to be alike.
    """
    return 8_192 if _UNTHINKING.search(model) else 65_536 if _LATER.search(model) else 0


def _contents(call: Call, facts: Facts, losses: Losses) -> tuple[list[Table], list[Table]]:
    """The system instruction's parts, and the turns: roles alternate."""
    system: list[Table] = []
    turns: list[Table] = []
    names: dict[str, str] = {}  # of the calls so far: some clients use an id again
    third = bool(_THIRD.search(facts.model))
    own = call.origin == NAME
    for message in call.messages:
        if message.name:
            losses.drop("messages.name")
        if not own:
            losses.drop_all(message.extra, "messages.")
        if message.role in ("system", "developer"):
            if any(isinstance(part, Media) for part in message.parts):
                raise inexpressible("messages.content", "its system prompt holds text alone.")
            _note_cache(message.parts, losses)
            if turns and message.parts:
                losses.drop("messages.order")  # its one system prompt stands before everything
            system += [{"text": part.text} for part in message.parts if isinstance(part, Text)]
            continue
        names.update({part.id: part.name for part in message.parts if isinstance(part, ToolCall)})
        role = "model" if message.role == "assistant" else "user"
        parts = _said(message, losses, third=third, own=own) if role == "model" else _asked(message, names, losses, own=own)
        if not parts:
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["parts"] += parts
        else:
            turns.append({"role": role, "parts": parts})
    return system, turns


def _note_cache(parts: Sequence[Part], losses: Losses) -> None:
    for part in parts:
        if not isinstance(part, Thinking | Refused | Opaque) and part.cache is not None:
            losses.drop("cache_control")
        if isinstance(part, ToolResult):
            _note_cache(part.parts, losses)


def _said(message: Message, losses: Losses, *, third: bool, own: bool) -> list[Table]:
    _note_cache(message.parts, losses)
    out: list[Table] = []
    sealed = False
    for part in message.parts:
        if isinstance(part, Text | Refused):
            if part.text:
                out.append({"text": part.text, **(part.extra if own and isinstance(part, Text) else {})})
        elif isinstance(part, Thinking):
            if part.origin != NAME:
                if part.text:
                    losses.drop("thinking")
            elif part.text:
                out.append({"text": part.text, "thought": True, **({"thoughtSignature": part.signature} if part.signature else {})})
            elif part.signature:
                if out and "thoughtSignature" not in out[-1]:
                    out[-1]["thoughtSignature"] = part.signature
                else:
                    out.append({"text": "", "thoughtSignature": part.signature})
        elif isinstance(part, ToolCall):
            args = shape.arguments(part.arguments)
            inner = {"name": part.name, "args": args if args is not None else {"input": part.arguments}, "id": part.id}
            written: Table = {"functionCall": inner}
            if part.signature and part.origin == NAME:
                written["thoughtSignature"] = part.signature
            elif third and not sealed:
                written["thoughtSignature"] = _UNSEALED  # only the first of parallel calls has one
            sealed = True
            out.append(written)
        elif isinstance(part, Media):
            out.append(_media(part, losses))
        elif isinstance(part, Opaque):
            out.append(part.value)
    return out


def _asked(message: Message, names: dict[str, str], losses: Losses, *, own: bool) -> list[Table]:
    _note_cache(message.parts, losses)
    results = [_result(part, names, losses, own=own) for part in message.parts if isinstance(part, ToolResult)]
    out: list[Table] = []
    for part in message.parts:
        if isinstance(part, Text):
            if part.text:
                out.append({"text": part.text, **(part.extra if own else {})})
        elif isinstance(part, Media):
            out.append(_media(part, losses))
        elif isinstance(part, Opaque):
            out.append(part.value)
    return [*[part for group in results for part in group], *out]


def _result(part: ToolResult, names: dict[str, str], losses: Losses, *, own: bool) -> list[Table]:
    """The response, and after it what it holds beside text."""
    name = part.name or names.get(part.id, "")
    if not name:
        raise AppError("body_invalid", f"No tool was called with the id {part.id}.", "Send the call before its result.", param="messages")
    said = plain(part.parts)
    inner: Table = {"id": part.id, "name": name, "response": {"error": said} if part.error else {"output": said}}
    if own:
        inner.update(part.extra)
    beside = [_media(media, losses) for media in part.parts if isinstance(media, Media)]
    return [{"functionResponse": inner}, *beside]


def _media(part: Media, losses: Losses) -> Table:
    extra = {name: value for name, value in part.extra.items() if name in _BESIDE}
    losses.drop_all([name for name in part.extra if name not in _BESIDE], "content.")
    if part.detail and part.detail != "auto":
        losses.drop("image_url.detail")
    if part.text is not None:
        return {"text": f"{part.name}\n\n{part.text}" if part.name else part.text}
    inner: Table
    if part.file_id:
        if not part.file_id.startswith("https://generativelanguage.googleapis.com/"):
            raise inexpressible("content.file_id", "a file kept at one provider is unknown to another.")
        inner = {"fileUri": part.file_id}
    elif part.url:
        if not part.url.startswith(("gs://", "https://www.youtube.com/", "https://youtu.be/")):
            raise inexpressible(f"{part.kind}.url", "it takes bytes only, and Gatehouse fetches nothing.", "Send it in base64.")
        inner = {"fileUri": part.url}
    else:
        kind = part.media_type or ("application/pdf" if part.kind == "document" else "image/png")
        return {"inlineData": {"mimeType": kind, "data": part.data}, **extra}
    if part.media_type:
        inner["mimeType"] = part.media_type
    return {"fileData": inner, **extra}
