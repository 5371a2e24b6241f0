"""What the Gemini API refuses: the models of the package `google-genai`, and the rules of its documentation.

Sources: ai.google.dev (generateContent, function calling, thought signatures, structured output), and the API's own error texts as
users report them; read 2026-11-23.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pydantic
from google.genai import types

from tests.strict.seen import Item, Refusal, Seen, digest

SEAL = "upstream-seal-"  # what this upstream gives out as thought signatures, before base64
SKIP = "skip_thought_signature_validator"  # documented for calls that another model made
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")
_TOP = {
    "contents": list, "systemInstruction": dict, "tools": list, "toolConfig": dict, "safetySettings": list, "generationConfig": dict,
    "cachedContent": str, "serviceTier": str, "store": bool,
}  # fmt: skip
_FILES = ("https://", "gs://")
_VERTEX = ("routingConfig", "modelSelectionConfig", "audioTimestamp", "enableAffectiveDialog")
_MODES = ("MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED")
_LEVELS = ("THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH")
_UNEVEN = (
    "Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn."
)
_INLINE = ("image/", "audio/", "video/", "text/", "application/pdf", "application/json")


def refusal(body: dict[str, Any], model: str) -> Refusal | None:
    body = camelled(body)
    said = _members(body) or _config(body) or _tools(body) or _turns(body, model)
    return Refusal(said) if said else None


def _unknown(name: str, where: str = "") -> str:
    at = f" at '{where}'" if where else ""
    return f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.'


# Below these, names are the person's own.
_FREE = frozenset({"args", "response", "parametersJsonSchema", "responseJsonSchema", "labels", "properties"})


def camelled(value: Any) -> Any:
    """With every name of the API in camel case: its JSON (that of protocol buffers) takes both spellings."""
    if isinstance(value, list):
        return [camelled(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for name, item in value.items():
        plain = _camel(name)
        if plain == "properties":
            found[plain] = {own: camelled(inner) for own, inner in item.items()} if isinstance(item, dict) else item
        else:
            found[plain] = item if plain in _FREE else camelled(item)
    return found


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def _shaped(kind: type[pydantic.BaseModel], value: Any, where: str) -> str:
    """The first thing in which `value` is not a `kind`, in the API's words."""
    try:
        kind.model_validate_json(json.dumps(value))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            return _unknown(str(first["loc"][-1]), ".".join([where, *(str(part) for part in first["loc"][:-1])]))
        return f"Invalid value at '{where}.{place}' ({first['msg']})"
    return ""


def _members(body: dict[str, Any]) -> str:
    for name, value in body.items():
        kind = _TOP.get(name)
        if kind is None:
            return _unknown(name)
        if not isinstance(value, kind):
            return f"Invalid value at '{name}' ({kind.__name__} expected)"
    if not body.get("contents"):
        return "* GenerateContentRequest.contents: contents is not specified"
    for at, content in enumerate(body["contents"]):
        if said := _shaped(types.Content, content, f"contents[{at}]"):
            return said
    if "systemInstruction" in body and (said := _shaped(types.Content, body["systemInstruction"], "system_instruction")):
        return said
    return ""


def _config(body: dict[str, Any]) -> str:
    config = body.get("generationConfig", {})
    thinking = config.get("thinkingConfig", {})
    # A word that is none of the package's would only warn there.
    if thinking.get("thinkingLevel", "LOW") not in _LEVELS:
        return "Invalid value at 'generation_config.thinking_config.thinking_level'"
    if said := _shaped(types.GenerationConfig, config, "generation_config"):
        return said
    if found := [name for name in _VERTEX if name in config]:
        return _unknown(found[0], "generation_config")
    if "thinkingLevel" in thinking and "thinkingBudget" in thinking:
        return "You can only set only one of thinking budget and thinking level."
    if thinking.get("thinkingBudget", 0) < -1:
        return "Invalid thinking budget."
    if ("responseSchema" in config or "responseJsonSchema" in config) and config.get("responseMimeType") != "application/json":
        return "Function calling config is set without application/json: response_schema needs a response_mime_type of application/json"
    if "responseSchema" in config and "responseJsonSchema" in config:
        return "Only one of response_schema and response_json_schema can be set."
    if not 0 <= config.get("temperature", 0) <= 2:
        return "* GenerateContentRequest.generation_config.temperature: temperature must be in the range [0.0, 2.0]."
    if len(config.get("stopSequences", [])) > 5:
        return "* GenerateContentRequest.generation_config.stop_sequences: at most 5 stop sequences."
    if config.get("maxOutputTokens", 1) < 1:
        return "* GenerateContentRequest.generation_config.max_output_tokens: max_output_tokens must be positive."
    return ""


def _tools(body: dict[str, Any]) -> str:
    names: set[str] = set()
    for at, tool in enumerate(body.get("tools", [])):
        if said := _shaped(types.Tool, tool, f"tools[{at}]"):
            return said
        if not tool:
            return f"* GenerateContentRequest.tools[{at}]: tool must have one initialized field."
        for index, given in enumerate(tool.get("functionDeclarations", [])):
            where = f"tools[{at}].function_declarations[{index}]"
            if not _NAME.fullmatch(given.get("name", "")):
                return (f"* GenerateContentRequest.{where}.name: Invalid function name. Must start with a letter or an underscore. "
                        "Must be alphanumeric (a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes (-), "
                        "with a maximum length of 128.")  # fmt: skip
            if given["name"] in names:
                return f"* GenerateContentRequest.{where}: Duplicate function declaration found: {given['name']}"
            names.add(given["name"])
            if "parameters" in given and "parametersJsonSchema" in given:
                return f"* GenerateContentRequest.{where}: only one of parameters and parameters_json_schema can be set."
    config = body.get("toolConfig", {}).get("functionCallingConfig", {})
    mode = config.get("mode", "AUTO")
    if mode not in _MODES:
        return f"Invalid value at 'tool_config.function_calling_config.mode' ({mode})"
    allowed = config.get("allowedFunctionNames", [])
    if allowed and mode not in ("ANY", "VALIDATED"):
        return "* GenerateContentRequest.tool_config: allowed_function_names should only be set when mode is ANY."
    if missing := set(allowed) - names:
        return f"* GenerateContentRequest.tool_config: allowed_function_names has {min(missing)}, which is not declared."
    if mode == "ANY" and not names:
        return "* GenerateContentRequest.tool_config: mode ANY needs function declarations."
    return ""


def _turns(body: dict[str, Any], model: str) -> str:
    calls: list[dict[str, Any]] = []
    before = ""
    contents = body["contents"]
    # "The current turn" of the documentation begins at the last message of the person that is no function response.
    current = max(
        (at for at, content in enumerate(contents) if content.get("role", "user") == "user" and not _has(content, "functionResponse")),
        default=0,
    )
    for at, content in enumerate(contents):
        role, parts = content.get("role", "user"), content.get("parts") or []
        if role not in ("user", "model", "function"):
            return "Please use a valid role: user, model."
        if not parts:
            return f"* GenerateContentRequest.contents[{at}].parts: contents.parts must not be empty."
        for index, part in enumerate(parts):
            if said := _part(part, role, f"contents[{at}].parts[{index}]"):
                return said
        responses = [part["functionResponse"] for part in parts if "functionResponse" in part]
        if calls or responses:
            if len(responses) != len(calls):
                return _UNEVEN
            if sorted(one["name"] for one in responses) != sorted(one["name"] for one in calls):
                return "Please ensure that function response turn's names are those of the function call turn."
            if any("id" in one for one in calls) and {one.get("id") for one in responses} != {one.get("id") for one in calls}:
                return "Please ensure that function responses carry the ids of their function calls."
        calls = [part["functionCall"] for part in parts if "functionCall" in part]
        if calls and role == "model" and before not in ("user", "function"):
            return "Please ensure that function call turn comes immediately after a user turn or after a function response turn."
        if calls and at > current and _seals(model) and "thoughtSignature" not in next(part for part in parts if "functionCall" in part):
            return (f"Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly. "
                    f"Additional data, function call `{calls[0]['name']}`, position {at + 1}.")  # fmt: skip
        before = role
    if calls:
        return "Please ensure that single turn requests end with a user role or function response."
    return ""


def _seals(model: str) -> bool:
    found = re.match(r"gemini-(\d+)", model)
    return found is not None and int(found[1]) >= 3


def _has(content: dict[str, Any], name: str) -> bool:
    return any(name in part for part in content.get("parts") or [])


def _part(part: dict[str, Any], role: str, where: str) -> str:
    data = [
        name
        for name in ("text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "codeExecutionResult")
        if name in part
    ]
    if len(data) != 1:
        if not data and "thoughtSignature" in part:
            return ""
        return f"* GenerateContentRequest.{where}.data: required oneof field 'data' must have one initialized field"
    if "inlineData" in part:
        given = part["inlineData"]
        if not given.get("mimeType", "").startswith(_INLINE):
            return f"Unsupported MIME type: {given.get('mimeType', '')}"
        if not given.get("data"):
            return f"* GenerateContentRequest.{where}.inline_data.data: data must not be empty"
    if "fileData" in part:
        given = part["fileData"]
        if not given.get("fileUri", "").startswith(_FILES):
            return f"Unsupported file URI type: {given.get('fileUri', '')}"
        if not given.get("mimeType"):
            return f"* GenerateContentRequest.{where}.file_data.mime_type: mime_type must be specified."
    if "functionCall" in part and (role != "model" or not _NAME.fullmatch(part["functionCall"].get("name", ""))):
        return f"* GenerateContentRequest.{where}.function_call: must be in a model turn and have a valid name."
    if "functionResponse" in part:
        given = part["functionResponse"]
        if role == "model" or not given.get("name"):
            return f"* GenerateContentRequest.{where}.function_response.name: Name cannot be empty."
        if not isinstance(given.get("response"), dict):
            return f"* GenerateContentRequest.{where}.function_response.response: must be a struct."
    sealed = part.get("thoughtSignature")
    if sealed is not None and not _known(sealed):
        return "Corrupted thought signature."
    return ""


def _known(sealed: str) -> bool:
    try:
        plain = base64.b64decode(sealed + "=" * (-len(sealed) % 4), altchars=b"-_")
    except ValueError:
        return False
    return plain.startswith(SEAL.encode()) or sealed == SKIP or plain == SKIP.encode()


# What it says.


def _item(part: dict[str, Any]) -> Item:
    sealed = part.get("thoughtSignature", "")
    if "text" in part:
        return Item("thinking" if part.get("thought") else "text", text=part["text"], seal=sealed)
    if "inlineData" in part:
        given = part["inlineData"]
        kind = "image" if given["mimeType"].startswith("image/") else "document"
        data = given["data"].replace("-", "+").replace("_", "/")
        return Item(kind, media=given["mimeType"], digest=digest(data), name=given.get("displayName", ""))
    if "fileData" in part:
        given = part["fileData"]
        kind = "image" if given["mimeType"].startswith("image/") else "document"
        return Item(kind, digest=given["fileUri"], media=given["mimeType"])
    if "functionCall" in part:
        given = part["functionCall"]
        return Item("call", id=given.get("id", ""), name=given["name"], value=given.get("args", {}), seal=sealed)
    if "functionResponse" in part:
        given = part["functionResponse"]
        told = given["response"]
        said = told.get("output", told.get("result", told.get("error", told)))
        parts = [_item(inner) for inner in given.get("parts", [])]
        return Item("result", id=given.get("id", ""), name=given["name"], text=said if isinstance(said, str) else json.dumps(said),
                    error="error" in told, parts=parts)  # fmt: skip
    return Item("other")


def seen(body: dict[str, Any]) -> Seen:
    body = camelled(body)
    config = body.get("generationConfig", {})
    calling = body.get("toolConfig", {}).get("functionCallingConfig", {})
    mode, allowed = calling.get("mode", ""), calling.get("allowedFunctionNames", [])
    thinking = config.get("thinkingConfig", {})
    schema = config.get("responseJsonSchema", config.get("responseSchema"))
    found = Seen(
        system="\n".join(part.get("text", "") for part in body.get("systemInstruction", {}).get("parts", [])),
        tools={given["name"]: given.get("parametersJsonSchema", given.get("parameters"))
               for tool in body.get("tools", []) for given in tool.get("functionDeclarations", [])},
        choice=allowed[0] if len(allowed) == 1 else {"ANY": "required", "NONE": "none", "AUTO": "auto", "VALIDATED": "auto"}.get(mode, ""),
        schema=schema,
        json_mode=schema is None and config.get("responseMimeType") == "application/json",
        max_tokens=config.get("maxOutputTokens"),
        temperature=config.get("temperature"),
        stop=config.get("stopSequences", []),
        effort=thinking.get("thinkingLevel", "").lower(),
        budget=thinking.get("thinkingBudget"),
    )  # fmt: skip
    unnamed = 0
    for content in body["contents"]:
        items = [_item(part) for part in content["parts"]]
        # Without ids, calls and results belong together in their order.
        for item in items:
            if item.kind == "call" and not item.id:
                item.id, unnamed = f"#{unnamed}", unnamed + 1
        results = [item for item in items if item.kind == "result"]
        if results and found.turns and not any(item.id for item in results):
            left = [item for item in found.turns[-1][1] if item.kind == "call"]
            for item in results:
                call = next((one for one in left if one.name == item.name), None)
                if call is not None:
                    left.remove(call)
                    item.id = call.id
        found.add("assistant" if content.get("role") == "model" else "user", items)
    return found
