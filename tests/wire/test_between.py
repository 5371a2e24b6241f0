"""What goes from one dialect to another, what is named as dropped, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.core.errors import AppError
from tests.wire.bridging import chunk, crossing, fits, frame, refused, said, sent

PNG = "iVBORw0KGgo="


# -- thinking


@pytest.mark.parametrize("client", ["openai", "responses", "gemini"])
@pytest.mark.parametrize("stream", [False, True])
def test_anthropics_sealed_and_redacted_thoughts_survive_a_round_trip(client: str, stream: bool) -> None:
    blocks = [
        {"type": "thinking", "thinking": "First,\nthis.", "signature": "EqQB+/=="},
        {"type": "redacted_thinking", "data": "EmwK+/=="},
        {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"location": "Bern"}},
    ]
    passing = crossing(client, "anthropic", stream=stream)
    if stream:
        parts: list[dict[str, Any]] = [{"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 1, "output_tokens": 1}}}]
        deltas = [
            [
                {"type": "thinking_delta", "thinking": "First,"},
                {"type": "thinking_delta", "thinking": "\nthis."},
                {"type": "signature_delta", "signature": "EqQB+/=="},
            ],
            [],
            [{"type": "input_json_delta", "partial_json": '{"location":'}, {"type": "input_json_delta", "partial_json": ' "Bern"}'}],
        ]
        empty = [{"type": "thinking", "thinking": "", "signature": ""}, blocks[1], {**blocks[2], "input": {}}]
        for at, block in enumerate(empty):
            parts.append({"type": "content_block_start", "index": at, "content_block": block})
            parts += [{"type": "content_block_delta", "index": at, "delta": delta} for delta in deltas[at]]
            parts.append({"type": "content_block_stop", "index": at})
        parts += [{"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}}, {"type": "message_stop"}]
        values = said(passing.feed(frame(*parts, named=True)))
        history = _streamed_history(client, values)
    else:
        reply = {
            "id": "m",
            "type": "message",
            "role": "assistant",
            "model": "c",
            "content": blocks,
            "stop_reason": "tool_use",
            "usage": {"input_tokens": 1, "output_tokens": 9},
        }
        out = json.loads(passing.reply(json.dumps(reply).encode()))
        fits(client, out, whole=True)
        history = _history(client, out)
    turns = sent(crossing(client, "anthropic", history))["messages"]
    assert turns[1]["content"] == blocks


def _history(client: str, out: dict[str, Any]) -> dict[str, Any]:
    if client == "openai":
        message = out["choices"][0]["message"]
        result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "ok"}
        return {"messages": [{"role": "user", "content": "x"}, message, result], "reasoning_effort": "low"}
    if client == "responses":
        result = {"type": "function_call_output", "call_id": out["output"][-1]["call_id"], "output": "ok"}
        return {"input": [{"role": "user", "content": "x"}, *out["output"], result]}
    content = out["candidates"][0]["content"]
    call = next(part["functionCall"] for part in content["parts"] if "functionCall" in part)
    result = {"functionResponse": {"name": call["name"], "id": call["id"], "response": {"output": "ok"}}}
    return {"contents": [{"role": "user", "parts": [{"text": "x"}]}, content, {"role": "user", "parts": [result]}]}


def _streamed_history(client: str, values: list[dict[str, Any]]) -> dict[str, Any]:
    """What a client that keeps what it gets would have."""
    if client == "responses":
        return _history(client, values[-1]["response"])
    if client == "gemini":
        parts = [part for value in values for part in value["candidates"][0]["content"]["parts"]]
        return _history(client, {"candidates": [{"content": {"role": "model", "parts": parts}}]})
    deltas = [value["choices"][0]["delta"] for value in values if value["choices"]]
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
    call = {
        **calls[0],
        "function": {"name": calls[0]["function"]["name"], "arguments": "".join(one["function"]["arguments"] for one in calls)},
    }
    blocks = [block for delta in deltas for block in delta.get("thinking_blocks", [])]
    return _history(
        client, {"choices": [{"message": {"role": "assistant", "content": None, "thinking_blocks": blocks, "tool_calls": [call]}}]}
    )


def test_thoughts_of_another_model_are_not_sent_to_one_that_did_not_seal_them() -> None:
    body = {
        "max_tokens": 9,
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": ""}, {"type": "text", "text": "y"}]},
            {"role": "user", "content": "z"},
        ],
    }
    passing = crossing("anthropic", "anthropic", body)
    assert sent(passing)["messages"][1]["content"] == [{"type": "text", "text": "y"}]
    assert passing.dropped == ("thinking",)


def test_thinking_is_left_off_while_a_tool_is_at_work_whose_thought_the_client_did_not_keep() -> None:
    body = {
        "reasoning_effort": "high",
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "a", "content": "1"},
        ],
    }
    passing = crossing("openai", "anthropic", body)
    assert "thinking" not in sent(passing)
    assert "reasoning_effort" in passing.dropped


# -- formats, prompts, files


def test_a_json_schema_goes_to_every_dialect_in_its_own_form() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    body = {
        "messages": [{"role": "user", "content": "x"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}},
    }
    assert sent(crossing("openai", "anthropic", body))["output_config"]["format"] == {
        "type": "json_schema",
        "schema": {**schema, "additionalProperties": False},
    }
    assert sent(crossing("openai", "gemini", body))["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": schema,
    }
    assert sent(crossing("openai", "responses", body))["text"]["format"] == {
        "type": "json_schema",
        "name": "n",
        "schema": schema,
        "strict": True,
    }
    older = crossing("openai", "anthropic", body, model="claude-3-5-haiku-latest")
    assert "JSON schema" in sent(older)["system"]
    assert "response_format" in older.dropped


def test_json_mode_is_asked_for_in_words_where_there_is_none_and_named_as_dropped() -> None:
    body = {"messages": [{"role": "user", "content": "x"}], "response_format": {"type": "json_object"}}
    passing = crossing("openai", "anthropic", body)
    assert "JSON object" in sent(passing)["system"]
    assert passing.dropped == ("response_format",)
    assert sent(crossing("openai", "gemini", body))["generationConfig"] == {"responseMimeType": "application/json"}


def test_documents_and_pictures_go_through_as_bytes_and_urls() -> None:
    body = {
        "max_tokens": 9,
        "messages": [
            {
                "role": "user",
                "content": [
                    {
                        "type": "document",
                        "title": "a.pdf",
                        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
                    },
                    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "plain"}},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                ],
            }
        ],
    }
    assert sent(crossing("anthropic", "openai", body))["messages"][0]["content"] == [
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}},
        {"type": "text", "text": "plain"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
    ]
    assert sent(crossing("anthropic", "gemini", body))["contents"][0]["parts"] == [
        {"inlineData": {"mimeType": "application/pdf", "data": "JVBERg=="}},
        {"text": "plain"},
        {"inlineData": {"mimeType": "image/png", "data": PNG}},
    ]
    url = {
        "max_tokens": 9,
        "messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "url", "url": "https://x.example/a.pdf"}}]}],
    }
    assert refused("anthropic", "openai", url).param == "document.url"
    assert sent(crossing("anthropic", "responses", url))["input"][0]["content"] == [
        {"type": "input_file", "file_url": "https://x.example/a.pdf"}
    ]


def test_a_tool_that_takes_free_text_is_a_function_elsewhere_and_free_text_again_for_the_client() -> None:
    body = {
        "input": "x",
        "tools": [
            {
                "type": "custom",
                "name": "apply_patch",
                "description": "Patches.",
                "format": {"type": "grammar", "syntax": "lark", "definition": "start: X"},
            }
        ],
    }
    passing = crossing("responses", "anthropic", body, stream=True)
    tool = sent(passing)["tools"][0]
    assert tool["input_schema"]["required"] == ["input"]
    assert "start: X" in tool["description"]
    out = said(
        passing.feed(
            frame(
                {
                    "type": "content_block_start",
                    "index": 0,
                    "content_block": {"type": "tool_use", "id": "t", "name": "apply_patch", "input": {}},
                },
                {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": '{"input": "*** Be'}},
                {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": 'gin\\n"}'}},
                {"type": "content_block_stop", "index": 0},
                {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 3}},
                {"type": "message_stop"},
                named=True,
            )
        )
    )
    item = out[-1]["response"]["output"][0]
    assert (item["type"], item["input"]) == ("custom_tool_call", "*** Begin\n")
    history = {
        **body,
        "input": [
            {"role": "user", "content": "x"},
            item,
            {"type": "custom_tool_call_output", "call_id": item["call_id"], "output": "done"},
        ],
    }
    assert sent(crossing("responses", "anthropic", history))["messages"][1]["content"][0]["input"] == {"input": "*** Begin\n"}


def test_a_hosted_tool_among_others_is_dropped_and_named_and_alone_it_is_refused() -> None:
    function = {"type": "function", "name": "f", "parameters": {}, "strict": False}
    passing = crossing("responses", "anthropic", {"input": "x", "tools": [function, {"type": "web_search"}]})
    assert passing.dropped == ("tools.web_search",)
    assert refused("responses", "anthropic", {"input": "x", "tools": [{"type": "web_search"}]}).code == "not_expressible"
    forced = {"input": "x", "tools": [function, {"type": "web_search"}], "tool_choice": {"type": "web_search"}}
    assert refused("responses", "anthropic", forced).code == "not_expressible"


@pytest.mark.parametrize(
    ("client", "body", "param"),
    [
        ("openai", {"messages": [{"role": "user", "content": "x"}], "n": 2}, "n"),
        ("openai", {"messages": [{"role": "user", "content": "x"}], "modalities": ["text", "audio"], "audio": {}}, "modalities"),
        ("anthropic", {"max_tokens": 9, "messages": [{"role": "user", "content": "x"}], "mcp_servers": [{}]}, "mcp_servers"),
        ("anthropic", {"max_tokens": 9, "messages": [{"role": "user", "content": "x"}], "inference_geo": "eu"}, "inference_geo"),
        ("responses", {"input": "x", "background": True}, "background"),
        ("responses", {"input": "x", "conversation": "conv_1"}, "conversation"),
        ("gemini", {"contents": [{"parts": [{"text": "x"}]}], "cachedContent": "cachedContents/1"}, "cachedContent"),
        (
            "gemini",
            {"contents": [{"parts": [{"text": "x"}]}], "generationConfig": {"responseModalities": ["IMAGE"]}},
            "generationConfig.responseModalities",
        ),
    ],
)
def test_what_would_change_the_meaning_is_refused(client: str, body: dict[str, Any], param: str) -> None:
    provider = "anthropic" if client != "anthropic" else "openai"
    error = refused(client, provider, body)
    assert (error.code, error.param) == ("not_expressible", param)
    assert error.hint


def test_what_is_dropped_is_named_once_each() -> None:
    body = {
        "messages": [{"role": "user", "name": "u", "content": "x"}, {"role": "user", "name": "v", "content": "y"}],
        "seed": 1,
        "logit_bias": {"1": 1},
        "logprobs": True,
        "user": "me",
    }
    passing = crossing("openai", "anthropic", body)
    assert sorted(passing.dropped) == ["logit_bias", "logprobs", "messages.name", "seed"]
    assert sent(passing)["metadata"] == {"user_id": "me"}
    cache = {"type": "ephemeral"}
    kept = {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": cache}]}]}
    assert sent(crossing("openai", "anthropic", kept))["messages"][0]["content"][0]["cache_control"] == cache
    lost = crossing(
        "anthropic",
        "openai",
        {"max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": cache}]}]},
    )
    assert lost.dropped == ("cache_control",)


def test_between_dialects_the_model_is_the_name_asked_for() -> None:
    reply = {
        "candidates": [{"content": {"parts": [{"text": "x"}], "role": "model"}, "finishReason": "STOP"}],
        "modelVersion": "gemini-2.5-pro-002",
    }
    for client, name in (("openai", "model"), ("responses", "model"), ("anthropic", "model")):
        assert json.loads(crossing(client, "gemini").reply(json.dumps(reply).encode()))[name] == "work/m"


def test_a_gemini_stream_as_one_array_is_valid_json_whatever_happens() -> None:
    passing = crossing("gemini", "openai", stream=True, array=True)
    out = (
        passing.feed(frame(chunk({"content": "a"})))
        + passing.ping()
        + passing.feed(frame(chunk({"content": "b"}, "stop"), "[DONE]"))
        + passing.finish()
    )
    assert [value["candidates"][0]["content"]["parts"][0]["text"] for value in json.loads(out)] == ["a", "b", ""]
    assert passing.content_type.startswith("application/json")
    broken = crossing("gemini", "openai", stream=True, array=True)
    error = AppError("provider_broken", "It broke off.")
    assert json.loads(broken.feed(frame(chunk({"content": "a"}))) + broken.error_event(error, "r"))[-1]["error"]["code"] == 502
    assert json.loads(crossing("gemini", "openai", stream=True, array=True).finish())[0]["error"]["status"] == "UNAVAILABLE"
    relayed = crossing("gemini", "gemini", stream=True, array=True)
    assert relayed.endpoint == "models/gemini-2.5-pro:streamGenerateContent?alt=sse"
    assert json.loads(relayed.feed(b'data: {"a": 1}\r\n\r\ndata: {"a": 2}\r\n\r\n') + relayed.finish()) == [{"a": 1}, {"a": 2}]


def test_logprobs_go_both_ways_where_both_have_them() -> None:
    body = {"messages": [{"role": "user", "content": "x"}], "logprobs": True, "top_logprobs": 1}
    passing = crossing("openai", "gemini", body)
    assert sent(passing)["generationConfig"] == {"responseLogprobs": True, "logprobs": 1}
    chosen = {
        "chosenCandidates": [{"token": "H", "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "H", "logProbability": -0.5}]}],
    }
    reply = {"candidates": [{"content": {"parts": [{"text": "H"}], "role": "model"}, "finishReason": "STOP", "logprobsResult": chosen}]}
    out = json.loads(passing.reply(json.dumps(reply).encode()))
    assert out["choices"][0]["logprobs"]["content"][0]["logprob"] == -0.5
    fits("openai", out, whole=True)
    assert sent(crossing("openai", "responses", body))["top_logprobs"] == 1


def test_names_of_what_was_dropped_cannot_break_a_header() -> None:
    body = {"messages": [{"role": "user", "content": "x"}], "a\r\nset-cookie: x": 1, "ä,b": 2, **{f"n{number}": 1 for number in range(60)}}
    dropped = crossing("openai", "anthropic", body).dropped
    assert dropped[:2] == ("a??set-cookie:?x", "??b")
    assert len(dropped) == 41
