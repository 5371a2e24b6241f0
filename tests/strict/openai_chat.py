"""What OpenAI's Chat Completions API refuses: the shapes of the package `openai`, and the rules of its documentation.

Sources: developers.openai.com (chat, function calling, structured outputs, images), and the API's own error texts as users report
them; read 2026-11-23.
"""

from __future__ import annotations

from typing import Any

from openai.types.chat import completion_create_params as creating

from tests.strict import openai_rules as rules
from tests.strict.seen import Item, Refusal, Seen, loads, picture
from tests.strict.shapes import wrong

_EXTRA = frozenset({"stream"})


def refusal(body: dict[str, Any]) -> Refusal | None:
    finding = wrong(_returned(body), creating.CompletionCreateParamsBase, (), _EXTRA)
    if finding is not None:
        return rules.said(finding)
    return _settings(body) or rules.sampling(body) or _tools(body) or _messages(body)


def _returned(body: dict[str, Any]) -> dict[str, Any]:
    """Without what the API's own replies have beyond the package's request types: programs send messages back as they got them."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        return body
    plain = [{name: value for name, value in message.items() if name not in ("annotations", "reasoning_content")}
             if isinstance(message, dict) and message.get("role") == "assistant" else message for message in messages]  # fmt: skip
    return {**body, "messages": plain}


def _settings(body: dict[str, Any]) -> Refusal | None:
    stream = body.get("stream", False)
    if stream not in (True, False, None):
        return Refusal("Invalid type for 'stream': expected a boolean.", "stream", "invalid_type")
    if body.get("stream_options") is not None and not stream:
        return Refusal("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    for name in ("max_tokens", "max_completion_tokens"):
        if body.get(name) is not None and body[name] < 1:
            return Refusal(f"Invalid '{name}': integer below minimum value. Expected a value >= 1.", name, "integer_below_min_value")
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        words = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        return Refusal(words, "max_tokens", "invalid_parameter_combination")
    stop = body.get("stop")
    if isinstance(stop, list) and not 1 <= len(stop) <= 4:
        return Refusal("Invalid 'stop': expected an array with 1 to 4 elements.", "stop", "array_above_max_length")
    if body.get("metadata") and not body.get("store"):
        return Refusal("The 'metadata' parameter is only allowed when 'store' is enabled.", "metadata")
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        return Refusal("The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.", "top_logprobs")
    style = body.get("response_format") or {}
    if style.get("type") == "json_schema":
        given = style["json_schema"]
        where = "response_format"
        return rules.name(given["name"], f"{where}.json_schema.name") or rules.schema(
            given.get("schema"), f"response_format '{given['name']}'", where, bool(given.get("strict"))
        )
    if style.get("type") == "json_object" and "json" not in str(body["messages"]).lower():
        words = "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
        return Refusal(words, "messages")
    return None


def _tools(body: dict[str, Any]) -> Refusal | None:
    tools = body.get("tools")
    if tools is None:
        for name in ("tool_choice", "parallel_tool_calls"):
            if body.get(name) is not None and body.get(name) != "none":
                return Refusal(f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified.", name)
        return None
    if not tools:
        words = "Invalid 'tools': empty array. Expected an array with minimum length 1, but got an empty array instead."
        return Refusal(words, "tools", "empty_array")
    names = []
    for at, tool in enumerate(tools):
        given, where = tool[tool["type"]], f"tools[{at}].{tool['type']}"
        if found := rules.name(given["name"], f"{where}.name"):
            return found
        names.append(given["name"])
        if tool["type"] == "function" and "parameters" in given:
            title = f"function '{given['name']}'"
            if found := rules.schema(given["parameters"], title, f"{where}.parameters", bool(given.get("strict"))):
                return found
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice["type"] in ("function", "custom") and choice[choice["type"]]["name"] not in names:
        return Refusal("Tool choice 'function' not found in 'tools' parameter.", "tool_choice")
    return None


def _messages(body: dict[str, Any]) -> Refusal | None:
    messages = body["messages"]
    if not messages:
        words = "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead."
        return Refusal(words, "messages", "empty_array")
    open_calls: list[str] = []
    answered: list[str] = []
    for at, message in enumerate(messages):
        where = f"messages[{at}]"
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls:
                words = (
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
                    if not open_calls and not answered
                    else f"Invalid parameter: 'tool_call_id' of '{message['tool_call_id']}' not found in 'tool_calls' of previous message."
                )
                return Refusal(words, f"{where}.role")
            open_calls.remove(message["tool_call_id"])
            answered.append(message["tool_call_id"])
            continue
        if open_calls:
            return _unanswered(open_calls, where)
        answered = []
        calls = message.get("tool_calls")
        if calls == []:
            return Refusal(f"Invalid '{where}.tool_calls': empty array.", f"{where}.tool_calls", "empty_array")
        if found := _content(message, where):
            return found
        if calls:
            for index, call in enumerate(calls):
                place = f"{where}.tool_calls[{index}]"
                if len(call["id"]) > 40:
                    return rules.too_long(f"{place}.id", 40, len(call["id"]))
                if found := rules.name(call[call["type"]]["name"], f"{place}.{call['type']}.name"):
                    return found
            open_calls = [call["id"] for call in calls]
            if len(set(open_calls)) != len(open_calls):
                return Refusal("Duplicate value for 'tool_call_id'.", where, "invalid_value")
    return _unanswered(open_calls, f"messages[{len(messages) - 1}]") if open_calls else None


def _unanswered(calls: list[str], where: str) -> Refusal:
    words = ("An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
             f"The following tool_call_ids did not have response messages: {', '.join(calls)}")  # fmt: skip
    return Refusal(words, f"{where}.role")


def _content(message: dict[str, Any], where: str) -> Refusal | None:
    content = message.get("content")
    if content is None:
        if message.get("tool_calls") or message.get("refusal") or message.get("function_call") or message.get("audio"):
            return None
        return Refusal(f"Invalid value for 'content': expected a string, got null. ({where})", f"{where}.content", "invalid_type")
    if isinstance(content, str):
        return None
    if not content:
        return Refusal(f"Invalid '{where}.content': empty array.", f"{where}.content", "empty_array")
    for at, part in enumerate(content):
        place = f"{where}.content[{at}]"
        if part["type"] == "image_url" and (found := rules.image(part["image_url"]["url"], f"{place}.image_url.url")):
            return found
        if part["type"] != "file" or "file_id" in part["file"]:
            continue
        if found := rules.document(part["file"].get("file_data", ""), part["file"].get("filename"), f"{place}.file"):
            return found
    return None


# What it says.


def _parts(content: Any) -> list[Item]:
    if content is None:
        return []
    if isinstance(content, str):
        return [Item("text", text=content)]
    items = []
    for part in content:
        if part["type"] == "text":
            items.append(Item("text", text=part["text"]))
        elif part["type"] == "image_url":
            items.append(picture(part["image_url"]["url"]))
        elif part["type"] == "file":
            item = picture(part["file"].get("file_data", part["file"].get("file_id", "")), "document")
            item.name = part["file"].get("filename", "")
            items.append(item)
    return items


def _text(content: Any) -> str:
    return "\n".join(item.text for item in _parts(content) if item.kind == "text")


def seen(body: dict[str, Any]) -> Seen:
    choice = body.get("tool_choice") or ""
    style = body.get("response_format") or {}
    stop = body.get("stop") or []
    found = Seen(
        tools={tool[tool["type"]]["name"]: tool[tool["type"]].get("parameters") for tool in body.get("tools", [])},
        choice=choice if isinstance(choice, str) else choice.get(choice["type"], {}).get("name", ""),
        parallel=body.get("parallel_tool_calls", True),
        schema=style["json_schema"].get("schema") if style.get("type") == "json_schema" else None,
        json_mode=style.get("type") == "json_object",
        max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
        temperature=body.get("temperature"),
        stop=[stop] if isinstance(stop, str) else stop,
        effort=body.get("reasoning_effort") or "",
    )
    system = []
    for message in body["messages"]:
        if message["role"] in ("system", "developer"):
            system.append(_text(message["content"]))
        elif message["role"] == "tool":
            found.add("user", [Item("result", id=message["tool_call_id"], text=_text(message["content"]))])
        elif message["role"] == "user":
            found.add("user", _parts(message["content"]))
        else:
            calls = [Item("call", id=call["id"], name=call[call["type"]]["name"], value=loads(call["function"]["arguments"]))
                     for call in message.get("tool_calls") or [] if call["type"] == "function"]  # fmt: skip
            found.add("assistant", [*_parts(message.get("content")), *calls])
    found.system = "\n".join(system)
    return found
