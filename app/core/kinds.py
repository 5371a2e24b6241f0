"""Where each kind of provider is: the address that an account of it gets when the person gives none.

One table for everybody who has to know it, and none of them asks another process: the catalogue's rows take theirs from here, and the
keeper works out here what a person's wish to add an account allows (`destination`). So the engine cannot say that a kind is elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.core.errors import AppError
from app.core.records import Destination

# By the kind's id; "" where the person must give an address.
ADDRESSES: Final[Mapping[str, str]] = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com/v1",
    "gemini": "https://generativelanguage.googleapis.com/v1beta",
    "azure": "",
    "openrouter": "https://openrouter.ai/api/v1",
    "deepseek": "https://api.deepseek.com",
    "groq": "https://api.groq.com/openai/v1",
    "xai": "https://api.x.ai/v1",
    "mistral": "https://api.mistral.ai/v1",
    "together": "https://api.together.ai/v1",
    "fireworks": "https://api.fireworks.ai/inference/v1",
    "perplexity": "https://api.perplexity.ai",
    "cerebras": "https://api.cerebras.ai/v1",
    "moonshot": "https://api.moonshot.ai/v1",
    "dashscope": "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    "zai": "https://api.z.ai/api/paas/v4",
    "deepinfra": "https://api.deepinfra.com/v1/openai",
    "nvidia": "https://integrate.api.nvidia.com/v1",
    "huggingface": "https://router.huggingface.co/v1",
    "github-models": "https://models.github.ai/inference",
    "minimax": "https://api.minimax.io/v1",
    "cohere": "https://api.cohere.ai/compatibility/v1",
    "nebius": "https://api.tokenfactory.nebius.com/v1",
    "novita": "https://api.novita.ai/openai/v1",
    "sambanova": "https://api.sambanova.ai/v1",
    "hyperbolic": "https://api.hyperbolic.xyz/v1",
    "baseten": "https://inference.baseten.co/v1",
    "siliconflow": "https://api.siliconflow.com/v1",
    "ai21": "https://api.ai21.com/studio/v1",
    "scaleway": "https://api.scaleway.ai/v1",
    "ovhcloud": "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1",
    "nscale": "https://inference.api.nscale.com/v1",
    "friendli": "https://api.friendli.ai/serverless/v1",
    "chutes": "https://llm.chutes.ai/v1",
    "featherless": "https://api.featherless.ai/v1",
    "venice": "https://api.venice.ai/api/v1",
    "wandb": "https://api.inference.wandb.ai/v1",
    "vercel": "https://ai-gateway.vercel.sh/v1",
    "upstage": "https://api.upstage.ai/v1",
    "zhipu": "https://open.bigmodel.cn/api/paas/v4",
    "volcengine": "https://ark.cn-beijing.volces.com/api/v3",
    "stepfun": "https://api.stepfun.com/v1",
    "ollama": "http://127.0.0.1:11434/v1",
    "lmstudio": "http://127.0.0.1:1234/v1",
    "llamacpp": "http://127.0.0.1:8080/v1",
    "vllm": "http://127.0.0.1:8000/v1",
    "sglang": "http://127.0.0.1:30000/v1",
    "localai": "http://127.0.0.1:8080/v1",
    "jan": "http://127.0.0.1:1337/v1",
    "koboldcpp": "http://127.0.0.1:5001/v1",
    "openai-compatible": "",
    "responses-compatible": "",
    "anthropic-compatible": "",
    "gemini-compatible": "",
}
# Servers on the person's own machine or network.
LOCAL: Final = frozenset({"ollama", "lmstudio", "llamacpp", "vllm", "sglang", "localai", "jan", "koboldcpp"})


def destination(kind: str, given: str, *, local: bool) -> Destination:
    """Where an account of this kind goes. given: the base URL that the person gave, "" for the kind's own. AppError kind_unknown,
    url_invalid."""
    if kind not in ADDRESSES:
        raise AppError("kind_unknown", f"There is no kind of provider named {kind[:64]!r}.", f"Known: {', '.join(ADDRESSES)}.")
    url = given.strip() or ADDRESSES[kind]
    hint = "Give the address of the API, for example https://host/v1."
    if not url:
        raise AppError("url_invalid", "This kind of provider needs a base URL.", hint)
    try:
        return Destination.of(url, local=local or kind in LOCAL)
    except ValueError as error:
        raise AppError("url_invalid", str(error), hint) from None
