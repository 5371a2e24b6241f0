"""Errors, lists and keepalives as the official packages understand them, and which dialect a path speaks."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from anthropic.types import ModelInfo
from anthropic.types.shared import ErrorResponse
from openai.types.shared import ErrorObject

from app.core.errors import CODES, AppError
from app.wire.dialect import Dialect, ModelEntry
from app.wire.dialects import DIALECTS, place, speaker

OPENAI, ANTHROPIC = DIALECTS["openai"], DIALECTS["anthropic"]
BOTH = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=list(DIALECTS))


def openai_client(answer: Callable[[httpx2.Request], httpx2.Response]) -> openai.OpenAI:
    transport = httpx2.MockTransport(answer)
    return openai.OpenAI(api_key="k", base_url="http://gate/v1", max_retries=0, http_client=httpx2.Client(transport=transport))


def anthropic_client(answer: Callable[[httpx2.Request], httpx2.Response]) -> anthropic.Anthropic:
    transport = httpx2.MockTransport(answer)
    return anthropic.Anthropic(api_key="k", base_url="http://gate", max_retries=0, http_client=httpx2.Client(transport=transport))


def replying(status: int, body: bytes, content_type: str = "application/json") -> Callable[[httpx2.Request], httpx2.Response]:
    return lambda request: httpx2.Response(status, content=body, headers={"content-type": content_type})


def streaming(*events: bytes) -> Callable[[httpx2.Request], httpx2.Response]:
    return replying(200, b"".join(events), "text/event-stream")


# -- errors


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_error_has_openais_shape(code: str) -> None:
    body = json.loads(OPENAI.error_body(AppError(code, "What happened.", "What to do.", param="model"), "req_1"))
    assert list(body) == ["error"]
    error = ErrorObject.model_validate(body["error"])
    assert (error.message, error.code, error.param, error.type) == ("What happened. What to do.", code, "model", CODES[code].openai_type)
    assert isinstance(error.code, str)


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_error_has_anthropics_shape(code: str) -> None:
    body = json.loads(ANTHROPIC.error_body(AppError(code, "What happened.", "What to do."), "req_1"))
    if body["error"]["type"] != "request_too_large":  # documented with status 413, missing in the package's union
        ErrorResponse.model_validate(body)
    assert (body["type"], body["request_id"], body["error"]["message"]) == ("error", "req_1", "What happened. What to do.")


STATUSES: list[tuple[int, str, type[Exception], str, type[Exception]]] = [
    (400, "invalid_request_error", openai.BadRequestError, "invalid_request_error", anthropic.BadRequestError),
    (401, "auth_error", openai.AuthenticationError, "authentication_error", anthropic.AuthenticationError),
    (402, "invalid_request_error", openai.APIStatusError, "billing_error", anthropic.APIStatusError),
    (403, "permission_error", openai.PermissionDeniedError, "permission_error", anthropic.PermissionDeniedError),
    (404, "invalid_request_error", openai.NotFoundError, "not_found_error", anthropic.NotFoundError),
    (408, "timeout_error", openai.APIStatusError, "timeout_error", anthropic.APIStatusError),
    (413, "invalid_request_error", openai.APIStatusError, "request_too_large", anthropic.APIStatusError),
    (422, "invalid_request_error", openai.UnprocessableEntityError, "invalid_request_error", anthropic.UnprocessableEntityError),
    (429, "rate_limit_error", openai.RateLimitError, "rate_limit_error", anthropic.RateLimitError),
    (500, "internal_server_error", openai.InternalServerError, "api_error", anthropic.InternalServerError),
    (502, "internal_server_error", openai.InternalServerError, "api_error", anthropic.InternalServerError),
    (503, "internal_server_error", openai.InternalServerError, "api_error", anthropic.InternalServerError),
    (504, "internal_server_error", openai.InternalServerError, "timeout_error", anthropic.InternalServerError),
    (529, "internal_server_error", openai.InternalServerError, "overloaded_error", anthropic.InternalServerError),
]


@pytest.mark.parametrize(("status", "kind", "raises", "_their_kind", "_their_raises"), STATUSES)
def test_the_openai_package_raises_its_own_exception(
    status: int, kind: str, raises: type[Exception], _their_kind: str, _their_raises: type[Exception]
) -> None:
    error = AppError("provider_error", "No.", status=status)
    client = openai_client(replying(status, OPENAI.error_body(error, "req_1")))
    with pytest.raises(raises) as caught:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
    assert isinstance(caught.value, openai.APIStatusError)
    assert (caught.value.status_code, caught.value.type, caught.value.code) == (status, kind, "provider_error")


@pytest.mark.parametrize(("status", "_kind", "_raises", "kind", "raises"), STATUSES)
def test_the_anthropic_package_raises_its_own_exception(
    status: int, _kind: str, _raises: type[Exception], kind: str, raises: type[Exception]
) -> None:
    error = AppError("provider_error", "No.", status=status)
    client = anthropic_client(replying(status, ANTHROPIC.error_body(error, "req_1")))
    with pytest.raises(raises) as caught:
        client.messages.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}])
    assert isinstance(caught.value, anthropic.APIStatusError)
    assert (caught.value.status_code, caught.value.type) == (status, kind)


CHUNK = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",'
    b'"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
)
START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"model":"m","id":"m","type":"message","role":"assistant","content":[],'
    b'"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}}\n\n'
)


def test_an_error_inside_an_openai_stream_is_raised_after_what_came_before() -> None:
    error = AppError("provider_broken", "The provider broke off.")
    client = openai_client(streaming(CHUNK, OPENAI.ping(), OPENAI.error_event(error, "req_1")))
    seen = []
    with pytest.raises(openai.APIError, match="broke off"):
        stream = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}], stream=True)
        seen.extend(chunk.choices[0].delta.content for chunk in stream)
    assert seen == ["Hi"]
    assert OPENAI.error_event(error, "req_1").endswith(b"\n\ndata: [DONE]\n\n")


def test_an_error_inside_an_anthropic_stream_is_raised_after_what_came_before() -> None:
    error = AppError("provider_broken", "The provider broke off.")
    client = anthropic_client(streaming(START, ANTHROPIC.ping(), ANTHROPIC.error_event(error, "req_1")))
    seen = []
    with pytest.raises(anthropic.APIStatusError) as caught:
        stream = client.messages.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}], stream=True)
        seen.extend(event.type for event in stream)
    assert seen == ["message_start"]
    assert caught.value.type == "api_error"


@BOTH
def test_a_message_cannot_break_out_of_its_event(dialect: Dialect) -> None:
    error = AppError("internal", 'a\n\ndata: [DONE]\n\nevent: x\r\r"}', param="\n")
    event = dialect.error_event(error, "req_1")
    assert event.count(b"\n\n") == (2 if dialect is OPENAI else 1)
    assert b"\r" not in event


# -- lists of models

ENTRIES = [ModelEntry(id="work/gpt-4.1", owner="work", created_s=1_760_000_000), ModelEntry(id="home/qwen3:8b")]


def test_the_openai_package_lists_and_retrieves_models() -> None:
    listed = list(openai_client(replying(200, OPENAI.models(ENTRIES))).models.list())
    assert [(model.id, model.object, model.created, model.owned_by) for model in listed] == [
        ("work/gpt-4.1", "model", 1_760_000_000, "work"),
        ("home/qwen3:8b", "model", 0, "gatehouse"),
    ]
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.raw_path.decode())
        return httpx2.Response(200, content=OPENAI.model(ENTRIES[0]))

    assert openai_client(answer).models.retrieve("work/gpt-4.1").id == "work/gpt-4.1"
    spot = place(asked[0], anthropic=False)
    assert spot is not None
    assert (spot.endpoint, spot.model) == ("models", "work/gpt-4.1")


def test_the_anthropic_package_lists_and_retrieves_models() -> None:
    listed = list(anthropic_client(replying(200, ANTHROPIC.models(ENTRIES))).models.list())
    assert [(model.id, model.display_name, model.created_at.year) for model in listed] == [
        ("work/gpt-4.1", "work/gpt-4.1", 2025),
        ("home/qwen3:8b", "home/qwen3:8b", 1970),
    ]
    body = ANTHROPIC.models(ENTRIES)
    for item in json.loads(body)["data"]:
        ModelInfo.model_validate(item)
    assert anthropic_client(replying(200, ANTHROPIC.model(ENTRIES[1]))).models.retrieve("home/qwen3:8b").type == "model"


@BOTH
def test_an_empty_list_is_a_list(dialect: Dialect) -> None:
    assert json.loads(dialect.models([]))["models" if dialect.name == "gemini" else "data"] == []
    assert dialect.read_models(dialect.models([])) == ()


@BOTH
def test_what_we_list_we_can_read(dialect: Dialect) -> None:
    assert dialect.read_models(dialect.models(ENTRIES)) == ("work/gpt-4.1", "home/qwen3:8b")


@BOTH
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"object":"list","data":null}', ()),
        (b'[{"id":"a"},{"id":"b"}]', ("a", "b")),
        (b'{"data":[{"id":"a"},{"id":"a"},{"id":""},{"id":1},{},null,"x",{"id":"a\\nb"},{"id":"b"}]}', ("a", "b")),
        (b'{"data":[{"id":"%b"}]}' % (b"x" * 300), ()),
    ],
)
def test_a_providers_list_is_read_with_care(dialect: Dialect, body: bytes, expected: tuple[str, ...]) -> None:
    assert dialect.read_models(body) == expected


@BOTH
@pytest.mark.parametrize("body", [b"", b"<html>Sign in</html>", b'"x"', b"7", b'{"data":{}}', b'{"data":"x"}', b"[" * 20_000])
def test_a_sign_in_page_is_no_list_of_models(dialect: Dialect, body: bytes) -> None:
    with pytest.raises(AppError) as caught:
        dialect.read_models(body)
    assert (caught.value.code, caught.value.status) == ("provider_not_json", 502)


# -- paths


@pytest.mark.parametrize(
    ("path", "anthropic_version", "expected"),
    [
        ("/v1/chat/completions", False, ("openai", "chat/completions", "")),
        ("/chat/completions", False, ("openai", "chat/completions", "")),
        ("/v1/completions", True, ("openai", "completions", "")),
        ("/embeddings", False, ("openai", "embeddings", "")),
        ("/v1/models", False, ("openai", "models", "")),
        ("/v1/models", True, ("anthropic", "models", "")),
        ("/models/a%2Fb", False, ("openai", "models", "a/b")),
        ("/v1/models/a/b", True, ("anthropic", "models", "a/b")),
        ("/v1/messages", False, ("anthropic", "messages", "")),
        ("/v1/messages/count_tokens", True, ("anthropic", "messages/count_tokens", "")),
        ("/api/event_logging/batch", False, ("anthropic", "event_logging", "")),
        ("/v1/responses", False, ("responses", "responses", "")),
        ("/responses/input_tokens", False, ("responses", "responses/input_tokens", "")),
        ("/v1/responses/resp_1", False, ("responses", "responses/item", "")),
        ("/v1/responses/resp_1/cancel", False, ("responses", "responses/cancel", "")),
        ("/v1/responses/resp_1/input_items", False, ("responses", "responses/input_items", "")),
        ("/v1/responses/", False, None),
        ("/v1/responses/a/b", False, None),
        ("/v1/responses//cancel", False, None),
        ("/v1/responsesx", False, None),
        ("/v1beta/models", False, ("gemini", "models", "")),
        ("/v1beta/models/gemini-3-pro", False, ("gemini", "models", "gemini-3-pro")),
        ("/v1beta/models/a%2Fb:generateContent", False, ("gemini", "generateContent", "a/b")),
        ("/v1beta/models/work/gemini:countTokens", False, ("gemini", "countTokens", "work/gemini")),
        ("/v1beta/models/home/qwen3:8b:streamGenerateContent", False, ("gemini", "streamGenerateContent", "home/qwen3:8b")),
        ("/v1beta/models/home/qwen3:8b", False, ("gemini", "models", "home/qwen3:8b")),
        ("/v1beta/tunedModels/mine:generateContent", False, ("gemini", "generateContent", "tunedModels/mine")),
        ("/v1beta/models/:generateContent", False, None),
        ("/v1beta/models/m:batchEmbedContents", False, ("gemini", "models", "m:batchEmbedContents")),
        ("/v1beta/files", False, None),
        ("/openai/deployments/my%20gpt/chat/completions", False, ("openai", "chat/completions", "my gpt")),
        ("/openai/deployments/d/embeddings", False, ("openai", "embeddings", "d")),
        ("/openai/deployments/d/completions", False, ("openai", "completions", "d")),
        ("/openai/deployments/d/models", False, None),
        ("/openai/deployments//chat/completions", False, None),
        ("/openai/v1/chat/completions", False, ("openai", "chat/completions", "")),
        ("/openai/v1/responses", False, ("responses", "responses", "")),
        ("/messages", True, None),
        ("/v1/models/", False, None),
        ("/v1/v1/chat/completions", False, None),
        ("/v1/chat/completions/", False, None),
        ("/v1//chat/completions", False, None),
        ("/V1/chat/completions", False, None),
        ("/v1/chat/completions/../../health", False, None),
        ("/v1/%63hat/completions", False, None),
        ("/", False, None),
        ("", False, None),
    ],
)
def test_the_raw_path_decides(path: str, anthropic_version: bool, expected: tuple[str, str, str] | None) -> None:
    spot = place(path, anthropic=anthropic_version)
    assert (None if spot is None else (spot.dialect.name, spot.endpoint, spot.model)) == expected


@pytest.mark.parametrize(
    ("query", "array"), [("", True), ("alt=sse", False), ("a=b&alt=sse", False), ("alt=json", True), ("alt=ssex", True), ("%%%", True)]
)
def test_a_gemini_stream_is_one_array_unless_events_are_asked_for(query: str, array: bool) -> None:
    spot = place("/v1beta/models/m:streamGenerateContent", anthropic=False, query=query)
    assert spot is not None
    assert (spot.stream, spot.array) == (True, array)
    whole = place("/v1beta/models/m:generateContent", anthropic=False, query=query)
    assert whole is not None
    assert (whole.stream, whole.array) == (False, False)


@pytest.mark.parametrize(
    ("path", "methods", "item"),
    [
        ("/v1/responses", ("POST",), ""),
        ("/v1/responses/resp_1", ("GET", "DELETE"), "resp_1"),
        ("/v1/responses/resp_1/input_items", ("GET",), "resp_1"),
        ("/v1/responses/resp_1/cancel", ("POST",), "resp_1"),
        ("/v1beta/models", ("GET",), ""),
    ],
)
def test_a_place_says_which_methods_it_answers_and_which_item_is_meant(path: str, methods: tuple[str, ...], item: str) -> None:
    spot = place(path, anthropic=False)
    assert spot is not None
    assert (spot.methods, spot.item) == (methods, item)


@pytest.mark.parametrize(
    ("path", "anthropic_version", "name"),
    [
        ("/v1/messages/batches", False, "anthropic"),
        ("/v1/nothing", True, "openai"),
        ("/v1/models/x", True, "anthropic"),
        ("/v1beta/nothing", False, "gemini"),
        ("/v1/responses/a/b", False, "responses"),
        ("/x", False, "openai"),
    ],
)
def test_a_refusal_is_said_in_the_dialect_of_the_path(path: str, anthropic_version: bool, name: str) -> None:
    assert speaker(path, anthropic=anthropic_version).name == name


# -- one contract for all dialects


@BOTH
def test_headers_are_lower_case_and_hold_no_credential_and_no_address(dialect: Dialect) -> None:
    for names in (dialect.request_headers, dialect.response_headers):
        assert all(name == name.lower() for name in names)
    forbidden = {"authorization", "x-api-key", "api-key", "cookie", "host", "user-agent", "content-length", "forwarded", "x-forwarded-for"}
    assert not dialect.request_headers & forbidden
    assert not dialect.response_headers & {"set-cookie", "location", "alt-svc", "server", "content-length", "transfer-encoding"}


@BOTH
@pytest.mark.parametrize("body", [b"<html>", b"", b"null", b"[]", b'"x"', b"7", b'{"usage":', b"{" * 5000])
def test_a_reply_that_is_no_json_object_is_a_captive_portal(dialect: Dialect, body: bytes) -> None:
    endpoint = "messages" if dialect is ANTHROPIC else "chat/completions"
    with pytest.raises(AppError) as caught:
        dialect.hear_reply(endpoint, body)
    assert caught.value.code == "provider_not_json"


ABSURD: list[Any] = [None, 7, "x", [], {}, {"input_tokens": -1}, {"prompt_tokens": "7"}, {"prompt_tokens": 1e300}, {"input_tokens": True}]


@BOTH
@pytest.mark.parametrize("usage", ABSURD, ids=str)
def test_absurd_usage_counts_as_none(dialect: Dialect, usage: object) -> None:
    endpoint = "messages" if dialect is ANTHROPIC else "chat/completions"
    assert dialect.hear_reply(endpoint, json.dumps({"usage": usage}).encode()).usage is None


@BOTH
def test_odd_details_do_not_spoil_the_counts_beside_them(dialect: Dialect) -> None:
    usage = {
        "prompt_tokens": 5.0, "completion_tokens": 2, "prompt_tokens_details": 7, "completion_tokens_details": ["x"],
        "input_tokens": 5, "output_tokens": 2, "cache_creation": "x", "server_tool_use": [], "cache_read_input_tokens": None,
        "service_tier": 1, "speed": {}, "promptTokenCount": 5, "candidatesTokenCount": 2.0, "promptTokensDetails": 7,
    }  # fmt: skip
    endpoint = "messages" if dialect is ANTHROPIC else "chat/completions"
    heard = dialect.hear_reply(endpoint, json.dumps({"usage": usage, "usageMetadata": usage, "service_tier": []}).encode()).usage
    assert heard is not None
    assert (heard.input, heard.output, heard.cached) == (5, 2, None)


def test_googles_package_asks_under_v1_where_openais_models_are_too() -> None:
    found = place("/v1/models/work/gpt-5:streamGenerateContent", anthropic=False, query="alt=sse")
    assert found is not None
    assert (found.dialect.name, found.endpoint, found.model, found.stream) == ("gemini", "streamGenerateContent", "work/gpt-5", True)
    for path, google, dialect in (
        ("/v1/models", True, "gemini"),
        ("/v1/models", False, "openai"),
        ("/v1/models/ft:gpt:me", False, "openai"),
    ):
        listed = place(path, anthropic=False, google=google)
        assert listed is not None
        assert (listed.dialect.name, listed.endpoint) == (dialect, "models")
