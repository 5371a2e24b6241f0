"""What client programs put beside a prompt, as a provider gets to see it: captured at the provider, not asked of ourselves."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from app.control.contract import NetworkView
from tests.gateway import Gateway, gateway, wait_for
from tests.upstream import Upstream, upstream
from tests.wire.test_identifiers import AGENT

# As one coding agent sends them with each request.
AGENT_HEADERS = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "interleaved-thinking-2025-05-14",
    "user-agent": "claude-cli/2.0.31 (external, cli)",
    "x-app": "cli",
    "x-claude-code-session-id": "9a0e-4c2d-tellt4le",
    "x-stainless-arch": "x64",
    "x-stainless-lang": "js",
    "x-stainless-os": "Linux-tellt4le",
    "x-stainless-package-version": "0.68.0",
    "x-stainless-retry-count": "0",
    "x-stainless-runtime": "node",
    "x-stainless-runtime-version": "v22.11.0",
    "x-stainless-timeout": "600",
}
# As another does.
CODER_HEADERS = {
    "user-agent": "codex_cli_rs/0.58.0 (Debian 12; x86_64) tellt4le",
    "originator": "codex_cli_rs",
    "session-id": "0199-session-tellt4le",
    "thread-id": "0199-thread-tellt4le",
    "x-codex-turn-metadata": '{"installation":"b1c2-tellt4le"}',
}


@pytest.fixture(scope="module")
def provider() -> Iterator[Upstream]:
    with upstream() as one:
        yield one


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, provider: Upstream) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("rides") / "data"
    with gateway(folder) as one:
        key = provider.key
        one.cli("provider", "add", "claude", "--kind", "anthropic", "--base-url", provider.url, "--local", "--key-stdin", stdin=key)
        one.cli("provider", "add", "work", "--kind", "openai", "--base-url", f"{provider.url}/v1", "--local", "--key-stdin", stdin=key)
        yield one


def seen(provider: Upstream) -> str:
    """The last request as it came: target, headers and body."""
    last = provider.last
    return repr(last.headers) + last.target + last.body.decode("utf-8", "replace")


def test_an_agents_device_and_system_facts_do_not_reach_the_provider(running: Gateway, provider: Upstream) -> None:
    key = running.client("agent")
    plain = AGENT.replace(b'"stream":true', b'"stream":false')
    body = plain.replace(b'"claude-sonnet-4-5"', b'"claude/claude-sonnet-4-5"')
    headers = AGENT_HEADERS | {"x-api-key": key, "content-type": "application/json"}
    reply = httpx2.post(f"{running.url}/v1/messages?beta=true", content=body, headers=headers, timeout=30)
    assert reply.status_code == 200, reply.text

    went = seen(provider)
    for secret in ("tellt4le", "9a0e", "0f3a9c", "claude-cli", "x-stainless", "Linux-tellt4le", "v22.11.0"):
        assert secret.lower() not in went.lower(), secret
    names = {name.decode().lower() for name, _ in provider.last.headers}
    assert {"anthropic-version", "anthropic-beta"} <= names  # what the provider needs is there
    told = json.loads(provider.last.body)
    assert told["metadata"]["user_id"].startswith("gh-")
    assert told["system"][0]["cache_control"] == {"type": "ephemeral"}
    assert told["tools"] == json.loads(AGENT)["tools"]
    # Byte for byte the same, but for the model's name and the one value.
    expected = plain.replace(
        json.dumps(json.loads(AGENT)["metadata"]["user_id"]).encode(), json.dumps(told["metadata"]["user_id"]).encode()
    )
    assert provider.last.body == expected

    row = wait_for(lambda: [each for each in running.cli_json("activity") if each["client"] == "agent"], "the row")[0]
    assert row["removed_headers"] >= 10
    assert "identifier: metadata.user_id" in row["dropped"]


def test_another_agents_installation_does_not_either_and_its_cache_still_works(running: Gateway, provider: Upstream) -> None:
    key = running.client("coder")
    body = (
        b'{"model":"work/gpt-4o-mini","messages":[{"role":"user","content":"hi"}],"prompt_cache_key":"0199-session",'
        b'"client_metadata":{"x-codex-installation-id":"b1c2-d3e4"}}'
    )
    headers = CODER_HEADERS | {"authorization": f"Bearer {key}", "content-type": "application/json"}
    keys = []
    for text in (b"0199-session", b"0199-session", b"0200-session"):
        reply = httpx2.post(f"{running.url}/v1/chat/completions", content=body.replace(b"0199-session", text), headers=headers, timeout=30)
        assert reply.status_code == 200, reply.text
        went = seen(provider)
        for secret in ("tellt4le", "b1c2", "codex_cli", "0199-session", "0200-session", "debian"):
            assert secret not in went.lower(), secret
        keys.append(json.loads(provider.last.body)["prompt_cache_key"])
    assert keys[0] == keys[1] != keys[2]


def test_a_person_chooses_for_each_client(running: Gateway, provider: Upstream) -> None:
    key = running.client("chosen")
    headers = {"authorization": f"Bearer {key}"}
    body = {"model": "work/gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}], "user": "ann"}
    users = []
    for choice in ("pass", "remove", "pseudonym"):
        running.cli("client", "identifiers", "chosen", choice)
        assert httpx2.post(f"{running.url}/v1/chat/completions", json=body, headers=headers, timeout=30).status_code == 200
        users.append(json.loads(provider.last.body).get("user", "-"))
    assert users[:2] == ["ann", "-"]
    assert users[2].startswith("gh-")
    kinds = [entry["kind"] for entry in running.cli_json("audit", "list", "--limit", "50")]
    assert kinds.count("client.identifiers_changed") == 3


def test_the_network_page_counts_what_was_removed(running: Gateway) -> None:
    with running.control() as control:
        view = control.network()
    assert view.removed_headers >= 10
    assert view.removed_identifiers >= 5
    assert view.removed_from >= 4
    assert view.unexplained == ()
    assert view.books.mismatches == ()
    assert (view.from_us, view.connections) == (view.since_us, view.books.records)


def test_another_period_sums_up_that_period_and_leaves_the_books_alone(running: Gateway) -> None:
    with running.control() as control:
        started_us = control.network().since_us

        def alike() -> tuple[NetworkView, NetworkView] | None:  # a row of the request before may still be on its way to the ledger
            run, earlier = control.network(), control.network(started_us - 86_400_000_000)
            same = (earlier.connections, earlier.removed_headers) == (run.connections, run.removed_headers)
            return (run, earlier) if same else None

        run, earlier = wait_for(alike, "the same sums of the run and of a day before")
        nothing = control.network(time.time_ns() // 1000)
    assert earlier.from_us < earlier.since_us
    assert (nothing.connections, nothing.hosts, nothing.local_hosts, nothing.removed_from, nothing.names) == (0, 0, 0, 0, ())
    # what may be contacted is listed all the same
    assert [each.connections for each in nothing.destinations] == [0] * len(run.destinations)
    assert (nothing.books.ledger, nothing.books.records, nothing.books.keeper) == (run.books.ledger, run.books.records, run.books.keeper)
