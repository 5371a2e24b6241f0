"""The OpenAI dialect of responses, as it is relayed.

Sources: the typed models of the package `openai` (3.54: types/responses/response, response_usage, response_*_event).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from app.core.errors import AppError
from app.wire import openai_family, replies, shape
from app.wire.body import Understood
from app.wire.dialect import NOTHING, Edits, Heard, ModelEntry
from app.wire.usage import Usage, count

_encode: Final = msgspec.json.encode

_STATUS: Final = {"rate_limit_exceeded": 429, "server_error": 500, "invalid_prompt": 400}


class OpenAIResponses:
    """Stateless; see `Dialect`."""

    name: Final[Literal["responses"]] = "responses"

    request_headers: Final = openai_family.REQUEST_HEADERS

    own_headers: Final = ()

    response_headers: Final = openai_family.RESPONSE_HEADERS

    # Pieces alone: what is said piece by piece is said again when it is whole.
    words: Final = re.compile(rb'"delta"\s*:\s*"(?!")([^"\\]*+(?:\\.[^"\\]*+)*+)"')

    def notable(self, block: bytes) -> bool:
        return b"response.completed" in block or b"response.incomplete" in block or b"error" in block or b"response.failed" in block

    def edits(self, call: Understood, endpoint: str, model: str, *, ask_usage: bool) -> Edits:
        return Edits(values={} if model == call.model and "model" in call.members else {"model": _encode(model)})

    def path(self, endpoint: str, model: str) -> str:
        return endpoint

    def hear(self, name: str, data: bytes) -> Heard:
        event = shape.decoded(data)
        if event is None:
            return NOTHING
        kind = event.get("type") or name
        response = event.get("response")
        if kind in ("response.completed", "response.incomplete") and isinstance(response, dict):
            return Heard(usage=_usage(response), finished=True, end=True)
        if kind == "response.failed":
            failed = response.get("error") if isinstance(response, dict) else None
            return Heard(error=_error(failed or event), usage=_usage(response) if isinstance(response, dict) else None)
        if kind == "error":
            return Heard(error=_error(event.get("error") or event))
        return NOTHING

    def hear_reply(self, endpoint: str, body: bytes) -> Heard:
        reply = shape.decoded(body)
        if reply is None:
            raise AppError("provider_not_json", "The provider's answer is not JSON.", replies.PORTAL)
        if endpoint == "responses/input_tokens":
            return Heard(usage=Usage(input=0, output=0), finished=True, end=True)  # counting is free and uses no tokens
        if reply.get("error") is not None:
            return Heard(error=_error(reply["error"]))
        return Heard(usage=_usage(reply), finished=True, end=True)

    def error_body(self, error: AppError, call_id: str) -> bytes:
        return openai_family.error_body(error)

    def error_event(self, error: AppError, call_id: str) -> bytes:
        return failed_event(
            {"id": f"resp_{call_id}", "object": "response", "created_at": 0, "model": "", "output": [], "parallel_tool_calls": True,
             "tool_choice": "auto", "tools": []}, error, 0,
        )  # fmt: skip

    def ping(self) -> bytes:
        return b": ping\n\n"

    def models(self, entries: Sequence[ModelEntry]) -> bytes:
        return openai_family.models(entries)

    def model(self, entry: ModelEntry) -> bytes:
        return openai_family.model(entry)

    def read_models(self, body: bytes) -> tuple[str, ...]:
        return replies.model_names(body)


DIALECT: Final = OpenAIResponses()


def failed_event(response: dict[str, Any], error: AppError, sequence: int) -> bytes:
    """`response.failed`, which ends a stream. The codes are those of types/responses/response_error."""
    code = "rate_limit_exceeded" if error.status == 429 else "invalid_prompt" if 400 <= error.status < 500 else "server_error"
    event = {
        "type": "response.failed",
        "sequence_number": sequence,
        "response": {**response, "status": "failed", "error": {"code": code, "message": error.sentence()}},
    }
    return b"event: response.failed\ndata: " + _encode(event) + b"\n\n"


def _error(value: object) -> AppError:
    code = value.get("code") if isinstance(value, dict) else None
    return replies.error(value, _STATUS.get(code, 502) if isinstance(code, str) else 502)


def _usage(response: dict[str, Any]) -> Usage | None:
    raw = response.get("usage")
    if not isinstance(raw, dict):
        return None
    went_in, came_out = shape.got(raw.get("input_tokens_details"), dict, {}), shape.got(raw.get("output_tokens_details"), dict, {})
    given, output = count(raw.get("input_tokens")), count(raw.get("output_tokens"))
    if given is None and output is None:
        return None
    tier = response.get("service_tier")
    return Usage(
        input=given,
        cached=count(went_in.get("cached_tokens")),
        cache_write=count(went_in.get("cache_write_tokens")),
        output=output,
        reasoning=count(came_out.get("reasoning_tokens")),
        service_tier=tier if isinstance(tier, str) else "",
    )
