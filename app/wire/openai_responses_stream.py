"""Streams of responses, read into the neutral exchange and written from it.

Source: the package `openai` (3.54: types/responses/response_*_event). Written streams are sequences of items, each with its added and
done events, `sequence_number` rising by one, `response.completed` or `response.incomplete` last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from app.core.errors import AppError
from app.wire import carry, shape
from app.wire.chat import Call, CallEnd, CallPiece, CallStart, Delta, Facts, Finish, RefusedPiece, Said, Start, Thought
from app.wire.openai_responses import failed_event
from app.wire.openai_responses_answer import (
    call_item,
    finished,
    identifier,
    message_item,
    reason,
    reasoning_item,
    response,
    seal_of,
    text_part,
    thought_of,
)
from app.wire.openai_responses_read import NAME
from app.wire.shape import Table, got
from app.wire.usage import Usage, count

_encode: Final = msgspec.json.encode
_CALLS: Final = ("function_call", "custom_tool_call")


class Reader:
    __slots__ = ("_called", "_calls", "_open", "_pieces", "_seed", "_thought")

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._open: object = None  # output_index of the call that is open
        self._calls: set[object] = set()
        self._pieces = 0
        self._called = self._thought = False

    def event(self, name: str, data: bytes) -> Sequence[Delta]:
        event = shape.decoded(data)
        if event is None:
            return ()
        kind = event.get("type")
        if kind in ("response.output_text.delta", "response.refusal.delta"):
            return self._text(event, refused=kind == "response.refusal.delta")
        if kind in ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta"):
            piece = event.get("delta")
            if isinstance(piece, str) and piece and self._open is not None and event.get("output_index", 0) == self._open:
                self._pieces += 1
                return (CallPiece(piece),)
            return ()
        if kind in ("response.reasoning_summary_text.delta", "response.reasoning_text.delta"):
            piece = event.get("delta")
            self._thought = self._thought or bool(piece)
            return (*self.close(), Thought(piece, origin=NAME)) if isinstance(piece, str) and piece else ()
        if kind == "response.reasoning_summary_part.added":
            return (*self.close(), Thought("\n\n", origin=NAME)) if self._thought and event.get("summary_index") else ()
        item = event.get("item")
        if isinstance(item, dict):
            if kind == "response.output_item.added":
                return self._added(event, item)
            if kind == "response.output_item.done":
                return self._finished(event, item)
        whole = event.get("response")
        if isinstance(whole, dict):
            if kind == "response.created":
                created = count(whole.get("created_at")) or 0
                return (Start(got(whole.get("id"), str, ""), got(whole.get("model"), str, ""), created),)
            if kind in ("response.completed", "response.incomplete"):
                return (*self.close(), Finish(reason(whole, called=self._called)))
        return ()

    def close(self) -> Sequence[Delta]:
        if self._open is None:
            return ()
        self._open = None
        return (CallEnd(),) if self._pieces else (CallPiece("{}"), CallEnd())

    def _text(self, event: Table, *, refused: bool) -> Sequence[Delta]:
        piece = event.get("delta")
        if not isinstance(piece, str) or not piece:
            return ()
        if refused:
            return (*self.close(), RefusedPiece(piece))
        logprobs = event.get("logprobs")
        return (*self.close(), Said(piece, logprobs if isinstance(logprobs, list) and logprobs else None))

    def _added(self, event: Table, item: Table) -> Sequence[Delta]:
        if item.get("type") not in _CALLS:
            self._thought = False
            return self.close()
        before = self.close()
        self._open, self._pieces, self._called = event.get("output_index", 0), 0, True
        self._calls.add(self._open if isinstance(self._open, int) else 0)
        return (*before, self._start(item))

    def _start(self, item: Table) -> CallStart:
        given = got(item.get("call_id"), str, "") or f"call_{self._seed}_{len(self._calls)}"
        return CallStart(given, got(item.get("name"), str, ""), custom=item.get("type") == "custom_tool_call")

    def _finished(self, event: Table, item: Table) -> Sequence[Delta]:
        at = event.get("output_index", 0)
        if item.get("type") == "reasoning":
            unsaid = thought_of(item) if not self._thought else ""
            seal = seal_of(item)
            out: list[Delta] = [*self.close(), *([Thought(unsaid, origin=NAME)] if unsaid else [])]
            self._thought = False
            return (*out, Thought("", seal, origin=NAME)) if seal else out
        if item.get("type") not in _CALLS:
            return ()
        said = got(item.get("input" if item.get("type") == "custom_tool_call" else "arguments"), str, "")
        if self._open is not None and at == self._open:
            if not self._pieces and said.strip():
                self._pieces = 1
                return (CallPiece(said), *self.close())
            return self.close()
        if not isinstance(at, int) or at in self._calls:
            return ()
        self._calls.add(at)
        self._called = True
        return (*self.close(), self._start(item), CallPiece(said or "{}"), CallEnd())


class Writer:
    """response: the final object, once the stream has ended properly."""

    __slots__ = (
        "_bare",
        "_begun",
        "_call",
        "_call_start",
        "_facts",
        "_finish",
        "_kind",
        "_logprobs",
        "_origin",
        "_output",
        "_pieces",
        "_redacted",
        "_sealed",
        "_sequence",
        "response",
    )  # fmt: skip

    def __init__(self, call: Call, facts: Facts) -> None:
        self._call, self._facts = call, facts
        self._begun: Table = {}
        self._bare = ""
        self._output: list[Table] = []
        self._kind = ""  # of the open item: message, refusal, reasoning, call
        self._pieces: list[str] = []
        self._logprobs: list[Any] = []
        self._sealed = self._origin = ""
        self._redacted = False
        self._call_start: CallStart | None = None
        self._sequence = 0
        self._finish: Finish | None = None
        self.response: Table = {}

    def write(self, deltas: Sequence[Delta], usage: Usage) -> bytes:
        out = bytearray()
        for delta in deltas:
            if not self._begun:
                out += self._begin(delta if isinstance(delta, Start) else Start())
            if isinstance(delta, Said):
                out += self._text(delta)
            elif isinstance(delta, CallPiece):
                out += self._argument(delta.text)
            elif isinstance(delta, Thought):
                out += self._thought(delta)
            elif isinstance(delta, CallStart):
                out += self._open_call(delta)
            elif isinstance(delta, CallEnd):
                out += self._close()
            elif isinstance(delta, RefusedPiece):
                if self._kind != "refusal":
                    out += self._open_message("refusal", {"type": "refusal", "refusal": ""})
                self._pieces.append(delta.text)
                out += self._event("response.refusal.delta", **self._spot(), content_index=0, delta=delta.text)
            elif isinstance(delta, Finish):
                self._finish = delta
        return bytes(out)

    def end(self, usage: Usage) -> bytes:
        out = b"" if self._begun else self._begin(Start())
        out += self._close()
        why = (self._finish or Finish("stop")).reason
        self.response = finished(self._begun, self._output, usage, why)
        return out + self._event(f"response.{self.response['status']}", response=self.response)

    def error(self, error: AppError, call_id: str) -> bytes:
        begun = self._begun or response(self._call, self._facts, identifier("", self._facts), 0)
        out = failed_event({**begun, "output": self._output}, error, self._sequence)
        self._sequence += 1
        return out

    def _begin(self, start: Start) -> bytes:
        self._begun = response(self._call, self._facts, identifier(start.id, self._facts), start.created_s)
        self._bare = self._begun["id"].removeprefix("resp_")
        return self._event("response.created", response=self._begun) + self._event("response.in_progress", response=self._begun)

    def _identity(self, prefix: str) -> str:
        return f"{prefix}_{self._bare}_{len(self._output)}"

    def _spot(self) -> Table:
        prefix = {"reasoning": "rs", "call": "fc"}.get(self._kind, "msg")
        return {"item_id": self._identity(prefix), "output_index": len(self._output)}

    def _text(self, delta: Said) -> bytes:
        out = b""
        if self._kind != "message":
            out = self._open_message("message", text_part(""))
        self._pieces.append(delta.text)
        if delta.logprobs:
            self._logprobs += delta.logprobs
        return out + self._event(
            "response.output_text.delta", **self._spot(), content_index=0, delta=delta.text, logprobs=delta.logprobs or []
        )

    def _argument(self, piece: str) -> bytes:
        self._pieces.append(piece)
        assert self._call_start is not None
        kind = "response.custom_tool_call_input.delta" if self._call_start.custom else "response.function_call_arguments.delta"
        return self._event(kind, **self._spot(), delta=piece)

    def _thought(self, delta: Thought) -> bytes:
        out = b""
        if self._kind != "reasoning" or (self._sealed and (delta.text or delta.signature)):
            out = self._close()
            self._kind = "reasoning"
            item = {"id": self._identity("rs"), "type": "reasoning", "summary": []}
            out += self._event("response.output_item.added", output_index=len(self._output), item=item)
        if delta.text:
            if not self._pieces:
                part = {"type": "summary_text", "text": ""}
                out += self._event("response.reasoning_summary_part.added", **self._spot(), summary_index=0, part=part)
            self._pieces.append(delta.text)
            out += self._event("response.reasoning_summary_text.delta", **self._spot(), summary_index=0, delta=delta.text)
        if delta.signature:
            self._sealed, self._origin, self._redacted = delta.signature, delta.origin, delta.redacted
        return out

    def _open_message(self, kind: str, part: Table) -> bytes:
        out = self._close()
        self._kind = kind
        item = {**message_item(self._identity("msg"), []), "status": "in_progress"}
        out += self._event("response.output_item.added", output_index=len(self._output), item=item)
        return out + self._event("response.content_part.added", **self._spot(), content_index=0, part=part)

    def _open_call(self, start: CallStart) -> bytes:
        out = self._close()
        self._kind, self._call_start = "call", start
        return out + self._event("response.output_item.added", output_index=len(self._output), item=self._called("", "in_progress"))

    def _called(self, arguments: str, status: str) -> Table:
        start = self._call_start
        assert start is not None
        marked = carry.mark(start.id, start.signature, start.origin)
        item = call_item(self._identity("fc"), marked, start.name, arguments, custom=start.custom)
        return {**item, "status": status} if not start.custom else item

    def _close(self) -> bytes:
        kind, text = self._kind, "".join(self._pieces)
        if not kind:
            return b""
        spot = self._spot()
        out = b""
        if kind == "call":
            assert self._call_start is not None
            item = self._called(text, "completed")
            if self._call_start.custom:
                out = self._event("response.custom_tool_call_input.done", **spot, input=text)
            else:
                out = self._event("response.function_call_arguments.done", **spot, name=self._call_start.name, arguments=text)
        elif kind == "reasoning":
            item = reasoning_item(spot["item_id"], text, self._sealed, self._origin, redacted=self._redacted)
            if text:
                part = {"type": "summary_text", "text": text}
                out = self._event("response.reasoning_summary_text.done", **spot, summary_index=0, text=text)
                out += self._event("response.reasoning_summary_part.done", **spot, summary_index=0, part=part)
        elif kind == "refusal":
            part = {"type": "refusal", "refusal": text}
            item = message_item(spot["item_id"], [part])
            out = self._event("response.refusal.done", **spot, content_index=0, refusal=text)
            out += self._event("response.content_part.done", **spot, content_index=0, part=part)
        else:
            part = text_part(text, self._logprobs)
            item = message_item(spot["item_id"], [part])
            out = self._event("response.output_text.done", **spot, content_index=0, text=text, logprobs=self._logprobs)
            out += self._event("response.content_part.done", **spot, content_index=0, part=part)
        out += self._event("response.output_item.done", output_index=len(self._output), item=item)
        self._output.append(item)
        self._kind, self._sealed, self._call_start = "", "", None
        self._pieces, self._logprobs = [], []
        return out

    def _event(self, kind: str, **members: Any) -> bytes:
        event = {"type": kind, "sequence_number": self._sequence, **members}
        self._sequence += 1
        return b"event: " + kind.encode() + b"\ndata: " + _encode(event) + b"\n\n"
