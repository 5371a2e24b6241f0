"""Replies and streams of messages, read into the neutral exchange and written from it.

Source: the package `anthropic` (2.12: types/message, raw_message_stream_event, usage).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from app.core.errors import AppError
from app.wire import carry, shape
from app.wire.anthropic import DIALECT
from app.wire.chat import (
    Answer,
    Call,
    CallEnd,
    CallPiece,
    CallStart,
    Delta,
    Facts,
    Finish,
    Opaque,
    Part,
    Reason,
    Refused,
    RefusedPiece,
    Said,
    Start,
    Text,
    Thinking,
    Thought,
    ToolCall,
)
from app.wire.shape import Table, got
from app.wire.usage import Usage

NAME: Final = "anthropic"
_encode: Final = msgspec.json.encode

_REASONS: Final[Mapping[str, Reason]] = {
    "end_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_calls",
    "pause_turn": "stop",
    "refusal": "content_filter",
}
_STOPS: Final[Mapping[Reason, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "stop_sequence": "stop_sequence",
}


def read(body: Table, seed: str) -> Answer:
    """AppError provider_broken when it holds no content."""
    content = body.get("content")
    if not isinstance(content, list):
        raise AppError("provider_broken", "The provider's answer holds no message.")
    answer = Answer(id=got(body.get("id"), str, ""), model=got(body.get("model"), str, ""))
    for at, block in enumerate(content):
        if isinstance(block, dict):
            part = _part(block, f"{seed}_{at}")
            if part is not None:
                answer.parts.append(part)
    answer.reason = _REASONS.get(got(body.get("stop_reason"), str, ""), "stop")
    answer.stop = got(body.get("stop_sequence"), str, "")
    return answer


def _part(block: Table, seed: str) -> Part | None:
    kind = block.get("type")
    if kind == "text":
        text = got(block.get("text"), str, "")
        return Text(text) if text else None
    if kind == "thinking":
        return Thinking(text=got(block.get("thinking"), str, ""), signature=got(block.get("signature"), str, ""), origin=NAME)
    if kind == "redacted_thinking":
        return Thinking(signature=got(block.get("data"), str, ""), redacted=True, origin=NAME)
    if kind == "tool_use":
        given = got(block.get("input"), dict, {})
        identifier = got(block.get("id"), str, "") or f"toolu_{seed}"
        return ToolCall(id=identifier, name=got(block.get("name"), str, ""), arguments=shape.as_json(given))
    return Opaque(NAME, got(kind, str, ""), block)


class Reader:
    """Events. Blocks of a kind that only this dialect has are left out."""

    __slots__ = ("_calls", "_pieces", "_seed", "_tool")

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._tool: object = None  # index of the open tool_use block
        self._pieces = self._calls = 0

    def event(self, name: str, data: bytes) -> Sequence[Delta]:
        event = shape.decoded(data)
        if event is None:
            return ()
        kind = event.get("type")
        if kind == "content_block_delta":
            delta = event.get("delta")
            return self._delta(event, delta) if isinstance(delta, dict) else ()
        if kind == "content_block_start":
            block = event.get("content_block")
            return self._begin(event, block) if isinstance(block, dict) else ()
        if kind == "content_block_stop":
            return self._end() if self._tool is not None and event.get("index") == self._tool else ()
        if kind == "message_start":
            message = got(event.get("message"), dict, {})
            return (Start(got(message.get("id"), str, ""), got(message.get("model"), str, "")),)
        if kind == "message_delta":
            delta = got(event.get("delta"), dict, {})
            reason = delta.get("stop_reason")
            if isinstance(reason, str):
                return (*self.close(), Finish(_REASONS.get(reason, "stop"), got(delta.get("stop_sequence"), str, "")))
        return ()

    def close(self) -> Sequence[Delta]:
        return self._end() if self._tool is not None else ()

    def _begin(self, event: Table, block: Table) -> Sequence[Delta]:
        kind = block.get("type")
        before = self.close()
        if kind == "tool_use":
            self._tool, self._pieces = event.get("index", 0), 0
            self._calls += 1
            identifier = got(block.get("id"), str, "") or f"toolu_{self._seed}_{self._calls}"
            start = CallStart(identifier, got(block.get("name"), str, ""))
            given = block.get("input")
            if isinstance(given, dict) and given:  # some compatible servers send the whole input at once
                self._pieces = 1
                return (*before, start, CallPiece(shape.as_json(given)))
            return (*before, start)
        if kind == "text" and isinstance(block.get("text"), str) and block["text"]:
            return (*before, Said(block["text"]))
        if kind == "thinking" and isinstance(block.get("thinking"), str) and block["thinking"]:
            return (*before, Thought(block["thinking"]))
        if kind == "redacted_thinking":
            return (*before, Thought("", got(block.get("data"), str, ""), redacted=True, origin=NAME))
        return before

    def _delta(self, event: Table, delta: Table) -> Sequence[Delta]:
        kind = delta.get("type")
        if kind == "text_delta":
            text = delta.get("text")
            return (*self.close(), Said(text)) if isinstance(text, str) and text else ()
        if kind == "input_json_delta":
            piece = delta.get("partial_json")
            if isinstance(piece, str) and piece and self._tool is not None and event.get("index", 0) == self._tool:
                self._pieces += 1
                return (CallPiece(piece),)
        elif kind == "thinking_delta":
            text = delta.get("thinking")
            return (*self.close(), Thought(text)) if isinstance(text, str) and text else ()
        elif kind == "signature_delta":
            seal = delta.get("signature")
            return (*self.close(), Thought("", seal, origin=NAME)) if isinstance(seal, str) and seal else ()
        return ()

    def _end(self) -> Sequence[Delta]:
        self._tool = None
        return (CallEnd(),) if self._pieces else (CallPiece("{}"), CallEnd())


def usage_table(usage: Usage) -> Table:
    """What was used, as Anthropic counts: input_tokens excludes what was read from the cache and written to it."""
    cached, written = usage.cached or 0, usage.cache_write or 0
    out: Table = {
        "input_tokens": max(0, (usage.input or 0) - cached - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "output_tokens": usage.output or 0,
    }
    if usage.reasoning is not None:
        out["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return out


def identifier(given: str, facts: Facts) -> str:
    given = given or facts.id
    for prefix in ("msg_", "resp_", "chatcmpl-"):
        given = given.removeprefix(prefix)
    return f"msg_{given or 'none'}"


def call_id(given: str, signature: str, origin: str) -> str:
    return carry.mark(carry.fit_id(given), signature, origin)


def write(answer: Answer, call: Call, facts: Facts) -> Table:
    content: list[Table] = []
    for part in answer.parts:
        if isinstance(part, Text | Refused):
            content.append({"type": "text", "text": part.text, "citations": None})
        elif isinstance(part, Thinking):
            content.append(_thinking(part))
        elif isinstance(part, ToolCall):
            given = shape.arguments(part.arguments)
            block = {"type": "tool_use", "id": call_id(part.id, part.signature, part.origin), "name": part.name}
            content.append({**block, "input": given if given is not None else {"input": part.arguments}})
    return {
        "id": identifier(answer.id, facts),
        "type": "message",
        "role": "assistant",
        "model": facts.asked,
        "content": content,
        "stop_reason": _STOPS[answer.reason],
        "stop_sequence": answer.stop or None,
        "usage": usage_table(answer.usage),
    }


def _thinking(part: Thinking) -> Table:
    foreign = part.origin != NAME
    if part.redacted and not foreign:
        return {"type": "redacted_thinking", "data": part.signature}
    seal = carry.seal(part.origin, part.signature, redacted=part.redacted) if foreign else part.signature
    return {"type": "thinking", "thinking": part.text, "signature": seal}


class Writer:
    """Events: message_start, the blocks one after the other, one message_delta, message_stop."""

    __slots__ = ("_block", "_call", "_facts", "_finish", "_index", "_sealed", "_started")

    def __init__(self, call: Call, facts: Facts) -> None:
        self._facts = facts
        self._started = self._sealed = False
        self._block = ""  # kind of the open block
        self._index = -1
        self._finish: Finish | None = None

    def write(self, deltas: Sequence[Delta], usage: Usage) -> bytes:
        out = bytearray()
        for delta in deltas:
            if not self._started:
                out += self._start(delta.id if isinstance(delta, Start) else "", usage)
            if isinstance(delta, Said | RefusedPiece):
                if self._block != "text":
                    out += self._open("text", {"type": "text", "text": ""})
                out += self._piece(b'"text_delta","text":', delta.text)
            elif isinstance(delta, CallPiece):
                out += self._piece(b'"input_json_delta","partial_json":', delta.text)
            elif isinstance(delta, Thought):
                out += self._thought(delta)
            elif isinstance(delta, CallStart):
                marked = call_id(delta.id, delta.signature, delta.origin)
                out += self._open("tool_use", {"type": "tool_use", "id": marked, "name": delta.name, "input": {}})
            elif isinstance(delta, CallEnd):
                out += self._close()
            elif isinstance(delta, Finish):
                self._finish = delta
        return bytes(out)

    def end(self, usage: Usage) -> bytes:
        out = b"" if self._started else self._start("", usage)
        out += self._close()
        finish = self._finish or Finish("stop")
        delta = {
            "type": "message_delta",
            "delta": {"stop_reason": _STOPS[finish.reason], "stop_sequence": finish.stop or None},
            "usage": usage_table(usage),
        }
        out += b"event: message_delta\ndata: " + _encode(delta) + b"\n\n"
        return out + b'event: message_stop\ndata: {"type":"message_stop"}\n\n'

    def error(self, error: AppError, call_id: str) -> bytes:
        return DIALECT.error_event(error, call_id)

    def _start(self, given: str, usage: Usage) -> bytes:
        self._started = True
        message: Table = {
            "id": identifier(given, self._facts),
            "type": "message",
            "role": "assistant",
            "model": self._facts.asked,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_table(usage),
        }
        return b"event: message_start\ndata: " + _encode({"type": "message_start", "message": message}) + b"\n\n"

    def _thought(self, delta: Thought) -> bytes:
        out = b""
        foreign = delta.origin != NAME
        if delta.redacted and not foreign:
            return self._open("redacted", {"type": "redacted_thinking", "data": delta.signature}) + self._close()
        if self._block != "thinking" or (self._sealed and delta.text):
            out += self._open("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        if delta.text:
            out += self._piece(b'"thinking_delta","thinking":', delta.text)
        if delta.signature:
            seal = carry.seal(delta.origin, delta.signature, redacted=delta.redacted) if foreign else delta.signature
            out += self._piece(b'"signature_delta","signature":', seal)
            self._sealed = True
        return out

    def _open(self, kind: str, block: Table) -> bytes:
        out = self._close()
        self._index += 1
        self._block, self._sealed = kind, False
        event = {"type": "content_block_start", "index": self._index, "content_block": block}
        return out + b"event: content_block_start\ndata: " + _encode(event) + b"\n\n"

    def _close(self) -> bytes:
        if not self._block:
            return b""
        self._block = ""
        return b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % self._index

    def _piece(self, kind: bytes, text: str) -> bytes:
        return (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":' % self._index
            + kind
            + _encode(text)
            + b"}}\n\n"
        )
