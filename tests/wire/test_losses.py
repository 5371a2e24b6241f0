"""Nothing is lost in silence: what the target cannot express is named, in the client's words, or refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.core.errors import AppError
from app.wire import anthropic_schema
from app.wire.dialect import Name
from tests.strict import judge
from tests.wire.bridging import NAMES, chunk, crossing, fits, frame, refused, said, sent

PNG = "iVBORw0KGgo="
CACHE = {"type": "ephemeral"}
ASKED: dict[str, dict[str, Any]] = {
    "openai": {"messages": [{"role": "user", "content": "x"}]},
    "responses": {"input": "x"},
    "anthropic": {"max_tokens": 99, "messages": [{"role": "user", "content": "x"}]},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "x"}]}]},
}


def gemini_call(**beside: Any) -> dict[str, Any]:
    response = {"name": "f", "id": "1", "response": {"output": "y"}, **beside}
    return {
        "contents": [
            {"role": "user", "parts": [{"text": "x"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f", "id": "1", "args": {}}}]},
            {"role": "user", "parts": [{"functionResponse": response}]},
        ]
    }


CITED = {
    "max_tokens": 9,
    "messages": [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": [{"type": "text", "text": "y", "citations": [{"type": "char_location", "cited_text": "y"}]}]},
        {"role": "user", "content": "z"},
    ],
}
USED = {
    "max_tokens": 9,
    "messages": [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}, "caller": {"type": "direct"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [
            {"type": "text", "text": "y", "cache_control": CACHE}]}]},
    ],
}  # fmt: skip
LATE = {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"},
                     {"role": "system", "content": "From now on in French."}, {"role": "user", "content": "z"}]}  # fmt: skip


@pytest.mark.parametrize(
    ("client", "body", "named", "providers"),
    [
        ("responses", {"input": "x", "reasoning": {"effort": "low", "context": "all_turns"}}, "reasoning.context", None),
        ("responses", {"input": "x", "include": ["web_search_call.action.sources"]}, "include.web_search_call.action.sources", None),
        ("responses", {"input": "x", "truncation": "auto"}, "truncation", None),
        ("responses", {"input": "x", "max_tool_calls": 3}, "max_tool_calls", None),
        ("gemini", {"toolConfig": {"retrievalConfig": {"languageCode": "de"}}}, "toolConfig.retrievalConfig", None),
        ("gemini", {"generationConfig": {"speechConfig": {"languageCode": "de-DE"}}}, "generationConfig.speechConfig", None),
        ("gemini", {"generationConfig": {"topK": 3}}, "generationConfig.topK", ("openai", "responses")),
        ("gemini", {"generationConfig": {"seed": 3}}, "generationConfig.seed", ("anthropic", "responses")),
        ("gemini", gemini_call(scheduling="SILENT"), "content.scheduling", None),
        ("gemini", {"contents": [{"parts": [{"text": "x", "partMetadata": {"a": 1}}]}]}, "content.partMetadata", None),
        ("anthropic", CITED, "content.citations", None),
        ("anthropic", USED, "content.caller", None),
        ("anthropic", USED, "cache_control", None),
        ("anthropic", {"speed": "fast"}, "speed", None),
        ("anthropic", {"stop_sequences": [" "]}, "stop_sequences", ()),
        ("openai", {"prediction": {"type": "content", "content": "x"}}, "prediction", None),
        ("openai", LATE, "messages.order", ("anthropic", "gemini")),
        ("responses", {"input": LATE["messages"]}, "input.order", ("anthropic", "gemini")),
        ("anthropic", {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "{"}]}, "messages.prefill", None),
    ],
)
def test_what_is_left_out_is_named_in_the_clients_words(
    client: str, body: dict[str, Any], named: str, providers: tuple[str, ...] | None
) -> None:
    for provider in NAMES if providers is None else providers:
        if provider != client:
            passing = crossing(client, provider, {**ASKED[client], **body})
            assert passing.dropped == (named,) or named in passing.dropped, (provider, passing.dropped)


@pytest.mark.parametrize("client", NAMES)
@pytest.mark.parametrize("provider", NAMES)
def test_a_plain_question_loses_nothing(client: Name, provider: Name) -> None:
    assert crossing(client, provider, ASKED[client]).dropped == ()


@pytest.mark.parametrize(
    ("client", "body", "param"),
    [
        ("responses", {"input": [{"type": "compaction", "encrypted_content": "e"}, {"role": "user", "content": "x"}]}, "compaction"),
        ("responses", {"input": [{"type": "additional_tools", "tools": []}, {"role": "user", "content": "x"}]}, "additional_tools"),
        ("responses", {"input": [{"type": "configuration_update"}, {"role": "user", "content": "x"}]}, "configuration_update"),
        ("responses", {"input": [{"type": "mcp_approval_response", "approval_request_id": "a", "approve": True}]}, "mcp_approval_response"),
        ("responses", {"input": [{"type": "item_reference", "id": "i"}]}, "item_reference"),
        ("responses", {"input": "x", "prompt": {"id": "p"}}, "prompt"),
        ("responses", {"input": "x", "context_management": [{"type": "compaction"}]}, "context_management"),
        ("gemini", {"generationConfig": {"responseFormat": [{"text": {"mimeType": "application/json"}}]}}, "responseFormat"),
        ("openai", {"web_search_options": {}}, "web_search_options"),
        ("anthropic", {"container": "c"}, "container"),
        ("anthropic", {"messages": [{"role": "user", "content": [{"type": "container_upload", "file_id": "f"}]}]}, "container_upload"),
        ("anthropic", {"messages": [{"role": "user", "content": [{"type": "browser_state", "tabs": []}]}]}, "browser_state"),
    ],
)
def test_what_decides_what_the_model_knows_or_may_do_is_refused(client: str, body: dict[str, Any], param: str) -> None:
    for provider in NAMES:
        if provider != client:
            error = refused(client, provider, {**ASKED[client], **body})
            assert error.code == "not_expressible"
            assert (error.param or "").endswith(param)


@pytest.mark.parametrize("provider", ["responses", "anthropic", "gemini"])
def test_a_tools_result_of_an_unknown_kind_is_refused_and_not_emptied(provider: str) -> None:
    body = {
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "a", "content": [{"type": "chart", "chart": "c"}]},
        ]
    }
    assert refused("openai", provider, body).param == "messages[2].content"
    items = [
        {"role": "user", "content": "x"},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": [{"type": "chart", "chart": "c"}]},
    ]
    if provider != "responses":
        assert refused("responses", provider, {"input": items}).param == "input[2].output"


def test_what_anthropic_compacted_goes_on_in_its_words() -> None:
    body = {
        "max_tokens": 9,
        "messages": [
            {"role": "assistant", "content": [{"type": "compaction", "content": "They spoke of Bern."}]},
            {"role": "user", "content": "x"},
        ],
    }
    assert sent(crossing("anthropic", "openai", body))["messages"][0] == {"role": "assistant", "content": "They spoke of Bern."}


# -- tools


def test_tools_that_are_not_allowed_are_not_there_where_the_choice_cannot_be_said() -> None:
    tools = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in ("f", "g", "h")]
    allowed = [{"type": "function", "function": {"name": name}} for name in ("f", "g")]
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": allowed}}
    flat = {
        "input": "x",
        "tools": [{"type": "function", "name": name, "parameters": {"type": "object"}, "strict": False} for name in ("f", "g", "h")],
        "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": name} for name in ("f", "g")]},
    }
    compatible = sent(crossing("responses", "openai", flat))
    assert [tool["function"]["name"] for tool in compatible["tools"]] == ["f", "g"]
    assert compatible["tool_choice"] == "required"
    openai = sent(crossing("responses", "openai", flat, quirks=frozenset({"openai_own"})))
    assert (len(openai["tools"]), openai["tool_choice"]) == (3, choice)
    asked = {**ASKED["openai"], "tools": tools, "tool_choice": choice}
    assert [tool["name"] for tool in sent(crossing("openai", "anthropic", asked))["tools"]] == ["f", "g"]
    gemini = sent(crossing("openai", "gemini", asked))
    assert gemini["toolConfig"]["functionCallingConfig"] == {"mode": "ANY", "allowedFunctionNames": ["f", "g"]}


def test_a_choice_among_tools_does_not_name_one_that_was_left_out() -> None:
    function = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {"a": {}}}, "strict": False}
    allowed = [{"type": "function", "name": "f"}, {"type": "web_search"}]
    body = {
        "input": "x",
        "tools": [function, {"type": "web_search"}],
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": allowed},
    }
    config = sent(crossing("responses", "gemini", body))["toolConfig"]["functionCallingConfig"]
    assert config == {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}
    body["tool_choice"] = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}
    assert refused("responses", "gemini", body).param == "tool_choice"


def test_ids_that_come_again_in_a_later_turn_are_told_apart() -> None:
    def turn(name: str) -> list[dict[str, Any]]:
        call = {"id": "call_0", "type": "function", "function": {"name": name, "arguments": "{}"}}
        return [
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_0", "content": name},
            {"role": "user", "content": "more"},
        ]

    body = {"messages": [{"role": "user", "content": "x"}, *turn("f"), *turn("g")]}
    parts = [part for turn in sent(crossing("openai", "gemini", body))["contents"] for part in turn["parts"]]
    answers = [part["functionResponse"] for part in parts if "functionResponse" in part]
    calls = [part["functionCall"] for part in parts if "functionCall" in part]
    assert [(one["name"], one["response"]["output"]) for one in answers] == [("f", "f"), ("g", "g")]
    assert [one["id"] for one in answers] == [one["id"] for one in calls]
    blocks = [block for turn in sent(crossing("openai", "anthropic", body))["messages"] for block in turn["content"]]
    ids = [block["id"] for block in blocks if block["type"] == "tool_use"]
    assert len(set(ids)) == 2
    assert [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"] == ids


@pytest.mark.parametrize("provider", ["anthropic", "gemini", "responses"])
def test_a_client_from_before_there_were_tools_is_answered_as_it_reads(provider: str) -> None:
    body = {**ASKED["openai"], "functions": [{"name": "f", "parameters": {"type": "object", "properties": {}}}], "function_call": "auto"}
    replies: dict[str, dict[str, Any]] = {
        "anthropic": {
            "id": "m", "type": "message", "role": "assistant", "model": "c", "stop_reason": "tool_use",
            "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}], "usage": {"input_tokens": 1, "output_tokens": 1},
        },
        "gemini": {"candidates": [{
            "content": {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}]}, "finishReason": "STOP",
        }]},
        "responses": {"id": "resp_1", "status": "completed", "output": [
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a":1}'},
        ]},
    }  # fmt: skip
    out = json.loads(crossing("openai", provider, body).reply(json.dumps(replies[provider]).encode()))
    fits("openai", out, whole=True)
    choice = out["choices"][0]
    assert (choice["message"]["function_call"], choice["finish_reason"]) == ({"name": "f", "arguments": '{"a":1}'}, "function_call")
    assert "tool_calls" not in choice["message"]
    if provider == "gemini":
        passing = crossing("openai", provider, body, stream=True)
        chunks = said(passing.feed(frame(replies["gemini"])) + passing.finish())
        deltas = [value["choices"][0]["delta"].get("function_call") for value in chunks if value["choices"]]
        assert [delta for delta in deltas if delta] == [{"name": "f", "arguments": ""}, {"arguments": '{"a":1}'}]
        assert [fits("openai", value) for value in chunks]
        assert chunks[-1]["choices"][0]["finish_reason"] == "function_call"


# -- how much to think, and how much to say


@pytest.mark.parametrize(
    ("model", "body", "effort", "dropped"),
    [
        ("gpt-4.1", {"thinking": {"type": "enabled", "budget_tokens": 5000}}, None, ("thinking",)),
        ("gpt-4.1", {"thinking": {"type": "disabled"}}, None, ()),
        ("gpt-5", {"thinking": {"type": "disabled"}}, "minimal", ("thinking",)),
        ("gpt-5.1", {"thinking": {"type": "disabled"}}, "none", ()),
        ("o3-mini", {"thinking": {"type": "disabled"}}, "low", ("thinking",)),
        ("gpt-5-mini", {"output_config": {"effort": "max"}}, "high", ("thinking",)),
        ("deepseek-chat", {"thinking": {"type": "disabled"}}, None, ("thinking",)),
        ("deepseek-chat", {"thinking": {"type": "enabled", "budget_tokens": 5000}}, "high", ()),
    ],
)
def test_a_model_is_told_an_effort_that_it_takes(model: str, body: dict[str, Any], effort: str | None, dropped: tuple[str, ...]) -> None:
    whole = {**ASKED["anthropic"], "max_tokens": 9000, **body}
    chat, responses = crossing("anthropic", "openai", whole, model=model), crossing("anthropic", "responses", whole, model=model)
    assert (sent(chat).get("reasoning_effort"), chat.dropped) == (effort, dropped)
    assert (sent(responses).get("reasoning", {}).get("effort"), responses.dropped) == (effort, dropped)


@pytest.mark.parametrize(
    ("model", "budget", "given"),
    [
        ("gemini-2.5-flash", 31_999, 24_576),
        ("gemini-2.5-flash", 0, 0),
        ("gemini-2.5-pro", 0, 128),
        ("gemini-2.5-flash-lite", 100, 512),
        ("gemini-2.0-flash", 5_000, None),
    ],
)
def test_a_thinking_budget_is_one_that_the_model_takes(model: str, budget: int, given: int | None) -> None:
    thinking = {"type": "enabled", "budget_tokens": budget} if budget else {"type": "disabled"}
    passing = crossing("anthropic", "gemini", {**ASKED["anthropic"], "max_tokens": 40_000, "thinking": thinking}, model=model)
    config = sent(passing)["generationConfig"].get("thinkingConfig", {})
    assert config.get("thinkingBudget") == given
    assert passing.dropped == (("thinking",) if given is None else ())


@pytest.mark.parametrize(
    ("client", "provider", "model", "given"),
    [
        ("anthropic", "openai", "gpt-4o", 16_384),
        ("anthropic", "openai", "gpt-4.1", 32_768),
        ("anthropic", "openai", "qwen3", 64_000),
        ("anthropic", "responses", "gpt-4o-mini", 16_384),
        ("anthropic", "gemini", "gemini-2.0-flash", 8_192),
        ("anthropic", "gemini", "gemini-2.5-pro", 64_000),
        ("openai", "anthropic", "claude-3-haiku-20240307", 4_096),
        ("openai", "anthropic", "some-other-model", 64_000),
    ],
)
def test_no_more_is_asked_for_than_the_model_can_give_out(client: str, provider: str, model: str, given: int) -> None:
    out = sent(crossing(client, provider, {**ASKED[client], "max_tokens": 64_000}, model=model))
    found = out.get("max_tokens") or out.get("max_output_tokens") or out["generationConfig"]["maxOutputTokens"]
    assert found == given


@pytest.mark.parametrize("reason", ["model_length", "insufficient_system_resource"])
def test_an_answer_that_was_cut_short_says_so(reason: str) -> None:
    passing = crossing("anthropic", "openai", stream=True)
    out = said(passing.feed(frame(chunk({"content": "x"}), chunk({}, reason), "[DONE]")))
    assert out[-2]["delta"]["stop_reason"] == "max_tokens"


# -- schemas and files


def test_a_schema_says_in_words_what_anthropic_does_not_enforce() -> None:
    schema = {
        "type": "object",
        "properties": {
            "n": {"type": "integer", "minimum": 1, "description": "How many."},
            "default": {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}},
            "properties": {"type": "string", "format": "date"},
            "either": {"oneOf": [{"type": "string", "pattern": "^x"}, {"type": "null"}]},
            "free": {"type": "object", "additionalProperties": {"type": "string"}},
        },
        "required": ["n"],
        "$defs": {"a": {"type": "array", "items": {"type": "string"}, "minItems": 2}},
    }
    fitted = anthropic_schema.fitted(schema)
    assert fitted == {
        "type": "object",
        "properties": {
            "n": {"type": "integer", "description": "How many.\n\n{minimum: 1}"},
            "default": {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "additionalProperties": False},
            "properties": {"type": "string", "format": "date"},
            "either": {"anyOf": [{"type": "string", "description": '{pattern: "^x"}'}, {"type": "null"}]},
            "free": {"type": "object", "additionalProperties": False, "description": '{additionalProperties: {"type":"string"}}'},
        },
        "required": ["n"],
        "$defs": {"a": {"type": "array", "items": {"type": "string"}, "description": "{minItems: 2}"}},
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}
    passing = crossing("openai", "anthropic", {**ASKED["openai"], "response_format": form})
    assert sent(passing)["output_config"]["format"]["schema"] == fitted
    assert passing.dropped == ("response_format",)
    plain = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
    form["json_schema"] = {"name": "n", "schema": plain, "strict": True}
    assert crossing("openai", "anthropic", {**ASKED["openai"], "response_format": form}).dropped == ()


@pytest.mark.parametrize(
    ("schema", "fitted"),
    [
        ({"type": "string", "format": {}}, {"type": "string", "description": "{format: {}}"}),
        ({"anyOf": [{}], "oneOf": [{"type": "string"}, {}]}, {"anyOf": [{}], "description": '{oneOf: [{"type":"string"},{}]}'}),
        ({"oneOf": {}, "items": True}, {"description": "{oneOf: {}, items: true}"}),
    ],
)  # fmt: skip
def test_a_schema_that_is_none_or_says_two_things_at_once_is_passed_on_in_words(schema: dict[str, Any], fitted: dict[str, Any]) -> None:
    assert anthropic_schema.fitted(schema) == fitted
    assert anthropic_schema.lost(schema, fitted)


def test_a_strict_tool_whose_schema_anthropic_does_not_enforce_is_not_strict_there() -> None:
    def asked(**beside: Any) -> dict[str, Any]:
        schema = {"type": "object", "properties": {"n": {"type": "integer", **beside}}, "required": ["n"], "additionalProperties": False}
        return {**ASKED["openai"], "tools": [{"type": "function", "function": {"name": "f", "parameters": schema, "strict": True}}]}

    assert sent(crossing("openai", "anthropic", asked()))["tools"][0]["strict"] is True
    passing = crossing("openai", "anthropic", asked(minimum=1))
    assert "strict" not in sent(passing)["tools"][0]
    assert passing.dropped == ("tools.strict",)


@pytest.mark.parametrize("provider", NAMES)
@pytest.mark.parametrize("client", NAMES)
def test_a_picture_whose_type_has_its_common_name_is_a_jpeg(client: str, provider: str) -> None:
    url = f"data:image/jpg;base64,{PNG}"
    bodies: dict[str, dict[str, Any]] = {
        "openai": {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]},
        "responses": {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]},
        "anthropic": {"max_tokens": 99, "messages": [{"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/jpg", "data": PNG}}]}]},
        "gemini": {"contents": [{"parts": [{"inlineData": {"mimeType": "image/jpg", "data": PNG}}]}]},
    }  # fmt: skip
    if client != provider:
        assert b"image/jpeg" in crossing(client, provider, bodies[client]).request_body


# -- odd shapes: what passes must be what the target takes

_CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
_TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}}}}
_USE = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
_PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
_NAMED = {"name": "f", "input_schema": {"type": "object", "additionalProperties": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}
ODD: list[tuple[str, str, dict[str, Any]]] = [
    ("empty assistant", "openai", {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": ""},
                                                {"role": "user", "content": "y"}]}),
    ("null content with calls", "openai", {"messages": [{"role": "user", "content": "x"},
        {"role": "assistant", "content": None, "tool_calls": [_CALL]},
        {"role": "tool", "tool_call_id": "a", "content": ""}], "tools": [_TOOL]}),
    ("calls twice in parallel", "openai", {"messages": [{"role": "user", "content": "x"},
        {"role": "assistant", "tool_calls": [_CALL, {**_CALL, "id": "b"}]}, {"role": "tool", "tool_call_id": "b", "content": "2"},
        {"role": "tool", "tool_call_id": "a", "content": "1"}, {"role": "user", "content": "and?"}], "tools": [_TOOL]}),
    ("no tools any more", "openai", {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [_CALL]},
        {"role": "tool", "tool_call_id": "a", "content": "1"}]}),
    ("refusal in history", "openai", {"messages": [{"role": "user", "content": "x"},
        {"role": "assistant", "content": None, "refusal": "No."}, {"role": "user", "content": "y"}]}),
    ("refusal part", "openai", {"messages": [{"role": "user", "content": "x"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}, {"role": "user", "content": "y"}]}),
    ("developer in the middle", "openai", {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"},
        {"role": "developer", "content": "d"}, {"role": "user", "content": "z"}]}),
    ("only a system prompt", "openai", {"messages": [{"role": "system", "content": "s"}]}),
    ("begins with the assistant", "openai", {"messages": [{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]}),
    ("sound", "openai", {"messages": [{"role": "user", "content": [
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]}]}),
    ("json schema with definitions", "openai", {**ASKED["openai"], "response_format": {"type": "json_schema", "json_schema": {
        "name": "n", "strict": True, "schema": {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "required": ["a"],
        "additionalProperties": False, "$defs": {"a": {"type": "integer", "minimum": 0}}}}}}),
    ("much at once", "openai", {**ASKED["openai"], "seed": 1, "logprobs": True, "top_logprobs": 2, "logit_bias": {"1": 2}, "store": True,
        "metadata": {"a": "b"}, "service_tier": "flex", "stop": ["a", "b"], "top_p": 0.5, "temperature": 1.5, "user": "u" * 90}),
    ("several system blocks", "anthropic", {"max_tokens": 9, "system": [{"type": "text", "text": "a", "cache_control": CACHE},
        {"type": "text", "text": "b"}], "messages": [{"role": "user", "content": "x"}]}),
    ("empty texts", "anthropic", {"max_tokens": 9, "messages": [{"role": "user", "content": [
        {"type": "text", "text": ""}, {"type": "text", "text": "x"}]}]}),
    ("a picture returned, twice one tool", "anthropic", {"max_tokens": 9, "tools": [_NAMED], "messages": [{"role": "user", "content": "x"},
        {"role": "assistant", "content": [_USE, {**_USE, "id": "t2"}]}, {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": [_PICTURE]}, {"type": "tool_result", "tool_use_id": "t2"}]}]}),
    ("server tool among others", "anthropic", {"max_tokens": 9, "messages": [{"role": "user", "content": "x"}],
        "tools": [_NAMED, {"type": "web_search_20250305", "name": "web_search"}]}),
    ("server tools in history", "anthropic", {"max_tokens": 9, "messages": [{"role": "user", "content": "x"},
        {"role": "assistant", "content": [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}, {"type": "text", "text": "y"}]},
        {"role": "user", "content": "z"}]}),
    ("thoughts and tools", "anthropic", {"max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 2000}, "tools": [_NAMED],
        "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "EqQB"}, {"type": "redacted_thinking", "data": "EmwK"}, _USE]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "1"}]}]}),
    ("prefill", "anthropic", {"max_tokens": 9, "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "{ "}]}),
    ("items of every kind", "responses", {"input": [{"role": "developer", "content": "d"}, {"role": "user", "content": "x"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "e"},
        {"type": "web_search_call", "id": "w", "status": "completed", "action": {}},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": ""},
        {"type": "function_call_output", "call_id": "a", "output": [{"type": "input_text", "text": "1"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "y", "annotations": []}]},
        {"role": "user", "content": "z"}], "include": ["reasoning.encrypted_content"], "store": False, "truncation": "auto"}),
    ("results without ids", "gemini", {"contents": [{"role": "user", "parts": [{"text": "x"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}, {"functionCall": {"name": "f", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"a": 1}}},
                                   {"functionResponse": {"name": "f", "response": {"error": "no"}}}]}],
        "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT", "properties": {
            "a": {"type": "STRING", "nullable": True}}}}]}]}),
    ("code that ran", "gemini", {"contents": [{"role": "user", "parts": [{"text": "x"}]}, {"role": "model", "parts": [
        {"executableCode": {"language": "PYTHON", "code": "1"}}, {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
        {"text": "1"}]}, {"role": "user", "parts": [{"text": "y"}]}]}),
]  # fmt: skip


PAIRS = [(client, body, provider, name) for name, client, body in ODD for provider in NAMES if provider != client]


@pytest.mark.parametrize(("client", "body", "provider"), [pair[:3] for pair in PAIRS], ids=[f"{pair[3]} to {pair[2]}" for pair in PAIRS])
def test_odd_shapes_reach_the_target_as_it_takes_them_or_are_refused(client: str, body: dict[str, Any], provider: str) -> None:
    try:
        passing = crossing(client, provider, body)
    except AppError as error:
        assert (error.status, bool(error.message)) == (400, True)
        return
    model = {"anthropic": "claude-sonnet-4-5", "gemini": "gemini-2.5-pro"}.get(provider, "gpt-4.1")
    assert judge(provider, sent(passing), model, "2023-06-01") is None
