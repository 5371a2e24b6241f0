"""A neutral call made fit for its target, whatever the target: what only its own dialect knows is left out and named, or refused;
tools get names the target takes; tools that take free text become functions where the target has none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from app.core.errors import AppError
from app.wire import carry, shape
from app.wire.chat import (
    CUSTOM_INPUT,
    Answer,
    Call,
    CallEnd,
    CallPiece,
    CallStart,
    Delta,
    Losses,
    Message,
    Opaque,
    Part,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    inexpressible,
)

_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {CUSTOM_INPUT: {"type": "string", "description": "The whole input, as free text."}},
    "required": [CUSTOM_INPUT],
    "additionalProperties": False,
}


@dataclass(slots=True)
class Names:
    """How the client's tools are called at the target, to be undone in the reply. custom: those that take free text there."""

    original: dict[str, str] = field(default_factory=dict)
    custom: frozenset[str] = frozenset()

    @property
    def changed(self) -> bool:
        return bool(self.original or self.custom)


def prepare(call: Call, target: str, longest_name: int, losses: Losses, *, custom: bool) -> Names:
    """`call`, changed in place. AppError not_expressible, body_invalid."""
    if call.origin != target:
        _leave_out(call, losses)
    return _rename(call, longest_name, custom=custom)


def _leave_out(call: Call, losses: Losses) -> None:
    for name in call.vital:
        raise inexpressible(name, "it has no such feature.")
    losses.drop_all(call.extra)
    hosted = [tool for tool in call.tools if tool.hosted is not None]
    if hosted:
        kept = [tool for tool in call.tools if tool.hosted is None]
        chosen = call.choice.names if call.choice is not None and call.choice.mode == "tool" else ()
        if not kept or (call.choice is not None and any(tool.name in chosen for tool in hosted)):
            raise inexpressible(f"tools.{hosted[0].name}", "the tool runs at the provider that the client's dialect belongs to.")
        losses.drop_all([tool.name for tool in hosted], "tools.")
        call.tools = kept
        if call.choice is not None and call.choice.mode != "tool" and call.choice.names:
            theirs = {tool.name for tool in hosted}
            allowed = tuple(name for name in call.choice.names if name not in theirs)
            if not allowed:
                raise inexpressible("tool_choice", "the tools it allows run at the provider that the client's dialect belongs to.")
            call.choice.names = allowed
    last = call.messages[-1] if call.messages else None
    if call.origin == "anthropic" and last is not None and last.role == "assistant":
        losses.drop("messages.prefill")  # elsewhere the answer begins anew instead of going on from it
    _tell_apart(call.messages)
    for message in call.messages:
        for part in message.parts:
            for one in (part, *(part.parts if isinstance(part, ToolResult) else ())):
                if isinstance(one, Text | ToolCall | ToolResult):
                    losses.drop_all(one.extra, "content.")
        if any(isinstance(part, Opaque) for part in message.parts):
            message.parts = _in_words(message, losses)


def _tell_apart(messages: list[Message]) -> None:
    """Ids of calls that no earlier turn used: some servers begin anew in every turn, and some providers refuse what comes twice."""
    taken: set[str] = set()
    present: dict[str, str] = {}
    for message in messages:
        for part in message.parts:
            if isinstance(part, ToolCall):
                present[part.id] = part.id if part.id not in taken else f"{part.id}_{len(taken)}"
                part.id = present[part.id]
                taken.add(part.id)
            elif isinstance(part, ToolResult):
                part.id = present.get(part.id, part.id)


def _in_words(message: Message, losses: Losses) -> list[Part]:
    out: list[Part] = []
    for part in message.parts:
        if not isinstance(part, Opaque):
            out.append(part)
        elif part.text:
            out.append(Text(part.text))
        elif message.role == "assistant":
            losses.drop(f"messages.{part.kind}")
        else:
            raise inexpressible(f"messages.{part.kind}", "it belongs to another provider's own features.")
    return out


def _rename(call: Call, longest: int, *, custom: bool) -> Names:
    names = Names()
    short: dict[str, str] = {}
    taken: dict[str, str] = {}
    for name in _all_names(call):
        fit = carry.short_name(name, longest)
        other = taken.setdefault(fit, name)
        if other != name:
            raise AppError("body_invalid", f"The tools {other} and {name} have names that cannot be told apart.", param="tools")
        if fit != name:
            names.original[fit] = name
        short[name] = fit
    if not custom:
        names.custom = frozenset(tool.name for tool in call.tools if tool.custom)
        for tool in call.tools:
            if tool.custom:
                _as_function(tool)
        for message in call.messages:
            for part in message.parts:
                if isinstance(part, ToolCall) and part.custom:
                    part.custom, part.arguments = False, shape.as_json({CUSTOM_INPUT: part.arguments})
                elif isinstance(part, ToolResult):
                    part.custom = False
    if names.original:
        for tool in call.tools:
            tool.name = short.get(tool.name, tool.name)
        for message in call.messages:
            for part in message.parts:
                if isinstance(part, ToolCall | ToolResult):
                    part.name = short.get(part.name, part.name)
        if call.choice is not None:
            call.choice.names = tuple(short.get(name, name) for name in call.choice.names)
    return names


def _all_names(call: Call) -> dict[str, None]:
    names = {tool.name: None for tool in call.tools if tool.hosted is None}
    for message in call.messages:
        names.update({part.name: None for part in message.parts if isinstance(part, ToolCall)})
    return names


def _as_function(tool: Tool) -> None:
    described = [tool.description]
    grammar = tool.grammar or {}
    inner = grammar.get("grammar") if isinstance(grammar.get("grammar"), dict) else grammar
    definition = inner.get("definition") if isinstance(inner, dict) else None
    if isinstance(definition, str):
        described.append(f"The input must follow this grammar:\n{definition}")
    tool.description = "\n\n".join(text for text in described if text)
    tool.custom, tool.grammar, tool.schema = False, None, _SCHEMA


def restore(answer: Answer, names: Names) -> None:
    """The client's own names and kinds of tools, in place."""
    for part in answer.parts:
        if isinstance(part, ToolCall):
            part.name = names.original.get(part.name, part.name)
            if part.name in names.custom:
                part.custom, part.arguments = True, _free_text(part.arguments)


def _free_text(arguments: str) -> str:
    given = shape.arguments(arguments)
    inner = given.get(CUSTOM_INPUT) if given is not None else None
    return inner if isinstance(inner, str) else arguments


class Restorer:
    """The same for a stream. A tool that takes free text is held back until its arguments are whole."""

    __slots__ = ("_held", "_names")

    def __init__(self, names: Names) -> None:
        self._names = names
        self._held: list[str] | None = None

    def restored(self, deltas: Sequence[Delta]) -> list[Delta]:
        out: list[Delta] = []
        for delta in deltas:
            if isinstance(delta, CallStart):
                delta.name = self._names.original.get(delta.name, delta.name)
                if delta.name in self._names.custom:
                    delta.custom = True
                    self._held = []
                out.append(delta)
            elif self._held is not None and isinstance(delta, CallPiece):
                self._held.append(delta.text)
            elif self._held is not None and isinstance(delta, CallEnd):
                out += (CallPiece(_free_text("".join(self._held))), delta)
                self._held = None
            else:
                out.append(delta)
        return out
