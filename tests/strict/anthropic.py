"""What Anthropic's Messages API refuses: the shapes of the package `anthropic`, and the rules of its documentation.

Sources: platform.claude.com/docs (Messages API, Versioning, "Migrating to API version 2026-10-21", tool use, extended thinking,
structured outputs), read 2026-11-23.
"""

from __future__ import annotations

import re
from typing import Any

from anthropic.types import message_count_tokens_params as counting
from anthropic.types import message_create_params as creating

from tests.strict.seen import Item, Refusal, Seen, closed, digest, is_base64
from tests.strict.shapes import Wrong, wrong

VERSIONS = ("2023-06-01", "2026-10-21")
SEALS = ("sig_upstream_", "red_upstream_")  # what this upstream gives out as signatures and redacted thoughts
_SAMPLING = frozenset({"temperature", "top_p", "top_k"})
_ID = re.compile(r"[a-zA-Z0-9_-]+")
_TOOL = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")


def refusal(body: dict[str, Any], version: str, *, counts: bool = False) -> Refusal | None:
    if version not in VERSIONS:
        return Refusal("anthropic-version: header is required" if not version else f"anthropic-version: {version!r} is not a valid version")
    if version != VERSIONS[0] and (found := sorted(_SAMPLING & set(body))):
        return Refusal(f"{found[0]}: Extra inputs are not permitted")
    shape: Any = counting.MessageCountTokensParams if counts else creating.MessageCreateParamsBase
    finding = wrong(body, shape, (), _SAMPLING if counts else _SAMPLING | {"stream"})
    # In the header, by the package; a body that has it is refused.
    if finding is None and (found := sorted({"workspace_id", "user_profile_id"} & set(body))):
        finding = Wrong("unknown", (found[0],))
    if finding is not None:
        return Refusal(_said(finding))
    said = _settings(body) or _thinking(body) or _tools(body) or _messages(body, version)
    return Refusal(said) if said else None


def _said(finding: Wrong) -> str:
    if finding.kind == "missing":
        return f"{finding.dotted()}: Field required"
    if finding.kind == "unknown":
        return f"{finding.dotted()}: Extra inputs are not permitted"
    return f"{finding.dotted()}: Input should be {finding.expected}"


def _settings(body: dict[str, Any]) -> str:
    if body.get("max_tokens", 1) < 0:
        return "max_tokens: Input should be greater than or equal to 0"
    if "temperature" in body and not (isinstance(body["temperature"], int | float) and 0 <= body["temperature"] <= 1):
        return "temperature: range: 0..1"
    if body.get("temperature") is not None and body.get("top_p") is not None:
        return "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
    for at, stop in enumerate(body.get("stop_sequences", [])):
        if not stop.strip():
            return f"stop_sequences.{at}: each stop sequence must contain non-whitespace"
    style = (body.get("output_config") or {}).get("format")
    if style and (where := closed(style["schema"], all_required=False)):
        return f"output_config.format.{where}"
    return ""


def _thinking(body: dict[str, Any]) -> str:
    thinking = body.get("thinking") or {}
    if thinking.get("type") == "enabled":
        if thinking["budget_tokens"] < 1024:
            return "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"
        if "max_tokens" in body and thinking["budget_tokens"] >= body["max_tokens"]:
            return "`max_tokens` must be greater than `thinking.budget_tokens`."
    if thinking.get("type") in ("enabled", "adaptive"):
        if body.get("temperature", 1) != 1:
            return "`temperature` may only be set to 1 when thinking is enabled."
        if body.get("top_k") is not None:
            return "`top_k` must be unset when thinking is enabled."
        if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
            return "Thinking may not be enabled when tool_choice forces tool use."
    return ""


def _tools(body: dict[str, Any]) -> str:
    names = set()
    for at, tool in enumerate(body.get("tools", [])):
        if tool.get("type") not in (None, "custom"):
            names.add(tool.get("name", ""))
            continue
        if not _TOOL.fullmatch(tool["name"]):
            return f"tools.{at}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"
        if tool["name"] in names:
            return "tools: Tool names must be unique."
        names.add(tool["name"])
        if tool["input_schema"].get("type") != "object":
            return f"tools.{at}.custom.input_schema.type: Field required"
        if tool.get("strict") and (where := closed(tool["input_schema"], all_required=False)):
            return f"tools.{at}.custom.input_{where}"
    choice = body.get("tool_choice")
    if choice and not names and choice["type"] != "none":
        return "tool_choice: tool_choice may only be specified while providing tools."
    if choice and choice["type"] == "tool" and choice["name"] not in names:
        return f"tool_choice: Tool '{choice['name']}' not found in provided tools"
    marks = str(body).count("'cache_control': {")
    return f"A maximum of 4 blocks with cache_control may be provided. Found {marks}." if marks > 4 else ""


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _messages(body: dict[str, Any], version: str) -> str:
    messages = body["messages"]
    if not messages:
        return "messages: at least one message is required"
    if messages[0]["role"] != "user":
        return 'messages: first message must use the "user" role'
    for at, message in enumerate(messages):
        final = at == len(messages) - 1 and message["role"] == "assistant"
        if not message["content"] and not final:
            return f"messages.{at}: all messages must have non-empty content except for the optional final assistant message"
        for index, block in enumerate(_blocks(message)):
            if said := _block(block, message["role"], version):
                return f"messages.{at}.content.{index}{said}"
    if final and _blocks(messages[-1]) and _blocks(messages[-1])[-1].get("text", "x")[-1:].isspace():
        return "messages: final assistant content cannot end with trailing whitespace"
    return _pairs(messages) or _thought(body, messages)


def _block(block: dict[str, Any], role: str, version: str) -> str:
    kind = block["type"]
    if kind == "text":
        if not block["text"]:
            return ".text: text content blocks must be non-empty"
        if not block["text"].strip():
            return ".text: text content blocks must contain non-whitespace text"
        if role == "user" and version != VERSIONS[0] and block.get("citations"):
            return ".text.citations: citations are not permitted in user messages"
    if kind in ("image", "document"):
        if role == "assistant" and kind == "image":
            return ": `image` blocks are not permitted within assistant turns"
        if role == "assistant" and version != VERSIONS[0]:
            return ": `document` blocks are not permitted within assistant turns"
        return _source(block)
    if kind == "tool_use":
        if role != "assistant":
            return ": `tool_use` blocks can only be in `assistant` messages"
        if not _ID.fullmatch(block["id"]):
            return ".tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
        if not _TOOL.fullmatch(block["name"]):
            return ".tool_use.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'"
    if kind == "tool_result":
        if role != "user":
            return ": `tool_result` blocks can only be in `user` messages"
        content = block.get("content", "")
        if not isinstance(content, str):
            for index, inner in enumerate(content):
                if said := _block(inner, role, version):
                    return f".tool_result.content.{index}{said}"
            if block.get("is_error") and any(inner["type"] != "text" for inner in content):
                return '.tool_result: all content must be type "text" if `is_error` is true'
    if kind == "thinking" and not block["signature"].startswith(SEALS[0]):
        return ": Invalid `signature` in `thinking` block"
    if kind == "redacted_thinking" and not block["data"].startswith(SEALS[1]):
        return ": Invalid `data` in `redacted_thinking` block"
    return ""


def _source(block: dict[str, Any]) -> str:
    source, kind = block["source"], block["type"]
    if source["type"] == "base64":
        if not is_base64(source["data"]):
            return f".{kind}.source.base64: invalid base64 data"
        if kind == "image" and source["media_type"] not in _IMAGES:
            return ".image.source.base64.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'"
    if source["type"] == "url" and not source["url"].startswith("https://"):
        return f".{kind}.source.url.url: Only HTTPS URLs are supported."
    return ""


def _pairs(messages: list[dict[str, Any]]) -> str:
    """Every tool_use is answered in the very next turn, whose results stand first; every result has its tool_use in the turn before."""
    turns: list[tuple[str, list[dict[str, Any]]]] = []
    for message in messages:
        if message["role"] == "system":
            continue
        if turns and turns[-1][0] == message["role"]:
            turns[-1][1].extend(_blocks(message))
        else:
            turns.append((message["role"], list(_blocks(message))))
    seen: set[str] = set()
    for at, (role, blocks) in enumerate(turns):
        before = [block["id"] for block in turns[at - 1][1] if block["type"] == "tool_use"] if at else []
        if role == "user":
            given = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
            for identifier in given:
                if identifier not in before:
                    return (f"messages.{at}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: {identifier}. Each "
                            "`tool_result` block must have a corresponding `tool_use` block in the previous message.")  # fmt: skip
            if len(set(given)) != len(given):
                return f"messages.{at}.content: each tool_use must have a single result. Found multiple `tool_result` blocks with one id"
            first = [block["type"] == "tool_result" for block in blocks[: len(before)]]
            if set(before) - set(given) or not all(first):
                words = "`tool_use` ids were found without `tool_result` blocks immediately after"
                return f"messages.{at - 1}: {words}: {', '.join(before)}. Each needs its `tool_result` block in the next message."
        else:
            ids = [block["id"] for block in blocks if block["type"] == "tool_use"]
            if len(set(ids)) != len(ids) or seen & set(ids):
                return "messages: `tool_use` ids must be unique"
            seen |= set(ids)
    if turns and turns[-1][0] == "assistant" and any(block["type"] == "tool_use" for block in turns[-1][1]):
        return f"messages.{len(turns) - 1}: `tool_use` ids were found without `tool_result` blocks immediately after"
    return ""


def _thought(body: dict[str, Any], messages: list[dict[str, Any]]) -> str:
    """With manual thinking, the assistant turn whose tools were just answered begins with its thoughts."""
    if (body.get("thinking") or {}).get("type") != "enabled":
        return ""
    last = messages[-1]
    if last["role"] == "user" and any(block["type"] == "tool_result" for block in _blocks(last)):
        before = next((m for m in reversed(messages[:-1]) if m["role"] == "assistant"), None)
        if before is not None and _blocks(before)[0]["type"] not in ("thinking", "redacted_thinking"):
            found = _blocks(before)[0]["type"]
            return (f"messages.{len(messages) - 2}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{found}`. "
                    "When `thinking` is enabled, a final `assistant` message must start with a thinking block.")  # fmt: skip
    return ""


# What it says.


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "\n".join(block["text"] for block in content if block["type"] == "text")


def _media(block: dict[str, Any]) -> Item:
    source = block["source"]
    if source["type"] == "base64":
        return Item(block["type"], media=source["media_type"], digest=digest(source["data"]), name=block.get("title") or "")
    return Item(block["type"], digest=source.get("url") or source.get("data") or "", media=source.get("media_type", ""))


def _item(block: dict[str, Any]) -> Item:
    kind = block["type"]
    if kind == "text":
        return Item("text", text=block["text"])
    if kind in ("image", "document"):
        return _media(block)
    if kind == "tool_use":
        return Item("call", id=block["id"], name=block["name"], value=block["input"])
    if kind == "tool_result":
        content = block.get("content", "")
        parts = [] if isinstance(content, str) else [_media(inner) for inner in content if inner["type"] in ("image", "document")]
        return Item("result", id=block["tool_use_id"], text=_text(content), error=block.get("is_error", False), parts=parts)
    if kind == "thinking":
        return Item("thinking", text=block["thinking"], seal=block["signature"])
    if kind == "redacted_thinking":
        return Item("thinking", seal=block["data"])
    return Item(kind)


def seen(body: dict[str, Any]) -> Seen:
    config = body.get("output_config") or {}
    choice = body.get("tool_choice") or {}
    found = Seen(
        system=_text(body.get("system", "")),
        tools={tool.get("name", ""): tool.get("input_schema") for tool in body.get("tools", [])},
        choice={"any": "required", "": ""}.get(choice.get("type", ""), choice.get("type", ""))
        if choice.get("type") != "tool"
        else choice["name"],
        parallel=not choice.get("disable_parallel_tool_use", False),
        schema=(config.get("format") or {}).get("schema"),
        max_tokens=body.get("max_tokens"),
        temperature=body.get("temperature"),
        stop=body.get("stop_sequences", []),
        effort=config.get("effort") or "",
        budget=(body.get("thinking") or {}).get("budget_tokens"),
    )
    for message in body["messages"]:
        if message["role"] == "system":
            found.system += "\n" + _text(message["content"])
        else:
            found.add(message["role"], [_item(block) for block in _blocks(message)])
    return found
