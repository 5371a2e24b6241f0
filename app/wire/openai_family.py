"""What OpenAI's two dialects have in common: headers, the shape of an error, lists of models.

Sources: the package `openai` (3.54: types/shared/error_object, types/model) and the API reference.
"""

from __future__ import annotations

import re
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

# Models that think not at all, and refuse to be told how much. Others of the family take an effort; of servers that only speak the
# dialect nothing is known. Sources: the package (types/shared/reasoning_effort, reasoning), developers.openai.com/api/docs/guides/reasoning
# and what the API says when it refuses a value, as public reports quote it (looked up 2026-11-28).
UNTHINKING: Final = re.compile(r"(?:^|/)(?:gpt-3|gpt-4|chatgpt-|gpt-5-chat)")
_SCALE: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_EFFORTS: Final[tuple[tuple[re.Pattern[str], frozenset[str]], ...]] = (
    (re.compile(r"(?:^|/)o[134](?:-|$)"), frozenset({"low", "medium", "high"})),
    (re.compile(r"(?:^|/)gpt-5-pro"), frozenset({"high"})),
    (re.compile(r"(?:^|/)gpt-5(?:\.1)?-codex(?!-max)"), frozenset({"low", "medium", "high"})),
    (re.compile(r"(?:^|/)gpt-5\.\d+-codex"), frozenset({"low", "medium", "high", "xhigh"})),
    (re.compile(r"(?:^|/)gpt-5(?![.\d])"), frozenset({"minimal", "low", "medium", "high"})),
    (re.compile(r"(?:^|/)gpt-5\.1"), frozenset({"none", "low", "medium", "high"})),
    (re.compile(r"(?:^|/)gpt-(?:5\.[1-9]|[6-9]|\d\d)"), frozenset(_SCALE) - {"minimal"}),
)
# The most that a model gives out; more is refused. Sources: platform.openai.com/docs/models, as pages that quote it have it (2026-11-28).
_MOST_TOKENS: Final[tuple[tuple[re.Pattern[str], int], ...]] = (
    (re.compile(r"(?:^|/)gpt-4\.1"), 32_768),
    (re.compile(r"(?:^|/)(?:gpt-4o|chatgpt-4o|gpt-5-chat)"), 16_384),
    (re.compile(r"(?:^|/)(?:gpt-3\.5|gpt-4-turbo)"), 4_096),
    (re.compile(r"(?:^|/)gpt-4(?![.o\d])"), 8_192),
    (re.compile(r"(?:^|/)o[134](?:-|$)"), 100_000),
    (re.compile(r"(?:^|/)gpt-5"), 128_000),
)

# What an OpenAI client sees when only a status is known.
_TYPES: Final[Mapping[int, str]] = {
    401: "auth_error",
    403: "permission_error",
    408: "timeout_error",
    429: "rate_limit_error",
}


def fit_effort(effort: str, model: str) -> str:
    """The nearest effort that `model` takes, at least as much if there is one; "" when it is not to be told. Of unknown models every
    effort is taken to be known, but not that thinking can be switched off."""
    if UNTHINKING.search(model) or effort not in _SCALE:
        return "" if UNTHINKING.search(model) else effort
    takes = next((takes for pattern, takes in _EFFORTS if pattern.search(model)), None)
    if takes is None:
        return "" if effort == "none" else effort
    at = _SCALE.index(effort)
    return next((one for one in (*_SCALE[at:], *reversed(_SCALE[:at])) if one in takes), "")


def fit_max_tokens(wanted: int | None, model: str) -> int | None:
    """`wanted`, or what the model can give out where that is known to be less: it could not have given out more."""
    most = next((most for pattern, most in _MOST_TOKENS if pattern.search(model)), None)
    return wanted if wanted is None or most is None else min(wanted, most)


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
