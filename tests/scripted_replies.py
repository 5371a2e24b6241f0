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

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from tests.provider_replies import (
    ANTHROPIC_HEADERS,
    CREATED,
    GEMINI_HEADERS,
    JSON_TYPE,
    OPENAI_HEADERS,
    SSE_TYPE,
    Answer,
    Options,
    dumps,
    sse,
)
from tests.strict import anthropic, gemini, openai_responses
from tests.strict.seen import Seen

THOUGHT = "The person greets me. A short answer will do."
DECLINED = "I cannot help with that."
CITIES = ("Paris", "Oslo")
Stop = Literal["stop", "calls", "length", "filter", "refusal", "sequence"]


@dataclass(frozen=True, slots=True)
class Block:
    """One part of an answer. kind: text, thinking, redacted, refusal, call. arguments: JSON text, or "" for none at all."""

    kind: str
    pieces: tuple[str, ...] = ()
    name: str = ""
    arguments: str = ""
    number: int = 0

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def seal(self) -> str:
        """Different for each thing sealed."""
        return hashlib.sha256(f"{self.kind} {self.text}{self.arguments}{self.number}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Script:
    o: Options
    blocks: tuple[Block, ...]
    stop: Stop
    sequence: str = ""


def script(o: Options, seen: Seen) -> Script:
    """What is answered to `seen`."""
    text = Block("text", o.pieces)
    thought = Block("thinking", tuple(re.findall(r"\S+ ?", THOUGHT)))
    tool = next(iter(seen.tools), "")
    if o.say in ("tools", "thinking-tools"):
        if results := seen.results():
            told = "; ".join(f"{call.value['city']}: {result.text}{' (error)' if result.error else ''}" for call, result in results)
            if o.say == "thinking-tools":
                told += "; sealed" if any(item.seal for item in (*seen.items("thinking"), *seen.items("call"))) else "; unsealed"
            return Script(o, (Block("text", tuple(told[i : i + 7] for i in range(0, len(told), 7))),), "stop")
        calls = [Block("call", name=tool, arguments=json.dumps({"city": city}), number=at) for at, city in enumerate(CITIES)]
        return Script(o, (*((thought,) if o.say == "thinking-tools" else ()), *calls), "calls")
    if o.say == "no-arguments":
        return Script(o, (Block("call", name=tool),), "calls")
    if o.say == "thinking":
        return Script(o, (thought, text), "stop")
    if o.say == "redacted":
        return Script(o, (Block("redacted"), text), "stop")
    if o.say == "schema":
        said = '{"city": "Paris", "degrees": 21}' if seen.schema else "No schema came."
        return Script(o, (Block("text", (said[:9], said[9:])),), "stop")
    if o.say == "refusal":
        return Script(o, (Block("refusal", (DECLINED[:9], DECLINED[9:])),), "refusal")
    if o.say == "sequence":
        return Script(o, (text,), "sequence", seen.stop[0] if seen.stop else "")
    if o.say in ("length", "filter"):
        return Script(o, (text,), o.say)  # type: ignore[arg-type]  # both are a Stop
    return Script(o, (text,), "stop")


def answer(dialect: str, said: Script, *, stream: bool, include_usage: bool = False) -> Answer:
    if dialect == "openai":
        return chat_stream(said, include_usage) if stream else chat(said)
    return RENDER[dialect, stream](said)


def _whole(body: object, headers: tuple[tuple[str, str], ...], o: Options) -> Answer:
    return Answer(200, JSON_TYPE, headers, (dumps(body),), every_s=o.every_s)


def _streamed(events: list[bytes], headers: tuple[tuple[str, str], ...], o: Options) -> Answer:
    return Answer(200, SSE_TYPE, headers, tuple(events), stream=True, every_s=o.every_s)


def _halves(text: str) -> list[str]:
    return [text[: len(text) // 2], text[len(text) // 2 :]] if text else []


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
    return _whole(body, OPENAI_HEADERS, said.o)


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
                piece({"tool_calls": [{"index": block.number, "function": {"arguments": part}}]}) for part in _halves(block.arguments)
            ]
        elif block.kind != "redacted":
            name = {"text": "content", "thinking": "reasoning_content"}.get(block.kind, block.kind)
            events += [piece({name: part}) for part in block.pieces]
    events.append(piece({}, _CHAT_STOP[said.stop]))
    if include_usage:
        events.append(chunk([], chat_usage(said.o)))
    events.append(b"data: [DONE]\n\n")
    return _streamed(events, OPENAI_HEADERS, said.o)


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
    return _whole(_response(said, output, _response_end(said), True), OPENAI_HEADERS, said.o)


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
            for part in _halves(block.arguments):
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
    return _streamed(events, OPENAI_HEADERS, said.o)


# Anthropic Messages.

_ANTHROPIC_STOP = {"stop": "end_turn", "calls": "tool_use", "length": "max_tokens", "filter": "refusal", "refusal": "refusal",
                   "sequence": "stop_sequence"}  # fmt: skip


def anthropic_usage(o: Options, output: int) -> dict[str, object]:
    """`input_tokens` leaves out what was read from or written to the cache."""
    return {
        "input_tokens": o.input - o.cached - o.wrote,
        "cache_creation_input_tokens": o.wrote,
        "cache_read_input_tokens": o.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": o.wrote, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"thinking_tokens": o.reasoning if output > 1 else 0},
        "service_tier": "standard",
    }


def _anthropic_block(block: Block) -> dict[str, object]:
    if block.kind == "call":
        value = json.loads(block.arguments) if block.arguments else {}
        return {"type": "tool_use", "id": f"toolu_upstream{block.number}", "name": block.name, "input": value}
    if block.kind == "thinking":
        return {"type": "thinking", "thinking": block.text, "signature": anthropic.SEALS[0] + block.seal}
    if block.kind == "redacted":
        return {"type": "redacted_thinking", "data": anthropic.SEALS[1] + block.seal}
    return {"type": "text", "text": block.text, "citations": None}


def _anthropic_message(said: Script, content: list[object], stop: str | None, output: int) -> dict[str, object]:
    return {
        "id": "msg_upstream0001",
        "type": "message",
        "role": "assistant",
        "model": said.o.model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": (said.sequence or None) if stop else None,
        "usage": anthropic_usage(said.o, output),
    }


def message(said: Script) -> Answer:
    content: list[object] = [_anthropic_block(block) for block in said.blocks]
    return _whole(_anthropic_message(said, content, _ANTHROPIC_STOP[said.stop], said.o.output), ANTHROPIC_HEADERS, said.o)


def message_stream(said: Script) -> Answer:
    events: list[bytes] = []

    def event(kind: str, **fields: object) -> None:
        events.append(sse({"type": kind, **fields}, kind))

    event("message_start", message=_anthropic_message(said, [], None, 1))
    for at, block in enumerate(said.blocks):
        whole = _anthropic_block(block)
        begun = {
            **whole,
            **{"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}}.get(str(whole["type"]), {}),
        }
        event("content_block_start", index=at, content_block=begun)
        if at == 0:
            event("ping")
        if block.kind == "call":
            for part in ["", *_halves(block.arguments)]:
                event("content_block_delta", index=at, delta={"type": "input_json_delta", "partial_json": part})
        elif block.kind == "thinking":
            for part in block.pieces:
                event("content_block_delta", index=at, delta={"type": "thinking_delta", "thinking": part})
            event("content_block_delta", index=at, delta={"type": "signature_delta", "signature": whole["signature"]})
        elif block.kind != "redacted":
            for part in block.pieces:
                event("content_block_delta", index=at, delta={"type": "text_delta", "text": part})
        event("content_block_stop", index=at)
    counts = anthropic_usage(said.o, said.o.output)
    usage = {name: value for name, value in counts.items() if name not in ("cache_creation", "service_tier")}
    event("message_delta", delta={"stop_reason": _ANTHROPIC_STOP[said.stop], "stop_sequence": said.sequence or None}, usage=usage)
    event("message_stop")
    return _streamed(events, ANTHROPIC_HEADERS, said.o)


# Gemini.

_GEMINI_STOP = {"stop": "STOP", "calls": "STOP", "length": "MAX_TOKENS", "filter": "SAFETY", "refusal": "SAFETY", "sequence": "STOP"}


def gemini_usage(o: Options) -> dict[str, object]:
    """`candidatesTokenCount` leaves out the thoughts."""
    return {
        "promptTokenCount": o.input,
        "cachedContentTokenCount": o.cached,
        "candidatesTokenCount": o.output - o.reasoning,
        "thoughtsTokenCount": o.reasoning,
        "totalTokenCount": o.input + o.output,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": o.input}],
    }


def _gemini_parts(block: Block, pieces: tuple[str, ...], sealed: bool) -> list[dict[str, object]]:
    seal = base64.b64encode(f"{gemini.SEAL}{block.seal}".encode()).decode()
    if block.kind == "call":
        call = {"name": block.name, "args": json.loads(block.arguments) if block.arguments else {}}
        return [{"functionCall": call, **({"thoughtSignature": seal} if sealed else {})}]
    if block.kind == "thinking":
        return [{"text": piece, "thought": True} for piece in pieces]
    if block.kind == "redacted":
        return []
    found: list[dict[str, object]] = [{"text": piece} for piece in pieces]
    if sealed and found:
        found[-1]["thoughtSignature"] = seal
    return found


def _sealing(said: Script, at: int) -> bool:
    """The first part after a thought is sealed, and the first call of every answer, as with Gemini 3."""
    block = said.blocks[at]
    after = at > 0 and said.blocks[at - 1].kind in ("thinking", "redacted")
    return after or (block.kind == "call" and not any(one.kind == "call" for one in said.blocks[:at]))


def _candidate(said: Script, parts: list[dict[str, object]], finish: str | None) -> dict[str, object]:
    candidate: dict[str, object] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "usageMetadata": gemini_usage(said.o), "modelVersion": said.o.model, "responseId": "upstream0001"}


def generated(said: Script) -> Answer:
    parts = [part for at, block in enumerate(said.blocks) for part in _gemini_parts(block, (block.text,), _sealing(said, at))]
    return _whole(_candidate(said, parts, _GEMINI_STOP[said.stop]), GEMINI_HEADERS, said.o)


def generated_stream(said: Script) -> Answer:
    parts = [part for at, block in enumerate(said.blocks) for part in _gemini_parts(block, block.pieces, _sealing(said, at))]
    events = [sse(_candidate(said, [part], _GEMINI_STOP[said.stop] if part is parts[-1] else None)) for part in parts]
    return _streamed([event.replace(b"\n", b"\r\n") for event in events], GEMINI_HEADERS, said.o)


RENDER: dict[tuple[str, bool], Callable[[Script], Answer]] = {
    ("responses", False): response,
    ("responses", True): response_stream,
    ("anthropic", False): message,
    ("anthropic", True): message_stream,
    ("gemini", False): generated,
    ("gemini", True): generated_stream,
}
