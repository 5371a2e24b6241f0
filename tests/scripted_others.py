"""The scripted replies of Anthropic and Gemini."""

from __future__ import annotations

import base64
import json

from tests.provider_replies import ANTHROPIC_HEADERS, GEMINI_HEADERS, Answer, Options, sse
from tests.scripts import Block, Script, halves, streamed, whole
from tests.strict import anthropic, gemini

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
    return whole(_anthropic_message(said, content, _ANTHROPIC_STOP[said.stop], said.o.output), ANTHROPIC_HEADERS, said.o)


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
            for part in ["", *halves(block.arguments)]:
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
    return streamed(events, ANTHROPIC_HEADERS, said.o)


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
    return whole(_candidate(said, parts, _GEMINI_STOP[said.stop]), GEMINI_HEADERS, said.o)


def generated_stream(said: Script) -> Answer:
    parts = [part for at, block in enumerate(said.blocks) for part in _gemini_parts(block, block.pieces, _sealing(said, at))]
    events = [sse(_candidate(said, [part], _GEMINI_STOP[said.stop] if part is parts[-1] else None)) for part in parts]
    return streamed([event.replace(b"\n", b"\r\n") for event in events], GEMINI_HEADERS, said.o)
