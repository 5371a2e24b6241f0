"""What every dialect must be able to do to be translated: read and write requests, replies and streams.

All functions are pure; a reader and a writer of a stream keep the state of one exchange.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from app.core.errors import AppError
from app.wire.chat import Answer, Call, Delta, Facts, Losses
from app.wire.usage import Usage

Table = dict[str, Any]


class StreamReader(Protocol):
    def event(self, name: str, data: bytes) -> Sequence[Delta]:
        """What one event says; nothing when it cannot be read."""
        ...

    def close(self) -> Sequence[Delta]:
        """What is still held when the provider ends the stream."""
        ...


class StreamWriter(Protocol):
    def write(self, deltas: Sequence[Delta], usage: Usage) -> bytes:
        """Whole events. usage: what is known of it so far."""
        ...

    def end(self, usage: Usage) -> bytes:
        """The proper end of the stream, with all that was used."""
        ...

    def error(self, error: AppError, call_id: str) -> bytes:
        """An error inside the stream, with what ends it."""
        ...


class ReadCall(Protocol):
    def __call__(self, body: Table) -> Call: ...


class WriteCall(Protocol):
    def __call__(self, call: Call, facts: Facts, losses: Losses) -> Table: ...


class ReadAnswer(Protocol):
    def __call__(self, body: Table, seed: str) -> Answer: ...


class WriteAnswer(Protocol):
    def __call__(self, answer: Answer, call: Call, facts: Facts) -> Table: ...


class MakeReader(Protocol):
    def __call__(self, seed: str) -> StreamReader: ...


class MakeWriter(Protocol):
    def __call__(self, call: Call, facts: Facts) -> StreamWriter: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialogue:
    """One dialect's part in a translation. seed: makes the ids that a provider did not give. longest_name: of a tool. endpoints: those
    that are translated; whole, streaming: where its providers answer. custom: a quirk with which it knows tools that
    take free text; "" never, "always" always."""

    endpoints: frozenset[str]
    longest_name: int
    custom: str
    read_call: ReadCall
    write_call: WriteCall
    read_answer: ReadAnswer
    write_answer: WriteAnswer
    reader: MakeReader
    writer: MakeWriter
    whole: str
    streaming: str

    def endpoint(self, stream: bool) -> str:
        return self.streaming if stream else self.whole
