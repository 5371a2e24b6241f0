"""The strict upstream refuses what the real providers refuse, one rule at a time, and takes the same request without the fault."""

from __future__ import annotations

import copy
from typing import Any

import httpx2
import pytest

from tests.matrix.exchange import PDF_64, PNG_64, SCHEMA, TOOL_SCHEMA
from tests.strict import judge
from tests.strict.anthropic import SEALS
from tests.upstream import upstream

NEW = "2026-10-21"
OPEN = {"type": "object", "properties": {"city": {"type": "string"}}}
LONG = "n" * 65
PICTURE_URL = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG_64}"}}
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG_64}}
STYLE = {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": OPEN}}
LATE = [{"type": "text", "text": "x"}, {"type": "tool_result", "tool_use_id": "t1"}]
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": SEALS[0] + "1"}

CHAT: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be terse."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, PICTURE_URL]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "done"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": TOOL_SCHEMA}}],
}  # fmt: skip
RESPONSES: dict[str, Any] = {
    "model": "m",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "Hi"}, {"type": "input_image", "image_url": "https://pictures.example/a.png"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA-upstream-1"},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "done"},
    ],
    "tools": [{"type": "function", "name": "f", "parameters": TOOL_SCHEMA}],
}  # fmt: skip
MESSAGES: dict[str, Any] = {
    "model": "m",
    "max_tokens": 4096,
    "thinking": {"type": "enabled", "budget_tokens": 2048},
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, PICTURE]},
        {"role": "assistant", "content": [THOUGHT, {"type": "tool_use", "id": "t1", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "done"}, {"type": "text", "text": "And?"}]},
    ],
    "tools": [{"name": "f", "input_schema": TOOL_SCHEMA}],
}  # fmt: skip
GENERATE: dict[str, Any] = {
    "contents": [
        {"role": "user", "parts": [{"text": "Hi"}, {"inline_data": {"mimeType": "image/png", "data": PNG_64}}]},
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "done"}}}]},
    ],
    "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": TOOL_SCHEMA}]}],
    "generationConfig": {"maxOutputTokens": 9, "thinkingConfig": {"includeThoughts": True}},
}  # fmt: skip
GOOD = {"openai": CHAT, "responses": RESPONSES, "anthropic": MESSAGES, "gemini": GENERATE}

GONE = object()
# dialect, path of the fault, what stands there instead (GONE: nothing), words of the refusal
FAULTS: list[tuple[str, str, Any, str]] = [
    ("openai", "messages", GONE, "Missing required parameter: 'messages'"),
    ("openai", "messages", [], "empty array"),
    ("openai", "messages.0.role", "wizard", "Invalid type for 'messages[0]"),
    ("openai", "messages.1.content.1.image_url.url", "file:///etc/passwd", "Invalid image URL"),
    ("openai", "messages.1.content.1.image_url.url", "data:image/tiff;base64,AAAA", "unsupported image"),
    ("openai", "messages.1.content", [], "empty array"),
    ("openai", "messages.1.content.0", {"type": "file", "file": {"file_data": PDF_64, "filename": "a.pdf"}}, "data URL"),
    ("openai", "messages.2.tool_calls", [], "empty array"),
    ("openai", "messages.2.tool_calls.0.id", "c" * 41, "maximum length 40"),
    ("openai", "messages.2.tool_calls.0.id", "c2", "not found in 'tool_calls'"),
    ("openai", "messages.2.tool_calls", GONE, "expected a string, got null"),
    ("openai", "messages.2", {"role": "assistant", "content": "x"}, "must be a response to a preceeding message"),
    ("openai", "messages.3", {"role": "user", "content": "x"}, "did not have response messages: c1"),
    ("openai", "messages.3.extra", 1, "Unknown parameter: 'messages[3].extra'"),
    ("openai", "tools", [], "empty array"),
    ("openai", "tools.0.function.name", "bad name", "does not match pattern"),
    ("openai", "tools.0.function.name", LONG, "maximum length 64"),
    ("openai", "tools.0.function.parameters", {"type": "string"}, "schema must be a JSON Schema"),
    ("openai", "tools.0.function.strict", True, "'additionalProperties' is required"),
    ("openai", "tools.0.input_schema", {}, "Unknown parameter"),
    ("openai", "thinking", {"type": "enabled"}, "Unknown parameter: 'thinking'"),
    ("openai", "top_k", 5, "Unknown parameter: 'top_k'"),
    ("openai", "system", "x", "Unknown parameter: 'system'"),
    ("openai", "max_tokens", "9", "expected an integer"),
    ("openai", "max_tokens", 0, "below minimum"),
    ("openai", "temperature", 3, "outside of range"),
    ("openai", "stop", ["a", "b", "c", "d", "e"], "1 to 4"),
    ("openai", "stream_options", {"include_usage": True}, "only allowed when 'stream'"),
    ("openai", "metadata", {"a": "b"}, "only allowed when 'store'"),
    ("openai", "tool_choice", {"type": "function", "function": {"name": "g"}}, "not found in 'tools'"),
    ("openai", "response_format", {"type": "json_object"}, "must contain the word 'json'"),
    ("openai", "response_format", {"type": "json_schema", "json_schema": {"name": "a b", "schema": SCHEMA}}, "does not match pattern"),
    ("openai", "response_format", STYLE, "additionalProperties"),
    ("responses", "input", GONE, "Missing required parameter: 'input'"),
    ("responses", "messages", [], "Unknown parameter: 'messages'"),
    ("responses", "max_tokens", 9, "Unknown parameter: 'max_tokens'"),
    ("responses", "max_output_tokens", 9, ">= 16"),
    ("responses", "input.0.content.0.type", "text", "Invalid type"),
    ("responses", "input.0.role", "assistant", "input[0].content[0]"),
    ("responses", "input.1.id", "thought1", "begins with 'rs'"),
    ("responses", "input.1.encrypted_content", "EqQB-foreign", "could not be verified"),
    ("responses", "input.2.id", "call_1", "begins with 'fc'"),
    ("responses", "input.2.id", "fc_" + LONG, "maximum length 64"),
    ("responses", "input.2.call_id", "c" * 65, "maximum length 64"),
    ("responses", "input.2.call_id", "c2", "No tool call found for function call output with call_id c1"),
    ("responses", "input.3", {"role": "user", "content": "x"}, "No tool output found for function call c1"),
    ("responses", "input.2.name", LONG, "maximum length 64"),
    ("responses", "tools.0.function", {"name": "f"}, "Unknown parameter"),
    ("responses", "tools.0.parameters", {"type": "array"}, "schema must be"),
    ("responses", "tool_choice", {"type": "function", "name": "g"}, "not found in 'tools'"),
    ("responses", "text", {"format": {"type": "json_schema", "name": "a", "schema": OPEN}}, "additionalProperties"),
    ("responses", "stop", ["x"], "Unknown parameter: 'stop'"),
    ("anthropic", "max_tokens", GONE, "max_tokens: Field required"),
    ("anthropic", "max_tokens", 2048, "must be greater than `thinking.budget_tokens`"),
    ("anthropic", "thinking.budget_tokens", 1000, "greater than or equal to 1024"),
    ("anthropic", "temperature", 0.5, "Extra inputs are not permitted"),
    ("anthropic", "stop", ["x"], "stop: Extra inputs are not permitted"),
    ("anthropic", "messages", [], "at least one message"),
    ("anthropic", "messages.0.role", "assistant", "first message must use"),
    ("anthropic", "messages.0.role", "wizard", "messages.0"),
    ("anthropic", "messages.0.content", [], "non-empty content"),
    ("anthropic", "messages.0.content.0.text", "", "must be non-empty"),
    ("anthropic", "messages.0.content.0.text", " ", "non-whitespace"),
    ("anthropic", "messages.0.content.1.source.data", "%%%", "invalid base64"),
    ("anthropic", "messages.0.content.1.source.media_type", "image/tiff", "image/jpeg"),
    ("anthropic", "messages.0.content.1", {"type": "image_url", "image_url": {"url": "x"}}, "messages.0.content.1"),
    ("anthropic", "messages.1.content.0.signature", "foreign", "Invalid `signature`"),
    ("anthropic", "messages.1.content.0", {"type": "text", "text": "x"}, "must start with a thinking block"),
    ("anthropic", "messages.1.content.1.id", "call.1", "should match pattern"),
    ("anthropic", "messages.1.content.1.id", "t2", "unexpected `tool_use_id`"),
    ("anthropic", "messages.1.content.1.input", "{}", "an object"),
    ("anthropic", "messages.2.content.0", {"type": "text", "text": "x"}, "without `tool_result` blocks immediately after"),
    ("anthropic", "messages.2.content", LATE, "without `tool_result`"),
    ("anthropic", "tools.0.name", "bad name", "should match pattern"),
    ("anthropic", "tools.0.input_schema", {}, "input_schema.type"),
    ("anthropic", "tools.0.parameters", {}, "Extra inputs"),
    ("anthropic", "tool_choice", {"type": "any"}, "forces tool use"),
    ("anthropic", "tool_choice", "auto", "tool_choice"),
    ("anthropic", "output_config", {"format": {"type": "json_schema", "schema": OPEN}}, "additionalProperties"),
    ("anthropic", "system", [{"type": "text", "text": "x", "cache": 1}], "Extra inputs"),
    ("gemini", "contents", GONE, "contents is not specified"),
    ("gemini", "messages", [], 'Unknown name "messages"'),
    ("gemini", "contents.0.role", "assistant", "valid role: user, model"),
    ("gemini", "contents.0.parts", [], "must not be empty"),
    ("gemini", "contents.0.parts.0", {}, "must have one initialized field"),
    ("gemini", "contents.0.parts.1", {"fileData": {"fileUri": "http://pictures.example/a.png"}}, "Unsupported file URI"),
    ("gemini", "contents.0.parts.1", {"fileData": {"fileUri": "https://pictures.example/a.png"}}, "mime_type must be specified"),
    ("gemini", "contents.0.parts.1", {"inlineData": {"mimeType": "", "data": PNG_64}}, "Unsupported MIME type"),
    ("gemini", "contents.1.parts.0.thoughtSignature", "Zm9yZWlnbg==", "thought signature"),
    ("gemini", "contents.1.parts.0.functionCall.arguments", {}, 'Unknown name "arguments"'),
    ("gemini", "contents.1.parts", [{"functionCall": {"name": "f"}}] * 2, "number of function response parts"),
    ("gemini", "contents.2.parts.0.functionResponse.name", "g", "names are those"),
    ("gemini", "contents.2.parts.0.functionResponse.name", "", "Name cannot be empty"),
    ("gemini", "contents.2.parts.0.functionResponse.response", "done", "Invalid value"),
    ("gemini", "contents.2", {"role": "user", "parts": [{"text": "x"}]}, "number of function response parts"),
    ("gemini", "tools.0.functionDeclarations.0.name", "bad name", "Invalid function name"),
    ("gemini", "tools.0.functionDeclarations.0.parameters", {"type": "OBJECT", "$schema": "x"}, 'Unknown name "$schema"'),
    ("gemini", "toolConfig", {"functionCallingConfig": {"mode": "AUTO", "allowedFunctionNames": ["f"]}}, "only be set when mode is ANY"),
    ("gemini", "generationConfig.responseJsonSchema", SCHEMA, "application/json"),
    ("gemini", "generationConfig.stop", ["x"], 'Unknown name "stop"'),
    ("gemini", "generationConfig.temperature", 3, "range"),
    ("gemini", "generationConfig.thinkingConfig", {"thinkingLevel": "LOW", "thinkingBudget": 9}, "only one"),
]  # fmt: skip


def changed(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    whole = copy.deepcopy(body)
    at: Any = whole
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in way:
        at = at[part]
    if value is GONE:
        del at[last]
    else:
        at[last] = value
    return whole


@pytest.mark.parametrize("dialect", GOOD)
def test_a_good_request_is_taken(dialect: str) -> None:
    assert judge(dialect, GOOD[dialect], "m", NEW) is None


@pytest.mark.parametrize(("dialect", "path", "value", "words"), FAULTS)
def test_one_fault_is_refused_in_the_providers_words(dialect: str, path: str, value: Any, words: str) -> None:
    found = judge(dialect, changed(GOOD[dialect], path, value), "m", NEW)
    assert found is not None
    assert words in found.message
    assert found.status == 400


def test_sampling_and_documents_depend_on_the_version_of_anthropics_api() -> None:
    plain = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}], "temperature": 0.5}
    assert judge("anthropic", plain, "m", "2023-06-01") is None
    assert judge("anthropic", {**plain, "top_p": 0.5}, "m", "2023-06-01") is not None
    assert judge("anthropic", plain, "m", NEW) is not None
    assert judge("anthropic", plain, "m", "") is not None


def test_gemini_3_wants_its_seals_back() -> None:
    found = judge("gemini", GENERATE, "gemini-3-pro")
    assert found is not None
    assert "missing a thought_signature" in found.message
    skipped = changed(GENERATE, "contents.1.parts.0.thoughtSignature", "skip_thought_signature_validator")
    assert judge("gemini", skipped, "gemini-3-pro") is None


def test_gemini_refuses_a_key_in_the_url_and_azure_wants_its_version() -> None:
    with upstream(strict=True) as up, httpx2.Client(base_url=up.url, trust_env=False) as http:
        google = {"x-goog-api-key": up.key}
        said = http.post(f"/v1beta/models/any:generateContent?key={up.key}", json=GENERATE, headers=google)
        assert said.status_code == 400
        assert said.json()["error"]["status"] == "INVALID_ARGUMENT"
        assert http.post("/v1beta/models/any:generateContent", json=GENERATE).status_code == 403
        assert http.post("/v1beta/models/any:countTokens", json=GENERATE, headers=google).json()["totalTokens"] == 19
        assert http.get("/v1beta/models", headers=google).json()["models"][0]["name"].startswith("models/gemini")
        azure = {"api-key": up.key}
        assert http.post("/openai/deployments/d/chat/completions", json=CHAT, headers=azure).status_code == 404
        body = {name: value for name, value in CHAT.items() if name != "model"}
        said = http.post("/openai/deployments/d/chat/completions?api-version=2024-10-21", json=body, headers=azure)
        assert said.json()["model"] == "d"
        assert http.post("/openai/v1/responses", json=RESPONSES, headers=azure).json()["object"] == "response"
        assert [reason for _, reason in up.refused] == ["The key must not be a part of the URL."]


def test_stored_responses_are_found_continued_and_deleted() -> None:
    with (
        upstream(strict=True) as up,
        httpx2.Client(base_url=up.url, trust_env=False, headers={"authorization": f"Bearer {up.key}"}) as http,
    ):
        unknown = http.post("/v1/responses", json={"model": "m", "input": "x", "previous_response_id": "resp_1"}).json()
        assert unknown["error"]["code"] == "previous_response_not_found"
        name = http.post("/v1/responses", json={"model": "m", "input": "x"}).json()["id"]
        assert http.get(f"/v1/responses/{name}").json()["status"] == "completed"
        assert http.get(f"/v1/responses/{name}/input_items").json()["data"][0]["content"] == "x"
        assert http.post("/v1/responses", json={"model": "m", "input": "x", "previous_response_id": name}).status_code == 200
        assert http.delete(f"/v1/responses/{name}").json()["deleted"] is True
        assert http.get(f"/v1/responses/{name}").status_code == 404
