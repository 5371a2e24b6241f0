"""What OpenAI's Responses API refuses: the shapes of the package `openai`, and the rules of its documentation.

Sources: developers.openai.com (responses, conversation state, reasoning, structured outputs), and the API's own error texts as users
report them; read 2026-11-23.
"""

from __future__ import annotations

import copy
from typing import Any

from openai.types.responses import response_create_params as creating

from tests.strict import openai_rules as rules
from tests.strict.seen import Item, Refusal, Seen, loads, picture
from tests.strict.shapes import wrong

SEAL = "gAAAA-upstream-"  # what this upstream gives out as encrypted content
_EXTRA = frozenset({"stream"})
_PREFIXES = {"message": "msg", "function_call": "fc", "reasoning": "rs", "custom_tool_call": "ctc"}


def refusal(body: dict[str, Any]) -> Refusal | None:
    finding = wrong(_filled(body), creating.ResponseCreateParamsBase, (), _EXTRA)
    if finding is not None:
        return rules.said(finding)
    return _settings(body) or rules.sampling(body) or _tools(body) or _items(body)


def _filled(body: dict[str, Any]) -> dict[str, Any]:
    """With the members that the package's types require, although the API has a default for them."""
    full: dict[str, Any] = copy.deepcopy(body)
    for tool in full.get("tools") or []:
        if isinstance(tool, dict) and tool.get("type") == "function":
            tool.setdefault("strict", None)
            tool.setdefault("parameters", None)
    given = full.get("input")
    for item in given if isinstance(given, list) else []:
        if not isinstance(item, dict):
            continue
        content = item.get("content")
        if item.get("role") == "assistant" and isinstance(content, list):
            item.setdefault("id", "msg_default")
            item.setdefault("status", "completed")
            item.setdefault("type", "message")
        for part in content if isinstance(content, list) else []:
            if isinstance(part, dict) and part.get("type") == "input_image":
                part.setdefault("detail", "auto")
            if isinstance(part, dict) and part.get("type") == "output_text":
                part.setdefault("annotations", [])
    return full


def _settings(body: dict[str, Any]) -> Refusal | None:
    if body.get("stream", False) not in (True, False, None):
        return Refusal("Invalid type for 'stream': expected a boolean.", "stream", "invalid_type")
    for name in ("model", "input"):
        if body.get(name) is None and not body.get("prompt"):
            return Refusal(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")
    if body.get("max_output_tokens") is not None and body["max_output_tokens"] < 16:
        words = "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16."
        return Refusal(words, "max_output_tokens", "integer_below_min_value")
    style = (body.get("text") or {}).get("format") or {}
    if style.get("type") == "json_schema":
        where = "text.format"
        return rules.name(style["name"], f"{where}.name") or rules.schema(
            style["schema"], f"response_format '{style['name']}'", f"{where}.schema", style.get("strict") is not False
        )
    if style.get("type") == "json_object" and "json" not in str(body.get("input")).lower():
        words = "Response input messages must contain the word 'json' in some form to use 'text.format' of type 'json_object'."
        return Refusal(words, "input")
    return None


def _tools(body: dict[str, Any]) -> Refusal | None:
    names = []
    for at, tool in enumerate(body.get("tools") or []):
        if tool["type"] not in ("function", "custom"):
            continue
        where = f"tools[{at}]"
        if found := rules.name(tool["name"], f"{where}.name"):
            return found
        names.append(tool["name"])
        if tool["type"] == "function" and tool.get("parameters") is not None:
            # Left out, `strict` is true here, unlike in Chat Completions; the API then closes the schema itself.
            title = f"function '{tool['name']}'"
            if found := rules.schema(tool["parameters"], title, f"{where}.parameters", tool.get("strict") is True):
                return found
    choice = body.get("tool_choice")
    if choice is not None and choice not in ("auto", "none") and not body.get("tools"):
        return Refusal("Tool choice must be 'auto' or 'none' when no tools are given.", "tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "function" and choice["name"] not in names:
        return Refusal("Tool choice 'function' not found in 'tools' parameter.", "tool_choice")
    return None


def _items(body: dict[str, Any]) -> Refusal | None:
    given = body.get("input")
    if isinstance(given, str):
        return None
    if not given:
        return Refusal("One of 'input' or 'previous_response_id' or 'prompt' must be provided.", "input", "missing_required_parameter")
    calls: dict[str, bool] = {}
    for at, item in enumerate(given):
        where, kind = f"input[{at}]", item.get("type") or "message"
        if found := _identifier(item, kind, where):
            return found
        if kind == "message":
            if found := _message(item, where):
                return found
        elif kind == "reasoning":
            sealed = item.get("encrypted_content")
            if sealed is not None and not sealed.startswith(SEAL):
                words = "The encrypted content could not be verified. Reason: Encrypted content could not be decrypted or parsed."
                return Refusal(words, f"{where}.encrypted_content", "invalid_encrypted_content")
        elif kind == "function_call":
            if found := rules.name(item["name"], f"{where}.name"):
                return found
            calls[item["call_id"]] = False
        elif kind == "function_call_output":
            if item["call_id"] not in calls and not body.get("previous_response_id"):
                return Refusal(f"No tool call found for function call output with call_id {item['call_id']}.", "input")
            calls[item["call_id"]] = True
            for index, part in enumerate(item["output"] if isinstance(item["output"], list) else []):
                if part["type"] == "input_image" and (found := rules.image(part.get("image_url") or "", f"{where}.output[{index}]")):
                    return found
    for identifier, answered in calls.items():
        if not answered:
            return Refusal(f"No tool output found for function call {identifier}.", "input")
    return None


def _identifier(item: dict[str, Any], kind: str, where: str) -> Refusal | None:
    identifier, prefix = item.get("id"), _PREFIXES.get(kind)
    if identifier is not None:
        if len(identifier) > 64:
            return rules.too_long(f"{where}.id", 64, len(identifier))
        if not rules.NAME.fullmatch(identifier):
            words = f"Invalid '{where}.id': '{identifier}'. Expected an ID that contains letters, numbers, underscores, or dashes."
            return Refusal(words, f"{where}.id", "invalid_value")
        if prefix and not identifier.startswith(prefix):
            words = f"Invalid '{where}.id': '{identifier}'. Expected an ID that begins with '{prefix}'."
            return Refusal(words, f"{where}.id", "invalid_value")
    call = item.get("call_id")
    if call is not None and not 1 <= len(call) <= 64:
        return rules.too_long(f"{where}.call_id", 64, len(call))
    return None


def _message(item: dict[str, Any], where: str) -> Refusal | None:
    content = item["content"]
    if isinstance(content, str):
        return None
    for at, part in enumerate(content):
        place, kind = f"{where}.content[{at}]", part["type"]
        if (item["role"] == "assistant") != kind.startswith(("output_", "refusal")):
            allowed = "'output_text' and 'refusal'" if item["role"] == "assistant" else "'input_text', 'input_image', and 'input_file'"
            return Refusal(f"Invalid value: '{kind}'. Supported values are: {allowed}.", place, "invalid_value")
        if part.get("file_id") is not None or "file_url" in part:
            continue
        found = None
        if kind == "input_image":
            found = rules.image(part.get("image_url") or "", f"{place}.image_url")
        elif kind == "input_file":
            found = rules.document(part.get("file_data", ""), part.get("filename"), place)
        if found is not None:
            return found
    return None


# What it says.


def _parts(content: Any) -> list[Item]:
    if isinstance(content, str):
        return [Item("text", text=content)]
    items = []
    for part in content:
        if part["type"] in ("input_text", "output_text"):
            items.append(Item("text", text=part["text"]))
        elif part["type"] == "input_image":
            items.append(picture(part.get("image_url") or part.get("file_id") or ""))
        elif part["type"] == "input_file":
            item = picture(part.get("file_data") or part.get("file_url") or part.get("file_id") or "", "document")
            item.name = part.get("filename", "")
            items.append(item)
    return items


def _text(content: Any) -> str:
    return "\n".join(item.text for item in _parts(content) if item.kind == "text")


def seen(body: dict[str, Any]) -> Seen:
    choice = body.get("tool_choice") or ""
    style = (body.get("text") or {}).get("format") or {}
    found = Seen(
        tools={tool.get("name", ""): tool.get("parameters") for tool in body.get("tools") or []},
        choice=choice if isinstance(choice, str) else choice.get("name", ""),
        parallel=body.get("parallel_tool_calls") is not False,
        schema=style.get("schema"),
        json_mode=style.get("type") == "json_object",
        max_tokens=body.get("max_output_tokens"),
        temperature=body.get("temperature"),
        effort=(body.get("reasoning") or {}).get("effort") or "",
    )
    system = [body["instructions"]] if body.get("instructions") else []
    given = body.get("input") or []
    for item in [{"role": "user", "content": given}] if isinstance(given, str) else given:
        kind = item.get("type") or "message"
        if kind == "message" and item["role"] in ("system", "developer"):
            system.append(_text(item["content"]))
        elif kind == "message":
            found.add(item["role"], _parts(item["content"]))
        elif kind == "function_call":
            found.add("assistant", [Item("call", id=item["call_id"], name=item["name"], value=loads(item["arguments"]))])
        elif kind == "function_call_output":
            output = item["output"]
            parts = [] if isinstance(output, str) else [part for part in _parts(output) if part.kind != "text"]
            found.add("user", [Item("result", id=item["call_id"], text=_text(output), parts=parts)])
        elif kind == "reasoning":
            said = "\n".join(part["text"] for part in item.get("summary", []))
            found.add("assistant", [Item("thinking", text=said, seal=item.get("encrypted_content") or "")])
    found.system = "\n".join(system)
    return found
