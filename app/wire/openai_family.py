"""What OpenAI's two dialects have in common: headers, the shape of an error, lists of models.

Sources: the package `openai` (3.54: types/shared/error_object, types/model) and the API reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from app.core.errors import AppError
from app.wire.dialect import ModelEntry

_encode: Final = msgspec.json.encode

REQUEST_HEADERS: Final = frozenset({
    "accept",
    "content-type",
    "idempotency-key",  # OpenAI SDKs send it with retries
    "openai-beta",  # selects beta behaviour (OpenAI API reference, "Beta header")
})  # fmt: skip

RESPONSE_HEADERS: Final = frozenset({
    "openai-model", "openai-organization", "openai-processing-ms", "openai-version",  # API reference, "Debugging requests"
    "x-request-id", "request-id",
    "x-ratelimit-", "ratelimit-", "retry-after", "retry-after-ms", "x-should-retry",  # "Rate limits"; the packages obey them
})  # fmt: skip

# What an OpenAI client sees when only a status is known.
_TYPES: Final[Mapping[int, str]] = {
    401: "auth_error",
    403: "permission_error",
    408: "timeout_error",
    429: "rate_limit_error",
}


def error_type(error: AppError) -> str:
    if error.code != "provider_error":
        return error.openai_type
    status = error.status
    return _TYPES.get(status, "invalid_request_error" if status < 500 else "internal_server_error")


def error_body(error: AppError) -> bytes:
    return _encode({
        "error": {"message": error.sentence(), "type": error_type(error), "param": error.param, "code": error.code}
    })  # fmt: skip


def models(entries: Sequence[ModelEntry]) -> bytes:
    return _encode({"object": "list", "data": [_entry(entry) for entry in entries]})


def model(entry: ModelEntry) -> bytes:
    return _encode(_entry(entry))


def _entry(entry: ModelEntry) -> dict[str, object]:
    return {"id": entry.id, "object": "model", "created": entry.created_s, "owned_by": entry.owner}
