"""What providers' replies have in common, whatever the dialect: where an error says its message, and how models are listed."""

from __future__ import annotations

from typing import Final

import msgspec

from app.core.errors import AppError
from app.core.unreadable import UNREADABLE
from app.wire.outline import outline

PORTAL: Final = "Check the base URL; a network that asks for a sign-in also answers like this."
_LONGEST: Final = 2000
_MOST_LISTED: Final = 300_000  # values; the longest lists known have a tenth of that

_anything: Final = msgspec.json.Decoder().decode


def decoded(body: bytes) -> object | None:
    """The JSON value of `body`; None when it is none."""
    try:
        found: object = _anything(body)
    except UNREADABLE:
        return None
    return found


def message(value: object) -> str:
    """What an error reply says to a person, or "". Shapes seen: {"error": {"message"}} (OpenAI, Anthropic), {"error": text} (Hugging
    Face, Ollama), {"message": text} (vLLM), {"detail": text or list} (FastAPI), {"message": {"detail": [...]}} (Mistral), a list of
    one of these (Google)."""
    for _ in range(6):
        if isinstance(value, str):
            return value[:_LONGEST]
        if isinstance(value, list):
            value = value[0] if value else None
        elif isinstance(value, dict):
            value = next((value[name] for name in ("error", "message", "detail", "msg", "errors") if value.get(name)), None)
        else:
            break
    return ""


def error(value: object, status: int) -> AppError:
    """The error that `value` (the part under "error", or a whole reply) reports."""
    return AppError("provider_error", message(value) or "The provider reported an error without a message.", status=status)


def model_names(body: bytes) -> tuple[str, ...]:
    """The ids in a list of models: {"data": [{"id"}]}, or a bare list (Together, GitHub Models). AppError provider_not_json."""
    if outline(body, _MOST_LISTED).values > _MOST_LISTED:
        raise AppError("provider_not_json", "The provider's list of models is too long to read.", PORTAL)
    listed = decoded(body)
    if isinstance(listed, dict):
        listed = listed.get("data")
        if listed is None:
            listed = []  # Ollama without a model: {"object": "list", "data": null}
    if not isinstance(listed, list):
        raise AppError("provider_not_json", "The provider's answer is no list of models.", PORTAL)
    names = [item.get("id") for item in listed if isinstance(item, dict)]
    return tuple(dict.fromkeys([name for name in names if isinstance(name, str) and 0 < len(name) <= 256 and name.isprintable()]))
