"""Which dialect a request speaks, by its raw path alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from app.wire.anthropic import Anthropic
from app.wire.dialect import Dialect, Endpoint, Name
from app.wire.openai_chat import OpenAIChat

DIALECTS: Final[Mapping[Name, Dialect]] = {"openai": OpenAIChat(), "anthropic": Anthropic()}

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
}


@dataclass(frozen=True, slots=True)
class Place:
    """An endpoint of ours. model: the id in `models/{id}`, decoded; "" for the list and everywhere else."""

    dialect: Dialect
    endpoint: Endpoint
    model: str = ""


def place(path: str, *, anthropic: bool) -> Place | None:
    """The endpoint at `path`, or None. `anthropic`: the request carries `anthropic-version`, which decides how models are listed."""
    if endpoint := _ANTHROPIC.get(path):
        return Place(DIALECTS["anthropic"], endpoint)
    short = path.removeprefix("/v1")
    if endpoint := _OPENAI.get(short):
        return Place(speaker(path, anthropic=anthropic), endpoint)
    if short.startswith("/models/") and len(short) > len("/models/"):
        return Place(speaker(path, anthropic=anthropic), "models", unquote(short.removeprefix("/models/")))
    return None


def speaker(path: str, *, anthropic: bool) -> Dialect:
    """The dialect in which to answer `path`, be it an endpoint or not."""
    if path.startswith("/v1/messages") or (anthropic and path.removeprefix("/v1").startswith("/models")):
        return DIALECTS["anthropic"]
    return DIALECTS["openai"]
