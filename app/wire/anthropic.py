"""The Anthropic dialect of messages, messages/count_tokens and models.

Sources: the typed models of the package `anthropic` (2.12: types/message, raw_message_stream_event, usage, shared/error_object).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from app.core.errors import AppError
from app.core.unreadable import UNREADABLE
from app.wire import replies
from app.wire.body import Understood
from app.wire.dialect import NOTHING, Edits, Heard, ModelEntry
from app.wire.usage import Usage, count

_encode: Final = msgspec.json.encode

# types/shared/error_type; request_too_large is documented with status 413 though the package does not list it.
_TYPES: Final[Mapping[int, str]] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_STATUS: Final[Mapping[str, int]] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


class _Event(msgspec.Struct):
    type: object = None
    message: object = None
    usage: object = None
    error: object = None
    delta: object = None


class Anthropic:
    """Stateless; see `Dialect`."""

    name: Final[Literal["anthropic"]] = "anthropic"

    request_headers: Final = frozenset({
        "accept",
        "content-type",
        "anthropic-version",  # required: selects the shapes (API overview, "Versioning")
        "anthropic-beta",  # switches features on (API overview, "Beta headers")
        "idempotency-key",
    })  # fmt: skip

    own_headers: Final = (("anthropic-version", "2023-06-01"),)

    response_headers: Final = frozenset({
        "request-id", "anthropic-organization-id", "anthropic-workspace-id",  # API overview, "Response headers"
        "anthropic-ratelimit-", "anthropic-fast-", "anthropic-priority-",  # "Rate limits"
        "retry-after", "retry-after-ms", "x-should-retry",
    })  # fmt: skip

    words: Final = re.compile(rb'"(?:text|thinking|partial_json)"\s*:\s*"(?!")([^"\\]*+(?:\\.[^"\\]*+)*+)"')

    def notable(self, block: bytes) -> bool:
        return b'"usage"' in block or b"message_stop" in block or b"error" in block

    def edits(self, call: Understood, endpoint: str, model: str, *, ask_usage: bool) -> Edits:
        return Edits(values={} if model == call.model else {"model": _encode(model)})

    def path(self, endpoint: str, model: str) -> str:
        return endpoint

    def hear(self, name: str, data: bytes) -> Heard:
        event = _read(data)
        if event is None:
            return NOTHING
        if name == "error" or event.type == "error":
            return Heard(error=_error(event.error, data))
        if event.type == "message_stop":
            return Heard(end=True)
        if event.type == "message_start" and isinstance(event.message, dict):
            return Heard(usage=_usage(event.message.get("usage")), opening=True)
        if event.type == "message_delta":
            finished = isinstance(event.delta, dict) and bool(event.delta.get("stop_reason"))
            return Heard(usage=_usage(event.usage), finished=finished)
        return NOTHING

    def hear_reply(self, endpoint: str, body: bytes) -> Heard:
        event = _read(body)
        if event is None:
            raise AppError("provider_not_json", "The provider's answer is not JSON.", replies.PORTAL)
        if event.type == "error":
            return Heard(error=_error(event.error, body))
        if endpoint == "messages/count_tokens":
            return Heard(usage=Usage(input=0, output=0), finished=True, end=True)  # counting is free and uses no tokens
        return Heard(usage=_usage(event.usage), finished=True, end=True)

    def error_body(self, error: AppError, call_id: str) -> bytes:
        return _encode({
            "type": "error",
            "error": {"type": _type(error), "message": error.sentence()},
            "request_id": call_id,
        })  # fmt: skip

    def error_event(self, error: AppError, call_id: str) -> bytes:
        return b"event: error\ndata: " + self.error_body(error, call_id) + b"\n\n"

    def ping(self) -> bytes:
        return b'event: ping\ndata: {"type": "ping"}\n\n'

    def models(self, entries: Sequence[ModelEntry]) -> bytes:
        return _encode({
            "data": [_entry(entry) for entry in entries],
            "has_more": False,
            "first_id": entries[0].id if entries else None,
            "last_id": entries[-1].id if entries else None,
        })  # fmt: skip

    def model(self, entry: ModelEntry) -> bytes:
        return _encode(_entry(entry))

    def read_models(self, body: bytes) -> tuple[str, ...]:
        return replies.model_names(body)


DIALECT: Final = Anthropic()


def _entry(entry: ModelEntry) -> dict[str, object]:
    # An epoch value stands for "unknown" (types/model_info).
    created = datetime.fromtimestamp(entry.created_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": "model", "id": entry.id, "display_name": entry.id, "created_at": created, "lifecycle": "active"}


def _read(data: bytes) -> _Event | None:
    try:
        return msgspec.json.decode(data, type=_Event)
    except UNREADABLE:
        return None


def _type(error: AppError) -> str:
    return _TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "api_error")


def _error(value: object, data: bytes) -> AppError:
    kind = value.get("type") if isinstance(value, dict) else None
    return replies.error(value or replies.decoded(data), _STATUS.get(kind, 502) if isinstance(kind, str) else 502)


def _usage(raw: object) -> Usage | None:
    """Anthropic's input_tokens excludes cache reads and writes; ours includes them."""
    if not isinstance(raw, dict):
        return None
    plain, output = count(raw.get("input_tokens")), count(raw.get("output_tokens"))
    if plain is None and output is None:
        return None
    cached, written = count(raw.get("cache_read_input_tokens")), count(raw.get("cache_creation_input_tokens"))
    creation, tools, details = raw.get("cache_creation"), raw.get("server_tool_use"), raw.get("output_tokens_details")
    tier, speed = raw.get("service_tier"), raw.get("speed")
    return Usage(
        input=None if plain is None else plain + (cached or 0) + (written or 0),
        cached=cached,
        cache_write=written,
        cache_write_1h=count(creation.get("ephemeral_1h_input_tokens")) if isinstance(creation, dict) else None,
        output=output,
        reasoning=count(details.get("thinking_tokens")) if isinstance(details, dict) else None,
        web_searches=count(tools.get("web_search_requests")) if isinstance(tools, dict) else None,
        service_tier=tier if isinstance(tier, str) else "",
        speed=speed if isinstance(speed, str) else "",
    )
