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
    "gemini": "https://aistudio.google.com/apikey",
    "azure": "https://portal.azure.com",
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
    "minimax": "https://platform.minimax.io/user-center/basic-information/interface-key",
    "cohere": "https://dashboard.cohere.com/api-keys",
    "nebius": "https://tokenfactory.nebius.com",
    "novita": "https://novita.ai/settings/key-management",
    "sambanova": "https://cloud.sambanova.ai/apis",
    "hyperbolic": "https://app.hyperbolic.xyz/settings",
    "baseten": "https://app.baseten.co/settings/api_keys",
    "siliconflow": "https://cloud.siliconflow.com/account/ak",
    "ai21": "https://studio.ai21.com/account/api-key",
    "scaleway": "https://console.scaleway.com/iam/api-keys",
    "ovhcloud": "https://endpoints.ai.cloud.ovh.net",
    "nscale": "https://console.nscale.com",
    "friendli": "https://suite.friendli.ai",
    "chutes": "https://chutes.ai/app/api",
    "featherless": "https://featherless.ai/account/api-keys",
    "venice": "https://venice.ai/settings/api",
    "wandb": "https://wandb.ai/authorize",
    "vercel": "https://vercel.com/dashboard",
    "upstage": "https://console.upstage.ai/api-keys",
    "zhipu": "https://bigmodel.cn/usercenter/proj-mgmt/apikeys",
    "volcengine": "https://console.volcengine.com/ark",
    "stepfun": "https://platform.stepfun.com/interface-key",
}


def link(name: object) -> str:
    """The address of a page. AppError `unknown_name`."""
    found = LINKS.get(name) if isinstance(name, str) else None
    if found is None:
        raise AppError("unknown_name", "There is no page of that name.")
    return found
