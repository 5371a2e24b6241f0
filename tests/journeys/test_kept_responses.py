"""The Responses API over a provider that only speaks Chat: answers are kept where the person allows it, for the client that made them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import openai
import pytest

from tests.gateway import Gateway, gateway
from tests.upstream import Upstream, upstream


@pytest.fixture(scope="module")
def provider() -> Iterator[Upstream]:
    with upstream() as one:
        yield one


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory, provider: Upstream) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("gateway") / "data") as running:
        for name, kind in (("chat", "openai-compatible"), ("real", "openai")):
            arguments = ("--kind", kind, "--base-url", f"{provider.url}/v1", "--local", "--key-stdin")
            running.cli("provider", "add", name, *arguments, stdin=provider.key)
        yield running


def sdk(one: Gateway, name: str, *, keeps: bool) -> openai.OpenAI:
    key = one.client(name)
    if keeps:
        one.cli("client", "content", name, "on")
    return openai.OpenAI(base_url=f"{one.url}/v1", api_key=key, max_retries=0)


@pytest.mark.parametrize("stream", [False, True])
def test_a_kept_answer_can_be_read_continued_listed_and_deleted(one: Gateway, provider: Upstream, stream: bool) -> None:
    client = sdk(one, f"keeper-{stream}", keeps=True)
    if stream:
        events = list(client.responses.create(model="chat/gpt-4o-mini", input="My name is Ada.", stream=True))
        first = events[-1].response  # type: ignore[union-attr]
        assert events[-1].type == "response.completed"
    else:
        first = client.responses.create(model="chat/gpt-4o-mini", input="My name is Ada.")
    assert client.responses.retrieve(first.id).output_text == first.output_text

    second = client.responses.create(model="chat/gpt-4o-mini", input="What is my name?", previous_response_id=first.id)
    sent = json.loads(provider.requests[-1].body)["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "user"]
    assert "Ada" in json.dumps(sent[0]) and first.output_text in json.dumps(sent[1], ensure_ascii=False)

    items = client.responses.input_items.list(second.id, order="asc").data
    assert len(items) == 3
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)


def test_another_client_never_sees_it(one: Gateway) -> None:
    mine, theirs = sdk(one, "mine", keeps=True), sdk(one, "theirs", keeps=True)
    made = mine.responses.create(model="chat/gpt-4o-mini", input="secret plans")
    for attempt in (
        lambda: theirs.responses.retrieve(made.id),
        lambda: theirs.responses.delete(made.id),
        lambda: theirs.responses.input_items.list(made.id),
        lambda: theirs.responses.create(model="chat/gpt-4o-mini", input="go on", previous_response_id=made.id),
    ):
        with pytest.raises(openai.NotFoundError):
            attempt()
    assert mine.responses.retrieve(made.id).id == made.id


def test_without_permission_nothing_is_kept_and_it_is_said(one: Gateway) -> None:
    client = sdk(one, "private", keeps=False)
    made = client.responses.create(model="chat/gpt-4o-mini", input="hello")
    assert made.store is False
    with pytest.raises(openai.BadRequestError, match="gatehouse client content 'private' on"):
        client.responses.create(model="chat/gpt-4o-mini", input="go on", previous_response_id=made.id)
    with pytest.raises(openai.BadRequestError, match="keeps no answers"):
        client.responses.create(model="chat/gpt-4o-mini", input="hello", store=True)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


def test_taking_the_permission_back_deletes_what_was_kept(one: Gateway) -> None:
    client = sdk(one, "fickle", keeps=True)
    made = client.responses.create(model="chat/gpt-4o-mini", input="hello")
    one.cli("client", "content", "fickle", "off")
    one.cli("client", "content", "fickle", "on")
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)
    kinds = [entry["kind"] for entry in one.cli_json("audit", "list")]
    assert kinds.count("client.content_changed") >= 3
