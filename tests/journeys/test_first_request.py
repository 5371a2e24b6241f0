"""From a provider key to a row in the ledger, with the official SDKs as clients and real processes in between."""

from __future__ import annotations

import itertools
import json
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import anthropic
import httpx2
import openai
import pytest

from tests.gateway import Gateway, gateway, wait_for
from tests.upstream import Upstream, upstream

_numbers = itertools.count()


@pytest.fixture(scope="module")
def provider() -> Iterator[Upstream]:
    with upstream() as one:
        yield one


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, provider: Upstream) -> Iterator[Gateway]:
    key = provider.key
    with gateway(tmp_path_factory.mktemp("gateway") / "data") as one:
        one.cli("provider", "add", "work", "--kind", "openai", "--base-url", f"{provider.url}/v1", "--local", "--key-stdin", stdin=key)
        one.cli("provider", "add", "claude", "--kind", "anthropic", "--base-url", provider.url, "--local", "--key-stdin", stdin=key)
        yield one


@pytest.fixture
def running(shared: Gateway, provider: Upstream) -> Gateway:
    """One gateway for all of this file; a provider that behaves again."""
    provider.behave()
    return shared


@pytest.fixture
def up(provider: Upstream) -> Upstream:
    return provider


def fresh() -> str:
    return f"client-{next(_numbers)}"


def rows(one: Gateway, count: int, client: str) -> list[dict[str, object]]:
    """The newest `count` rows of a client, newest first, once they are all there."""

    def read() -> list[dict[str, object]]:
        own = [row for row in one.cli_json("activity", "--limit", "200") if row["client"] == client]
        return own[:count] if len(own) >= count else []

    return wait_for(read, f"{count} rows of {client}")


def test_an_openai_request_becomes_a_priced_row_and_a_host(running: Gateway, up: Upstream) -> None:
    key = running.cli("client", "add", "scripts").stdout.split()[-1]
    assert key.startswith("sk-gh-")
    sdk = openai.OpenAI(base_url=f"{running.url}/v1", api_key=key, max_retries=0)

    raw = sdk.chat.completions.with_raw_response.create(model="work/gpt-4o-mini", messages=[{"role": "user", "content": "Hello"}])
    reply = raw.parse()
    assert reply.choices[0].message.content
    assert reply.usage is not None
    assert raw.headers["x-gatehouse-call-id"] == raw.headers["x-litellm-call-id"]

    row = rows(running, 1, "scripts")[0]
    assert row["id"] == raw.headers["x-gatehouse-call-id"]
    assert (row["client"], row["asked"], row["account"], row["model"]) == ("scripts", "work/gpt-4o-mini", "work", "gpt-4o-mini")
    assert (row["status"], row["outcome"]) == (200, "completed")
    assert row["tokens"]["input"] == reply.usage.prompt_tokens  # type: ignore[index]
    assert row["tokens"]["output"] == reply.usage.completion_tokens  # type: ignore[index]
    assert isinstance(row["cost_microusd"], int) and row["price"]

    status = running.cli_json("status")
    assert "127.0.0.1" in json.dumps(status)

    sent = next(request for request in reversed(up.requests) if request.method == "POST")
    names = {name.decode().lower() for name, _ in sent.headers}
    assert not {name for name in names if name.startswith("x-stainless")}, "what the SDK says about this machine stays here"
    assert dict(sent.headers)[b"user-agent"] == b"Gatehouse"
    assert key.encode() not in b"".join(value for _, value in sent.headers) + sent.body
    assert json.loads(sent.body)["model"] == "gpt-4o-mini"


def test_a_stream_is_relayed_and_counted_and_the_usage_chunk_is_ours_alone(running: Gateway) -> None:
    sdk = openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.client("streamer"), max_retries=0)
    chunks = list(sdk.chat.completions.create(model="work/gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}], stream=True))
    assert all(chunk.choices for chunk in chunks), "the chunk that holds only usage was added by us and is taken out again"
    row = rows(running, 1, "streamer")[0]
    assert row["stream"] is True
    assert row["tokens"]["output"] > 0 and row["tokens"]["estimated"] is False  # type: ignore[index]
    assert row["first_byte_us"] is not None

    asked = {"include_usage": True}
    chunks = list(
        sdk.chat.completions.create(
            model="work/gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}], stream=True, stream_options=asked
        )  # type: ignore[call-overload]
    )
    assert chunks[-1].usage is not None


def test_the_anthropic_sdk_works_streaming_and_not_and_counts_tokens(running: Gateway) -> None:
    sdk = anthropic.Anthropic(base_url=running.url, api_key=running.client("claude-sdk"), max_retries=0)
    message = sdk.messages.create(model="claude/claude-sonnet-4-5", max_tokens=64, messages=[{"role": "user", "content": "Hello"}])
    assert message.content
    row = rows(running, 1, "claude-sdk")[0]
    assert row["tokens"]["output"] == message.usage.output_tokens  # type: ignore[index]
    with sdk.messages.stream(model="claude/claude-sonnet-4-5", max_tokens=64, messages=[{"role": "user", "content": "Hello"}]) as stream:
        text = "".join(stream.text_stream)
    assert text
    counted = sdk.messages.count_tokens(model="claude/claude-sonnet-4-5", messages=[{"role": "user", "content": "Hello"}])
    assert counted.input_tokens > 0
    assert {row["endpoint"] for row in rows(running, 3, "claude-sdk")} == {"messages", "messages/count_tokens"}


def test_embeddings_and_legacy_completions_pass(running: Gateway) -> None:
    sdk = openai.OpenAI(base_url=running.url, api_key=running.client(fresh()), max_retries=0)
    assert sdk.embeddings.create(model="work/text-embedding-3-small", input="Hello").data[0].embedding
    assert sdk.completions.create(model="work/gpt-3.5-turbo-instruct", prompt="Hello").choices[0].text


def test_echo_answers_without_any_key_in_both_dialects(tmp_path: Path) -> None:
    with gateway(tmp_path / "data") as one:
        key = one.client()
        sdk = openai.OpenAI(base_url=f"{one.url}/v1", api_key=key, max_retries=0)
        reply = sdk.chat.completions.create(model="gatehouse/echo", messages=[{"role": "user", "content": "say it back"}])
        assert reply.choices[0].message.content == "say it back"
        pieces = sdk.chat.completions.create(model="echo", messages=[{"role": "user", "content": "word by word"}], stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in pieces if chunk.choices) == "word by word"
        claude = anthropic.Anthropic(base_url=one.url, api_key=key, max_retries=0)
        with claude.messages.stream(model="gatehouse/echo", max_tokens=9, messages=[{"role": "user", "content": "and so here"}]) as stream:
            assert "".join(stream.text_stream) == "and so here"
        assert all(row["price"] == "local" and row["cost_microusd"] == 0 for row in rows(one, 3, "tests"))


@pytest.mark.parametrize(
    ("make", "kind", "code"),
    [
        (lambda key: "sk-gh-" + "A" * 43, openai.AuthenticationError, "key_unknown"),
        (lambda key: "sk-proj-not-ours", openai.AuthenticationError, "key_malformed"),
    ],
)
def test_a_wrong_key_raises_the_sdks_own_error_and_is_audited(running: Gateway, make: object, kind: type[Exception], code: str) -> None:
    sdk = openai.OpenAI(base_url=f"{running.url}/v1", api_key=make(""), max_retries=0)  # type: ignore[operator]
    with pytest.raises(kind) as caught:
        sdk.chat.completions.create(model="work/gpt-4o-mini", messages=[{"role": "user", "content": "x"}])
    assert caught.value.body["type"] == "auth_error"  # type: ignore[attr-defined]

    def refusals() -> list[dict[str, object]]:
        entries = running.cli_json("audit", "list", "--limit", "500")
        return [entry for entry in entries if entry["kind"] == "key.refused" and code in str(entry["body"])]

    assert wait_for(refusals, "the audit entry of the refusal")


def test_a_blocked_client_is_refused_and_works_again_when_unblocked(running: Gateway) -> None:
    key = running.client("editor")
    claude = anthropic.Anthropic(base_url=running.url, api_key=key, max_retries=0)
    running.cli("client", "block", "editor")
    with pytest.raises(anthropic.AuthenticationError):
        claude.messages.create(model="claude/claude-sonnet-4-5", max_tokens=9, messages=[{"role": "user", "content": "x"}])
    assert rows(running, 1, "editor")[0]["client"] == "editor"
    running.cli("client", "unblock", "editor")
    claude.messages.create(model="claude/claude-sonnet-4-5", max_tokens=9, messages=[{"role": "user", "content": "x"}])
    kinds = [entry["kind"] for entry in running.cli_json("audit", "list", "--limit", "500")]
    assert {"client.added", "client.blocked", "client.unblocked", "provider.added", "gateway.started"} <= set(kinds)
    running.cli("audit", "verify")


def test_bad_input_gets_the_dialects_error_and_one_sentence(running: Gateway) -> None:
    key = running.client(fresh())
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    cases = [
        (b"not json", 400, "JSON"),
        (b"{" * 20_000, 400, ""),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400, ""),
        (b'{"messages":[]}', 400, "model"),
        (b'{"model":"work/x","messages":[],"base_url":"http://evil.example"}', 400, "base_url"),
        (b'{"model":"nothing-has-this","messages":[]}', 400, "Invalid model name passed in model=nothing-has-this"),
        (b'{"model":"claude/claude-sonnet-4-5","messages":[]}', 400, ""),
        (b" " * (33 << 20), 413, "32 MB"),
    ]
    with httpx2.Client(trust_env=False, timeout=30) as http:
        for body, status, words in cases:
            reply = http.post(f"{running.url}/v1/chat/completions", content=body, headers=headers)
            assert reply.status_code == status, (body[:40], reply.text)
            assert words in reply.json()["error"]["message"], reply.text
            assert "Traceback" not in reply.text and key not in reply.text
        assert http.get(f"{running.url}/v1/chat/completions?key={key}").status_code == 401
        assert http.get(f"{running.url}/v1/nothing", headers=headers).json()["error"]["message"]


def test_a_provider_that_is_down_slow_redirecting_or_answering_html_is_said(running: Gateway, up: Upstream) -> None:
    sdk = openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.client("sufferer"), max_retries=0)

    def ask(model: str) -> openai.APIStatusError:
        with pytest.raises(openai.APIStatusError) as caught:
            sdk.chat.completions.create(model=model, messages=[{"role": "user", "content": "x"}])
        assert up.key not in str(caught.value)
        return caught.value

    for fault, status in (("html", 502), ("redirect", 502), ("500", 500), ("429", 429), ("reset", 502)):
        up.on(f"model-{fault}", fault)
        assert ask(f"work/model-{fault}").status_code == status, fault
    sent = len(up.requests)
    with socket.create_server(("127.0.0.1", 0)) as unused:
        dead = unused.getsockname()[1]
    running.cli(
        "provider", "add", "down", "--kind", "openai-compatible", "--base-url", f"http://127.0.0.1:{dead}/v1", "--local", "--no-key"
    )
    assert ask("down/any").status_code == 502
    assert len(up.requests) == sent
    assert {row["outcome"] for row in rows(running, 6, "sufferer")} == {"failed"}


def test_a_client_that_leaves_stops_the_provider_and_is_recorded(running: Gateway, up: Upstream) -> None:
    key = running.client("leaver")
    up.on("slow", "stall")
    body = json.dumps({"model": "work/slow", "stream": True, "messages": [{"role": "user", "content": "x"}]})
    with httpx2.Client(trust_env=False) as http, http.stream(
        "POST", f"{running.url}/v1/chat/completions", content=body,
        headers={"authorization": f"Bearer {key}", "content-type": "application/json"},
    ) as reply:  # fmt: skip
        assert reply.status_code == 200
        next(reply.iter_bytes())
    left = time.monotonic()
    gone = wait_for(lambda: up.requests[-1].gone_at, "the provider to be cancelled")
    assert gone - left < 1.0
    row = wait_for(lambda: (got := rows(running, 1, "leaver")[0])["outcome"] == "cancelled" and got, "the row")
    assert row["status"] == 499
    assert row["tokens"]["estimated"] is True


def test_usage_sums_to_the_rows(running: Gateway) -> None:
    sdk = openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.client("summer"), max_retries=0)
    for _ in range(3):
        sdk.chat.completions.create(model="work/gpt-4o-mini", messages=[{"role": "user", "content": "Hello"}])
    got = rows(running, 3, "summer")
    usage = [group for group in running.cli_json("usage", "--by", "client,model") if group["key"][0] == "summer"]
    assert sum(group["requests"] for group in usage) == 3
    assert sum(group["cost_microusd"] for group in usage) == sum(row["cost_microusd"] for row in got)  # type: ignore[misc]


def test_no_key_is_in_any_file_or_argument(running: Gateway, up: Upstream, shared: Gateway) -> None:
    key = running.client("leaky")
    sdk = openai.OpenAI(base_url=f"{running.url}/v1", api_key=key, max_retries=0)
    up.on("leaky", "echo-key")
    with pytest.raises(openai.APIStatusError):
        sdk.chat.completions.create(model="work/leaky", messages=[{"role": "user", "content": "x"}])
    rows(running, 1, "leaky")
    for pid in running.pids().values():
        data = Path(f"/proc/{pid}/cmdline").read_bytes()
        assert up.key.encode() not in data and key.encode() not in data and b"correct horse" not in data
    files = [path for path in shared.folder.rglob("*") if path.is_file()]
    assert len(files) > 3
    for path in files:
        data = path.read_bytes()
        assert up.key.encode() not in data and key.encode() not in data, path
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")
@pytest.mark.needs("an ordinary user")
def test_no_environment_can_be_read_by_another_program_of_the_person(running: Gateway) -> None:
    for pid in running.pids().values():
        with pytest.raises(PermissionError):
            Path(f"/proc/{pid}/environ").read_bytes()


@pytest.mark.needs("hidden processes")
def test_no_key_is_in_any_environment(running: Gateway, up: Upstream) -> None:
    key = running.client("environments")
    for pid in running.pids().values():
        data = Path(f"/proc/{pid}/environ").read_bytes()
        assert up.key.encode() not in data and key.encode() not in data and b"correct horse" not in data


def test_models_are_listed_in_both_shapes_and_a_bare_name_finds_its_account(running: Gateway) -> None:
    key = running.client(fresh())
    wait_for(
        lambda: all(p["account"]["test_ok"] for p in running.cli_json("provider", "list") if p["account"]["name"] != "down"), "both tests"
    )
    sdk = openai.OpenAI(base_url=f"{running.url}/v1", api_key=key, max_retries=0)
    names = [model.id for model in sdk.models.list()]
    assert "gatehouse/echo" in names
    offered = next(name for name in names if name.startswith("work/"))
    assert sdk.models.retrieve(offered).id == offered
    with pytest.raises(openai.NotFoundError):
        sdk.models.retrieve("work/no-such-model")
    shaped = anthropic.Anthropic(base_url=running.url, api_key=key, max_retries=0).models.list()
    assert {model.id for model in shaped} == set(names)
    bare = offered.partition("/")[2]
    if f"claude/{bare}" in names:
        with pytest.raises(openai.BadRequestError, match=f"claude/{bare}, work/{bare}"):
            sdk.chat.completions.create(model=bare, messages=[{"role": "user", "content": "Hello"}])
        running.cli("provider", "remove", "claude")
    assert sdk.chat.completions.create(model=bare, messages=[{"role": "user", "content": "Hello"}]).choices[0].message.content
