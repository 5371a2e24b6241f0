"""The kinds of account a person can add, one row each, in the order in which they are offered.

Each kind's own address is in `core.kinds`. Facts come from the providers' own documentation as it stood on the day in `read`; where
`read` is empty only second-hand sources (client libraries that ship the address) were at hand. Local servers speak several dialects at
one address and take a key only if their owner switched that on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.core.errors import AppError
from app.core.kinds import ADDRESSES
from app.providers.provider import Provider, Speech

# The account that answers by itself; it is no row, because nothing leaves for it.
BUILT_IN: Final = "gatehouse"

_READ: Final = "2026-11-23"
_READ_LATER: Final = "2026-11-28"


def _local(identifier: str, label: str, docs_url: str) -> Provider:
    base = ADDRESSES[identifier]
    return Provider(
        id=identifier,
        label=label,
        speaks=(Speech("openai", base), Speech("responses", base), Speech("anthropic", base)),
        needs_key=False,
        local=True,
        docs_url=docs_url,
        region="local",
        read=_READ,
    )


def _chat(identifier: str, label: str, docs_url: str, key_url: str, *, prices: str = "", region: str = "", read: str = "") -> Provider:
    """One that speaks OpenAI's chat dialect alone, with nothing that has to be known beside its address."""
    return Provider(
        id=identifier,
        label=label,
        speaks=(Speech("openai", ADDRESSES[identifier]),),
        docs_url=docs_url,
        key_url=key_url,
        prices=prices,
        region=region,
        read=read,
    )


def _local_chat(identifier: str, label: str, docs_url: str) -> Provider:
    """One that speaks OpenAI's chat dialect alone."""
    return Provider(
        id=identifier,
        label=label,
        speaks=(Speech("openai", ADDRESSES[identifier]),),
        needs_key=False,
        local=True,
        docs_url=docs_url,
        region="local",
    )


_ROWS: Final = (
    Provider(
        id="openai",
        label="OpenAI",
        speaks=(Speech("openai", ADDRESSES["openai"]), Speech("responses", ADDRESSES["openai"])),
        docs_url="https://platform.openai.com/docs/api-reference",
        key_url="https://platform.openai.com/api-keys",
        key_example="sk-proj-…",
        passes={
            "openai-organization": "chooses the organisation that is billed",
            "openai-project": "chooses the project that is billed",
        },
        quirks=frozenset({"max_completion_tokens", "openai_own"}),
        prices="openai",
        read=_READ,
    ),
    Provider(
        id="anthropic",
        label="Anthropic",
        speaks=(Speech("anthropic", ADDRESSES["anthropic"], "x-api-key"),),
        docs_url="https://docs.claude.com/en/api/overview",
        key_url="https://platform.claude.com/settings/keys",
        key_example="sk-ant-api03-…",
        prices="anthropic",
        read=_READ,
    ),
    Provider(
        id="gemini",
        label="Google Gemini",
        # OpenAI's dialect there cannot say all that its own can (thoughts, their signatures): it is used for what we do not translate.
        speaks=(
            Speech("gemini", ADDRESSES["gemini"], "x-goog-api-key"),
            Speech("openai", "https://generativelanguage.googleapis.com/v1beta/openai", only=frozenset({"embeddings"})),
        ),
        docs_url="https://ai.google.dev/api",
        key_url="https://aistudio.google.com/apikey",
        key_example="AIza…",
        path="/v1beta",
        models_path="models?pageSize=1000",
        prices="google",
        read=_READ_LATER,
    ),
    Provider(
        id="azure",
        label="Azure OpenAI",
        speaks=(Speech("openai", "", "azure"),),
        docs_url="https://learn.microsoft.com/azure/ai-foundry/openai/reference",
        key_url="https://portal.azure.com",
        path="/openai",
        models_path="",  # the list is of models, not of the deployments that can be asked
        key_path="models",
        quirks=frozenset({"max_completion_tokens", "openai_own", "deployments"}),
        prices="azure",
        read=_READ_LATER,
    ),
    Provider(
        id="openrouter",
        label="OpenRouter",
        speaks=(
            Speech("openai", ADDRESSES["openrouter"]),
            Speech("responses", ADDRESSES["openrouter"]),
            Speech("anthropic", ADDRESSES["openrouter"]),
        ),
        docs_url="https://openrouter.ai/docs",
        key_url="https://openrouter.ai/settings/keys",
        key_example="sk-or-v1-…",
        key_path="key",
        prices="openrouter",
        read=_READ,
    ),
    Provider(
        id="deepseek",
        label="DeepSeek",
        speaks=(
            Speech("openai", ADDRESSES["deepseek"]),
            Speech("anthropic", "https://api.deepseek.com/anthropic/v1", "x-api-key"),
        ),
        docs_url="https://api-docs.deepseek.com",
        key_url="https://platform.deepseek.com/api_keys",
        key_example="sk-…",
        quirks=frozenset({"wants_reasoning"}),
        prices="deepseek",
        read=_READ,
    ),
    Provider(
        id="groq",
        label="Groq",
        speaks=(Speech("openai", ADDRESSES["groq"]), Speech("responses", ADDRESSES["groq"])),
        docs_url="https://console.groq.com/docs/openai",
        key_url="https://console.groq.com/keys",
        key_example="gsk_…",
        prices="groq",
        read=_READ_LATER,
    ),
    Provider(
        id="xai",
        label="xAI",
        speaks=(Speech("openai", ADDRESSES["xai"]), Speech("responses", ADDRESSES["xai"])),
        docs_url="https://docs.x.ai",
        key_url="https://console.x.ai",
        key_example="xai-…",
        prices="x-ai",
    ),
    Provider(
        id="mistral",
        label="Mistral",
        speaks=(Speech("openai", ADDRESSES["mistral"]),),
        docs_url="https://docs.mistral.ai/api",
        key_url="https://console.mistral.ai/api-keys",
        # 422 "Extra inputs are not permitted" on stream_options.include_usage; the last chunk of every stream holds usage
        # (github.com/openai/openai-agents-python/issues/442, github.com/TabbyML/tabby/pull/4082).
        quirks=frozenset({"no_stream_options"}),
        prices="mistral",
    ),
    Provider(
        id="together",
        label="Together AI",
        speaks=(Speech("openai", ADDRESSES["together"]),),
        docs_url="https://docs.together.ai/docs/inference/openai-compatibility",
        key_url="https://api.together.ai/settings/api-keys",
        prices="together",
        read=_READ,
    ),
    Provider(
        id="fireworks",
        label="Fireworks AI",
        speaks=(
            Speech("openai", ADDRESSES["fireworks"]),
            Speech("responses", ADDRESSES["fireworks"]),
            Speech("anthropic", ADDRESSES["fireworks"]),
        ),
        docs_url="https://docs.fireworks.ai/tools-sdks/openai-compatibility",
        key_url="https://app.fireworks.ai/settings/users/api-keys",
        key_example="fw_…",
        prices="fireworks",
        read=_READ,
    ),
    Provider(
        id="perplexity",
        label="Perplexity",
        speaks=(Speech("openai", ADDRESSES["perplexity"]),),
        docs_url="https://docs.perplexity.ai/docs/sonar/openai-compatibility",
        key_url="https://www.perplexity.ai/account/api/keys",
        key_example="pplx-…",
        models_path="",  # the chat API lists none
        key_path="async/chat/completions",  # the list of asynchronous requests, free of charge
        prices="perplexity",
        read=_READ,
    ),
    Provider(
        id="cerebras",
        label="Cerebras",
        speaks=(Speech("openai", ADDRESSES["cerebras"]),),
        docs_url="https://inference-docs.cerebras.ai",
        key_url="https://cloud.cerebras.ai",
        key_example="csk-…",
        prices="cerebras",
        read=_READ_LATER,
    ),
    Provider(
        id="moonshot",
        label="Moonshot AI (Kimi)",
        speaks=(Speech("openai", ADDRESSES["moonshot"]), Speech("anthropic", "https://api.moonshot.ai/anthropic/v1")),
        docs_url="https://platform.kimi.ai/docs/api/overview",
        key_url="https://platform.moonshot.ai/console/api-keys",
        key_example="sk-…",
        quirks=frozenset({"wants_reasoning"}),
        prices="moonshotai",
    ),
    Provider(
        id="dashscope",
        label="Alibaba Cloud Model Studio (DashScope)",
        speaks=(
            Speech("openai", ADDRESSES["dashscope"]),
            Speech("anthropic", "https://dashscope-intl.aliyuncs.com/apps/anthropic/v1"),
        ),
        docs_url="https://www.alibabacloud.com/help/en/model-studio/compatibility-of-openai-with-dashscope",
        key_url="https://modelstudio.console.alibabacloud.com",
        key_example="sk-…",
        passes={"x-dashscope-sse": "switches streaming on in its own API"},
        region="sg",
        read=_READ,
    ),
    Provider(
        id="zai",
        label="Z.AI (GLM)",
        speaks=(Speech("openai", ADDRESSES["zai"]), Speech("anthropic", "https://api.z.ai/api/anthropic/v1")),
        docs_url="https://docs.z.ai/guides/develop/openai/python",
        key_url="https://z.ai/manage-apikey/apikey-list",
        prices="zai",
    ),
    Provider(
        id="deepinfra",
        label="DeepInfra",
        speaks=(Speech("openai", ADDRESSES["deepinfra"]),),
        docs_url="https://deepinfra.com/docs/openai_api",
        key_url="https://deepinfra.com/dash/api_keys",
        quirks=frozenset({"public_models"}),
        read=_READ_LATER,
    ),
    Provider(
        id="nvidia",
        label="NVIDIA NIM",
        speaks=(Speech("openai", ADDRESSES["nvidia"]),),
        docs_url="https://docs.api.nvidia.com/nim/reference/llm-apis",
        key_url="https://build.nvidia.com/settings/api-keys",
        key_example="nvapi-…",
        quirks=frozenset({"public_models"}),
    ),
    Provider(
        id="huggingface",
        label="Hugging Face",
        speaks=(Speech("openai", ADDRESSES["huggingface"]), Speech("responses", ADDRESSES["huggingface"])),
        docs_url="https://huggingface.co/docs/inference-providers",
        key_url="https://huggingface.co/settings/tokens",
        key_example="hf_…",
        passes={"x-hf-bill-to": "chooses the organisation that is billed"},
        quirks=frozenset({"public_models"}),
    ),
    Provider(
        id="github-models",
        label="GitHub Models",
        speaks=(Speech("openai", ADDRESSES["github-models"]),),
        docs_url="https://docs.github.com/en/rest/models",
        key_url="https://github.com/settings/personal-access-tokens",
        key_example="github_pat_…",
        models_path="/catalog/models",
        quirks=frozenset({"public_models"}),
        read=_READ,
    ),
    Provider(
        id="minimax",
        label="MiniMax",
        speaks=(Speech("openai", ADDRESSES["minimax"]), Speech("anthropic", "https://api.minimax.io/anthropic/v1", "x-api-key")),
        docs_url="https://platform.minimax.io/docs",
        key_url="https://platform.minimax.io/user-center/basic-information/interface-key",
        prices="minimax",
        read=_READ_LATER,
    ),
    _chat(
        "cohere",
        "Cohere",
        "https://docs.cohere.com/docs/compatibility-api",
        "https://dashboard.cohere.com/api-keys",
        prices="cohere",
        read=_READ_LATER,
    ),
    _chat(
        "nebius",
        "Nebius Token Factory",
        "https://docs.tokenfactory.nebius.com",
        "https://tokenfactory.nebius.com",
    ),
    _chat(
        "novita",
        "Novita AI",
        "https://novita.ai/docs/guides/llm-api",
        "https://novita.ai/settings/key-management",
        prices="novita",
    ),
    _chat("sambanova", "SambaNova", "https://docs.sambanova.ai", "https://cloud.sambanova.ai/apis"),
    _chat("hyperbolic", "Hyperbolic", "https://docs.hyperbolic.xyz", "https://app.hyperbolic.xyz/settings"),
    _chat(
        "baseten",
        "Baseten",
        "https://docs.baseten.co/development/model-apis/overview",
        "https://app.baseten.co/settings/api_keys",
        prices="baseten",
        read=_READ_LATER,
    ),
    _chat(
        "siliconflow",
        "SiliconFlow",
        "https://docs.siliconflow.com",
        "https://cloud.siliconflow.com/account/ak",
    ),
    _chat("ai21", "AI21 Labs", "https://docs.ai21.com", "https://studio.ai21.com/account/api-key"),
    _chat(
        "scaleway",
        "Scaleway",
        "https://www.scaleway.com/en/docs/generative-apis/",
        "https://console.scaleway.com/iam/api-keys",
        region="fr",
        read=_READ_LATER,
    ),
    _chat(
        "ovhcloud",
        "OVHcloud AI Endpoints",
        "https://help.ovhcloud.com/csm/en-public-cloud-ai-endpoints-getting-started",
        "https://endpoints.ai.cloud.ovh.net",
        prices="ovhcloud",
        region="fr",
    ),
    _chat("nscale", "Nscale", "https://docs.nscale.com", "https://console.nscale.com"),
    _chat("friendli", "FriendliAI", "https://friendli.ai/docs", "https://suite.friendli.ai"),
    _chat("chutes", "Chutes", "https://chutes.ai/docs", "https://chutes.ai/app/api"),
    _chat(
        "featherless",
        "Featherless AI",
        "https://featherless.ai/docs",
        "https://featherless.ai/account/api-keys",
    ),
    _chat(
        "venice",
        "Venice",
        "https://docs.venice.ai",
        "https://venice.ai/settings/api",
        read=_READ_LATER,
    ),
    _chat("wandb", "W&B Inference", "https://docs.wandb.ai/inference", "https://wandb.ai/authorize"),
    Provider(
        id="vercel",
        label="Vercel AI Gateway",
        # Either key header is taken (vercel.com/docs/ai-gateway/anthropic-compat).
        speaks=(Speech("openai", ADDRESSES["vercel"]), Speech("anthropic", ADDRESSES["vercel"])),
        docs_url="https://vercel.com/docs/ai-gateway",
        key_url="https://vercel.com/dashboard",
        read=_READ_LATER,
    ),
    _chat("upstage", "Upstage", "https://console.upstage.ai/docs", "https://console.upstage.ai/api-keys"),
    _chat(
        "zhipu",
        "Zhipu AI (BigModel)",
        "https://docs.bigmodel.cn",
        "https://bigmodel.cn/usercenter/proj-mgmt/apikeys",
        prices="zhipuai",
        region="cn",
    ),
    _chat(
        "volcengine",
        "Volcengine Ark",
        "https://www.volcengine.com/docs/82379",
        "https://console.volcengine.com/ark",
        region="cn",
    ),
    _chat(
        "stepfun",
        "StepFun",
        "https://platform.stepfun.com/docs",
        "https://platform.stepfun.com/interface-key",
        region="cn",
    ),
    _local("ollama", "Ollama", "https://docs.ollama.com/api/openai-compatibility"),
    _local("lmstudio", "LM Studio", "https://lmstudio.ai/docs/developer/openai-compat"),
    _local("llamacpp", "llama.cpp", "https://github.com/ggml-org/llama.cpp/tree/master/tools/server"),
    _local("vllm", "vLLM", "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html"),
    _local_chat("sglang", "SGLang", "https://docs.sglang.ai"),
    _local_chat("localai", "LocalAI", "https://localai.io"),
    _local_chat("jan", "Jan", "https://jan.ai/docs"),
    _local_chat("koboldcpp", "KoboldCpp", "https://github.com/LostRuins/koboldcpp/wiki"),
    Provider(
        id="openai-compatible",
        label="OpenAI-compatible server",
        speaks=(Speech("openai", ""),),
        needs_key=False,
    ),
    Provider(
        id="responses-compatible",
        label="Responses-compatible server",
        speaks=(Speech("responses", ""),),
        needs_key=False,
    ),
    Provider(
        id="anthropic-compatible",
        label="Anthropic-compatible server",
        speaks=(Speech("anthropic", "", "x-api-key"),),
        needs_key=False,
    ),
    Provider(
        id="gemini-compatible",
        label="Gemini-compatible server",
        speaks=(Speech("gemini", "", "x-goog-api-key"),),
        needs_key=False,
        path="/v1beta",
    ),
)

KINDS: Final[Mapping[str, Provider]] = {row.id: row for row in _ROWS}


def kind(identifier: str) -> Provider:
    """The row of a kind. AppError kind_unknown."""
    try:
        return KINDS[identifier]
    except KeyError:
        raise AppError("kind_unknown", f"There is no kind of provider named {identifier}.", f"Known: {', '.join(KINDS)}.") from None
