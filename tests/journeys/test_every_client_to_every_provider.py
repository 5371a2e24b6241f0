"""Every official client asks every kind of provider, through the real gateway: what works, and what is not possible and why.

The table that this prints is the one in the README; a difference between them fails.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import openai
import pytest

from app.control.contract import NewProvider
from tests.gateway import ROOT, Gateway, gateway, wait_for
from tests.matrix import anthropic_sdk, google_sdk, langchain, openai_sdk
from tests.matrix.exchange import Client
from tests.matrix.features import FEATURES, Cell, Impossible, assert_impossible, unharmed
from tests.matrix.table import BUT, NOT_ASKED, carried, table
from tests.provider_replies import TEXT
from tests.upstream import Upstream, upstream

CLIENTS: dict[str, Any] = {
    kind.name: kind
    for kind in (openai_sdk.Chat, openai_sdk.Responses, anthropic_sdk.Messages, google_sdk.Gemini, langchain.OpenAI, langchain.Anthropic)
}


@dataclass(frozen=True, slots=True)
class Target:
    """A provider as the gateway has it. path: below the upstream's address. model: one that can do all this."""

    name: str
    dialect: str
    account: str
    kind: str
    path: str
    model: str


TARGETS = {
    target.name: target
    for target in (
        Target("OpenAI Chat", "openai", "chat", "openai-compatible", "/v1", "gpt-5.1"),
        Target("OpenAI Responses", "responses", "responses", "responses-compatible", "/v1", "gpt-5"),
        Target("Anthropic", "anthropic", "claude", "anthropic-compatible", "/v1", "claude-sonnet-4-5"),
        Target("Gemini", "gemini", "gemini", "gemini", "/v1beta", "gemini-3-pro"),
    )
}


_CACHE = Impossible("only Anthropic's dialect marks what is to be cached", dropped="cache_control")
_ADDRESS = Impossible(
    "Gemini takes an address only with its media type, and Gatehouse fetches nothing to find that out",
    refused="`image.url` cannot be expressed",
)
_STOP = Impossible("OpenAI's Responses have no stop sequences", refused="`stop")

# By provider and feature, for every client but those in POSSIBLE.
IMPOSSIBLE: dict[tuple[str, str], Impossible] = {
    ("OpenAI Chat", "cache marks"): _CACHE,
    ("OpenAI Responses", "cache marks"): _CACHE,
    ("Gemini", "cache marks"): _CACHE,
    ("Gemini", "image by URL"): _ADDRESS,
    ("OpenAI Responses", "stop sequences"): _STOP,
}
for _target in ("OpenAI Responses", "Anthropic", "Gemini"):
    IMPOSSIBLE[_target, "embeddings"] = Impossible("only OpenAI's dialect has embeddings", refused="dialect")
POSSIBLE = {("google-genai", "Gemini", "image by URL")}
# By client.
_LOST = "langchain-openai keeps nothing of a thought, so the provider cannot get it back"
FORGETFUL: dict[tuple[str, str, str], Impossible] = {
    ("langchain-openai", target, feature): Impossible(_LOST, dropped=dropped)
    for target, dropped in (("Anthropic", "reasoning_effort"), ("OpenAI Responses", ""))
    for feature in ("thinking between tools", "thinking between tools, streamed")
}
WORKED: dict[tuple[str, str, str], str] = {}


@pytest.fixture(scope="module", autouse=True)
def only_loopback() -> Iterator[None]:
    """No package looks up or connects to any other host: none has a telemetry that we forgot to know of."""
    strangers: list[object] = []
    watching = True

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if not watching or event not in ("socket.connect", "socket.getaddrinfo"):
            return
        place = arguments[1] if event == "socket.connect" else arguments
        host = place[0] if isinstance(place, tuple) else "localhost"  # a path is a unix socket
        if host not in ("127.0.0.1", "::1", "localhost"):
            strangers.append((event, place))

    sys.addaudithook(watch)
    yield
    watching = False
    assert strangers == []


@pytest.fixture(scope="module")
def provider() -> Iterator[Upstream]:
    with upstream(strict=True) as one:
        yield one


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, provider: Upstream) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("gateway") / "data") as one:
        with one.control() as control:
            for target in TARGETS.values():
                with __import__("contextlib").suppress(Exception):
                    control.add_provider(
                        NewProvider(
                            name=target.account, kind=target.kind, base_url=provider.url + target.path, key=provider.key, local=True
                        )
                    )
        yield one


@pytest.fixture(scope="module")
def clients(running: Gateway) -> Iterator[dict[str, Client]]:
    made: dict[str, Client] = {}
    for number, (name, kind) in enumerate(CLIENTS.items()):
        made[name] = kind(running.url, running.client(f"client-{number}"))
    yield made
    for one in made.values():
        one.close()


def slug(name: str) -> str:
    """A name that `-k` can hold."""
    return re.sub(r"\W+", "_", name).lower()


@pytest.mark.parametrize("feature", FEATURES, ids=slug)
@pytest.mark.parametrize("target", TARGETS, ids=lambda name: f"to_{slug(name)}")
@pytest.mark.parametrize("client", CLIENTS, ids=slug)
def test_a_client_at_a_provider(
    running: Gateway, provider: Upstream, clients: dict[str, Client], client: str, target: str, feature: str
) -> None:
    where = TARGETS[target]
    cell = Cell(clients[client], where.dialect, where.account, where.model, running, provider)
    provider.behave()
    if feature in cell.client.lacks:
        WORKED[client, target, feature] = NOT_ASKED
        return
    not_possible = IMPOSSIBLE.get((target, feature)) or FORGETFUL.get((client, target, feature))
    if not_possible is None or (client, target, feature) in POSSIBLE:
        with unharmed(cell):
            known = FEATURES[feature](cell)
        if feature in ("thinking", "thinking, streamed") and cell.client.no_thoughts:
            known = f"{cell.client.no_thoughts}; the answer and the count of their tokens come"
        WORKED[client, target, feature] = BUT + known if known else ""
        return
    assert_impossible(cell, feature, not_possible)
    WORKED[client, target, feature] = not_possible.why


def test_what_is_dropped_is_in_the_reply_too(running: Gateway, provider: Upstream) -> None:
    key = running.client("dropper")
    body = {"model": "chat/any", "max_tokens": 9, "top_k": 4, "messages": [{"role": "user", "content": "Hi"}]}
    said = httpx2.post(
        f"{running.url}/v1/messages", json=body, headers={"x-api-key": key, "anthropic-version": "2023-06-01"}, trust_env=False
    )
    assert said.status_code == 200
    assert said.headers["x-gatehouse-dropped"] == "top_k"
    with running.control() as control:
        rows = wait_for(lambda: [row for row in control.activity(limit=40).rows if row.client == "dropper"], "the row")
    assert rows[0].dropped == "top_k"


def test_models_are_listed_in_the_shape_of_each_package(running: Gateway, clients: dict[str, Client]) -> None:
    with running.control() as control:
        for target in TARGETS.values():
            assert control.test_provider(target.account).account.test_ok, target
    made: dict[str, Any] = dict(clients)
    names = {model.id for model in made["openai, chat"].sdk.models.list()}
    assert "gatehouse/echo" in names
    assert {f"{target.account}/" for target in TARGETS.values()} <= {name.partition("/")[0] + "/" for name in names}
    assert {model.id for model in made["anthropic"].sdk.models.list()} == names
    assert {str(model.name).removeprefix("models/") for model in made["google-genai"].sdk.models.list()} == names


def test_azures_way_of_asking_and_of_answering(running: Gateway, provider: Upstream) -> None:
    hello: Any = {"messages": [{"role": "user", "content": "Hi"}], "max_completion_tokens": 64}
    with running.control() as control:
        control.add_provider(NewProvider(name="az", kind="azure", base_url=f"{provider.url}/openai", key=provider.key, local=True))
        control.test_provider("gemini")  # so that its models are known by their own names: Azure's have no slash
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.client("to-azure"), max_retries=0) as sdk:
        assert sdk.chat.completions.create(model="az/my-gpt", **hello).choices[0].message.content == TEXT
        assert provider.last.path.startswith("/openai/")
        assert provider.last.header("api-key") == provider.key
    key = running.client("as-azure")
    with openai.AzureOpenAI(azure_endpoint=running.url, api_key=key, api_version="2024-10-21", max_retries=0) as azure:
        assert azure.chat.completions.create(model="gemini-3-pro", **hello).choices[0].message.content == TEXT
        assert provider.last.path.endswith("gemini-3-pro:generateContent")


def test_the_readme_says_what_ran() -> None:
    assert WORKED, "nothing ran"
    said = table(WORKED)
    print(said)
    if len(WORKED) < len(CLIENTS) * len(TARGETS) * len(FEATURES):
        pytest.skip("only a part of the table ran")
    assert carried((ROOT / "README.md").read_text(encoding="utf-8")) == said, (
        "the README's table differs from what ran; the right one is above"
    )
