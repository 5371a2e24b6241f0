"""Replies of the local upstream that depend on what was asked, in the shapes of all four dialects, whole and streamed.

A model name asks for one with `say`, e.g. `any~say=tools~input=120` (`~` instead of `?` and `&`, so that it fits into a path):

    text        the text of `tests/provider_replies.py` (what Responses and Gemini answer without `say`)
    tools       two parallel calls of the first tool, for Paris and Oslo; with their results in the last turn, a text that repeats them
    thinking    thinking, sealed, then text          thinking-tools   thinking, then the two calls, then as `tools`
    redacted    a thought that only its seal stands for, then text
    no-arguments   one call of the first tool without arguments, which OpenAI and others send as ""
    schema      JSON of the schema that came, or a complaint that none came
    refusal     the model declines                   filter   the provider's filter stops the answer
    length      the limit of tokens stops it         sequence   the first stop sequence asked for stops it

    wrote       tokens written to the cache, beside the counts that `tests/provider_replies.py` knows
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.provider_replies import CREATED, OPENAI_HEADERS, Answer, Options, sse
from tests.scripted_others import generated, generated_stream, message, message_stream
from tests.scripts import DECLINED, THOUGHT, Block, Script, halves, script, streamed, whole
from tests.strict import openai_responses

__all__ = ["DECLINED", "THOUGHT", "answer", "script"]


def answer(dialect: str, said: Script, *, stream: bool, include_usage: bool = False) -> Answer:
    if dialect == "openai":
        return chat_stream(said, include_usage) if stream else chat(said)
    return RENDER[dialect, stream](said)


# OpenAI Chat Completions. Thoughts are `reasoning_content`, as DeepSeek, vLLM and others of this dialect send them.

_CHAT_STOP = {"stop": "stop", "calls": "tool_calls", "length": "length", "filter": "content_filter", "refusal": "stop", "sequence": "stop"}


def chat_usage(o: Options) -> dict[str, object]:
    return {
        "prompt_tokens": o.input,
        "completion_tokens": o.output,
        "total_tokens": o.input + o.output,
        "prompt_tokens_details": {"cached_tokens": o.cached, "cache_write_tokens": o.wrote, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": o.reasoning, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    }  # fmt: skip


def _chat_call(block: Block) -> dict[str, object]:
    function = {"name": block.name, "arguments": block.arguments}
    return {"id": f"call_upstream{block.number}", "type": "function", "function": function}


def chat(said: Script) -> Answer:
    message: dict[str, object] = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
    calls = [_chat_call(block) for block in said.blocks if block.kind == "call"]
    for block in said.blocks:
        if block.kind in ("text", "refusal", "thinking"):
            message[{"text": "content", "thinking": "reasoning_content"}.get(block.kind, block.kind)] = block.text
    if calls:
        message["tool_calls"] = calls
    body = {
        "id": "chatcmpl-upstream0001",
        "object": "chat.completion",
        "created": CREATED,
        "model": said.o.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": _CHAT_STOP[said.stop]}],
        "usage": chat_usage(said.o),
        "service_tier": "default",
        "system_fingerprint": "fp_upstream",
    }
    return whole(body, OPENAI_HEADERS, said.o)


def chat_stream(said: Script, include_usage: bool) -> Answer:
    def chunk(choices: list[object], usage: object = None) -> bytes:
        body: dict[str, object] = {
            "id": "chatcmpl-upstream0001",
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": said.o.model,
            "service_tier": "default",
            "system_fingerprint": "fp_upstream",
            "choices": choices,
        }
        if include_usage:
            body["usage"] = usage
        return sse(body)

    def piece(delta: dict[str, object], finish: str | None = None) -> bytes:
        return chunk([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}])

    events = [piece({"role": "assistant", "content": "", "refusal": None})]
    for block in said.blocks:
        if block.kind == "call":
            events.append(
                piece({"tool_calls": [{"index": block.number, **_chat_call(block), "function": {"name": block.name, "arguments": ""}}]})
            )
            events += [
                piece({"tool_calls": [{"index": block.number, "function": {"arguments": part}}]}) for part in halves(block.arguments)
            ]
        elif block.kind != "redacted":
            name = {"text": "content", "thinking": "reasoning_content"}.get(block.kind, block.kind)
            events += [piece({name: part}) for part in block.pieces]
    events.append(piece({}, _CHAT_STOP[said.stop]))
    if include_usage:
        events.append(chunk([], chat_usage(said.o)))
    events.append(b"data: [DONE]\n\n")
    return streamed(events, OPENAI_HEADERS, said.o)


# OpenAI Responses.


def responses_usage(o: Options) -> dict[str, object]:
    return {
        "input_tokens": o.input,
        "input_tokens_details": {"cached_tokens": o.cached, "cache_write_tokens": o.wrote},
        "output_tokens": o.output,
        "output_tokens_details": {"reasoning_tokens": o.reasoning},
        "total_tokens": o.input + o.output,
    }


def _response(said: Script, output: list[object], status: str, usage: bool) -> dict[str, object]:
    why = {"length": "max_output_tokens", "filter": "content_filter"}.get(said.stop)
    return {
        "id": "resp_upstream0001",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": why} if status == "incomplete" else None,
        "instructions": None,
        "max_output_tokens": None,
        "model": said.o.model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": responses_usage(said.o) if usage else None,
        "user": None,
        "metadata": {},
    }


def _response_item(block: Block, at: int, status: str, full: bool = True) -> dict[str, Any]:
    """An item of the output; with `full` false as it is when it begins."""
    if block.kind == "call":
        return {"id": f"fc_upstream{at}", "type": "function_call", "status": status, "arguments": block.arguments if full else "",
                "call_id": f"call_upstream{block.number}", "name": block.name}  # fmt: skip
    if block.kind in ("thinking", "redacted"):
        summary = [{"type": "summary_text", "text": block.text}] if full and block.text else []
        return {"id": f"rs_upstream{at}", "type": "reasoning", "summary": summary, "encrypted_content": openai_responses.SEAL + block.seal}
    return {"id": f"msg_upstream{at}", "type": "message", "status": status, "role": "assistant",
            "content": [_response_part(block, block.text)] if full else []}  # fmt: skip


def _response_part(block: Block, text: str) -> dict[str, object]:
    if block.kind == "refusal":
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _response_end(said: Script) -> str:
    return "incomplete" if said.stop in ("length", "filter") else "completed"


def response(said: Script) -> Answer:
    output: list[object] = [_response_item(block, at, "completed") for at, block in enumerate(said.blocks)]
    return whole(_response(said, output, _response_end(said), True), OPENAI_HEADERS, said.o)


def response_stream(said: Script) -> Answer:
    events: list[bytes] = []

    def event(kind: str, **fields: object) -> None:
        events.append(sse({"type": kind, "sequence_number": len(events), **fields}, kind))

    event("response.created", response=_response(said, [], "in_progress", False))
    event("response.in_progress", response=_response(said, [], "in_progress", False))
    output: list[object] = []
    for at, block in enumerate(said.blocks):
        item = _response_item(block, at, "completed")
        where: dict[str, object] = {"item_id": item["id"], "output_index": at}
        event("response.output_item.added", output_index=at, item=_response_item(block, at, "in_progress", full=False))
        if block.kind == "call":
            for part in halves(block.arguments):
                event("response.function_call_arguments.delta", **where, delta=part)
            event("response.function_call_arguments.done", **where, name=block.name, arguments=block.arguments)
        elif block.kind == "thinking":
            where["summary_index"] = 0
            event("response.reasoning_summary_part.added", **where, part={"type": "summary_text", "text": ""})
            for part in block.pieces:
                event("response.reasoning_summary_text.delta", **where, delta=part)
            event("response.reasoning_summary_text.done", **where, text=block.text)
            event("response.reasoning_summary_part.done", **where, part={"type": "summary_text", "text": block.text})
        elif block.kind in ("text", "refusal"):
            where["content_index"] = 0
            kind = "output_text" if block.kind == "text" else "refusal"
            more: dict[str, object] = {"logprobs": []} if block.kind == "text" else {}
            event("response.content_part.added", **where, part=_response_part(block, ""))
            for part in block.pieces:
                event(f"response.{kind}.delta", **where, delta=part, **more)
            done = {"text": block.text, **more} if block.kind == "text" else {"refusal": block.text}
            event(f"response.{kind}.done", **where, **done)
            event("response.content_part.done", **where, part=_response_part(block, block.text))
        event("response.output_item.done", output_index=at, item=item)
        output.append(item)
    end = _response_end(said)
    event(f"response.{end}", response=_response(said, output, end, True))
    return streamed(events, OPENAI_HEADERS, said.o)


RENDER: dict[tuple[str, bool], Callable[[Script], Answer]] = {
    ("responses", False): response,
    ("responses", True): response_stream,
    ("anthropic", False): message,
    ("anthropic", True): message_stream,
    ("gemini", False): generated,
    ("gemini", True): generated_stream,
}
