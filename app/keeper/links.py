"""The pages that may be opened in the person's browser: https only, by name, from this list and nowhere else.

The window asks by name, so that nothing that reached it (a reply, a model's text) can open an address of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.core.errors import AppError

# Where a provider's keys are made: the catalogue's `key_url` for each kind; a test keeps the two alike.
LINKS: Final[Mapping[str, str]] = {
    "openai": "https://platform.openai.com/api-keys",
    "anthropic": "https://platform.claude.com/settings/keys",
    "openrouter": "https://openrouter.ai/settings/keys",
    "deepseek": "https://platform.deepseek.com/api_keys",
    "groq": "https://console.groq.com/keys",
    "xai": "https://console.x.ai",
    "mistral": "https://console.mistral.ai/api-keys",
    "together": "https://api.together.ai/settings/api-keys",
    "fireworks": "https://app.fireworks.ai/settings/users/api-keys",
    "perplexity": "https://www.perplexity.ai/account/api/keys",
    "cerebras": "https://cloud.cerebras.ai",
    "moonshot": "https://platform.moonshot.ai/console/api-keys",
    "dashscope": "https://modelstudio.console.alibabacloud.com",
    "zai": "https://z.ai/manage-apikey/apikey-list",
    "deepinfra": "https://deepinfra.com/dash/api_keys",
    "nvidia": "https://build.nvidia.com/settings/api-keys",
    "huggingface": "https://huggingface.co/settings/tokens",
    "github-models": "https://github.com/settings/personal-access-tokens",
}


def link(name: object) -> str:
    """The address of a page. AppError `unknown_name`."""
    found = LINKS.get(name) if isinstance(name, str) else None
    if found is None:
        raise AppError("unknown_name", "There is no page of that name.")
    return found
