"""Replies and streams of generateContent, read into the neutral exchange and written from it.

Source: the package `google-genai` (3.4: types.GenerateContentResponse, Candidate, FinishReason). A chunk of a stream has the shape of a
whole reply; function calls come whole.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Final

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
from app.wire.gemini import DIALECT
from app.wire.gemini_read import NAME
from app.wire.shape import Table, got
from app.wire.usage import Usage

_encode: Final = msgspec.json.encode

# Not here: STOP, MALFORMED_FUNCTION_CALL, OTHER and the like, which are "stop".
_REASONS: Final[Mapping[str, Reason]] = {
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "ESCALATION": "content_filter",
}
_STOPS: Final[Mapping[Reason, str]] = {"length": "MAX_TOKENS", "content_filter": "SAFETY"}


def read(body: Table, seed: str) -> Answer:
    """AppError provider_broken when it holds neither a candidate nor a reason why not."""
    reader = Reader(seed)
    deltas = reader.chunk(body)
    if not reader.said and not any(isinstance(delta, Finish) for delta in deltas):
        raise AppError("provider_broken", "The provider's answer holds no candidate.")
    answer = Answer()
    pieces: list[str] = []  # of the part that is last
    for delta in deltas:
        if isinstance(delta, Start):
            answer.id, answer.model = delta.id, delta.model
        elif isinstance(delta, Said):
            if not (answer.parts and isinstance(answer.parts[-1], Text)):
                _join(answer.parts, pieces)
                answer.parts.append(Text(""))
            pieces.append(delta.text)
        elif isinstance(delta, Thought):
            _add_thought(answer.parts, pieces, delta)
        elif isinstance(delta, CallStart):
            _join(answer.parts, pieces)
            call = ToolCall(id=delta.id, name=delta.name, arguments="", signature=delta.signature, origin=delta.origin)
            answer.parts.append(call)
        elif isinstance(delta, CallPiece):
            pieces.append(delta.text)
        elif isinstance(delta, Finish):
            answer.reason = delta.reason
    _join(answer.parts, pieces)
    answer.logprobs = reader.logprobs or None
    return answer


def _join(parts: list[Part], pieces: list[str]) -> None:
    """Make `pieces` the words of the last part, and begin anew: to add each to what is there would copy all of it each time."""
    last = parts[-1] if parts else None
    if isinstance(last, Text | Thinking):
        last.text = "".join(pieces)
    elif isinstance(last, ToolCall):
        last.arguments = "".join(pieces)
    pieces.clear()


def _add_thought(parts: list[Part], pieces: list[str], delta: Thought) -> None:
    last = parts[-1] if parts else None
    if isinstance(last, Thinking) and not last.signature and not delta.redacted:
        last.signature = delta.signature
    else:
        _join(parts, pieces)
        parts.append(Thinking(signature=delta.signature, redacted=delta.redacted, origin=NAME))
    pieces.append(delta.text)


class Reader:
    """said: whether a candidate came. logprobs: of all text, in OpenAI's shape."""

    __slots__ = ("_called", "_calls", "_identity", "_seed", "_started", "logprobs", "said")

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._started = self._called = self.said = False
        self._calls = 0
        self._identity = ""
        self.logprobs: list[Table] = []

    def event(self, name: str, data: bytes) -> Sequence[Delta]:
        chunk = shape.decoded(data)
        return self.chunk(chunk) if chunk is not None else ()

    def close(self) -> Sequence[Delta]:
        return ()

    def chunk(self, chunk: Table) -> Sequence[Delta]:
        out: list[Delta] = []
        if not self._started:
            self._started = True
            self._identity = got(chunk.get("responseId"), str, "")
            out.append(Start(self._identity, got(chunk.get("modelVersion"), str, "")))
        candidates = chunk.get("candidates")
        candidate = candidates[0] if isinstance(candidates, list) and candidates and isinstance(candidates[0], dict) else None
        if candidate is None:
            if got(chunk.get("promptFeedback"), dict, {}).get("blockReason"):
                out.append(Finish("content_filter"))
            return out
        self.said = True
        pieces = _logprobs(candidate.get("logprobsResult"))
        self.logprobs += pieces
        for part in got(got(candidate.get("content"), dict, {}).get("parts"), list, []):
            if isinstance(part, dict):
                self._part(out, part)
        if pieces:
            said = next((delta for delta in out if isinstance(delta, Said)), None)
            if said is not None:
                said.logprobs = list(pieces)
        reason = candidate.get("finishReason")
        if isinstance(reason, str) and reason:
            kept = _REASONS.get(reason, "stop")
            out.append(Finish("tool_calls" if self._called and kept == "stop" else kept))
        return out

    def _part(self, out: list[Delta], part: Table) -> None:
        seal = got(part.get("thoughtSignature"), str, "")
        called = part.get("functionCall")
        if isinstance(called, dict):
            self._called = True
            self._calls += 1
            identifier = got(called.get("id"), str, "") or f"call_{carry.fit_id(self._identity or self._seed, 40)}_{self._calls}"
            out.append(CallStart(identifier, got(called.get("name"), str, ""), signature=seal, origin=NAME if seal else ""))
            out += (CallPiece(shape.as_json(got(called.get("args"), dict, {}))), CallEnd())
            return
        text = got(part.get("text"), str, "")
        if part.get("thought"):
            if text:
                out.append(Thought(text, origin=NAME))
            if seal:
                out.append(Thought("", seal, origin=NAME))
            return
        if text:
            out.append(Said(text))
        if seal:
            out.append(Thought("", seal, redacted=True, origin=NAME))


def _logprobs(value: object) -> list[Table]:
    """Gemini's list of chosen and of best candidates as OpenAI's."""
    if not isinstance(value, dict):
        return []
    best = got(value.get("topCandidates"), list, [])
    out: list[Table] = []
    for at, chosen in enumerate(got(value.get("chosenCandidates"), list, [])):
        if not isinstance(chosen, dict):
            continue
        others = got(got(best[at], dict, {}).get("candidates"), list, []) if at < len(best) else []
        out.append({**_token(chosen), "top_logprobs": [_token(one) for one in others if isinstance(one, dict)]})
    return out


def _token(value: Table) -> Table:
    token = got(value.get("token"), str, "")
    probability = value.get("logProbability")
    known = isinstance(probability, int | float) and not isinstance(probability, bool)
    return {"token": token, "logprob": probability if known else 0.0, "bytes": list(token.encode("utf-8", "replace"))}


def _chosen(logprobs: Sequence[object]) -> Table:
    """OpenAI's list as Gemini's."""
    chosen: list[Table] = []
    best: list[Table] = []
    for one in logprobs:
        given = got(one, dict, {})
        chosen.append({"token": given.get("token"), "logProbability": given.get("logprob")})
        tops = [top for top in got(given.get("top_logprobs"), list, []) if isinstance(top, dict)]
        best.append({"candidates": [{"token": top.get("token"), "logProbability": top.get("logprob")} for top in tops]})
    return {"chosenCandidates": chosen, "topCandidates": best}


def usage_table(usage: Usage) -> Table:
    """What was used, as Gemini counts: thoughts stand beside candidates."""
    given, output, thoughts = usage.input or 0, usage.output or 0, usage.reasoning or 0
    out: Table = {
        "promptTokenCount": given,
        "candidatesTokenCount": max(0, output - thoughts),
        "totalTokenCount": given + output,
        "thoughtsTokenCount": thoughts,
    }
    if usage.cached is not None:
        out["cachedContentTokenCount"] = usage.cached
    return out


def sealed(signature: str, origin: str, *, redacted: bool) -> str:
    """A seal for a Gemini client, whose package takes base64 alone."""
    if origin == NAME:
        return signature
    return base64.b64encode(carry.seal(origin, signature, redacted=redacted).encode()).decode()


def _thought_part(text: str, signature: str, origin: str, *, redacted: bool) -> Table:
    part: Table = {"text": text, "thought": True}
    if redacted and origin == NAME:
        part = {"text": ""}
    if signature:
        part["thoughtSignature"] = sealed(signature, origin, redacted=redacted)
    return part


def _call_part(identifier: str, name: str, arguments: str, signature: str, origin: str) -> Table:
    args = shape.arguments(arguments)
    part: Table = {"functionCall": {"id": identifier, "name": name, "args": args if args is not None else {"input": arguments}}}
    if signature:
        part["thoughtSignature"] = sealed(signature, origin, redacted=False)
    return part


def write(answer: Answer, call: Call, facts: Facts) -> Table:
    parts: list[Table] = []
    for part in answer.parts:
        if isinstance(part, Text | Refused):
            parts.append({"text": part.text})
        elif isinstance(part, Thinking):
            parts.append(_thought_part(part.text, part.signature, part.origin, redacted=part.redacted))
        elif isinstance(part, ToolCall):
            parts.append(_call_part(part.id, part.name, part.arguments, part.signature, part.origin))
        elif isinstance(part, Opaque) and part.origin == NAME:
            parts.append(part.value)
    candidate: Table = {
        "content": {"parts": parts, "role": "model"},
        "finishReason": _STOPS.get(answer.reason, "STOP"),
        "index": 0,
    }
    if answer.logprobs:
        candidate["logprobsResult"] = _chosen(answer.logprobs)
    return {
        "candidates": [candidate],
        "usageMetadata": usage_table(answer.usage),
        "modelVersion": facts.asked,
        "responseId": answer.id or facts.id,
    }


class Writer:
    """Chunks; a function call goes out when it is whole."""

    __slots__ = ("_arguments", "_call_start", "_facts", "_finish", "_tail")

    def __init__(self, call: Call, facts: Facts) -> None:
        self._facts = facts
        self._tail = b""
        self._call_start: CallStart | None = None
        self._arguments: list[str] = []
        self._finish: Finish | None = None

    def write(self, deltas: Sequence[Delta], usage: Usage) -> bytes:
        out = bytearray()
        for delta in deltas:
            if not self._tail:
                self._begin(delta.id if isinstance(delta, Start) else "")
            if isinstance(delta, Said | RefusedPiece):
                logprobs = delta.logprobs if isinstance(delta, Said) else None
                out += self._chunk({"text": delta.text}, logprobs)
            elif isinstance(delta, Thought):
                out += self._chunk(_thought_part(delta.text, delta.signature, delta.origin, redacted=delta.redacted))
            elif isinstance(delta, CallStart):
                self._call_start, self._arguments = delta, []
            elif isinstance(delta, CallPiece):
                self._arguments.append(delta.text)
            elif isinstance(delta, CallEnd):
                start = self._call_start
                assert start is not None
                out += self._chunk(_call_part(start.id, start.name, "".join(self._arguments), start.signature, start.origin))
            elif isinstance(delta, Finish):
                self._finish = delta
        return bytes(out)

    def end(self, usage: Usage) -> bytes:
        if not self._tail:
            self._begin("")
        reason = _STOPS.get((self._finish or Finish("stop")).reason, "STOP")
        candidate = {"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": reason, "index": 0}
        return b'data: {"candidates":[' + _encode(candidate) + b'],"usageMetadata":' + _encode(usage_table(usage)) + self._tail

    def error(self, error: AppError, call_id: str) -> bytes:
        return DIALECT.error_event(error, call_id)

    def _begin(self, given: str) -> None:
        tail = {"modelVersion": self._facts.asked, "responseId": given or self._facts.id}
        self._tail = b"," + _encode(tail)[1:] + b"\n\n"

    def _chunk(self, part: Table, logprobs: Sequence[object] | None = None) -> bytes:
        rest = b'],"role":"model"},"index":0'
        if logprobs:
            rest += b',"logprobsResult":' + _encode(_chosen(logprobs))
        return b'data: {"candidates":[{"content":{"parts":[' + _encode(part) + rest + b"}]" + self._tail
