"""The kinds of account a person can add, one row each. Facts from the providers' own documentation, read on the day in `read`.

Local servers speak both dialects at one address. They need no key unless their owner switched that on, and then take one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.core.errors import AppError
from app.providers.provider import Provider, Speech

_READ: Final = "2026-11-23"

_ROWS: Final = (
    Provider(
        id="openai",
        label="OpenAI",
        speaks=(Speech("openai", "https://api.openai.com/v1"),),
        docs_url="https://platform.openai.com/docs/api-reference",
        key_url="https://platform.openai.com/api-keys",
        key_example="sk-proj-…",
        passes={
            "openai-organization": "chooses which organisation is billed",
            "openai-project": "chooses which project is billed",
        },
        region="us",
        prices="openai",
        read=_READ,
    ),
    Provider(
        id="anthropic",
        label="Anthropic",
        speaks=(Speech("anthropic", "https://api.anthropic.com/v1", "x-api-key"),),
        docs_url="https://docs.claude.com/en/api/overview",
        key_url="https://console.anthropic.com/settings/keys",
        key_example="sk-ant-api03-…",
        region="us",
        prices="anthropic",
        read=_READ,
    ),
    Provider(
        id="openrouter",
        label="OpenRouter",
        speaks=(Speech("openai", "https://openrouter.ai/api/v1"), Speech("anthropic", "https://openrouter.ai/api/v1")),
        docs_url="https://openrouter.ai/docs",
        key_url="https://openrouter.ai/settings/keys",
        key_example="sk-or-v1-…",
        check_path="key",  # the list of models is public; this one describes the key
        prices="openrouter",
        read=_READ,
    ),
)

KINDS: Final[Mapping[str, Provider]] = {row.id: row for row in _ROWS}


def kind(identifier: str) -> Provider:
    """The row of a kind. AppError kind_unknown."""
    try:
        return KINDS[identifier]
    except KeyError:
        raise AppError("kind_unknown", f"There is no kind of provider named {identifier}.", f"Known: {', '.join(KINDS)}.") from None
