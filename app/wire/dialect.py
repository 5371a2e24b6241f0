"""What a dialect is: one way of asking a model and of answering, with its errors, streams and lists.

A dialect knows bytes only. It reads what must be known (usage, errors, the end) and leaves everything else alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from app.core.errors import AppError
from app.wire.body import Understood
from app.wire.usage import Usage

Name = Literal["openai", "responses", "anthropic", "gemini"]

# The last part of an endpoint's path, which is also what the ledger calls it.
Endpoint = Literal[
    "chat/completions", "completions", "embeddings", "models", "messages", "messages/count_tokens", "event_logging",
    "responses", "responses/item", "responses/cancel", "responses/input_items", "responses/input_tokens",
    "generateContent", "streamGenerateContent", "countTokens",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """One line of a list of models. created_s: seconds since 1970, 0 when unknown."""

    id: str
    owner: str = "gatehouse"
    created_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Edits:
    """How a request body is changed: raw JSON values for top-level members. strip_usage: the usage chunk is ours alone."""

    values: Mapping[str, bytes]
    strip_usage: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What one event, or one whole reply, said that matters to us.

    opening: the usage is that of the beginning, so its output is yet to come. finished: the model said why it stopped. end: the
    dialect's last event. bare_usage: nothing in it but usage.
    """

    usage: Usage | None = None
    opening: bool = False
    error: AppError | None = None
    finished: bool = False
    end: bool = False
    bare_usage: bool = False


NOTHING: Final = Heard()


class Dialect(Protocol):
    """All of it is pure; one instance serves every exchange."""

    @property
    def name(self) -> Name: ...

    @property
    def request_headers(self) -> frozenset[str]:
        """Headers of a client that a provider of this dialect needs, in lower case; all others stay here."""
        ...

    @property
    def own_headers(self) -> tuple[tuple[str, str], ...]:
        """What a provider of this dialect must be told and a client of another one does not say."""
        ...

    @property
    def response_headers(self) -> frozenset[str]:
        """Headers of a provider that go back to the client, in lower case; a name that ends with `-` stands for all that begin so."""
        ...

    def notable(self, block: bytes) -> bool:
        """Whether some event in `block` is worth reading; a block without one is forwarded unread. May err towards reading."""
        ...

    @property
    def words(self) -> re.Pattern[bytes]:
        """Finds each piece of generated text in a reply or event, as group 1: what an estimate counts."""
        ...

    def edits(self, call: Understood, endpoint: str, model: str, *, ask_usage: bool) -> Edits: ...

    def path(self, endpoint: str, model: str) -> str:
        """Where under a provider's base URL `endpoint` is found for `model`."""
        ...

    def hear(self, name: str, data: bytes) -> Heard:
        """One event of a stream."""
        ...

    def hear_reply(self, endpoint: str, body: bytes) -> Heard:
        """A whole 2xx reply. AppError provider_not_json when it is no JSON object."""
        ...

    def error_body(self, error: AppError, call_id: str) -> bytes: ...

    def error_event(self, error: AppError, call_id: str) -> bytes: ...

    def ping(self) -> bytes: ...

    def models(self, entries: Sequence[ModelEntry]) -> bytes: ...

    def model(self, entry: ModelEntry) -> bytes: ...

    def read_models(self, body: bytes) -> tuple[str, ...]:
        """The ids in a provider's list. AppError provider_not_json."""
        ...
