"""The Gemini dialect of generateContent, streamGenerateContent, countTokens and models, as it is relayed.

Sources: the typed models of the package `google-genai` (3.4: types.GenerateContentResponse, GenerateContentResponseUsageMetadata,
errors.APIError) and the API reference (ai.google.dev/api). Names are those of the REST API, in camel case; the snake case of the
protocol buffers is read too, as the API does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal
from urllib.parse import quote

import msgspec

from app.core.errors import AppError
from app.wire import replies, shape
from app.wire.body import Understood
from app.wire.dialect import NOTHING, Edits, Heard, ModelEntry
from app.wire.usage import Usage, count

_encode: Final = msgspec.json.encode

# google.rpc.Code by HTTP status.
_STATUS: Final[Mapping[int, str]] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class Gemini:
    """Stateless; see `Dialect`."""

    name: Final[Literal["gemini"]] = "gemini"

    request_headers: Final = frozenset({
        "accept",
        "content-type",
        "x-server-timeout",  # how long the server may take (google-genai, _api_client)
    })  # fmt: skip

    own_headers: Final = ()

    response_headers: Final = frozenset({"retry-after", "server-timing", "x-gemini-service-tier"})

    words: Final = re.compile(rb'"text"\s*:\s*"(?!")([^"\\]*+(?:\\.[^"\\]*+)*+)"')

    def notable(self, block: bytes) -> bool:
        # Usage is in every chunk, and rises: the last one's, which says why the model stopped, is the one that counts.
        return b"finishReason" in block or b"error" in block or b"blockReason" in block or b"candidates" not in block

    def edits(self, call: Understood, endpoint: str, model: str, *, ask_usage: bool) -> Edits:
        return Edits(values={})  # the model is in the path

    def path(self, endpoint: str, model: str) -> str:
        if endpoint == "models":
            return "models"
        place = model if model.startswith(("models/", "tunedModels/")) else f"models/{model}"
        events = "?alt=sse" if endpoint == "streamGenerateContent" else ""
        return f"{quote(place, safe='/')}:{endpoint}{events}"

    def hear(self, name: str, data: bytes) -> Heard:
        event = shape.decoded(data)
        if event is None:
            return NOTHING
        if event.get("error") is not None:
            return Heard(error=_error(event["error"]))
        return Heard(usage=_usage(event), finished=stopped(event))

    def hear_reply(self, endpoint: str, body: bytes) -> Heard:
        reply = shape.decoded(body)
        if reply is None:
            raise AppError("provider_not_json", "The provider's answer is not JSON.", replies.PORTAL)
        if reply.get("error") is not None:
            return Heard(error=_error(reply["error"]))
        if endpoint == "countTokens":
            return Heard(usage=Usage(input=0, output=0), finished=True, end=True)  # counting is free and uses no tokens
        return Heard(usage=_usage(reply), finished=True, end=True)

    def error_body(self, error: AppError, call_id: str) -> bytes:
        status = _STATUS.get(error.status, "INVALID_ARGUMENT" if error.status < 500 else "UNAVAILABLE")
        return _encode({"error": {"code": error.status, "message": error.sentence(), "status": status}})

    def error_event(self, error: AppError, call_id: str) -> bytes:
        return b"data: " + self.error_body(error, call_id) + b"\n\n"

    def ping(self) -> bytes:
        # A comment would be taken for JSON by the google-genai package, which passes over empty lines alone.
        return b"\n\n"

    def models(self, entries: Sequence[ModelEntry]) -> bytes:
        return _encode({"models": [_entry(entry) for entry in entries]})

    def model(self, entry: ModelEntry) -> bytes:
        return _encode(_entry(entry))

    def read_models(self, body: bytes) -> tuple[str, ...]:
        listed = shape.decoded(body)
        if listed is None or "models" not in listed:
            return replies.model_names(body)  # a server of several dialects, or none
        models = listed["models"]
        if not isinstance(models, list):
            raise AppError("provider_not_json", "The provider's answer is no list of models.", replies.PORTAL)
        names = [item.get("name") for item in models if isinstance(item, dict) and _generates(item)]
        short = [name.removeprefix("models/") for name in names if isinstance(name, str)]
        return tuple(dict.fromkeys([name for name in short if 0 < len(name) <= 256 and name.isprintable()]))


DIALECT: Final = Gemini()


def _entry(entry: ModelEntry) -> dict[str, object]:
    return {
        "name": f"models/{entry.id}",
        "displayName": entry.id,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    }


def _generates(item: dict[str, Any]) -> bool:
    methods = item.get("supportedGenerationMethods")
    return not isinstance(methods, list) or "generateContent" in methods or "embedContent" in methods


def stopped(event: dict[str, Any]) -> bool:
    """Whether the model said why it stopped, or the prompt was refused."""
    candidates = event.get("candidates")
    if isinstance(candidates, list) and any(isinstance(one, dict) and one.get("finishReason") for one in candidates):
        return True
    feedback = event.get("promptFeedback")
    return isinstance(feedback, dict) and bool(feedback.get("blockReason"))


def _error(value: object) -> AppError:
    code = value.get("code") if isinstance(value, dict) else None
    return replies.error(value, code if isinstance(code, int) and 400 <= code < 600 else 502)


def _usage(reply: dict[str, Any]) -> Usage | None:
    """Gemini counts thoughts and what its own tools read beside candidates and prompt; ours includes them."""
    raw = reply.get("usageMetadata")
    if not isinstance(raw, dict):
        return None
    prompt, said = count(raw.get("promptTokenCount")), count(raw.get("candidatesTokenCount"))
    thoughts, tools = count(raw.get("thoughtsTokenCount")), count(raw.get("toolUsePromptTokenCount"))
    if prompt is None and said is None and thoughts is None:
        return None
    return Usage(
        input=None if prompt is None else prompt + (tools or 0),
        cached=count(raw.get("cachedContentTokenCount")),
        output=(said or 0) + (thoughts or 0),
        reasoning=thoughts,
        input_audio=_audio(raw.get("promptTokensDetails")),
        output_audio=_audio(raw.get("candidatesTokensDetails")),
        service_tier=shape.got(raw.get("serviceTier"), str, ""),
    )


def _audio(details: object) -> int | None:
    for item in details if isinstance(details, list) else ():
        if isinstance(item, dict) and item.get("modality") == "AUDIO":
            return count(item.get("tokenCount"))
    return None
