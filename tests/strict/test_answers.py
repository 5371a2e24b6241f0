"""The official packages take the scripted answers of the strict upstream for the real ones, and it takes what they send."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.matrix import anthropic_sdk, google_sdk, langchain, openai_sdk
from tests.matrix.exchange import STOPS, TOOL, WEATHER, Ask, Client
from tests.provider_replies import TEXT
from tests.scripted_replies import DECLINED, THOUGHT
from tests.upstream import Upstream, upstream

CLIENTS: list[Any] = [
    openai_sdk.Chat,
    openai_sdk.Responses,
    anthropic_sdk.Messages,
    google_sdk.Gemini,
    langchain.OpenAI,
    langchain.Anthropic,
]
COUNTS = "~input=120~cached=40~wrote=20~output=50~reasoning=12"


@pytest.fixture(scope="module")
def strict() -> Iterator[Upstream]:
    with upstream(strict=True) as one:
        yield one


@pytest.fixture(params=CLIENTS, ids=lambda kind: kind.name)
def client(request: pytest.FixtureRequest, strict: Upstream) -> Iterator[Client]:
    one = request.param(strict.url, strict.key)
    yield one
    one.close()


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def stream(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_text(client: Client, stream: bool) -> None:
    got = client.say(Ask(model="any~say=text" + COUNTS, stream=stream, system="You are terse."))
    assert (got.text, got.stop) == (TEXT, STOPS[client.dialect]["stop"])
    assert (got.counts.input, got.counts.cached, got.counts.output, got.counts.reasoning) == (120, 40, 50, 12)
    assert got.counts.wrote == (None if client.dialect == "gemini" else 20)
    assert got.pieces == (11 if stream else got.pieces)


def test_tools_and_their_results(client: Client, stream: bool) -> None:
    first, second = client.converse(Ask(model="any~say=tools", stream=stream, tools=True))
    assert first.calls == [(TOOL, {"city": "Paris"}), (TOOL, {"city": "Oslo"})]
    assert first.stop == STOPS[client.dialect]["calls"]
    assert second.text == f"Paris: {WEATHER['Paris']}; Oslo: {WEATHER['Oslo']}"


def test_thinking_comes_back_sealed(client: Client, stream: bool) -> None:
    first, second = client.converse(Ask(model="any~say=thinking-tools", stream=stream, tools=True, thinking=True))
    assert first.thinking.strip() == ("" if client.no_thoughts else THOUGHT)
    assert second.text.endswith("unsealed" if client.dialect == "openai" else "sealed")
    assert client.say(Ask(model="any~say=redacted", stream=stream, thinking=True)).text == TEXT


def test_pictures_documents_and_schemas_are_taken(client: Client, stream: bool) -> None:
    got = client.say(Ask(model="any~say=schema", image=True, document=True, schema=True, stream=stream))
    assert got.json == {"city": "Paris", "degrees": 21}


@pytest.mark.parametrize("why", ["length", "filter"])
def test_why_an_answer_ended(client: Client, stream: bool, why: str) -> None:
    assert client.say(Ask(model=f"any~say={why}", stream=stream)).stop == STOPS[client.dialect][why]


def test_a_refusal_is_told(client: Client, stream: bool) -> None:
    got = client.say(Ask(model="any~say=refusal", stream=stream))
    assert DECLINED in got.text or got.stop in ("refusal", "SAFETY") or client.name == "langchain-openai"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 529])
def test_errors_are_the_packages_own(client: Client, strict: Upstream, stream: bool, status: int) -> None:
    strict.on(f"bad-{status}", f"{status}?retry-after=7")
    with pytest.raises(client.errors[status]) as caught:
        client.say(Ask(model=f"bad-{status}", stream=stream))
    assert client.status(caught.value) == status
    assert client.header(caught.value, "retry-after") == "7"


def test_a_wrong_key_is_refused(strict: Upstream) -> None:
    for kind in CLIENTS:
        one = kind(strict.url, "wrong-key")
        with pytest.raises(one.errors[400 if one.dialect == "gemini" else 401]):
            one.say(Ask(model="any"))
        one.close()


def test_leaving_is_noticed(client: Client, strict: Upstream) -> None:
    client.leave(Ask(model="any~every_ms=30~chunks=200"))
    strict.wait_gone(strict.last)
