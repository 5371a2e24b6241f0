"""Replies and streams of chat/completions, read into the neutral exchange and written from it.

Sources: the package `openai` (3.54: types/chat/chat_completion, chat_completion_chunk) and what other providers add, as noted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from app.core.errors import AppError
from app.wire import carry, shape
from app.wire.chat import (
    Answer,
    Call,
    CallEnd,
    CallPiece,
    CallStart,
    Delta,
    Facts,
    Finish,
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
from app.wire.openai_chat import DIALECT
from app.wire.openai_chat_write import thinking_block
from app.wire.shape import Table, got
from app.wire.usage import Usage, count

_encode: Final = msgspec.json.encode
_MARKS: Final = re.compile(r'["\\{}\[\]]')

_REASONS: Final[Mapping[str, Reason]] = {
    "stop": "stop",
    "length": "length",
    "model_length": "length",  # Mistral: the context was full
    "insufficient_system_resource": "length",  # DeepSeek: cut short
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


def read(body: Table, seed: str) -> Answer:
    """The first choice. AppError provider_broken when there is none."""
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None
    message = choice.get("message") if choice is not None else None
    if choice is None or not isinstance(message, dict):
        raise AppError("provider_broken", "The provider's answer holds no message.")
    answer = Answer(id=got(body.get("id"), str, ""), model=got(body.get("model"), str, ""), created_s=count(body.get("created")) or 0)
    answer.parts = _thinking(message)
    for delta in _texts(message.get("content")):
        if isinstance(delta, Said):
            answer.parts.append(Text(delta.text))
        elif isinstance(delta, Thought):
            answer.parts.append(Thinking(text=delta.text))
    if isinstance(message.get("refusal"), str) and message["refusal"]:
        answer.parts.append(Refused(message["refusal"]))
    reader = Reader(seed)
    calls = message.get("tool_calls")
    old = message.get("function_call")
    if not calls and isinstance(old, dict):
        calls = [{"function": old}]
    starts = reader.calls([{**item, "index": at} for at, item in enumerate(got(calls, list, [])) if isinstance(item, dict)])
    answer.parts += _whole_calls([*starts, *reader.close()])
    reason = _REASONS.get(got(choice.get("finish_reason"), str, ""), "stop")
    answer.reason = "tool_calls" if reader.called and reason == "stop" else reason
    answer.logprobs = got(got(choice.get("logprobs"), dict, {}).get("content"), list, None)
    return answer


def _whole_calls(deltas: Sequence[Delta]) -> list[Part]:
    out: list[Part] = []
    pieces: list[str] = []
    for delta in deltas:
        if isinstance(delta, CallStart):
            out.append(
                ToolCall(id=delta.id, name=delta.name, arguments="", custom=delta.custom, signature=delta.signature, origin=delta.origin)
            )
        elif isinstance(delta, CallPiece):
            pieces.append(delta.text)
        elif isinstance(delta, CallEnd):
            last = out[-1]
            assert isinstance(last, ToolCall)
            last.arguments = "".join(pieces)
            pieces.clear()
    return out


def _thinking(message: Table) -> list[Part]:
    out: list[Part] = []
    for block in got(message.get("thinking_blocks"), list, []):
        if isinstance(block, dict):
            redacted = block.get("type") == "redacted_thinking"
            seal = got(block.get("data" if redacted else "signature"), str, "")
            out.append(Thinking(text=got(block.get("thinking"), str, ""), signature=seal, redacted=redacted, origin="anthropic"))
    said = message.get("reasoning_content") or message.get("reasoning")
    if not out and isinstance(said, str) and said:
        out.append(Thinking(text=said))
    return out


def _texts(content: object) -> list[Delta]:
    """Mistral's thinking models answer with a list: {"type": "thinking", "thinking": [{"type": "text"}]} beside {"type": "text"}."""
    if isinstance(content, str):
        return [Said(content)] if content else []
    out: list[Delta] = []
    for part in got(content, list, []):
        if not isinstance(part, dict):
            continue
        inner = part.get("thinking")
        if isinstance(inner, list):
            out += [Thought(piece["text"]) for piece in inner if isinstance(piece, dict) and isinstance(piece.get("text"), str)]
        elif isinstance(part.get("text"), str):
            out.append(Said(part["text"]))
    return out


class _Held:
    """A tool call that began while another was open, or before its name was known."""

    __slots__ = ("custom", "id", "name", "origin", "pieces", "signature")

    def __init__(self) -> None:
        self.id = self.name = self.signature = self.origin = ""
        self.custom = False
        self.pieces: list[str] = []


class _Whole:
    """Whether the pieces of a call's arguments are one JSON object, each looked at once: this is asked whenever another call's piece
    comes."""

    __slots__ = ("_blank", "_depth", "_ended", "_escaped", "_quoted", "_seen", "_spoilt")

    def __init__(self) -> None:
        self._seen = self._depth = 0
        self._blank = True
        self._quoted = self._escaped = self._ended = self._spoilt = False

    def of(self, pieces: Sequence[str]) -> bool:
        """`pieces`: those of the last time, and perhaps more. No arguments are an object too."""
        if not pieces or self._spoilt:
            return False
        open_until_now = not self._ended
        for piece in pieces[self._seen :]:
            self._look(piece)
        self._seen = len(pieces)
        if open_until_now and self._ended and not self._spoilt:
            self._spoilt = shape.arguments("".join(pieces)) is None
        return (self._blank or self._ended) and not self._spoilt

    def _look(self, piece: str) -> None:
        self._blank = self._blank and not piece.strip()
        if self._ended:
            self._spoilt = self._spoilt or bool(piece.strip())
            return
        at = 1 if self._escaped and piece else 0
        self._escaped = self._escaped and not piece
        for found in _MARKS.finditer(piece, at):
            here = found.start()
            if here < at:
                continue
            if found[0] == '"':
                self._quoted = not self._quoted
            elif found[0] == "\\":
                at = here + 2
                self._escaped = self._quoted and at > len(piece)
            elif not self._quoted:
                self._depth += 1 if found[0] in "{[" else -1
                if self._depth <= 0:
                    self._ended = True
                    self._spoilt = bool(piece[here + 1 :].strip())
                    return


class Reader:
    """Chunks. Providers differ in how they number parallel calls; what comes out is one call after the other."""

    __slots__ = ("_closed", "_held", "_numbers", "_open", "_pieces", "_seed", "_started", "_whole", "called")

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._started = self.called = False
        self._open: int | None = None
        self._pieces: list[str] = []
        self._whole = _Whole()
        self._held: dict[int, _Held] = {}
        self._closed: set[int] = set()
        self._numbers: dict[int, tuple[int, str]] = {}  # the provider's index -> ours, and the id it had

    def event(self, name: str, data: bytes) -> Sequence[Delta]:
        chunk = shape.decoded(data)
        if chunk is None:
            return ()
        out: list[Delta] = []
        if not self._started:
            if "choices" not in chunk:
                return ()
            self._started = True
            out.append(Start(got(chunk.get("id"), str, ""), got(chunk.get("model"), str, ""), count(chunk.get("created")) or 0))
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices:
            return out
        choice = choices[0]
        if not isinstance(choice, dict) or choice.get("index", 0) not in (0, None):
            return out
        delta = choice.get("delta")
        if isinstance(delta, dict):
            self._delta(out, delta, choice)
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            out += self._settle()
            kept = _REASONS.get(reason, "stop")
            out.append(Finish("tool_calls" if self.called and kept == "stop" else kept))
        return out

    def close(self) -> Sequence[Delta]:
        return self._settle()

    def _delta(self, out: list[Delta], delta: Table, choice: Table) -> None:
        said: list[Delta] = []
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(thought, str) and thought:
            said.append(Thought(thought))
        for block in got(delta.get("thinking_blocks"), list, []):
            if isinstance(block, dict):
                redacted = block.get("type") == "redacted_thinking"
                seal = block.get("data" if redacted else "signature")
                if isinstance(seal, str) and seal:
                    said.append(Thought("", seal, redacted, "anthropic"))
        content = delta.get("content")
        if content:
            said += _texts(content)
            logprobs = choice.get("logprobs")
            if isinstance(logprobs, dict) and isinstance(logprobs.get("content"), list) and said and isinstance(said[-1], Said):
                said[-1].logprobs = logprobs["content"]
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            said.append(RefusedPiece(refusal))
        if said:
            if self._open is not None:
                out += self._settle()
            out += said
        calls = delta.get("tool_calls")
        if isinstance(calls, list):
            out += self.calls(calls)
        old = delta.get("function_call")
        if isinstance(old, dict) and not calls:
            out += self.calls([{"index": 0, "function": old}])

    def calls(self, items: Sequence[Any]) -> list[Delta]:
        out: list[Delta] = []
        for item in items:
            if isinstance(item, dict):
                self._call(out, item)
        return out

    def _call(self, out: list[Delta], item: Table) -> None:
        custom = isinstance(item.get("custom"), dict)
        inner = got(item.get("custom" if custom else "function"), dict, {})
        identifier, name = got(item.get("id"), str, ""), got(inner.get("name"), str, "")
        given = inner.get("input" if custom else "arguments")
        if isinstance(given, dict):  # some local servers send the object itself
            given = _encode(given).decode()
        piece = got(given, str, "")
        at = self._number(item.get("index"), identifier, name)
        if at in self._closed:
            return
        if at == self._open:
            if piece:
                self._pieces.append(piece)
                out.append(CallPiece(piece))
            return
        held = self._held.setdefault(at, _Held())
        held.id, held.name, held.custom = held.id or identifier, held.name or name, held.custom or custom
        google = got(got(item.get("extra_content"), dict, {}).get("google"), dict, {})
        if isinstance(google.get("thought_signature"), str):  # Google's own OpenAI-compatible endpoint
            held.signature, held.origin = google["thought_signature"], "gemini"
        if piece:
            held.pieces.append(piece)
        if self._open is not None and self._whole.of(self._pieces):
            self._end(out)
        if self._open is None and held.name:
            self._begin(out, at)

    def _number(self, index: object, identifier: str, name: str) -> int:
        """Ours for the provider's index. Absent: a new call if it has a name. The same with another id and a name: a new call."""
        last = len(self._numbers) - 1
        key = index if isinstance(index, int) and not isinstance(index, bool) else (last + 1 if name else max(last, 0))
        known = self._numbers.get(key)
        if known is not None and (not identifier or not name or not known[1] or known[1] == identifier):
            if identifier and not known[1]:
                self._numbers[key] = known[0], identifier
            return known[0]
        ours = len(self._closed) + len(self._held) + (self._open is not None)
        self._numbers[key] = ours, identifier
        return ours

    def _begin(self, out: list[Delta], at: int) -> None:
        held = self._held.pop(at)
        self._open, self.called = at, True
        self._pieces, self._whole = held.pieces, _Whole()
        identifier = held.id or f"call_{self._seed}_{at}"
        out.append(CallStart(identifier, held.name, held.custom, held.signature, held.origin))
        out += [CallPiece(piece) for piece in held.pieces]

    def _end(self, out: list[Delta]) -> None:
        assert self._open is not None
        if not any(piece.strip() for piece in self._pieces):
            out.append(CallPiece("{}"))
        self._closed.add(self._open)
        self._open, self._pieces = None, []
        out.append(CallEnd())

    def _settle(self) -> list[Delta]:
        """End the open call, and give out those that waited."""
        out: list[Delta] = []
        if self._open is not None:
            self._end(out)
        for at in sorted(self._held):
            if self._held[at].name:
                self._begin(out, at)
                self._end(out)
            else:
                del self._held[at]
                self._closed.add(at)
        return out


def usage_table(usage: Usage) -> Table:
    """What was used, as OpenAI counts: prompt_tokens includes cached ones, completion_tokens includes reasoning."""
    prompt, output = usage.input or 0, usage.output or 0
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": usage.cached or 0, "cache_write_tokens": usage.cache_write or 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
    }


def identifier(given: str, facts: Facts) -> str:
    given = given or facts.id
    for prefix in ("msg_", "resp_", "chatcmpl-"):
        given = given.removeprefix(prefix)
    return f"chatcmpl-{given or 'none'}"


def _reason(reason: Reason, call: Call) -> str:
    if reason == "tool_calls" and call.old_functions:
        return "function_call"
    return "stop" if reason == "stop_sequence" else reason


def write(answer: Answer, call: Call, facts: Facts) -> Table:
    texts: list[str] = []
    thoughts: list[str] = []
    blocks: list[Table] = []
    calls: list[Table] = []
    refusal = None
    for part in answer.parts:
        if isinstance(part, Text):
            texts.append(part.text)
        elif isinstance(part, Thinking):
            if part.text:
                thoughts.append(part.text)
            if part.signature:
                blocks.append(thinking_block(part))
        elif isinstance(part, Refused):
            refusal = part.text
        elif isinstance(part, ToolCall):
            marked = carry.mark(part.id, part.signature, part.origin)
            calls.append(_call(marked, part.name, part.arguments, custom=part.custom))
    message: Table = {"role": "assistant", "content": "".join(texts) if texts or not calls else None, "refusal": refusal}
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    if blocks:
        message["thinking_blocks"] = blocks
    if calls and call.old_functions:
        message["function_call"] = calls[0].get("function")
    elif calls:
        message["tool_calls"] = calls
    logprobs = None if answer.logprobs is None else {"content": answer.logprobs, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": _reason(answer.reason, call)}
    return {
        "id": identifier(answer.id, facts),
        "object": "chat.completion",
        "created": answer.created_s or facts.now_s,
        "model": facts.asked,
        "choices": [choice],
        "usage": usage_table(answer.usage),
    }


def _call(marked: str, name: str, arguments: str, *, custom: bool) -> Table:
    if custom:
        return {"id": marked, "type": "custom", "custom": {"name": name, "input": arguments}}
    return {"id": marked, "type": "function", "function": {"name": name, "arguments": arguments}}


class Writer:
    __slots__ = ("_after", "_before", "_call", "_calls", "_custom", "_facts", "_finish", "_thought")

    def __init__(self, call: Call, facts: Facts) -> None:
        self._call, self._facts = call, facts
        self._before = b""
        self._calls = 0
        self._custom = False
        self._finish: Finish | None = None
        self._thought: list[str] = []  # since the last seal, which goes out with what it seals

    def _head(self, start: Start) -> bytes:
        head = {
            "id": identifier(start.id, self._facts),
            "object": "chat.completion.chunk",
            "created": start.created_s or self._facts.now_s,
            "model": self._facts.asked,
        }
        return b"data: " + _encode(head)[:-1]

    def write(self, deltas: Sequence[Delta], usage: Usage) -> bytes:
        out = bytearray()
        for delta in deltas:
            kind = type(delta)
            if not self._before:
                self._before = self._head(delta if isinstance(delta, Start) else Start())
                out += self._chunk({"role": "assistant", "content": ""})
            if kind is Said:
                assert isinstance(delta, Said)
                out += self._chunk({"content": delta.text}, logprobs=delta.logprobs)
            elif isinstance(delta, Thought):
                if delta.signature:
                    thought = "".join(self._thought)
                    self._thought.clear()
                    block = Thinking(text=thought, signature=delta.signature, redacted=delta.redacted, origin=delta.origin)
                    out += self._chunk({"thinking_blocks": [thinking_block(block)]})
                elif delta.text:
                    self._thought.append(delta.text)
                    out += self._chunk({"reasoning_content": delta.text})
            elif isinstance(delta, CallPiece):
                out += self._call_piece(delta.text)
            elif isinstance(delta, CallStart):
                out += self._call_start(delta)
            elif isinstance(delta, RefusedPiece):
                out += self._chunk({"refusal": delta.text})
            elif isinstance(delta, Finish):
                self._finish = delta
        return bytes(out)

    def _call_start(self, start: CallStart) -> bytes:
        self._calls += 1
        self._custom = start.custom
        if self._call.old_functions:
            return self._chunk({"function_call": {"name": start.name, "arguments": ""}}) if self._calls == 1 else b""
        marked = carry.mark(start.id, start.signature, start.origin)
        return self._chunk({"tool_calls": [{"index": self._calls - 1, **_call(marked, start.name, "", custom=start.custom)}]})

    def _call_piece(self, text: str) -> bytes:
        if self._call.old_functions:
            return self._chunk({"function_call": {"arguments": text}}) if self._calls == 1 else b""
        given: Table = {"custom": {"input": text}} if self._custom else {"function": {"arguments": text}}
        return self._chunk({"tool_calls": [{"index": self._calls - 1, **given}]})

    def end(self, usage: Usage) -> bytes:
        if not self._before:
            self._before = self._head(Start())
        reason = _reason((self._finish or Finish("stop")).reason, self._call)
        out = self._before + b',"choices":[{"index":0,"delta":{},"finish_reason":"%b"}]}\n\n' % reason.encode()
        if self._call.usage_asked:
            out += self._before + b',"choices":[],"usage":' + _encode(usage_table(usage)) + b"}\n\n"
        return out + b"data: [DONE]\n\n"

    def error(self, error: AppError, call_id: str) -> bytes:
        return DIALECT.error_event(error, call_id)

    def _chunk(self, delta: Table, *, logprobs: list[Any] | None = None) -> bytes:
        tail = b',"finish_reason":null}]}\n\n'
        if logprobs is not None:
            tail = b',"logprobs":' + _encode({"content": logprobs, "refusal": None}) + tail
        return self._before + b',"choices":[{"index":0,"delta":' + _encode(delta) + tail
