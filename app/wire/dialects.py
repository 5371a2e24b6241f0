"""Which dialect a request speaks, by its raw path alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, unquote

from app.wire import anthropic, gemini, openai_chat, openai_responses
from app.wire.dialect import Dialect, Endpoint, Name

DIALECTS: Final[Mapping[Name, Dialect]] = {
    "openai": openai_chat.DIALECT,
    "responses": openai_responses.DIALECT,
    "anthropic": anthropic.DIALECT,
    "gemini": gemini.DIALECT,
}

# OpenAI's paths are served with and without /v1: programs differ in what they take a base URL to be.
_OPENAI: Final[Mapping[str, Endpoint]] = {
    "/chat/completions": "chat/completions",
    "/completions": "completions",
    "/embeddings": "embeddings",
    "/models": "models",
}
_ANTHROPIC: Final[Mapping[str, Endpoint]] = {
    "/v1/messages": "messages",
    "/v1/messages/count_tokens": "messages/count_tokens",
    "/api/event_logging/batch": "event_logging",
}
_RESPONSES: Final[Mapping[str, Endpoint]] = {
    "/responses": "responses",
    "/responses/input_tokens": "responses/input_tokens",
}
_RESPONSES_BELOW: Final[Mapping[str, Endpoint]] = {
    "": "responses/item",
    "cancel": "responses/cancel",
    "input_items": "responses/input_items",
}
_DEPLOYED: Final = frozenset({"chat/completions", "completions", "embeddings"})
_GEMINI: Final = ("/v1beta/", "/v1alpha/")
_METHODS: Final[Mapping[str, Endpoint]] = {
    "generateContent": "generateContent",
    "streamGenerateContent": "streamGenerateContent",
    "countTokens": "countTokens",
}

# Which methods each endpoint answers; POST for those that are not here.
METHODS: Final[Mapping[Endpoint, tuple[str, ...]]] = {
    "models": ("GET",),
    "responses/item": ("GET", "DELETE"),
    "responses/input_items": ("GET",),
}


@dataclass(frozen=True, slots=True)
class Place:
    """An endpoint of ours. model: the id in `models/{id}` and the model or deployment that a Gemini or Azure path names, decoded, else
    "". stream: what the path says of it; None: the body does. array: a Gemini stream as one JSON array instead of events. item: the id
    of a stored response."""

    dialect: Dialect
    endpoint: Endpoint
    model: str = ""
    stream: bool | None = None
    array: bool = False
    item: str = ""

    @property
    def methods(self) -> tuple[str, ...]:
        return METHODS.get(self.endpoint, ("POST",))


# The places that the path alone decides: nearly every request goes to one of these.
_FIXED: Final[Mapping[str, Place]] = {
    **{path: Place(DIALECTS["anthropic"], endpoint) for path, endpoint in _ANTHROPIC.items()},
    **{
        prefix + path: Place(DIALECTS["openai"], endpoint)
        for prefix in ("", "/v1")
        for path, endpoint in _OPENAI.items()
        if endpoint != "models"
    },
}


def place(path: str, *, anthropic: bool, google: bool = False, query: str = "") -> Place | None:
    """The endpoint at `path` (without its query), or None. `anthropic`, `google`: the request carries `anthropic-version` or
    `x-goog-api-key`, which decides how models are listed. `query`: what follows the question mark; of it `alt` and `stream` are read
    where they decide the shape."""
    if known := _FIXED.get(path):
        return known
    if _is_gemini(path, google):
        return _gemini(path, query)
    short = path.removeprefix("/v1")
    if endpoint := _OPENAI.get(short):
        return Place(speaker(path, anthropic=anthropic), endpoint)
    if short.startswith("/models/") and len(short) > len("/models/"):
        return Place(speaker(path, anthropic=anthropic), "models", unquote(short.removeprefix("/models/")))
    if short.startswith("/responses"):
        return _responses(short)
    if path.startswith("/openai/"):
        return _azure(path.removeprefix("/openai/"))
    return None


def speaker(path: str, *, anthropic: bool, google: bool = False) -> Dialect:
    """The dialect in which to answer `path`, be it an endpoint or not."""
    if path.startswith(("/v1/messages", "/api/event_logging")) or (anthropic and path.removeprefix("/v1").startswith("/models")):
        return DIALECTS["anthropic"]
    if _is_gemini(path, google):
        return DIALECTS["gemini"]
    if path.removeprefix("/v1").startswith("/responses"):
        return DIALECTS["responses"]
    return DIALECTS["openai"]


def _is_gemini(path: str, google: bool) -> bool:
    """Google's package asks under /v1 from its version 3 on, where OpenAI's list of models is too."""
    if path.startswith(_GEMINI):
        return True
    return path.startswith("/v1/models") and (google or path.rpartition(":")[2] in _METHODS)


def _responses(short: str) -> Place | None:
    dialect = DIALECTS["responses"]
    if endpoint := _RESPONSES.get(short):
        return Place(dialect, endpoint)
    item, _, below = short.removeprefix("/responses/").partition("/")
    known = _RESPONSES_BELOW.get(below)
    if known is None or not short.startswith("/responses/") or not item or short.endswith("/"):
        return None
    return Place(dialect, known, item=unquote(item))


def _azure(rest: str) -> Place | None:
    """`deployments/{name}/chat/completions`, and `v1/...`, which is OpenAI's own form."""
    if rest.startswith("v1/"):
        return place("/" + rest, anthropic=False)
    model, _, below = rest.removeprefix("deployments/").partition("/")
    if not rest.startswith("deployments/") or not model or below not in _DEPLOYED:
        return None
    endpoint = _OPENAI["/" + below]
    return Place(DIALECTS["openai"], endpoint, unquote(model))


def _gemini(path: str, query: str) -> Place | None:
    dialect = DIALECTS["gemini"]
    rest = path.split("/", 2)[2]
    if rest == "models":
        return Place(dialect, "models")
    if not rest.startswith(("models/", "tunedModels/")):
        return None
    named, colon, method = rest.rpartition(":")
    if not colon or "/" in method or method not in _METHODS:
        listed = rest.removeprefix("models/")
        return Place(dialect, "models", unquote(listed)) if listed and rest.startswith("models/") else None
    model = unquote(named.removeprefix("models/"))
    if not model:
        return None
    streams = method == "streamGenerateContent"
    array = streams and parse_qs(query).get("alt") != ["sse"]
    return Place(dialect, _METHODS[method], model, stream=streams, array=array)
