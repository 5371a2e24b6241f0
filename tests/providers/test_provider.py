"""Requests built from rows: nothing rides along, keys go where they belong, and every row keeps one contract."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.control.contract import Kind
from app.core.errors import AppError
from app.core.records import Account, Destination
from app.core.secret import Secret
from app.providers import provider
from app.providers.catalogue import BUILT_IN, KINDS, kind
from app.providers.provider import Provider, base_url, check, reply_headers, request, speech
from app.wire.dialects import DIALECTS

KEY = Secret("sk-test-0123456789")
OPENAI, ANTHROPIC = DIALECTS["openai"], DIALECTS["anthropic"]
ROWS = pytest.mark.parametrize("row", KINDS.values(), ids=list(KINDS))


def account(row: Provider, url: str = "") -> Account:
    url = url or row.base_url or "https://models.example/v1"
    return Account(name="acc", kind=row.id, base_url=base_url(row, url), local=row.local, keyed=True)


# -- one contract for all rows


def test_there_are_the_kinds_people_expect() -> None:
    expected = {
        "openai", "anthropic", "openrouter", "deepseek", "groq", "xai", "mistral", "together", "fireworks", "perplexity", "cerebras",
        "moonshot", "dashscope", "zai", "deepinfra", "nvidia", "huggingface", "github-models", "ollama", "lmstudio", "llamacpp", "vllm",
        "openai-compatible", "anthropic-compatible", "gemini", "azure",
    }  # fmt: skip
    assert expected <= set(KINDS)
    assert len(KINDS) >= 40
    assert BUILT_IN not in KINDS


@ROWS
def test_a_row_is_complete(row: Provider) -> None:
    assert row.label
    assert row.speaks
    assert len({said.dialect for said in row.speaks}) == len(row.speaks)
    for link in (row.docs_url, row.key_url):
        assert not link or urlsplit(link).scheme == "https"
    assert row.docs_url or not row.base_url
    assert row.key_url or not row.needs_key
    assert row.models_path or row.key_path
    assert all(name == name.lower() and reason for name, reason in (*row.passes.items(), *row.returns.items()))
    assert row.local == (row.base_url.startswith("http://"))


@ROWS
def test_a_rows_dialects_are_all_at_the_one_declared_destination(row: Provider) -> None:
    places = {str(Destination.of(said.base_url, local=row.local)) for said in row.speaks if said.base_url}
    assert len(places) == (1 if row.base_url else 0)


@ROWS
def test_a_rows_own_address_is_regular(row: Provider) -> None:
    for said in row.speaks:
        assert not said.base_url.endswith("/")
        if row.base_url:
            assert base_url(row, row.base_url) == row.base_url
            assert base_url(row, "") == row.base_url
        if said.dialect == "anthropic" and said.base_url:
            assert said.base_url.endswith("/v1")


@ROWS
def test_a_row_is_described_as_the_control_api_says(row: Provider) -> None:
    described = msgspec.convert(row.described(), Kind, strict=True)
    assert (described.id, described.needs_key, described.local) == (row.id, row.needs_key, row.local)
    msgspec.json.encode(row.described())


@ROWS
def test_a_row_is_asked_in_each_of_its_dialects(row: Provider) -> None:
    endpoints = {"openai": "chat/completions", "responses": "responses", "anthropic": "messages", "gemini": "models/m:generateContent"}
    for said in row.speaks:
        endpoint = min(said.only) if said.only else endpoints[said.dialect]
        out = request(row, account(row), DIALECTS[said.dialect], endpoint, [], KEY, model="m")
        assert out.target.startswith("/")
        assert out.target.partition("?")[0].endswith("/" + endpoint)
        assert KEY.reveal() not in out.target
        assert "//" not in out.target
        headers = dict(out.headers)
        assert len(headers) == len(out.headers)
        assert sum(KEY.reveal() in value for value in headers.values()) == 1
        assert headers["user-agent"] == "Gatehouse"
        assert headers["content-type"] == "application/json"
        assert not {"host", "content-length", "connection", "accept-encoding"} & set(headers)


@ROWS
def test_a_rows_check_is_a_request_to_its_own_address(row: Provider) -> None:
    asked = check(row, account(row), KEY)
    seen = []
    while True:
        seen.append(asked)
        assert asked.target.startswith("/")
        assert any(KEY.reveal() in value for _, value in asked.headers)
        assert ("anthropic-version" in dict(asked.headers)) == (asked.dialect == "anthropic")
        if asked.then is None:
            break
        asked = asked.then
    assert sum(step.lists for step in seen) == (1 if row.models_path else 0)


# -- headers

# What programs really send, as seen on the wire: a coding agent, another, and the packages.
CLIENT = [
    ("Host", "127.0.0.1:4141"), ("Content-Length", "1234"), ("Connection", "keep-alive"), ("Accept-Encoding", "gzip, br"),
    ("Authorization", "Bearer sk-gh-secret"), ("x-api-key", "sk-gh-secret"), ("api-key", "sk-gh-secret"),
    ("Content-Type", "application/json; charset=utf-8"),
    ("User-Agent", "claude-cli/2.0.1 (external, cli)"), ("X-Claude-Code-Session-Id", "1f0c"), ("X-Stainless-OS", "Linux"),
    ("X-Stainless-Arch", "x64"), ("X-Stainless-Runtime-Version", "v22.1"), ("originator", "codex_cli_rs"), ("session-id", "1"),
    ("x-codex-turn-metadata", "{}"), ("Cookie", "a=b"), ("Referer", "http://x"), ("Accept-Language", "de-CH"),
    ("X-Forwarded-For", "10.0.0.1"),
    ("HTTP-Referer", "https://app"), ("X-Title", "app"), ("X-HF-Bill-To", "org"), ("OpenAI-Organization", "org-1"),
    ("Accept", "application/json"), ("anthropic-version", "2023-06-01"), ("Anthropic-Beta", "a,b"), ("OpenAI-Beta", "x"),
    ("Idempotency-Key", "1"),
]  # fmt: skip


def test_only_functional_headers_leave_for_anthropic() -> None:
    out = request(kind("anthropic"), account(kind("anthropic")), ANTHROPIC, "messages", CLIENT, KEY)
    assert out.target == "/v1/messages"
    assert out.headers == (
        ("x-api-key", "sk-test-0123456789"), ("content-type", "application/json"), ("user-agent", "Gatehouse"),
        ("accept", "application/json"), ("anthropic-version", "2023-06-01"), ("anthropic-beta", "a,b"), ("idempotency-key", "1"),
    )  # fmt: skip
    assert out.removed == 17


def test_only_functional_headers_leave_for_openai_and_a_row_may_let_more_pass() -> None:
    out = request(kind("openai"), account(kind("openai")), OPENAI, "chat/completions", CLIENT, KEY)
    assert [name for name, _ in out.headers] == [
        "authorization", "content-type", "user-agent", "openai-organization", "accept", "openai-beta", "idempotency-key",
    ]  # fmt: skip
    assert dict(out.headers)["authorization"] == "Bearer sk-test-0123456789"
    other = request(kind("groq"), account(kind("groq")), OPENAI, "chat/completions", CLIENT, KEY)
    assert "openai-organization" not in dict(other.headers)
    assert other.removed == out.removed + 1
    assert "x-hf-bill-to" in dict(request(kind("huggingface"), account(kind("huggingface")), OPENAI, "embeddings", CLIENT, KEY).headers)


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "a\x00", "\x7f", "a\x1b[31m", "a\u2028b"])
def test_a_value_that_could_break_a_header_does_not_leave(value: str) -> None:
    out = request(kind("openai"), account(kind("openai")), OPENAI, "chat/completions", [("accept", value)], KEY)
    assert "accept" not in dict(out.headers)
    assert out.removed == 1


def test_the_clients_own_key_never_leaves() -> None:
    for row in KINDS.values():
        for dialect in DIALECTS.values():
            if speech(row, account(row), dialect.name) is not None:
                out = request(row, account(row), dialect, "x", CLIENT, KEY)
                assert "sk-gh-secret" not in repr(out)


def test_a_provider_that_needs_a_key_is_not_asked_without_one() -> None:
    for secret in (None, Secret("")):
        with pytest.raises(AppError) as caught:
            request(kind("openai"), account(kind("openai")), OPENAI, "chat/completions", [], secret)
        assert (caught.value.code, caught.value.status) == ("provider_key_missing", 503)
        with pytest.raises(AppError):
            check(kind("anthropic"), account(kind("anthropic")), secret)


def test_a_local_server_is_asked_without_a_key_or_with_the_one_its_owner_set() -> None:
    row = kind("ollama")
    assert "authorization" not in dict(request(row, account(row), OPENAI, "chat/completions", [], None).headers)
    assert dict(request(row, account(row), OPENAI, "chat/completions", [], KEY).headers)["authorization"] == "Bearer sk-test-0123456789"


@pytest.mark.parametrize("text", ["sk-a\r\nx: y", "sk a", "sk-ü", "\x00", "sk-\u200b"])
def test_a_key_that_could_break_a_header_is_not_sent_nor_shown(text: str) -> None:
    with pytest.raises(AppError) as caught:
        request(kind("openai"), account(kind("openai")), OPENAI, "chat/completions", [], Secret(text))
    assert text not in str(caught.value)


def test_what_comes_back_is_what_clients_act_on() -> None:
    pairs = [
        ("Content-Type", "application/json"), ("Set-Cookie", "a=b"), ("Location", "https://x"), ("Alt-Svc", "h3"), ("Server", "cloudflare"),
        ("CF-RAY", "1"), ("Date", "now"), ("Content-Encoding", "gzip"), ("Access-Control-Allow-Origin", "*"), ("X-Request-ID", "req_1"),
        ("OpenAI-Processing-Ms", "7"), ("X-RateLimit-Remaining-Tokens", "9"), ("Retry-After", "2"), ("x-request-id-evil", "1"),
        ("retry-after", "a\x00b"),
    ]  # fmt: skip
    assert reply_headers(kind("openai"), OPENAI, pairs) == (
        ("x-request-id", "req_1"), ("openai-processing-ms", "7"), ("x-ratelimit-remaining-tokens", "9"), ("retry-after", "2"),
    )  # fmt: skip
    anthropic = [("request-id", "req_1"), ("anthropic-ratelimit-tokens-reset", "t"), ("anthropic-organization-id", "o"), ("via", "x")]
    assert [name for name, _ in reply_headers(kind("anthropic"), ANTHROPIC, anthropic)] == [name for name, _ in anthropic[:3]]


# -- addresses


@pytest.mark.parametrize(
    ("identifier", "given_url", "expected"),
    [
        ("openai", "", "https://api.openai.com/v1"),
        ("openai", " https://api.openai.com ", "https://api.openai.com/v1"),
        ("openai", "https://eu.api.openai.com", "https://eu.api.openai.com/v1"),
        ("groq", "https://API.groq.com/", "https://api.groq.com/openai/v1"),
        ("groq", "https://api.groq.com:443", "https://api.groq.com/openai/v1"),
        ("perplexity", "https://api.perplexity.ai/", "https://api.perplexity.ai"),
        ("perplexity", "https://api.perplexity.ai/chat/completions", "https://api.perplexity.ai"),
        ("deepseek", "https://api.deepseek.com/v1", "https://api.deepseek.com/v1"),
        ("ollama", "http://192.168.1.20:11434", "http://192.168.1.20:11434/v1"),
        ("ollama", "http://[::1]:11434/v1/", "http://[::1]:11434/v1"),
        ("openai-compatible", "https://host/a/b/", "https://host/a/b"),
        ("openai-compatible", "https://host/v1/chat/completions", "https://host/v1"),
        ("openai-compatible", "https://host/v1/models/", "https://host/v1"),
        ("openai-compatible", "https://host", "https://host/v1"),
        ("anthropic-compatible", "https://host", "https://host/v1"),
        ("anthropic-compatible", "https://host/anthropic", "https://host/anthropic/v1"),
        ("anthropic-compatible", "https://host/anthropic/v1", "https://host/anthropic/v1"),
        ("anthropic-compatible", "https://host/anthropic/v1/messages", "https://host/anthropic/v1"),
        ("anthropic", "https://api.anthropic.com", "https://api.anthropic.com/v1"),
    ],
)
def test_a_base_url_is_taken_as_people_write_it(identifier: str, given_url: str, expected: str) -> None:
    assert base_url(kind(identifier), given_url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "", "   ", "host", "host:80", "ftp://host", "file:///etc/passwd", "https://", "https:///v1", "https://user:pass@host/v1", "https://host/v1?key=1",
        "https://host/v1#x", "https://host:99999/v1", "https://host:x/v1", "https://ho st/v1", "https://host/v1\r\nx: y", "https://host/../v1",
        "https://host/a/./b", "https://hößt/v1", "https://host/ü", "https://host/{id}", "javascript:alert(1)", "https://host/v1\\x", "http://[::1/v1",
        f"https://{'a' * 64}.test/v1",
    ],
)  # fmt: skip
def test_what_is_no_base_url_is_refused_with_a_sentence(url: str) -> None:
    with pytest.raises(AppError) as caught:
        base_url(kind("openai-compatible"), url)
    assert (caught.value.code, caught.value.status) == ("url_invalid", 400)
    assert caught.value.message.endswith(".")


@example("HTTP://chat/completions")
@given(
    st.text(max_size=40)
    | st.text(max_size=30).map(lambda text: "https://host/" + text)
    | st.text(max_size=30).map(lambda text: "http://" + text)
)
def test_any_text_is_an_address_or_refused(text: str) -> None:
    for identifier in ("openai-compatible", "anthropic-compatible", "groq"):
        row = kind(identifier)
        try:
            url = base_url(row, text)
        except AppError as error:
            assert error.code == "url_invalid"
            continue
        assert base_url(row, url) == url
        target = request(row, account(row, url), DIALECTS[row.dialect], "messages", [], KEY).target
        assert target.isascii()
        assert target.isprintable()
        assert " " not in target
        assert "?" not in target


# -- dialects


def test_an_account_speaks_the_second_dialect_of_its_row_at_the_rows_own_address_only() -> None:
    row = kind("deepseek")
    out = request(row, account(row), ANTHROPIC, "messages", [], KEY)
    assert (out.target, out.headers[0]) == ("/anthropic/v1/messages", ("x-api-key", "sk-test-0123456789"))
    elsewhere = account(row, "https://proxy.example/v1")
    assert speech(row, elsewhere, "anthropic") is None
    assert speech(row, elsewhere, "openai") is not None
    with pytest.raises(AppError) as caught:
        request(row, elsewhere, ANTHROPIC, "messages", [], KEY)
    assert (caught.value.code, caught.value.status) == ("dialect_mismatch", 400)


def test_geminis_key_is_a_header_and_never_in_the_address() -> None:
    row = kind("gemini")
    out = request(row, account(row), DIALECTS["gemini"], "models/gemini-3-pro:streamGenerateContent?alt=sse", CLIENT, KEY)
    assert out.target == "/v1beta/models/gemini-3-pro:streamGenerateContent?alt=sse"
    assert out.headers[0] == ("x-goog-api-key", "sk-test-0123456789")
    asked = check(row, account(row), KEY)
    assert (asked.target, asked.lists, asked.proves) == ("/v1beta/models?pageSize=1000", True, True)
    assert KEY.reveal() not in asked.target


def test_geminis_openai_dialect_is_used_for_embeddings_and_everything_else_is_translated() -> None:
    row = kind("gemini")
    assert speech(row, account(row), "openai") is None
    assert speech(row, account(row), "openai", "chat/completions") is None
    out = request(row, account(row), OPENAI, "embeddings", [], KEY)
    assert (out.target, out.headers[0]) == ("/v1beta/openai/embeddings", ("authorization", "Bearer sk-test-0123456789"))


@pytest.mark.parametrize(
    ("url", "endpoint", "expected"),
    [
        ("https://me.openai.azure.com", "chat/completions", "/openai/deployments/my%20gpt/chat/completions?api-version=2024-10-21"),
        ("https://me.openai.azure.com/", "embeddings", "/openai/deployments/my%20gpt/embeddings?api-version=2024-10-21"),
        ("https://me.openai.azure.com/openai/", "completions", "/openai/deployments/my%20gpt/completions?api-version=2024-10-21"),
        ("https://me.openai.azure.com/openai/v1/", "chat/completions", "/openai/v1/chat/completions"),
    ],
)
def test_azures_deployment_is_in_the_path_and_the_apis_version_in_the_query(url: str, endpoint: str, expected: str) -> None:
    row = kind("azure")
    assert request(row, account(row, url), OPENAI, endpoint, [], KEY, model="my gpt").target == expected


def test_azure_takes_its_own_key_or_an_entra_token() -> None:
    row = kind("azure")
    there = account(row, "https://me.openai.azure.com")
    assert request(row, there, OPENAI, "chat/completions", [], KEY, model="m").headers[0] == ("api-key", "sk-test-0123456789")
    token = Secret("eyJ0eXAiOiJKV1QifQ.eyJhdWQiOiJ4In0.c2ln")
    assert request(row, there, OPENAI, "chat/completions", [], token, model="m").headers[0] == (
        "authorization", "Bearer eyJ0eXAiOiJKV1QifQ.eyJhdWQiOiJ4In0.c2ln",
    )  # fmt: skip
    asked = check(row, there, KEY)
    assert (asked.target, asked.lists, asked.proves) == ("/openai/models?api-version=2024-10-21", False, True)


def test_a_local_server_elsewhere_still_speaks_both() -> None:
    row = kind("lmstudio")
    there = account(row, "http://192.168.1.20:1234")
    assert request(row, there, ANTHROPIC, "messages", [], None).target == "/v1/messages"


def test_a_kind_that_is_not_there_is_named() -> None:
    with pytest.raises(AppError, match="nonsense") as caught:
        kind("nonsense")
    assert caught.value.code == "kind_unknown"


def test_openrouters_key_is_proven_before_its_public_list_is_read() -> None:
    asked = check(kind("openrouter"), account(kind("openrouter")), KEY)
    assert (asked.target, asked.proves, asked.lists) == ("/api/v1/key", True, False)
    assert asked.then is not None
    assert (asked.then.target, asked.then.proves, asked.then.lists) == ("/api/v1/models", False, True)


def test_a_list_may_be_elsewhere_on_the_same_host() -> None:
    asked = check(kind("github-models"), account(kind("github-models")), KEY)
    assert (asked.target, asked.lists, asked.proves) == ("/catalog/models", True, False)


def test_the_user_agent_names_the_product_and_nothing_else() -> None:
    assert provider.USER_AGENT == "Gatehouse"


def test_no_secret_shows_in_what_is_built() -> None:
    row = kind("openai")
    assert KEY.reveal() not in json.dumps(row.described())
    assert KEY.reveal() not in repr(account(row))


def test_this_package_touches_neither_network_nor_processes() -> None:
    for file in Path(provider.__file__).parent.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert not [name for name in ("asyncio", "socket", "ssl", "subprocess", "threading") if f"import {name}" in text]
