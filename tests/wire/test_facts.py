"""The facts to get right between dialects, one test each: every one of them is a known bug elsewhere."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.wire.anthropic_write import default_max_tokens, version
from tests.wire.bridging import called, chunk, crossing, frame, refused, said, sent

PNG = "iVBORw0KGgo="


# -- Anthropic to OpenAI


def test_anthropic_to_openai_each_tool_result_is_a_message_of_its_own_before_the_text_of_its_turn() -> None:
    body = {
        "max_tokens": 9,
        "messages": [
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
                    {"type": "tool_use", "id": "t2", "name": "f", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "and now?"},
                    {"type": "tool_result", "tool_use_id": "t1", "content": "one"},
                    {"type": "tool_result", "tool_use_id": "t2", "is_error": True, "content": [{"type": "text", "text": "gone"}]},
                ],
            },
        ],
    }
    messages = sent(crossing("anthropic", "openai", body))["messages"]
    assert [message["role"] for message in messages] == ["assistant", "tool", "tool", "user"]
    assert [(message["tool_call_id"], message["content"]) for message in messages[1:3]] == [("t1", "one"), ("t2", "Error: gone")]
    assert [call["function"]["arguments"] for call in messages[0]["tool_calls"]] == ['{"a":1}', "{}"]
    assert messages[3]["content"] == "and now?"


def test_a_tools_picture_follows_its_text_where_a_tool_message_holds_text_alone() -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    body = {
        "max_tokens": 9,
        "messages": [
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "shot", "input": {}}]},
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "ok"}, picture]}],
            },
        ],
    }
    messages = sent(crossing("anthropic", "openai", body))["messages"]
    assert messages[1]["content"] == "ok"
    assert messages[2]["content"][1] == {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    output = sent(crossing("anthropic", "responses", body))["input"][1]["output"]
    assert [part["type"] for part in output] == ["input_text", "input_image"]


@pytest.mark.parametrize("provider", ["openai", "responses", "gemini"])
def test_tool_names_over_64_characters_are_shortened_deterministically_and_restored(provider: str) -> None:
    long = "mcp__a_server_with_a_long_name__" + "x" * 60
    tools = [{"name": long, "input_schema": {"type": "object"}}, {"name": long + "y", "input_schema": {"type": "object"}}]
    body = {
        "max_tokens": 9,
        "tools": tools,
        "tool_choice": {"type": "tool", "name": long},
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": long, "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "y"}]},
        ],
    }
    passing = crossing("anthropic", provider, body, stream=True)
    again = crossing("anthropic", provider, body, stream=True)
    assert passing.request_body == again.request_body
    assert long not in passing.request_body.decode()
    if provider == "openai":
        short = sent(passing)["tools"][0]["function"]["name"]
        assert len(short) <= 64
        assert short != sent(passing)["tools"][1]["function"]["name"]
        assert sent(passing)["tool_choice"]["function"]["name"] == short
        out = passing.feed(frame(chunk(called(0, "c", short)), chunk(called(0, arguments="{}"), "tool_calls"), "[DONE]"))
        started = next(value for value in said(out) if value["type"] == "content_block_start")
        assert started["content_block"]["name"] == long


def test_a_tool_of_anthropics_type_custom_does_not_leak_into_the_schema() -> None:
    tool = {"type": "custom", "name": "f", "description": "d", "input_schema": {"type": "object", "properties": {}}}
    body = {"max_tokens": 9, "tools": [tool], "messages": [{"role": "user", "content": "x"}]}
    assert sent(crossing("anthropic", "openai", body))["tools"] == [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}}
    ]


@pytest.mark.parametrize(
    ("choice", "openai", "gemini"),
    [
        ({"type": "auto"}, "auto", {"mode": "AUTO"}),
        ({"type": "any"}, "required", {"mode": "ANY"}),
        ({"type": "none"}, "none", {"mode": "NONE"}),
        ({"type": "tool", "name": "f"}, {"type": "function", "function": {"name": "f"}}, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
    ],
)
def test_tool_choice_auto_any_none_tool_is_auto_required_none_function(choice: Any, openai: Any, gemini: Any) -> None:
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    body = {"max_tokens": 9, "tools": tools, "tool_choice": choice, "messages": [{"role": "user", "content": "x"}]}
    assert sent(crossing("anthropic", "openai", body))["tool_choice"] == openai
    assert sent(crossing("anthropic", "gemini", body))["toolConfig"]["functionCallingConfig"] == gemini
    back = {
        "messages": [{"role": "user", "content": "x"}],
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": openai,
    }
    assert sent(crossing("openai", "anthropic", back))["tool_choice"] == choice


@pytest.mark.parametrize(
    ("budget", "effort"),
    [(32_000, "high"), (4096, "high"), (4095, "medium"), (2048, "medium"), (2047, "low"), (1024, "low"), (1023, "minimal")],
)
def test_a_thinking_budget_becomes_an_effort(budget: int, effort: str) -> None:
    body = {"max_tokens": 99_000, "thinking": {"type": "enabled", "budget_tokens": budget}, "messages": [{"role": "user", "content": "x"}]}
    assert sent(crossing("anthropic", "openai", body, model="gpt-5"))["reasoning_effort"] == effort
    assert sent(crossing("anthropic", "openai", body, model="deepseek-chat"))["reasoning_effort"] == effort
    assert sent(crossing("anthropic", "responses", body, model="gpt-5"))["reasoning"]["effort"] == effort
    assert sent(crossing("anthropic", "gemini", body))["generationConfig"]["thinkingConfig"]["thinkingBudget"] == budget


# -- OpenAI to Anthropic


def test_openai_to_anthropic_consecutive_roles_are_merged() -> None:
    body = {
        "messages": [
            {"role": "system", "content": "a"},
            {"role": "developer", "content": "b"},
            {"role": "user", "content": "1"},
            {"role": "user", "content": "2"},
            {"role": "assistant", "content": "3"},
            {"role": "assistant", "content": "4"},
            {"role": "user", "content": ""},
            {"role": "user", "content": "5"},
        ]
    }
    out = sent(crossing("openai", "anthropic", body))
    assert [(turn["role"], [block["text"] for block in turn["content"]]) for turn in out["messages"]] == [
        ("user", ["1", "2"]),
        ("assistant", ["3", "4"]),
        ("user", ["5"]),
    ]
    assert [block["text"] for block in out["system"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("claude-3-haiku-20240307", 4096),
        ("claude-3-5-sonnet-20241022", 8192),
        ("claude-opus-4-1-20250805", 32_000),
        ("claude-opus-4-20250514", 32_000),
        ("claude-sonnet-4-5-20250929", 64_000),
        ("anthropic/claude-opus-4.5", 64_000),
        ("claude-fable-5-2", 64_000),
        ("deepseek-chat", 8192),
    ],
)
def test_max_tokens_comes_from_model_data_when_the_client_says_none(model: str, expected: int) -> None:
    body = {"messages": [{"role": "user", "content": "x"}]}
    assert sent(crossing("openai", "anthropic", body, model=model))["max_tokens"] == expected == default_max_tokens(model)
    assert sent(crossing("openai", "anthropic", body, model=model, max_tokens=777))["max_tokens"] == 777
    assert sent(crossing("openai", "anthropic", {**body, "max_completion_tokens": 5}, model=model, max_tokens=777))["max_tokens"] == 5


def test_a_claude_models_version_is_read_from_its_name() -> None:
    assert version("claude-3-7-sonnet-20250219") == (3, 7)
    assert version("claude-sonnet-4-20250514") == (4, 0)
    assert version("claude-haiku-4-5@20251001") == (4, 5)
    assert version("claude-opus-5") == (5, 0)
    assert version("gpt-5") is None


def test_required_is_any_and_no_parallel_calls_is_disable_parallel_tool_use() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    body = {"messages": [{"role": "user", "content": "x"}], "tools": tools, "tool_choice": "required", "parallel_tool_calls": False}
    assert sent(crossing("openai", "anthropic", body))["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    del body["tool_choice"]
    assert sent(crossing("openai", "anthropic", body))["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    passing = crossing("openai", "gemini", body)
    assert "parallel_tool_calls" in passing.dropped


def test_empty_arguments_are_an_empty_object_and_ids_are_sanitised_alike_in_call_and_result() -> None:
    odd = "call:1/ä|" + "z" * 90
    body = {
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "tool_calls": [{"id": odd, "type": "function", "function": {"name": "f", "arguments": ""}}]},
            {"role": "tool", "tool_call_id": odd, "content": "ok"},
        ]
    }
    turns = sent(crossing("openai", "anthropic", body))["messages"]
    call, result = turns[1]["content"][0], turns[2]["content"][0]
    assert call["input"] == {}
    assert call["id"] == result["tool_use_id"]
    assert call["id"].isascii()
    assert all(letter.isalnum() or letter in "_-" for letter in call["id"])


@pytest.mark.parametrize(("finish", "stop"), [("stop", "tool_use"), ("tool_calls", "tool_use"), ("length", "max_tokens")])
def test_a_final_stop_after_a_tool_call_is_tool_use(finish: str, stop: str) -> None:
    passing = crossing("anthropic", "openai", stream=True)
    out = said(passing.feed(frame(chunk(called(0, "c", "get_weather", "{}")), chunk({}, finish), "[DONE]")))
    assert out[-2]["delta"]["stop_reason"] == stop


def test_content_filter_is_refusal_and_back() -> None:
    passing = crossing("anthropic", "openai", stream=True)
    out = said(passing.feed(frame(chunk({"content": "x"}), chunk({}, "content_filter"), "[DONE]")))
    assert out[-2]["delta"]["stop_reason"] == "refusal"
    back = crossing("openai", "anthropic")
    reply = {"id": "m", "type": "message", "role": "assistant", "model": "c", "content": [], "stop_reason": "refusal", "usage": {}}
    assert json.loads(back.reply(json.dumps(reply).encode()))["choices"][0]["finish_reason"] == "content_filter"


# -- Anthropic's stream


def test_thinking_is_never_inside_a_text_block_and_each_change_closes_and_opens() -> None:
    passing = crossing("anthropic", "openai", stream=True)
    out = said(
        passing.feed(
            frame(
                chunk({"reasoning_content": "a"}),
                chunk({"content": "b"}),
                chunk({"reasoning_content": "c"}),
                chunk({"content": "d"}, "stop"),
                "[DONE]",
            )
        )
    )
    assert [value["content_block"]["type"] for value in out if value["type"] == "content_block_start"] == [
        "thinking",
        "text",
        "thinking",
        "text",
    ]
    assert out[0]["type"] == "message_start"
    assert {"cache_read_input_tokens", "cache_creation_input_tokens"} <= set(out[0]["message"]["usage"])


def test_arguments_bundled_with_the_tools_name_come_right_after_the_start() -> None:
    passing = crossing("anthropic", "openai", stream=True)
    out = said(passing.feed(frame(chunk(called(0, "c", "get_weather", '{"location": "Bern"}')))))
    assert [value["type"] for value in out[1:]] == ["content_block_start", "content_block_delta"]
    assert out[2]["delta"] == {"type": "input_json_delta", "partial_json": '{"location": "Bern"}'}
    assert out[1]["content_block"]["input"] == {}


@pytest.mark.parametrize("client", ["anthropic", "responses", "gemini"])
def test_parallel_calls_whose_pieces_are_mixed_come_out_one_after_the_other(client: str) -> None:
    mixed = frame(
        chunk(called(0, "c0", "get_weather", '{"loc')),
        chunk(called(1, "c1", "get_weather", '{"location":"B')),
        chunk(called(0, arguments='ation":"A"}')),
        chunk(called(1, arguments='"}')),
        chunk({}, "tool_calls"),
        "[DONE]",
    )
    passing = crossing(client, "openai", stream=True)
    text = (passing.feed(mixed) + passing.finish()).decode()
    values = said(text.encode())
    if client == "anthropic":
        given: dict[int, str] = {}
        for value in values:
            if value["type"] == "content_block_delta":
                given[value["index"]] = given.get(value["index"], "") + value["delta"]["partial_json"]
        assert [json.loads(one) for one in given.values()] == [{"location": "A"}, {"location": "B"}]
    elif client == "gemini":
        calls = [
            part["functionCall"]["args"]
            for value in values
            for part in value["candidates"][0]["content"]["parts"]
            if "functionCall" in part
        ]
        assert calls == [{"location": "A"}, {"location": "B"}]
    else:
        assert [json.loads(item["arguments"]) for item in values[-1]["response"]["output"]] == [{"location": "A"}, {"location": "B"}]


def test_calls_that_share_an_index_but_not_an_id_are_two() -> None:
    passing = crossing("anthropic", "openai", stream=True)
    out = said(passing.feed(frame(chunk(called(0, "c0", "f", "{}")), chunk(called(0, "c1", "g", "{}")), chunk({}, "stop"), "[DONE]")))
    assert [value["content_block"]["name"] for value in out if value["type"] == "content_block_start"] == ["f", "g"]


# -- usage


@pytest.mark.parametrize("client", ["openai", "responses", "gemini"])
def test_anthropics_input_excludes_the_cache_and_openais_includes_it(client: str) -> None:
    usage = {
        "input_tokens": 7,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 20,
        "output_tokens": 50,
        "output_tokens_details": {"thinking_tokens": 30},
    }
    reply = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "c",
        "content": [{"type": "text", "text": "x"}],
        "stop_reason": "end_turn",
        "usage": usage,
    }
    passing = crossing(client, "anthropic")
    out = json.loads(passing.reply(json.dumps(reply).encode()))
    if client == "openai":
        used = out["usage"]
        assert (used["prompt_tokens"], used["completion_tokens"], used["total_tokens"]) == (127, 50, 177)
        assert used["prompt_tokens_details"] == {"cached_tokens": 100, "cache_write_tokens": 20}
        assert used["completion_tokens_details"] == {"reasoning_tokens": 30}
    elif client == "responses":
        used = out["usage"]
        assert (used["input_tokens"], used["output_tokens"], used["total_tokens"]) == (127, 50, 177)
        assert used["input_tokens_details"] == {"cached_tokens": 100, "cache_write_tokens": 20}
    else:
        used = out["usageMetadata"]
        assert (used["promptTokenCount"], used["candidatesTokenCount"], used["thoughtsTokenCount"], used["totalTokenCount"]) == (
            127,
            20,
            30,
            177,
        )
    assert (passing.tokens.input, passing.tokens.cached, passing.tokens.cache_write, passing.tokens.reasoning) == (127, 100, 20, 30)


def test_openais_usage_becomes_anthropics_exactly() -> None:
    usage = {"prompt_tokens": 127, "completion_tokens": 50, "prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 20}}
    passing = crossing("anthropic", "openai", stream=True)
    out = said(passing.feed(frame(chunk({"content": "x"}, "stop"), {**chunk({}), "choices": [], "usage": usage}, "[DONE]")))
    used = out[-2]["usage"]
    assert (used["input_tokens"], used["cache_read_input_tokens"], used["cache_creation_input_tokens"], used["output_tokens"]) == (
        7,
        100,
        20,
        50,
    )


def test_what_a_provider_does_not_report_is_estimated_and_marked() -> None:
    passing = crossing("anthropic", "openai", stream=True)
    passing.feed(frame(chunk({"content": "x" * 40}), chunk({}, "stop"), "[DONE]"))
    assert passing.tokens.estimated
    assert passing.tokens.output == 10


# -- Gemini


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "stop"),
        ("OTHER", "stop"),
        ("SOMETHING_NEW", "stop"),
    ],
)
def test_geminis_finish_reasons(reason: str, expected: str) -> None:
    passing = crossing("openai", "gemini")
    reply = {"candidates": [{"content": {"parts": [{"text": "x"}], "role": "model"}, "finishReason": reason}]}
    assert json.loads(passing.reply(json.dumps(reply).encode()))["choices"][0]["finish_reason"] == expected


@pytest.mark.parametrize("client", ["openai", "responses", "anthropic"])
def test_a_function_call_without_an_id_gets_a_stable_one_and_its_thought_signature_survives_a_round_trip(client: str) -> None:
    call = {"functionCall": {"name": "get_weather", "args": {"location": "Bern"}}, "thoughtSignature": "EtsB+/8="}
    reply = {"candidates": [{"content": {"parts": [call], "role": "model"}, "finishReason": "STOP"}], "responseId": "r1"}
    raw = json.dumps(reply).encode()
    out = json.loads(crossing(client, "gemini").reply(raw))
    assert out == json.loads(crossing(client, "gemini").reply(raw))
    history: dict[str, Any]
    if client == "openai":
        message = out["choices"][0]["message"]
        result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "4 degrees"}
        history = {"messages": [{"role": "user", "content": "x"}, message, result]}
    elif client == "responses":
        item = out["output"][0]
        history = {
            "input": [
                {"role": "user", "content": "x"},
                item,
                {"type": "function_call_output", "call_id": item["call_id"], "output": "4 degrees"},
            ]
        }
    else:
        block = out["content"][0]
        result = {"type": "tool_result", "tool_use_id": block["id"], "content": "4 degrees"}
        history = {
            "max_tokens": 9,
            "messages": [
                {"role": "user", "content": "x"},
                {"role": "assistant", "content": [block]},
                {"role": "user", "content": [result]},
            ],
        }
    contents = sent(crossing(client, "gemini", history))["contents"]
    assert contents[1]["parts"][0] == {
        "functionCall": {"name": "get_weather", "args": {"location": "Bern"}, "id": "call_r1_1"},
        "thoughtSignature": "EtsB+/8=",
    }
    assert contents[2]["parts"][0]["functionResponse"] == {"id": "call_r1_1", "name": "get_weather", "response": {"output": "4 degrees"}}
    # The same conversation, continued elsewhere: no mark of ours reaches any provider.
    for provider in ("openai", "responses", "anthropic", "gemini"):
        assert b"gh1" not in crossing(client, provider, history).request_body


def test_gemini_three_gets_a_word_in_place_of_the_signature_of_a_call_it_did_not_make() -> None:
    body = {
        "messages": [
            {"role": "user", "content": "x"},
            {
                "role": "assistant",
                "tool_calls": [{"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}} for name in ("a", "b")],
            },
            {"role": "tool", "tool_call_id": "a", "content": "1"},
            {"role": "tool", "tool_call_id": "b", "content": "2"},
        ]
    }
    parts = sent(crossing("openai", "gemini", body, model="gemini-3-pro"))["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == ["skip_thought_signature_validator", None]
    assert "thoughtSignature" not in crossing("openai", "gemini", body, model="gemini-2.5-pro").request_body.decode()


def test_an_image_url_is_refused_where_only_bytes_are_taken() -> None:
    for client, body in (
        ("openai", {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}]}]}),
        (
            "anthropic",
            {
                "max_tokens": 9,
                "messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}}]}],
            },
        ),
        ("responses", {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://x.example/a.png"}]}]}),
    ):
        error = refused(client, "gemini", body)
        assert error.code == "not_expressible"
        assert "fetches nothing" in error.message


# -- Responses


def test_responses_items_come_as_reasoning_message_function_call_with_rising_numbers_and_completed_last() -> None:
    passing = crossing("responses", "openai", stream=True)
    usage = {"prompt_tokens": 5, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 4}}
    out = said(
        passing.feed(
            frame(
                chunk({"reasoning_content": "hm"}),
                chunk({"content": "Let me see."}),
                chunk(called(0, "c", "get_weather", "{}")),
                chunk({}, "tool_calls"),
                {**chunk({}), "choices": [], "usage": usage},
                "[DONE]",
            )
        )
    )
    added = [value["item"]["type"] for value in out if value["type"] == "response.output_item.added"]
    done = [value["item"]["type"] for value in out if value["type"] == "response.output_item.done"]
    assert added == done == ["reasoning", "message", "function_call"]
    assert [value["sequence_number"] for value in out] == list(range(len(out)))
    assert out[-1]["type"] == "response.completed"
    assert out[-1]["response"]["usage"]["output_tokens_details"] == {"reasoning_tokens": 4}


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini"])
def test_previous_response_id_without_its_content_is_a_clear_400(provider: str) -> None:
    error = refused("responses", provider, {"input": "x", "previous_response_id": "resp_1"})
    assert (error.code, error.param) == ("not_expressible", "previous_response_id")
