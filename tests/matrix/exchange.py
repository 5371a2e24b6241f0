"""What a client is asked to do, and what came of it, without a word of any dialect."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass, field
from typing import Any, Protocol


def _png() -> bytes:
    """One red pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = (1).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\x00\xff\x00\x00")) + chunk(b"IEND", b"")


PNG = _png()
PNG_64 = base64.b64encode(PNG).decode()
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
PDF_64 = base64.b64encode(PDF).decode()
IMAGE_URL = "https://pictures.example/red.png"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["city", "degrees"],
    "additionalProperties": False,
}
TOOL = "get_weather"
TOOL_WORDS = "The weather in a city, now."
TOOL_SCHEMA: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SYSTEM = "You are terse."
WEATHER = {"Paris": "18 degrees, sun", "Oslo": "9 degrees, rain"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One question. thinking: the model is asked to think. stop: one stop sequence. cache: the system prompt is marked for the cache."""

    model: str
    text: str = "Hello"
    system: str = ""
    image: bool = False
    image_url: bool = False
    document: bool = False
    schema: bool = False
    tools: bool = False
    thinking: bool = False
    stop: str = ""
    cache: bool = False
    max_tokens: int = 4096
    stream: bool = False


@dataclass(slots=True)
class Counts:
    """Tokens as the package reports them. input: with cached and written ones; output: with reasoning. None: it has no place for it."""

    input: int | None = None
    cached: int | None = None
    wrote: int | None = None
    output: int | None = None
    reasoning: int | None = None


@dataclass(slots=True)
class Got:
    """calls: (name, arguments) in their order. stop: why it ended, in the package's own word. pieces: of text, when it was streamed."""

    text: str = ""
    thinking: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    stop: str = ""
    counts: Counts = field(default_factory=Counts)
    pieces: int = 0

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Client(Protocol):
    """A package, set up with base URL and key as its documentation says.

    name: as the table calls it. dialect: what it speaks. errors: its exception class by status. broken: that for an error inside a
    stream. no_thoughts: why it cannot show what a model thought, or "". lacks: features that it has no words for. no_refusals:
    why it cannot show the words of a streamed refusal, or "".
    """

    name: str
    dialect: str
    errors: dict[int, type[Exception]]
    broken: type[Exception]
    no_thoughts: str
    no_refusals: str
    lacks: frozenset[str]

    def say(self, ask: Ask) -> Got:
        """One answer."""
        ...

    def converse(self, ask: Ask) -> tuple[Got, Got]:
        """An answer with tool calls, and the answer to their results (`WEATHER`), sent back with the package's own objects."""
        ...

    def count(self, ask: Ask) -> int:
        """Tokens of a question, not asked; NotImplementedError where the package has no such call."""
        ...

    def leave(self, ask: Ask) -> None:
        """Take the first piece of a stream's text and go."""
        ...

    def status(self, error: Exception) -> int:
        """The HTTP status that an exception of the package tells."""
        ...

    def header(self, error: Exception, name: str) -> str | None:
        """A header of the reply behind an exception."""
        ...

    def close(self) -> None: ...


# In each client dialect's words: why an answer ended.
STOPS: dict[str, dict[str, str]] = {
    "openai": {"stop": "stop", "calls": "tool_calls", "length": "length", "filter": "content_filter"},
    "responses": {"stop": "completed", "calls": "completed", "length": "max_output_tokens", "filter": "content_filter"},
    "anthropic": {"stop": "end_turn", "calls": "tool_use", "length": "max_tokens", "filter": "refusal"},
    "gemini": {"stop": "STOP", "calls": "STOP", "length": "MAX_TOKENS", "filter": "SAFETY"},
}
