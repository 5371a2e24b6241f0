"""Replies of responses, read into the neutral exchange and written from it.

Source: the package `openai` (3.54: types/responses/response and its output items).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.core.errors import AppError
from app.wire import carry
from app.wire.chat import Answer, Call, Facts, Opaque, Part, Reason, Refused, Text, Thinking, ToolCall
from app.wire.openai_responses_read import NAME, pack, unpack
from app.wire.shape import Table, got
from app.wire.usage import Usage, count

_INCOMPLETE: Final[Mapping[str, Reason]] = {"max_output_tokens": "length", "content_filter": "content_filter"}


def read(body: Table, seed: str) -> Answer:
    """AppError provider_broken when it holds no output (a response that runs in the background)."""
    output = body.get("output")
    if not isinstance(output, list) or body.get("status") in ("queued", "in_progress", "cancelled"):
        raise AppError("provider_broken", "The provider's answer holds no output.")
    answer = Answer(id=got(body.get("id"), str, ""), model=got(body.get("model"), str, ""), created_s=count(body.get("created_at")) or 0)
    for at, item in enumerate(output):
        if isinstance(item, dict):
            _item(answer, item, f"{seed}_{at}")
    answer.reason = reason(body, called=any(isinstance(part, ToolCall) for part in answer.parts))
    return answer


def reason(response: Table, *, called: bool) -> Reason:
    if response.get("status") == "incomplete":
        why = got(response.get("incomplete_details"), dict, {}).get("reason")
        return _INCOMPLETE.get(why, "length") if isinstance(why, str) else "length"
    return "tool_calls" if called else "stop"


def thought_of(item: Table) -> str:
    said = [
        part["text"]
        for name in ("summary", "content")
        for part in got(item.get(name), list, [])
        if isinstance(part, dict) and isinstance(part.get("text"), str)
    ]
    return "\n\n".join(said)


def seal_of(item: Table) -> str:
    sealed = item.get("encrypted_content")
    return pack(got(item.get("id"), str, ""), sealed) if isinstance(sealed, str) and sealed else ""


def _item(answer: Answer, item: Table, seed: str) -> None:
    kind = item.get("type")
    if kind == "message":
        for part in got(item.get("content"), list, []):
            if not isinstance(part, dict):
                continue
            if part.get("type") == "refusal":
                answer.parts.append(Refused(got(part.get("refusal"), str, "")))
            elif isinstance(part.get("text"), str):
                answer.parts.append(Text(part["text"]))
                if isinstance(part.get("logprobs"), list) and part["logprobs"]:
                    answer.logprobs = answer.logprobs or []
                    answer.logprobs += part["logprobs"]
    elif kind == "reasoning":
        answer.parts.append(Thinking(text=thought_of(item), signature=seal_of(item), origin=NAME))
    elif kind in ("function_call", "custom_tool_call"):
        custom = kind == "custom_tool_call"
        said = got(item.get("input" if custom else "arguments"), str, "")
        identifier = got(item.get("call_id"), str, "") or f"call_{seed}"
        arguments = said if custom or said.strip() else "{}"
        answer.parts.append(ToolCall(id=identifier, name=got(item.get("name"), str, ""), arguments=arguments, custom=custom))
    else:
        answer.parts.append(Opaque(NAME, got(kind, str, ""), item))


def identifier(given: str, facts: Facts) -> str:
    given = given or facts.id
    for prefix in ("msg_", "resp_", "chatcmpl-"):
        given = given.removeprefix(prefix)
    return f"resp_{given or 'none'}"


def usage_table(usage: Usage) -> Table:
    """What was used, as OpenAI counts: input_tokens includes cached ones, output_tokens includes reasoning."""
    given, output = usage.input or 0, usage.output or 0
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": usage.cached or 0, "cache_write_tokens": usage.cache_write or 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
        "total_tokens": given + output,
    }


def response(call: Call, facts: Facts, identity: str, created_s: int) -> Table:
    """The response object as far as the request decides it; `output`, `status` and `usage` are those of one that has just begun."""
    said: dict[str, Any] = call.verbatim
    thinking = said.get("reasoning")
    return {
        "id": identity,
        "object": "response",
        "created_at": created_s or facts.now_s,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": said.get("instructions"),
        "max_output_tokens": said.get("max_output_tokens"),
        "model": facts.asked,
        "output": [],
        "parallel_tool_calls": said.get("parallel_tool_calls", True),
        "previous_response_id": said.get("previous_response_id"),
        "reasoning": thinking if isinstance(thinking, dict) else {"effort": None, "summary": None},
        "store": said.get("store", True),
        "temperature": said.get("temperature"),
        "text": said.get("text", {"format": {"type": "text"}}),
        "tool_choice": said.get("tool_choice", "auto"),
        "tools": said.get("tools", []),
        "top_p": said.get("top_p"),
        "truncation": said.get("truncation", "disabled"),
        "usage": None,
        "user": said.get("user"),
        "metadata": said.get("metadata", {}),
    }


def reasoning_item(identity: str, text: str, signature: str, origin: str, *, redacted: bool) -> Table:
    """A thought as an item. One that OpenAI sealed keeps its own id."""
    sealed = carry.seal(origin, signature, redacted=redacted)
    if origin == NAME and signature:
        own, sealed = unpack(signature)
        identity = own or identity
    item: Table = {"id": identity, "type": "reasoning", "summary": [{"type": "summary_text", "text": text}] if text else []}
    if sealed:
        item["encrypted_content"] = sealed
    return item


def message_item(identity: str, content: list[Table]) -> Table:
    return {"id": identity, "type": "message", "status": "completed", "role": "assistant", "content": content}


def call_item(identity: str, call_id: str, name: str, arguments: str, *, custom: bool) -> Table:
    if custom:
        return {"id": identity, "type": "custom_tool_call", "call_id": call_id, "name": name, "input": arguments}
    return {
        "id": identity,
        "type": "function_call",
        "status": "completed",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
    }


def text_part(text: str, logprobs: list[Any] | None = None) -> Table:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs or []}


def finished(begun: Table, output: list[Table], usage: Usage, why: Reason) -> Table:
    cut = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(why)
    return {
        **begun,
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": cut} if cut else None,
        "output": output,
        "usage": usage_table(usage),
    }


def write(answer: Answer, call: Call, facts: Facts) -> Table:
    identity = identifier(answer.id, facts)
    bare = identity.removeprefix("resp_")
    output: list[Table] = []
    logprobs = answer.logprobs
    for part in answer.parts:
        item = _written(part, f"{bare}_{len(output)}")
        if item is None:
            continue
        if item["type"] == "message" and output and output[-1]["type"] == "message":
            output[-1]["content"] += item["content"]
        else:
            output.append(item)
        if logprobs and isinstance(part, Text):
            output[-1]["content"][-1]["logprobs"], logprobs = logprobs, None
    return finished(response(call, facts, identity, answer.created_s), output, answer.usage, answer.reason)


def _written(part: Part, bare: str) -> Table | None:
    if isinstance(part, Text):
        return message_item(f"msg_{bare}", [text_part(part.text)])
    if isinstance(part, Refused):
        return message_item(f"msg_{bare}", [{"type": "refusal", "refusal": part.text}])
    if isinstance(part, Thinking):
        return reasoning_item(f"rs_{bare}", part.text, part.signature, part.origin, redacted=part.redacted)
    if isinstance(part, ToolCall):
        marked = carry.mark(part.id, part.signature, part.origin)
        return call_item(f"fc_{bare}", marked, part.name, part.arguments, custom=part.custom)
    if isinstance(part, Opaque) and part.origin == NAME:
        return part.value
    return None
