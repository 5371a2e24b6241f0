"""The neutral exchange: what a request, a reply and a stream say, in no dialect's words.

Every dialect reads into these values and writes from them, so that each is written once instead of once for every other. A value keeps
what only its own dialect can express in `extra`: written back in that dialect, named as dropped in any other. `vital` is the same for
what must not be dropped, because the answer would be another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from app.core.errors import AppError
from app.wire.usage import Usage

Role = Literal["system", "developer", "user", "assistant"]
Table = dict[str, Any]


@dataclass(slots=True)
class Text:
    """cache: a cache_control mark of Anthropic's."""

    text: str
    cache: Table | None = None
    extra: Table = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Media:
    """An image, document, sound or film. One of data (base64), url, file_id (kept at one provider) and text (a plain document)."""

    kind: Literal["image", "document", "audio", "video"]
    media_type: str = ""
    data: str = ""
    url: str = ""
    file_id: str = ""
    text: str | None = None
    name: str = ""
    detail: str = ""
    cache: Table | None = None
    extra: Table = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Thinking:
    """What a model thought. signature: the provider's seal, without which it does not take the thought back; for a redacted thought it
    is all there is. origin: the dialect whose provider sealed it."""

    text: str = ""
    signature: str = ""
    redacted: bool = False
    origin: str = ""


@dataclass(slots=True, kw_only=True)
class ToolCall:
    """arguments: JSON text of an object; for a `custom` tool free text. signature, origin: as with `Thinking`."""

    id: str
    name: str
    arguments: str = "{}"
    custom: bool = False
    signature: str = ""
    origin: str = ""
    cache: Table | None = None
    extra: Table = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class ToolResult:
    """name: of the tool, "" where only the id was given."""

    id: str
    name: str = ""
    parts: list[Text | Media] = field(default_factory=list)
    error: bool = False
    custom: bool = False
    cache: Table | None = None
    extra: Table = field(default_factory=dict)


@dataclass(slots=True)
class Refused:
    """The model's words when it would not answer."""

    text: str


@dataclass(slots=True)
class Opaque:
    """A part that only the dialect `origin` knows, as it was sent. kind: its name there. text: what it says in words, if it can."""

    origin: str
    kind: str
    value: Table
    text: str = ""


Part = Text | Media | Thinking | ToolCall | ToolResult | Refused | Opaque


@dataclass(slots=True)
class Message:
    """One turn. Tool results are parts of a user's turn, before its text."""

    role: Role
    parts: list[Part]
    name: str = ""
    extra: Table = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Tool:
    """A function the model may call, or a `custom` tool that takes free text. hosted: one that the provider runs itself, as sent."""

    name: str
    description: str = ""
    schema: Table | None = None
    strict: bool | None = None
    custom: bool = False
    grammar: Table | None = None
    hosted: Table | None = None
    cache: Table | None = None
    extra: Table = field(default_factory=dict)


@dataclass(slots=True)
class Choice:
    """names: the one tool that must be called for "tool"; those that may be for "auto" and "required" (empty: all)."""

    mode: Literal["auto", "none", "required", "tool"]
    names: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class Format:
    kind: Literal["text", "json", "schema"]
    name: str = ""
    description: str = ""
    schema: Table | None = None
    strict: bool | None = None


@dataclass(slots=True, kw_only=True)
class Reasoning:
    """effort: none, minimal, low, medium, high, xhigh, max, or "" (the model decides). budget: tokens, None when not said.
    shown: whether thoughts are asked for. summary: OpenAI's word for how."""

    effort: str = ""
    budget: int | None = None
    shown: bool | None = None
    summary: str = ""


@dataclass(slots=True, kw_only=True)
class Call:
    """A request. origin: the dialect it came in. None and "": not said.

    verbatim: members as its own dialect spells them, whose meaning is in the other fields too. usage_asked: a stream's usage is wanted.
    old_functions: the client uses OpenAI's `functions`, from before there were tools, and reads no `tool_calls`.
    """

    origin: str
    model: str
    stream: bool = False
    messages: list[Message] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    choice: Choice | None = None
    parallel: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: list[str] = field(default_factory=list)
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    format: Format | None = None
    reasoning: Reasoning | None = None
    user: str = ""
    metadata: Table | None = None
    store: bool | None = None
    service_tier: str = ""
    cache_key: str = ""
    verbosity: str = ""
    cache: Table | None = None
    extra: Table = field(default_factory=dict)
    vital: Table = field(default_factory=dict)
    verbatim: Table = field(default_factory=dict)
    usage_asked: bool = False
    old_functions: bool = False


# Why a model stopped. "stop_sequence": at one of the texts asked for.
Reason = Literal["stop", "length", "tool_calls", "content_filter", "stop_sequence"]


@dataclass(slots=True)
class Start:
    """The beginning of a reply. created_s: 0 when the provider did not say."""

    id: str = ""
    model: str = ""
    created_s: int = 0


@dataclass(slots=True)
class Said:
    """A piece of text. logprobs: OpenAI's list for it."""

    text: str
    logprobs: list[Any] | None = None


@dataclass(slots=True)
class Thought:
    """A piece of thinking, or (with text "") the seal that ends it."""

    text: str = ""
    signature: str = ""
    redacted: bool = False
    origin: str = ""


@dataclass(slots=True)
class RefusedPiece:
    text: str


@dataclass(slots=True)
class CallStart:
    id: str
    name: str
    custom: bool = False
    signature: str = ""
    origin: str = ""


@dataclass(slots=True)
class CallPiece:
    """A piece of the arguments of the call that started last."""

    text: str


@dataclass(slots=True)
class CallEnd:
    """The arguments of the call that started last are whole: JSON of an object, or a custom tool's text."""


@dataclass(slots=True)
class Finish:
    reason: Reason
    stop: str = ""


# A stream is a sequence of these. One tool call at a time: CallStart, CallPieces, CallEnd; nothing else in between.
Delta = Start | Said | Thought | RefusedPiece | CallStart | CallPiece | CallEnd | Finish


@dataclass(slots=True, kw_only=True)
class Answer:
    """A whole reply. logprobs: OpenAI's list for all text."""

    id: str = ""
    model: str = ""
    created_s: int = 0
    parts: list[Part] = field(default_factory=list)
    reason: Reason = "stop"
    stop: str = ""
    usage: Usage = field(default_factory=Usage)
    logprobs: list[Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a writer must know of the target and of the exchange.

    max_tokens: the most a model gives out, 0 when unknown. quirks: of the provider's row. id: of the exchange, a part of ids that the
    provider did not give. now_s: when it began. asked: the model's name in the client's words.
    """

    model: str
    asked: str = ""
    max_tokens: int = 0
    quirks: frozenset[str] = frozenset()
    id: str = ""
    now_s: int = 0


class Losses:
    """What a target cannot express, by the names the client used, each once. Writers say the neutral call's (OpenAI's) names."""

    __slots__ = ("_names", "_words")

    def __init__(self, origin: str = "") -> None:
        self._names: dict[str, None] = {}
        self._words = _WORDS.get(origin, {})

    def drop(self, *names: str) -> None:
        self._names.update(dict.fromkeys([self._words.get(name, name) for name in names]))

    def drop_all(self, names: Iterable[str], prefix: str = "") -> None:
        self._names.update(dict.fromkeys(prefix + name for name in names))

    @property
    def names(self) -> tuple[str, ...]:
        """Fit for a header: some of them are the client's own words. Past the first forty the rest is one name."""
        fit = list(dict.fromkeys([_UNFIT.sub("?", name)[:64] for name in self._names]))
        return tuple(fit) if len(fit) <= _MOST_NAMES else (*fit[:_MOST_NAMES], "...")


# What each dialect calls what OpenAI's older one gave its name.
_WORDS: Final[dict[str, dict[str, str]]] = {
    "responses": {
        "reasoning_effort": "reasoning.effort", "max_tokens": "max_output_tokens", "response_format": "text.format",
        "verbosity": "text.verbosity", "logprobs": "include.message.output_text.logprobs", "messages.order": "input.order",
    },
    "anthropic": {
        "reasoning_effort": "thinking", "stop": "stop_sequences", "response_format": "output_config.format",
        "parallel_tool_calls": "tool_choice.disable_parallel_tool_use", "user": "metadata.user_id",
    },
    "gemini": {
        "reasoning_effort": "generationConfig.thinkingConfig", "max_tokens": "generationConfig.maxOutputTokens",
        "stop": "generationConfig.stopSequences", "response_format": "generationConfig.responseMimeType",
        "temperature": "generationConfig.temperature", "top_p": "generationConfig.topP", "top_k": "generationConfig.topK",
        "seed": "generationConfig.seed", "frequency_penalty": "generationConfig.frequencyPenalty",
        "presence_penalty": "generationConfig.presencePenalty", "logprobs": "generationConfig.responseLogprobs",
        "top_logprobs": "generationConfig.logprobs", "thinking": "contents.thought", "messages.order": "contents.order",
    },
}  # fmt: skip

CUSTOM_INPUT: Final = "input"
_UNFIT: Final = re.compile(r"[^\w.$/:-]", re.ASCII)
_MOST_NAMES: Final = 40


def inexpressible(param: str, why: str, hint: str = "Use a model whose provider speaks the client's dialect, or leave it out.") -> AppError:
    """AppError not_expressible: dropping `param` would change the meaning."""
    return AppError("not_expressible", f"`{param}` cannot be expressed for this provider: {why}", hint, param=param)


def told(parts: Iterable[Part], where: str) -> list[Text | Media]:
    """What a tool returned. AppError body_invalid when it holds anything but texts, pictures and files."""
    out: list[Text | Media] = []
    for part in parts:
        if not isinstance(part, Text | Media):
            raise AppError("body_invalid", f"`{where}` must be texts, images and files.", param=where)
        out.append(part)
    return out


def plain(parts: Sequence[Part]) -> str:
    """The text of `parts`, a line each."""
    return "\n".join(part.text for part in parts if isinstance(part, Text))
